"""With HAADF or without: the held-out counts decide, and the run says what it found."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.reconstruct import DIPmTV, haadf_verdict
from napari_diptomo.reconstruct.dip import ensemble, haadf_contest, haadf_fit
from napari_diptomo.reconstruct.dip.haadf_contest import ALONE, FIRST, SECOND
from napari_diptomo.reconstruct.haadf_calibration import intensity_of_volume
from napari_diptomo.reconstruct.haadf_observation import HAADFObservation
from napari_diptomo.reconstruct.haadf_verdict import haadf_helps
from napari_diptomo.series import Cancelled, Observer, Request
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.simulate import facetted, tilt_series
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series

SMALL = {'widths': (8, 16), 'skips': (4, 4), 'learning_rate': 2e-2}
TILTS, WIDE = np.arange(-40, 41, 10.0), np.arange(-70, 71, 10.0)


@pytest.fixture(scope='module')
def specimen():
    return facetted(24, seed=21)


@pytest.fixture(scope='module')
def simulated(specimen):
    return tilt_series(specimen, TILTS, 40, 1)


@pytest.fixture(scope='module')
def maps(specimen, simulated):
    recorded = haadf_series(specimen, WIDE, HAADFModel(damping=0.1, misregistration=0.5), seed=2)
    return replace(simulated.maps, haadf_series=HAADFSeries(recorded.images, WIDE, simulated.maps.pixel_size))


@pytest.fixture(scope='module')
def small():
    """For fits of networks, of which the course is looked at, and what is equal to the bit."""
    specimen = facetted(16, seed=21)
    simulated = tilt_series(specimen, TILTS, 40, 1).maps
    recorded = haadf_series(specimen, WIDE, HAADFModel(damping=0.1, misregistration=0.5), seed=2)
    return replace(simulated, haadf_series=HAADFSeries(recorded.images, WIDE, simulated.pixel_size))


@pytest.fixture(scope='module')
def plain(small):
    """Of the maps alone."""
    return DIPmTV(iterations=12, **SMALL).run(replace(small, haadf_series=None))


@pytest.fixture(scope='module')
def unticked(small):
    return DIPmTV(iterations=12, haadf=False, **SMALL).run(small)


@pytest.mark.parametrize(('lost', 'damping'), [(0.1, 0.215), (0.5, 1.594)])
def test_weights_and_damping_follow_from_the_projections_of_a_volume(specimen, simulated, lost, damping):
    recorded = haadf_series(specimen, WIDE, HAADFModel(damping=lost, misregistration=0.5), seed=2)
    images = HAADFSeries(recorded.images, WIDE, simulated.maps.pixel_size)
    problem = DIPmTV(**SMALL).prepare(replace(simulated.maps, haadf_series=images))
    found = intensity_of_volume(problem, torch.as_tensor(simulated.truth.data))
    # A and B are no elements and begin alike; the simulator has 30 and 47 for them.
    assert found.weights[1] / found.weights[0] == pytest.approx((47 / 30) ** 1.7, rel=0.12)
    top = np.tensordot(found.weights, simulated.clean, 1).max()
    # Of the thickest path (1 - exp(-a)) / a is seen.
    assert found.damping * top == pytest.approx(damping, rel=0.15, abs=0.12)


def test_the_better_volume_wins_and_a_worse_one_is_named_so(maps, simulated):
    problem = DIPmTV(**SMALL).prepare(maps)
    truth = torch.as_tensor(simulated.truth.data)
    worse = truth.roll(2, 3)
    assert haadf_helps(problem, truth, worse, True).helps
    verdict = haadf_helps(problem, worse, truth, True)
    assert not verdict.helps and verdict.gain < 0
    same = haadf_helps(problem, truth, truth, True)
    assert same.helps and same.gain == 0


def test_a_run_fits_with_and_without_and_says_what_it_found(small):
    volume = DIPmTV(iterations=12, **SMALL).run(small)
    numbers = volume.notes['haadf']
    assert len(numbers['angles']) == len(numbers['shifts']) == len(WIDE)
    assert numbers['used'] == (numbers['gain'] > -numbers['error'])
    (note, *_) = [finding for finding in volume.findings if finding.about == 'HAADF series']
    if numbers['used']:
        assert {entry['output'] for entry in volume.notes['contest']} == {FIRST, SECOND, 'mean'}
        assert '15 HAADF images from -70° to 70° were fitted' in note.sentence
    else:
        assert {entry['output'] for entry in volume.notes['contest']} == {ALONE, 'softplus', 'mean'}
        assert 'left out' in note.sentence
    again = DIPmTV(iterations=12, **SMALL).run(small)
    np.testing.assert_array_equal(again.data, volume.data)


def test_images_that_speak_against_the_counts_leave_the_volume_of_the_maps(small, unticked, monkeypatch):
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', -1e9)
    volume = DIPmTV(iterations=12, **SMALL).run(small)
    np.testing.assert_array_equal(volume.data, unticked.data)
    # Which of them wins does not show whether the others are those of the maps.
    course, expected = (
        {entry['output']: entry['held_out_deviance'] for entry in v.notes['contest']} for v in (volume, unticked)
    )
    assert course == expected
    assert volume.notes['haadf']['used'] is False
    assert {entry['output'] for entry in volume.notes['contest']} == {ALONE, 'softplus', 'mean'}
    (doubt,) = [finding for finding in volume.findings if 'HAADF images are left out' in finding.sentence]
    assert doubt.sentence.endswith('After so few iterations that says little of the images.')


def test_images_that_a_long_fit_leaves_out_are_to_be_checked(small, monkeypatch):
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', -1e9)
    monkeypatch.setattr(haadf_contest, 'ENOUGH_WITH_HAADF', 6)
    volume = DIPmTV(iterations=6, **SMALL).run(small)
    (doubt,) = [finding for finding in volume.findings if 'HAADF images are left out' in finding.sentence]
    assert doubt.sentence.endswith('Check that they are of this specimen, and their angles.')


@pytest.mark.parametrize('further', [{}, {'preset': 'best', 'ensemble': 2}])
def test_a_fit_too_short_for_the_images_says_so(small, further):
    step = DIPmTV(iterations=3, **SMALL, **further)
    (note,) = [found for found in step.run(small).findings if found.about == 'length of the fit']
    assert note.level == 'note' and note.sentence.startswith(
        'A fit that ends after iteration 3 hardly follows HAADF images.'
    )
    longer = step.model_copy(update=dict(note.remedy.changes))
    assert longer.iterations == 320
    without = step.run(replace(small, haadf_series=None))
    assert not any(found.about == 'length of the fit' for found in without.findings)


def test_which_fits_are_long_enough_for_the_images():
    too_short = [DIPmTV(preset='fast'), DIPmTV(iterations=319)]
    enough = [DIPmTV(), DIPmTV(preset='best'), DIPmTV(iterations=320)]
    assert all(step.too_short_for_haadf for step in too_short)
    assert not any(step.too_short_for_haadf for step in enough)


def test_without_the_tick_or_the_images_nothing_changes(plain, unticked):
    np.testing.assert_array_equal(plain.data, unticked.data)
    assert 'haadf' not in plain.notes and 'haadf' not in unticked.notes


def test_images_that_contradict_are_left_out_before_any_fit(small, plain):
    inverted = replace(small.haadf_series, images=small.haadf_series.images.max() - small.haadf_series.images)
    volume = DIPmTV(iterations=12, **SMALL).run(replace(small, haadf_series=inverted))
    np.testing.assert_array_equal(volume.data, plain.data)
    assert any('darker where the maps hold more' in finding.sentence for finding in volume.findings)


class Ends(Observer):
    """Asks to finish in an iteration of the whole."""

    def __init__(self, at):
        self.at, self.seen = at, 0

    def report(self, progress):
        self.seen = progress.iteration

    def request(self):
        return Request.FINISH if self.seen >= self.at else Request.GO


class Keeps(Observer):
    """Keeps the states that `save_state` is set to take."""

    def __init__(self):
        self.states = []


class Resumes(Observer):
    def __init__(self, state):
        self.state = state

    def load_state(self):
        return self.state


@pytest.mark.parametrize('at', [4, 20, 28])
def test_a_run_that_is_ended_keeps_what_is_complete(small, at):
    volume = DIPmTV(iterations=12, **SMALL).run(small, Ends(at))
    assert np.isfinite(volume.data).all() and volume.data.max() > 0
    assert ('haadf' in volume.notes) == (at > 24)
    said = [f.sentence for f in volume.findings if 'ended before the HAADF images' in f.sentence]
    assert bool(said) == (at < 24)


def test_a_resumed_run_ends_with_the_same_volume(small):
    step, keeps = DIPmTV(iterations=12, precision='float32', **SMALL), Keeps()
    keeps.save_state = lambda state, kept=keeps.states: kept.append(
        copy.deepcopy(state()) if len(kept) in (16, 28) else None
    )
    whole = step.run(small, keeps)
    states = [state for state in keeps.states if state is not None]
    assert len(states) == 2
    for state in states:
        np.testing.assert_array_equal(step.run(small, Resumes(state)).data, whole.data)


def test_every_network_has_the_weights_of_the_same_volume(small, monkeypatch):
    begun = []

    def doubled(problem, alone):
        begun.append(problem.haadf.intensity)
        return replace(begun[-1], weights=2 * begun[-1].weights)

    monkeypatch.setattr(haadf_verdict, 'intensity_of_volume', doubled)
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', 1e9)
    DIPmTV(iterations=6, **SMALL).run(small)
    # Calibrated anew from what was calibrated before, the second network, and a resumed run, would have other weights.
    assert all(intensity is begun[0] for intensity in begun)


@pytest.mark.parametrize('further', [{}, {'preset': 'best', 'ensemble': 2}])
def test_every_network_with_images_is_given_the_particles(small, monkeypatch, further):
    particles, given = torch.zeros(16, 16, 16), []
    particles[3, 4, 5] = 0.1

    class Recorded(HAADFObservation):
        def __init__(self, *args, particles=None, **kwargs):
            given.append(particles)
            super().__init__(*args, particles=particles, **kwargs)

    monkeypatch.setattr(haadf_contest, 'bright_particles', lambda *_: particles)
    monkeypatch.setattr(haadf_fit, 'HAADFObservation', Recorded)
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', 1e9)
    DIPmTV(iterations=6, **SMALL, **further).run(small)
    assert len(given) >= 2 and all(one is particles for one in given)


class Asked(Observer):
    """Answers what is asked while particles are looked for."""

    def __init__(self, answer):
        self.answer, self.messages = answer, []

    def report(self, progress):
        self.messages.append((progress.message, progress.iteration, progress.total))

    def request(self):
        return self.answer if 'particles' in self.messages[-1][0] else Request.GO


@pytest.mark.parametrize('further', [{}, {'preset': 'best', 'ensemble': 2}])
def test_the_search_for_particles_says_so_and_obeys(small, further):
    step = DIPmTV(iterations=6, **SMALL, **further)
    finishes = Asked(Request.FINISH)
    volume = step.run(small, finishes)
    assert finishes.messages[-1] == ('looking for bright particles that no map holds', *finishes.messages[-2][1:])
    # What was complete then.
    assert np.isfinite(volume.data).all() and volume.data.max() > 0 and 'haadf' not in volume.notes
    with pytest.raises(Cancelled):
        step.run(small, Asked(Request.CANCEL))


@pytest.mark.parametrize('further', [{}, {'preset': 'best', 'ensemble': 2}])
def test_a_resumed_run_looks_for_no_particles_again(small, monkeypatch, further):
    particles = torch.zeros(16, 16, 16)
    particles[3, 4, 5] = 0.1
    searches = []
    monkeypatch.setattr(haadf_contest, 'bright_particles', lambda *_: searches.append(1) or particles)
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', 1e9)
    step, states = DIPmTV(iterations=6, precision='float32', **SMALL, **further), []
    keeps = Keeps()
    keeps.save_state = lambda state: states.append(copy.deepcopy(state()))
    whole = step.run(small, keeps)
    assert len(searches) == 1
    # In the first network with images: the questions of a search would be asked twice.
    resumed = step.run(small, Resumes(states[8]))
    assert len(searches) == 1
    np.testing.assert_array_equal(resumed.data, whole.data)


def test_the_estimate_of_memory_has_the_images_and_one_more_channel(maps):
    step = DIPmTV()
    alone = step.memory_bytes(replace(maps, haadf_series=None))
    more = step.memory_bytes(maps) - alone
    # 17 volumes of 24^3 voxels and four bytes for what no map holds; the matrices are less than twice that here.
    assert 17 * 4 * 24**3 < more < 3 * 17 * 4 * 24**3
    assert DIPmTV(haadf=False).memory_bytes(maps) == alone


def test_an_ensemble_asks_the_held_out_counts_once_and_fits_the_images_in_every_member(small, monkeypatch):
    # Fits of 6 iterations are far from their ends, where images mostly help.
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', 1e9)
    volume = DIPmTV(preset='best', ensemble=2, iterations=6, **SMALL).run(small)
    assert volume.std is not None and volume.notes['output'] == 'shares'
    assert volume.notes['haadf']['used'] is True
    (note,) = [finding for finding in volume.findings if '15 HAADF images' in finding.sentence]
    assert 'the held-out counts are predicted' in note.sentence


def test_an_ensemble_whose_images_harm_is_that_of_the_maps_alone(small, monkeypatch):
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', -1e9)
    step = DIPmTV(preset='best', ensemble=2, iterations=6, precision='float32', **SMALL)
    volume = step.run(small)
    alone = step.model_copy(update={'haadf': False}).run(small)
    np.testing.assert_array_equal(volume.data, alone.data)
    np.testing.assert_array_equal(volume.std, alone.std)
    assert volume.notes['haadf']['used'] is False
    assert any('are left out' in finding.sentence for finding in volume.findings if finding.level == 'doubt')


def test_an_ensemble_with_images_resumes_among_the_fits_that_judge_and_among_its_members(small):
    step, keeps = DIPmTV(preset='best', ensemble=2, iterations=6, precision='float32', **SMALL), Keeps()
    keeps.save_state = lambda state, kept=keeps.states: kept.append(
        copy.deepcopy(state()) if len(kept) in (3, 9, 15, 21) else None
    )
    whole = step.run(small, keeps)
    states = [state for state in keeps.states if state is not None]
    assert len(states) == 4
    for state in states:
        found = step.run(small, Resumes(state))
        np.testing.assert_array_equal(found.data, whole.data)
        np.testing.assert_array_equal(found.std, whole.std)


def test_an_ensemble_ended_while_the_images_are_judged_is_one_fit(small):
    volume = DIPmTV(preset='best', ensemble=3, iterations=10, **SMALL).run(small, Ends(4))
    assert volume.std is None
    assert volume.notes['ensemble'] == {'asked': 3, 'members': 1}


class Totals(Observer):
    """Greatest total among the reports of a run."""

    def __init__(self):
        self.totals = []

    def report(self, progress):
        self.totals.append(progress.total)


@pytest.mark.parametrize('further', [{}, {'preset': 'best', 'ensemble': 2}])
def test_fits_with_images_are_twice_as_long_as_that_of_the_maps_alone(small, monkeypatch, further):
    asked, fit_candidate, fit_network = [], haadf_contest.fit_candidate, ensemble.fit_network

    def short(settings, *others):
        asked.append(settings.longest)
        found = fit_candidate(replace(settings, iterations=6), *others)
        return replace(found, notes={**found.notes, 'iterations': 450})

    def short_member(settings, *others):
        asked.append(settings.longest)
        return fit_network(replace(settings, iterations=6), *others)

    monkeypatch.setattr(haadf_contest, 'fit_candidate', short)
    monkeypatch.setattr(ensemble, 'fit_network', short_member)
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', 1e9)
    totals = Totals()
    DIPmTV(**SMALL, **further).run(small, totals)
    alone, *given = asked
    assert alone == 700 and len(given) == (3 if further else 2) and set(given) == {900}
    # Fits that ended before have taken 6 each.
    assert {6 * done + 900 * (len(given) - done) for done in range(len(given))} <= {n - 6 for n in totals.totals[6:]}


@pytest.mark.parametrize(('alone', 'given'), [(200, 800), (560, 1120)])
def test_how_long_fits_with_images_are(alone, given):
    assert DIPmTV().fit_settings().beside_images(alone).longest == given
    assert DIPmTV(iterations=320).fit_settings().beside_images(alone).longest == 320


def test_members_without_their_images_are_as_long_as_without(small, monkeypatch):
    asked, fit_network = [], ensemble.fit_network
    short = {'iterations': 6}
    monkeypatch.setattr(haadf_verdict, '_TOLERATED', -1e9)
    monkeypatch.setattr(
        haadf_contest, 'fit_candidate', lambda s, *of, fit=haadf_contest.fit_candidate: fit(replace(s, **short), *of)
    )
    monkeypatch.setattr(
        ensemble, 'fit_network', lambda s, *of: asked.append(s.longest) or fit_network(replace(s, **short), *of)
    )
    DIPmTV(preset='best', ensemble=2, **SMALL).run(small)
    assert asked == [700, 700]


def test_published_settings_take_no_images():
    assert DIPmTV(preset='published-edx').problem_settings().haadf is False


@pytest.mark.slow
def test_images_of_more_tilts_are_worth_a_decibel(specimen, simulated, maps):
    from napari_diptomo.assess import psnr

    given = DIPmTV(seed=0).run(maps)
    alone = DIPmTV(seed=0, haadf=False).run(maps)
    assert given.notes['haadf']['used']
    gain = psnr(given.data, simulated.truth.data).mean() - psnr(alone.data, simulated.truth.data).mean()
    assert gain > 1.0
