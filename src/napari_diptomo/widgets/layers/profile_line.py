"""The line of a profile through a volume: a layer of shapes of ours, or one of the user's."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Shapes
from qtpy.QtCore import QObject, Signal

from napari_diptomo.series import InputError, Volume
from napari_diptomo.widgets.layers.image_layers import volume_grid

_NAME = 'Profile'
_HUE = '#f2e000'
#: Ends of a new line, as parts of the extent of the volume.
_FROM, _TO = 0.2, 0.8


class ProfileLine(QObject):
    """The line of a profile. Its layer is the user's: moved with napari's tools, removed, which means no line.

    Signals
    -------
    changed
        The line is another one, or gone.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer: Shapes | None = None
        viewer.layers.events.removed.connect(self._removed)

    def take(self, volume: Volume) -> None:
        """The selected layer of shapes if it has a line, else our own with a line on the slice that is seen."""
        selected = self._viewer.layers.selection.active
        if isinstance(selected, Shapes) and _line_in(selected) is not None:
            self._follow(selected)
        elif self.layer is None or _line_in(self.layer) is None:
            self._follow(self._draw(volume))
        assert self.layer is not None
        self._viewer.layers.selection.active = self.layer
        self._viewer.dims.ndisplay = 2
        self.layer.mode = 'direct'
        self.changed.emit()

    def ends(self, volume: Volume) -> tuple[np.ndarray, np.ndarray] | None:
        """Both ends (z, y, x) in voxels of a volume; None without a line.

        Raises
        ------
        InputError
            The layer has no line any more.
        """
        if self.layer is None:
            return None
        line = _line_in(self.layer)
        if line is None:
            raise InputError(f'There is no line in {self.layer.name}; draw one with the line tool of napari.')
        grid = volume_grid(volume.data.shape[1], volume.voxel_size)
        found = []
        for point in line:
            world = np.asarray(self.layer.data_to_world(point), float)
            # A layer of two axes lies on whatever slice is seen.
            seen = np.asarray(self._viewer.dims.point, float)[-3:]
            world = np.concatenate([seen[: 3 - len(world)], world])[-3:]
            voxel = (world - grid['translate']) / grid['scale']
            found.append(voxel[[0, 2, 1]] if volume.transposed else voxel)
        return found[0], found[1]

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._viewer.layers.events.removed.disconnect(self._removed)
        self._let_go()

    def _draw(self, volume: Volume) -> Shapes:
        """A layer with a line along the last axis that is seen, in the middle of the others."""
        shape = np.array(volume.data.shape[1:])[[0, 2, 1]] if volume.transposed else np.array(volume.data.shape[1:])
        grid = volume_grid(int(shape[0]), volume.voxel_size)
        dims = self._viewer.dims
        dims.ndisplay = 2
        offset = dims.ndim - 3
        displayed = [axis - offset for axis in dims.displayed if axis >= offset]
        middle = (shape - 1) / 2
        if offset >= 0:
            slices = (np.asarray(dims.point, float)[-3:] - grid['translate']) / grid['scale']
            for axis in set(range(3)) - set(displayed):
                middle[axis] = np.clip(round(slices[axis]), 0, shape[axis] - 1)
                # Between two voxels, where the plane of the maps may lie, no shape would be seen.
                dims.set_point(axis + offset, float(middle[axis] * grid['scale'][axis] + grid['translate'][axis]))
        along = displayed[-1] if displayed else 2
        line = np.stack([middle, middle])
        line[:, along] = np.array([_FROM, _TO]) * (shape[along] - 1)
        layer = Shapes(
            [line],
            shape_type='line',
            ndim=3,
            name=_NAME,
            edge_color=_HUE,
            face_color='transparent',
            edge_width=max(float(shape.max()) / 100, 0.3),
            **grid,
        )
        self._viewer.add_layer(layer)
        return layer

    def _follow(self, layer: Shapes) -> None:
        if layer is self.layer:
            return
        self._let_go()
        self.layer = layer
        layer.events.set_data.connect(self._edited)

    def _let_go(self) -> None:
        if self.layer is not None:
            self.layer.events.set_data.disconnect(self._edited)
        self.layer = None

    def _edited(self, event: Any = None) -> None:
        self.changed.emit()

    def _removed(self, event: Any) -> None:
        # Through napari's proxy of the viewer the same layer is another object that is equal.
        if self.layer is None or self.layer != event.value:
            return
        self._let_go()
        self.changed.emit()


def _line_in(layer: Shapes) -> np.ndarray | None:
    """Both ends of the selected line, else of the last one, (2, axis); None where there is none."""
    lines = [index for index, kind in enumerate(layer.shape_type) if kind == 'line']
    if not lines:
        return None
    chosen = [index for index in lines if index in layer.selected_data]
    return np.asarray(layer.data[(chosen or lines)[-1]], float)
