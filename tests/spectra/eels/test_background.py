"""Families of backgrounds: each finds its own law under edges, and their spread is the systematic error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.spectra.eels.background import BACKGROUND_MODELS, fit_background, modulations
from napari_diptomo.spectra.eels.scattering import SingleLoss, zero_loss_of_sum
from napari_diptomo.spectra.eels.systematics import edge_over_background, fit_background_models, shares

MANGANESE = Path(__file__).parents[4] / 'shared' / 'data' / 'spectra' / 'lowloss_spectrum.msa'
ENERGY = np.arange(36.0, 95.0, 0.25)
LAWS = {
    'power law': 2e5 * (ENERGY / 54) ** -2.6,
    'exponential': 2e5 * np.exp(-(ENERGY - 54) / 16),
    'log-polynomial': 2e5 * np.exp(-2.5 * np.log(ENERGY / 54) - 1.2 * np.log(ENERGY / 54) ** 2),
    'sum of power laws': 1.2e5 * (ENERGY / 54) ** -2 + 8e4 * (ENERGY / 54) ** -5,
}


def edge():
    shape = np.exp(-(((ENERGY - 57) / 2) ** 2)) + 0.1 / (1 + np.exp(58 - ENERGY))
    return (shape / shape[(ENERGY >= 47) & (ENERGY < 62)].sum())[:, None]


@pytest.mark.parametrize('law', LAWS)
def test_each_family_finds_its_own_law_under_an_edge(law):
    background = LAWS[law]
    counts = background + 4e6 * edge()[:, 0]
    found = fit_background(law, ENERGY, counts, edge())
    np.testing.assert_allclose(found.intensities, 4e6, rtol=1e-3)
    np.testing.assert_allclose(found.spectrum, background, rtol=2e-3)
    noisy = np.random.default_rng(0).poisson(counts)
    assert fit_background(law, ENERGY, noisy, edge()).chi2 == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(('law', 'wrong'), [('power law', 'exponential'), ('exponential', 'sum of power laws')])
def test_a_wrong_law_shows_in_chi_square(law, wrong):
    counts = np.random.default_rng(1).poisson(LAWS[law] + 4e6 * edge()[:, 0])
    assert fit_background(wrong, ENERGY, counts, edge()).chi2 > 20


def test_plasmons_and_their_multiples():
    """P * P of a Drude plasmon has its maximum near twice the energy of P."""
    losses = 0.25 * np.arange(400)
    drude = losses / ((losses**2 - 22**2) ** 2 + (10 * losses) ** 2)
    single = SingleLoss(drude / drude.sum(), 0.25, 0.5)
    one, two = single.multiples(2)
    assert one.sum() == pytest.approx(1)
    assert losses[two.argmax()] == pytest.approx(2 * losses[one.argmax()], abs=2.5)
    background = 1e8 * (0.5 * np.interp(ENERGY, losses, one) + 0.125 * np.interp(ENERGY, losses, two))
    counts = background + 4e6 * edge()[:, 0]
    found = fit_background('plasmon tail', ENERGY, counts, edge(), single=single)
    np.testing.assert_allclose(found.intensities, 4e6, rtol=5e-3)
    np.testing.assert_allclose(found.parts[:, 1], 1e8 * 0.125 * np.interp(ENERGY, losses, two), rtol=0.02)
    assert found.columns(ENERGY, 1).shape == (len(ENERGY), 3)
    assert found.columns(ENERGY, 0).shape == (len(ENERGY), 1)


def test_columns_are_not_negative_and_make_up_the_background():
    assert (modulations(ENERGY, 3) >= 0).all()
    np.testing.assert_allclose(modulations(ENERGY, 3).sum(axis=1), 1)
    found = fit_background('power law', ENERGY, LAWS['power law'], edge())
    for order in (0, 1, 2):
        columns = found.columns(ENERGY, order)
        assert columns.shape == (len(ENERGY), order + 1)
        assert (columns >= 0).all()
        np.testing.assert_allclose(columns.sum(axis=1), found.spectrum)


def test_channels_that_are_not_used_are_only_predicted():
    background = LAWS['power law']
    counts = background + 4e6 * edge()[:, 0]
    used = (ENERGY < 45) | (ENERGY > 200)
    found = fit_background('power law', ENERGY, counts, np.zeros((len(ENERGY), 0)), used=used)
    np.testing.assert_allclose(found.spectrum, background, rtol=5e-3)


def test_spread_of_background_models_is_a_covariance_of_the_intensities():
    energy = np.arange(30.0, 100.0, 0.5)
    shape = np.exp(-(((energy - 57) / 2) ** 2))[:, None]
    mean = 100 * np.exp(-(energy - 54) / 16) + 60 * shape[:, 0]
    counts = np.random.default_rng(2).poisson(mean, (500, len(energy)))
    found = fit_background_models(counts, energy, shape, ('exponential', 'power law'))
    assert found.best == 'exponential'
    assert found.weights['exponential'] > 0.9
    off = found.fits['power law'].intensities - found.fit.intensities
    np.testing.assert_allclose(found.systematic[:, 0, 0], found.weights['power law'] * off[:, 0] ** 2)
    assert (found.covariance >= found.fit.covariance).all()


def test_errors_of_the_standards_become_errors_of_the_intensities():
    energy = np.arange(30.0, 100.0, 0.5)
    shape = np.exp(-(((energy - 57) / 2) ** 2))[:, None]
    mean = (100 * np.exp(-(energy - 54) / 16) + 60 * shape[:, 0])[None]
    covariance = fit_background_models(
        mean, energy, shape, ('exponential',), uncertainty=np.full_like(shape, 0.02)
    ).systematic
    rng = np.random.default_rng(3)
    wrong = [shape + 0.02 * rng.standard_normal(shape.shape) for _ in range(300)]
    scatter = np.var(
        [fit_background_models(mean, energy, one, ('exponential',)).fit.intensities[0, 0] for one in wrong]
    )
    assert covariance[0, 0, 0] == pytest.approx(scatter, rel=0.3)


def test_shares_and_their_errors():
    intensities = np.array([[300.0, 700.0], [0.0, 500.0], [0.0, 0.0]])
    covariance = np.tile(np.array([[400.0, -100.0], [-100.0, 900.0]]), (3, 1, 1))
    share, std = shares(intensities, covariance)
    np.testing.assert_allclose(share[:2], [[0.3, 0.7], [0, 1]])
    # d share = (0.7 da - 0.3 db) / 1000.
    known = np.sqrt(0.49 * 400 + 0.09 * 900 + 2 * 0.7 * 0.3 * 100) / 1000
    np.testing.assert_allclose(std[0], known)
    assert np.isnan(share[2]).all()
    np.testing.assert_allclose(shares(intensities, covariance, (1.0, 7 / 3))[0][0], 0.5)


def test_what_cannot_be_done_is_reported():
    counts = LAWS['power law']
    with pytest.raises(InputError, match='There is no background straight'):
        fit_background('straight', ENERGY, counts, edge())
    with pytest.raises(InputError, match='needs the zero loss'):
        fit_background('plasmon tail', ENERGY, counts, edge())
    with pytest.raises(InputError, match='at least one background'):
        fit_background_models(counts[None], ENERGY, edge(), ('plasmon tail',))
    with pytest.raises(InputError, match='no zero loss'):
        zero_loss_of_sum(ENERGY, counts)


@pytest.mark.skipif(not MANGANESE.is_file(), reason='the measured manganese spectra are not here')
def test_spread_under_a_measured_edge_is_as_large_as_known():
    """Mn-M2,3 over its background in 47-62 eV, background from 36-46 eV: +0.26, +0.40, -0.02, +0.07 as measured."""
    lines = MANGANESE.read_text(encoding='latin-1').splitlines()
    counts = np.array([float(line.strip(' ,')) for line in lines if line and not line.startswith('#')])
    energy = -40 + 0.2 * np.arange(len(counts))
    energy -= energy[counts.argmax()]
    found = edge_over_background(energy, counts, (47, 62), (36, 46))
    known = {'power law': 0.26, 'exponential': 0.40, 'log-polynomial': -0.02, 'sum of power laws': 0.07}
    assert found.values == pytest.approx(known, abs=0.03)
    # Half of what lies between a power law and a log-polynomial.
    assert found.error > 0.14
    assert set(known) <= set(BACKGROUND_MODELS)
