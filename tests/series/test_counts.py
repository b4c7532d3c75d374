"""Thinning: the moments of a binomial variable, and independence of the two parts of a Poisson one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series.counts import thin


def test_moments_are_those_of_the_binomial_distribution():
    part = thin(np.full(200_000, 50.0), 0.2, np.random.default_rng(0))
    assert part.dtype == np.int64
    assert part.mean() == pytest.approx(10.0, abs=4 * np.sqrt(8 / 200_000))
    assert part.var() == pytest.approx(8.0, rel=0.02)


def test_part_and_remainder_of_poisson_counts_are_independent():
    counts = np.random.default_rng(1).poisson(3.0, 200_000)
    part = thin(counts, 0.3, np.random.default_rng(2))
    assert ((part >= 0) & (part <= counts)).all()
    assert np.corrcoef(part, counts - part)[0, 1] == pytest.approx(0, abs=4 / np.sqrt(200_000))
    assert part.var() == pytest.approx(0.9, rel=0.02)


def test_the_ends_of_the_range_and_what_is_no_count():
    counts = np.array([[0, 4], [7, 1]], np.float32)
    assert thin(counts, 0.0, np.random.default_rng(0)).sum() == 0
    np.testing.assert_array_equal(thin(counts, 1.0, np.random.default_rng(0)), counts)
    with pytest.raises(ValueError):
        thin(np.array([-1]), 0.5, np.random.default_rng(0))
