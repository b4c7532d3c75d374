"""The tilt axis as a line over the sum of the aligned tilts, moved and turned with the mouse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Shapes
from qtpy.QtCore import QObject, Signal

from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.layers.image_layers import KEY, Provenance, contrast_limits
from napari_diptomo.widgets.layers.maps_view import MapsView

_SUM, _LINE = 'sum of the tilts', 'tilt axis'
_HUE = '#f2e000'
#: Part of the half line, from the middle, that moves it; beyond, the mouse turns it.
_MIDDLE = 0.5
#: How near the mouse must be, as a share of the length of the line.
_NEAR = 0.06


class TiltAxisLine(QObject):
    """Shows the axis, and follows the mouse: its middle part moves it, its ends turn it.

    Signals
    -------
    moved(float, float)
        Released elsewhere: pixels from the middle of the images across the axis, degrees.
    """

    moved = Signal(float, float)

    def __init__(self, viewer: ViewerModel, maps_view: MapsView, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._maps_view = viewer, maps_view
        self.layer: Shapes | None = None
        self._image: Layer | None = None
        self._maps: MapSeries | None = None

    @property
    def shown(self) -> bool:
        """Whether the line is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(self, maps: MapSeries) -> None:
        """Show the sum of the tilts and the axis of an aligned series."""
        self.clear()
        self._maps = maps
        grid = {'scale': (maps.pixel_size,) * 2, 'units': ('nm', 'nm'), 'axis_labels': ('y', 'x')}
        record = Provenance(kind=_SUM, channel=_SUM, angles=[float(angle) for angle in maps.angles])
        image = _sum_of_tilts(maps)
        shown = {
            **grid,
            'name': _SUM,
            'colormap': 'gray',
            'blending': 'opaque',
            'contrast_limits': contrast_limits(image),
        }
        self._image = self._maps_view.add_above((image, {**shown, 'metadata': {KEY: record}}, 'image'))
        line = {
            **grid,
            'name': _LINE,
            'shape_type': 'line',
            'edge_color': _HUE,
            'face_color': 'transparent',
            'edge_width': max(max(image.shape) / 120, 0.3),
            'metadata': {KEY: Provenance(kind=_LINE, channel=_LINE, angles=record['angles'])},
        }
        layer = self._maps_view.add_above(([self._ends(maps.axis_shift, maps.axis_rotation)], line, 'shapes'))
        assert isinstance(layer, Shapes), 'made as such'
        self.layer = layer
        layer.mouse_move_callbacks.append(self._hover)
        layer.mouse_drag_callbacks.append(self._drag)
        self._viewer.dims.ndisplay = 2
        self._viewer.layers.selection.active = layer

    def follow(self, maps: MapSeries) -> None:
        """Other shifts or another axis: what is there shows them."""
        if not self.shown or self.layer is None:
            return
        self._maps = maps
        if self._image is not None and self._image in self._viewer.layers:
            self._image.data = _sum_of_tilts(maps)
        self._set(maps.axis_shift, maps.axis_rotation)

    def clear(self) -> None:
        """Take the layers away."""
        for kind in (_SUM, _LINE):
            self._maps_view.remove_kind(kind)
        self.layer = self._image = None

    def _hover(self, layer: Shapes, event: Any) -> None:
        # Elsewhere the mouse moves the camera.
        layer.mouse_pan = self._at(event) is None

    def _drag(self, layer: Shapes, event: Any) -> Iterator[None]:
        """One press of the mouse, from napari: a step per move."""
        grip = self._at(event)
        maps = self._maps
        if grip is None or maps is None or event.button != 1:
            return
        layer.mouse_pan = False
        before = shift, rotation = maps.axis_shift, maps.axis_rotation
        yield
        while event.type == 'mouse_move':
            across, along = _turned(self._point(event), before[1])
            if abs(grip[1]) <= _MIDDLE * self._half:
                shift = before[0] + across - grip[0]
            else:
                # About the middle of the line.
                turn = np.arctan2(across - before[0], along) - np.arctan2(grip[0] - before[0], grip[1])
                rotation = before[1] - float(np.rad2deg((turn + np.pi) % (2 * np.pi) - np.pi))
                shift = before[0]
            self._set(shift, rotation)
            yield
        layer.mouse_pan = True
        if (shift, rotation) != before:
            self.moved.emit(float(shift), float(rotation))

    def _at(self, event: Any) -> np.ndarray | None:
        """Where the mouse is, across and along the axis, if it is at the line."""
        if self._maps is None or not self.shown:
            return None
        point = np.array(_turned(self._point(event), self._maps.axis_rotation))
        near = abs(point[0] - self._maps.axis_shift) < _NEAR * 2 * self._half and abs(point[1]) < 1.1 * self._half
        return point if near else None

    @property
    def _half(self) -> float:
        """Half the length of the line, pixels."""
        assert self._maps is not None, 'shown'
        return self._maps.data.shape[2] / 2

    def _point(self, event: Any) -> np.ndarray:
        """Under the mouse, (x, y) in pixels of the maps from the middle of the images."""
        assert self.layer is not None and self._maps is not None, 'shown'
        row, column = np.asarray(self.layer.world_to_data(event.position), float)[-2:]
        y, x = (column, row) if self._maps.transposed else (row, column)
        ny, nx = self._maps.data.shape[2:]
        return np.array([x - (nx - 1) / 2, y - (ny - 1) / 2])

    def _ends(self, shift: float, rotation: float) -> np.ndarray:
        """Both ends as the layer has them, (2, 2)."""
        assert self._maps is not None, 'shown'
        ny, nx = self._maps.data.shape[2:]
        cosine, sine = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
        along = np.array([-self._half, self._half])
        x = (nx - 1) / 2 + cosine * shift - sine * along
        y = (ny - 1) / 2 + sine * shift + cosine * along
        ends = np.stack([y, x], axis=1)
        return ends[:, ::-1] if self._maps.transposed else ends

    def _set(self, shift: float, rotation: float) -> None:
        if self.layer is not None:
            self.layer.data = [self._ends(shift, rotation)]


def _turned(point: np.ndarray, rotation: float) -> tuple[float, float]:
    """A point (x, y) as (across, along) an axis turned by ``rotation`` degrees."""
    cosine, sine = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    return float(cosine * point[0] + sine * point[1]), float(cosine * point[1] - sine * point[0])


def _sum_of_tilts(maps: MapSeries) -> np.ndarray:
    """Images of the reference, moved by their shifts, the axis left where it is; as they were recorded."""
    from napari_diptomo.align.by_hand import align_step
    from napari_diptomo.align.reference_images import placed_image, shown_images

    images = shown_images(maps, align_step(maps).reference)
    total = np.sum(
        [placed_image(image, shift) for image, shift in zip(images, np.asarray(maps.shifts), strict=True)], 0
    )
    return np.asarray(total.T if maps.transposed else total, np.float32)
