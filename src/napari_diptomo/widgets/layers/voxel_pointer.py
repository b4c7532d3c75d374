"""The voxel under the pointer, and the label that is chosen in a layer of labels, in the axes of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_diptomo.series import InputError, Volume
from napari_diptomo.widgets.layers.composition_layers import labels_on
from napari_diptomo.widgets.layers.image_layers import volume_grid


class VoxelPointer(QObject):
    """Follows the pointer over the slices of a volume, and the chosen label of the active layer.

    Parameters
    ----------
    viewer : ViewerModel

    Signals
    -------
    pointed(object)
        The voxel (z, y, x) of the volume under the pointer; None outside, and in three dimensions, where it is over many.
    label_chosen(object)
        The voxels of the label (z, y, x) as a mask; None without one.
    """

    pointed = Signal(object)
    label_chosen = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._volume: Volume | None = None
        self._labels: Labels | None = None
        viewer.cursor.events.position.connect(self._moved)
        viewer.dims.events.ndisplay.connect(self._moved)
        viewer.layers.selection.events.active.connect(self._activated)

    def follow(self, volume: Volume | None) -> None:
        """The volume whose voxels are meant, None for none."""
        self._volume = volume
        self._activated()

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._volume = None
        self._viewer.cursor.events.position.disconnect(self._moved)
        self._viewer.dims.events.ndisplay.disconnect(self._moved)
        self._viewer.layers.selection.events.active.disconnect(self._activated)
        self._let_go()

    def voxel_at(self, position: Any) -> tuple[int, int, int] | None:
        """The voxel (z, y, x) of the volume at a position of the viewer's world; None outside."""
        volume = self._volume
        world = np.asarray(position, float)[-3:]
        if volume is None or len(world) < 3:
            return None
        grid = volume_grid(volume.data.shape[1], volume.voxel_size)
        index = np.round((world - grid['translate']) / grid['scale']).astype(int)
        z, y, x = (int(i) for i in (index[[0, 2, 1]] if volume.transposed else index))
        inside = all(0 <= i < n for i, n in zip((z, y, x), volume.data.shape[1:], strict=True))
        return (z, y, x) if inside else None

    def _moved(self, event: Any = None) -> None:
        if self._volume is not None:
            flat = self._viewer.dims.ndisplay == 2
            self.pointed.emit(self.voxel_at(self._viewer.cursor.position) if flat else None)

    def _activated(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        self._let_go()
        if isinstance(active, Labels):
            self._labels = active
            active.events.selected_label.connect(self._label_changed)
        self._label_changed()

    def _label_changed(self, event: Any = None) -> None:
        layer, volume = self._labels, self._volume
        if volume is None:
            return
        mask = None
        if layer is not None:
            try:
                mask = labels_on(volume, layer) == layer.selected_label
            except InputError:
                # Of another volume.
                mask = None
        self.label_chosen.emit(mask if mask is not None and mask.any() else None)

    def _let_go(self) -> None:
        if self._labels is not None:
            self._labels.events.selected_label.disconnect(self._label_changed)
        self._labels = None
