r"""When to stop, and which iterate to return.

Three rules, of which the data decide (`rule_for`):

*held-out counts*: the iterate that predicts best what was held out. Two
independent noisy copies of the data give nearly optimal early stopping of a
deep image prior (Huang et al. 2026, arXiv 2605.25299); counts give the second
copy by thinning, for a tenth of the dose. Two iterates are compared datum by
datum: the noise that both have to predict cancels, and the standard error of
the difference is far below that of each deviance.

*windowed variance*: where nothing trustworthy is held out, the iterate around
which the iterates move least (ES-EMV, Wang et al. 2021, arXiv 2112.06074),

    EMV_t = a EMV_(t-1) + a (1 - a) ||x_t - EMA_(t-1)||^2,

of the averaged iterate EMA with memory a. The published form.

*last*: the last iterate, as the source papers do.

The discrepancy principle (`discrepancy`) bounds both from below. Few counts are
fitted as closely as the truth would fit them long before the volume is good
(24^3, peak 10: at iteration 55, 4 dB below the best, which came at 215): that is
no place to stop, but none before it can be, and the variance rule returns none
before it. To ask more of iterates after it than to predict the held-out counts
better (by two standard errors) cost up to 0.1 dB and gained nothing. No rule
sees errors that leave no trace in the data: those inside the missing wedge.

Formulas: stopping rule (`Best`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from napari_diptomo.reconstruct.data_terms import fit_term, held_out_deviance
from napari_diptomo.reconstruct.device import widest_float
from napari_diptomo.reconstruct.discrepancy import noise_reached
from napari_diptomo.reconstruct.problem import FLOOR, Problem

Rule = Literal['held-out', 'variance', 'last']

#: Standard errors of the paired difference that are a rise beyond doubt.
_RISEN = 4.0
#: Iterations without a better iterate before a run may end early; a passing fluctuation is shorter.
_PATIENCE = 200
#: Iterations over which a gain is measured, and the fewest before a run may end for want of one.
_STRIDE, _FEWEST = 40, 120
#: Standard errors of the paired difference that are a gain worth continuing for (docs/contest.md).
GAIN = 10.0
_WORDS = {
    'held-out': 'predicts the held-out counts best',
    'variance': 'is where the iterates moved least (windowed variance)',
}


def rule_for(problem: Problem, choice: str) -> Rule:
    """The rule for the user's word: ``'auto'``, ``'held-out'``, ``'variance'`` or ``'last'``.

    Data of unknown noise cannot be split into independent parts: what is held
    out of them would praise fitted noise.
    """
    if choice == 'last':
        return 'last'
    maps = problem.maps
    splits = maps.are_counts or maps.variance is not None or maps.held_out is not None
    trusted = problem.held_out is not None and (splits or choice == 'held-out')
    return 'held-out' if trusted and choice != 'variance' else 'variance'


class Best:
    """Keeps the best iterate so far and the curves that led to it.

    Parameters
    ----------
    problem : Problem
        Holds the held-out data.
    poisson : bool
        Which deviance judges.
    every : int
        Iterations between two looks at an iterate.
    rule : {'held-out', 'variance', 'last'}, optional
        Default: held-out counts where there are some, else the last iterate.
    memory : float
        That of the exponential average which the iterates are, for the variance.
    """

    def __init__(
        self, problem: Problem, poisson: bool, every: int = 1, rule: Rule | None = None, memory: float = 0.0
    ) -> None:
        self._problem, self._poisson, self._every = problem, poisson, every
        self.rule: Rule = rule or ('last' if problem.held_out is None else 'held-out')
        self._variance = _Variance(memory) if self.rule == 'variance' else None
        self.x: torch.Tensor = problem.zeros()
        self.iteration = 0
        self.validation: float | None = None
        #: The first iterate that was as close to the counts as the truth.
        self.noise_reached: int | None = None
        #: Held-out deviance of the latest look above that of the best, in standard errors of the difference.
        self.risen = 0.0
        self._lowest = float('inf')
        #: Held-out deviance of the iterate kept.
        self._deviance: float | None = None
        self._expected: torch.Tensor | None = None
        #: Expected data of the average at the latest multiple of `_STRIDE`.
        self._before: torch.Tensor | None = None
        #: Iteration and gain since the multiple before it, in standard errors.
        self.gains: list[tuple[int, float]] = []
        self.scores: dict[str, list[float]] = {'iteration': [], 'validation': []}

    @torch.no_grad()
    def see(self, iteration: int, x: torch.Tensor, losses: Mapping[str, float], last: bool = False) -> None:
        """Take note of an iterate; a copy is kept when it is the best so far."""
        if self._variance is not None:
            self._variance.see(iteration, x)
        seen_before = bool(self.scores['iteration']) and self.scores['iteration'][-1] == iteration
        if seen_before or (iteration % self._every and not last):
            return
        expected = self._look(iteration, x)
        self.scores['iteration'].append(float(iteration))
        self.scores['validation'].append(float('nan') if self.validation is None else self.validation)
        for name, value in losses.items():
            self.scores.setdefault(name, []).append(float(value))
        self._note_gain(iteration, expected)
        value = self._value()
        if not self.iteration or self._is_better(value, expected):
            self.iteration, self._lowest, self._expected = iteration, value, expected
            self._deviance = self.validation
            self.x = x.detach().clone()

    def may_end(self) -> bool:
        """Whether the held-out deviance has risen beyond doubt and for long: no better iterate is to come."""
        latest = self.scores['iteration'][-1] if self.scores['iteration'] else 0
        return self.rule == 'held-out' and self.risen > _RISEN and latest - self.iteration >= _PATIENCE

    def has_gained(self) -> bool:
        """Whether the latest iterations predict the held-out counts better than those before, beyond doubt."""
        if self.rule != 'held-out' or not self.gains:
            return True
        iteration, gain = self.gains[-1]
        return iteration < _FEWEST or gain > GAIN

    def notes(self, ended: int) -> dict[str, Any]:
        """The choice and its reason, JSON-ready."""
        return {
            'iterations': ended,
            'returned_iteration': self.iteration,
            'stopping': self._reason(ended),
            'stopping_rule': self.rule,
            'noise_reached': self.noise_reached,
            'held_out_share': float(self._problem.share),
            'held_out_deviance': self._deviance,
            'gains': [[iteration, round(gain, 2)] for iteration, gain in self.gains],
        }

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            'x': self.x,
            'iteration': self.iteration,
            'lowest': self._lowest,
            'deviance': self._deviance,
            'validation': self.validation,
            'risen': self.risen,
            'expected': self._expected,
            'before': self._before,
            'gains': [list(gain) for gain in self.gains],
            'noise_reached': self.noise_reached,
            'variance': None if self._variance is None else self._variance.state(),
            'scores': self.scores,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        device = self._problem.device
        self.x, self.iteration = state['x'].to(device), state['iteration']
        self._lowest, self.noise_reached = state['lowest'], state['noise_reached']
        self._deviance, self.validation, self.risen = state['deviance'], state['validation'], state['risen']
        self._expected = None if state['expected'] is None else state['expected'].to(device)
        self._before = None if state['before'] is None else state['before'].to(device)
        self.gains = [(int(iteration), float(gain)) for iteration, gain in state['gains']]
        self.scores = {name: list(curve) for name, curve in state['scores'].items()}
        if self._variance is not None:
            self._variance.restore(state['variance'], device)

    def _look(self, iteration: int, x: torch.Tensor) -> torch.Tensor | None:
        """Judge an iterate by its expected data, which are returned."""
        problem = self._problem
        if self.rule == 'last' and problem.held_out is None:
            return None
        expected = problem.expected(x)
        if problem.held_out is not None:
            self.validation = held_out_deviance(problem, expected, problem.held_out, self._poisson)
        if self.noise_reached is None and self.rule != 'last':
            fitted = float(fit_term(problem, expected, self._poisson))
            if noise_reached(problem, expected, fitted, self._poisson):
                self.noise_reached = iteration
        return expected

    def _value(self) -> float:
        """The number that the rule minimises."""
        if self.rule == 'held-out' and self.validation is not None:
            return self.validation
        return self._variance.value if self._variance is not None else float('-inf')

    def _is_better(self, value: float, expected: torch.Tensor | None) -> bool:
        if self.rule == 'last':
            return True
        if self.rule == 'variance':
            return value < self._lowest or self._before_noise()
        mean, error = self._gain(self._expected, expected)
        self.risen = -mean / error if error > 0 else 0.0
        return mean > 0

    def _before_noise(self) -> bool:
        """Whether the iterate kept is further from the data than noise explains, where that is known."""
        known = self._poisson or self._problem.maps.variance is not None
        return known and (self.noise_reached is None or self.iteration < self.noise_reached)

    def _note_gain(self, iteration: int, expected: torch.Tensor | None) -> None:
        if self.rule == 'held-out' and iteration % _STRIDE == 0 and expected is not None:
            if self._before is not None:
                mean, error = self._gain(self._before, expected)
                self.gains.append((iteration, mean / error if error > 0 else 0.0))
            self._before = expected

    def _gain(self, earlier: torch.Tensor | None, later: torch.Tensor | None) -> tuple[float, float]:
        """Held-out deviance per datum of one expectation less that of another, and the standard error of the difference."""
        if later is None or earlier is None or self._problem.held_out is None:
            return float('inf'), 0.0
        return paired_gain(self._problem, earlier, later, self._poisson)

    def _reason(self, ended: int) -> str:
        if self.rule == 'last':
            nothing = (
                '; no counts were held out' if self._problem.held_out is None else ', the last of which is returned'
            )
            return f'{ended} iterations{nothing}'
        which = f'iterate {self.iteration} of {ended}' if self.iteration < ended else 'the last iterate'
        reason = f'{which} {_WORDS[self.rule]}'
        if self.noise_reached is not None:
            return f'{reason} (the data are fitted to within their noise since iteration {self.noise_reached})'
        if self.iteration == ended and self.rule == 'held-out' and self.has_gained():
            reason += ': more iterations might help'
        return reason


def paired_gain(problem: Problem, earlier: torch.Tensor, later: torch.Tensor, poisson: bool) -> tuple[float, float]:
    """Held-out deviance per datum of one expectation less that of another, and the standard error of the difference.

    Parameters
    ----------
    problem : Problem
        With held-out counts.
    earlier, later : Tensor (window, tilt, y, u)
        Expected data of the full exposure.
    poisson : bool
        Which deviance judges.
    """
    data = problem.held_out
    assert data is not None, 'without held-out counts nothing is compared'
    before, now = problem.share * earlier, problem.share * later
    if poisson:
        before, now = before.clamp_min(0) + FLOOR, now.clamp_min(0) + FLOOR
        each = 2 * (before - now - data * (before.log() - now.log()))
    else:
        each = ((data - before) ** 2 - (data - now) ** 2) / (problem.share * problem.variance)
    used = each[problem.mask.expand_as(each) > 0].to(widest_float(each.device))
    return float(used.mean()), float(used.std()) / max(used.numel(), 1) ** 0.5


class _Variance:
    """Exponential moving variance of the iterates behind an exponential average, relative to its square."""

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._window = round(1 / (1 - memory))
        self._previous: torch.Tensor | None = None
        self._moving = 0.0
        self._seen = self._latest = 0

    @property
    def value(self) -> float:
        """Infinite until the window is full."""
        return self._moving if self._seen > 2 * self._window else float('inf')

    def see(self, iteration: int, average: torch.Tensor) -> None:
        if iteration == self._latest:
            # The last iterate of a run that was ended by hand comes twice; it has not settled by that.
            return
        self._latest = iteration
        if self._previous is not None:
            # The average moves by (1 - a) (x_t - EMA_(t-1)): the iterate itself need not be known.
            a = self._memory or 0.9
            jump = float((average - self._previous).square().sum()) / (1 - self._memory) ** 2
            size = float(average.square().sum())
            self._moving = a * self._moving + a * (1 - a) * jump / max(size, 1e-30)
        self._previous = average.detach().clone()
        self._seen += 1

    def state(self) -> dict[str, Any]:
        return {'previous': self._previous, 'moving': self._moving, 'seen': self._seen, 'latest': self._latest}

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        previous = state['previous']
        self._previous = None if previous is None else previous.to(device)
        self._moving, self._seen, self._latest = state['moving'], state['seen'], state['latest']
