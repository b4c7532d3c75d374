"""Power laws: exact ones come back, counts give the exponent to the error that they allow."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.spectra.common.power_law import exponent_of_counts, falling_tail, log_log_line

ENERGY = np.arange(640.0, 700.0, 0.5)


def test_a_line_on_logarithms_is_exact_for_an_exact_law():
    slope, height = log_log_line(ENERGY, 5e9 * ENERGY**-2.7, np.sqrt(ENERGY))
    assert slope == pytest.approx(-2.7, abs=1e-9)
    assert np.exp(height) == pytest.approx(5e9, rel=1e-8)


@pytest.mark.parametrize('exponent', [1.5, 2.7, 4.0])
def test_counts_without_noise_give_the_exponent(exponent):
    relative = ENERGY / 670
    counts = 1e5 * relative**-exponent
    assert exponent_of_counts(relative, counts, np.sqrt(counts), (0.5, 8.0)) == pytest.approx(exponent, abs=1e-3)


def test_the_tail_of_a_line_beside_the_law_does_not_flatten_it():
    relative, tail = ENERGY / 670, (709.5 - ENERGY) ** -2.0
    counts = 1e5 * relative**-3.0 + 3e6 * tail
    alone = exponent_of_counts(relative, counts, np.sqrt(counts), (0.5, 8.0))
    assert exponent_of_counts(relative, counts, np.sqrt(counts), (0.5, 8.0), tail) == pytest.approx(3.0, abs=1e-3)
    assert alone < 2.5


def test_noise_moves_the_exponent_by_what_counting_allows():
    rng, relative = np.random.default_rng(0), ENERGY / 670
    expected = 400 * relative**-3.0
    found = [
        exponent_of_counts(relative, n, np.sqrt(np.maximum(n, 1.0)), (0.5, 8.0))
        for n in rng.poisson(expected, (200, len(ENERGY)))
    ]
    logs = np.log(relative) - np.average(np.log(relative), weights=expected)
    bound = 1 / np.sqrt((expected * logs**2).sum())
    assert np.std(found) == pytest.approx(bound, rel=0.2)
    assert np.mean(found) == pytest.approx(3.0, abs=0.5 * bound)


def test_a_falling_tail():
    np.testing.assert_allclose(falling_tail(np.array([5.0, 10.0]), 5.0), [1, 1 / 8])
    assert falling_tail(np.array([20.0]), 10.0, 2.0)[0] == pytest.approx(0.25)
