"""Estimates from the neighbours of a pixel: without the pixel itself, with the weights of a Gaussian."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series.neighbour_mean import neighbour_sums, neighbours


def test_a_pixel_has_no_part_in_its_own_mean():
    image = np.random.default_rng(0).poisson(5.0, (24, 24)).astype(float)
    other = image.copy()
    other[12, 12] += 1000
    assert neighbours(other)[12, 12] == pytest.approx(neighbours(image)[12, 12], rel=1e-9)
    assert neighbours(other)[12, 13] > neighbours(image)[12, 13] + 10


def test_the_mean_of_a_flat_image_is_its_value_up_to_the_border():
    np.testing.assert_allclose(neighbours(np.full((2, 20, 20), 3.0)), 3.0, rtol=1e-9)


def test_sums_have_gaussian_weights_and_nothing_comes_from_beyond_the_border():
    image = np.zeros((31, 31))
    image[15, 15] = 1.0
    found = neighbour_sums(image, 2.0)
    assert found[15, 15] == pytest.approx(0, abs=1e-15)
    assert found[15, 17] / found[15, 16] == pytest.approx(np.exp(-(4 - 1) / 8), rel=1e-6)
    flat = neighbour_sums(np.ones((31, 31)), 2.0)
    assert flat[0, 0] < 0.4 < flat[15, 15] < 1
