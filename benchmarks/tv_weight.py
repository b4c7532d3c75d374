"""The weight of the total variation: what each way of choosing it costs, in decibels and in iterations.

Seven specimens of six kinds, tilts of ±40° in steps of 5, one noise each; not every specimen at every dose. The oracle
is the weight of a grid (a factor of sqrt 2 apart) whose volume is nearest to the truth by PSNR (peak signal-to-noise ratio).
Loss is what a volume lacks to that of the oracle; SSIM is the structural similarity. Compared are: 0.6 for all, the former
default; a law a m^b of the mean counts m, fitted to the oracle weights of the other specimens; the weight of the grid that the
held-out tenth of the counts speaks for, its volume fitted to the other nine tenths, as `choose_weight` of earlier versions did,
or to all counts; and the default, a search of a few weights a factor of two apart, to a loose tolerance, and the minimum of a
parabola, with which all counts are fitted. Iterations are in units of those with 0.6 from an empty volume, all of them
together.

With a HAADF series (realistic, see docs/haadf-fit.md) the held-out counts would ask for a smaller weight than without: the
last table shows what it would cost. Resumable; `--sizes`, `--peaks`, `--cases` choose. Writes `results/tv-weight.json` and
`docs/tv-weight.md`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from _cases import Sample, sample
from _fingerprint import fingerprint
from _processor import processor
from _scores import mean_psnr, mean_ssim
from haadf_fit import KINDS, SPECIMENS
from napari_diptomo.reconstruct import TotalVariation
from napari_diptomo.reconstruct.haadf_verdict import calibrated
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.minimise import minimise, solver_of
from napari_diptomo.series import Volume, Watch

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'tv-weight.json'
DOCS = HERE.parent / 'docs' / 'tv-weight.md'
NAMES = (
    'lamella 11',
    'lamella 13',
    'porous 20',
    'facetted 21',
    'interdiffusion 22',
    'needle 23',
    'core and shell 24',
)
SIZES, PEAKS = (24, 32), (2, 5, 30, 100)
#: From the largest on: its solution is found soonest.
GRID = tuple(float(f'{0.05 * 2 ** (k / 2):.3g}') for k in range(12, -1, -1))
FORMER = 0.6
STEP = TotalVariation()
HELD_OUT = 0.1
#: Specimens with HAADF, at the fewest counts at which it was measured, and weights in units of that of the maps alone.
WITH_IMAGES, COUNTS_WITH_IMAGES, SIZE_WITH_IMAGES = ('porous 20', 'needle 23', 'core and shell 24'), 5, 32
TIMES = (2.0, 1.0, 0.5, 0.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--sizes', nargs='*', type=int, default=list(SIZES))
    parser.add_argument('--peaks', nargs='*', type=int, default=list(PEAKS))
    parser.add_argument('--cases', nargs='*', default=list(NAMES))
    parser.add_argument('--images', action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    for size in options.sizes:
        for peak in options.peaks:
            for name in options.cases:
                _measure(name, peak, size)
    for name in WITH_IMAGES if options.images else ():
        _measure_with_images(name)
    write()


def _measure(name: str, peak: int, size: int) -> None:
    """All of one series that is not known."""
    data = sample(SPECIMENS[name], size, peak, 0)
    key = f'{name} | {peak} | {size}'
    version = fingerprint(STEP.to_dict())
    # The grid is of the objective alone: what chooses a weight does not change it.
    if 'grid' not in _results().get(key, {}):
        all_counts, fitted = (TotalVariation(weight=FORMER, holdout=h).prepare(data.maps) for h in (0.0, HELD_OUT))
        counts = float(data.maps.data.mean())
        _put(key, {'grid': _grid(all_counts, data), 'held': _grid(fitted, data), 'counts': counts})
    if _results()[key].get('version') != version:
        fixed, chosen = (step.run(data.maps, progress=False) for step in (TotalVariation(weight=FORMER), STEP))
        _put(key, {'fixed': _scored(fixed, data), 'chosen': _scored(chosen, data), 'version': version})
        print(key, json.dumps(_results()[key]['chosen']), flush=True)


def _grid(problem: Problem, data: Sample) -> list[dict[str, float]]:
    """Each weight of the grid, from the volume of the one before."""
    settings, found = STEP.tv_settings(), []
    solver = solver_of(problem, settings, GRID[0])
    for weight in GRID:
        if weight != solver.weight:
            solver.set_weight(weight)
        solution = minimise(problem, solver, settings, Watch(None, '', settings.iterations))
        volume = problem.frame(solution.x)
        point = {'weight': weight, 'psnr': mean_psnr(volume, data.truth), 'ssim': mean_ssim(volume, data.truth)}
        notes = solution.notes
        found.append({**point, 'iterations': notes['iterations'], 'held_out': notes['held_out_deviance']})
    return found


def _scored(volume: Volume, data: Sample) -> dict[str, Any]:
    notes = volume.notes
    return {
        'weight': notes['weight'],
        'compared': len(notes.get('weight_curve', [])),
        'psnr': mean_psnr(volume.data, data.truth),
        'ssim': mean_ssim(volume.data, data.truth),
        'iterations': notes['iterations'],
    }


def _measure_with_images(name: str) -> None:
    key, version = f'{name} | {COUNTS_WITH_IMAGES} | with HAADF', fingerprint(STEP.to_dict())
    if _results().get(key, {}).get('version') == version:
        return
    data = sample(SPECIMENS[name], SIZE_WITH_IMAGES, COUNTS_WITH_IMAGES, 0)
    step = TotalVariation(holdout=HELD_OUT)
    alone = step.run(data.maps, progress=False)
    images = replace(KINDS['realistic'](name, 0), pixel_size=data.maps.pixel_size)
    problem, settings = step.prepare(replace(data.maps, haadf_series=images)), step.tv_settings()
    start = torch.as_tensor(alone.data)
    beside, points = calibrated(problem, start), []
    for times in TIMES:
        solver = solver_of(beside, settings, times * alone.notes['weight'], start)
        solution = minimise(beside, solver, settings, Watch(None, '', settings.iterations))
        psnr = mean_psnr(problem.frame(solution.x), data.truth)
        points.append({'times': times, 'psnr': psnr, 'held_out': solution.notes['held_out_deviance']})
    _put(key, {'points': points, 'alone': mean_psnr(alone.data, data.truth), 'version': version})
    print(key, points, flush=True)


def _results() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text(encoding='utf-8'))) if RESULTS.exists() else {}


def _put(key: str, values: dict[str, Any]) -> None:
    known = _results()
    known[key] = {**known.get(key, {}), **values, 'processor': processor()}
    RESULTS.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')


def write() -> None:
    """The page, from the results alone."""
    known = _results()
    rows = {tuple(key.split(' | ')): cell for key, cell in known.items() if 'chosen' in cell}
    order = sorted(rows, key=lambda k: (int(k[2]), int(k[1]), NAMES.index(k[0])))
    losses = {key: _losses(key, rows) for key in order}
    parts = ['# The weight of the total variation', 'Written by `make bench ONLY=tv_weight`; do not edit by hand.']
    parts += [(__doc__ or '').partition(' Resumable')[0].strip()]
    parts += [f'Measured on {", ".join(sorted({c["processor"] for c in known.values()}))}.']
    parts += ['## Loss to the oracle', _summary(losses), '## Each series', _each(order, rows, losses)]
    parts += ['## With a HAADF series', _with_images(known)]
    DOCS.write_text('\n\n'.join(parts) + '\n', encoding='utf-8')


#: Ways, by what the table calls them.
WAYS = ('0.6 for all', 'law of the counts', 'grid, nine tenths', 'grid, all counts', 'search (default)')


def _losses(key: tuple[str, ...], rows: dict[tuple[str, ...], dict[str, Any]]) -> dict[str, tuple[float, float, float]]:
    """PSNR and SSIM that each way lacks to the oracle, and its iterations over those of the fixed weight."""
    cell = rows[key]
    grid, fixed, chosen = cell['grid'], cell['fixed'], cell['chosen']
    best = max(grid, key=lambda point: point['psnr'])
    asked = int(np.argmin([point['held_out'] for point in cell['held']]))
    searched = sum(point['iterations'] for point in cell['held'])
    law = _at(grid, _law([rows[k] for k in rows if k[0] != key[0]], cell['counts']))
    found = {
        '0.6 for all': (fixed, fixed['iterations']),
        'law of the counts': (law, fixed['iterations']),
        'grid, nine tenths': (cell['held'][asked], searched),
        'grid, all counts': (grid[asked], searched + grid[asked]['iterations']),
        'search (default)': (chosen, chosen['iterations']),
    }
    return {
        way: (best['psnr'] - point['psnr'], best['ssim'] - point['ssim'], iterations / fixed['iterations'])
        for way, (point, iterations) in found.items()
    }


def _law(cells: list[dict[str, Any]], counts: float) -> float:
    """a m^b fitted to the oracle weights of some series, at m = counts."""
    oracle = np.log([max(cell['grid'], key=lambda point: point['psnr'])['weight'] for cell in cells])
    slope, start = np.polyfit(np.log([cell['counts'] for cell in cells]), oracle, 1)
    return float(np.exp(start + slope * np.log(counts)))


def _at(grid: list[dict[str, float]], weight: float) -> dict[str, float]:
    """The scores at a weight between those of the grid."""
    weights = np.log([point['weight'] for point in grid])[::-1]
    return {name: float(np.interp(np.log(weight), weights, [p[name] for p in grid][::-1])) for name in ('psnr', 'ssim')}


def _summary(losses: dict[tuple[str, ...], dict[str, tuple[float, float, float]]]) -> str:
    peaks = sorted({int(key[1]) for key in losses})
    lines = [
        f'| way | mean | worst | SSIM, mean | worst | {" | ".join(f"mean at {p} counts" for p in peaks)} | iterations |',
        '|---' * (6 + len(peaks)) + '|',
    ]
    for way in WAYS:
        numbers = np.array([loss[way] for loss in losses.values()])
        at = [np.mean([loss[way][0] for key, loss in losses.items() if int(key[1]) == peak]) for peak in peaks]
        cells = [f'{numbers[:, 0].mean():.2f} dB', f'{numbers[:, 0].max():.2f} dB']
        cells += [f'{numbers[:, 1].mean():.3f}', f'{numbers[:, 1].max():.3f}', *(f'{a:.2f} dB' for a in at)]
        # The law has no run of its own: it costs one minimisation.
        cells.append('1.0' if way == WAYS[1] else f'{numbers[:, 2].mean():.1f}')
        lines.append(f'| {way} | {" | ".join(cells)} |')
    return '\n'.join([f'{len(losses)} series.', '', *lines])


def _each(
    order: list[tuple[str, ...]],
    rows: dict[tuple[str, ...], dict[str, Any]],
    losses: dict[tuple[str, ...], dict[str, tuple[float, float, float]]],
) -> str:
    lines = [
        '| specimen | peak | voxels | oracle weight | oracle | chosen weight | weights compared | search (default) | 0.6 for all | iterations |',
        '|---' * 10 + '|',
    ]
    for key in order:
        cell = rows[key]
        best, chosen = max(cell['grid'], key=lambda point: point['psnr']), cell['chosen']
        loss, fixed = losses[key]['search (default)'], losses[key]['0.6 for all']
        lines.append(
            f'| {key[0]} | {key[1]} | {key[2]}^3 | {best["weight"]:g} | {best["psnr"]:.2f} dB / {best["ssim"]:.3f} | {chosen["weight"]:g} '
            f'| {chosen["compared"]} | {-loss[0]:+.2f} dB / {-loss[1]:+.3f} | {-fixed[0]:+.2f} dB / {-fixed[1]:+.3f} | {loss[2]:.1f} |'
        )
    return '\n'.join(lines)


def _with_images(known: dict[str, Any]) -> str:
    fitted = f'{COUNTS_WITH_IMAGES} counts, {SIZE_WITH_IMAGES}^3 voxels, nine tenths of the counts fitted'
    lines = [
        f'{fitted}; weights in units of that which the maps alone ask for.',
        '',
        '| specimen | maps alone | times the weight | with HAADF | held-out deviance |',
        '|---|---|---|---|---|',
    ]
    for key, cell in known.items():
        for point in cell.get('points', ()):
            name = key.split(' | ')[0]
            lines.append(
                f'| {name} | {cell["alone"]:.2f} dB | {point["times"]:g} | {point["psnr"]:.2f} dB | {point["held_out"]:.5f} |'
            )
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
