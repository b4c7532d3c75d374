"""A reconstruction in its child process, with the face the runner knows.

napari is told of it by a supervising worker, so that closing the window asks
first and quitting kills the process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from napari.qt.threading import create_worker

from napari_diptomo.jobs import ChildJob, Log
from napari_diptomo.series import DiptomoError, MapSeries, Recipe

_log = logging.getLogger('napari_diptomo')


class ProcessJob:
    """Run a recipe on maps in a child process; see `thread_job.Job`.

    Parameters
    ----------
    recipe : Recipe
        The steps still to be done.
    maps : MapSeries
        What they are done to.
    preview_seconds : float
        Between two previews, 0 for none.
    checkpoint : Path, optional
        Where its state is kept, so that it can go on after an interruption.
    resume : bool
        Go on from the checkpoint if there is one.
    """

    def __init__(
        self,
        recipe: Recipe,
        maps: MapSeries,
        preview_seconds: float,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> None:
        self.recipe = recipe
        self.maps = maps
        self.checkpoint = checkpoint
        self.child = ChildJob(recipe, maps, preview_interval=preview_seconds, checkpoint=checkpoint, resume=resume)
        self.result: Any = None
        self.error: str | None = None
        self._worker: Any = None

    @property
    def over(self) -> bool:
        if self.child.is_active:
            return False
        self._collect()
        return True

    def start(self) -> None:
        self.child.start()
        self._worker = create_worker(reconstruction_in_a_child_process, self.child)
        # Quitting a worker leaves its generator suspended: `finally` in there
        # would not be reached.
        self._worker.aborted.connect(self.cancel)
        self._worker.start()

    def messages(self) -> list[Any]:
        told = []
        for message in self.child.messages():
            if isinstance(message, Log):
                _log.log(logging.getLevelNamesMapping().get(message.level.upper(), logging.INFO), message.text)
            else:
                told.append(message)
        return told

    def latest_frame(self) -> tuple[np.ndarray, int] | None:
        return self.child.latest_frame()

    def pause(self) -> None:
        self.child.pause()

    def resume(self) -> None:
        self.child.resume()

    def finish(self) -> None:
        self.child.finish()

    def cancel(self) -> None:
        self.child.cancel()
        # Nothing is kept, so there is nothing to wait for: on a busy machine
        # the grace that the child gets could last longer than a second.
        self.child.kill()

    def kill(self) -> None:
        self.child.kill()

    def _collect(self) -> None:
        if self.result is not None or self.error is not None:
            return
        self.error = self.child.error
        if self.error is not None:
            _log.info('The computing process said:\n%s', self.child.details)
        elif self.child.state.value == 'done':
            try:
                self.result = self.child.result()
            except DiptomoError as error:
                self.error = str(error)
            self.child.close()


def reconstruction_in_a_child_process(child: ChildJob) -> Iterator[None]:
    """Wait for the process; napari shows this function's name when it asks before closing."""
    while child.is_active:
        yield
        time.sleep(0.1)
