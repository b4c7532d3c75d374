"""Which iterate is returned, and why; what happens when the objective is no number."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.dip.fit import PriorFit
from napari_diptomo.reconstruct.discrepancy import noise_reached, poisson_expectation
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.stopping import Best, rule_for
from napari_diptomo.series import Observer, ReconstructionError

SMALL = {'widths': (8, 16), 'skips': (4, 4), 'learning_rate': 2e-2, 'output': 'softplus'}


@pytest.fixture
def problem(maps) -> Problem:
    return Problem(maps, holdout=0.1, seed=0)


def blurred(truth: np.ndarray, share: float) -> torch.Tensor:
    """Between an even volume (0) and the truth (1)."""
    x = share * truth + (1 - share) * truth.mean(axis=(1, 2, 3), keepdims=True)
    return torch.as_tensor(x, dtype=torch.float32)


def test_a_last_iterate_that_has_not_reached_the_noise_says_that_more_might_help(problem, truth):
    best = Best(problem, poisson=True)
    for iteration, share in enumerate((0.0, 0.1), start=1):
        best.see(iteration, blurred(truth, share), {})
    assert best.notes(2)['stopping'] == 'the last iterate predicts the held-out counts best: more iterations might help'
    # It ended because the latest iterations had gained nothing beyond doubt.
    best.gains = [(120, 3.0)]
    assert best.notes(2)['stopping'] == 'the last iterate predicts the held-out counts best'


@pytest.mark.parametrize('mean', [0.003, 0.05, 0.7, 3.0, 40.0, 900.0])
def test_the_expected_deviance_is_that_of_sampled_counts(mean):
    counts = torch.as_tensor(np.random.default_rng(1).poisson(mean, 400_000)).double()
    sampled = 2 * (mean - counts + torch.special.xlogy(counts, counts / mean))
    error = float(sampled.std()) / len(counts) ** 0.5
    found = float(poisson_expectation(torch.tensor([mean], dtype=torch.float64)))
    assert found == pytest.approx(float(sampled.mean()), abs=4 * error + 1e-3)


def test_noise_is_reached_by_a_model_that_follows_the_counts_and_not_by_a_blurred_one(maps, clean):
    problem = Problem(maps)
    counts = torch.as_tensor(maps.data)
    truth = torch.as_tensor(clean, dtype=torch.float32)

    def reached(expected):
        from napari_diptomo.reconstruct.data_terms import fit_term

        return noise_reached(problem, expected, float(fit_term(problem, expected, True)), True)

    assert reached(0.6 * counts + 0.4 * truth) is True
    assert reached(0.5 * truth + 0.5 * truth.mean()) is False


def test_noise_that_is_not_known_is_never_reached(maps):
    problem = Problem(replace(maps, data=maps.data / 3))
    assert noise_reached(problem, problem.fit, 0.0, poisson=False) is None
    known = Problem(replace(maps, data=maps.data / 3, variance=np.ones_like(maps.data)))
    assert noise_reached(known, known.fit, 0.9, poisson=False) is True


def test_the_best_predictor_of_held_out_counts_is_kept(problem, truth):
    best = Best(problem, poisson=True)
    for i, share in enumerate((0.2, 0.6, 0.9, 0.5), start=1):
        best.see(i, blurred(truth, share), {})
    assert best.iteration == 3
    torch.testing.assert_close(best.x, blurred(truth, 0.9))
    assert best.notes(4)['stopping'].startswith('iterate 3 of 4 predicts the held-out counts best')
    assert best.notes(4)['stopping_rule'] == 'held-out'


def test_noise_being_reached_is_reported_and_keeps_no_better_iterate_away(problem, truth):
    best = Best(problem, poisson=True)
    best.see(1, blurred(truth, 0.3), {})
    best.noise_reached = 1
    best.see(2, blurred(truth, 0.9), {})
    best.see(3, blurred(truth, 0.905), {})
    validation = best.scores['validation']
    assert best.iteration == 1 + int(np.argmin(validation))
    assert best.iteration > 1
    assert 'within their noise since iteration 1' in best.notes(3)['stopping']
    assert 'might help' not in best.notes(3)['stopping']


def test_a_rise_ends_the_run_only_when_it_is_clear_and_lasting(problem, truth):
    best = Best(problem, poisson=True)
    best.see(1, blurred(truth, 1.0), {})
    best.see(2, blurred(truth, 0.3), {})
    assert best.risen > 4
    assert not best.may_end()
    best.see(400, blurred(truth, 1.0), {})
    assert not best.may_end(), 'no clear rise'
    best.see(401, blurred(truth, 0.3), {})
    assert best.may_end()


def test_the_variance_rule_returns_the_quiet_iterate(maps, truth):
    problem = Problem(replace(maps, data=maps.data / 3))
    best = Best(problem, poisson=False, rule='variance', memory=0.8)
    noise = np.random.default_rng(2)
    quietest = 60
    for i in range(1, 121):
        size = 0.01 + 0.002 * abs(i - quietest)
        x = torch.as_tensor(0.2 * truth + size * noise.normal(size=truth.shape), dtype=torch.float32)
        best.see(i, x, {})
    # The exponential window of five iterations looks back.
    assert quietest - 2 <= best.iteration <= quietest + 12
    assert 'windowed variance' in best.notes(120)['stopping']


def test_the_variance_rule_returns_nothing_that_is_further_from_the_data_than_noise(maps, truth):
    problem = Problem(replace(maps, variance=np.maximum(maps.data, 1)))
    best = Best(problem, poisson=False, rule='variance', memory=0.5)
    quiet_but_wrong = torch.as_tensor(0.2 * truth, dtype=torch.float32)
    for i in range(1, 30):
        best.see(i, quiet_but_wrong, {})
    assert best.noise_reached is None
    moving = [torch.as_tensor((1 + 0.01 * (-1) ** i) * truth, dtype=torch.float32) for i in range(30, 34)]
    for i, x in enumerate(moving, start=30):
        best.see(i, x, {})
    assert best.noise_reached == 30
    assert best.iteration >= 30


def test_the_deviance_reported_is_that_of_the_iterate_returned(maps, truth):
    problem = Problem(replace(maps, data=maps.data / 3), holdout=0.1)
    best = Best(problem, poisson=False, rule='variance', memory=0.5)
    for i in range(1, 20):
        best.see(i, blurred(truth, 0.9) / 3, {})
    kept = best.notes(19)['held_out_deviance']
    best.see(20, blurred(truth, 0.2) / 3, {})
    assert best.iteration < 20
    assert best.notes(20)['held_out_deviance'] == kept < best.validation


def test_an_iterate_seen_twice_has_not_come_to_rest(maps, truth):
    problem = Problem(replace(maps, data=maps.data / 3))
    one, other = (Best(problem, poisson=False, every=3, rule='variance', memory=0.5) for _ in range(2))
    for best in (one, other):
        for i in range(1, 9):
            best.see(i, (1 + 0.1 * (-1) ** i) * blurred(truth, 0.9), {})
    one.see(8, 0.9 * blurred(truth, 0.9), {}, last=True)
    assert one.state()['variance']['moving'] == other.state()['variance']['moving']


def test_rules_follow_the_data(maps):
    counts, unknown = Problem(maps, holdout=0.1), Problem(replace(maps, data=maps.data / 3), holdout=0.1)
    known = Problem(replace(maps, data=maps.data / 3, variance=maps.data / 9 + 1), holdout=0.1)
    nothing = Problem(maps)
    rules = [rule_for(p, 'auto') for p in (counts, unknown, known, nothing)]
    assert rules == ['held-out', 'variance', 'held-out', 'variance']
    assert rule_for(unknown, 'held-out') == 'held-out'
    assert {rule_for(p, 'last') for p in (counts, nothing)} == {'last'}


def test_best_continues_from_its_state(problem, truth):
    best, again = Best(problem, True), Best(problem, True)
    best.see(1, blurred(truth, 0.8), {})
    best.see(2, blurred(truth, 0.3), {})
    again.restore(copy.deepcopy(best.state()))
    assert again.risen == best.risen > 0
    assert again.validation == best.validation
    assert again.notes(2) == best.notes(2)
    for one in (best, again):
        one.see(3, blurred(truth, 0.4), {})
        one.see(4, blurred(truth, 0.9), {})
    assert again.iteration == best.iteration == 4
    assert again.scores == best.scores
    assert again.risen == best.risen


def test_published_presets_return_the_last_iterate(maps):
    volume = DIPmTV(preset='published-eels', iterations=30, widths=(8, 16), skips=(4, 4)).run(maps)
    assert volume.notes['returned_iteration'] == 30
    assert volume.notes['stopping_rule'] == 'last'


def spoil(monkeypatch: pytest.MonkeyPatch, at: tuple[int, ...]) -> None:
    """An infinite data term in these iterations."""
    calls = iter(range(1, 10_000))
    real = PriorFit._data_term

    def data_term(self, u):
        spoiled = u.requires_grad and next(calls) in at
        return real(self, u) * (float('inf') if spoiled else 1.0)

    monkeypatch.setattr(PriorFit, '_data_term', data_term)


class Reports(Observer):
    def __init__(self) -> None:
        self.seen: list[int] = []

    def report(self, progress):
        self.seen.append(progress.iteration)


def test_one_infinity_goes_back_to_the_last_good_state_with_half_the_step(maps, monkeypatch):
    spoil(monkeypatch, (31,))
    rates: list[float] = []
    real = PriorFit.iterate

    def noting(self):
        losses = real(self)
        rates.append(max(group['lr'] for o in self.optimisers for group in o.param_groups))
        return losses

    monkeypatch.setattr(PriorFit, 'iterate', noting)
    reports = Reports()
    volume = DIPmTV(iterations=40, schedule='constant', precision='float32', **SMALL).run(maps, reports)
    assert reports.seen == [*range(1, 31), *range(26, 41)]
    assert rates[29] == pytest.approx(2 * rates[30])
    assert volume.notes['restarts'] == [[31, 'with half the step size']]
    (doubt,) = (finding for finding in volume.findings if finding.about == 'convergence')
    assert doubt.level == 'doubt'
    assert 'at iteration 31' in doubt.sentence
    assert doubt.remedy.changes == {'learning_rate': pytest.approx(0.01)}
    assert np.isfinite(volume.data).all()
    assert volume.scores['iteration'] == sorted(set(volume.scores['iteration']))


def test_bfloat16_gives_way_to_float32_before_the_step_size_does(maps, monkeypatch):
    spoil(monkeypatch, (31, 52))
    states: list[tuple[str, float]] = []
    real = PriorFit.iterate

    def noting(self):
        losses = real(self)
        states.append((str(self.z.dtype), max(g['lr'] for o in self.optimisers for g in o.param_groups)))
        return losses

    monkeypatch.setattr(PriorFit, 'iterate', noting)
    volume = DIPmTV(iterations=60, schedule='constant', precision='bf16', **SMALL).run(maps)
    # Back from 31 to 25 and on in float32; the 21st iteration from there is the 46th.
    assert volume.notes['restarts'] == [[31, 'in float32'], [46, 'with half the step size']]
    assert states[29][0] == 'torch.bfloat16'
    assert {kind for kind, _ in states[30:]} == {'torch.float32'}
    assert states[30][1] == pytest.approx(states[29][1])
    assert states[-1][1] == pytest.approx(states[29][1] / 2)


def test_a_second_infinity_with_half_the_step_stops_with_one_sentence(maps, monkeypatch):
    spoil(monkeypatch, (8, 12))
    with pytest.raises(
        ReconstructionError, match=r'at iteration 8 \(then with half .*\) and again at iteration 4; .* rate to 0\.005'
    ):
        DIPmTV(iterations=40, precision='float32', **SMALL).run(maps)


def test_an_absurd_learning_rate_stops_with_one_sentence(maps):
    step = DIPmTV(iterations=40, optimiser='adam', widths=(8, 16), skips=(4, 4), output='square', clip=0.0)
    with pytest.raises(ReconstructionError, match='learning rate') as caught:
        step.model_copy(update={'learning_rate': 1e25}).run(maps)
    assert str(caught.value).count('.') <= 2
