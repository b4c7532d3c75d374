"""Reading files of strangers in a process of its own.

    series = open_isolated(Source(paths=('folder',)))     # as napari_diptomo.series.open_source

One reading process (`napari_diptomo.jobs.reading.reader`) serves this one. A file that
ends it, keeps it silent or makes it ask for too much memory becomes one
sentence with the file's name, and the next request starts another. Counts that
are read lazily stay in the files: the process keeps the series open and hands
over one tilt at a time in memory that both map, so that there is no second
copy; if it had to be started anew it opens the series again.

`napari_diptomo.series.open_source` and `load_tilt_series` read in the process
that calls them: simpler in a script, and there a broken file ends a script.
The dock, napari's reader and ``diptomo`` read in isolation.

Memory is bounded on Linux by the system, elsewhere by measuring the process
four times a second; the time everywhere. See `napari_diptomo.jobs.reading.limits`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.jobs.reading import shared_arrays
from napari_diptomo.jobs.reading.limits import memory_for
from napari_diptomo.jobs.reading.reader_connection import COMMAND, Gone, ReaderProcess, ReadingFailed
from napari_diptomo.series import (
    Cancelled,
    InputError,
    MapSeries,
    Observer,
    Request,
    Source,
    SpectralTiltSeries,
    Volume,
)
from napari_diptomo.series.reading.pictures import Picture

#: Seconds within which a second question about a file that broke the reader belongs to the same attempt.
_SAME_ATTEMPT = 10.0

__all__ = ['ReadingFailed', 'load_isolated', 'open_isolated', 'pictures_isolated', 'saved_kind_isolated', 'warm_up']


def open_isolated(source: Source, observer: Observer | None = None) -> SpectralTiltSeries | MapSeries:
    """Open a tilt series as `napari_diptomo.series.open_source` does, the reading done in the reading process.

    Parameters
    ----------
    source : Source
        What to open, and how.
    observer : Observer, optional
        Receives every file opened; asked for pause and cancel, also while a file is being read.

    Returns
    -------
    SpectralTiltSeries or MapSeries
        As `open_source` returns it.

    Raises
    ------
    InputError
        What `open_source` raises, unchanged.
    ReadingFailed
        The file ended the reader, kept it silent, or needed too much memory.
    Cancelled
        When the observer cancels.
    """
    return the_reader().open(source, observer)


def load_isolated(path: str | os.PathLike[str]) -> MapSeries | Volume:
    """Maps or a volume that `napari_diptomo.series.save` wrote, read in the reading process.

    Parameters
    ----------
    path : path
        The ``.hspy`` file.

    Returns
    -------
    MapSeries or Volume
        As `napari_diptomo.series.load` returns it.

    Raises
    ------
    InputError
        What `napari_diptomo.series.load` raises, unchanged.
    ReadingFailed
        The file ended the reader, kept it silent, or needed too much memory.
    """
    return the_reader().ask({'do': 'load', 'path': os.fspath(path)}, [path])


def saved_kind_isolated(path: str | os.PathLike[str]) -> str | None:
    """'map series' or 'volume' for files that this program saved, None for others; errors as `open_isolated`."""
    return the_reader().ask({'do': 'kind', 'path': os.fspath(path)}, [path])


def pictures_isolated(path: str | os.PathLike[str]) -> tuple[Picture, ...]:
    """All images of one file, see `napari_diptomo.series.reading.pictures`; errors as `open_isolated`."""
    return the_reader().ask({'do': 'pictures', 'path': os.fspath(path)}, [path])


def warm_up() -> None:
    """Start the reading process, so that the first file does not wait for it; returns at once."""
    threading.Thread(target=the_reader().start, name='diptomo-reader-start', daemon=True).start()


class IsolatedReader:
    """One reading process at a time, started when it is needed; requests of several threads wait for each other.

    Parameters
    ----------
    command : sequence of str
        What to start; the folders are added.
    """

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._process: ReaderProcess | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._dropped: deque[int] = deque()
        self._broke: _Failure | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process, None where there is none."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    def start(self) -> None:
        """Start the process where it is not there."""
        with self._lock, contextlib.suppress(ReadingFailed):  # said when something is to be read
            self._living()

    def open(self, source: Source, observer: Observer | None = None) -> SpectralTiltSeries | MapSeries:
        """See `open_isolated`."""
        kept = _Kept(self, source, next(self._numbers))
        return self.ask(kept.request(), kept.paths, observer, kept)

    def ask(
        self, asked: dict[str, Any], paths: Any, observer: Observer | None = None, kept: _Kept | None = None
    ) -> Any:
        """The answer to one request; ``kept`` keeps what is lazy in it."""
        with self._turn(observer):
            return self._ask(asked, paths, observer, kept)

    def tilt(self, kept: _Kept, part: int, index: int, sparse: bool) -> Any:
        """One tilt of lazy counts; where the process is another than the one that opened them it opens them again."""
        with self._turn(None):
            if kept.process is not self._living():
                self._ask(kept.request(), kept.paths, None, kept)
            asked = {'do': 'tilt', 'kept': kept.number, 'part': part, 'index': index, 'sparse': sparse}
            return self._ask(asked, kept.paths, None, None)

    def drop(self, number: int) -> None:
        """A series is no longer needed. Called when it is forgotten, so at any time and in any thread."""
        self._dropped.append(number)
        if self._lock.acquire(blocking=False):
            try:
                if self._process is not None:
                    self._process.say({'do': 'drop', 'drop': self._take_dropped()})
            finally:
                self._lock.release()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._process is not None:
                self._process.close()

    @contextlib.contextmanager
    def _turn(self, observer: Observer | None) -> Iterator[None]:
        while not self._lock.acquire(timeout=0.1):
            if observer is not None and observer.request() is Request.CANCEL:
                raise Cancelled
        try:
            yield
        finally:
            self._lock.release()

    def _ask(self, asked: dict[str, Any], paths: Any, observer: Observer | None, kept: _Kept | None) -> Any:
        if self._broke is not None and self._broke.is_of(paths):
            raise self._broke.error
        memory = memory_for(paths)
        asked = {'cwd': os.getcwd(), **asked, 'memory': memory, 'drop': self._take_dropped()}
        for _ in range(2):
            process = self._living()
            process.say(asked)
            with contextlib.suppress(Gone):
                try:
                    path = process.answer(paths, memory, observer)
                except ReadingFailed as error:
                    self._broke = _Failure(error, _states(paths), time.monotonic())
                    raise
                made = shared_arrays.read(path, None if kept is None else kept.lazy)
                if kept is not None:
                    kept.process = process
                return made
        raise ReadingFailed('The reading process ends again and again; install napari-diptomo anew.')

    def _living(self) -> ReaderProcess:
        if self._process is None or not self._process.alive:
            if self._process is not None:
                self._process.close()
            try:
                self._process = ReaderProcess(self._command)
            except OSError as error:
                raise ReadingFailed(
                    f'The process that reads files cannot be started ({error.strerror}); close other programs, and '
                    'see that the folder for temporary files has space.'
                ) from None
        return self._process

    def _take_dropped(self) -> list[int]:
        taken = []
        while self._dropped:
            taken.append(self._dropped.popleft())
        return taken


@dataclass(frozen=True, eq=False)
class _Failure:
    """Files that have just broken the reader.

    One drop on napari asks twice about a file: what it is, and then what is in it. The second question is answered at
    once, instead of after another wait; whoever tries again by hand has a new attempt.
    """

    error: ReadingFailed
    files: tuple[tuple[str, int, int], ...]
    when: float

    def is_of(self, paths: Iterable[str | os.PathLike[str]]) -> bool:
        recent = time.monotonic() - self.when < _SAME_ATTEMPT
        return bool(self.files) and recent and _states(paths) == self.files


def _states(paths: Iterable[str | os.PathLike[str]]) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of change of the files that are there."""
    states = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            status = os.stat(path)
            states.append((os.path.abspath(path), status.st_size, status.st_mtime_ns))
    return tuple(states)


class _Kept:
    """A series that stays open in the reading process for as long as something here may ask for its tilts."""

    def __init__(self, reader: IsolatedReader, source: Source, number: int) -> None:
        self.number = number
        self.process: ReaderProcess | None = None
        self.paths = (*source.paths, *source.core_loss, *source.haadf)
        self._reader = reader
        self._source = source
        self._folder = os.getcwd()
        self._found: set[tuple[int, tuple[int, ...], str]] = set()
        weakref.finalize(self, reader.drop, number).atexit = False

    def request(self) -> dict[str, Any]:
        source = self._source.model_dump(mode='json')
        return {'do': 'open', 'source': source, 'keep': self.number, 'cwd': self._folder}

    def lazy(self, part: int, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """Counts (tilt, y, x, energy) that are read tilt by tilt."""
        import dask
        import dask.array as da

        if self.process is not None and (part, shape, dtype.str) not in self._found:
            raise InputError(f'{Path(self.paths[0]).name} has changed since it was opened; open the tilt series again.')
        self._found.add((part, shape, dtype.str))
        read = dask.delayed(partial(self._reader.tilt, self, part, sparse=False), pure=False, traverse=False)
        counts = da.stack([da.from_delayed(read(index), shape[1:], dtype=dtype) for index in range(shape[0])])
        counts.sparse_tilt = partial(self._reader.tilt, self, part, sparse=True)
        return counts


_reader: IsolatedReader | None = None
_lock = threading.Lock()


def the_reader() -> IsolatedReader:
    """The one reader of this process."""
    global _reader
    with _lock:
        if _reader is None:
            _reader = IsolatedReader()
        return _reader
