"""Total variation: the minimum that it promises, couplings, convergence, and the weight that held-out counts choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.assess import psnr
from napari_diptomo.reconstruct import TotalVariation
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import typical_density
from napari_diptomo.reconstruct.tv import weight_choice
from napari_diptomo.reconstruct.tv.norms import gradient, norm
from napari_diptomo.series import InputError, MapSeries, Observer, Request
from napari_diptomo.series.steps import step_from_dict
from napari_diptomo.simulate import porous, tilt_series

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
    joint, apart, nuclear = (
        TotalVariation(weight=0.6, coupling=c, iterations=80, tolerance=0).run(one).data for c in COUPLINGS
    )
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
    early = TotalVariation(weight=0.6, coupling=coupling).run(small)
    late = TotalVariation(weight=0.6, coupling=coupling, iterations=450, tolerance=0).run(small)
    assert early.notes['converged']
    assert early.notes['iterations'] < 400
    assert f'converged after {early.notes["iterations"]} iterations' == early.notes['stopping']
    assert np.linalg.norm(early.data - late.data) < 0.01 * np.linalg.norm(late.data)
    assert not late.notes['converged']
    assert 'not converged' in late.notes['stopping']


def test_few_iterations_are_not_called_converged(maps):
    notes = TotalVariation(weight=0.6, iterations=25).run(maps).notes
    assert not notes['converged']
    assert notes['iterations'] == notes['returned_iteration'] == 25


@pytest.fixture
def few(maps) -> MapSeries:
    """A third of the dose."""
    return replace(maps, data=np.random.default_rng(5).binomial(maps.data.astype(int), 0.3))


def test_held_out_counts_choose_a_sensible_weight(few, truth):
    """Near the best weight, far from the extremes, and all counts are fitted with it."""
    volume = TotalVariation(iterations=300).run(few)
    errors = {
        weight: np.linalg.norm(TotalVariation(weight=weight, iterations=300).run(few).data - 0.3 * truth)
        for weight in (0.02, 0.1, 0.2, 0.4, 0.8, 4.0)
    }
    assert np.linalg.norm(volume.data - 0.3 * truth) < 1.2 * min(errors.values())
    assert min(errors[0.02], errors[4.0]) > 1.5 * min(errors.values())
    assert volume.notes['held_out_share'] == 0 and volume.notes['held_out_deviance'] is None


def test_few_counts_of_a_fine_specimen_have_a_better_weight_than_the_former_default():
    simulated = tilt_series(porous(20, seed=20), np.arange(-40, 41, 5.0), 5, 1)

    def score(**fields: float) -> float:
        return float(psnr(TotalVariation(**fields).run(simulated.maps).data, simulated.truth.data).mean())

    # 1.3 dB were measured.
    assert score() > score(weight=0.6) + 0.8


def test_the_weight_is_the_minimum_of_the_parabola_through_the_lowest(few):
    notes = TotalVariation(iterations=300).run(few).notes
    weights, deviances = np.transpose(notes['weight_curve'])
    lowest = int(np.argmin(deviances))
    assert 0 < lowest < len(weights) - 1
    around = slice(lowest - 1, lowest + 2)
    bend, slope, _ = np.polyfit(np.log(weights[around]), 1e3 * deviances[around], 2)
    assert notes['weight'] == pytest.approx(np.exp(-slope / (2 * bend)), rel=5e-3)
    assert f'weight {notes["weight"]:g} predicts the held-out counts best ({len(weights)} weights' in notes['stopping']


def test_the_weight_that_was_chosen_gives_the_same_volume_when_it_is_given(few):
    """Another start, the same minimum."""
    step = TotalVariation(iterations=1500, tolerance=1e-4)
    chosen = step.run(few)
    given = step.model_copy(update={'weight': chosen.notes['weight']}).run(few)
    assert np.linalg.norm(chosen.data - given.data) < 0.01 * np.linalg.norm(given.data)


def test_counts_that_the_user_holds_out_are_not_fitted(few):
    step = TotalVariation(iterations=1500, tolerance=1e-4, holdout=0.2)
    chosen = step.run(few)
    assert chosen.notes['held_out_share'] == pytest.approx(0.2)
    given = step.model_copy(update={'weight': chosen.notes['weight']}).run(few)
    assert chosen.notes['held_out_deviance'] == pytest.approx(given.notes['held_out_deviance'], rel=1e-3)
    assert np.linalg.norm(chosen.data - given.data) < 0.01 * np.linalg.norm(given.data)


def test_a_weight_at_the_end_of_the_search_is_doubted(few, monkeypatch):
    monkeypatch.setattr(weight_choice, '_EXTENSIONS', 0)
    monkeypatch.setattr(weight_choice, 'MIDDLE', 8.0)
    volume = TotalVariation(iterations=100).run(few)
    assert volume.notes['weight'] == 4.0
    (finding,) = [f for f in volume.findings if f.about == 'weight of TV']
    assert finding.level == 'doubt' and '4, is the smallest of 3 that were compared' in finding.sentence


def test_the_search_extends_until_the_best_lies_inside(few, monkeypatch):
    monkeypatch.setattr(weight_choice, 'MIDDLE', 8.0)
    notes = TotalVariation(iterations=100).run(few).notes
    weights, deviances = np.transpose(notes['weight_curve'])
    assert len(weights) > 3 and 0 < np.argmin(deviances) < len(weights) - 1
    np.testing.assert_allclose(weights[1:] / weights[:-1], 2.0)


def test_data_of_unknown_noise_choose_no_weight(small):
    noisy = small.data + np.random.default_rng(1).normal(0, 3, small.data.shape)
    volume = TotalVariation(iterations=50).run(replace(small, data=noisy.astype(np.float32)))
    (finding,) = [f for f in volume.findings if f.about == 'weight of TV']
    assert finding.level == 'note' and 'noise of these maps is not known' in finding.sentence
    assert volume.notes['weight_curve'] == [] and volume.notes['held_out_share'] == 0


@pytest.mark.parametrize(
    ('written', 'meant'),
    [
        ({'weight': 0.6, 'choose_weight': False}, 0.6),
        ({'weight': 0.3}, 0.3),
        ({'choose_weight': False}, 0.6),
        ({'weight': 0.6, 'choose_weight': True}, None),
        ({}, None),
    ],
)
def test_recipes_of_earlier_versions_mean_what_they_meant(written, meant):
    step = step_from_dict({'step': 'TotalVariation', **written})
    assert step == TotalVariation(weight=meant)
    assert 'choose_weight' not in step.to_dict()


def test_what_was_no_switch_is_refused():
    with pytest.raises(InputError, match='choose_weight'):
        TotalVariation(choose_weight='perhaps')


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


def test_finish_amid_the_search_keeps_the_best_of_the_weights_that_were_complete(few):
    observer = FinishAt(90)
    notes = TotalVariation(iterations=60).run(few, observer).notes
    # Three weights and the volume, 60 iterations each.
    assert observer.total == 240
    assert (notes['iterations'], notes['returned_iteration'], notes['weight']) == (90, 60, 0.7)
    assert not notes['converged'] and 'while weights were compared' in notes['stopping']
    assert notes['held_out_share'] == pytest.approx(0.1)


def test_finish_after_the_search_keeps_the_volume_as_far_as_it_is(few):
    notes = TotalVariation(iterations=60).run(few, FinishAt(200)).notes
    assert notes['held_out_share'] == 0 and notes['weight'] not in (0.7, 0.35)
    assert 'weights compared); stopped by hand after' in notes['stopping']


def test_finish_within_the_first_weight_keeps_what_there_is(small):
    volume = TotalVariation(iterations=100, holdout=0.1).run(small, FinishAt(15))
    assert volume.notes['iterations'] == 15
    assert not volume.notes['converged']
    assert volume.notes['held_out_deviance'] > 0
    assert volume.data.max() > 0


def test_the_recipe_says_what_was_asked_for(small):
    step = TotalVariation(iterations=10)
    assert step.run(small).recipe.steps == (step,)
