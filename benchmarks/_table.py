"""The rows of the quality table: which result belongs to which method on which noisy series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from _cases import CASES
from _methods import BY_COUNTS, METHODS, WEIGHTS, Method
from _store import Store

SIZE = 64
#: Score, heading, digits.
COLUMNS = (
    ('psnr', 'PSNR (dB)', 2),
    ('ssim', 'SSIM', 3),
    ('fsc_measured', 'FSC measured', 3),
    ('fsc_missing', 'FSC wedge', 3),
    ('elongation', 'elongation', 2),
    ('composition', 'composition error', 3),
    ('in_voids', 'matter in voids', 3),
    ('seconds', 'seconds', 0),
    ('peak_mib', 'MiB', 0),
)
ORACLE_PSNR, ORACLE_SSIM, COUNTS = ', oracle weight by PSNR', ', oracle weight by SSIM', ', weight by held-out counts'

Result = dict[str, Any]


@dataclass(frozen=True, order=True)
class Series:
    """One noisy series."""

    case: str
    peak: int
    seed: int

    def __str__(self) -> str:
        return f'{self.case}, peak {self.peak}, noise {self.seed}'


def key(series: Series, size: int, name: str) -> str:
    """Where the store keeps a run."""
    return ' | '.join((series.case, str(size), str(series.peak), str(series.seed), name))


class Table:
    """All results of the present code by row and series.

    Attributes
    ----------
    rows : dict of str to dict of Series to dict
        Results, also those of runs that gave up (with ``error`` in place of scores).
    planned : dict of (str, int) to list of Series
        What belongs to the whole table, by row and peak.
    """

    def __init__(self, store: Store, size: int = SIZE) -> None:
        self._store, self._size = store, size
        self.rows: dict[str, dict[Series, Result]] = {}
        self.planned: dict[tuple[str, int], list[Series]] = {}
        for method in METHODS.values():
            for series in planned(method):
                for name, result in self._results(method, series).items():
                    self.planned.setdefault((name, series.peak), []).append(series)
                    self.rows.setdefault(name, {})
                    if result is not None:
                        self.rows[name][series] = result

    def _results(self, method: Method, series: Series) -> dict[str, Result | None]:
        case = CASES[series.case]

        def find(detail: str, *more: float | None) -> Result | None:
            step = method.step(case, self._size, series.seed, *more)
            return self._store.find(key(series, self._size, method.name + detail), step)

        if not method.search:
            return {method.name: find('')}
        name = key(series, self._size, method.name + ' chosen')
        chosen = self._store.current(name)
        # A search that was made with other settings is none.
        if chosen and self._store.find(name, method.step(case, self._size, series.seed, chosen['psnr'])) is None:
            chosen = {}
        found: dict[str, Result | None] = {}
        for ending, which in ((ORACLE_PSNR, 'psnr'), (ORACLE_SSIM, 'ssim')):
            weight = chosen[which] if chosen else None
            found[method.name + ending] = None if weight is None else find(f' {weight:g}', weight)
        if method.by_counts and (series.peak, series.seed) in BY_COUNTS:
            found[method.name + COUNTS] = find(' by counts', None)
        return found

    def scored(self, name: str, series: Iterable[Series] | None = None) -> dict[Series, Result]:
        """The runs of a row that ended with a volume, of these series."""
        wanted = None if series is None else set(series)
        return {
            s: r for s, r in self.rows.get(name, {}).items() if 'error' not in r and (wanted is None or s in wanted)
        }

    def failed(self) -> list[tuple[str, Series, str]]:
        """Runs that gave up with a sentence."""
        return [(n, s, r['error']) for n, row in self.rows.items() for s, r in row.items() if 'error' in r]

    def at_edge(self) -> list[tuple[str, Series]]:
        """Oracle weights at an end of the grid."""
        ends = (WEIGHTS[0], WEIGHTS[-1])
        return [
            (name, series)
            for name, row in self.rows.items()
            if ', oracle weight' in name
            for series, result in row.items()
            if result['step']['weight'] in ends
        ]


def planned(method: Method) -> list[Series]:
    """Every series that a method is to be run on."""
    cases = CASES if method.cases is None else method.cases
    return [Series(case, peak, seed) for case in cases for peak, seed in method.noises]


def mean(results: Iterable[Result], column: str) -> float | None:
    """Mean of a score over the results that have it."""
    values = [r[column] for r in results if r.get(column) is not None]
    return float(np.mean(values)) if values else None


def markdown(table: Table, names: Iterable[str], peak: int, cases: Iterable[str]) -> list[str]:
    """Means by row with the number of runs in each, and a sentence on what is not run."""
    cases = set(cases)
    lines = [
        '| method | runs | ' + ' | '.join(heading for _, heading, _ in COLUMNS) + ' |',
        '|---' * (len(COLUMNS) + 2) + '|',
    ]
    missing = []
    for name in names:
        wanted = [s for s in table.planned.get((name, peak), []) if s.case in cases]
        found = table.scored(name, wanted).values()
        if wanted and not found:
            missing.append(f'{name} (0 of {len(wanted)})')
        if not found:
            continue
        values = [(mean(found, column), digits) for column, _, digits in COLUMNS]
        cells = ['' if value is None else f'{value:.{digits}f}' for value, digits in values]
        lines.append(f'| {name} | {len(found)} of {len(wanted)} | ' + ' | '.join(cells) + ' |')
    if len(lines) == 2:
        return ['Not run.']
    return [*lines, *(['', f'Not run: {"; ".join(missing)}.'] if missing else [])]
