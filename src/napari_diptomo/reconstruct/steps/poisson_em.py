r"""Poisson EM: the volume under which the counts are most likely, by expectation maximisation.

    x <- x / (A^T 1) * A^T( y / (A x + b) )

(Shepp and Vardi 1982, 10.1109/TMI.1982.4307558; known as MLEM). A holds mixing
and gain, b is the background, y are the counts of the fitted share brought to
the full exposure. Every iteration raises the likelihood, keeps x non-negative
and, without background, makes the projection of x hold as many counts as were
measured. The likeliest volume is a noisy one: with held-out counts the iterate
that predicts them best is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_diptomo.reconstruct.steps.base import Reconstruction
from napari_diptomo.series import InputError, MapSeries, Observer, Volume, param

if TYPE_CHECKING:
    import torch

    from napari_diptomo.reconstruct.iterate import Update
    from napari_diptomo.reconstruct.problem import Problem

#: Expected counts below which a quotient of counts is not resolved; keeps 1 / 0 away.
_LEAST = 1e-6


class PoissonEM(Reconstruction):
    """Poisson maximum likelihood by expectation maximisation (MLEM), for counts."""

    title: ClassVar[str] = 'Poisson EM'

    iterations: int = param(50, 'Iterations at most; more sharpen and add noise.', ge=1, le=10_000)
    holdout: float = param(
        0.0,
        'Share of the counts held out to choose the iteration; 0 fits all counts for all iterations.',
        ge=0.0,
        lt=0.9,
        advanced=True,
    )

    def _run(self, maps: MapSeries, observer: Observer | None) -> Volume:
        from napari_diptomo.reconstruct.iterate import iterate

        problem = self._problem(maps)
        _check_counts(problem)
        return iterate(self, problem, uniform_start(problem), em_update(problem), True, observer)


def _check_counts(problem: Problem) -> None:
    from napari_diptomo.reconstruct.data_terms import is_poisson

    maps = problem.maps
    if not is_poisson(problem, 'auto'):
        raise InputError(
            'Poisson EM needs whole counts, and these maps are fitted or scaled values; '
            'take SIRT or Joint TV for them, or give the counts as measured.'
        )
    for name in ('mixing', 'background', 'gain'):
        value = getattr(maps, name)
        if value is not None and (value < 0).any():
            raise InputError(
                f'Poisson EM needs a {name} without negative values; correct it, or take SIRT or Joint TV.'
            )


def uniform_start(problem: Problem) -> torch.Tensor:
    """The uniform volume (channel, z, y, x) that explains the total counts, zero where no ray passes."""
    sensitivity = problem.adjoint(problem.mask.expand_as(problem.fit))
    counts = (problem.fit * problem.mask).sum() / (1 - problem.share)
    return (sensitivity > 0) * counts / sensitivity.sum()


def em_update(problem: Problem) -> Update:
    """One EM iteration on the fitted data, as a function of the volume and the data expected of it."""
    sensitivity = problem.adjoint(problem.mask.expand_as(problem.fit))
    inverse = (sensitivity > 0) / sensitivity.clamp_min(_LEAST)
    target = problem.mask * problem.fit / (1 - problem.share)

    def update(x: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return x * inverse * problem.adjoint(target / expected.clamp_min(_LEAST))

    return update
