"""A reconstruction in a child process, which remembers what it was asked."""

from __future__ import annotations

from pathlib import Path

from napari_diptomo.jobs import ChildJob
from napari_diptomo.series import MapSeries, Recipe


class ReconstructionJob(ChildJob):
    """Run a recipe on maps in a child process.

    Parameters
    ----------
    recipe : Recipe
        The steps still to be done.
    maps : MapSeries
        What they are done to.
    preview_seconds : float
        Between two previews, 0 for none.
    checkpoint : Path, optional
        Where its state is kept, so that it can be resumed after an interruption.
    resume : bool
        Continue from the checkpoint if there is one.
    """

    #: napari shows it when it asks before closing.
    name = 'reconstruction_in_a_child_process'

    def __init__(
        self,
        recipe: Recipe,
        maps: MapSeries,
        preview_seconds: float,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> None:
        super().__init__(recipe, maps, preview_interval=preview_seconds, checkpoint=checkpoint, resume=resume)
        self.recipe = recipe
        self.maps = maps
        self.checkpoint = checkpoint

    def cancel(self) -> None:
        super().cancel()
        # Nothing is kept, so there is nothing to wait for: on a busy machine
        # the grace that the child gets could last longer than a second.
        self.kill()
