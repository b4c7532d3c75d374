"""Each idea behind DIPm-TV left out in turn: five comparisons at 48^3.

Lamellae 10 and 11 at +-40:5, peak 30 unless a row says 10, one noise each; the
first row is the preset `balanced`, the second the same with another seed:
differences as large as theirs are scatter. Joint total variation has the weight
with the highest PSNR by the truth. "Separate networks" fit one channel each, with a
third of the iterations (as long in all as the joint network) or with all of them.

For the last comparison four windows count the photons of three elements whose
lines overlap strongly. One step: the windows' counts go into the
reconstruction with the mixing matrix. Two steps: the windows are unmixed pixel
by pixel by weighted least squares, then the maps are reconstructed with their
variance; the same counts are held out. PSNR is the peak signal-to-noise ratio,
SSIM the structural similarity, FSC the Fourier shell correlation with the truth.
Resumable; writes
`results/ablations.json` and `docs/ablations.md`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from _cases import CASES, Sample, phantom_of, sample
from _cell import measure
from _methods import TV_ITERATIONS, TV_TOLERANCE, WEIGHTS
from _scores import scores
from _search import climb
from _store import Store
from napari_diptomo.reconstruct import DIPmTV, Reconstruction, TotalVariation
from napari_diptomo.series import MapSeries
from napari_diptomo.series.neighbour_mean import neighbours
from napari_diptomo.simulate import tilt_series

HERE = Path(__file__).parent
LAMELLAE = ('lamella 10', 'lamella 11')
SIZE = 48
HOLDOUT = 0.1
#: What we conclude, by comparison; written by hand from the figures.
CONCLUSIONS: dict[str, str] = {
    'One network or three': 'One network for all elements is 2.4 to 2.9 dB and 0.12 to 0.13 in SSIM above three of the same '
    'cost, and 1.1 to 1.9 dB and 0.04 to 0.05 above three that take three times as long; another seed changes 0.2 to 0.3 dB. '
    'Edges common to all elements are worth using.',
    'Total variation': 'The network does the work. Without total variation it scores 0.2 to 0.4 dB better than with the '
    'preset, about as much as another seed; ten times the weight brings it near joint total variation alone.',
    'Data term': 'No difference at 30 counts: Poisson is 0.4 dB above weighted least squares on one lamella and 0.1 dB '
    'below it on the other, less than another seed.',
    'At 10 counts': 'Total variation changes nothing in PSNR and costs 0.01 in SSIM: its small weight is no '
    'safeguard against noise at these counts either, the held-out counts are. Poisson is 0.1 to 0.5 dB above least squares.',
    'One step or two': 'Window counts with their mixing in one step are 0.4 to 1.0 dB, 0.02 to 0.04 in SSIM and 0.04 to '
    '0.06 in the FSC of the wedge above unmixing first; overlap costs 1.2 to 1.5 dB against separate lines.',
}

#: Windows by elements Ge, Sb, Te: most photons of Sb and Te fall into windows that both share.
MIXING = np.array([[0.85, 0.02, 0.02], [0.03, 0.45, 0.22], [0.02, 0.28, 0.36], [0.02, 0.15, 0.30]], np.float32)

COMPARISONS: dict[str, tuple[str, ...]] = {
    'One network or three': (
        'balanced',
        'balanced, another seed',
        'separate networks, a third of the iterations each',
        'separate networks, all iterations each',
    ),
    'Total variation': ('TV weight 0', 'balanced', 'TV weight 0.5', 'joint TV alone, oracle weight'),
    'Data term': ('balanced', 'least squares'),
    'At 10 counts': ('balanced, peak 10', 'TV weight 0, peak 10', 'least squares, peak 10'),
    'One step or two': ('one step', 'two steps'),
}


class Ablations:
    """Runs what the store lacks.

    Parameters
    ----------
    store : Store
        The results.
    size : int
        Edge of the volumes.
    iterations : int or None
        Of the networks; None for the preset's.
    """

    def __init__(self, store: Store, size: int, iterations: int | None) -> None:
        self.store, self.size = store, size
        self.iterations = iterations or DIPmTV().longest

    def rows(self, case: str) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Name of each row and what measures it."""
        data = sample(CASES[case], self.size, 30, 0)
        third = -(-self.iterations // 3)
        for name, step in {
            'balanced': self.network(),
            'balanced, another seed': self.network(seed=1),
            'TV weight 0': self.network(tv_weight=0.0),
            'TV weight 0.5': self.network(tv_weight=0.5),
            'least squares': self.network(data_term='gaussian'),
        }.items():
            yield name, lambda n=name, s=step: self.one(case, n, s, data)
        few = sample(CASES[case], self.size, 10, 0)
        for name, step in {
            'balanced, peak 10': self.network(),
            'TV weight 0, peak 10': self.network(tv_weight=0.0),
            'least squares, peak 10': self.network(data_term='gaussian'),
        }.items():
            yield name, lambda n=name, s=step: self.one(case, n, s, few)
        yield 'joint TV alone, oracle weight', lambda: self.oracle(case, data)
        for name, count in (('a third of the iterations', third), ('all iterations', self.iterations)):
            full = f'separate networks, {name} each'
            yield full, lambda n=full, k=count: self.separate(case, n, self.network(iterations=k), data)
        yield 'one step', lambda: self.one(case, 'one step', self.network(), mixed(case, self.size, False))
        yield 'two steps', lambda: self.one(case, 'two steps', self.network(), mixed(case, self.size, True))

    def network(self, **changes: Any) -> DIPmTV:
        return DIPmTV(**{'iterations': self.iterations, 'holdout': HOLDOUT, **changes})

    def key(self, case: str, name: str) -> str:
        return f'{case} | {self.size} | {name}'

    def one(self, case: str, name: str, step: Reconstruction, data: Sample) -> dict[str, Any]:
        """A run of a step."""
        found = self.store.find(self.key(case, name), step)
        return found or self.keep(case, name, step, measure(data, step.to_dict()))

    def keep(self, case: str, name: str, step: Reconstruction, result: dict[str, Any]) -> dict[str, Any]:
        print(f'{self.key(case, name):72s} {cells(result)}', flush=True)
        return result if 'crash' in result else self.store.put(self.key(case, name), step, result)

    def oracle(self, case: str, data: Sample) -> dict[str, Any]:
        """Joint TV with the best weight of the grid."""

        def at(index: int) -> dict[str, Any]:
            weight = WEIGHTS[index]
            step = TotalVariation(weight=weight, iterations=TV_ITERATIONS, tolerance=TV_TOLERANCE)
            return self.one(case, f'joint TV {weight:g}', step, data)

        best = at(climb(lambda index: at(index).get('psnr', -np.inf), len(WEIGHTS) // 2, len(WEIGHTS)))
        step = TotalVariation(weight=best['step']['weight'], iterations=TV_ITERATIONS, tolerance=TV_TOLERANCE)
        name = 'joint TV alone, oracle weight'
        return self.store.find(self.key(case, name), step) or self.keep(case, name, step, best)

    def separate(self, case: str, name: str, step: DIPmTV, data: Sample) -> dict[str, Any]:
        """One network per channel, scored together."""
        found = self.store.find(self.key(case, name), step)
        if found is not None:
            return found
        volumes, results = [], []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'volume.npy')
            for index, channel in enumerate(data.maps.channels):
                alone = replace(data, maps=data.maps.select((channel,)), truth=data.truth[index : index + 1])
                results.append(measure(alone, step.to_dict(), volume_to=path))
                broken = {k: v for k, v in results[-1].items() if k in ('error', 'crash')}
                if broken:
                    return self.keep(case, name, step, broken)
                volumes.append(np.load(path))
        result = scores(np.concatenate(volumes), data) | {
            'seconds': round(sum(r['seconds'] for r in results), 2),
            'peak_mib': max(r['peak_mib'] for r in results),
        }
        return self.keep(case, name, step, result)


def mixed(case: str, size: int, unmixed: bool) -> Sample:
    """Counts of four overlapping windows with their mixing matrix, or the maps that were unmixed from them."""
    simulated = tilt_series(phantom_of(CASES[case], size), CASES[case].angles, 30, 0)
    rng = np.random.default_rng((CASES[case].noise, 7))
    counts = rng.poisson(np.einsum('wc,ctyu->wtyu', MIXING, simulated.clean)).astype(np.float32)
    maps = simulated.maps
    if unmixed:
        held = rng.binomial(counts.astype(np.int64), HOLDOUT).astype(np.float32)
        operator, variance = unmixing(counts)
        data, apart = (np.einsum('ctyuw,wtyu->ctyu', operator, c) for c in (counts, held))
        series = MapSeries(data, maps.angles, maps.channels, variance=variance, held_out=apart, held_out_share=HOLDOUT)
    else:
        series = MapSeries(counts, maps.angles, maps.channels, mixing=MIXING)
    phantom = phantom_of(CASES[case], size)
    return Sample(series, simulated.truth.data, phantom.phases, phantom.phase_names)


def unmixing(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares per pixel: the operator (channel, tilt, y, x, window) and the variance of the maps.

    The variance of the counts is estimated from their neighbours: weights by
    a pixel's own count would pull it down.
    """
    expected = np.maximum(neighbours(counts), 0.02 * counts.mean())
    weights = np.moveaxis(1 / expected, 0, -1)
    normal = np.einsum('wc,tyuw,wd->tyucd', MIXING, weights, MIXING)
    covariance = np.linalg.inv(normal)
    operator = np.einsum('tyucd,wd,tyuw->ctyuw', covariance, MIXING, weights)
    variance = np.moveaxis(np.diagonal(covariance, axis1=-2, axis2=-1), -1, 0)
    return operator.astype(np.float32), np.ascontiguousarray(variance, np.float32)


def cells(result: dict[str, Any]) -> str:
    """A result as the cells of a row."""
    if 'psnr' not in result:
        return f'{result.get("error", result.get("crash", "not run"))} | | | | | '
    columns = (('psnr', 2), ('ssim', 3), ('fsc_measured', 3), ('fsc_missing', 3), ('composition', 3), ('seconds', 0))
    return ' | '.join(f'{result[name]:.{digits}f}' for name, digits in columns)


def page(store: Store, size: int) -> str:
    """docs/ablations.md from the results alone."""
    parts = ['# Ablations', 'Written by `make bench ONLY=ablations`; do not edit by hand.', (__doc__ or '').strip()]
    header = ['method', 'PSNR (dB)', 'SSIM', 'FSC measured', 'FSC wedge', 'composition error', 'seconds']
    for title, names in COMPARISONS.items():
        lines = [f'## {title}', '', f'| specimen | {" | ".join(header)} |', '|---' * (len(header) + 1) + '|']
        for case in (c for c in LAMELLAE if store.current(f'{c} | {size} | {names[0]}')):
            lines += [f'| {case} | {n} | {cells(store.current(f"{case} | {size} | {n}"))} |' for n in names]
        parts.append('\n'.join(lines))
        if title in CONCLUSIONS:
            parts.append(CONCLUSIONS[title])
    return '\n\n'.join(parts) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=SIZE)
    parser.add_argument('--iterations', type=int, help="of the networks; default: the preset's")
    parser.add_argument('--cases', nargs='+', default=list(LAMELLAE), choices=LAMELLAE)
    parser.add_argument('--results', type=Path, default=HERE / 'results' / 'ablations.json')
    parser.add_argument('--docs', type=Path, default=HERE.parent / 'docs' / 'ablations.md')
    parser.add_argument('--report', action='store_true', help='write the page and run nothing')
    asked = parser.parse_args()
    store = Store(asked.results)
    bench = Ablations(store, asked.size, asked.iterations)
    for case in () if asked.report else asked.cases:
        for _, run in bench.rows(case):
            run()
    asked.docs.write_text(page(store, asked.size), encoding='utf-8')
    print(f'Written: {asked.docs}')


if __name__ == '__main__':
    main()
