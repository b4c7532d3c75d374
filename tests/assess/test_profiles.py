"""Profiles along lines of known gradients and interfaces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, special

from napari_diptomo.assess.profiles import line_profile
from napari_diptomo.series import InputError, Volume


@pytest.fixture
def ramp() -> Volume:
    z, y, x = np.meshgrid(np.arange(20.0), np.arange(24.0), np.arange(28.0), indexing='ij')
    return Volume(np.stack([z + 2 * y, x]), ('a', 'b'), voxel_size=0.5)


def test_a_linear_field_is_read_exactly_along_any_line(ramp):
    found = line_profile(ramp, (2, 3, 4), (14, 19, 25))
    length = np.sqrt(12**2 + 16**2 + 21**2)
    assert found.distance[-1] == pytest.approx(0.5 * length)
    share = found.distance / found.distance[-1]
    np.testing.assert_allclose(found.values[0], 8 + share * 44, rtol=1e-5)
    np.testing.assert_allclose(found.values[1], 4 + share * 21, rtol=1e-5)
    assert np.isnan(found.error).all() and found.rays == 1


def test_a_cross_section_averages_and_knows_its_scatter():
    noise = np.random.default_rng(0).normal(10, 2, (1, 40, 40, 40))
    found = line_profile(Volume(noise, ('Fe',), 1.0), (20, 20, 5), (20, 20, 34), width=8)
    assert found.rays == 81
    np.testing.assert_allclose(found.error, 2 / 9, rtol=0.3)
    assert abs(found.values - 10).max() < 5 * 2 / 9


def test_the_spread_of_an_ensemble_is_no_scatter():
    data = np.ones((1, 16, 16, 16))
    found = line_profile(Volume(data, ('Fe',), 1.0, std=0.25 * data), (8, 8, 2), (8, 8, 13), width=4)
    np.testing.assert_allclose(found.error, 0.25)


@pytest.mark.parametrize('sigma', [1.0, 2.5])
def test_the_width_of_a_blurred_interface(sigma):
    step = np.zeros((9, 9, 80))
    step[..., 40:] = 5.0
    blurred = ndimage.gaussian_filter1d(step, sigma, axis=2)
    found = line_profile(Volume(blurred[None], ('Fe',), 0.4), (4, 4, 20), (4, 4, 60))
    # A straight line between voxels blurs by a variance of 1/6 more.
    expected = 2 * np.sqrt(2) * special.erfinv(0.5) * np.hypot(sigma, np.sqrt(1 / 6)) * 0.4
    assert found.width('Fe') == pytest.approx(expected, rel=0.04, abs=0)
    with pytest.raises(InputError, match='no channel O'):
        found.width('O')


def test_profiles_are_written(ramp, tmp_path):
    found = line_profile(ramp, (2, 3, 4), (2, 3, 14), width=1)
    rows = np.genfromtxt(found.write_csv(tmp_path / 'profile.csv'), delimiter=',', names=True)
    assert rows.dtype.names == ('distance_nm', 'a', 'standard_error_a', 'b', 'standard_error_b')
    np.testing.assert_allclose(rows['b'], np.arange(4, 15))


@pytest.mark.parametrize(
    ('start', 'end', 'width', 'sentence'),
    [
        ((0, 0, 0), (0, 0, 30), 0, r'leaves the volume of 20 x 24 x 28 voxels \(z, y, x\)'),
        ((0, -2, 0), (0, 5, 0), 0, 'leaves the volume'),
        ((1, 1, 1), (1, 1, 1.5), 0, 'shorter than a voxel'),
        ((1, 1), (5, 5), 0, 'three numbers each'),
        ((1, 1, 1), (5, 5, 5), -1, 'cannot be -1 nm wide'),
    ],
)
def test_lines_that_are_none(ramp, start, end, width, sentence):
    with pytest.raises(InputError, match=sentence):
        line_profile(ramp, start, end, width)
