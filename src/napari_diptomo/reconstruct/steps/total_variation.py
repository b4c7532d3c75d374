r"""Total variation of several channels, solved to convergence.

    min over x >= 0 of  sum of deviances / 2 + w n sum_v |grad u|(v) / N,   u_c = x_c / s_c

with the Poisson deviance of the counts (or the squared residual over the
variance where the maps are no counts), n data, N voxels and s_c the typical
density of channel c (n as if every channel had one window: two windows that tell
no more than one weigh no more): with the joint norm sqrt(sum_c |grad u_c|^2) this is the
objective of DIPm-TV without the network, with the same meaning of the weight w.
The norms are those of `reconstruct.jacobian_norms`, the solver is that of
`reconstruct.primal_dual`.

The weight can be left to the held-out counts: the weights of a grid are solved
one after the other, each from the solution before, and the one whose volume
predicts the held-out counts best is returned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from napari_diptomo.reconstruct.steps.base import Reconstruction
from napari_diptomo.series import MapSeries, Observer, Volume, Watch, param

if TYPE_CHECKING:
    import torch

    from napari_diptomo.reconstruct.problem import Problem
    from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual

#: Weights that are tried when the held-out counts choose. From the largest on: its solution is found soonest.
WEIGHTS = (4.0, 2.0, 1.2, 0.8, 0.6, 0.4, 0.2, 0.1)
#: Share held out to choose the weight when none is given.
_SHARE = 0.1


class TotalVariation(Reconstruction):
    """Non-negative total variation over all channels."""

    title: ClassVar[str] = 'Joint TV'

    weight: float = param(
        0.6, 'Weight of the total variation: raise it when the volume is noisy, lower it when detail is lost.', gt=0.0
    )
    choose_weight: bool = param(
        False,
        'Try eight weights from 0.1 to 4 in place of the one above and return the volume that predicts held-out counts best.',
    )
    coupling: Literal['joint', 'channels', 'nuclear'] = param(
        'joint',
        'What channels share: joint favours edges at the same place, nuclear also in the same direction, '
        'channels smooths each by itself.',
        advanced=True,
    )
    iterations: int = param(1000, 'Iterations at most, for each weight.', ge=1, le=100_000)
    tolerance: float = param(
        8e-4,
        'Ends when 20 iterations change the volume by less than this share of it; 0 runs all iterations.',
        ge=0.0,
        lt=1.0,
        advanced=True,
    )
    data_term: Literal['auto', 'poisson', 'gaussian'] = param(
        'auto', "Statistics of the data: Poisson for counts, gaussian with the maps' variance otherwise.", advanced=True
    )
    holdout: float = param(
        0.0,
        'Share of the counts held out to score the result; 0 fits all counts, or holds out a tenth to choose the weight.',
        ge=0.0,
        lt=0.9,
        advanced=True,
    )

    def _volumes(self, maps: MapSeries) -> float:
        # Measured; the eigenvalues of the nuclear norm are per voxel, whatever the number of channels.
        return 19.0 + (65.0 / len(maps.channels) if self.coupling == 'nuclear' else 0.0)

    def _run(self, maps: MapSeries, observer: Observer | None) -> Volume:
        import torch

        if self.choose_weight and not self.holdout:
            return self.model_copy(update={'holdout': _SHARE})._run(maps, observer)
        with torch.no_grad():
            return self._solve(self._problem(maps), observer)

    def _solve(self, problem: Problem, observer: Observer | None) -> Volume:
        from napari_diptomo.reconstruct.data_terms import is_poisson
        from napari_diptomo.reconstruct.sirt_iteration import channel_scale
        from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual

        weights = WEIGHTS if self.choose_weight else (self.weight,)
        poisson = is_poisson(problem, self.data_term)
        solver = PrimalDual(problem, channel_scale(problem), weights[0], poisson, self.coupling)
        course = _Course(self, problem, poisson, Watch(observer, self.title, self.iterations * len(weights)))
        best = course.follow(solver, weights[0])
        for weight in weights[1:]:
            if course.finished:
                break
            solver.set_weight(weight)
            solution = course.follow(solver, weight)
            # A weight that was interrupted is no match for those solved to the end.
            if not course.finished and solution.better_than(best):
                best = solution
        return self._volume(problem, best.x, course.scores, course.notes(best))


@dataclass(frozen=True)
class _Solution:
    """What one weight led to; ``ended`` counts the iterations of all weights so far."""

    weight: float
    x: torch.Tensor
    held_out: float | None
    ended: int
    stopping: str
    converged: bool

    def better_than(self, other: _Solution) -> bool:
        """Whether the held-out counts speak for it."""
        return self.held_out is not None and other.held_out is not None and self.held_out < other.held_out


@dataclass
class _Course:
    """Iterates, judges, reports and obeys; keeps the curves."""

    step: TotalVariation
    problem: Problem
    poisson: bool
    watch: Watch
    done: int = 0
    finished: bool = False
    curve: list[tuple[float, float | None]] = field(default_factory=list)
    scores: dict[str, list[float]] = field(
        default_factory=lambda: {'iteration': [], 'data': [], 'tv': [], 'validation': [], 'weight': []}
    )

    def follow(self, solver: PrimalDual, weight: float) -> _Solution:
        """Iterate with one weight until it has converged, the iterations are used up, or the observer has enough."""
        held_out: float | None = None
        for i in range(1, self.step.iterations + 1):
            solver.step()
            self.done += 1
            converged = solver.change < self.step.tolerance
            losses: dict[str, float] = {}
            if i % 10 == 0 or i == self.step.iterations:
                losses, held_out = self._judge(solver, weight)
            self.finished = self.watch.step(self.done, losses, held_out, lambda: self.problem.frame(solver.volume))
            if converged or self.finished:
                break
        if not losses:
            held_out = self._judge(solver, weight)[1]
        if converged:
            stopping = f'converged after {i} iterations'
        elif self.finished:
            stopping = f'stopped by hand after {i} iterations, before it had converged'
        else:
            stopping = f'not converged to the tolerance within {i} iterations: more might change the volume'
        if not (self.curve and self.finished):
            self.curve.append((weight, held_out))
        return _Solution(weight, solver.volume, held_out, self.done, stopping, converged)

    def _judge(self, solver: PrimalDual, weight: float) -> tuple[dict[str, float], float | None]:
        from napari_diptomo.reconstruct.data_terms import fit_term, held_out_term

        x = solver.volume
        losses = {
            'data': float(fit_term(self.problem, self.problem.expected(x), self.poisson)),
            'tv': solver.roughness,
        }
        held_out = held_out_term(self.problem, x, self.poisson)
        told = float('nan') if held_out is None else held_out
        for name, value in {'iteration': self.done, **losses, 'validation': told, 'weight': weight}.items():
            self.scores[name].append(float(value))
        return losses, held_out

    def notes(self, best: _Solution) -> dict[str, Any]:
        """What was chosen and why, JSON-ready."""
        notes: dict[str, Any] = {
            'iterations': self.done,
            'returned_iteration': best.ended,
            'weight': best.weight,
            'coupling': self.step.coupling,
            'converged': best.converged,
            'stopping': best.stopping,
            'held_out_share': float(self.problem.share),
            'held_out_deviance': best.held_out,
            'seconds': self.watch.seconds,
        }
        if self.step.choose_weight:
            notes['weight_curve'] = [list(point) for point in self.curve]
            tried = '' if len(self.curve) == len(WEIGHTS) else f' of the {len(self.curve)} tried'
            notes['stopping'] = f'weight {best.weight:g}{tried} predicts the held-out counts best; {best.stopping}'
        return notes
