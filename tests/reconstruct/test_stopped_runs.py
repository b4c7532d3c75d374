"""A run that was stopped by hand says where, and its recipe gives the same volume, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo import SIRT, Align, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.jobs import Checkpoint, run
from napari_diptomo.series import Cancelled, InputError, MapSeries, Observer, Recipe, Request, step_from_dict

NETWORK = {'widths': (4, 4), 'skips': (1, 1), 'device': 'cpu', 'precision': 'float32'}
STEPS = [
    (SIRT(iterations=30, device='cpu'), 7),
    (SIRT(iterations=30, holdout=0.1, device='cpu'), 2),
    (PoissonEM(iterations=30, device='cpu'), 7),
    (TotalVariation(weight=0.6, iterations=60, device='cpu'), 33),
    (TotalVariation(iterations=30, tolerance=0.0, device='cpu'), 70),
    (DIPmTV(iterations=20, output='softplus', **NETWORK), 8),
    (DIPmTV(iterations=20, **NETWORK), 8),
    (DIPmTV(iterations=20, **NETWORK), 29),
    (DIPmTV(iterations=10, ensemble=4, **NETWORK), 4),
    (DIPmTV(iterations=10, ensemble=4, **NETWORK), 26),
]


@pytest.fixture(scope='module')
def maps():
    angles = np.arange(-60.0, 61.0, 20.0)
    y, x = np.mgrid[:8, :8] - 3.5
    # With something to be found, so that held-out counts do not end the run at its first iteration.
    expected = 40 * np.exp(-(y**2 + x**2) / 6)
    counts = np.random.default_rng(0).poisson(expected, (2, len(angles), 8, 8))
    return MapSeries(counts, angles, ('Ge', 'Te'), pixel_size=2.0)


class AskedTo(Observer):
    """Says finish at one question, having been paused before it; cancels or saves at others."""

    def __init__(self, finish=0, cancel=0):
        self.finish, self.cancel, self.asked, self.paused = finish, cancel, 0, False

    def request(self):
        self.paused = not self.paused
        if self.paused:
            return Request.PAUSE
        self.asked += 1
        if self.asked == self.cancel:
            return Request.CANCEL
        # Once only: who stops a step does not have to keep saying so.
        return Request.FINISH if self.asked == self.finish else Request.GO


def through_json(step):
    return step_from_dict(step.to_dict())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr('napari_diptomo.series.observe.time.sleep', lambda seconds: None)


@pytest.mark.parametrize(('step', 'at'), STEPS)
def test_the_recipe_of_a_stopped_run_gives_its_volume(maps, step, at):
    stopped = step.run(maps, AskedTo(finish=at))
    (recorded,) = stopped.recipe.steps
    assert recorded.stopped_at == at and recorded.to_dict()['stopped_at'] == at
    again = through_json(recorded).run(maps)
    np.testing.assert_array_equal(again.data, stopped.data)
    assert again.recipe == stopped.recipe
    assert (again.std is None) == (stopped.std is None)
    if stopped.std is not None:
        np.testing.assert_array_equal(again.std, stopped.std)
    whole = step.run(maps)
    assert not np.array_equal(whole.data, stopped.data), 'it was stopped too late to show anything'
    assert whole.recipe.steps[0].stopped_at is None and 'stopped_at' not in whole.recipe.steps[0].to_dict()


@pytest.mark.parametrize(('step', 'at'), [STEPS[5], STEPS[7], STEPS[9]])
@pytest.mark.parametrize('before', [1, 2])
def test_a_repetition_that_is_interrupted_and_resumed_stops_at_the_same_iteration(maps, tmp_path, step, at, before):
    stopped = step.run(maps, AskedTo(finish=at))
    recipe = Recipe(steps=stopped.recipe.steps)
    path = tmp_path / 'c'
    # The state of an iteration is saved before it is asked for: the last one saved is that of the question cancelled.
    with pytest.raises(Cancelled):
        run(recipe, data=maps, observer=AskedTo(cancel=at - before), checkpoint=Checkpoint(path, recipe, 0.0))
    observer = AskedTo()
    again = run(recipe, data=maps, observer=observer, checkpoint=Checkpoint(path, recipe, 0.0, resume=True))
    assert observer.asked == before
    np.testing.assert_array_equal(again.data, stopped.data)


def test_a_resumed_run_that_is_then_stopped_counts_from_its_beginning(maps, tmp_path):
    step = STEPS[7][0]
    recipe = Recipe(steps=(step,))
    path = tmp_path / 'c'
    with pytest.raises(Cancelled):
        run(recipe, data=maps, observer=AskedTo(cancel=11), checkpoint=Checkpoint(path, recipe, 0.0))
    resumed = run(recipe, data=maps, observer=AskedTo(finish=16), checkpoint=Checkpoint(path, recipe, 0.0, resume=True))
    (recorded,) = resumed.recipe.steps
    assert recorded.stopped_at == 27
    np.testing.assert_array_equal(recorded.run(maps).data, resumed.data)


def test_a_step_stopped_before_the_one_that_was_interrupted_is_stopped_again_on_resume(maps, tmp_path):
    recipe = Recipe(steps=(Align(rounds=2), STEPS[5][0]))
    path = tmp_path / 'c'
    finish = AskedTo(finish=3)
    reference = run(recipe, data=maps, observer=finish)
    assert reference.recipe.steps[0].stopped_at == 3
    with pytest.raises(Cancelled):
        run(
            recipe,
            data=maps,
            observer=AskedTo(finish=3, cancel=finish.asked - 5),
            checkpoint=Checkpoint(path, recipe, 0.0),
        )
    resumed = run(recipe, data=maps, checkpoint=Checkpoint(path, recipe, 0.0, resume=True))
    assert resumed.recipe == reference.recipe
    np.testing.assert_array_equal(resumed.data, reference.data)


def test_stopping_at_the_very_end_is_no_early_stop(maps):
    step = SIRT(iterations=5, device='cpu')
    assert step.run(maps, AskedTo(finish=5)).recipe.steps == (step,)


@pytest.mark.parametrize('value', [0, -3, 1.5, '7', True])
def test_what_is_no_iteration_is_refused(value):
    with pytest.raises(InputError, match=r'SIRT: stopped_at is an iteration, from 1 .given: .+.; correct or remove it'):
        step_from_dict({'step': 'SIRT', 'stopped_at': value})


def test_it_is_no_parameter():
    step = SIRT().stopping_at(7)
    assert 'stopped_at' not in {parameter.name for parameter in SIRT.parameters()}
    assert step != SIRT() and step.stopping_at(None) == SIRT()
    assert SIRT(**step.model_dump()) == SIRT()
