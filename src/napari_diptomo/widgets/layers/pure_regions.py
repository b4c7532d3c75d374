"""Where the oxides are pure: a labels layer over the tilts that have a core loss, open to correction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_diptomo.jobs.colours import colours
from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.series.tilts import angles_in_words
from napari_diptomo.widgets.layers.image_layers import tilt_axis

_NAME = 'Pure pixels'


class PureRegions(QObject):
    """The layer "Pure pixels": label 1 is the first oxide, 2 the second; the user may paint in it.

    Signals
    -------
    shown(bool)
        The layer is there, or gone.
    edited
        The user has painted.
    """

    shown = Signal(bool)
    edited = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._series: SpectralTiltSeries | None = None
        self._names: tuple[str, ...] = ()
        self.layer: Labels | None = None
        viewer.layers.events.removed.connect(self._removed)

    def set_series(self, series: SpectralTiltSeries | None) -> None:
        """Another series is open; the layer of an earlier one goes."""
        self.remove()
        self._series = series

    def show(self, masks: Mapping[str, np.ndarray]) -> None:
        """Show masks (core tilt, y, x) by oxide, and turn to the first tilt that has a core loss.

        Parameters
        ----------
        masks : mapping of str to ndarray of bool
            In the order of the oxides.
        """
        series = self._series
        if series is None or series.core_loss is None:
            return
        self.remove()
        self._names = tuple(masks)
        recorded = np.zeros(series.core_loss.counts.shape[:3], np.uint8)
        for value, mask in enumerate(masks.values(), start=1):
            recorded[mask] = value
        labels = np.zeros(series.counts.shape[:3], np.uint8)
        labels[list(series.core_loss.tilts)] = recorded
        shown = np.swapaxes(labels, -1, -2) if series.transposed else labels
        step, first = tilt_axis(series.angles)
        hues = colours(self._names)
        layer = Labels(
            np.ascontiguousarray(shown[:, None]),
            name=_NAME,
            scale=(step, *(series.pixel_size,) * 3),
            translate=(first, 0.0, 0.0, 0.0),
            units=('deg', 'nm', 'nm', 'nm'),
            axis_labels=('tilt', 'z', 'y', 'x'),
            opacity=0.6,
            colormap=DirectLabelColormap(
                color_dict={None: 'transparent', 0: 'transparent'}
                | {value: hues[name] for value, name in enumerate(self._names, start=1)}
            ),
        )
        self.layer = self._viewer.add_layer(layer)
        self.layer.events.paint.connect(self._painted)
        self._viewer.dims.ndisplay = 2
        self._viewer.dims.set_current_step(0, series.core_loss.tilts[0])
        self.shown.emit(True)

    def edit(self) -> None:
        """Hand the user a brush."""
        if self.layer is not None:
            self._viewer.layers.selection.active = self.layer
            self.layer.selected_label = 1
            self.layer.brush_size = 2
            self.layer.mode = 'paint'

    def masks(self) -> dict[str, np.ndarray]:
        """Masks (core tilt, y, x) by oxide as they are painted; oxides without a pixel are left out.

        Raises
        ------
        InputError
            There is no layer, nothing is painted, or only where there is no core loss.
        """
        series = self._series
        if self.layer is None or series is None or series.core_loss is None:
            raise InputError('There are no pure pixels to use; show them first.')
        labels = np.asarray(self.layer.data)[:, 0]
        if series.transposed:
            labels = np.swapaxes(labels, -1, -2)
        recorded = labels[list(series.core_loss.tilts)]
        masks = {
            name: recorded == value for value, name in enumerate(self._names, start=1) if (recorded == value).any()
        }
        if not masks:
            where = angles_in_words(series.angles[list(series.core_loss.tilts)])
            raise InputError(
                f'No pixel is painted at a tilt with a core loss ({where}); paint label 1 where there is only '
                f'{self._names[0]}, 2 where there is only {self._names[1]}.'
            )
        return masks

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._viewer.layers.events.removed.disconnect(self._removed)
        if self.layer is not None:
            self.layer.events.paint.disconnect(self._painted)

    def _painted(self, event: Any = None) -> None:
        self.edited.emit()

    def _removed(self, event: Any) -> None:
        # Through napari's proxy of the viewer the same layer is another object that is equal.
        if self.layer is None or self.layer != event.value:
            return
        self.layer.events.paint.disconnect(self._painted)
        self.layer = None
        self.shown.emit(False)
