"""Thin specimens, saturated zero losses, spoilt channels: the fit continues, or says in a sentence why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.simulate.eels import eels_tilt_series
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.spectra import EELSOxidationMaps
from napari_diptomo.spectra.eels.background import TiltBackground
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.metal_edges import CoreLossEdge
from napari_diptomo.spectra.eels.pixel_solver import PixelSolver
from napari_diptomo.spectra.eels.standards import Standards, find_standards
from napari_diptomo.spectra.eels.standards.matching import moved
from napari_diptomo.spectra.eels.tilt_fits import plan_fit

QUICK = EELSOxidationMaps(background='power law')


@pytest.fixture(scope='module')
def sim():
    return eels_tilt_series(oxide_nanocube(28), np.linspace(-60, 60, 3), seed=0, read_noise=0.0)


@pytest.fixture(scope='module')
def calibrated(sim):
    return calibrate(sim.series)


@pytest.fixture(scope='module')
def standards(calibrated):
    return find_standards(calibrated)


def without_thickness(calibrated, tilt, pixels=np.s_[:]):
    """The zero loss of these pixels is saturated."""
    thickness = calibrated.t_over_lambda.copy()
    thickness[tilt][pixels] = np.nan
    return replace(calibrated, t_over_lambda=thickness)


def test_one_saturated_pixel_does_not_take_the_thickness_from_the_standards(calibrated, standards):
    iron = tuple(np.argwhere(standards.phases.iron[0])[0])
    spoilt = find_standards(without_thickness(calibrated, standards.tilts[0], iron))
    assert spoilt.thickness == pytest.approx(standards.thickness, rel=0.02)
    np.testing.assert_allclose(spoilt.shapes, standards.shapes, atol=2e-3)


def test_standards_of_a_series_without_calibration_have_the_thickness_of_its_pixels(
    sim, calibrated, standards, tmp_path
):
    raw = find_standards(calibrated.series)
    assert np.isnan(raw.thickness)
    stored = Standards.load(raw.save(tmp_path / 'raw'))
    fit, _ = plan_fit(QUICK.fit_settings(), calibrated, stored)
    assert fit.thickness == pytest.approx(standards.thickness, rel=0.2)


@pytest.mark.parametrize('tilt', [0, 1])
def test_a_tilt_without_thickness_is_fitted_with_the_typical_one(calibrated, standards, tilt):
    maps = QUICK.maps(without_thickness(calibrated, tilt), standards)
    expected = QUICK.maps(calibrated, standards)
    np.testing.assert_allclose(maps.data[:, tilt].sum((1, 2)), expected.data[:, tilt].sum((1, 2)), rtol=0.15)


def test_no_thickness_at_all_is_reported(calibrated, standards):
    with pytest.raises(InputError, match='deconvolve to none'):
        QUICK.maps(without_thickness(calibrated, np.s_[:]), standards)


def test_a_simplex_hands_its_impurity_on_to_the_maps(calibrated):
    found = find_standards(calibrated, method='simplex')
    fit, _ = plan_fit(QUICK.fit_settings(), calibrated, found)
    assert fit.impurity == pytest.approx(found.phases.share_error)
    assert fit.impurity > 0.3


def test_a_family_of_plasmons_without_one_of_its_parts_can_be_solved():
    energy = np.linspace(40.0, 80.0, 80)
    parts = np.stack([energy**-2.0, energy**-3.0, 0 * energy], axis=1) * 1e6
    edges = np.exp(-((energy - 54) ** 2) / 20)[:, None]
    background = TiltBackground('plasmon tail', parts, np.ones(1), 1.0, 0 * energy)
    clean = background.spectrum + 50 * edges[:, 0]
    for columns in (background.columns(energy), np.hstack([background.columns(energy), 0 * edges])):
        solver = PixelSolver.of(edges, columns, clean, 0.0, True)
        intensities, _, covariance, _, _ = solver.solve(clean[None], edges, None)
        assert intensities[0, 0] == pytest.approx(50, rel=1e-3)
        assert covariance[0, 0, 0] > 0


def test_a_value_that_is_no_number_in_the_core_loss_is_reported(sim):
    counts = np.array(sim.series.core_loss.counts, float)
    counts[0, 3, 4, 5] = np.nan
    series = replace(sim.series, core_loss=replace(sim.series.core_loss, counts=counts))
    for run in (EELSOxidationMaps().run, find_standards):
        with pytest.raises(InputError, match=r'core loss.* not numbers'):
            run(series)


def test_oxides_without_white_lines_are_reported():
    with pytest.raises(InputError, match='Cu2O has a full d shell'):
        EELSOxidationMaps(element='Cu', states=('Cu2O', 'CuO'))
    with pytest.raises(InputError, match='no white lines'):
        CoreLossEdge.of(('Cu2O', 'CuO'))


def test_an_impurity_moves_counts_from_one_oxide_to_the_other(calibrated, standards):
    """A share e of the first oxide in the standard of the last: e a_2 counts are booked as the last and are the first's.

    With r atoms in the last of all and c counts per atom, dV / de = r [(v_1 - V) c_2 / c_1 - (v_2 - V)]; nothing is
    lost in the move, so both terms lower the valence. V alone determines r.
    """
    sigma = 0.5
    pure, impure = (
        QUICK.maps(calibrated, replace(standards, notes={'impurity': [[0.0, 0.0], [0.0, share**2]]}))
        for share in (0.0, sigma)
    )
    assert pure.notes['oxidation']['counts_per_atom'] == pytest.approx([1, 7 / 6])
    for before, after in zip(pure.notes['eels']['tilts'], impure.notes['eels']['tilts'], strict=True):
        valence = before['mean_valence'][0]
        ratio = (valence - 2) / (8 / 3 - 2)
        slope = ratio * ((2 - valence) * 7 / 6 - (8 / 3 - valence))
        added = np.sqrt(after['mean_valence'][2] ** 2 - before['mean_valence'][2] ** 2)
        assert added == pytest.approx(sigma * abs(slope), rel=0.02)


def test_counts_that_are_held_out_cost_the_maps_no_precision(calibrated, standards):
    """The maps hold the held-out counts as well: the errors of all counts are those of a fit to all of them."""
    certain = replace(standards, uncertainty=0 * standards.uncertainty, notes={})
    whole, half = (
        QUICK.model_copy(update={'holdout': share}).maps(calibrated, certain).variance for share in (0.0, 0.5)
    )
    bright = whole > np.quantile(whole, 0.8)
    assert np.median(half[bright] / whole[bright]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(('thickness', 'background'), [(1.0, 'plasmon'), (1.2, 'exponential')])
def test_thick_specimens_have_standards(thickness, background):
    """Groups whose standards, taken to a smaller thickness, add up to less than nothing ended in numbers that are none."""
    thick = eels_tilt_series(
        oxide_nanocube(32, ligand=1.0), [0.0], seed=0, t_over_lambda=thickness, background=background
    )
    found = find_standards(calibrate(thick.series))
    edge = (found.energy > 47) & (found.energy < 75)
    for i, true in enumerate(thick.standards_behind(found.thickness).values()):
        expected = np.interp(found.energy, thick.series.energy, true)[edge]
        ours = found.shapes[edge, i]
        assert ours @ expected > 0.98 * np.linalg.norm(ours) * np.linalg.norm(expected)


def test_a_specimen_of_three_mean_free_paths_is_fitted_or_refused_in_a_sentence():
    thick = eels_tilt_series(oxide_nanocube(32, ligand=1.0), [0.0], seed=0, t_over_lambda=3.0, background='plasmon')
    try:
        found = find_standards(calibrate(thick.series))
    except InputError as error:
        assert str(error).endswith('.')
    else:
        assert np.isfinite(found.shapes).all()


@pytest.mark.parametrize('by', [-0.5, 1.0])
def test_stored_standards_off_axis_are_moved_to_the_series(calibrated, standards, by):
    stored = replace(standards, phases=None, shapes=moved(standards.shapes, standards.energy, by, 0.0))
    off, there = (QUICK.maps(calibrated, one).notes['eels'] for one in (stored, standards))
    assert off['stored_standards']['shift'][0] == pytest.approx(-by, abs=0.05)
    for one, other in zip(off['tilts'], there['tilts'], strict=True):
        assert one['fraction'][0] == pytest.approx(other['fraction'][0], abs=0.02)
