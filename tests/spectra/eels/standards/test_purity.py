"""How pure the purest pixels are: closed forms, films thinner than the simulator's, shapes of another generator."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.simulate import eels_model, eels_tilt_series, oxide_nanocube
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.metal_edges import IRON
from napari_diptomo.spectra.eels.standards.phase_maps import map_phases
from napari_diptomo.spectra.eels.standards.purity import leading_height, purity, share_of_counts, share_of_height


def test_the_leading_edge_of_a_mixture_is_inverted():
    shares = np.linspace(0, 1, 11)
    np.testing.assert_allclose(share_of_height(leading_height(shares, IRON), IRON), shares, atol=1e-12)
    # Pure FeO has all of it; Fe3O4 a third per atom, and 7/6 as many counts.
    assert leading_height(1.0, IRON) == pytest.approx(1)
    assert leading_height(0.0, IRON) == pytest.approx(1 / 3 * 6 / 7)


@pytest.mark.parametrize(('first', 'second'), [(1.0, 0.28), (0.6, 0.05)])
def test_shares_of_both_ends_come_back_from_their_leading_edge_and_contrast(first, second):
    height = leading_height(second, IRON) / leading_height(first, IRON)
    apparent = float(share_of_height(height, IRON))
    contrast = float(share_of_counts(first, IRON) - share_of_counts(second, IRON))
    rim = (first == 1.0, first < 1.0)
    found = purity((apparent, 0.03), 0.25 * contrast, (0.25, 0.1), (0.03, 0.03), rim, IRON)
    np.testing.assert_allclose(found.shares, [first, second], atol=0.08)
    assert (np.abs(found.shares - [first, second]) < 2 * found.errors + 0.01).all()
    assert (found.pure > 0.5) == (first == 1.0)


def gaussian(energy, centre, fwhm):
    return np.exp(-4 * np.log(2) * ((energy - centre) / fwhm) ** 2)


def digitised(energy, oxide, edge='L', variation=None):
    """Sums of Gaussians and an arctangent, unlike the multiplets: L2,3 per iron atom."""
    if edge == 'M':
        return eels_model_shape(energy, oxide, edge, variation)
    reduced = (
        0.72 * gaussian(energy, 707.9, 1.9) + 0.2 * gaussian(energy, 710.6, 2.6) + 0.16 * gaussian(energy, 720.9, 2.6)
    )
    ferric = (
        0.2 * gaussian(energy, 708.1, 1.5) + 0.74 * gaussian(energy, 709.7, 2.0) + 0.2 * gaussian(energy, 723.2, 3.0)
    )
    step = 0.045 * (0.5 + np.arctan((energy - 711.5) / 0.8) / np.pi) * (energy > 695)
    lines = 1.6 * reduced / 1.90
    mixed = 1.6 / 3 * reduced / 1.90 + 4 / 3 * ferric / 1.90
    return (lines if oxide == 'FeO' else mixed) + step


eels_model_shape = eels_model.edge_shape


@pytest.mark.parametrize('shapes', ['multiplets', 'Gaussians'])
@pytest.mark.parametrize('film', [2.0, 1.0, 0.0])
def test_the_fraction_of_a_thin_film_is_within_two_errors(shapes, film, monkeypatch):
    """A pixel of film gave 0.75 +- 0.03 where 0.65 is true, none at all was refused."""
    if shapes == 'Gaussians':
        monkeypatch.setattr(eels_model, 'edge_shape', digitised)
    made = eels_tilt_series(oxide_nanocube(32, film=film, ligand=1.0), [0.0], seed=2, read_noise=0.0)
    phases = map_phases(calibrate(made.series))
    inside = made.iron[0] & phases.iron[0]
    true = (made.core_clean[:, 0] / made.model.core.per_iron[:, None, None])[:, inside].sum(axis=1)
    found = phases.atoms[0][inside].sum(axis=0)
    slope = np.array([-found[0], found[1]]) / found.sum()
    error = np.hypot(2 / 3 * np.sqrt(slope @ np.array(phases.notes['impurity']) @ slope), 0.01)
    shares = [(a[0] + a[1] / 3) / a.sum() for a in (found, true)]
    assert abs(shares[0] - shares[1]) < 2 * error
    assert error < 0.16
