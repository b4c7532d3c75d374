r"""SIRT: simultaneous iterative reconstruction.

    x <- max(0, x + C A^T R (y - A x)),   R = 1 / (A 1),   C = 1 / (A^T 1)

(Gilbert 1972, J. Theor. Biol. 36, 105; Gregor and Benson 2008). The field's
workhorse, and the baseline to be compared with. It fits noise as it goes on,
so with held-out counts the iterate that predicts them best is returned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from napari_diptomo.reconstruct.base import Reconstruction
from napari_diptomo.series import MapSeries, Observer, Volume, Watch, param

if TYPE_CHECKING:
    import torch

    from napari_diptomo.reconstruct.problem import Problem


class SIRT(Reconstruction):
    """Non-negative SIRT, every channel alike."""

    title: ClassVar[str] = 'SIRT'

    iterations: int = param(100, 'Iterations at most; more sharpen and add noise.', ge=1, le=10_000)
    holdout: float = param(
        0.0,
        'Share of the counts held out to choose the iteration; 0 fits all counts for all iterations.',
        ge=0.0,
        lt=0.9,
        advanced=True,
    )

    def _run(self, maps: MapSeries, observer: Observer | None) -> Volume:
        import torch

        with torch.no_grad():
            return self._iterate(self._problem(maps), observer)

    def _iterate(self, problem: Problem, observer: Observer | None) -> Volume:
        from napari_diptomo.reconstruct.data_terms import fit_term, is_poisson
        from napari_diptomo.reconstruct.stopping import Best

        watch = Watch(observer, self.title, self.iterations)
        poisson = is_poisson(problem, 'auto')
        best = Best(problem, poisson)
        iteration = sirt_iteration(problem)
        x = problem.zeros()
        for i in range(1, self.iterations + 1):
            loss = float(fit_term(problem, problem.expected(x), poisson))
            x = iteration(x)
            best.see(i, x, {'data': loss}, last=i == self.iterations)
            if watch.step(i, {'data': loss}, best.validation, partial(problem.frame, x)):
                break
        return self._volume(problem, best.x, best.scores, {**best.notes(i), 'seconds': watch.seconds})


def sirt_iteration(problem: Problem) -> Callable[[torch.Tensor], torch.Tensor]:
    """One SIRT iteration on the fitted data, as a function of the volume."""
    rows = _inverse(problem.forward(problem.zeros() + 1)) * problem.mask
    columns = _inverse(problem.adjoint(problem.mask.expand_as(problem.fit)))
    target = problem.fit / (1 - problem.share)

    def iteration(x: torch.Tensor) -> torch.Tensor:
        return (x + columns * problem.adjoint(rows * (target - problem.expected(x)))).clamp_min(0)

    return iteration


def _inverse(sums: torch.Tensor) -> torch.Tensor:
    return (sums > 1e-6) / sums.clamp_min(1e-6)
