"""Resolution by halves: closed forms of white noise, of known blur, and of cones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.assess.half_volumes import cone, correlate_halves, half_bit, half_resolution, halved
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import InputError, MapSeries, Volume
from napari_diptomo.simulate import lamella, tilt_series

SIDE = 48


def volumes(a: np.ndarray, b: np.ndarray, voxel: float = 2.0) -> tuple[Volume, Volume]:
    return Volume(a[None], ('Fe',), voxel), Volume(b[None], ('Fe',), voxel)


def test_equal_volumes_are_resolved_to_nyquist():
    a = np.random.default_rng(0).normal(size=(SIDE,) * 3)
    found = correlate_halves(*volumes(a, a), (-60, 60))
    np.testing.assert_allclose(found.curves[0].correlation, 1, atol=1e-9)
    assert found.periods().tolist() == [4.0]


def test_independent_noise_stays_below_the_half_bit_criterion():
    rng = np.random.default_rng(1)
    found = correlate_halves(*volumes(rng.normal(size=(SIDE,) * 3), rng.normal(size=(SIDE,) * 3)), (-60, 60))
    assert (found.curves[0].correlation < found.half_bit).all()
    assert (np.abs(found.curves[0].correlation[8:]) < 0.06).all()


def test_white_noise_on_a_blurred_common_part_has_its_closed_form():
    """The common part has the power exp(-(2 pi s k)^2) of white noise, each half noise of power 1/4 beside it."""
    rng, s = np.random.default_rng(2), 1.5
    common = ndimage.gaussian_filter(rng.normal(size=(96,) * 3), s, mode='wrap')
    a, b = (common + 0.5 * rng.normal(size=common.shape) for _ in range(2))
    found = correlate_halves(*volumes(a, b), (-60, 60))
    k = found.curves[0].frequency
    power = np.exp(-((2 * np.pi * s * k) ** 2))
    np.testing.assert_allclose(found.curves[0].correlation, power / (power + 0.25), atol=0.06)
    # FSC 0.143 where the power is 1/24.
    period = 2 * np.pi * s / np.sqrt(np.log(24))
    assert found.periods()[0] == pytest.approx(2.0 * period, rel=0.03, abs=0)
    assert found.periods(0.5)[0] == pytest.approx(2.0 * 2 * np.pi * s / np.sqrt(np.log(4)), rel=0.05, abs=0)


def test_blur_along_the_beam_shows_in_the_cones_along_it_alone():
    rng = np.random.default_rng(3)
    common = ndimage.gaussian_filter1d(rng.normal(size=(64,) * 3), 4.0, axis=0, mode='wrap')
    a, b = (common + 0.2 * rng.normal(size=common.shape) for _ in range(2))
    found = correlate_halves(*volumes(a, b, 1.0), (-60, 60))
    periods = dict(zip(found.directions, found.periods_by_direction()[0], strict=True))
    assert periods[0.0] < 5
    # FSC 0.143 where the power exp(-(2 pi s k)^2) is a sixth of that of the noise, 0.04.
    assert periods[-90.0] == pytest.approx(2 * np.pi * 4 / np.sqrt(np.log(6 / 0.04)), rel=0.1, abs=0)
    assert found.is_measured(45) and not found.is_measured(75) and not found.is_measured(-90)


def test_the_half_bit_criterion_of_many_coefficients_is_its_limit():
    """0.2071 / 1.2071 where the shell has infinitely many (van Heel & Schatz 2005)."""
    limit = half_bit((128, 128, 128))
    assert limit[-1] == pytest.approx(0.2071 / 1.2071, abs=0.02)
    assert (np.diff(limit) < 0.01).all() and limit[0] > 0.5


def test_a_cone_has_the_solid_angle_of_its_opening():
    inside = cone((64, 64, 64), 30.0, 20.0)
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*(np.fft.fftfreq(64),) * 3, indexing='ij')))
    ball = (radius > 0.2) & (radius < 0.5)
    assert inside[ball].mean() == pytest.approx(1 - np.cos(np.radians(20)), rel=0.03, abs=0)
    z, _, x = np.unravel_index(np.argmax(np.where(ball & inside, radius, 0)), inside.shape)
    assert inside[0, 0, 5] == (abs(0 - 30) <= 20) and x >= 0 and z >= 0


def test_the_halves_are_independent_and_add_up():
    counts = np.random.default_rng(4).poisson(6, (1, 3, 40, 40)).astype(np.float32)
    maps = MapSeries(counts, [-10, 0, 10], ('Fe',))
    first, second = halved(maps, seed=1)
    np.testing.assert_array_equal(first.data + second.data, counts)
    assert first.are_counts and second.are_counts
    assert abs(np.corrcoef(first.data.ravel(), second.data.ravel())[0, 1]) < 0.05
    fitted = MapSeries(counts + 0.25, [-10, 0, 10], ('Fe',), variance=np.full_like(counts, 6.0))
    first, second = halved(fitted)
    np.testing.assert_allclose(first.data + second.data, fitted.data, rtol=1e-5)
    assert abs(np.corrcoef(first.data.ravel(), second.data.ravel())[0, 1]) < 0.05
    np.testing.assert_array_equal(first.variance, 3.0)


def test_more_counts_resolve_more():
    phantom = lamella(32)
    few, many = (
        half_resolution(tilt_series(phantom, range(-60, 61, 10), peak_counts=peak, seed=0).maps, SIRT(iterations=20))
        for peak in (3, 300)
    )
    assert (many.periods() < few.periods()).all()
    assert few.method == 'SIRT of each half' and 'share the missing wedge' in few.note


def test_curves_are_written_with_their_frequencies(tmp_path):
    a = np.random.default_rng(5).normal(size=(16,) * 3)
    found = correlate_halves(*volumes(a, a, 0.5), (-60, 60))
    lines = found.write_csv(tmp_path / 'fsc.csv').read_text().splitlines()
    assert lines[0] == 'frequency_per_nm,half_bit,Fe'
    assert [float(value) for value in lines[8].split(',')] == pytest.approx([1.0, found.half_bit[7], 1.0], abs=1e-4)


def test_volumes_of_other_shapes_are_refused():
    a = np.ones((8, 8, 8))
    with pytest.raises(InputError, match='other channels or another shape'):
        correlate_halves(Volume(a[None], ('Fe',)), Volume(a[None], ('O',)), (-60, 60))
    with pytest.raises(InputError, match='Nothing was counted'):
        halved(MapSeries(np.zeros((1, 2, 4, 4)), [0, 10], ('Fe',)))
