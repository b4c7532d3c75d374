"""The loop around the fit of the untrained network: iterate, judge, report, obey, mend once, return the best average."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from napari_diptomo.reconstruct.allocation import kept_memory
from napari_diptomo.reconstruct.prior_fit import Diverged, PriorFit
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import Observer, ReconstructionError, Volume, Watch

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.dipm_tv import DIPmTV

#: Iterations between two states kept to fall back on.
_KEEP_EVERY = 25


@dataclass(frozen=True, eq=False)
class Fitted:
    """A finished fit.

    Attributes
    ----------
    fit : PriorFit
        Its best average is ``fit.best.x``.
    seconds : float
        Working time.
    restarted : int, optional
        Iteration at which it diverged and went on with half the step size.
    """

    fit: PriorFit
    seconds: float
    restarted: int | None


def fit_prior(step: DIPmTV, problem: Problem, observer: Observer | None) -> Volume:
    """Fit, judge, and return the best average; obeys the observer in every iteration."""
    fitted = fit_network(step, problem, Watch(observer, step.title, step.iterations))
    best = fitted.fit.best
    return step._volume(problem, best.x, best.scores, fit_notes(step, fitted))


def fit_network(step: DIPmTV, problem: Problem, watch: Watch) -> Fitted:
    """Fit one network.

    Raises
    ------
    ReconstructionError
        When the objective is no number for the second time.
    """
    with kept_memory(problem.device):
        return _fit_network(step, problem, watch)


def _fit_network(step: DIPmTV, problem: Problem, watch: Watch) -> Fitted:
    fit = PriorFit(step, problem)
    state = watch.load_state()
    if state is not None:
        fit.restore(state)
    careful = _Careful(fit, None if state is None else state.get('restarted'))
    while fit.iteration < step.iterations:
        losses = careful.iterate()
        if losses is None:
            continue
        i, x = fit.iteration, fit.average
        fit.best.see(i, x, losses, last=i == step.iterations)
        watch.save_state(lambda: {**fit.state(), 'restarted': careful.restarted})
        if watch.step(i, losses, fit.best.validation, partial(problem.frame, x)):
            fit.best.see(i, x, losses, last=True)
            break
        # A falling step size may still turn a rise; a constant one does not.
        if step.schedule == 'constant' and fit.best.may_end():
            break
    return Fitted(fit, watch.seconds, careful.restarted)


def fit_notes(step: DIPmTV, fitted: Fitted) -> dict[str, Any]:
    """What is worth telling of a finished fit, JSON-ready."""
    fit = fitted.fit
    notes = {
        **fit.best.notes(fit.iteration),
        'preset': step.preset,
        'precision': 'bf16' if fit.bf16 else 'float32',
        'output': fit.network.output,
        'parameters': fit.parameters,
        'seconds': fitted.seconds,
    }
    if fitted.restarted is not None:
        notes['restarted'] = (
            f'the fit diverged at iteration {fitted.restarted} and went on from an earlier state with half the step size'
        )
    return notes


class _Careful:
    """Iterates, and goes back once to the last good state with half the step size when the objective is no number."""

    def __init__(self, fit: PriorFit, restarted: int | None) -> None:
        self._fit = fit
        self.restarted = restarted
        self._good: dict[str, Any] | None = None

    def iterate(self) -> dict[str, float] | None:
        """The losses of one iteration; None when it failed and the fit has gone back."""
        fit = self._fit
        due = self._good is None or fit.iteration % _KEEP_EVERY == 0
        state = copy.deepcopy(fit.state()) if due and self.restarted is None else None
        try:
            # The same seed shall give the same volume, on a GPU too.
            with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
                losses = fit.iterate()
        except Diverged:
            self._go_back(state)
            return None
        # Only now is it known that this state has an objective.
        self._good = state or self._good
        return losses

    def _go_back(self, state: dict[str, Any] | None) -> None:
        fit, failed = self._fit, self._fit.iteration + 1
        if self.restarted is not None:
            raise ReconstructionError(
                f'The fit diverged at iteration {self.restarted} and, with half the step size, again at iteration '
                f'{failed}; set the learning rate to a quarter of {fit.step.learning_rate:g} or less.'
            )
        good = self._good or state
        if good is not None:
            fit.restore(good)
        fit.slow_down(0.5)
        self.restarted, self._good = failed, None
