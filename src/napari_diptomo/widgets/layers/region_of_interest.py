"""A hand-drawn region of interest on the images of a tilt series."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Shapes
from qtpy.QtCore import QObject, QTimer, Signal

_NAME = 'Region'
_HUE = '#f2e000'
#: A shape being dragged is asked for its pixels when the hand rests.
_PAUSE_MS = 200


class Region(QObject):
    """A layer of shapes over the images; what lies in any of them is the region.

    The shapes have no tilt axis, so that they lie over every tilt. The layer
    is the user's: it can be edited with all of napari's tools, hidden, and
    removed, which means no region.

    Signals
    -------
    changed
        Other pixels are in the region now, or it is gone.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._shape = (0, 0)
        self._transposed = False
        self._mask: np.ndarray | None = None
        self.layer: Shapes | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self._look)
        viewer.layers.events.removed.connect(self._removed)

    @property
    def mask(self) -> np.ndarray | None:
        """Boolean (y, x) in the axes of the series; None where there is no region, all False where it misses."""
        return self._mask

    def set_image(self, shape: tuple[int, int], transposed: bool) -> None:
        """The images (y, x) of another series; an earlier region goes.

        Parameters
        ----------
        shape : tuple of int
            Of an image of the series, (y, x).
        transposed : bool
            Whether they are shown with y and x swapped.
        """
        self.remove()
        self._shape, self._transposed = shape, transposed

    def draw(self, pixel_size: float) -> None:
        """Let the user draw: a new layer, or the one there is, ready for a rectangle."""
        if self.layer is None:
            self.layer = self._viewer.add_shapes(
                ndim=2,
                name=_NAME,
                scale=(pixel_size,) * 2,
                units=('nm', 'nm'),
                axis_labels=('y', 'x'),
                edge_color=_HUE,
                face_color='transparent',
                edge_width=max(max(self._shape) / 150, 0.5),
            )
            self.layer.events.set_data.connect(self._edited)
        self._viewer.dims.ndisplay = 2
        self._viewer.layers.selection.active = self.layer
        self.layer.mode = 'add_rectangle'

    def remove(self) -> None:
        """No region any more."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._timer.stop()
        self._viewer.layers.events.removed.disconnect(self._removed)
        if self.layer is not None:
            self.layer.events.set_data.disconnect(self._edited)

    def _edited(self, event: Any = None) -> None:
        self._timer.start()

    def _removed(self, event: Any) -> None:
        # Through napari's proxy of the viewer the same layer is another object that is equal.
        if self.layer is None or self.layer != event.value:
            return
        self.layer.events.set_data.disconnect(self._edited)
        self.layer = None
        self._timer.stop()
        self._mask = None
        self.changed.emit()

    def _look(self) -> None:
        mask = self._current_mask()
        same = mask is None if self._mask is None else mask is not None and np.array_equal(mask, self._mask)
        if not same:
            self._mask = mask
            self.changed.emit()

    def _current_mask(self) -> np.ndarray | None:
        if self.layer is None or not len(self.layer.data):
            return None
        shown = self._shape[::-1] if self._transposed else self._shape
        mask = self.layer.to_masks(shown).any(axis=0)
        return mask.T if self._transposed else mask
