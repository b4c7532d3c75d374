"""Residuals of the projections of a volume, and its phases, as layers."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils import Colormap
from napari.utils.colormaps import DirectLabelColormap

from napari_diptomo.widgets.layers.canvas_view import fit_canvas, hide_ours
from napari_diptomo.widgets.layers.error_layers import hidden_layer
from napari_diptomo.widgets.layers.image_layers import LayerTuple, volume_grid
from napari_diptomo.widgets.tasks.judging import Divided, Judged, phase_hue

#: Standard deviations at which the colours end.
_LIMIT = 4.0
#: Less than expected, as expected, more.
_COLOURS = ('#2ab0ff', '#000000', '#ff9410')


def projection_residual_layers(judged: Judged) -> list[LayerTuple]:
    """One 4-D layer (tilt, z, y, x) per channel, as the maps are: measured less expected in standard deviations.

    The first is seen; blue where less was measured than the volume makes expect, orange where more.
    """
    layers = []
    for index, (name, residual) in enumerate(
        zip(judged.consistency.channels, judged.consistency.residual, strict=True)
    ):
        data, given, kind = hidden_layer(
            judged.maps, residual, f'{name} residual', 'projection residual', (-_LIMIT, _LIMIT)
        )
        given |= {
            'colormap': Colormap(colors=_COLOURS, name='less to more'),
            'blending': 'translucent',
            'visible': index == 0,
        }
        layers.append((data, given, kind))
    return layers


def phase_layer(divided: Divided) -> Labels:
    """The labels (z, y, x) where the volume lies; the name of the layer says what each consists of."""
    labels, volume = divided.phases.labels, divided.volume
    shown = np.swapaxes(labels, -1, -2) if volume.transposed else labels
    hues = {label: phase_hue(label) for label in range(1, divided.phases.count + 1)}
    names = ', '.join(f'{label} {name}' for label, name in enumerate(divided.phases.names(), start=1))
    return Labels(
        np.ascontiguousarray(shown, dtype=np.uint8),
        # Not as features: napari's status bar raises on them in 3-D until the pointer was over the canvas.
        name=f'Phases: {names}',
        colormap=DirectLabelColormap(color_dict={None: 'transparent', 0: 'transparent'} | hues),
        opacity=0.6,
        **volume_grid(labels.shape[0], volume.voxel_size),
    )


class JudgedLayers:
    """Shows residuals and phases, each in place of those before.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers go.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._residuals: list[Image] = []
        self._phases: Labels | None = None

    def show_residuals(self, judged: Judged) -> None:
        """Layers of residuals in place of whatever of ours is seen."""
        self.remove_residuals()
        self.hide_phases()
        hide_ours(self._viewer)
        self._residuals = [
            self._viewer.add_layer(Layer.create(*part)) for part in projection_residual_layers(judged)[::-1]
        ]
        self._viewer.dims.ndisplay = 2
        first = self._residuals[-1]
        middle = first.data_to_world([size // 2 for size in first.data.shape])
        for axis, value in enumerate(middle[:-2]):
            self._viewer.dims.set_point(axis - 4 + self._viewer.dims.ndim, float(value))
        fit_canvas(self._viewer, self._residuals)

    def remove_residuals(self) -> None:
        """Take them away: they can be shown again."""
        for layer in self._residuals:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._residuals = []

    def show_phases(self, divided: Divided) -> None:
        """The labels, in front."""
        if self._phases is not None and self._phases in self._viewer.layers:
            self._viewer.layers.remove(self._phases)
        self._phases = self._viewer.add_layer(phase_layer(divided))

    def hide_phases(self) -> None:
        """Another volume is seen; the labels stay with the user, who may have painted in them."""
        if self._phases is not None:
            self._phases.visible = False
