"""The pace of a network on this machine before its first run: a few iterations in a process beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_diptomo.jobs import ChildJob
from napari_diptomo.series import MapSeries, Progress, Recipe, Source
from napari_diptomo.widgets.tasks.duration_estimate import Pace, trial_of
from napari_diptomo.widgets.tasks.task import Outcome, Task

if TYPE_CHECKING:
    from napari_diptomo.reconstruct import DIPmTV, Reconstruction

#: Side of the phantom in voxels, and iterations: less than a second each on two cores.
_SIDE, _ITERATIONS = 40, 8
#: Milliseconds from the question to the trial: who presses Run at once has the pace of the run.
_PATIENCE_MS = 2000


class PaceTrial(QObject):
    """Tries the pace of a network, one at a time; what fails or is given up is not known, and nothing is said.

    Signals
    -------
    measured(str, float)
        Name of the kind, see `trial_of`; seconds of an iteration per voxel.
    """

    measured = Signal(str, float)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._step: DIPmTV | None = None
        self._task: Task | None = None
        self._pace = Pace()
        self._given_up: set[str] = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PATIENCE_MS)
        self._timer.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether a trial is under way or waits."""
        return self._task is not None or self._timer.isActive()

    def ask(self, step: Reconstruction) -> None:
        """Try this step soon, unless that was tried before or is under way."""
        if not hasattr(step, 'preset') or trial_of(step) in self._given_up:
            return
        self._step = cast('DIPmTV', step)
        if self._task is None:
            self._timer.start()

    def forget(self) -> None:
        """End a trial that is under way: the machine is wanted for something else."""
        self._timer.stop()
        self._step = None
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        if self._step is None or self._task is not None:
            return
        step, self._step, self._pace = self._step, None, Pace()
        job = ChildJob(Recipe(Source(), (shortened(step),)), phantom(), preview_interval=0.0)
        self._kind = trial_of(step)
        self._task = Task(job, 'Trial', parent=self)
        self._task.message.connect(self._follow)
        self._task.ended.connect(self._ended)
        self._task.start()

    def _follow(self, message: Any) -> None:
        if isinstance(message, Progress):
            self._pace.add(message)

    def _ended(self, outcome: Outcome) -> None:
        self._task = None
        seconds = self._pace.seconds()
        if outcome.error is not None:
            self._given_up.add(self._kind)
        elif seconds and not outcome.cancelled:
            self.measured.emit(self._kind, seconds / _SIDE**3)
        if self._step is not None:
            self._timer.start()


def shortened(step: DIPmTV) -> DIPmTV:
    """The same network for a few iterations of one fit on the maps alone."""
    alone = {'iterations': _ITERATIONS, 'ensemble': 1, 'stopping': 'last', 'refine_shifts': False, 'haadf': False}
    bare = {'thickness': None, 'sum_rule': 'none', 'densities': (), 'support': 'none'}
    output = 'softplus' if step.output == 'auto' else step.output
    return step.model_copy(update={**alone, **bare, 'output': output})


def phantom() -> MapSeries:
    """Maps of two balls at five tilts; what they show does not matter to the pace."""
    along = np.linspace(-1, 1, _SIDE)
    disc = np.clip(1 - along[:, None] ** 2 - along**2, 0, None).astype(np.float32)
    counts = np.stack([20 * disc, 5 * disc])[:, None].repeat(5, axis=1)
    return MapSeries(np.rint(counts), np.linspace(-40, 40, 5), ('Ge', 'Te'), pixel_size=1.0)
