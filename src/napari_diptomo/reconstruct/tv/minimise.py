r"""Total variation of several channels, minimised with one weight or with the one that held-out counts choose.

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
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from napari_diptomo.reconstruct.data_terms import fit_term, fit_terms, held_out_term, is_poisson
from napari_diptomo.reconstruct.iterate import Iterated, iterate
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import typical_density
from napari_diptomo.reconstruct.tv.haadf_rows import HAADFRows
from napari_diptomo.reconstruct.tv.norms import Coupling
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Watch

#: Weights that are tried when the held-out counts choose. From the largest on: its solution is found soonest.
WEIGHTS = (4.0, 2.0, 1.2, 0.8, 0.6, 0.4, 0.2, 0.1)
#: Iterations between two points of the curves.
_EVERY = 10


@dataclass(frozen=True)
class TVSettings:
    """Objective and solver of the total variation.

    Attributes
    ----------
    weights : tuple of float
        One, or those that the held-out counts choose from.
    coupling : {'joint', 'channels', 'nuclear'}
        Norm of the Jacobian.
    iterations : int
        At most, for each weight.
    tolerance : float
        Relative change of the volume over `primal_dual.WINDOW` iterations below which it has converged.
    data_term : {'auto', 'poisson', 'gaussian'}
        Statistics of the data.
    """

    weights: tuple[float, ...] = (0.6,)
    coupling: Coupling = 'joint'
    iterations: int = 1000
    tolerance: float = 8e-4
    data_term: str = 'auto'


@torch.no_grad()
def minimise(problem: Problem, settings: TVSettings, watch: Watch, start: torch.Tensor | None = None) -> Solution:
    """The volume of the weight that predicts the held-out counts best, or of the only one.

    Parameters
    ----------
    problem : Problem
        Data and forward model; with more than one weight some counts are held out.
    settings : TVSettings
        What is minimised, and how.
    watch : Watch
        Reports the iterations of all weights as one run.
    start : Tensor (channel, z, y, x), optional
        Volume of the maps alone, needed where there are HAADF images: these are compared with it first.
    """
    poisson = is_poisson(problem, settings.data_term)
    typical = typical_density(problem)
    images = None if problem.haadf is None or start is None else HAADFRows(problem, typical, start)
    solver = PrimalDual(problem, typical, settings.weights[0], poisson, settings.coupling, images)
    scores: dict[str, list[float]] = {'iteration': [], 'data': [], 'tv': [], 'validation': [], 'weight': []}
    curve: list[tuple[float, float | None]] = []
    best: _Minimum | None = None
    done = 0
    for weight in settings.weights:
        if weight != solver.weight:
            solver.set_weight(weight)
        run = _Minimisation(problem, solver, settings, poisson, done, scores)
        finished = iterate(run, watch)
        found, done = run.minimum(finished), run.iteration
        if not (curve and finished):
            curve.append((weight, found.held_out))
        # A weight that was interrupted is no match for those solved to the end.
        if best is None or (not finished and found.better_than(best)):
            best = found
        if finished:
            break
    assert best is not None, 'there is at least one weight'
    return Solution(best.x, scores, {**_notes(problem, settings, best, done, curve), 'seconds': watch.seconds})


@dataclass(frozen=True, eq=False)
class _Minimum:
    """Result of one weight; ``ended`` counts the iterations of all weights so far, ``images`` is what was learned of HAADF."""

    weight: float
    x: torch.Tensor
    held_out: float | None
    ended: int
    stopping: str
    converged: bool
    images: Mapping[str, Any] | None

    def better_than(self, other: _Minimum) -> bool:
        """Whether it predicts the held-out counts better."""
        return self.held_out is not None and other.held_out is not None and self.held_out < other.held_out


class _Minimisation(Iterated):
    """The iterations with one weight; appends to the curves of all."""

    def __init__(
        self,
        problem: Problem,
        solver: PrimalDual,
        settings: TVSettings,
        poisson: bool,
        before: int,
        scores: dict[str, list[float]],
    ) -> None:
        self._problem, self._solver, self._settings, self._poisson = problem, solver, settings, poisson
        self._before, self._scores = before, scores
        self._done = 0
        self._held_out: float | None = None
        self._is_judged = False

    @property
    def iteration(self) -> int:
        return self._before + self._done

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

    def minimum(self, finished: bool) -> _Minimum:
        """The result; ``finished``: the observer ended the run."""
        if not self._is_judged:
            self._judge()
        if self._converged:
            stopping = f'converged after {self._done} iterations'
        elif finished:
            stopping = f'stopped by hand after {self._done} iterations, before it had converged'
        else:
            stopping = f'not converged to the tolerance within {self._done} iterations: more might change the volume'
        solver = self._solver
        images = None if solver.images is None else solver.images.notes(solver.u)
        return _Minimum(solver.weight, solver.volume, self._held_out, self.iteration, stopping, self._converged, images)

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
            self._scores[name].append(float(value))
        return losses


def _notes(
    problem: Problem, settings: TVSettings, best: _Minimum, done: int, curve: list[tuple[float, float | None]]
) -> dict[str, Any]:
    """The choice and its reason, JSON-ready."""
    notes: dict[str, Any] = {
        'iterations': done,
        'returned_iteration': best.ended,
        'weight': best.weight,
        'coupling': settings.coupling,
        'converged': best.converged,
        'stopping': best.stopping,
        'held_out_share': float(problem.share),
        'held_out_deviance': best.held_out,
    }
    if best.images is not None:
        notes['haadf'] = dict(best.images)
    if len(settings.weights) > 1:
        notes['weight_curve'] = [list(point) for point in curve]
        tried = '' if len(curve) == len(settings.weights) else f' of the {len(curve)} tried'
        notes['stopping'] = f'weight {best.weight:g}{tried} predicts the held-out counts best; {best.stopping}'
    return notes
