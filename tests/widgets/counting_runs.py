"""Runs of the dock that count in their process instead of reconstructing.

What becomes of a run does not depend on its method, and torch, which every method imports, takes seconds.
"""

from __future__ import annotations

from typing import Any

from job_steps import Count

from napari_diptomo.series import MapSeries, Recipe
from napari_diptomo.widgets.tasks.reconstruction_job import ReconstructionJob


class CountingJob(ReconstructionJob):
    """As many iterations as the method was asked for, and a volume of the size that it would make."""

    def __init__(self, recipe: Recipe, maps: MapSeries, *given: Any, **named: Any) -> None:
        (step,) = recipe.steps
        count = Count(iterations=step.iterations, wait=0.01, size=maps.data.shape[-1])
        super().__init__(Recipe(recipe.source, (count,)), maps, *given, **named)
        self.recipe = recipe
