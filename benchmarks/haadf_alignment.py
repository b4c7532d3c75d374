"""Errors of maps that are placed on a HAADF series, on specimens of several kinds.

Each specimen is projected to 48 x 48 pixels: element maps at 17 tilts over ±40° with the expected count of the
brightest pixel given, every tilt displaced at random by 2 pixels along x and y, and HAADF images at 29 tilts over ±70°,
displaced by as much, damped by 10 %, with 5 % of the intensity from matter that no map holds. HAADF is high-angle
annular dark-field imaging. Errors are root mean squares over tilts and both axes, in pixels, without what no image shows, a
motion of the specimen: of the maps alone, of the maps where each tilt is compared with projections of the HAADF series, of
the average of both that Align makes, and of the images themselves. All but the first are in the one frame of maps and
images. The last rows are images of another specimen, which must not be taken: the maps are then aligned by themselves.
Writes `docs/haadf-alignment.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_diptomo import Align, HAADFSeries, MapSeries
from napari_diptomo.align.on_haadf import placed
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.series import with_haadf
from napari_diptomo.simulate import facetted, lamella, needle, porous, tilt_series
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series

PAGE = Path(__file__).parents[1] / 'docs' / 'haadf-alignment.md'
ANGLES, TILTS = np.arange(-40.0, 41.0, 5.0), np.arange(-70.0, 71.0, 5.0)
SIZE, DISPLACED = 48, 2.0
PEAKS = (1.0, 30.0)
SPECIMENS = {'lamella': lamella, 'facetted particles': facetted, 'needle': needle, 'porous body': porous}
MODEL = HAADFModel(damping=0.1, misregistration=DISPLACED, unmapped=0.05)


def whole_shifts(series: MapSeries | HAADFSeries) -> np.ndarray:
    """With what the position of the tilt axis adds."""
    axis = series.axis_shift * (1 - np.cos(np.deg2rad(series.angles)))
    return np.asarray(series.shifts) + np.stack([np.zeros_like(axis), axis], axis=1)


def rms(off: np.ndarray, angles: np.ndarray, part: slice = slice(None)) -> float:
    return float(np.sqrt((without_rigid_motion(off, angles)[part] ** 2).mean()))


def errors(name: str, peak: float, seed: int) -> tuple[list[float], str]:
    """Of one specimen: maps alone, placed, together, images; and what Align says of the placement."""
    phantom = SPECIMENS[name](SIZE, seed)
    shifts = np.random.default_rng((seed, 5)).normal(0, DISPLACED, (len(ANGLES), 2))
    maps = tilt_series(phantom, ANGLES, peak, seed, shifts).maps
    images = haadf_series(phantom, TILTS, MODEL, seed=seed)
    alone = whole_shifts(Align().run(maps)) - shifts
    found = Align().run(with_haadf(maps, HAADFSeries(images.images, TILTS, maps.pixel_size)))
    placement = placed(maps, found.haadf_series, 'auto', 1, Align().upsampling)
    both, tilts = np.concatenate([ANGLES, TILTS]), slice(len(ANGLES))
    of_images = whole_shifts(found.haadf_series) - images.shifts
    one, together = (np.concatenate([part - shifts, of_images]) for part in (placement.shifts, whole_shifts(found)))
    numbers = [rms(alone, ANGLES), rms(one, both, tilts), rms(together, both, tilts), rms(of_images, TILTS)]
    return numbers, said(found)


def said(found: MapSeries) -> str:
    noted = found.notes['align']['haadf']
    return (
        f'{"placed" if noted["placed"] else "not placed"}, {noted["correlation"]:.2f}, {noted["placement_error"]:.2f}'
    )


def of_another(name: str, other: str, seed: int) -> str:
    maps = tilt_series(SPECIMENS[name](SIZE, seed), ANGLES, 5.0, seed).maps
    images = haadf_series(SPECIMENS[other](SIZE, seed + 7), TILTS, MODEL, seed=seed)
    return said(Align().run(with_haadf(maps, HAADFSeries(images.images, TILTS, maps.pixel_size))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=1)
    options = parser.parse_args()
    lines = [
        '# Maps placed on a HAADF series',
        '',
        'Written by `make bench ONLY=haadf_alignment`; do not edit by hand.',
    ]
    lines += [
        '',
        __doc__ or '',
        '| specimen | peak | maps alone | placed | together | images | Align says: correlation, error |',
    ]
    lines += ['|---|---|---|---|---|---|---|']
    for name in SPECIMENS:
        for peak in PEAKS:
            results = [errors(name, peak, seed) for seed in range(options.seeds)]
            cells = [f'{np.mean(column):.2f}' for column in zip(*(numbers for numbers, _ in results), strict=True)]
            lines.append(f'| {name} | {peak:g} | {" | ".join(cells)} | {"; ".join(words for _, words in results)} |')
            print(lines[-1], flush=True)
    names = list(SPECIMENS)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        lines.append(f'| {name}, images of: {other} | 5 | | | | | {of_another(name, other, 0)} |')
        print(lines[-1], flush=True)
    PAGE.write_text('\n'.join(lines) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
