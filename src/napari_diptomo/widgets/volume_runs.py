"""The runs of a session in the viewer: begin, preview, end, undo."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel

from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.runner import Outcome
from napari_diptomo.widgets.volume_view import VolumeView


class VolumeRuns:
    """Knows which layers belong to which run.

    A cancelled run leaves nothing behind. A run that broke down leaves its last
    preview: it may be all there is of an hour's work.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._views: list[VolumeView] = []
        self._count = 0

    @property
    def current(self) -> VolumeView | None:
        """The latest run's view."""
        return self._views[-1] if self._views else None

    def begin(self, maps: MapSeries, method: str) -> None:
        """A run starts."""
        self._count += 1
        self._views.append(VolumeView(self._viewer, maps, method, self._count))

    def show(self, frame: np.ndarray) -> None:
        """A preview (channel, z, y, x) of the latest run."""
        if self._views:
            self._views[-1].show(frame)

    def end(self, outcome: Outcome) -> None:
        """The latest run has ended."""
        if not self._views:
            return
        if outcome.cancelled:
            self.discard()
        elif outcome.error is None:
            self._views[-1].finish(outcome.result)

    def discard(self) -> None:
        """Take the latest run's layers away."""
        if self._views:
            self._views.pop().discard()

    def release(self) -> None:
        """Leave all layers to the user."""
        for view in self._views:
            view.release()
