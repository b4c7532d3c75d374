"""Cameras that make several counts of an electron: the number that is found, and whether errors of M2,3 hold.

Nanocubes of FeO and Fe3O4 (32^3 voxels, one tilt), two films and two backgrounds, shapes by seed; the dose goes down as the
counts per electron go up, so that the counts are as many. A pull is what was found less the truth over its error by counting
alone, in pixels of more than a quarter of the mean of iron whose true fraction is farther than two errors from 0 and 1, less
the median, which standards add. Writes `docs/eels-gain.md`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from napari_diptomo.assess import fraction_maps
from napari_diptomo.series import Recipe
from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube
from napari_diptomo.simulate.eels import SimulatedEELS
from napari_diptomo.spectra import EELSOxidationMaps
from napari_diptomo.spectra.eels import map_assembly

PAGE = Path(__file__).parent.parent / 'docs' / 'eels-gain.md'
GAINS, SEEDS = (1.0, 2.0, 4.0, 10.0), (41, 42, 43)
#: Film in pixels, background under the edge, edge over background, read-out noise in counts.
SERIES = (
    (2.0, 'power law', 0.3, 0.0),
    (1.0, 'power law', 0.4, 2.0),
    (2.0, 'exponential', 0.3, 0.0),
)


def simulated(film: float, background: str, ratio: float, noise: float, gain: float, seed: int) -> SimulatedEELS:
    """A series of as many counts whatever an electron makes of them."""
    found = eels_tilt_series(
        oxide_nanocube(32, film=film),
        [0.0],
        edge_counts=4000.0 / gain,
        edge_to_background=ratio,
        background=background,  # type: ignore[arg-type]
        read_noise=noise / gain,
        seed=seed,
    )
    series = found.series
    core = None if series.core_loss is None else replace(series.core_loss, counts=series.core_loss.counts * gain)
    return replace(found, series=replace(series, counts=series.counts * gain, core_loss=core, recipe=Recipe()))


def pulls(found: SimulatedEELS) -> tuple[float, np.ndarray]:
    """Counts per electron as found, and the pulls of the FeO fraction pixel by pixel, less their mean."""
    with patch.object(map_assembly, 'systematic', lambda tilt, best: np.zeros_like(tilt.covariance[best])):
        maps = EELSOxidationMaps().run(found.series)
    atoms = found.clean / np.array([found.per_iron[oxide] for oxide in ('FeO', 'Fe3O4')])[:, None, None, None]
    truth = (atoms[0] + atoms[1] / 3) / np.maximum(atoms.sum(axis=0), 1e-9)
    of_pixel = fraction_maps(maps)
    total = found.clean.sum(axis=0)
    inside = of_pixel.carried & (total > 0.25 * total[found.iron].mean())
    # A fraction that is cut at 0 or 1 scatters less than its error.
    inside &= (of_pixel.fraction_std > 0) & (np.minimum(truth, 1 - truth) > 2 * of_pixel.fraction_std)
    each = (of_pixel.fraction - truth)[inside] / of_pixel.fraction_std[inside]
    return float(maps.notes['eels']['counts_per_electron']), each - np.median(each)


def main() -> None:
    lines = ['# Counts per electron', '', 'Written by `make bench ONLY=eels_gain`; do not edit by hand.', '']
    lines += [(__doc__ or '').split('\n\n', 1)[1].rsplit(' Writes', 1)[0].strip(), '']
    lines += [
        '| film / pixels | background | edge over it | read-out noise / counts | counts per electron | found | spread of the pulls | within one error |',
        '|---|---|---|---|---|---|---|---|',
    ]
    every: dict[float, list[float]] = {}
    for film, background, ratio, noise in SERIES:
        for gain in GAINS:
            measured = [pulls(simulated(film, background, ratio, noise, gain, seed)) for seed in SEEDS]
            spreads = [float(each.std()) for _, each in measured]
            every.setdefault(gain, []).extend(spreads)
            held = float(np.mean([np.abs(each) < 1 for _, each in measured for each in each]))
            numbers = ', '.join(f'{number:.2f}' for number, _ in measured)
            lines.append(
                f'| {film:g} | {background} | {ratio:g} | {noise:g} | {gain:g} | {numbers} | '
                f'{", ".join(f"{spread:.2f}" for spread in spreads)} | {held:.0%} |'
            )
            print(lines[-1], flush=True)
    lines += ['', 'Means of the spread: ' + ', '.join(f'{g:g}: {np.mean(s):.2f}' for g, s in every.items()) + '.', '']
    lines += ['By counting alone 1.00 is right, and 68% lie within one error.', '']
    PAGE.write_text('\n'.join(lines), encoding='utf-8')


if __name__ == '__main__':
    main()
