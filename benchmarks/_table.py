"""The rows of the quality table: which result belongs to which method on which noisy series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from _cases import CASES
from _methods import BY_COUNTS, JOINT_TV, METHODS, NUCLEAR_TV, WEIGHTS, Method
from _store import Store

SIZE = 48
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
#: A row joins a group when the group keeps this part of its series.
KEPT = 0.75
ORACLE_PSNR, ORACLE_SSIM, COUNTS = ', oracle weight by PSNR', ', oracle weight by SSIM', ', weight by held-out counts'

#: Rows that stand in every table, as far as they were run.
REFERENCES = (
    'SIRT, oracle iteration',
    f'{JOINT_TV[0]}{ORACLE_PSNR}',
    f'{NUCLEAR_TV}{ORACLE_PSNR}',
    'DIPm-TV balanced',
)

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


@dataclass(frozen=True)
class Group:
    """Rows that are compared with one another.

    Attributes
    ----------
    names : tuple of str
        The rows.
    series : tuple of Series
        Those that every one of the rows has; all means are over them.
    """

    names: tuple[str, ...]
    series: tuple[Series, ...]


def groups(table: Table, names: Iterable[str], peak: int, cases: Iterable[str]) -> list[Group]:
    """Rows in groups with shared series, so that no row looks better for having run on easier specimens.

    The rows that ran on most series come first; a row joins them while that costs
    the group no more than a quarter of its series. The others follow in further
    groups, each with the reference rows.
    """
    names, cases = list(names), set(cases)
    made = {
        name: {s for s in table.scored(name, table.planned.get((name, peak), [])) if s.case in cases} for name in names
    }
    waiting = [name for name in names if made[name]]
    references = [name for name in REFERENCES if name in waiting]
    found: list[Group] = []
    while waiting:
        first = max(waiting, key=lambda name: len(made[name]))
        shared, rows = made[first], {first}
        if found:
            # One to compare with at least, whatever it costs.
            closest = max(references, key=lambda name: len(shared & made[name]), default=first)
            if shared & made[closest]:
                shared, rows = shared & made[closest], {first, closest}
        least = KEPT * len(shared)
        for name in (*references * bool(found), *sorted(waiting, key=lambda name: -len(made[name]))):
            if len(shared & made[name]) >= least:
                shared, rows = shared & made[name], rows | {name}
        waiting = [name for name in waiting if name not in rows]
        found.append(Group(tuple(name for name in names if name in rows), tuple(sorted(shared))))
    return found


def markdown(table: Table, names: Iterable[str], peak: int, cases: Iterable[str]) -> list[str]:
    """Tables of means over shared series, and a sentence on the runs that are not made."""
    names, cases = list(names), list(cases)
    lines: list[str] = []
    for group in groups(table, names, peak, cases):
        columns = [
            c for c in COLUMNS if any(table.rows[n][s].get(c[0]) is not None for n in group.names for s in group.series)
        ]
        lines += ['', over(group.series), '']
        lines += [
            '| method | ' + ' | '.join(heading for _, heading, _ in columns) + ' |',
            '|---' * (len(columns) + 1) + '|',
        ]
        for name in group.names:
            results = table.scored(name, group.series).values()
            values = [(mean(results, column), digits) for column, _, digits in columns]
            cells = ['' if value is None else f'{value:.{digits}f}' for value, digits in values]
            lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    if not lines:
        return ['Not run.']
    missing: dict[str, list[str]] = {}
    for name in names:
        wanted = [s for s in table.planned.get((name, peak), []) if s.case in cases]
        left = len(wanted) - len(table.scored(name, wanted))
        if left:
            missing.setdefault(f'{left} of {len(wanted)}', []).append(name)
    lines += ['', 'Not run yet, or without a volume:', ''] if missing else []
    return [*lines[1:], *(f'- {count} series: {"; ".join(rows)}' for count, rows in missing.items())]


def over(series: Iterable[Series]) -> str:
    """Heading of a table: over what its means are."""
    series = list(series)
    cases = list(dict.fromkeys(s.case for s in series))
    noises = sorted({s.seed for s in series})
    what = '1 series' if len(series) == 1 else f'{len(series)} series'
    return f'**Over {what}**: {", ".join(_together(cases))}; noise {", ".join(map(str, noises))}.'


def _together(cases: list[str]) -> list[str]:
    """Names of cases in the order of the benchmark, members of one kind behind one word: ``'lamella 10, 11'``."""
    members: dict[str, list[str]] = {}
    for case in (c for c in CASES if c in cases):
        kind, _, number = case.rpartition(' ')
        if number.isdigit():
            members.setdefault(kind, []).append(number)
        else:
            members[case] = []
    return [f'{kind} {", ".join(numbers)}'.strip() for kind, numbers in members.items()]
