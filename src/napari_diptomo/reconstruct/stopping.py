"""When to stop, and what to return: the iterate that predicts the held-out counts best.

Two independent noisy copies of the data give nearly optimal early stopping of
a deep image prior (Huang et al. 2026, arXiv 2605.25299); counts give the second
copy by thinning, for a tenth of the dose. No such rule sees errors that leave
no trace in the data: those inside the missing wedge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from napari_diptomo.reconstruct.data_terms import held_out_term
from napari_diptomo.reconstruct.problem import Problem


class Best:
    """Keeps the best iterate so far and the curves that led to it.

    Parameters
    ----------
    problem : Problem
        Holds the held-out data.
    poisson : bool
        Which deviance judges.
    every : int
        Iterations between two looks at the held-out data.
    """

    def __init__(self, problem: Problem, poisson: bool, every: int = 1) -> None:
        self._problem, self._poisson, self._every = problem, poisson, every
        self.x: torch.Tensor = problem.zeros()
        self.iteration = 0
        self.validation: float | None = None
        self._lowest = float('inf')
        self.scores: dict[str, list[float]] = {'iteration': [], 'validation': []}

    def see(self, iteration: int, x: torch.Tensor, losses: Mapping[str, float], last: bool = False) -> None:
        """Take note of an iterate; a copy is kept when it is the best so far."""
        seen_before = bool(self.scores['iteration']) and self.scores['iteration'][-1] == iteration
        if seen_before or (iteration % self._every and not last):
            return
        self.validation = held_out_term(self._problem, x, self._poisson)
        self.scores['iteration'].append(float(iteration))
        self.scores['validation'].append(float('nan') if self.validation is None else self.validation)
        for name, value in losses.items():
            self.scores.setdefault(name, []).append(float(value))
        if self.validation is None or self.validation < self._lowest or not self.iteration:
            self._lowest = float('inf') if self.validation is None else self.validation
            self.iteration = iteration
            self.x = x.detach().clone()

    def notes(self, ended: int) -> dict[str, Any]:
        """What was chosen and why, JSON-ready."""
        if self._problem.held_out is None:
            reason = 'no counts held out: the last iterate is returned'
        elif self.iteration < ended:
            reason = f'iterate {self.iteration} of {ended} predicts the held-out counts best'
        else:
            reason = 'the last iterate predicts the held-out counts best: more iterations might help'
        return {
            'iterations': ended,
            'returned_iteration': self.iteration,
            'stopping': reason,
            'held_out_share': float(self._problem.share),
            'held_out_deviance': None if self._problem.held_out is None else float(self._lowest),
        }

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {'x': self.x, 'iteration': self.iteration, 'lowest': self._lowest, 'scores': self.scores}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.x, self.iteration = state['x'].to(self._problem.device), state['iteration']
        self._lowest, self.scores = state['lowest'], state['scores']
