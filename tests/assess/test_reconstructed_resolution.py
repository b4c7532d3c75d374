"""Resolution of reconstructions whose detail is known: a band-limited specimen, and the missing wedge by direction."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.assess.half_volumes import DIRECTIONS, cone, correlate_halves, half_resolution
from napari_diptomo.assess.resolution import fsc, measured_frequencies
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.simulate import lamella, tilt_series
from napari_diptomo.simulate.specimens import porous

SIDE, VOXEL = 48, 2.0


def frequencies() -> np.ndarray:
    return np.sqrt(sum(k**2 for k in np.meshgrid(*(np.fft.fftfreq(SIDE),) * 3, indexing='ij')))


def band_limited(shell: float) -> np.ndarray:
    """A soft body with texture, nothing of which lies above this frequency in units of the lowest one."""
    keep = frequencies() < shell / SIDE
    z, _, x = np.meshgrid(*(np.arange(SIDE) - (SIDE - 1) / 2,) * 3, indexing='ij')
    body = np.exp(-((np.hypot(z, x) / (0.27 * SIDE)) ** 2))

    def limited(volume: np.ndarray) -> np.ndarray:
        return np.fft.ifftn(np.fft.fftn(volume) * keep).real

    texture = limited(np.random.default_rng(0).normal(size=(SIDE,) * 3))
    return limited(body * (1 + 0.2 * texture / texture.std()))


@pytest.mark.parametrize('shell', [5.5, 7.5, 9.5])
def test_halves_find_the_limit_of_a_band_limited_specimen(shell: float) -> None:
    angles = np.arange(-90, 90, 2.0)
    clean = ParallelBeam(angles, (SIDE,) * 3).project(band_limited(shell)[None].astype(np.float32))
    clean = np.maximum(clean, 0) * 100 / clean.max()
    maps = MapSeries(np.random.default_rng(1).poisson(clean), angles, ('Fe',), VOXEL)
    found = half_resolution(maps, SIRT(iterations=60))
    limit = VOXEL * SIDE / shell
    assert found.periods(0.5)[0] == pytest.approx(limit, rel=0.05, abs=0)
    assert found.periods(0.143)[0] == pytest.approx(limit, rel=0.1, abs=0)


def test_cones_in_a_wedge_that_was_cut_out_hold_noise_alone() -> None:
    """White detail of power 1 outside the wedge, noise of power 1/4 everywhere: 1 / (1 + 1/4) and 0."""
    rng = np.random.default_rng(2)
    measured = measured_frequencies((64,) * 3, 40)
    common = np.fft.ifftn(np.fft.fftn(rng.normal(size=(64,) * 3)) * measured).real
    halves = (Volume((common + 0.5 * rng.normal(size=common.shape))[None], ('Fe',)) for _ in range(2))
    found = correlate_halves(*halves, (-40, 40))
    for direction, curve in zip(found.directions, found.cones[0], strict=True):
        mean = float(np.nanmean(curve.correlation[6:]))
        # A cone of 20 degrees about these lies on one side of the edge, off the plane of x and z too.
        if abs(direction) <= 15:
            assert mean == pytest.approx(0.8, abs=0.03)
        if abs(direction) >= 75:
            assert mean == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize('specimen', [lamella, porous])
def test_cones_against_the_truth_show_the_wedge_of_a_reconstruction(specimen) -> None:
    simulated = tilt_series(specimen(40), range(-40, 41, 4), peak_counts=100, seed=1)
    volume = SIRT(iterations=40).run(simulated.maps)
    shells = slice(3, 10)
    agreement = {
        direction: float(
            np.mean(
                [
                    np.nanmean(fsc(one, true, cone(one.shape, direction)).correlation[shells])
                    for one, true in zip(volume.data, simulated.truth.data, strict=True)
                ]
            )
        )
        for direction in DIRECTIONS
    }
    measured = [value for direction, value in agreement.items() if abs(direction) <= 30]
    missing = [value for direction, value in agreement.items() if abs(direction) >= 60]
    assert min(measured) > max(missing)
    assert np.mean(measured) > 2 * np.mean(missing)
