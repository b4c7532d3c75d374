"""Oxidation state maps: known fractions come back within their errors, through the step and from the spectra alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.assess import fraction_maps
from napari_diptomo.series import Cancelled, InputError, Observer, Recipe, Request, SpectralTiltSeries
from napari_diptomo.simulate.eels import eels_tilt_series
from napari_diptomo.simulate.eels_shapes import ShapeVariation
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.spectra import EELSOxidationMaps
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.explained_losses import explain_eels
from napari_diptomo.spectra.eels.standards.search import find_standards

ANGLES = [-45.0, 0.0, 45.0]
#: One family of backgrounds, for tests of something else.
QUICK = {'background': 'sum of power laws'}


@pytest.fixture(scope='module')
def sim():
    return eels_tilt_series(oxide_nanocube(32), ANGLES, seed=1, read_noise=0.0)


@pytest.fixture(scope='module')
def maps(sim):
    return EELSOxidationMaps().run(replace(sim.series, recipe=Recipe()))


@pytest.fixture(scope='module')
def stored(sim, tmp_path_factory):
    path = tmp_path_factory.mktemp('standards') / 'iron.npz'
    return str(find_standards(calibrate(sim.series)).save(path))


def true_atoms(sim):
    """Iron of each oxide, (state, tilt, y, x), in M2,3 counts of FeO."""
    per_iron = np.array([sim.per_iron[oxide] for oxide in ('FeO', 'Fe3O4')])
    return sim.clean / per_iron[:, None, None, None]


def true_fraction(sim):
    """Share of Fe2+ of each pixel."""
    atoms = true_atoms(sim)
    return (atoms[0] + atoms[1] / 3) / np.maximum(atoms.sum(axis=0), 1e-9)


def test_the_mean_fraction_of_each_tilt_is_the_true_one(sim, maps):
    atoms = true_atoms(sim)
    for t, notes in enumerate(maps.notes['eels']['tilts']):
        sums = atoms[:, t][:, sim.iron[t]].sum(axis=1)
        value, statistical, _ = notes['fraction']
        assert value == pytest.approx((sums[0] + sums[1] / 3) / sums.sum(), abs=0.03)
        assert 0 < statistical < 0.02
        assert notes['chi2'] < 2


def test_errors_of_the_fraction_hold_pixel_by_pixel(sim, maps):
    found = fraction_maps(maps)
    inside = found.carried & (sim.clean.sum(axis=0) > 500)
    pulls = (found.fraction - true_fraction(sim))[inside] / found.fraction_std[inside]
    assert abs(pulls.mean()) < 0.5
    assert 0.8 < pulls.std() < 1.25
    assert 0.6 < (np.abs(pulls) < 1).mean() < 0.8


def test_where_no_iron_is_maps_scatter_about_zero(sim, maps):
    empty = sim.clean.sum(axis=0) < 1
    inside = sim.iron
    for channel in maps.data:
        assert abs(channel[empty].mean()) < 0.02 * channel[inside].mean()
    assert (maps.data[:, empty] < 0).any()
    assert (maps.variance > 0).all()


def test_held_out_counts_are_an_unbiased_share(sim, maps):
    inside = sim.iron
    for all_, held, variance in zip(maps.data, maps.held_out, maps.variance, strict=True):
        off = (held - 0.1 * all_)[inside]
        # Given the counts, a share of 0.1 of them scatters with a variance of 0.1 * 0.9 of theirs.
        error = np.sqrt(0.09 * variance[inside])
        assert abs(off.sum()) < 4 * np.sqrt((error**2).sum())
        assert (off / error).std() == pytest.approx(1, abs=0.12)
    assert maps.held_out_share == 0.1


def test_the_notes_record_what_was_done(maps):
    notes = json.loads(json.dumps(maps.notes))
    assert {'background', 'tilts', 'standards', 'calibration', 'deconvolution', 'window_eV', 'held_out'} <= set(
        notes['eels']
    )
    assert notes['eels']['background']['family'] in ('sum of power laws', 'power law', 'log-polynomial')
    assert 'assumes' in notes['eels']['standards']
    assert notes['oxidation']['states'] == ['FeO', 'Fe3O4']
    covariance = np.array(notes['oxidation']['covariance_per_atom'])
    assert covariance[0, 1] < -0.6 * np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert 0 < notes['oxidation']['systematic_valence'] < 0.1
    for tilt in notes['eels']['tilts']:
        assert set(tilt['systematic_share']) == {'FeO', 'Fe3O4'}
    assert Recipe.from_json(maps.recipe.to_json()).steps == (EELSOxidationMaps(),)


def test_independent_sums_hold_the_same_maps(sim, stored, maps):
    step = EELSOxidationMaps(standards=stored, unit='edge counts', **QUICK)
    plain = step.model_copy(update={'deliver': 'maps'}).run(sim.series)
    sums = step.run(sim.series)
    assert plain.mixing is None
    again = sums.unmixed()
    np.testing.assert_allclose(again.data, plain.data, atol=2e-3 * np.abs(plain.data).max())
    np.testing.assert_allclose(again.held_out, plain.held_out, atol=2e-3 * np.abs(plain.held_out).max())
    assert (sums.mixing >= 0).all() and sums.channels == ('FeO', 'Fe3O4')
    # The sum is known far better than Fe3O4, its least certain part.
    weighted = sums.mixing[1] @ sim.clean[:, sim.iron].mean(axis=1)
    relative = np.sqrt(sums.variance[1][sim.iron].mean()) / weighted
    assert relative < 0.5 * np.sqrt(plain.variance[1][sim.iron].mean()) / sim.clean[1][sim.iron].mean()
    assert fraction_maps(sums).fraction[sim.iron].mean() == pytest.approx(
        fraction_maps(plain).fraction[sim.iron].mean(), abs=0.02
    )


def test_stored_standards_serve_a_low_loss_alone(sim, stored):
    other = eels_tilt_series(
        oxide_nanocube(24), [0.0], seed=9, read_noise=0.0, variation=sim.variation, edge_counts=4000, jitter_ev=0.2
    )
    series = replace(other.series, core_loss=None)
    found = EELSOxidationMaps(standards=stored, **QUICK).run(series)
    sums = true_atoms(other)[:, 0][:, other.iron[0]].sum(axis=1)
    assert found.notes['eels']['tilts'][0]['fraction'][0] == pytest.approx(
        (sums[0] + sums[1] / 3) / sums.sum(), abs=0.05
    )


def test_counts_with_read_out_noise_are_not_split(sim, stored):
    rng = np.random.default_rng(0)
    noisy = sim.series.counts[:1] + rng.normal(0, 1, sim.series.counts[:1].shape).astype(np.float32)
    series = SpectralTiltSeries(noisy, sim.series.energy, ANGLES[:1], 1.0, energy_unit='eV')
    found = EELSOxidationMaps(standards=stored, **QUICK).run(series)
    assert found.held_out is None and found.notes['eels']['held_out'] == 'nothing'


def test_fourier_log_where_the_background_is_that_of_plasmons(sim, stored):
    plasmons = eels_tilt_series(
        oxide_nanocube(32), [0.0], seed=2, read_noise=0.0, variation=sim.variation, background='plasmon'
    )
    found = EELSOxidationMaps(standards=stored, deconvolve='Fourier-log').run(plasmons.series)
    sums = true_atoms(plasmons)[:, 0][:, plasmons.iron[0]].sum(axis=1)
    value, statistical, systematic = found.notes['eels']['tilts'][0]['fraction']
    # The purity of the standards is known to a few per cent only, and the error says so.
    error = np.hypot(statistical, systematic)
    assert error < 0.05
    assert value == pytest.approx((sums[0] + sums[1] / 3) / sums.sum(), abs=error)
    assert 'Fourier-log' in found.notes['eels']['deconvolution']


def test_curves_of_a_region(sim):
    whole = explain_eels(sim.series)
    found = explain_eels(sim.series, tilt=1, region=sim.iron[1])
    inside = np.isfinite(found.low.model)
    assert found.low.window == (36.0, pytest.approx(95, abs=0.1))
    parts = found.low.background + sum(found.low.standards.values())
    np.testing.assert_allclose(found.low.model[inside], parts[inside])
    assert found.low.chi2 < 2 and set(found.low.backgrounds) == set(found.low.weights)
    sums = true_atoms(sim)[:, 1][:, sim.iron[1]].sum(axis=1)
    assert 3 - found.valence[0] == pytest.approx((sums[0] + sums[1] / 3) / sums.sum(), abs=0.04)
    core = found.core.standards
    shown = sim.core_expected(1)[1][sim.iron[1]][:, sim.model.core.window].sum()
    energy = (found.core.energy >= 704) & (found.core.energy < 729)
    assert sum(np.nansum(curve[energy]) for curve in core.values()) == pytest.approx(shown, rel=0.05)
    assert explain_eels(sim.series, tilt=0).core is None and whole.core is not None
    assert set(found.pure) == {'FeO', 'Fe3O4'}


def test_curves_without_standards_say_why(sim):
    found = explain_eels(replace(sim.series, core_loss=None), tilt=1)
    assert 'core loss' in found.why_not and found.standards is None and found.valence is None
    assert np.isfinite(found.low.background).any()
    with pytest.raises(InputError, match='no tilt 7'):
        explain_eels(sim.series, tilt=7)
    with pytest.raises(InputError, match='no pixel'):
        explain_eels(sim.series, region=np.zeros((32, 32), bool))


def cut(series, low=None, high=None):
    """The same low loss over a shorter range."""
    inside = np.ones(len(series.energy), bool)
    if low is not None:
        inside &= series.energy >= low
    if high is not None:
        inside &= series.energy <= high
    return replace(series, counts=series.counts[..., inside], energy=series.energy[inside])


def saturated(series):
    return replace(series, counts=np.minimum(series.counts, 0.02 * series.counts.max()))


def empty_tilt(series):
    counts = series.counts.copy()
    counts[2] = counts[2, :1, :1]
    return replace(series, counts=counts)


def dark(series):
    return replace(series, counts=series.counts - 2000)


def one_phase(series):
    """A core loss that is alike everywhere but for how much there is."""
    core = series.core_loss
    total = core.counts.sum(axis=-1, keepdims=True) / core.counts.sum()
    counts = np.random.default_rng(0).poisson(total * core.counts.sum(axis=(0, 1, 2))).astype(np.float32)
    return replace(series, core_loss=replace(core, counts=counts))


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda s: cut(s, low=5.0), 'no zero loss'),
        (lambda s: cut(s, high=60.0), 'at the end of the low loss'),
        (lambda s: replace(s, core_loss=None), 'no core loss'),
        (saturated, 'saturated'),
        (empty_tilt, 'vacuum'),
        (dark, 'dark'),
        (one_phase, 'one phase'),
        (lambda s: replace(s, core_loss=None, energy_unit='keV'), 'X-rays'),
    ],
)
def test_bad_spectra_are_reported_in_a_sentence(sim, change, words):
    with pytest.raises(InputError, match=words) as raised:
        EELSOxidationMaps().run(change(sim.series))
    assert str(raised.value).endswith('.')


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'states': ('FeO',)}, 'two different oxides'),
        ({'states': ('FeO', 'MnO')}, 'no oxide of Fe'),
        ({'element': 'Mn'}, 'no oxide of Mn'),
        ({'states': ('FeO', 'iron')}, 'not the formula'),
    ],
)
def test_bad_parameters_are_reported(values, words):
    with pytest.raises(InputError, match=words):
        EELSOxidationMaps(**values)


@pytest.mark.parametrize(
    ('step', 'words'),
    [
        (EELSOxidationMaps(standards='/nowhere.npz'), 'holds no standards'),
        (EELSOxidationMaps(references='/nowhere.csv'), 'Cannot read the reference'),
        (EELSOxidationMaps(method='references'), 'needs a file'),
        (EELSOxidationMaps(states=('FeO', 'Fe3O4', 'Fe2O3')), 'two oxides of one 3d metal'),
        (EELSOxidationMaps(element='Mn', states=('MnO', 'Mn3O4')), 'Mn-L2,3 at 640 eV is not within'),
        (EELSOxidationMaps(element='Cr', states=('CrO', 'Cr2O3')), 'mixed up with O-K'),
        (EELSOxidationMaps(energy_min=50.0), 'does not hold'),
    ],
)
def test_what_cannot_be_mapped_is_reported(sim, step, words):
    with pytest.raises(InputError, match=words):
        step.run(sim.series)


@pytest.fixture(scope='module')
def manganese():
    """Edges of iron 6 eV lower at M2,3 and 68 eV lower at L2,3: where those of manganese are."""
    lower = ShapeVariation(shift={'FeO': -6.0, 'Fe3O4': -6.0})
    made = eels_tilt_series(oxide_nanocube(32), [0.0], seed=0, core_dose=60.0, read_noise=0.0, variation=lower)
    core = made.series.core_loss
    return made, replace(made.series, core_loss=replace(core, energy=core.energy - 62))


def test_oxides_of_another_metal_are_distinguished_by_references(manganese, tmp_path):
    made, series = manganese
    shapes = [series.core_loss.energy, *made.core_standards.values()]
    np.savetxt(tmp_path / 'mn.csv', np.stack(shapes, axis=1), delimiter=',', header='energy,MnO,Mn3O4', comments='')
    step = EELSOxidationMaps(element='Mn', states=('MnO', 'Mn3O4'), references=str(tmp_path / 'mn.csv'))
    found = step.run(series).notes
    sums = true_atoms(made)[:, 0][:, made.iron[0]].sum(axis=1)
    assert found['eels']['tilts'][0]['fraction'][0] == pytest.approx((sums[0] + sums[1] / 3) / sums.sum(), abs=0.06)
    # 5 holes in MnO, 17/3 in Mn3O4.
    assert found['oxidation']['counts_per_atom'] == pytest.approx([1, 17 / 15])


def test_without_references_the_purest_mixtures_pass_for_oxides_and_it_is_recorded(manganese):
    _, series = manganese
    step = EELSOxidationMaps(element='Mn', states=('MnO', 'Mn3O4'), **QUICK)
    notes = step.run(series).notes['eels']['standards']
    assert notes['method'] == 'simplex'
    assert 'in no error' in notes['assumes']
    assert notes['L3_maxima'] == pytest.approx([639.8, 641.4], abs=0.5)
    with pytest.raises(InputError, match='known of iron alone'):
        step.model_copy(update={'method': 'stoichiometric'}).run(series)


def test_cancel_is_obeyed(sim, stored):
    stages = []

    class Impatient(Observer):
        def report(self, progress):
            stages.append(progress.stage)

        def request(self):
            return Request.CANCEL if EELSOxidationMaps.title in stages else Request.GO

    with pytest.raises(Cancelled):
        EELSOxidationMaps(standards=stored, **QUICK).run(sim.series, Impatient())
    assert stages.count(EELSOxidationMaps.title) == 1
