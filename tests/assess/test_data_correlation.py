"""Correlation with the data and its ceiling: the ceiling is what the truth itself reaches."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.assess import (
    ceiling_excess,
    correlation_error,
    count_ceiling,
    half_ceiling,
    projection_correlation,
)
from napari_diptomo.series import InputError
from napari_diptomo.simulate import facetted, lamella, needle, porous, project


def rates(mean):
    y, x = np.mgrid[:96, :96]
    image = 1 + np.sin(x / 5) * np.cos(y / 7)
    return np.broadcast_to(mean * image, (1, 16, 96, 96))


def test_correlation_of_each_channel():
    a = np.random.default_rng(0).normal(size=(3, 4, 5, 6))
    b = a.copy()
    b[0] = 2 * a[0] + 7
    b[1] = -a[1]
    b[2] = 4
    assert projection_correlation(a, b) == pytest.approx([1, -1, 0])


def test_correlation_agrees_with_numpy():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 3, 4, 5)), rng.random((2, 3, 4, 5))
    expected = [np.corrcoef(a[c].ravel(), b[c].ravel())[0, 1] for c in range(2)]
    assert projection_correlation(a, b) == pytest.approx(expected)


@pytest.mark.parametrize('mean', [0.5, 1, 5, 50])
def test_the_ceiling_is_the_correlation_of_the_truth_with_the_counts(mean):
    truth = rates(mean)
    counts = np.random.default_rng(2).poisson(truth)
    assert count_ceiling(counts, seed=3) == pytest.approx(projection_correlation(truth, counts), abs=0.02)


def test_the_ceiling_from_variances():
    # corr(truth, counts)^2 = signal variance / (signal variance + mean) for Poisson counts.
    truth = rates(2)
    expected = np.sqrt(truth.var() / (truth.var() + truth.mean()))
    assert count_ceiling(np.random.default_rng(4).poisson(truth)) == pytest.approx([expected], abs=0.01)


def test_halves_that_agree_or_do_not():
    a = np.random.default_rng(5).random((1, 2, 8, 8))
    assert half_ceiling(a, a) == pytest.approx([1])
    assert half_ceiling(a, -a) == pytest.approx([0])


def test_the_same_coin_gives_the_same_ceiling():
    counts = np.random.default_rng(6).poisson(rates(1))
    assert count_ceiling(counts, seed=1) == count_ceiling(counts, seed=1)
    assert count_ceiling(counts, seed=1) != count_ceiling(counts, seed=2)


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match='whole counts'):
        count_ceiling(np.full((1, 2, 3, 3), 0.5))
    with pytest.raises(InputError, match='shape'):
        projection_correlation(np.zeros((1, 2, 3, 3)), np.zeros((1, 2, 3, 4)))


def test_the_excess_of_the_truth_lies_within_its_error():
    rng = np.random.default_rng(0)
    truth = 6 * rng.random((2, 9, 16, 16)) ** 2
    ratios = []
    for seed in range(12):
        excess, error = ceiling_excess(np.random.default_rng(seed).poisson(truth), truth)
        ratios.append(excess / error)
    assert np.abs(ratios).max() < 4
    assert np.abs(np.mean(ratios)) < 1
    noisy = np.random.default_rng(0).poisson(truth)
    excess, error = ceiling_excess(noisy, truth + 0.5 * (noisy - truth))
    assert (excess > 10 * error).all()


def samples_of(make, tilts, peak, number):
    """Expected maps of a specimen, and counts of them."""
    clean = project(make(20, 2), np.linspace(-50, 50, tilts))
    expected = clean * peak / clean.max()
    return expected, [np.random.default_rng(seed).poisson(expected) for seed in range(number)]


@pytest.mark.parametrize('peak', [30, 2])
@pytest.mark.parametrize(('make', 'tilts'), [(lamella, 9), (porous, 15), (needle, 9)])
def test_the_stated_errors_cover_what_noise_does(make, tilts, peak):
    """Deviations in units of the errors have a spread of 1, of 60 samples and three channels to 0.06 one standard deviation."""
    expected, samples = samples_of(make, tilts, peak, 60)
    correlations = np.array([projection_correlation(counts, expected) for counts in samples])
    pulls = (correlations - correlations.mean(axis=0)) / correlation_error(expected, expected)
    assert pulls.std() == pytest.approx(1, abs=0.18)
    excesses, errors = zip(*(ceiling_excess(counts, expected) for counts in samples[:30]), strict=True)
    pulls = np.array(excesses) / np.array(errors)
    # The truth lies at its ceiling; of 30 samples the spread is known to 0.08.
    assert abs(pulls.mean()) < 0.35
    assert pulls.std() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(('make', 'tilts', 'peak'), [(facetted, 13, 1), (needle, 3, 30)])
def test_the_stated_errors_hold_for_the_fewest_counts_and_tilts(make, tilts, peak):
    """A channel of 0.007 counts per pixel, whose halves hardly correlate; three tilts, of whose scatter nothing is known."""
    expected, samples = samples_of(make, tilts, peak, 60)
    excesses, errors = zip(*(ceiling_excess(counts, expected) for counts in samples), strict=True)
    pulls = np.array(excesses) / np.array(errors)
    assert abs(pulls.mean()) < 0.25
    assert pulls.std() == pytest.approx(1, abs=0.18)


def test_the_excess_does_not_depend_on_the_unit_of_the_projections_nor_on_hidden_pixels():
    truth = 6 * np.random.default_rng(0).random((2, 5, 16, 16)) ** 2
    counts = np.random.default_rng(1).poisson(truth)
    plain = ceiling_excess(counts, truth)
    np.testing.assert_allclose(ceiling_excess(counts, 7 * truth), plain)
    seen = np.ones(truth.shape[1:], bool)
    seen[:, :, 10:] = False
    hidden = ceiling_excess(np.where(seen, counts, 900), np.where(seen, truth, 0), seen)
    np.testing.assert_allclose(hidden, ceiling_excess(counts[..., :10], truth[..., :10]))


def test_a_channel_without_contrast_has_no_excess():
    zeros, ones = np.zeros((1, 3, 4, 4), int), np.ones((1, 3, 4, 4), int)
    for counts, projections in ((zeros, zeros), (ones, ones), (zeros, ones + np.arange(4)), (ones, zeros)):
        excess, error = ceiling_excess(counts, projections)
        assert (excess, error) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize('peak', [100, 30, 5, 1])
@pytest.mark.parametrize('make', [lamella, porous, needle, facetted])
def test_the_stated_errors_cover_to_a_tenth(make, peak):
    expected, samples = samples_of(make, 13, peak, 250)
    correlations = np.array([projection_correlation(counts, expected) for counts in samples])
    pulls = (correlations - correlations.mean(axis=0)) / correlation_error(expected, expected)
    assert pulls.std() == pytest.approx(1, abs=0.1)
    excesses, errors = zip(*(ceiling_excess(counts, expected) for counts in samples), strict=True)
    pulls = np.array(excesses) / np.array(errors)
    assert abs(pulls.mean()) < 0.2
    assert pulls.std() == pytest.approx(1, abs=0.1)


def test_normal_noise_has_its_own_error():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 2, (2, 4, 20, 20))
    variance = rng.uniform(0.2, 3, truth.shape)
    noisy = truth + np.sqrt(variance) * rng.standard_normal((300, *truth.shape))
    correlations = np.array([projection_correlation(maps, truth) for maps in noisy])
    # Of 300 samples a spread is known to 4 %.
    np.testing.assert_allclose(correlations.std(axis=0), correlation_error(truth, truth, variance), rtol=0.15)


def test_the_error_shrinks_with_the_root_of_the_pixels():
    truth = rates(3)
    many, few = correlation_error(truth, truth), correlation_error(truth[:, ::4], truth[:, ::4])
    np.testing.assert_allclose(few, 2 * many, rtol=1e-6)
    assert correlation_error(np.ones((1, 2, 4, 4)), np.ones((1, 2, 4, 4))) == 0
