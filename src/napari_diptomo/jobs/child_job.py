"""A run in a process of its own, as its parent sees it. No Qt.

    with ChildJob(recipe, maps) as job:
        job.start()
        while job.is_active:
            for message in job.messages():      # Progress, Stage, Log, ...
                ...
            frame = job.latest_frame()          # (volume, iteration) or None
            time.sleep(0.5)                     # a QTimer in the dock
        volume = job.result()                   # or job.error, one sentence

Every method returns at once: a thread starts the process, hands over the data
and listens. `close` ends the process and removes all it left; it runs by
itself when the job is forgotten or Python exits. If the parent is killed, the
child notices and does the same. What is left when both are killed is swept when
the next job of this user is made (`napari_diptomo.jobs.job_folders`).
"""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.jobs import transfer
from napari_diptomo.jobs.child_connection import ACTIVE, ChildConnection, JobState
from napari_diptomo.jobs.messages import Message
from napari_diptomo.series import (
    Cancelled,
    InputError,
    MapSeries,
    Recipe,
    ReconstructionError,
    SpectralTiltSeries,
    Volume,
)

#: Seconds a cancelled process has to go by itself. With the time killing takes it stays below one second.
GRACE = 0.6


class ChildJob:
    """One run of a recipe in a child process.

    Parameters
    ----------
    recipe : Recipe
        What to run.
    data : SpectralTiltSeries, MapSeries or Volume, optional
        Start from these instead of opening the recipe's source. They are
        handed over as ``.npz`` in a folder that is removed at the end.
    preview_shape : tuple of int, optional
        Shape (channel, z, y, x) of the previews when it is known beforehand;
        otherwise the child reports it with its first one.
    preview_interval : float
        Seconds between two previews at least; 0 means none.
    checkpoint : path, optional
        File for the state of long steps, removed when the run ends well.
    checkpoint_interval : float
        Seconds between two checkpoints.
    resume : bool
        Continue from the checkpoint if there is one.
    keep : path, optional
        Folder for the result of every step.
    keep_checkpoint : bool
        Leave the checkpoint when the run ends well: for a caller who still has to save the result, and
        removes the checkpoint after that (`napari_diptomo.jobs.checkpoint.remove`).
    output : path, optional
        File that the caller will save the result to. The child refuses a run for whose result there
        is no space. A complete result that loses its parent is kept for it (`napari_diptomo.jobs.unsaved_results`).
    """

    def __init__(
        self,
        recipe: Recipe,
        data: SpectralTiltSeries | MapSeries | Volume | None = None,
        preview_shape: tuple[int, ...] | None = None,
        preview_interval: float = 1.0,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_interval: float = 60.0,
        resume: bool = False,
        keep: str | Path | None = None,
        keep_checkpoint: bool = False,
        output: str | Path | None = None,
    ) -> None:
        job = {
            'recipe': recipe.to_dict(),
            'preview_interval': preview_interval,
            'checkpoint': None
            if checkpoint is None
            else {'path': str(Path(checkpoint).resolve()), 'interval': checkpoint_interval, 'resume': resume},
            'keep_checkpoint': keep_checkpoint,
            'keep': None if keep is None else str(Path(keep).resolve()),
            'output': None if output is None else str(Path(output).absolute()),
        }
        self._connection = ChildConnection(job, data, preview_shape)
        self._result: Any = None
        self._seen = 0
        self._close = weakref.finalize(self, self._connection.close)

    def __enter__(self) -> ChildJob:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def state(self) -> JobState:
        """Where the run stands."""
        return self._connection.state

    @property
    def is_active(self) -> bool:
        """Whether a result can still come."""
        return self.state in ACTIVE

    @property
    def is_alive(self) -> bool:
        """Whether the process exists; shortly after `cancel` it still may."""
        process = self._connection.process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process number, None before it exists."""
        return self._connection.process.pid if self._connection.process is not None else None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the process, negative where a signal ended it; None while it is alive, or never was."""
        process = self._connection.process
        return None if process is None else process.poll()

    @property
    def result_file(self) -> Path:
        """The file in which the result was handed over, once the run is done; `close` removes it.

        With an `output` it can be a file that outlives the job, where there was no space for temporary files: then
        the caller removes it when the result is saved.
        """
        return self._connection.result_path

    @property
    def error(self) -> str | None:
        """One sentence on what went wrong, None when nothing did."""
        return self._connection.failure.text if self._connection.failure is not None else None

    @property
    def details(self) -> str:
        """The child's traceback, or the end of what it printed: for a log, not for a notification."""
        failure = self._connection.failure
        return (failure.details if failure is not None else '') or self._connection.log_tail()

    def start(self) -> None:
        """Start the process; possible once.

        Raises
        ------
        InputError
            The run was started before.
        """
        if self.state is not JobState.IDLE:
            raise InputError('This run was started before; make a new one.')
        self._connection.start()

    def pause(self) -> None:
        """Suspend the run after the present iteration."""
        self._connection.turn('pause', (JobState.RUNNING,), JobState.PAUSED)

    def resume(self) -> None:
        """Continue."""
        self._connection.turn('resume', (JobState.PAUSED,), JobState.RUNNING)

    def finish(self) -> None:
        """Stop the present step and keep its best result; steps after it are still done."""
        self._connection.turn('finish', (JobState.RUNNING, JobState.PAUSED), JobState.FINISHING)

    def cancel(self) -> None:
        """Stop and keep nothing. The process is gone, and its memory free, within a second."""
        if self._connection.turn('cancel', ACTIVE, JobState.CANCELLED):
            timer = threading.Timer(GRACE, self._connection.kill)
            timer.daemon = True
            timer.start()

    def kill(self) -> None:
        """End the process on the spot; the run counts as failed if it was active."""
        self._connection.kill()

    def messages(self) -> list[Message]:
        """Messages of the child since the last call.

        Returns
        -------
        list of Message
            In order; empty where there is nothing new.
        """
        return self._connection.drain()

    poll = messages

    def latest_frame(self) -> tuple[np.ndarray, int] | None:
        """The newest preview.

        Returns
        -------
        frame : ndarray (channel, z, y, x), float32
            Counts per voxel of path.
        iteration : int
            At which it was taken; None in place of both when there is none newer than at the last call.
        """
        found = self._connection.newest_frame(self._seen)
        if found is None:
            return None
        frame, iteration, self._seen = found
        return frame, iteration

    def result(self) -> Any:
        """Result of the last step.

        Returns
        -------
        MapSeries or Volume
            Read once, the same object afterwards.

        Raises
        ------
        ReconstructionError
            With the sentence of `error` when the run failed.
        Cancelled
            When it was cancelled.
        InputError
            When it has not ended yet.
        """
        if self.state is JobState.FAILED:
            raise ReconstructionError(self.error)
        if self.state is JobState.CANCELLED:
            raise Cancelled
        if self.state is not JobState.DONE:
            raise InputError('The run has not ended yet; wait for it, or stop it and keep what there is.')
        if self._result is None:
            self._result = transfer.read(self._connection.result_path)
        return self._result

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the process is gone; returns whether it is."""
        return self._connection.wait(timeout)

    def close(self) -> None:
        """End the process if need be, free the shared memory, remove the folder. A result read before stays."""
        self._close()
