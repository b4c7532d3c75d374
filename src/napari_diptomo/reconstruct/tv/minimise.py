r"""Total variation of several channels, minimised with one weight.

    min over x >= 0 of  sum of deviances / 2 + w n sum_v |grad u|(v) / N,   u_c = x_c / s_c

with the Poisson deviance of the counts (or the squared residual over the
variance where the maps are no counts), n data, N voxels and s_c the typical
density of channel c (n as if every channel had one window: two windows with the
same information weigh no more than one): with the joint norm sqrt(sum_c |grad u_c|^2) this is the
objective of DIPm-TV without the network, with the same meaning of the weight w.
The norms are those of `tv.norms`, the solver is that of `tv.primal_dual`. HAADF images add their negative
log-likelihood, and one more channel to u, of what no map holds (`tv.haadf_rows`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from napari_diptomo.reconstruct.data_terms import fit_term, fit_terms, held_out_term, is_poisson
from napari_diptomo.reconstruct.iterate import Iterated, iterate
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import typical_density
from napari_diptomo.reconstruct.tv.haadf_rows import HAADFRows
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual
from napari_diptomo.reconstruct.tv.settings import TVSettings
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Watch

#: Iterations between two points of the curves.
_EVERY = 10


@torch.no_grad()
def solver_of(problem: Problem, settings: TVSettings, weight: float, start: torch.Tensor | None = None) -> PrimalDual:
    """The solver of a problem before its first iteration.

    Parameters
    ----------
    problem : Problem
        Data and forward model.
    settings : TVSettings
        What is minimised; their weight is not looked at.
    weight : float
        Of the total variation.
    start : Tensor (channel, z, y, x), optional
        Volume of the maps alone, needed where there are HAADF images: these are compared with it first.
    """
    typical = typical_density(problem)
    images = None if problem.haadf is None or start is None else HAADFRows(problem, typical, start)
    return PrimalDual(problem, typical, weight, is_poisson(problem, settings.data_term), settings.coupling, images)


@torch.no_grad()
def minimise(problem: Problem, solver: PrimalDual, settings: TVSettings, watch: Watch) -> Solution:
    """The volume with the weight that the solver has, from where the solver stands.

    Parameters
    ----------
    problem : Problem
        Of the solver.
    solver : PrimalDual
        Made by `solver_of`; it stands at the minimum afterwards.
    settings : TVSettings
        Iterations and tolerance are theirs.
    watch : Watch
        Reports the iterations.
    """
    run = _Minimisation(problem, solver, settings, is_poisson(problem, settings.data_term))
    finished = iterate(run, watch)
    return Solution(solver.volume, run.scores, {**run.notes(finished), 'seconds': watch.seconds})


class _Minimisation(Iterated):
    """The iterations with one weight, and their curves."""

    def __init__(self, problem: Problem, solver: PrimalDual, settings: TVSettings, poisson: bool) -> None:
        self._problem, self._solver, self._settings, self._poisson = problem, solver, settings, poisson
        self.scores: dict[str, list[float]] = {'iteration': [], 'data': [], 'tv': [], 'validation': [], 'weight': []}
        self._done = 0
        self._held_out: float | None = None
        self._is_judged = False

    @property
    def iteration(self) -> int:
        return self._done

    @property
    def validation(self) -> float | None:
        return self._held_out

    def advance(self) -> Mapping[str, float]:
        self._solver.step()
        self._done += 1
        self._is_judged = self._done % _EVERY == 0 or self._done == self._settings.iterations
        return self._judge() if self._is_judged else {}

    def is_done(self) -> bool:
        return self._converged or self._done >= self._settings.iterations

    def frame(self) -> np.ndarray:
        return self._problem.frame(self._solver.volume)

    def by_channel(self) -> Mapping[str, float]:
        return fit_terms(self._problem, self._problem.expected(self._solver.volume), self._poisson)

    def notes(self, finished: bool) -> dict[str, Any]:
        """The result, JSON-ready; ``finished``: the observer ended the run."""
        if not self._is_judged:
            self._judge()
        if self._converged:
            stopping = f'converged after {self._done} iterations'
        elif finished:
            stopping = f'stopped by hand after {self._done} iterations, before it had converged'
        else:
            stopping = f'not converged to the tolerance within {self._done} iterations: more might change the volume'
        solver = self._solver
        images = {} if solver.images is None else {'haadf': solver.images.notes(solver.u)}
        return {
            'iterations': self._done,
            'returned_iteration': self._done,
            'weight': solver.weight,
            'coupling': self._settings.coupling,
            'converged': self._converged,
            'stopping': stopping,
            'held_out_share': float(self._problem.share),
            'held_out_deviance': self._held_out,
            **images,
        }

    @property
    def _converged(self) -> bool:
        return self._solver.change < self._settings.tolerance

    def _judge(self) -> dict[str, float]:
        problem, x = self._problem, self._solver.volume
        losses = {
            'data': float(fit_term(problem, problem.expected(x), self._poisson)),
            'tv': self._solver.roughness,
        }
        self._held_out = held_out_term(problem, x, self._poisson)
        validation = float('nan') if self._held_out is None else self._held_out
        point = {'iteration': self.iteration, **losses, 'validation': validation, 'weight': self._solver.weight}
        for name, value in point.items():
            self.scores[name].append(float(value))
        return losses
