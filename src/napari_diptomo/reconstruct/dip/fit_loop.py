"""The loop around the fit of the untrained network: iterate, judge, report, obey, return the best average.

A fit whose objective is no number any more goes back to its last good state and on in
float32; the next time with half the step size; the third time it gives up and names a
learning rate to try.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from napari_diptomo.reconstruct.dip.fit import Diverged, PriorFit, planned_iterations
from napari_diptomo.reconstruct.dip.retained_memory import kept_memory
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import Finding, Observer, ReconstructionError, Remedy, Volume, Watch

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.steps.dipm_tv import DIPmTV

#: Iterations between two states kept to fall back on.
_KEEP_EVERY = 25
_FLOAT32, _HALF = 'in float32', 'with half the step size'


@dataclass(frozen=True, eq=False)
class Fitted:
    """A finished fit.

    Attributes
    ----------
    fit : PriorFit
        Its best average is ``fit.best.x``.
    seconds : float
        Working time.
    restarts : tuple of (int, str)
        Iterations at which it diverged, and how it went on.
    """

    fit: PriorFit
    seconds: float
    restarts: tuple[tuple[int, str], ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the arithmetic and the course of the fit left to be said."""
        found = self.fit.arithmetic.findings
        if self.restarts:
            course = ', '.join(f'at iteration {at} (continued {how})' for at, how in self.restarts)
            sentence = f'The fit diverged {course}; compare with a run at a smaller learning rate.'
            evidence = {'restarts': len(self.restarts), 'learning_rate': self.fit.step.learning_rate}
            remedy = Remedy('Halve the learning rate', 'DIPmTV', {'learning_rate': self.fit.step.learning_rate / 2})
            found = (*found, Finding('doubt', 'convergence', sentence, evidence, remedy))
        return found


def fit_prior(step: DIPmTV, problem: Problem, observer: Observer | None) -> Volume:
    """Fit, judge, and return the best average; obeys the observer in every iteration."""
    fitted = fit_network(step, problem, Watch(observer, step.title, planned_iterations(step, problem)))
    best = fitted.fit.best
    return step._volume(problem, best.x, best.scores, fit_notes(step, fitted), fitted.findings)


def fit_network(step: DIPmTV, problem: Problem, watch: Watch) -> Fitted:
    """Fit one network.

    Raises
    ------
    ReconstructionError
        When the objective is no number in float32 and with half the step size either.
    """
    with kept_memory(problem.device):
        return _fit_network(step, problem, watch)


def _fit_network(step: DIPmTV, problem: Problem, watch: Watch) -> Fitted:
    fit = PriorFit(step, problem)
    state = watch.load_state()
    if state is not None:
        fit.restore(state)
    careful = _Careful(fit, () if state is None else state['restarts'])
    while fit.iteration < fit.longest:
        losses = careful.iterate()
        if losses is None:
            continue
        i, x = fit.iteration, fit.average
        fit.best.see(i, x, losses, last=i == fit.longest)
        watch.save_state(lambda: {**fit.state(), 'restarts': [list(restart) for restart in careful.restarts]})
        if watch.step(i, losses, fit.best.validation, partial(problem.frame, x)):
            fit.best.see(i, x, losses, last=True)
            break
        # A falling step size may still turn a rise; a constant one does not.
        if step.schedule == 'constant' and fit.best.may_end():
            break
        if step.iterations is None and not fit.best.has_gained():
            break
    return Fitted(fit, watch.seconds, careful.restarts)


def fit_notes(step: DIPmTV, fitted: Fitted) -> dict[str, Any]:
    """What is worth telling of a finished fit, JSON-ready."""
    fit = fitted.fit
    notes = {
        **fit.best.notes(fit.iteration),
        'preset': step.preset,
        'precision': 'float32' if fit.arithmetic.number_type == torch.float32 else 'bf16',
        'output': fit.network.output,
        'parameters': fit.parameters,
        'seconds': fitted.seconds,
    }
    if fitted.restarts:
        notes['restarts'] = [list(restart) for restart in fitted.restarts]
    return notes


class _Careful:
    """Iterates, and goes back to the last good state when the objective is no number: see the module."""

    def __init__(self, fit: PriorFit, restarts: Sequence[Sequence[Any]] = ()) -> None:
        self._fit = fit
        self.restarts: tuple[tuple[int, str], ...] = tuple((int(at), str(how)) for at, how in restarts)
        self._good: dict[str, Any] | None = None

    def iterate(self) -> dict[str, float] | None:
        """The losses of one iteration; None when it failed and the fit has gone back."""
        fit = self._fit
        due = self._good is None or fit.iteration % _KEEP_EVERY == 0
        state = copy.deepcopy(fit.state()) if due and not self._exhausted else None
        try:
            losses = fit.iterate()
        except Diverged:
            self._go_back(state)
            return None
        # Only now is it known that this state has an objective.
        self._good = state or self._good
        return losses

    @property
    def _exhausted(self) -> bool:
        return any(how == _HALF for _, how in self.restarts)

    def _go_back(self, state: dict[str, Any] | None) -> None:
        fit, failed = self._fit, self._fit.iteration + 1
        if self._exhausted:
            before = ', '.join(f'at iteration {at} (then {how})' for at, how in self.restarts)
            raise ReconstructionError(
                f'The fit diverged {before} and again at iteration {failed}; '
                f'set the learning rate to {fit.step.learning_rate / 4:.2g}.'
            )
        good = self._good or state
        if good is not None:
            fit.restore(good)
        how = _HALF if fit.arithmetic.number_type == torch.float32 else _FLOAT32
        if how == _FLOAT32:
            fit.compute_in(torch.float32)
        else:
            fit.slow_down(0.5)
        self.restarts, self._good = (*self.restarts, (failed, how)), None
