"""The typical density of each channel, so that every element weighs the same in the prior."""

from __future__ import annotations

import torch

from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.steps.sirt import sirt_iteration
from napari_diptomo.series import InputError


@torch.no_grad()
def channel_scale(problem: Problem, iterations: int = 20) -> torch.Tensor:
    """Density-weighted mean density of a short SIRT, (channel, 1, 1, 1).

    Weighting by the density itself leaves the empty space around the specimen out.
    """
    iteration = sirt_iteration(problem)
    x = problem.zeros()
    for _ in range(iterations):
        x = iteration(x)
    total = x.sum((1, 2, 3))
    if not bool((total > 0).all()):
        name = problem.maps.channels[int(torch.nonzero(total <= 0)[0])]
        raise InputError(f'The maps of {name} hold no more than their background; leave this channel out.')
    return (x.square().sum((1, 2, 3)) / total).reshape(-1, 1, 1, 1)
