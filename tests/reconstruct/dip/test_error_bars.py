"""Error bars from the spread of an ensemble and from what all of its members get wrong alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.special import erf

from napari_diptomo.reconstruct.dip import error_bars
from napari_diptomo.reconstruct.dip.error_bars import (
    EDGE,
    FLOOR,
    HEIGHT,
    SHARE,
    WIDTH,
    axial_error,
    edge_error,
    elongation,
    peak_error,
    standard_deviation,
)


@pytest.mark.parametrize(
    ('tilts', 'longer'), [((-40, 40), 2.41), ((-20, 60), 2.41), ((-60, 60), 1.55), ((-90, 90), 1.0)]
)
def test_elongation_is_that_of_radermacher(tilts, longer):
    assert elongation(tilts) == pytest.approx(longer, abs=0.005)


def test_inside_a_body_a_share_of_the_spread_is_left():
    mean, variance = np.full((2, 9, 9, 9), 3.0), np.full((2, 9, 9, 9), 0.04)
    variance[1] = 0
    found = standard_deviation(mean, variance, 1.5, (-40, 40))
    np.testing.assert_allclose(found[0], SHARE * 1.5 * 0.2, rtol=1e-5)
    # Where all members agree a head's own limit is left.
    np.testing.assert_allclose(found[1], 3 * FLOOR, rtol=1e-4)


def test_empty_channel_has_no_error():
    nothing = np.zeros((1, 6, 6, 6))
    assert standard_deviation(nothing, nothing, 2.0, (-40, 40)).max() == 0


def test_face_along_the_beam_is_off_by_most_of_what_a_blur_takes():
    x = np.zeros((8, 8, 40))
    x[..., 20:] = 1
    beside = np.arange(1, 8)
    # Of the first voxel inside, that what the Gaussian brings over from outside.
    weights = np.exp(-(beside**2) / (2 * WIDTH**2))
    taken = weights.sum() / (1 + 2 * weights.sum())
    assert edge_error(x)[4, 4, 20] == pytest.approx(EDGE * taken, rel=1e-3)
    assert edge_error(x)[4, 4, 30] < 1e-6
    assert axial_error(x, 2.41).max() < 1e-6, 'nothing changes along the beam'


def test_axial_error_is_that_of_the_deconvolution(monkeypatch):
    # A Gaussian of width 3 is one of sqrt(3^2 - 1.5^2) blurred by 1.5, and as much lower.
    monkeypatch.setattr(error_bars, 'STEPS', 4000)
    z = np.arange(81) - 40.0
    x = np.exp(-(z**2) / (2 * 3.0**2))[:, None, None] * np.ones((1, 3, 3))
    found = axial_error(x, 1.5 / error_bars.AXIAL)
    assert found[40, 1, 1] == pytest.approx(3 / np.sqrt(3**2 - 1.5**2) - 1, rel=0.05)


def test_blurred_face_normal_to_the_beam_has_a_larger_error_than_a_sharp_one_far_away():
    z = np.arange(60) - 29.5
    x = (1 + erf(z / (1.6 * np.sqrt(2))))[:, None, None] / 2 * np.ones((1, 3, 3))
    step = (z > 0).astype(float)
    found, error = axial_error(x, 2.41)[:, 1, 1], np.abs(x[:, 1, 1] - step)
    near = error > 0.05
    assert 0.3 < np.median(found[near] / error[near]) < 1.5
    assert found[[5, 54]].max() < 0.02


def test_peak_of_one_voxel_may_be_off_by_several_heights_and_a_large_body_not():
    delta = np.zeros(41)
    delta[20] = 1
    kept = gaussian_filter1d(delta, 2 * WIDTH)[20] * gaussian_filter1d(delta, WIDTH)[20] ** 2
    point = np.zeros((41, 41, 41))
    point[20, 20, 20] = 0.7
    assert peak_error(point, 2.0)[20, 20, 20] == pytest.approx(HEIGHT * 0.7 * (1 - kept) ** 4)
    body = np.zeros((41, 41, 41))
    body[10:31, 10:31, 10:31] = 0.7
    assert peak_error(body, 2.0)[20, 20, 20] < 1e-6
    # At a face half is left: a sixteenth of the heights.
    assert peak_error(body, 2.0)[20, 20, 10] < HEIGHT * 0.7 / 16
