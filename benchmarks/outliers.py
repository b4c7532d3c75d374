"""Outlier pixels: how many of a specimen are taken for one, how many are found, and what they do to volumes: docs/outliers.md.

``python benchmarks/outliers.py [--size 40] [--seeds 3] [--without-volumes]``; some minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np

from _processor import processor
from napari_diptomo.assess import psnr
from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, Reconstruction, TotalVariation
from napari_diptomo.series import MapSeries
from napari_diptomo.series.outliers import outlier_pixels
from napari_diptomo.simulate import facetted, interdiffusion, lamella, needle, oxide_nanocube, porous, tilt_series
from napari_diptomo.simulate.phantoms import Phantom
from napari_diptomo.simulate.projections import Simulated

ANGLES = np.arange(-40, 41, 5.0)
PEAKS = (1.0, 5.0, 20.0, 100.0)
FACTORS = (10.0, 30.0, 1e2, 1e3, 1e4, 1e6)
FRACTIONS = (1e-4, 1e-3, 2e-3, 5e-3, 1e-2)
SPECIMENS: dict[str, Callable[[int, int], Phantom]] = {
    'lamella': lamella,
    'porous': porous,
    'needle': needle,
    'needle, precipitates anywhere': lambda size, seed: needle(size, seed, aligned=False),
    'facetted': facetted,
    'interdiffusion': interdiffusion,
    'nanocube': lambda size, seed: oxide_nanocube(size),
}
METHODS: tuple[Reconstruction, ...] = (
    SIRT(iterations=40),
    PoissonEM(iterations=40),
    TotalVariation(weight=0.6, iterations=300),
    DIPmTV(iterations=60),
)
PAGE = Path(__file__).parents[1] / 'docs' / 'outliers.md'
INTRODUCTION = """# Outlier pixels

One pixel of a million counts in one image ruins a volume by any method. Such pixels are found before the fit, are left
out (their weight is zero, they are not replaced) and are listed in a finding; the rule is in
`napari_diptomo.series.outliers`. A pixel is left out only where it exceeds the eight around it by a factor of 4 and by 9
standard deviations of counting **and** the neighbouring tilts contradict it: a point of the specimen is in every image.

Not found are: outliers of less than some 10 times the surroundings, whose effect is small; spots of more than 2 x 2
pixels; whole hot rows; a hot pixel of the detector within some pixels of the tilt axis, which could be a point on it;
many in one series, which support each other (third table). Wrongly left out may be: a lone point brighter than all else
which only the first or the last image shows, at its edge; points in images that are displaced by more than 3 pixels and 8
% of their width. Align looks for outliers itself, with a tolerance of 20 %. PSNR is the peak signal-to-noise ratio.

Pixels that you know to be bad are `MapSeries(..., missing=mask)`; where `missing` is true the data may be NaN. Single bad
channels of spectra are found in the fit of the spectra (`napari_diptomo.spectra.common.spikes`,
`spectra.eels.calibration.camera_artefacts`), and so are channels of an EDX detector that are dead or hot in all spectra
(`spectra.common.faulty_channels`): they are left out of the fit and named.

Made by `benchmarks/outliers.py`"""


@cache
def specimen(name: str, size: int, seed: int) -> Phantom:
    """One specimen, made once."""
    return SPECIMENS[name](size, seed)


@cache
def series(name: str, size: int, seed: int, peak: float) -> Simulated:
    """One tilt series, made once."""
    return tilt_series(specimen(name, size, seed), ANGLES, peak, seed=seed)


def false_alarms(size: int, seeds: int, peak: float, name: str, displaced: float = 0.0) -> tuple[int, int]:
    """Pixels of a specimen that are taken for outliers, and pixels in all."""
    wrong = number = 0
    for seed in range(seeds):
        shifts = np.random.default_rng(seed).normal(0, displaced, (len(ANGLES), 2))
        maps = tilt_series(specimen(name, size, seed), ANGLES, peak, seed=seed, shifts=shifts).maps
        wrong, number = wrong + int(outlier_pixels(maps).sum()), number + maps.data.size
    return wrong, number


def spoilt(maps: MapSeries, number: int, factor: float, seed: int = 0) -> tuple[MapSeries, np.ndarray]:
    """Outliers of ``factor`` times the mean of what each channel holds, at least so many counts; and where they are."""
    rng = np.random.default_rng((seed, 11))
    places = np.zeros(maps.data.size, bool)
    places[rng.choice(places.size, number, replace=False)] = True
    places = places.reshape(maps.data.shape)
    levels = np.array([max(channel[channel > 0].mean(), 1.0) for channel in maps.data])
    values = np.round(np.broadcast_to(factor * levels[:, None, None, None], maps.data.shape))
    return replace(maps, data=np.where(places, values, maps.data)), places


def found(size: int, seeds: int, peak: float, factor: float) -> tuple[float, int]:
    """Share of ten outliers in a series that are found, over all specimens; and others that are taken for one."""
    hits, wrong, number = 0, 0, 0
    for name in SPECIMENS:
        for seed in range(seeds):
            maps, places = spoilt(series(name, size, seed, peak).maps, 10, factor, seed)
            marked = outlier_pixels(maps)
            hits, number = hits + int(marked[places].sum()), number + 10
            wrong += int(marked[~places].sum())
    return hits / number, wrong


def contaminated(size: int, fraction: float, name: str) -> tuple[float, int]:
    """Share of outliers of all sizes that are found where they are a fraction of the pixels."""
    maps = series(name, size, 1, 20.0).maps
    rng = np.random.default_rng(5)
    places = rng.random(maps.data.shape) < fraction
    data = np.where(places, np.round(10 ** rng.uniform(3, 6, places.shape)), maps.data)
    marked = outlier_pixels(replace(maps, data=data))
    return float(marked[places].mean()), int(marked[~places].sum())


def volumes(name: str, step: Reconstruction, size: int = 24) -> list[float]:
    """PSNR of the clean data, with five outliers, and with these in the fit."""
    simulated = series(name, size, 1, 30.0)
    maps, _ = spoilt(simulated.maps, 5, 1e4)
    truth = simulated.truth.data
    results = [step.run(simulated.maps), step.run(maps)]
    with patch('napari_diptomo.series.outliers.without_outliers', lambda maps: (maps, ())):
        results.append(step.run(maps))
    return [float(psnr(volume.data, truth).mean()) for volume in results]


def main() -> None:
    """Make the tables and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, default=40)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--without-volumes', action='store_true')
    options = parser.parse_args()
    size, seeds = options.size, options.seeds
    lines = [f'{INTRODUCTION}, {size} x {size} pixels, 17 tilts, {seeds} seeds; {processor()}.', '']
    lines += ['## Pixels of specimens mistaken for outliers', '']
    lines += [
        '| specimen | '
        + ' | '.join(f'at most {peak:g} counts' for peak in PEAKS)
        + ' | displaced 1 px rms, 100 counts |'
    ]
    lines += ['|---' * (len(PEAKS) + 2) + '|']
    for name in SPECIMENS:
        cells = [false_alarms(size, seeds, peak, name) for peak in PEAKS]
        cells.append(false_alarms(size, seeds, 100.0, name, 1.0))
        lines.append(f'| {name} | ' + ' | '.join(f'{wrong} of {number}' for wrong, number in cells) + ' |')
        print(lines[-1], flush=True)
    lines += ['', '## Outliers found: ten in each series, at random, of so many times the mean of the channel', '']
    lines += ['| counts at most | ' + ' | '.join(f'{factor:g}' for factor in FACTORS) + ' |']
    lines += ['|---' * (len(FACTORS) + 1) + '|']
    for peak in PEAKS:
        results = [found(size, seeds, peak, factor) for factor in FACTORS]
        lines.append(
            f'| {peak:g} | ' + ' | '.join(f'{100 * share:.1f} %, {wrong} wrong' for share, wrong in results) + ' |'
        )
        print(lines[-1], flush=True)
    lines += ['', '## Outliers found where there are many (10^3 to 10^6 counts, in maps of at most 20)', '']
    lines += ['| specimen | ' + ' | '.join(f'{100 * f:g} % of the pixels' for f in FRACTIONS) + ' |']
    lines += ['|---' * (len(FRACTIONS) + 1) + '|']
    for name in ('lamella', 'porous', 'needle'):
        results = [contaminated(size, fraction, name) for fraction in FRACTIONS]
        lines.append(
            f'| {name} | ' + ' | '.join(f'{100 * share:.1f} %, {wrong} wrong' for share, wrong in results) + ' |'
        )
        print(lines[-1], flush=True)
    if not options.without_volumes:
        lines += [
            '',
            '## Volumes with five outliers of 10^4 times the mean (24^3 voxels, at most 30 counts; PSNR, dB)',
            '',
        ]
        lines += [
            '| specimen | method | without outliers | outliers left out | outliers fitted |',
            '|---|---|---|---|---|',
        ]
        for name in ('lamella', 'porous', 'needle'):
            for step in METHODS:
                values = ' | '.join(f'{value:.2f}' for value in volumes(name, step))
                lines.append(f'| {name} | {step.title} | {values} |')
                print(lines[-1], flush=True)
    PAGE.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
