"""Standards from simulated series whose shapes the search does not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube
from napari_diptomo.simulate.eels_shapes import OXIDES
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.standards import Standards, find_standards
from napari_diptomo.spectra.eels.standards.phase_maps import map_phases


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.fixture(scope='module')
def made():
    """No pixel holds less than 27 % FeO: a film of it lies over the shell."""
    return eels_tilt_series(oxide_nanocube(32), [0.0], seed=0, core_dose=60.0)


@pytest.fixture(scope='module')
def fraction(made):
    """True share of iron in FeO, (y, x)."""
    atoms = made.core_clean[:, 0] / made.model.core.per_iron[:, None, None]
    return atoms[0] / np.maximum(atoms.sum(axis=0), 1e-9)


@pytest.fixture(scope='module')
def calibrated(made):
    return calibrate(made.series)


@pytest.fixture(scope='module')
def found(calibrated):
    return find_standards(calibrated)


def test_shapes_are_those_of_the_truth(made, found):
    true = made.standards_behind(found.thickness)
    edge = (found.energy > 47) & (found.energy < 75)
    for i, oxide in enumerate(OXIDES):
        expected = np.interp(found.energy, made.series.energy, true[oxide])
        assert cosine(found.shapes[edge, i], expected[edge]) > 0.99
        window = (found.energy >= 47) & (found.energy < 62)
        assert found.shapes[window, i].sum() == pytest.approx(1)
    assert found.notes['background'] == 'power law'


@pytest.mark.parametrize(('law', 'family'), [('plasmon', 'plasmon tail'), ('exponential', 'exponential')])
def test_shapes_do_not_depend_on_the_law_of_the_background(law, family):
    simulated = eels_tilt_series(oxide_nanocube(32), [0.0], seed=0, core_dose=60.0, background=law)
    found = find_standards(calibrate(simulated.series))
    assert found.notes['background'] == family
    true = simulated.standards_behind(found.thickness)
    edge = (found.energy > 47) & (found.energy < 75)
    for i, oxide in enumerate(OXIDES):
        assert cosine(found.shapes[edge, i], np.interp(found.energy, simulated.series.energy, true[oxide])[edge]) > 0.99


def test_impure_standards_bias_the_fraction_little(made, found):
    """Edges without background and noise, fitted with what was found: mean error of the fraction under 0.03."""
    edges = made.expected(0)[1]
    own = found.energy
    inside = (own > 47) & (own < 64)
    here = made.iron[0]
    at = np.isin(np.round(made.series.energy, 6), np.round(own, 6))
    spectra = edges[here][:, at] if at.sum() == len(own) else np.stack(
        [np.interp(own, made.series.energy, spectrum) for spectrum in edges[here]]
    )  # fmt: skip
    coefficients = np.linalg.lstsq(found.shapes[inside], spectra[:, inside].T, rcond=None)[0]
    true = made.clean[0, 0][here] / made.clean[:, 0][:, here].sum(axis=0)
    assert abs((coefficients[0] / coefficients.sum(axis=0) - true).mean()) < 0.03


def test_coefficients_from_the_core_loss_are_the_true_ones(made, found, fraction):
    phases = found.phases
    both = phases.iron[0] & made.iron[0]
    ours = (phases.atoms[0, ..., 0] / phases.atoms[0].sum(axis=-1))[both]
    assert abs((ours - fraction[both]).mean()) < 0.03
    assert both.sum() > 0.95 * made.iron[0].sum()


def test_the_purest_pixels_are_not_taken_for_magnetite(found, fraction):
    """The end of the segment holds a third of FeO; the leading edge shows it within its error."""
    phases = found.phases
    true = fraction[phases.ends['Fe3O4'][0]].mean()
    assert phases.method == 'stoichiometric'
    assert 'assumes the Fe3O4 to be stoichiometric' in phases.notes['assumes']
    assert abs(phases.share - true) < 2.5 * phases.share_error


def test_masks_show_what_is_pure(found, fraction):
    assert found.pure['FeO'].sum() > 50
    assert (fraction[found.pure['FeO'][0]] > 0.9).mean() > 0.9
    assert not found.pure['Fe3O4'].any()


def test_standards_are_stored_and_used_on_another_axis(found, tmp_path):
    path = found.save(tmp_path / 'iron')
    again = Standards.load(path)
    assert again.names == found.names
    assert again.thickness == found.thickness
    assert again.notes == found.notes
    for name in ('energy', 'shapes', 'uncertainty', 'per_iron'):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    np.testing.assert_array_equal(again.pure['FeO'], found.pure['FeO'])
    coarse = again.on(np.arange(40.0, 80.0, 0.5))
    inside = (np.arange(40.0, 80.0, 0.5) >= 47) & (np.arange(40.0, 80.0, 0.5) < 62)
    np.testing.assert_allclose(coarse[inside].sum(axis=0), 1, atol=0.03)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / 'other.npz'
    np.savez(path, a=np.ones(3))
    with pytest.raises(InputError, match='no standards'):
        Standards.load(path)
    with pytest.raises(InputError, match='no standards'):
        Standards.load(tmp_path / 'missing.npz')


def test_references_give_the_fraction(made, fraction, calibrated):
    """References given: the true shapes, by name and in either order."""
    energy = made.series.core_loss.energy
    shapes = made.standards_behind(0.2, core=True)
    references = {name: np.stack([energy, shapes[name]]) for name in reversed(OXIDES)}
    phases = map_phases(calibrated, references=references)
    both = phases.iron[0] & made.iron[0]
    ours = (phases.atoms[0, ..., 0] / phases.atoms[0].sum(axis=-1))[both]
    assert phases.method == 'references'
    assert abs((ours - fraction[both]).mean()) < 0.02


def test_pure_regions_of_the_user_are_used(made, calibrated, fraction):
    """A region of 30 % FeO that is called pure becomes the standard: what the user says is accepted."""
    mask = (fraction < 0.35)[None] & made.iron[:1]
    phases = map_phases(calibrated, pure={'Fe3O4': mask})
    assert phases.method == 'pure regions'
    assert phases.share == 0
    ours = phases.atoms[0][mask[0]].sum(axis=0)
    assert ours[0] / ours.sum() == pytest.approx(0, abs=0.02)


def test_a_wrong_core_loss_axis_is_corrected(made, found):
    core = made.series.core_loss
    moved = replace(made.series, core_loss=replace(core, energy=core.energy + 3.0))
    phases = map_phases(moved)
    assert phases.notes['energy_offset'] == pytest.approx(3.0, abs=0.4)
    assert phases.share == pytest.approx(found.phases.share, abs=0.1)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'core_loss': None}, 'no core loss'),
        ({'core': slice(0, 160)}, 'not within'),
        ({'low': slice(0, 270)}, 'end of the low loss'),
        ({'low': slice(0, 120)}, 'needs a low loss'),
    ],
)
def test_ranges_that_do_not_do_are_reported(made, change, words):
    series = made.series
    if 'core_loss' in change:
        series = replace(series, core_loss=None)
    if 'core' in change:
        core, part = series.core_loss, change['core']
        series = replace(series, core_loss=replace(core, counts=core.counts[..., part], energy=core.energy[part]))
    if 'low' in change:
        part = change['low']
        series = replace(series, counts=series.counts[..., part], energy=series.energy[part])
    with pytest.raises(InputError, match=words):
        find_standards(series)


def test_regions_and_references_that_do_not_fit_are_reported(made):
    with pytest.raises(InputError, match='no phase Fe2O3'):
        map_phases(made.series, pure={'Fe2O3': np.ones((1, 32, 32), bool)})
    with pytest.raises(InputError, match='must be a mask'):
        map_phases(made.series, pure={'FeO': np.ones((2, 2, 2), bool)})
    with pytest.raises(InputError, match='reference spectrum'):
        map_phases(made.series, references={'FeO': np.ones((2, 30))})
    with pytest.raises(InputError, match='no way to standards'):
        map_phases(made.series, method='guess')
