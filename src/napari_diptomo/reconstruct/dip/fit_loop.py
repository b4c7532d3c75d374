"""The fit of one network from start to end, and how it recovers when it diverges.

A fit whose objective is no number any more is restored to its last good state and continues in
float32; the next time with half the step size; the third time it gives up and names a
learning rate to try.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from napari_diptomo.reconstruct.data_terms import fit_terms
from napari_diptomo.reconstruct.dip.fit import Diverged, PriorFit, planned_iterations
from napari_diptomo.reconstruct.dip.retained_memory import kept_memory
from napari_diptomo.reconstruct.dip.settings import FitSettings
from napari_diptomo.reconstruct.iterate import Iterated, iterate
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Finding, Observer, ReconstructionError, Remedy, Watch

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
        Iterations at which it diverged, and how it continued.
    """

    fit: PriorFit
    seconds: float
    restarts: tuple[tuple[int, str], ...] = ()

    @property
    def solution(self) -> Solution:
        """The best average."""
        best = self.fit.best
        return Solution(best.x, best.scores, self.notes, self.findings)

    @property
    def notes(self) -> dict[str, Any]:
        """How it went, JSON-ready."""
        fit = self.fit
        notes = {
            **fit.best.notes(fit.iteration),
            'precision': 'float32' if fit.arithmetic.number_type == torch.float32 else 'bf16',
            'output': fit.network.output,
            'parameters': fit.parameters,
            'seconds': self.seconds,
        }
        if fit.haadf is not None:
            notes['haadf'] = fit.haadf.notes(fit.whole_average)
        if self.restarts:
            notes['restarts'] = [list(restart) for restart in self.restarts]
        return notes

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of the arithmetic and the convergence."""
        found = self.fit.arithmetic.findings
        if self.restarts:
            rate = self.fit.settings.optimiser.learning_rate
            restarts = ', '.join(f'at iteration {at} (continued {how})' for at, how in self.restarts)
            sentence = f'The fit diverged {restarts}; compare with a run at a smaller learning rate.'
            evidence = {'restarts': len(self.restarts), 'learning_rate': rate}
            remedy = Remedy('Halve the learning rate', 'DIPmTV', {'learning_rate': rate / 2})
            found = (*found, Finding('doubt', 'convergence', sentence, evidence, remedy))
        return found


def fit_alone(settings: FitSettings, problem: Problem, observer: Observer | None) -> Solution:
    """Fit one network as a run of its own and return its best average."""
    watch = Watch(observer, settings.title, planned_iterations(settings, problem))
    return fit_network(settings, problem, watch).solution


def fit_network(settings: FitSettings, problem: Problem, watch: Watch) -> Fitted:
    """Fit one network.

    Parameters
    ----------
    settings : FitSettings
        Of the network and its fit.
    problem : Problem
        Data and forward model.
    watch : Watch
        Reports every iteration; what it has of an interrupted fit is continued.

    Raises
    ------
    ReconstructionError
        When the objective is no number in float32 and with half the step size either.
    """
    with kept_memory(problem.device):
        run = _Run(PriorFit(settings, problem), watch.load_state())
        iterate(run, watch)
        return Fitted(run.fit, watch.seconds, run.restarts)


class _Run(Iterated):
    """Iterates, judges the averages, and returns to the last good state when the objective is no number: see the module."""

    resumable = True

    def __init__(self, fit: PriorFit, resumed: Mapping[str, Any] | None) -> None:
        self.fit = fit
        restarts: Sequence[Sequence[Any]] = ()
        if resumed is not None:
            fit.restore(dict(resumed))
            restarts = resumed['restarts']
        self.restarts: tuple[tuple[int, str], ...] = tuple((int(at), str(how)) for at, how in restarts)
        self._good: dict[str, Any] | None = None
        self._losses: Mapping[str, float] = {}

    @property
    def iteration(self) -> int:
        return self.fit.iteration

    @property
    def validation(self) -> float | None:
        return self.fit.best.validation

    def advance(self) -> Mapping[str, float] | None:
        losses = self._carefully()
        if losses is not None:
            self._losses = losses
            self.fit.best.see(self.iteration, self.fit.average, losses, last=self.iteration == self.fit.longest)
        return losses

    def is_done(self) -> bool:
        fit, settings = self.fit, self.fit.settings
        if fit.iteration >= fit.longest:
            return True
        # A falling step size may still turn a rise; a constant one does not.
        if settings.optimiser.schedule == 'constant' and fit.best.may_end():
            return True
        return settings.iterations is None and fit.haadf is None and not fit.best.has_gained()

    def frame(self) -> np.ndarray:
        return self.fit.problem.frame(self.fit.average)

    def by_channel(self) -> Mapping[str, float]:
        fit = self.fit
        with torch.no_grad():
            return fit_terms(fit.problem, fit.problem.expected(fit.average), fit.poisson)

    def stop(self) -> None:
        self.fit.best.see(self.iteration, self.fit.average, self._losses, last=True)

    def state(self) -> dict[str, Any]:
        return {**self.fit.state(), 'restarts': [list(restart) for restart in self.restarts]}

    def _carefully(self) -> dict[str, float] | None:
        """The losses of one iteration; None when it failed and an earlier state was restored."""
        fit = self.fit
        due = self._good is None or fit.iteration % _KEEP_EVERY == 0
        state = copy.deepcopy(fit.state()) if due and not self._exhausted else None
        try:
            losses = fit.iterate()
        except Diverged:
            self._fall_back(state)
            return None
        # Only now is it known that this state has an objective.
        self._good = state or self._good
        return losses

    @property
    def _exhausted(self) -> bool:
        return any(how == _HALF for _, how in self.restarts)

    def _fall_back(self, state: dict[str, Any] | None) -> None:
        fit, failed = self.fit, self.fit.iteration + 1
        if self._exhausted:
            before = ', '.join(f'at iteration {at} (then {how})' for at, how in self.restarts)
            raise ReconstructionError(
                f'The fit diverged {before} and again at iteration {failed}; '
                f'set the learning rate to {fit.settings.optimiser.learning_rate / 4:.2g}.'
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
