r"""SIRT: simultaneous iterative reconstruction.

    x <- max(0, x + C A^T R (y - A x)),   R = 1 / (A 1),   C = 1 / (A^T 1)

(Gilbert 1972, J. Theor. Biol. 36, 105; Gregor and Benson 2008). The field's
workhorse, and the baseline to be compared with. It fits noise as it goes on,
so with held-out counts the iterate that predicts them best is returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from napari_diptomo.reconstruct.steps.base import Reconstruction
from napari_diptomo.series import MapSeries, Observer, Volume, param

if TYPE_CHECKING:
    import torch

    from napari_diptomo.reconstruct.iterate import Update
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
        from napari_diptomo.reconstruct.data_terms import is_poisson
        from napari_diptomo.reconstruct.iterate import iterate

        problem = self._problem(maps)
        return iterate(self, problem, problem.zeros(), sirt_update(problem), is_poisson(problem, 'auto'), observer)


def sirt_update(problem: Problem) -> Update:
    """One SIRT iteration on the fitted data, as a function of the volume and the data expected of it."""
    rows = _inverse(problem.forward(problem.zeros() + 1)) * problem.mask
    columns = _inverse(problem.adjoint(problem.mask.expand_as(problem.fit)))
    target = problem.fit / (1 - problem.share)

    def update(x: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return (x + columns * problem.adjoint(rows * (target - expected))).clamp_min(0)

    return update


def sirt_iteration(problem: Problem) -> Callable[[torch.Tensor], torch.Tensor]:
    """One SIRT iteration on the fitted data, as a function of the volume alone."""
    update = sirt_update(problem)
    return lambda x: update(x, problem.expected(x))


def _inverse(sums: torch.Tensor) -> torch.Tensor:
    return (sums > 1e-6) / sums.clamp_min(1e-6)
