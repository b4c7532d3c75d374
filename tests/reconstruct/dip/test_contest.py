"""The held-out counts choose the head of the network and the length of each fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.jobs.demo.figures import _apart
from napari_diptomo.reconstruct import DIPmTV, stopping
from napari_diptomo.reconstruct.data_terms import held_out_term
from napari_diptomo.reconstruct.dip import contest
from napari_diptomo.reconstruct.dip.contest import HEADS, Candidate, heads_of
from napari_diptomo.reconstruct.dip.fit import planned_iterations
from napari_diptomo.reconstruct.joined_run import append_curves, latest
from napari_diptomo.series import Finding, Observer, Request

SMALL = {'widths': (8, 16), 'skips': (4, 4), 'learning_rate': 2e-2}


class Stops(Observer):
    """Asks to finish in the given iteration of the whole."""

    def __init__(self, at: int = 10**9) -> None:
        self.at, self.seen, self.fits = at, [], []

    def report(self, progress):
        self.seen.append(progress.iteration)
        self.fits.append(progress.message)

    def request(self):
        return Request.FINISH if self.seen and self.seen[-1] >= self.at else Request.GO


def deviance(maps, volume):
    problem = DIPmTV(**SMALL).prepare(maps)
    return held_out_term(problem, torch.as_tensor(volume), True)


def test_the_volume_is_that_which_predicts_the_held_out_counts_best(maps):
    both = DIPmTV(iterations=20, **SMALL).run(maps)
    softplus = DIPmTV(iterations=20, output='softplus', **SMALL).run(maps)
    shares = DIPmTV(iterations=20, output='shares', seed=500, **SMALL)
    course = {entry['output']: entry['held_out_deviance'] for entry in both.notes['contest']}
    assert set(course) == {*HEADS, 'mean'}
    assert both.notes['output'] == min(course, key=course.get)
    assert both.notes['held_out_deviance'] == pytest.approx(min(course.values()))
    assert deviance(maps, both.data) == pytest.approx(min(course.values()), rel=1e-5)
    assert course['softplus'] == pytest.approx(softplus.notes['held_out_deviance'])
    # The same counts are held out from both networks, whatever their own seed.
    problem = DIPmTV(**SMALL).prepare(maps)
    alone = contest.fit_candidate(DIPmTV(iterations=20, **SMALL).fit_settings(), problem, 'shares', 1, None)
    assert alone.notes['held_out_deviance'] == pytest.approx(course['shares'])
    assert shares.seed == 500


@pytest.mark.parametrize(('good', 'bad', 'chosen'), [(0.0, 3.0, 'softplus'), (0.4, -0.4, 'mean')])
def test_the_mean_is_taken_where_it_predicts_better_and_one_network_where_it_does(maps, truth, good, bad, chosen):
    step = DIPmTV(iterations=40, **SMALL)
    problem = step.prepare(maps)
    body = torch.as_tensor(truth)
    notes = {'iterations': 40, 'seconds': 1.0, 'parameters': 5, 'returned_iteration': 35, 'stopping': 'x'}
    scores = {'iteration': [5.0, 40.0], 'validation': [1.0, 0.5]}
    done = [
        Candidate(output, (body * (1 + error)).float(), notes, scores)
        for output, error in zip(HEADS, (good, bad), strict=True)
    ]
    found = contest.choose(step.fit_settings(), problem, done)
    assert found.notes['output'] == chosen
    assert found.notes['iterations'] == 80
    assert found.notes['returned_iteration'] == (None if chosen == 'mean' else 35)


def test_every_choice_can_be_pinned_and_one_channel_has_one_head(maps):
    problem = DIPmTV().prepare(maps)
    assert heads_of(DIPmTV().fit_settings(), problem) == HEADS
    assert heads_of(DIPmTV(output='shares').fit_settings(), problem) == ('shares',)
    assert heads_of(DIPmTV(preset='fast').fit_settings(), problem) == ('shares',)
    assert heads_of(DIPmTV(stopping='last').fit_settings(), problem) == ('softplus',)
    alone = maps.select(('A',))
    assert heads_of(DIPmTV().fit_settings(), DIPmTV().prepare(alone)) == ('softplus',)
    without = DIPmTV(holdout=0.0)
    assert heads_of(without.fit_settings(), without.prepare(maps)) == ('softplus',)


def test_without_held_out_counts_the_length_is_fixed(maps):
    step = DIPmTV(holdout=0.0)
    assert planned_iterations(step.fit_settings(), step.prepare(maps)) == 350
    step = DIPmTV(holdout=0.0, iterations=20)
    assert planned_iterations(step.fit_settings(), step.prepare(maps)) == 20
    assert planned_iterations(DIPmTV().fit_settings(), DIPmTV().prepare(maps)) == 700


def test_a_fit_ends_when_the_held_out_counts_gain_no_more(maps):
    volume = DIPmTV(output='softplus', **SMALL).run(maps)
    gains = volume.notes['gains']
    assert volume.notes['iterations'] == gains[-1][0] < 700
    assert gains[-1][1] <= stopping.GAIN
    assert all(gain > stopping.GAIN for iteration, gain in gains[:-1] if iteration >= 120)


def test_a_given_number_of_iterations_is_kept(maps):
    assert DIPmTV(output='softplus', iterations=140, **SMALL).run(maps).notes['iterations'] == 140


def test_the_course_is_one_run_to_who_watches(maps):
    seen = Stops()
    volume = DIPmTV(iterations=12, **SMALL).run(maps, seen)
    assert seen.seen == list(range(1, 25))
    assert seen.fits == ['fit 1 of 2'] * 12 + ['fit 2 of 2'] * 12
    assert volume.scores['iteration'] == [5, 10, 12, 17, 22, 24]
    assert volume.scores['fit'] == [0, 0, 0, 1, 1, 1]


def test_a_run_ended_in_its_second_fit_keeps_the_first(maps):
    whole = DIPmTV(iterations=12, output='softplus', **SMALL).run(maps)
    ended = DIPmTV(iterations=12, **SMALL).run(maps, Stops(at=16))
    np.testing.assert_array_equal(ended.data, whole.data)
    assert 'contest' not in ended.notes


def test_a_run_ended_in_its_first_fit_keeps_what_there_is(maps):
    ended = DIPmTV(iterations=12, **SMALL).run(maps, Stops(at=6))
    assert ended.notes['iterations'] == 6


@pytest.mark.parametrize('at', [12, 18], ids=['at the end of the first fit', 'in the second fit'])
def test_an_interrupted_contest_continues_to_the_same_volume(maps, at):
    class Keeps(Observer):
        def __init__(self, at, state=None):
            self.at, self.state, self.kept, self.count, self.seen = at, state, None, 0, []

        def report(self, progress):
            self.seen.append(progress.iteration)

        def save_state(self, state):
            self.count += 1
            if self.count == self.at:
                import copy

                self.kept = copy.deepcopy(dict(state()))

        def load_state(self):
            return self.state

    step = DIPmTV(iterations=12, **SMALL)
    keeps = Keeps(at)
    whole = step.run(maps, keeps)
    resumed = Keeps(0, keeps.kept)
    again = step.run(maps, resumed)
    np.testing.assert_array_equal(again.data, whole.data)
    assert again.notes['contest'] == whole.notes['contest']
    assert again.scores == whole.scores
    assert resumed.seen == list(range(at + 1, 25))


def test_curves_of_fits_are_joined_with_their_number():
    a, b = {'iteration': [5.0, 10.0], 'data': [2.0, 1.0]}, {'iteration': [5.0], 'data': [3.0]}
    curves: dict[str, list[float]] = {}
    append_curves(curves, a, 0)
    append_curves(curves, b, 12)
    assert curves == {'fit': [0, 0, 1], 'iteration': [5, 10, 17], 'data': [2, 1, 3]}
    x, y = _apart(np.array([5.0, 10.0, 17.0]), np.array([2.0, 1.0, 3.0]), np.array([0, 0, 1.0]))
    np.testing.assert_array_equal(x, [5, 10, np.nan, 17])
    np.testing.assert_array_equal(y, [2, 1, np.nan, 3])


def test_oxides_are_left_to_the_counts_too(maps):
    oxides = replace(maps, notes={'oxidation': {'states': list(maps.channels)}})
    assert heads_of(DIPmTV().fit_settings(), DIPmTV().prepare(oxides)) == HEADS


def test_of_each_matter_the_findings_of_the_later_fit_stand():
    one, two = (Finding('note', 'arithmetic', f'{n} of {n + 20} kinds.') for n in (2, 3))
    other = Finding('doubt', 'convergence', 'Diverged.')
    assert latest((one, other), (two,)) == (other, two)
    assert latest((), (one,)) == (one,)
