"""Small bright particles in HAADF images that no map holds, found before a network is fitted.

A network that has to predict them beside everything else does not, and their misfit costs the images their weight in the whole
volume. Total variation follows them (`haadf_rows`): from a volume of the maps alone it is minimised with the images for a while,
and what its unmapped channel holds beyond that of typical matter is taken as given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import typical_density
from napari_diptomo.reconstruct.tv.haadf_rows import HAADFRows
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual

#: Weight of the total variation, and iterations.
_WEIGHT, _ITERATIONS = 0.3, 200
#: Iterations between two questions.
_EVERY = 10


@torch.no_grad()
def bright_particles(
    problem: Problem, x: torch.Tensor, poisson: bool, ends: Callable[[], bool] = lambda: False
) -> torch.Tensor | None:
    """Intensity per voxel (z, y, x) of what is too bright for the unmapped channel of a network; None where nothing is.

    Parameters
    ----------
    problem : Problem
        With HAADF data.
    x : Tensor (channel, z, y, x)
        Volume of the maps alone.
    poisson : bool
        Statistics of the maps.
    ends : callable
        Asked now and then: whether to end here, with nothing found.
    """
    typical = typical_density(problem)
    rows = HAADFRows(problem, typical, x)
    solver = PrimalDual(problem, typical, _WEIGHT, poisson, images=rows)
    for iteration in range(_ITERATIONS):
        solver.step()
        if iteration % _EVERY == 0 and ends():
            return None
    found = rows.particles(solver.u)
    return found if found.any() else None
