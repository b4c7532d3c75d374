"""DIPm-TV in the geometry that the alignment found, beside the true one.

Images displaced at random by up to 3 pixels along x and y, about a tilt axis that is turned in the images and stands 2 pixels
off their middle, 30 counts at the brightest pixel, tilts of ±40° in steps of 5. Nothing of it is written into the maps:
`Align` finds the shifts, the position of the axis and its rotation. What no image shows, a motion of the specimen, is taken out of the
difference of the shifts, and each volume, which has its y along the axis of its geometry, is compared with the specimen
turned by the difference of the two axes, on the simulation's twice finer grid. "Refined": the shifts found are refined together
with the volume (`refine_shifts`). PSNR is the mean over the channels.
Resumable. Writes `results/found_geometry.json` and `docs/found-geometry.md`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from _cases import CASES, phantom_of
from _processor import processor
from _scores import mean_psnr
from napari_diptomo.align import Align
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.rigid_motion import rigid_motion
from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.series import MapSeries
from napari_diptomo.simulate.phantoms import Phantom

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'found_geometry.json'
DOCS = HERE.parent / 'docs' / 'found-geometry.md'
SIZE, PEAK, JITTER, AXIS = 32, 30.0, 3.0, 2.0
ANGLES = np.arange(-40.0, 41.0, 5.0)
NAMES = ('lamella 11', 'porous 20', 'facetted 21', 'needle 23')
ROTATIONS = (0.0, 2.0, 3.0)
METHOD, REFINING = DIPmTV(preset='fast'), DIPmTV(preset='fast', refine_shifts=True)


def turned_series(phantom: Phantom, rotation: float, seed: int) -> tuple[MapSeries, np.ndarray, float]:
    """Noisy maps about a turned axis, the true shifts (tilt, 2) in pixels, and counts per unit of the phantom."""
    s, rng = phantom.supersample, np.random.default_rng(seed)
    shifts = rng.uniform(-JITTER, JITTER, (len(ANGLES), 2))
    beam = ParallelBeam(ANGLES, phantom.fine.shape[1:], shifts * s, AXIS * s, axis_rotation=rotation)
    fine = beam.project(phantom.fine)
    c, t, y, x = fine.shape
    clean = fine.reshape(c, t, y // s, s, x // s, s).sum(axis=(3, 5)) / s**3
    scale = PEAK / float(clean.max())
    counts = rng.poisson(np.maximum(clean * scale, 0)).astype(np.float32)
    return MapSeries(counts, ANGLES, phantom.channels, phantom.voxel_size), shifts, scale


def turned_truth(phantom: Phantom, degrees: float) -> np.ndarray:
    """The specimen (channel, z, y, x) turned about the beam, on the grid of the volumes; nearest voxels soften nothing."""
    fine = ndimage.rotate(phantom.fine, degrees, axes=(3, 2), reshape=False, order=0) if degrees else phantom.fine
    s = phantom.supersample
    c, z, y, x = fine.shape
    return np.asarray(fine.reshape(c, z // s, s, y // s, s, x // s, s).mean(axis=(2, 4, 6)))


def measured(name: str, rotation: float) -> dict[str, Any]:
    """Volumes of one series."""
    phantom = phantom_of(CASES[name], SIZE)
    maps, shifts, scale = turned_series(phantom, rotation, CASES[name].noise)
    right = replace(maps, shifts=shifts, axis_shift=AXIS, axis_rotation=rotation)
    aligned = Align().run(maps)
    to_axis = _axes(rotation)
    difference = (_whole(aligned) - _whole(right)) @ to_axis.T
    whole = _whole(right) + (difference - rigid_motion(difference, ANGLES)) @ to_axis
    found = replace(aligned, shifts=whole, axis_shift=0.0)
    off = aligned.axis_rotation - rotation
    notes = aligned.notes['align']
    return {
        'processor': processor(),
        'true': mean_psnr(METHOD.run(right).data, scale * turned_truth(phantom, 0.0)),
        'found': mean_psnr(METHOD.run(found).data, scale * turned_truth(phantom, off)),
        'refined': mean_psnr(REFINING.run(found).data, scale * turned_truth(phantom, off)),
        'as it came': mean_psnr(METHOD.run(maps).data, scale * turned_truth(phantom, -rotation)),
        'shifts': round(float(np.sqrt(((whole - _whole(right)) ** 2).sum(axis=1).mean())), 3),
        'rotation': round(aligned.axis_rotation, 2),
        'error': round(notes['rotation_uncertainty'] or float('inf'), 2),
    }


def _whole(maps: MapSeries) -> np.ndarray:
    """Shifts (tilt, 2) with what the position of the axis adds."""
    across = maps.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
    return np.asarray(maps.shifts) + across[:, None] * _axes(maps.axis_rotation)[1]


def _axes(rotation: float) -> np.ndarray:
    """Directions along the tilt axis and across it, (2, 2), in y and x of the images."""
    cosine, sine = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    return np.array([[cosine, -sine], [sine, cosine]])


def write() -> None:
    """The page, from the results alone."""
    known = _results()
    lines = [
        '# DIPm-TV in the geometry that was found',
        '',
        'Written by `make bench ONLY=found_geometry`; do not edit by hand.',
        '',
    ]
    lines += [*(__doc__ or '').partition('\nResumable')[0].splitlines(), '']
    lines += [
        f'Measured on {", ".join(sorted({r["processor"] for r in known.values()}))}; {SIZE} voxels along each edge, preset fast.',
        '',
    ]
    lines += [
        '| specimen | rotation | found | shifts wrong by, rms | not aligned | found geometry | refined | true geometry |',
        '|---' * 8 + '|',
    ]
    for key, r in sorted(known.items(), key=lambda one: (float(one[0].split(' | ')[1]), one[0])):
        name, rotation = key.split(' | ')
        scores = ' | '.join(f'{r[which]:.2f} dB' for which in ('as it came', 'found', 'refined', 'true'))
        lines.append(f'| {name} | {rotation} | {r["rotation"]:.2f} ± {r["error"]:.2f} | {r["shifts"]:.2f} | {scores} |')
    found, refined = ([r['true'] - r[which] for r in known.values()] for which in ('found', 'refined'))
    lines += [
        '',
        f'Loss {np.mean(found):+.2f} dB in the mean, {max(found):+.2f} at most; refined {np.mean(refined):+.2f} and {max(refined):+.2f}.',
        '',
    ]
    DOCS.write_text('\n'.join(lines), encoding='utf-8')


def _results() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text(encoding='utf-8'))) if RESULTS.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', nargs='*', default=list(NAMES))
    parser.add_argument('--rotations', nargs='*', type=float, default=list(ROTATIONS))
    options = parser.parse_args()
    for rotation in options.rotations:
        for name in options.cases:
            known = _results()
            key = f'{name} | {rotation:g}'
            if key not in known:
                known[key] = measured(name, rotation)
                RESULTS.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
                print(key, known[key], flush=True)
    write()


if __name__ == '__main__':
    main()
