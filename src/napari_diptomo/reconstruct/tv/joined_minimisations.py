"""Minimisations one after the other, as one run to the observer and with joined curves."""

from __future__ import annotations

from napari_diptomo.reconstruct.joined_solutions import JoinedSolutions
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.minimise import minimise
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual
from napari_diptomo.reconstruct.tv.settings import TVSettings
from napari_diptomo.reconstruct.volume import Solution


class JoinedMinimisations(JoinedSolutions):
    """A run of several minimisations, their lengths those of `TVSettings.lengths`."""

    def minimise(self, problem: Problem, solver: PrimalDual, settings: TVSettings, place: int) -> Solution:
        """The next one; ``place`` among the lengths, see `solve`."""
        what = f'weight {solver.weight:g}{" with HAADF" if solver.images is not None else ""}'
        return self.solve(place, what, lambda watch: minimise(problem, solver, settings, watch))
