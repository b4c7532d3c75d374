"""Coverage of the error bars of a volume, by class of voxels.

Specimens of `quality` (lamellae, a porous body with thin rods, a needle with
precipitates of one voxel and of two), one noise each; PSNR is the peak
signal-to-noise ratio. Voxels are judged by
class, each channel with classes of its own: bulk (inside the specimen, more
than two voxels from any jump of the channel), faces normal to the beam and along
it (within a voxel of a jump), small features (one or two voxels across), and
empty space. An interval of 90 % should contain the truth of 90 % of the
voxels in each of them.
"Error / std" is the root mean square error over the stated standard deviation:
the factor by which the intervals would have to be wider.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from _cases import CASES, phantom_of, sample
from _processor import processor
from _store import Store, version
from napari_diptomo.assess import judge_spread, psnr, voxel_classes
from napari_diptomo.assess.voxel_classes import EMPTY, SMALL
from napari_diptomo.reconstruct import DIPmTV

HERE = Path(__file__).parent
LEVELS = (0.5, 0.8, 0.9, 0.95)
DEFAULT_CASES = ('lamella 10', 'lamella 11', 'porous 20', 'needle 23')
EVERYWHERE = 'everywhere'
#: What 90 % intervals may hold.
AIM = (0.80, 0.97)
#: Classes of fewer voxels are left out: their coverage would be a guess.
FEWEST = 20


def by_class(
    volume: np.ndarray, std: np.ndarray, truth: np.ndarray, precipitates: np.ndarray | None = None
) -> dict[str, dict[str, Any]]:
    """Calibration of a standard deviation by class of voxels.

    Parameters
    ----------
    volume, std, truth : ndarray (channel, z, y, x)
        In one unit.
    precipitates : ndarray (precipitate, 2, 3), optional
        As `Phantom.precipitates`: those of the last channel, judged by their edges as well.

    Returns
    -------
    dict of str to dict
        JSON-ready: ``coverage`` by level, ``error_over_std``, ``rank_correlation``, ``voxels``.
    """
    classes = {EVERYWHERE: np.ones(truth.shape, bool), **voxel_classes(truth)}
    for edge in (1, 2) if precipitates is not None else ():
        classes[f'{SMALL}, {edge} voxel{"s" * (edge > 1)} across'] = _of_edge(precipitates, edge, truth.shape)
    found = {}
    for name, where in classes.items():
        if where.sum() >= FEWEST:
            judged = judge_spread(volume, std, truth, where, LEVELS)
            found[name] = {
                'coverage': {f'{level:g}': round(share, 4) for level, share in judged.coverage.items()},
                'error_over_std': round(judged.error_over_std, 3),
                'rank_correlation': None if np.isnan(judged.rank_correlation) else round(judged.rank_correlation, 3),
                'voxels': judged.voxels,
            }
    return found


def _of_edge(precipitates: np.ndarray, edge: int, shape: tuple[int, ...]) -> np.ndarray:
    """Voxels of the precipitates with this edge, in the last channel, (channel, z, y, x)."""
    where = np.zeros(shape, bool)
    for low, high in precipitates:
        if high[0] - low[0] == edge:
            where[(-1, *(slice(int(np.floor(a)), int(np.ceil(b))) for a, b in zip(low, high, strict=True)))] = True
    return where


def measure(step: DIPmTV, name: str, size: int, peak: int) -> dict[str, Any]:
    """Calibration of the error bars on one specimen."""
    made_with = version(step.to_dict())
    data = sample(CASES[name], size, peak, 0)
    start = time.perf_counter()
    volume = step.run(data.maps)
    return {
        'seconds': round(time.perf_counter() - start, 1),
        'psnr': round(float(psnr(volume.data, data.truth).mean()), 3),
        'classes': by_class(volume.data, volume.std, data.truth, phantom_of(CASES[name], size).precipitates),
        'processor': processor(),
        'version': made_with,
    }


def page(results: dict[str, dict[str, Any]], size: int, members: int, peak: int) -> list[str]:
    """The page of the docs."""
    heads = ['specimen', 'voxels', 'number', *(f'within the {level:.0%} interval' for level in LEVELS)]
    heads += ['error / std', 'rank correlation']
    text = [
        '# Uncertainty',
        '',
        'Written by `make bench ONLY=ensemble`; do not edit by hand.',
        '',
        f'## Ensembles of {members}, volumes of {size}^3, +-40:5, peak {peak} counts',
        '',
        (__doc__ or '').strip().split('\n\n', 1)[1],
        '',
        '| ' + ' | '.join(heads) + ' |',
        '|---' * len(heads) + '|',
    ]
    for case, found in results.items():
        for name, row in found['classes'].items():
            shares = ' | '.join(f'{share:.1%}' for share in row['coverage'].values())
            rank = '' if row['rank_correlation'] is None else f'{row["rank_correlation"]:.2f}'
            text.append(f'| {case} | {name} | {row["voxels"]} | {shares} | {row["error_over_std"]:.2f} | {rank} |')
    text += ['', *verdict(results), '', '| specimen | PSNR of the volume | seconds |', '|---|---|---|']
    text += [f'| {case} | {found["psnr"]:.2f} dB | {found["seconds"]:.0f} |' for case, found in results.items()]
    measured_on = sorted({found['processor'] for found in results.values()})
    return [*text, '', f'Measured on {"; ".join(measured_on)}.']


def verdict(results: dict[str, dict[str, Any]]) -> list[str]:
    """Whether the aim is reached, class by class, with the figures."""
    lines = [f'Aim: 90 % intervals contain the truth of {AIM[0]:.0%} to {AIM[1]:.0%} of the voxels of each class.', '']
    names = dict.fromkeys(name for found in results.values() for name in found['classes'])
    for name in (name for name in names if name not in (EVERYWHERE, EMPTY)):
        rows = {case: found['classes'][name] for case, found in results.items() if name in found['classes']}
        shares = {case: row['coverage']['0.9'] for case, row in rows.items()}
        reached = 'reached' if all(AIM[0] <= share <= AIM[1] for share in shares.values()) else 'NOT reached'
        detail = ', '.join(f'{case} {share:.1%} ({rows[case]["error_over_std"]:.2f})' for case, share in shares.items())
        lines.append(f'- {name}: {reached}; fraction within, and error / std in brackets: {detail}.')
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', nargs='+', default=list(DEFAULT_CASES), choices=list(CASES))
    parser.add_argument('--size', type=int, default=48)
    parser.add_argument('--members', type=int, default=6)
    parser.add_argument('--peak', type=int, default=30)
    parser.add_argument('--preset', default='balanced')
    parser.add_argument('--iterations', type=int)
    parser.add_argument('--results', type=Path, default=HERE / 'results' / 'ensemble.json')
    parser.add_argument('--docs', type=Path, default=HERE.parent / 'docs' / 'uncertainty.md')
    options = parser.parse_args()
    store, results = Store(options.results), {}
    given = {} if options.iterations is None else {'iterations': options.iterations}
    step = DIPmTV(preset=options.preset, ensemble=options.members, seed=0, **given)
    for name in options.cases:
        key = f'{name} | {options.size} | {options.peak} | {options.members}'
        found = store.find(key, step)
        results[name] = found or store.put(key, step, measure(step, name, options.size, options.peak))
    text = page(results, options.size, options.members, options.peak)
    options.docs.write_text('\n'.join(text) + '\n', encoding='utf-8')
    print('\n'.join(text))


if __name__ == '__main__':
    main()
