"""Total variation: the minimum that it promises, couplings, convergence, and the weight that held-out counts choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.reconstruct import TotalVariation
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import typical_density
from napari_diptomo.reconstruct.tv.minimise import WEIGHTS
from napari_diptomo.reconstruct.tv.norms import gradient, norm
from napari_diptomo.series import MapSeries, Observer, Request

COUPLINGS = ('joint', 'channels', 'nuclear')


def objective(step: TotalVariation, maps: MapSeries, volume: np.ndarray) -> float:
    """The formula of the module, in double precision."""
    problem = Problem(maps)
    x = torch.as_tensor(volume)
    m, y = problem.expected(x).double(), problem.fit.double()
    if maps.are_counts:
        half = m - y - torch.xlogy(y, m.clamp_min(1e-12)) + torch.xlogy(y, y)
    else:
        half = (y - m) ** 2 / problem.variance.double() / 2
    u = (x / typical_density(problem)).double()
    tv = norm(gradient(u), step.coupling).mean()
    return float(half.sum() + step.weight * problem.data_size * tv)


@pytest.fixture
def small(maps) -> MapSeries:
    """Some slices are enough."""
    return replace(maps, data=maps.data[:, :, 6:10])


@pytest.mark.parametrize('coupling', COUPLINGS)
@pytest.mark.parametrize('counts', [True, False])
def test_no_feasible_neighbour_is_better(small, coupling, counts):
    if not counts:
        small = replace(small, variance=np.maximum(small.data, 1) * 0.5)
    step = TotalVariation(weight=0.3, coupling=coupling, iterations=300, tolerance=0)
    found = step.run(small).data
    least = objective(step, small, found)
    rng = np.random.default_rng(0)
    changes = [rng.standard_normal(found.shape) for _ in range(5)]
    changes += [found, -found, np.roll(found, 1, 3) - found, np.roll(found, 1, 1) - found]
    changes += [found.mean((1, 2, 3), keepdims=True) - found, found[::-1] - found]
    for change in changes:
        for size in (0.02, 0.1, 0.5):
            near = np.maximum(found + size * change, 0).astype(np.float32)
            assert objective(step, small, near) > least


@pytest.mark.parametrize('coupling', COUPLINGS)
def test_the_curves_are_the_terms_of_the_objective(small, coupling):
    step = TotalVariation(weight=0.3, coupling=coupling, iterations=40)
    volume = step.run(small)
    terms = volume.scores['data'][-1] / 2 + volume.scores['tv'][-1]
    assert terms == pytest.approx(objective(step, small, volume.data) / Problem(small).data_size, rel=5e-3)


def test_each_norm_has_the_lowest_minimum_of_its_own_objective(small):
    steps = [TotalVariation(weight=0.5, coupling=c, iterations=250, tolerance=0) for c in COUPLINGS]
    volumes = [step.run(small).data for step in steps]
    for step, own in zip(steps, volumes, strict=True):
        values = [objective(step, small, volume) for volume in volumes]
        assert objective(step, small, own) == min(values)
        assert sorted(values)[1] > min(values)


def test_one_channel_knows_no_coupling(small):
    one = small.select(('A',))
    joint, apart, nuclear = (TotalVariation(coupling=c, iterations=80, tolerance=0).run(one).data for c in COUPLINGS)
    np.testing.assert_allclose(apart, joint, atol=1e-5 * joint.max())
    np.testing.assert_allclose(nuclear, joint, atol=1e-3 * joint.max())


def test_channels_apart_are_two_runs_of_one_channel(small):
    """w n / N counts the data of all channels, so one of two channels alone needs twice the weight."""
    both = TotalVariation(weight=0.3, coupling='channels', iterations=100, tolerance=0).run(small).data
    for channel, found in zip(small.channels, both, strict=True):
        alone = TotalVariation(weight=0.6, iterations=100, tolerance=0).run(small.select((channel,))).data[0]
        np.testing.assert_allclose(found, alone, atol=1e-4 * alone.max())


@pytest.mark.parametrize('coupling', COUPLINGS)
def test_it_stops_when_converged_and_says_so(small, coupling):
    early = TotalVariation(coupling=coupling).run(small)
    late = TotalVariation(coupling=coupling, iterations=450, tolerance=0).run(small)
    assert early.notes['converged']
    assert early.notes['iterations'] < 400
    assert f'converged after {early.notes["iterations"]} iterations' == early.notes['stopping']
    assert np.linalg.norm(early.data - late.data) < 0.01 * np.linalg.norm(late.data)
    assert not late.notes['converged']
    assert 'not converged' in late.notes['stopping']


def test_few_iterations_are_not_called_converged(maps):
    notes = TotalVariation(iterations=25).run(maps).notes
    assert not notes['converged']
    assert notes['iterations'] == notes['returned_iteration'] == 25


def test_held_out_counts_choose_a_sensible_weight(small, truth):
    """The extremes of the grid are twice as far from the truth as the best weight; the chosen one is close to it."""
    few = replace(small, data=np.random.default_rng(5).binomial(small.data.astype(int), 0.3))
    volume = TotalVariation(choose_weight=True, iterations=200).run(few)
    curve = dict(volume.notes['weight_curve'])
    assert tuple(curve) == WEIGHTS
    assert volume.notes['weight'] == min(curve, key=curve.get)
    assert volume.notes['held_out_share'] == 0.1
    target = 0.3 * truth[:, :, 6:10]
    errors = {w: np.linalg.norm(TotalVariation(weight=w, iterations=200).run(few).data - target) for w in WEIGHTS}
    assert np.linalg.norm(volume.data - target) < 1.2 * min(errors.values())
    assert min(errors[WEIGHTS[0]], errors[WEIGHTS[-1]]) > 1.7 * min(errors.values())


def test_a_warm_start_ends_where_a_cold_one_does(small):
    step = TotalVariation(choose_weight=True, iterations=500, tolerance=3e-4, holdout=0.2)
    warm = step.run(small)
    cold = step.model_copy(update={'choose_weight': False, 'weight': warm.notes['weight']}).run(small)
    assert np.linalg.norm(warm.data - cold.data) < 0.01 * np.linalg.norm(cold.data)
    assert warm.notes['held_out_deviance'] == pytest.approx(cold.notes['held_out_deviance'], rel=1e-3)


class FinishAt(Observer):
    """Asks to finish after so many reports."""

    def __init__(self, reports: int) -> None:
        self.left = reports
        self.total = 0

    def report(self, progress) -> None:
        self.left -= 1
        self.total = progress.total

    def request(self) -> Request:
        return Request.GO if self.left > 0 else Request.FINISH


def test_finish_amid_the_weights_keeps_the_best_of_those_solved(small):
    observer = FinishAt(250)
    volume = TotalVariation(choose_weight=True, iterations=100, tolerance=0).run(small, observer)
    assert volume.notes['iterations'] == 250
    assert [w for w, _ in volume.notes['weight_curve']] == list(WEIGHTS[:2])
    assert volume.notes['returned_iteration'] in (100, 200)
    assert 'of the 2 tried predicts' in volume.notes['stopping']
    assert observer.total == 800


def test_finish_within_the_first_weight_keeps_what_there_is(small):
    volume = TotalVariation(iterations=100, holdout=0.1).run(small, FinishAt(15))
    assert volume.notes['iterations'] == 15
    assert not volume.notes['converged']
    assert volume.notes['held_out_deviance'] > 0
    assert volume.data.max() > 0


def test_the_recipe_says_what_was_asked_for(small):
    step = TotalVariation(choose_weight=True, iterations=10)
    assert step.run(small).recipe.steps == (step,)
