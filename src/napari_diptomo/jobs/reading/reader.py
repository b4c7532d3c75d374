"""The reading process and its protocol: ``python -m napari_diptomo.jobs.reading.reader``.

Its arguments are ``[FOLDER_IN_MEMORY] FOLDER``. Libraries that read files of strangers run here, so that a file that ends
them, or never lets them come back, does not end the viewer. The process
serves many files, one request at a time. A request is a JSON line on its
standard input::

    {"do": "open", "source": {...}, "keep": 3}        a tilt series, whose lazy counts stay here as number 3
    {"do": "tilt", "kept": 3, "part": 0, "index": 7, "sparse": false}  one tilt of its lazy counts
    {"do": "load", "path": "..."}                     maps or a volume that this program saved
    {"do": "kind", "path": "..."}                     which of the two a file is
    {"do": "pictures", "path": "..."}                 what one file shows by itself

each with ``"memory"``, the bytes it may take, ``"cwd"`` and ``"drop"``, the numbers no longer needed.
The lines ``pause``, ``resume``, ``finish`` and ``cancel`` are obeyed meanwhile. It says (`messages`) what
it reads (``file``) and how far it is (``progress``), and answers with the path of a file of arrays (`shared_arrays`) (``result``),
``error`` or ``cancelled``.

After a tilt was asked for in passing through a series, the next is read ahead.
When its standard input ends, its parent is gone: it removes the folders and
exits, whatever it is doing. Where the system can, it is also bounded by
itself: memory on Linux, silence on all but Windows.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_diptomo.jobs.child import ChildObserver, Line, private_stdout, volunteer_for_the_oom_killer
from napari_diptomo.jobs.messages import NO_MEMORY, OUR_ERRORS, CancelledRun, Failure, FileBegun, Log, Result
from napari_diptomo.jobs.reading import shared_arrays
from napari_diptomo.jobs.reading.limits import seconds_for
from napari_diptomo.series import (
    Cancelled,
    Progress,
    Request,
    Source,
    load,
    open_source,
)
from napari_diptomo.series.filled_channels import filled_channels
from napari_diptomo.series.memory import ran_out
from napari_diptomo.series.reading import current_file, hyperspy_adapter
from napari_diptomo.series.reading.pictures import pictures_in
from napari_diptomo.series.reading.saved import saved_kind

#: Tilts of more bytes are not read ahead.
_AHEAD = 512 * 1024**2
#: Seconds without a request after which what was read ahead is let go, or without a series the process ends.
_IDLE_AHEAD, _IDLE = 5.0, 60.0


#: Number of the series, of its lazy counts, and of the tilt; whether its empty channels are left out.
_Key = tuple[int, int, int, bool]


class _Observer(ChildObserver):
    """Passes on what the parent wants; every sign of life winds the clock up again."""

    def __init__(self, line: Line, clock: _Clock) -> None:
        super().__init__(line, 0)
        self._clock = clock

    def report(self, progress: Progress) -> None:
        self._clock.wind()
        super().report(progress)

    def request(self) -> Request:
        self._clock.wind()
        return super().request()


class _Clock:
    """Ends this process when it is silent for too long, even where a library holds on to the interpreter.

    The parent's own clock is earlier; this one is for a parent that is gone.
    """

    def __init__(self) -> None:
        self._seconds = 0.0

    def wind(self, seconds: float | None = None) -> None:
        """Start anew; 0 stops it."""
        self._seconds = self._seconds if seconds is None else seconds
        if hasattr(signal, 'setitimer'):
            signal.setitimer(signal.ITIMER_REAL, self._seconds)


class Reader:
    """Answers requests.

    Parameters
    ----------
    line : Line
        To the parent.
    folders : list of str
        Where files of arrays may lie, the best first.
    """

    def __init__(self, line: Line, folders: list[str]) -> None:
        self.observer: ChildObserver | None = None
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._line = line
        self._folders = folders
        self._numbers = itertools.count()
        self._clock = _Clock()
        self._kept: dict[int, list[Any]] = {}
        self._last: _Key | None = None
        self._passing = False
        self._ahead: tuple[_Key, Path] | None = None
        self._do: dict[str, Callable[[dict[str, Any]], Any]] = {
            'open': lambda asked: open_source(Source(**asked['source']), self.observer),
            'load': lambda asked: load(asked['path']),
            'kind': lambda asked: saved_kind(asked['path']),
            'pictures': lambda asked: pictures_in(asked['path']),
        }
        current_file.listen(self._announce)

    def serve(self) -> None:
        """Answer until there is nothing to do any more."""
        while True:
            try:
                asked = self.requests.get(timeout=_IDLE if self._ahead is None else _IDLE_AHEAD)
            except queue.Empty:
                if self._ahead is None and not self._kept:
                    return
                self._forget_ahead()
                continue
            self._answer(asked)
            self._read_ahead()
            self._clock.wind(0)

    def _answer(self, asked: dict[str, Any]) -> None:
        self.observer = _Observer(self._line, self._clock)
        for number in asked.get('drop', ()):
            self._kept.pop(number, None)
            if self._ahead is not None and self._ahead[0][0] == number:
                self._forget_ahead()
        try:
            if asked['do'] != 'drop':
                os.chdir(asked['cwd'])
                _limit_memory(asked['memory'])
                self._line.send(Result(str(self._shared_file(asked))))
        except Cancelled as stop:
            self._line.send(CancelledRun(str(stop)))
        except Exception as error:
            self._line.send(_failure(error))

    def _shared_file(self, asked: dict[str, Any]) -> Path:
        if asked['do'] == 'tilt':
            return self._tilt((asked['kept'], asked['part'], asked['index'], asked['sparse']))
        made = self._do[asked['do']](asked)
        path = self._new_path(shared_arrays.size_of(made))
        lazy = shared_arrays.write(made, path)
        if lazy:
            self._kept[asked['keep']] = lazy
        return path

    def _tilt(self, key: _Key) -> Path:
        number, part, index, sparse = key
        self._passing = index == 0 or self._last == (number, part, index - 1, sparse)
        self._last = key
        if self._ahead is not None and self._ahead[0] == key:
            (_, path), self._ahead = self._ahead, None
            return path
        self._forget_ahead()
        return self._read(key)

    def _read(self, key: _Key) -> Path:
        number, part, index, sparse = key
        data = np.asarray(self._kept[number][part][index].compute(scheduler='synchronous'))
        made = filled_channels(data, index) if sparse else data
        path = self._new_path(shared_arrays.size_of(made))
        shared_arrays.write(made, path)
        return path

    def _read_ahead(self) -> None:
        """Read the tilt after the last one where a series is being passed through."""
        if not self._passing or self._last is None or self._ahead is not None or not self.requests.empty():
            return
        number, part, index, sparse = self._last
        counts = self._kept[number][part] if number in self._kept else ()
        if index + 1 < len(counts) and _tilt_bytes(counts) <= _AHEAD:
            key = (number, part, index + 1, sparse)
            # What goes wrong is said when the tilt is asked for.
            with contextlib.suppress(Exception):
                self._ahead = (key, self._read(key))

    def _forget_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead[1].unlink(missing_ok=True)
            self._ahead = None

    def _new_path(self, needed: int) -> Path:
        folder = next((f for f in self._folders if shutil.disk_usage(f).free > 2 * needed), self._folders[-1])
        return Path(folder) / f'{next(self._numbers)}.arrays'

    def _announce(self, path: Path) -> None:
        # Later than the parent, which is more patient with a busy machine, in case it is still there.
        self._clock.wind(6 * seconds_for(path))
        self._line.send(FileBegun(str(path)))


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the reading process."""
    # Both reach the whole process group; what they mean is the parent's business, and its end is ours.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    volunteer_for_the_oom_killer()
    folders = sys.argv[1:] if arguments is None else arguments
    line = Line(private_stdout())
    reader = Reader(line, folders)
    threading.Thread(target=_listen, args=(reader, folders), daemon=True).start()
    hyperspy_adapter.prepare()
    line.send(Log('info', 'ready'))
    reader.serve()
    return 0


def _listen(reader: Reader, folders: list[str]) -> None:
    for text in sys.stdin:
        try:
            if text.startswith('{'):
                reader.requests.put(json.loads(text))
            elif reader.observer is not None:
                reader.observer.command(text)
        except ValueError:
            traceback.print_exc()
    for folder in folders:
        # A file of arrays that is just being made keeps the folder.
        for _ in range(100):
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
            time.sleep(0.02)
    os._exit(3)


def _failure(error: Exception) -> Failure:
    kind = next((cls.__name__ for cls in type(error).__mro__ if cls.__name__ in OUR_ERRORS), type(error).__name__)
    if ran_out(error) and kind not in OUR_ERRORS:
        kind = NO_MEMORY
    return Failure(str(error), kind, traceback.format_exc(), getattr(error, 'evidence', ()))


def _limit_memory(allowed: int) -> None:
    """Let allocations fail that go beyond this many bytes more than now."""
    if sys.platform != 'linux':
        return
    import resource

    # Counts what is written to and nobody else's: neither mapped files nor libraries.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = psutil.Process().memory_info().data + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _tilt_bytes(counts: Any) -> int:
    return int(np.prod(counts.shape[1:])) * np.dtype(counts.dtype).itemsize


if __name__ == '__main__':
    code = main()
    sys.stderr.flush()
    # Not sys.exit: a library's thread or destructor must not hold up the end.
    os._exit(code)
