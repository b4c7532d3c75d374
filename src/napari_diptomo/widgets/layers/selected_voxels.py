"""Voxels that were selected in a diagram, as a layer of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_diptomo.series import Volume
from napari_diptomo.widgets.layers.image_layers import volume_grid
from napari_diptomo.widgets.layers.voxel_status import VoxelStatus


class SelectedVoxels(QObject):
    """One layer whose labels are the regions of a diagram; it is changed in place, so the user's opacity stays.

    A layer that the user has painted in is the user's: the next regions get one of their own.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layer goes.

    Signals
    -------
    removed
        The user has deleted the layer.
    """

    removed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        viewer.layers.events.removed.connect(self._gone)

    @property
    def layer(self) -> Labels | None:
        """The layer, None where there is none."""
        return self._layer

    def show(self, labels: np.ndarray, names: Mapping[int, str], hues: Sequence[str], volume: Volume) -> None:
        """Show regions in place of those before.

        Parameters
        ----------
        labels : ndarray of int (z, y, x)
        names : mapping of int to str
            By what each label was selected.
        hues : sequence of str
            A colour for each.
        volume : Volume
            Whose voxels are labelled.
        """
        shown = np.ascontiguousarray(labels.swapaxes(-1, -2) if volume.transposed else labels, dtype=np.uint16)
        name = 'Selected: ' + ', '.join(
            f'{label} {words}' if len(names) > 1 else words for label, words in names.items()
        )
        colormap = DirectLabelColormap(
            color_dict={None: 'transparent', 0: 'transparent'} | dict(zip(names, hues, strict=True))
        )
        if self._layer is not None:
            self._layer.data, self._layer.colormap, self._layer.name = shown, colormap, name
        else:
            grid = volume_grid(labels.shape[0], volume.voxel_size)
            self._layer = self._viewer.add_layer(Labels(shown, name=name, colormap=colormap, opacity=0.7, **grid))
            self._layer.events.paint.connect(self._painted)
            if 'composition' in volume.notes:
                VoxelStatus(volume).answer_for([self._layer])
        self._layer.selected_label = len(names)

    def leave(self) -> None:
        """Hide the layer and leave it to the user: the next regions, of another composition, get one of their own."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            layer.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def cleanup(self) -> None:
        """Let go of the viewer; the layer stays."""
        self._viewer.layers.events.removed.disconnect(self._gone)
        self._layer = None

    def _painted(self, event: Any = None) -> None:
        if self._layer is not None:
            self._layer.events.paint.disconnect(self._painted)
        self._layer = None

    def _gone(self, event: Any) -> None:
        # Through napari's proxy of the viewer the same layer is another object that is equal.
        if self._layer is not None and self._layer == event.value:
            self._layer = None
            self.removed.emit()
