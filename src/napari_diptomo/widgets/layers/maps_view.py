"""The layers of what was measured: all counts, then the maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from napari_diptomo.series import MapSeries, SpectralTiltSeries
from napari_diptomo.series.tilts import angle_in_words
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.canvas_view import fit_canvas, hide_ours
from napari_diptomo.widgets.layers.error_layers import deviation_layers, residual_layers
from napari_diptomo.widgets.layers.first_look import label_canvas
from napari_diptomo.widgets.layers.haadf_layer import haadf_layer


class MapsView:
    """Shows the series and its maps, replacing the earlier ones of the same kind.

    napari's slider counts images, so the tilt angle is written into the corner
    of the canvas.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._shown: list[Layer] = []
        self._angles = self._haadf_angles = np.zeros(0)
        viewer.dims.events.current_step.connect(self._show_angle)
        viewer.dims.events.ndisplay.connect(self._show_angle)

    def show_series(self, layer: image_layers.LayerTuple, angles: np.ndarray) -> None:
        """Show the counts of a tilt series; nothing when a dropped file shows them already."""
        self._replace([layer], angles)

    def show_maps(self, maps: MapSeries) -> None:
        """Show one layer per channel in place of the sum of counts, below them hidden what the fit leaves."""
        self._replace([*residual_layers(maps), *image_layers.map_layers(maps)], maps.angles)
        self.show_haadf(maps)

    def show_haadf(self, series: SpectralTiltSeries | MapSeries) -> None:
        """Add the HAADF series beside the maps, where there is one, as a hidden layer below them."""
        if series.haadf_series is None:
            return
        active = self._viewer.layers.selection.active
        self.add_below([haadf_layer(series.haadf_series, series)])
        self._viewer.layers.selection.active = active
        self._haadf_angles = series.haadf_series.angles

    def show_deviations(self, maps: MapSeries) -> None:
        """Add hidden layers with the standard deviation of every map."""
        self.add_below(deviation_layers(maps))

    def add_below(self, parts: list[image_layers.LayerTuple]) -> None:
        """Add layers below those that are shown; they go when others are shown."""
        added = [Layer.create(*part) for part in parts]
        for index, layer in enumerate(added):
            self._viewer.layers.insert(index, layer)
        self._shown += added

    def add_above(self, part: image_layers.LayerTuple) -> Layer:
        """Add a layer above those that are shown; it goes when others are shown."""
        layer = Layer.create(*part)
        self._viewer.add_layer(layer)
        self._shown.append(layer)
        layer.events.visible.connect(self._name_what_is_seen)
        self._name_what_is_seen()
        return layer

    def remove_kind(self, kind: str) -> None:
        """Take the layers of this kind away."""
        for layer in [layer for layer in self._shown if layer.metadata[image_layers.KEY]['kind'] == kind]:
            self._shown.remove(layer)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._name_what_is_seen()
        if not self._viewer.layers.selection:
            # The one that was selected is gone, and with it all controls.
            seen = [layer for layer in self._viewer.layers if layer in self._shown and layer.visible]
            self._viewer.layers.selection.active = seen[-1] if seen else None

    def hide_deviations(self) -> None:
        """Take them away."""
        self.remove_kind('map spread')

    @property
    def tilt(self) -> int | None:
        """Number of the tilt that is seen, None where none is."""
        return self._tilt_index() if self._shown and self._viewer.dims.ndim == 4 else None

    def show_tilt(self, number: int) -> None:
        """Move the slider to a tilt."""
        if not self._shown or self._viewer.dims.ndim != 4:
            return
        self._viewer.dims.ndisplay = 2
        layer = self._shown[0]
        self._viewer.dims.set_point(0, float(layer.translate[0]) + number * float(layer.scale[0]))
        # Another plane of a volume has no maps.
        self._viewer.dims.set_point(1, 0.0)

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._viewer.dims.events.current_step.disconnect(self._show_angle)
        self._viewer.dims.events.ndisplay.disconnect(self._show_angle)

    def _replace(self, parts: list[image_layers.LayerTuple], angles: np.ndarray) -> None:
        for layer in self._shown:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        hide_ours(self._viewer)
        self._angles, self._haadf_angles = np.asarray(angles, float), np.zeros(0)
        self._shown = [Layer.create(*part) for part in parts]
        for layer in self._shown:
            self._viewer.add_layer(layer)
        self._viewer.dims.ndisplay = 2
        self._move_to_the_middle()
        fit_canvas(self._viewer, self._shown)
        label_canvas(self._viewer, [layer for layer in self._shown if layer.visible])
        self._show_angle()

    def _name_what_is_seen(self, event: Any = None) -> None:
        """Names and the tilt on the canvas are those of what no opaque layer above hides."""
        layers = [layer for layer in self._viewer.layers if layer in self._shown]
        covering = [n for n, layer in enumerate(layers) if layer.visible and layer.blending == 'opaque']
        for number, layer in enumerate(layers):
            # Below the maps nothing has a name on the canvas.
            if layer.visible and layer.metadata[image_layers.KEY]['kind'] == 'maps':
                layer.name_overlay.visible = not covering or number >= covering[-1]
        self._show_angle()

    def _move_to_the_middle(self) -> None:
        """Sliders to the middle tilt and to the plane of the maps, wherever other layers begin and end."""
        point = self._middle_point()
        if len(point) == self._viewer.dims.ndim:
            for axis, value in enumerate(point[:-2]):
                self._viewer.dims.set_point(axis, value)

    def _middle_point(self) -> tuple[float, ...]:
        if not self._shown:
            return ()
        layer = self._shown[0]
        return tuple(float(v) for v in layer.data_to_world([size // 2 for size in layer.data.shape]))

    def _tilt_index(self) -> int:
        """Number of the tilt that the slider is at; other layers may begin at other angles."""
        layer = self._shown[0]
        step, first = float(layer.scale[0]), float(layer.translate[0])
        return int(np.clip(round((self._viewer.dims.point[0] - first) / step), 0, len(self._angles) - 1))

    def _angle_seen(self) -> float:
        """Of the maps; where the slider is beyond them of the HAADF series."""
        point, (step, first) = self._viewer.dims.point[0], image_layers.tilt_axis(self._angles)
        within = first - step / 2 <= point <= first + step * (len(self._angles) - 0.5)
        if within or not len(self._haadf_angles):
            return float(self._angles[self._tilt_index()])
        step, first = image_layers.tilt_axis(self._haadf_angles)
        return float(self._haadf_angles[int(np.clip(round((point - first) / step), 0, len(self._haadf_angles) - 1))])

    def _show_angle(self, event: Any = None) -> None:
        text = self._viewer.canvas.overlays.text
        shown = any(layer.visible and layer in self._viewer.layers for layer in self._shown)
        if not (shown and self._viewer.dims.ndim == 4 and self._viewer.dims.ndisplay == 2):
            text.visible = False
            return
        top = next((layer for layer in reversed(self._shown) if layer.visible and layer.blending == 'opaque'), None)
        in_sum = len(top.metadata[image_layers.KEY]['angles']) if top is not None and top.ndim == 2 else 0
        text.text = f'sum of {in_sum} tilts' if in_sum else f'tilt {angle_in_words(self._angle_seen())}'
        text.position = 'top_left'
        text.visible = True
