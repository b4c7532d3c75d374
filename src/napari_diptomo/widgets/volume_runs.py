"""The runs of a session, and their volumes in the viewer: begin, preview, end, choose, discard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QObject, Signal

from napari_diptomo.series import MapSeries, Recipe, Volume
from napari_diptomo.widgets.layers.volume_view import VolumeView
from napari_diptomo.widgets.run import Run, RunStatus
from napari_diptomo.widgets.tasks.task import Outcome

#: Runs whose layers stay in the viewer.
_WITH_LAYERS = 3


class VolumeRuns(QObject):
    """Knows all runs, which one is chosen, and which layers belong to which.

    A run that fails or is cancelled shows again what it had hidden and touches
    no other. The last preview of a failed run stays, hidden: it may be all there
    is of an hour's work; that of the failed run before it goes. After a cancelled
    run the one that was chosen before it is the chosen one again.

    Signals
    -------
    changed
        A run is new, has another status or is gone, or another one is chosen.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._views: dict[Run, VolumeView] = {}
        self._chosen: Run | None = None
        #: The run that was chosen before the one that is under way.
        self._chosen_before: Run | None = None
        self._count = 0

    def __iter__(self) -> Iterator[Run]:
        return iter(tuple(self._views))

    def __len__(self) -> int:
        return len(self._views)

    @property
    def latest(self) -> Run | None:
        """The run that began last."""
        return next(reversed(self._views), None)

    @property
    def chosen(self) -> Run | None:
        """The run whose result later pages take, and that Save and Discard mean."""
        return self._chosen

    @property
    def next_number(self) -> int:
        """Of the next run."""
        return self._count + 1

    def view_of(self, run: Run) -> VolumeView:
        """Its layers."""
        return self._views[run]

    def begin(self, maps: MapSeries, title: str, recipe: Recipe | None = None, checkpoint: Path | None = None) -> Run:
        """A run starts; it is the chosen one."""
        run = self._new(title, recipe=recipe, maps=maps, checkpoint=checkpoint)
        self._views[run] = VolumeView(self._viewer, maps, title, run.number)
        self._chosen_before = self._chosen
        self._choose(run)
        return run

    def begin_again(self, run: Run) -> None:
        """A run that was interrupted is taken up."""
        run.begin_again()
        self._views[run].discard()
        if run is not self._chosen:
            self._chosen_before = self._chosen
        self._choose(run)

    def add(self, volume: Volume, title: str, shown: bool = False) -> Run:
        """A volume that is ready, of a file or of a script, as a run that is done; it is the chosen one."""
        run = self._new(title)
        run.succeed(volume)
        run.seconds = float(volume.notes.get('seconds', 0.0) or 0.0)
        self.put(run)
        if shown:
            self._views[run].finish(volume)
        self._choose(run)
        return run

    def adopt(self, volume: Volume, title: str, layers: Sequence[Any], spread: Sequence[Any]) -> Run:
        """A volume whose layers are in the viewer already, as a run that is done; none is chosen for it."""
        run = self._new(title)
        run.succeed(volume)
        run.seconds = float(volume.notes.get('seconds', 0.0) or 0.0)
        self.put(run)
        self._views[run].adopt(volume, layers, spread)
        return run

    def channel_layers(self, run: Run) -> list[Any]:
        """The layers of the channels of a run, made anew where they are not there."""
        view = self._views[run]
        if run.volume is not None and len(view.channel_layers) != len(run.volume.channels):
            view.finish_anew(run.volume)
        return view.channel_layers

    def owns(self, layer: Any) -> bool:
        """Whether it is a layer of one of the runs."""
        return any(layer in view.layers for view in self._views.values())

    def put(self, run: Run) -> None:
        """Take a run as it is, as a project restores it; no layers are made."""
        self._count = max(self._count, run.number)
        like = run.maps if run.maps is not None else run.volume
        assert like is not None, 'a run has maps or a volume'
        self._views[run] = VolumeView(self._viewer, like, run.title, run.number)
        self.changed.emit()

    def show(self, frame: np.ndarray) -> None:
        """A preview (channel, z, y, x) of the run that is under way."""
        run = self._running
        if run is not None:
            self._views[run].show(frame)

    def end(self, outcome: Outcome) -> None:
        """The run that is under way has ended."""
        run = self._running
        if run is None:
            return
        view = self._views[run]
        if outcome.cancelled:
            run.cancel()
            self._stand_back(run)
            view.discard()
            if run is self._chosen:
                self._chosen = self._finished_before(run) or run
        elif outcome.error is not None:
            run.fail(outcome.error)
            self._drop_failed_previews(run)
            view.give_way()
        else:
            run.succeed(outcome.result)
            view.finish(outcome.result)
            self._retire_old_layers()
        self.changed.emit()

    def choose(self, run: Run | None) -> None:
        """Another run is the chosen one; its volume is shown in place of what is seen."""
        if run is not None:
            view = self._views[run]
            if run.volume is not None and not view.layers:
                view.finish_anew(run.volume)
            view.bring_to_front()
            self._retire_old_layers()
        self._choose(run)

    def mark(self, run: Run | None) -> None:
        """Make a run the chosen one and leave the layers as they are."""
        self._choose(run)

    def discard(self, run: Run | None = None) -> None:
        """Take one run away, by default the latest, with its layers and its checkpoint; no other is touched."""
        run = self.latest if run is None else run
        if run is None:
            return
        self._stand_back(run)
        self._views.pop(run).discard()
        if run.checkpoint is not None:
            run.checkpoint.unlink(missing_ok=True)
        if run is self._chosen:
            self._choose(self._in_front())
        else:
            self.changed.emit()

    def release(self) -> None:
        """Leave all layers to the user."""
        for view in self._views.values():
            view.release()

    @property
    def _running(self) -> Run | None:
        return next((run for run in reversed(self._views) if run.status is RunStatus.RUNNING), None)

    def _new(self, title: str, **given: object) -> Run:
        self._count += 1
        return Run(self._count, title, **given)  # type: ignore[arg-type]

    def _choose(self, run: Run | None) -> None:
        self._chosen = run
        self.changed.emit()

    def _finished_before(self, cancelled: Run) -> Run | None:
        """The run that was chosen before one that is cancelled, else the latest of the same maps; None without a result."""
        alike = (run for run in reversed(self._views) if run.maps is cancelled.maps)
        candidates = (run for run in (self._chosen_before, *alike) if run in self._views)
        return next((run for run in candidates if run is not None and run.volume is not None), None)

    def _in_front(self) -> Run | None:
        """The run that is seen now, else the latest that has a result."""
        with_result = [run for run in reversed(self._views) if run.volume is not None]
        visible = [run for run in with_result if any(layer.visible for layer in self._views[run].layers)]
        return next(iter(visible or with_result), None)

    def _stand_back(self, gone: Run) -> None:
        for other, view in self._views.items():
            if other is not gone:
                view.forget(self._views[gone])

    def _retire_old_layers(self) -> None:
        """Of runs that nobody looks at the latest keep their layers; the others get theirs when they are chosen."""
        with_layers = [run for run in reversed(self._views) if run.volume is not None and self._views[run].layers]
        for run in with_layers[_WITH_LAYERS:]:
            view = self._views[run]
            if not any(layer.visible for layer in view.layers):
                self._stand_back(run)
                view.retire()

    def _drop_failed_previews(self, newest: Run) -> None:
        for run, view in self._views.items():
            if run is not newest and run.status is RunStatus.FAILED and view.layers:
                self._stand_back(run)
                view.discard()
