r"""SIRT: one iteration, a short reconstruction, and the typical densities of the channels from it.

    x <- max(0, x + C A^T R (y - A x)),   R = 1 / (A 1),   C = 1 / (A^T 1)

(Gilbert 1972, J. Theor. Biol. 36, 105; Gregor and Benson 2008, 10.1109/TMI.2008.923696).

Formulas: SIRT (`sirt_update`); typical density of a channel (`typical_density`).
"""

from __future__ import annotations

import torch

from napari_diptomo.reconstruct.iterate import Update
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import InputError


def empty_start(problem: Problem) -> torch.Tensor:
    """The volume (channel, z, y, x) that SIRT begins with."""
    return problem.zeros()


def sirt_update(problem: Problem) -> Update:
    """One SIRT iteration on the fitted data, as a function of the volume and the data expected of it."""
    rows = _inverse(problem.forward(problem.zeros() + 1)) * problem.mask
    columns = _inverse(problem.adjoint(problem.mask.expand_as(problem.fit)))
    target = problem.fit / (1 - problem.share)

    def update(x: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return (x + columns * problem.adjoint(rows * (target - expected))).clamp_min(0)

    return update


@torch.no_grad()
def short_sirt(problem: Problem, iterations: int) -> torch.Tensor:
    """The volume (channel, z, y, x) after so many iterations from an empty one; no iterate is judged."""
    update, x = sirt_update(problem), problem.zeros()
    for _ in range(iterations):
        x = update(x, problem.expected(x))
    return x


@torch.no_grad()
def typical_density(problem: Problem, iterations: int = 20) -> torch.Tensor:
    """Density-weighted mean density of a short SIRT, (channel, 1, 1, 1): by it every element weighs the same in a prior.

    Weighting by the density itself leaves the empty space around the specimen out.

    Raises
    ------
    InputError
        A channel holds no more than its background.
    """
    x = short_sirt(problem, iterations)
    total = x.sum((1, 2, 3))
    if not bool((total > 0).all()):
        name = problem.maps.channels[int(torch.nonzero(total <= 0)[0])]
        raise InputError(f'The maps of {name} hold no more than their background; leave this channel out.')
    return (x.square().sum((1, 2, 3)) / total).reshape(-1, 1, 1, 1)


def _inverse(sums: torch.Tensor) -> torch.Tensor:
    return (sums > 1e-6) / sums.clamp_min(1e-6)
