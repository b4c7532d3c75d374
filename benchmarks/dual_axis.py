"""Two tilt axes with the dose of one: how well the second series is placed, and what it is worth.

Specimens are tilted by ±40° in steps of 5, turned by about 90°, tipped by a degree or two (standard deviation)
and moved by a pixel or two, and tilted again. The first table has the errors of what is found of this motion, with the
pulls (error over the stated one, root mean square); the second compares one axis with two axes of half the dose each, with
the true motion and with the one found, and with two of the whole dose each. PSNR and SSIM are means over the channels.
Resumable. Writes `results/dual_axis.json` and `docs/dual-axis.md`; `--placed` and `--volumes` do one of the two.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from _processor import processor
from _scores import mean_psnr, mean_ssim
from napari_diptomo import DIPmTV, TotalVariation
from napari_diptomo.align.second_axis import joined
from napari_diptomo.align.second_motion import second_motion
from napari_diptomo.reconstruct import Reconstruction
from napari_diptomo.series import MapSeries
from napari_diptomo.series.reinsertion import Reinsertion
from napari_diptomo.simulate import Phantom, facetted, lamella, needle, porous, second_tilt_series, tilt_series

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'dual_axis.json'
DOCS = HERE.parent / 'docs' / 'dual-axis.md'
SIZE, ANGLES = 32, np.arange(-40, 41, 5.0)
SPECIMENS = {'lamella': lamella, 'porous': porous, 'facetted': facetted, 'needle': needle}
PEAKS, SEEDS = (30, 5), range(4, 8)
KINDS = ('one axis', 'two, true motion', 'two, as found', 'two, added')
METHODS: dict[str, Reconstruction] = {'TV': TotalVariation(weight=0.6), 'DIPm-TV fast': DIPmTV(preset='fast')}


def motion(phantom: Phantom, seed: int) -> Reinsertion:
    """As a hand leaves it."""
    rng = np.random.default_rng(seed)
    turn = (90, -90)[seed % 2] + rng.normal(0, 4)
    tips = Rotation.from_rotvec(np.deg2rad([*rng.normal(0, 1.5, 2), 0.0])).as_matrix()
    return Reinsertion.turned(turn).then(tips, phantom.voxel_size * rng.normal(0, 1.5, 3))


def placed(name: str, peak: int, seed: int) -> dict[str, Any]:
    """Errors and stated errors of the motion: three rotations in degrees, three displacements in pixels."""
    phantom = SPECIMENS[name](SIZE, seed=30 + seed)
    known = motion(phantom, seed)
    first = tilt_series(phantom, ANGLES, peak, seed=2 * seed).maps
    second = second_tilt_series(phantom, known, ANGLES, 0.7 * peak, seed=2 * seed + 1).maps
    found = second_motion(first, second)
    turn = found.reinsertion.matrix @ known.matrix.T
    off = (np.array(found.reinsertion.offset) - turn @ np.array(known.offset)) / phantom.voxel_size
    return {
        'error': [*Rotation.from_matrix(turn).as_rotvec(degrees=True).tolist(), *off.tolist()],
        'stated': [*found.errors[:3].tolist(), *(found.errors[3:] / phantom.voxel_size).tolist()],
        'reversed': found.reversed,
    }


def volumes(name: str, peak: int, found: dict[str, Any]) -> None:
    """Scores of one axis and of two, by each method, beside those that are known."""
    phantom = SPECIMENS[name](SIZE, seed=40)
    known = motion(phantom, 7)
    whole = tilt_series(phantom, ANGLES, peak, seed=1)
    first = tilt_series(phantom, ANGLES, peak / 2, seed=2)
    second = second_tilt_series(phantom, known, ANGLES, peak / 2, seed=3)
    dose = second.truth.data.max() / first.truth.data.max()
    gain = np.full(second.maps.data.shape[:2], dose)
    series: dict[str, tuple[MapSeries, float]] = {
        'one axis': (whole.maps, 1.0),
        'two, true motion': (
            replace(first.maps, second_axis=replace(second.maps, reinsertion=known, gain=gain)),
            2.0,
        ),
        'two, as found': (joined(first.maps, second.maps), 2.0),
        'two, added': (joined(whole.maps, second_tilt_series(phantom, known, ANGLES, peak, seed=4).maps), 1.0),
    }
    for method, step in METHODS.items():
        for kind, (maps, scale) in series.items():
            if f'{method} | {kind}' in found:
                continue
            volume = scale * step.run(maps).data
            found[f'{method} | {kind}'] = [mean_psnr(volume, whole.truth.data), mean_ssim(volume, whole.truth.data)]
            print(name, peak, method, kind, found[f'{method} | {kind}'], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--placed', action='store_true')
    parser.add_argument('--volumes', action='store_true')
    options = parser.parse_args()
    every = options.placed == options.volumes
    known = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    known['processor'] = processor()
    if every or options.placed:
        known['placed'] = {
            f'{name} | {peak}': [placed(name, peak, seed) for seed in SEEDS] for name in SPECIMENS for peak in PEAKS
        }
    if every or options.volumes:
        for name in SPECIMENS:
            for peak in PEAKS:
                volumes(name, peak, known.setdefault('volumes', {}).setdefault(f'{name} | {peak}', {}))
                RESULTS.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
    RESULTS.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
    if {'placed', 'volumes'} <= set(known):
        write()


def write() -> None:
    """The page, from the results alone."""
    known = json.loads(RESULTS.read_text(encoding='utf-8'))
    lines = ['# Two tilt axes', '', 'Written by `make bench ONLY=dual_axis`; do not edit by hand.', '']
    lines += [*(__doc__ or '').partition('\nResumable')[0].splitlines(), '']
    lines += [f'Measured on {known["processor"]}; {SIZE} voxels along each edge, {len(SEEDS)} motions each.', '']
    lines += ['## The motion found', '']
    lines += ['Root mean square; in brackets the pulls. The sign of the tilts was right in every case.', '']
    if any(case['reversed'] for cases in known['placed'].values() for case in cases):
        lines[-2] = 'Root mean square; in brackets the pulls. The sign of the tilts was wrong in some cases.'
    lines += [
        '| specimen | peak | turn, ° | tip, ° | in the plane, pixels | along the beam, pixels |',
        '|---' * 6 + '|',
    ]
    kinds = {'turn': [2], 'tip': [0, 1], 'plane': [3, 4], 'beam': [5]}
    for key, cases in known['placed'].items():
        errors, stated = (np.array([case[part] for case in cases]) for part in ('error', 'stated'))
        cells = []
        for columns in kinds.values():
            rms = np.sqrt((errors[:, columns] ** 2).mean())
            pull = np.sqrt(((errors / stated)[:, columns] ** 2).mean())
            cells.append(f'{rms:.2f} ({pull:.1f})')
        lines.append(f'| {key} | {" | ".join(cells)} |')
    lines += ['', '## What the second axis is worth', '']
    lines += ['| specimen | peak | method | one axis | two, true motion | two, as found | gain | second axis added |']
    lines += ['|---' * 8 + '|']
    gains: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    for key, scores in known['volumes'].items():
        for method in METHODS:
            one, true, found, added = (np.array(scores[f'{method} | {kind}']) for kind in KINDS)
            gains[method].append([*(found - one), *(added - one)])
            cells = [f'{p:.2f} dB / {s:.3f}' for p, s in (one, true, found)]
            worth = [f'{p:+.2f} dB / {s:+.3f}' for p, s in (found - one, added - one)]
            lines.append(f'| {key} | {method} | {" | ".join([*cells, *worth])} |')
    lines.append('')
    for method, each in gains.items():
        mean, least = np.mean(each, axis=0), np.min(each, axis=0)
        one_dose = f'at one dose mean gain {mean[0]:+.2f} dB, {mean[1]:+.3f}, least {least[0]:+.2f} dB'
        added = f'added with a dose of its own {mean[2]:+.2f} dB, {mean[3]:+.3f}, least {least[2]:+.2f} dB'
        lines += [f'{method}: {one_dose}; {added}.', '']
    DOCS.write_text('\n'.join(lines), encoding='utf-8')


if __name__ == '__main__':
    main()
