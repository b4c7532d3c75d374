"""Damaged files through the program as it runs: what becomes of each."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fuzz import seeds
from fuzz.damage import damage
from napari_diptomo.jobs import Checkpoint
from napari_diptomo.jobs.reading.isolated import IsolatedReader, ReadingFailed
from napari_diptomo.series import DiptomoError, InputError, MapSeries, Recipe, Source

#: Longer than this is a hang, seconds.
HANG = 20.0


@dataclass
class Outcome:
    """Outcome of one damaged file.

    Attributes
    ----------
    result : str
        ``ok``; ``sentence`` (an error of this program's own); ``broke`` (the file ended the reading process or kept
        it silent, and a sentence said so); ``unexpected`` (another error); ``hang``.
    """

    kind: str
    number: int
    how: str
    result: str
    seconds: float
    text: str = ''

    def __str__(self) -> str:
        return f'{self.result}: {self.kind} {self.number} ({self.how}, {self.seconds:.1f} s): {self.text}'


@dataclass
class Report:
    """Counts of outcomes by kind, and those that should not be."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad: list[Outcome] = field(default_factory=list)
    longest: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.kind, outcome.result] += 1
        self.longest = max(self.longest, outcome.seconds)
        if outcome.result in ('unexpected', 'hang'):
            self.bad.append(outcome)

    @property
    def total(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for (_, result), count in self.counts.items():
            total[result] += count
        return total

    def __str__(self) -> str:
        kinds = sorted({kind for kind, _ in self.counts})
        results = ('ok', 'sentence', 'broke', 'unexpected', 'hang')
        rows = [f'{"":14}' + ''.join(f'{result:>12}' for result in results)]
        rows += [f'{kind:14}' + ''.join(f'{self.counts[kind, r]:12}' for r in results) for kind in kinds]
        rows.append(f'{"all":14}' + ''.join(f'{self.total[r]:12}' for r in results))
        return '\n'.join([*rows, f'{self.total.total()} files, the longest took {self.longest:.1f} s'])


class Fuzz:
    """Damages files of all kinds, the same ones for the same seed.

    Parameters
    ----------
    seed : int
    kinds : sequence of str
        All where it is empty.
    """

    def __init__(self, seed: int = 0, kinds: Sequence[str] = ()) -> None:
        self._seed = seed
        self._folder = Path(tempfile.mkdtemp(prefix='diptomo-fuzz-'))
        self._reader = IsolatedReader()
        written = {**seeds.FILES, **seeds.OWN}
        self._valid: dict[str, Path] = {}
        for kind in kinds or written:
            place = self._folder / 'valid' / kind.replace(' ', '-')
            place.mkdir(parents=True)
            # Some formats cannot be written with every version of the libraries: zspy with zarr 3.
            with contextlib.suppress(AttributeError, ImportError, NotImplementedError):
                self._valid[kind] = written[kind](place)
        self.kinds = tuple(self._valid)
        self._warm = seeds.tilt_hspy(self._folder)

    def __enter__(self) -> Fuzz:
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def valid(self, kind: str) -> Outcome:
        """Outcome of the file before it is damaged."""
        return self._try(kind, -1, 'as it is', self._copy(kind))

    def run(self, count: int, start: int = 0) -> Iterator[Outcome]:
        """So many damaged files, kinds in turn."""
        for number in range(start, start + count):
            yield self.case(self.kinds[number % len(self.kinds)], number)

    def case(self, kind: str, number: int) -> Outcome:
        """One damaged file."""
        rng = np.random.default_rng((self._seed, zlib.crc32(kind.encode()), number))
        path = self._copy(kind)
        how = [damage(path, rng) for _ in range(rng.choice([1, 1, 1, 2]))]
        return self._try(kind, number, ' + '.join(how), path)

    def _copy(self, kind: str) -> Path:
        place, valid = self._folder / 'case', self._valid[kind]
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(valid.parent, place)
        return place / valid.name

    def _try(self, kind: str, number: int, how: str, path: Path) -> Outcome:
        if kind in seeds.FILES and self._reader.pid is None:
            # That a process has to be started is no fault of the file.
            self._reader.ask({'do': 'kind', 'path': str(self._warm)}, [self._warm])
        start, text = time.monotonic(), ''
        try:
            with _patience():
                self._open(kind, path)
            result = 'ok'
        except ReadingFailed as error:
            text = str(error)
            # An error that no adapter made a sentence of: the process has lived on.
            result = 'unexpected' if self._reader.pid is not None and 'memory allowed' not in text else 'broke'
        except DiptomoError as error:
            text = str(error)
            result = 'sentence' if len(text.splitlines()) == 1 else 'unexpected'
        except _TooLong:
            result = 'hang'
        except Exception:
            result, text = 'unexpected', traceback.format_exc()
        seconds = time.monotonic() - start
        return Outcome(kind, number, how, 'hang' if seconds > HANG else result, seconds, text)

    def _open(self, kind: str, path: Path) -> None:
        if kind in seeds.OWN:
            _OWN[kind.split()[0]](path)
        else:
            self._read(path)

    def _read(self, path: Path) -> None:
        """As when the file is dropped on napari."""
        if path.suffix == '.hspy' and self._reader.ask({'do': 'kind', 'path': str(path)}, [path]) == 'volume':
            self._reader.ask({'do': 'load', 'path': str(path)}, [path])
            return
        try:
            series = self._reader.open(Source(paths=(str(path),)))
        except ReadingFailed:
            raise
        except InputError:
            self._reader.ask({'do': 'pictures', 'path': str(path)}, [path])
            return
        if not isinstance(series, MapSeries):
            for tilt in range(len(series.angles)):
                np.asarray(series.counts[tilt])


def _table(path: Path) -> None:
    from napari_diptomo.series.reading.angles.evidence import find_angles

    files = [Path(f't_{i}.bcf') for i in range(len(seeds.ANGLES))]
    with contextlib.suppress(InputError):
        find_angles(len(files), tables=[path], files=files)
    find_angles(len(files), given=str(path), files=files)


def _factors(path: Path) -> None:
    from napari_diptomo.spectra.edx.factor_tables import read_factors

    read_factors(path)


def _recipe(path: Path) -> None:
    Recipe.load(path).to_json()


def _standards(path: Path) -> None:
    from napari_diptomo.spectra.eels.standards.stored import Standards

    Standards.load(path).on(np.linspace(40.0, 80.0, 41))


def _checkpoint(path: Path) -> None:
    Checkpoint(path, seeds.checkpoint_recipe(), resume=True).load(0, seeds.checkpoint_maps())


def _project(path: Path) -> None:
    from napari_diptomo.jobs.project import absolute_source, read_project

    project, folder = read_project(path)
    absolute_source(project.source or {}, folder)
    for run in project.runs:
        if run.recipe is not None:
            Recipe.from_dict(run.recipe, embedded=True)


_OWN: dict[str, Callable[[Path], None]] = {
    'project': _project,
    'table': _table,
    'factors': _factors,
    'recipe': _recipe,
    'standards': _standards,
    'checkpoint': _checkpoint,
}


class _TooLong(BaseException):
    """More than `HANG` seconds."""


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    if sys.platform == 'win32':
        yield
        return

    def give_up(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 2 * HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
