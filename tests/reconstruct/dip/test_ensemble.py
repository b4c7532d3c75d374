"""Ensemble: mean and spread of the members, obedient and resumable as one run, calibrated by counts it has not seen."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.jobs.checkpoint import Checkpoint
from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.dip.ensemble import fit_ensemble
from napari_diptomo.reconstruct.dip.error_bars import standard_deviation
from napari_diptomo.reconstruct.dip.running_variance import RunningVariance
from napari_diptomo.reconstruct.dip.spread_check import SpreadCheck
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import Cancelled, InputError, MapSeries, Observer, Recipe, Request, load, save

SMALL = {'widths': (8, 16), 'skips': (4, 4), 'learning_rate': 2e-2, 'output': 'softplus'}


class Script(Observer):
    """Says ``word`` from iteration ``at`` on; keeps what was reported to it."""

    def __init__(self, at: int | None = None, word: Request = Request.GO, saved: dict | None = None) -> None:
        self.at, self.word, self.saved, self.seen, self.state = at, word, saved, [], None

    def report(self, progress):
        self.seen.append(progress)

    def request(self):
        return self.word if self.at is not None and self.seen[-1].iteration >= self.at else Request.GO

    def wants_preview(self):
        return True

    def load_state(self):
        return self.saved


def test_moments_are_those_of_numpy_for_complex_arrays_too():
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(5, 3, 4)) + 1j * rng.normal(size=(5, 3, 4))
    moments = RunningVariance()
    for array in arrays[:3]:
        moments.add(array)
    resumed = RunningVariance()
    resumed.restore(copy.deepcopy(moments.state()))
    for array in arrays[3:]:
        resumed.add(array)
    np.testing.assert_allclose(resumed.mean, arrays.mean(axis=0))
    np.testing.assert_allclose(resumed.variance, arrays.var(axis=0, ddof=1))


def test_mean_and_spread_are_those_of_the_members_and_the_first_is_the_single_run(maps):
    members: list[np.ndarray] = []
    step = DIPmTV(iterations=8, ensemble=3, **SMALL)
    volume = fit_ensemble(maps, step.problem_settings(), step.fit_settings(), step.ensemble, on_member=members.append)
    single = DIPmTV(iterations=8, **SMALL).run(maps)
    np.testing.assert_array_equal(members[0], single.data)
    np.testing.assert_allclose(volume.data, np.mean(members, axis=0), atol=1e-5)
    variance = np.var(np.array(members, np.float64), axis=0, ddof=1)
    whole = standard_deviation(np.mean(members, axis=0), variance, volume.notes['ensemble']['factor'], (-40.0, 40.0))
    np.testing.assert_allclose(volume.std, whole, rtol=1e-4, atol=1e-6)
    assert volume.notes['ensemble']['members'] == 3
    assert volume.notes['iterations'] == 24
    assert volume.scores['iteration'] == sorted(set(volume.scores['iteration']))
    assert 'missing wedge' in volume.notes['uncertainty']


def test_members_take_turns_with_the_heads_that_the_counts_leave_open(maps):
    volume = DIPmTV(iterations=4, ensemble=3, **{**SMALL, 'output': 'auto'}).run(maps)
    assert volume.notes['outputs'] == ['softplus', 'shares', 'softplus']
    assert volume.scores['fit'] == sorted(volume.scores['fit'])
    assert set(volume.scores['fit']) == {0, 1, 2}


def test_progress_is_that_of_one_run_and_previews_are_the_running_mean(maps):
    members: list[np.ndarray] = []
    script = Script()
    step = DIPmTV(iterations=4, ensemble=3, **SMALL)
    fit_ensemble(maps, step.problem_settings(), step.fit_settings(), 3, script, members.append)
    assert [p.iteration for p in script.seen] == list(range(1, 13))
    assert {p.total for p in script.seen} == {12}
    seconds = [p.seconds for p in script.seen]
    assert seconds == sorted(seconds)
    assert script.seen[5].message == 'fit 2 of 3'
    np.testing.assert_array_equal(script.seen[5].preview, members[0])
    np.testing.assert_allclose(script.seen[-1].preview, (members[0] + members[1]) / 2, rtol=1e-6)


@pytest.mark.parametrize(('at', 'members'), [(2, 1), (6, 1), (9, 2), (12, 3)])
def test_finish_keeps_the_complete_members(maps, at, members):
    volume = DIPmTV(iterations=4, ensemble=5, **SMALL).run(maps, Script(at, Request.FINISH))
    assert volume.notes['ensemble']['members'] == members
    assert (volume.std is None) == (members == 1)
    assert volume.notes['iterations'] == (2 if at == 2 else 4 * members)


def test_cancel_raises_inside_a_later_member(maps):
    script = Script(6, Request.CANCEL)
    with pytest.raises(Cancelled):
        DIPmTV(iterations=4, ensemble=3, **SMALL).run(maps, script)
    assert script.seen[-1].iteration == 6


def test_a_checkpoint_file_continues_inside_the_ensemble(maps, tmp_path):
    step = DIPmTV(iterations=4, ensemble=3, **SMALL)
    recipe = Recipe().then(step)

    class Keeper(Script):
        def save_state(self, state):
            if len(self.seen) == 9:  # a member is complete, another is under way
                Checkpoint(tmp_path / 'c', recipe, interval=0).save(0, maps, state)

    whole = step.run(maps, Keeper())
    saved = Checkpoint(tmp_path / 'c', recipe, interval=0, resume=True).load(0, maps)
    script = Script(saved=saved)
    resumed = step.run(maps, script)
    assert script.seen[0].iteration == 11
    np.testing.assert_allclose(resumed.data, whole.data, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(resumed.std, whole.std, rtol=1e-3, atol=1e-5)
    assert resumed.scores['iteration'] == whole.scores['iteration']


def test_the_spread_survives_saving(maps, tmp_path):
    volume = DIPmTV(iterations=3, ensemble=2, **SMALL).run(maps)
    again = load(save(volume, tmp_path / 'v.hspy'))
    np.testing.assert_array_equal(again.std, volume.std)
    assert again.notes['ensemble'] == volume.notes['ensemble']


def test_maps_with_a_split_of_their_own_are_split_anew_for_each_member(maps):
    held_out = np.random.default_rng(3).binomial(maps.data.astype(int), 0.1)
    own = replace(maps, held_out=held_out, held_out_share=0.1, variance=np.maximum(maps.data, 1))
    volume = DIPmTV(iterations=3, ensemble=2, **SMALL).run(own)
    # Of data that are no counts the noise power is not known well enough: delete-d jackknife, h = 0.1, K = 2.
    assert volume.notes['ensemble']['factor'] == pytest.approx((9 + 1 / 2) ** 0.5)
    assert 'jackknife' in volume.notes['ensemble']['source']


def test_an_ensemble_without_held_out_counts_is_refused():
    with pytest.raises(InputError, match='held-out counts'):
        DIPmTV(ensemble=2, holdout=0.0)


def test_the_measured_factor_is_that_of_errors_larger_than_the_spread():
    """Members scatter by s about a common estimate that is off by 3 s: c^2 = 9 + 1 / K exactly in the mean."""
    rng = np.random.default_rng(5)
    shape, tilts, members = (24, 24, 24), np.arange(-40, 41, 5.0), 6
    beam = ParallelBeam(tilts, shape)
    truth = np.full((2, *shape), 8.0)

    def wave() -> np.ndarray:
        noise = torch.as_tensor(rng.normal(size=(2, *shape)))[None]
        return torch.nn.functional.avg_pool3d(noise, 5, 1, 2)[0].numpy() * 8

    counts = rng.poisson(beam.project(truth))
    maps = MapSeries(counts, tilts, ('A', 'B'))
    common = truth + 3 * wave()
    check = SpreadCheck()
    for member in range(members):
        problem = Problem(maps, holdout=0.1, seed=member)
        volume = torch.as_tensor(common + wave(), dtype=torch.float32)
        check.add(problem, problem.expected(volume), poisson=True)
    found = check.calibration()
    assert found.source.startswith('measured')
    assert found.error < 0.2
    assert found.factor == pytest.approx((9 + 1 / members) ** 0.5, rel=0.15)
