"""Small bright particles in HAADF images that no map holds, found before a network is fitted.

A network that has to predict them beside everything else does not, and their misfit costs the images their weight in the whole
volume. Total variation follows them (`haadf_rows`): from a volume of the maps alone it is minimised with the images for a while,
and what its unmapped channel holds beyond that of typical matter is taken as given.
"""

from __future__ import annotations

import torch

from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import typical_density
from napari_diptomo.reconstruct.tv.haadf_rows import BRIGHT, HAADFRows
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual

#: Weight of the total variation, and iterations.
_WEIGHT, _ITERATIONS = 0.3, 200
#: Brightness of a particle over that of the mapped elements in the same voxel, at least.
_ALONE = 4.0


@torch.no_grad()
def bright_particles(problem: Problem, x: torch.Tensor, poisson: bool) -> torch.Tensor | None:
    """Intensity per voxel (z, y, x) of what is too bright for the unmapped channel of a network; None where nothing is.

    Parameters
    ----------
    problem : Problem
        With HAADF data.
    x : Tensor (channel, z, y, x)
        Volume of the maps alone.
    poisson : bool
        Statistics of the maps.
    """
    typical = typical_density(problem)
    rows = HAADFRows(problem, typical, x)
    solver = PrimalDual(problem, typical, _WEIGHT, poisson, images=rows)
    for _ in range(_ITERATIONS):
        solver.step()
    volume = problem.inside(solver.u * rows.scale)
    unmapped, mapped = volume[-1], rows.observation.brightness(volume) - volume[-1]
    found = (unmapped - BRIGHT * rows.scale[-1]).clamp_min(0)
    # Among mapped matter it is more likely an element whose counts are worth more than was thought.
    found = torch.where(unmapped > _ALONE * mapped, found, 0)
    return found if found.any() else None
