"""How good the volumes are: every method on specimens of known truth, side by side.

Runs in pieces: every reconstruction is a process of its own, its scores go to
`results/quality.json` at once, and what is there is not run again. The most
informative runs come first: peak 30 and the first noise for all cases and methods,
then the published settings, then the other noises and peaks. `--report` writes
docs/benchmarks.md from the JSON alone; so does the end of every run. Results of
older code are measured again (`_fingerprint`).

    python benchmarks/quality.py --size 48 --minutes 60
    python benchmarks/quality.py --cases "lamella 10" --methods "DIPm-TV balanced" --peaks 30 --seeds 0
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from _cases import CASES, Sample, sample
from _cell import measure
from _methods import BY_COUNTS, METHODS, PEAKS, SEEDS, WEIGHTS, Method
from _report import DOCS, write
from _search import climb
from _store import Store
from _table import SIZE, Series, key, planned
from napari_diptomo.reconstruct import Reconstruction
from napari_diptomo.series import InputError

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'quality.json'


class OutOfTime(Exception):
    """No further run is started."""


class Broken(Exception):
    """A run ended with a defect; nothing was kept of it."""


@dataclass(frozen=True)
class Run:
    """One method on one noisy series."""

    series: Series
    method: Method

    def key(self, size: int, detail: str = '') -> str:
        return key(self.series, size, self.method.name + detail)


def runs(cases: list[str], peaks: list[int], seeds: list[int], methods: list[str]) -> Iterator[Run]:
    """All runs that are asked for, the most informative first."""
    combinations = sorted(
        ((peak, seed) for peak in peaks for seed in seeds),
        key=lambda pair: (pair != (30, 0), pair[0] != 30, pair[1], pair[0]),
    )
    for peak, seed in combinations:
        for late in (False, True):
            for case in cases:
                series = Series(case, peak, seed)
                for method in (METHODS[name] for name in methods):
                    if method.is_late == late and series in planned(method):
                        yield Run(series, method)


class Bench:
    """Measures what the store lacks until the time is up."""

    def __init__(self, store: Store, size: int, minutes: float) -> None:
        self.store, self.size = store, size
        self._end = time.monotonic() + 60 * minutes

    def run(self, run: Run) -> None:
        """One method, its search included."""
        if run.method.search:
            self._search(run)
        else:
            self.cell(run, self.step(run))

    def step(self, run: Run, *more: float | None) -> Reconstruction:
        return run.method.step(CASES[run.series.case], self.size, run.series.seed, *more)

    def cell(self, run: Run, step: Reconstruction, detail: str = '') -> dict[str, Any]:
        """The result of one reconstruction, measured when it is not there."""
        key = run.key(self.size, detail)
        found = self.store.find(key, step)
        if found is not None:
            return found
        if time.monotonic() > self._end:
            raise OutOfTime
        method = run.method
        result = measure(
            data(run.series, self.size),
            step.to_dict(),
            case=run.series.case,
            every=method.every,
            patience=method.patience,
            take_best=method.take_best,
        )
        if 'crash' in result:
            raise Broken(result['crash'])
        print(f'{key:72s} {in_short(result)}', flush=True)
        return self.store.put(key, step, result)

    def _search(self, run: Run) -> None:
        """The best weights by PSNR and by SSIM (see `_search.climb`), and that by the held-out counts."""

        def at(index: int) -> dict[str, Any]:
            return self.cell(run, self.step(run, WEIGHTS[index]), f' {WEIGHTS[index]:g}')

        def best(which: str, start: int, steps: tuple[int, ...]) -> int:
            return climb(lambda index: at(index).get(which, -math.inf), start, len(WEIGHTS), steps)

        near = self.store.cells.get(Run(replace(run.series, seed=0), run.method).key(self.size, ' chosen'))
        start, steps = (WEIGHTS.index(near['psnr']), (1,)) if near else (len(WEIGHTS) // 2, (2, 1))
        by_psnr = best('psnr', start, steps)
        by_ssim = best('ssim', by_psnr, (1,))
        if run.method.by_counts and (run.series.peak, run.series.seed) in BY_COUNTS:
            self.cell(run, self.step(run, None), ' by counts')
        key, step = run.key(self.size, ' chosen'), self.step(run, WEIGHTS[by_psnr])
        if self.store.find(key, step) is None:
            self.store.put(key, step, {'psnr': WEIGHTS[by_psnr], 'ssim': WEIGHTS[by_ssim]})


@lru_cache(maxsize=1)
def data(series: Series, size: int) -> Sample:
    """The data of the runs at hand."""
    return sample(CASES[series.case], size, series.peak, series.seed)


def in_short(result: dict[str, Any]) -> str:
    """A result in one line."""
    if 'error' in result:
        return f'failed: {result["error"]}'
    text = (
        f'{result["psnr"]:6.2f} dB  {result["ssim"]:.3f}  FSC {result["fsc_measured"]:.2f}/{result["fsc_missing"]:.2f}'
    )
    text += f'  {result["seconds_in_all"]:6.1f} s  {result["peak_mib"]:5d} MiB'
    if 'best' in result:
        text += f'  best {result["best"]["psnr"]:.2f} at {result["best"]["iteration"]}'
    return text


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', nargs='+', default=list(CASES), choices=list(CASES))
    parser.add_argument('--peaks', nargs='+', type=int, default=list(PEAKS))
    parser.add_argument('--seeds', nargs='+', type=int, default=list(SEEDS), help='numbers of the noise')
    parser.add_argument('--methods', nargs='+', default=list(METHODS), choices=list(METHODS), metavar='NAME')
    parser.add_argument('--minutes', type=float, default=math.inf, help='start no run after so many minutes')
    parser.add_argument('--size', type=int, default=SIZE, help='edge of the volumes; the page reports each size')
    parser.add_argument('--results', type=Path, default=RESULTS)
    parser.add_argument('--docs', type=Path, default=DOCS, help='where the page goes')
    parser.add_argument('--report', action='store_true', help='write the page and run nothing')
    parser.add_argument('--list', action='store_true', help='print the names of the methods')
    return parser.parse_args()


def main() -> int:
    asked = options()
    if asked.list:
        print('\n'.join(METHODS))
        return 0
    store = Store(asked.results)
    broken = 0
    try:
        bench = Bench(store, asked.size, asked.minutes)
        for run in () if asked.report else runs(asked.cases, asked.peaks, asked.seeds, asked.methods):
            try:
                bench.run(run)
            except (Broken, InputError) as error:
                broken += 1
                print(f'{run.key(asked.size):72s} BROKEN: {error}', flush=True)
    except OutOfTime:
        print('The time is up; the next call continues from here.')
    text = write(store, asked.docs)
    print(text if asked.report else f'Written: {asked.docs}')
    return int(broken > 0)


if __name__ == '__main__':
    raise SystemExit(main())
