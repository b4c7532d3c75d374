"""How a volume is first seen: camera on the specimen, contrast without haze, names in their colours, scale bar.

Chosen by eye on renderings of a lamella, facetted particles, an oxide nanocube
and a needle: attenuation 0.3 with limits from zero shows a cloud, a plain
maximum whitens where elements overlap; a weak attenuation with a gamma above
one keeps what lies inside and hides nothing altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_diptomo.widgets.layers.canvas_view import fit_canvas
from napari_diptomo.widgets.layers.image_layers import KEY

#: Along the beam, as the maps are seen, turned until the upper and one more face show; (z, y, x).
_ALONG, _UP = (0.82, 0.36, 0.45), (0.0, -1.0, 0.0)
#: Seen from a corner a box is wider than from the front.
_ZOOM = 0.68
#: Of what is bright belongs to the specimen; noise in the vacuum does not.
_SPECIMEN = 0.25
#: Kinds of layers that are a volume, as opposed to what lies in one.
VOLUMES = ('volume', 'preview', 'composition', 'oxidation')


def volume_layers_seen(viewer: ViewerModel) -> list[Image]:
    """The visible layers that are channels of a volume."""
    return [
        layer
        for layer in viewer.layers
        if layer.visible and layer.ndim == 3 and layer.metadata.get(KEY, {}).get('kind') in VOLUMES
    ]


def look_from_a_corner(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Fill the canvas with the specimen, not with the box around it, seen from a corner."""
    shown = [layer for layer in layers if layer in viewer.layers]
    fit_canvas(viewer, shown)
    camera = viewer.scene.camera
    camera.set_view_direction(_ALONG, up_direction=_UP)
    low, high = specimen_box(shown)
    box = np.diff(np.array([layer.extent.world for layer in shown]).mean(axis=0), axis=0)[0] if shown else high - low
    if np.linalg.norm(high - low) > 0:
        camera.center = tuple((low + high) / 2)
        camera.zoom *= _ZOOM * float(np.linalg.norm(box) / np.linalg.norm(high - low))


def where_from(viewer: ViewerModel) -> tuple[float, ...]:
    """Centre, zoom and angles of the camera, to see whether somebody has moved it."""
    camera = viewer.scene.camera
    return (*camera.center, float(camera.zoom), *camera.angles)


def specimen_box(layers: Sequence[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (z, y, x), world coordinates, of what is bright in any of these layers."""
    corners = []
    for layer in layers:
        bright = np.asarray(layer.data) > _SPECIMEN * layer.contrast_limits[1]
        for axis_corners in _corners(bright):
            corners.append(layer.data_to_world(axis_corners))
    if not corners:
        corners = [corner for layer in layers for corner in layer.extent.world]
    if not corners:
        return np.zeros(3), np.zeros(3)
    return np.min(corners, axis=0), np.max(corners, axis=0)


def _corners(bright: np.ndarray) -> list[tuple[int, ...]]:
    """First and last voxel of a mask along each axis; none where it is empty."""
    if not bright.any():
        return []
    ends = []
    for axis in range(bright.ndim):
        used = np.flatnonzero(bright.any(axis=tuple(other for other in range(bright.ndim) if other != axis)))
        ends.append((int(used[0]), int(used[-1])))
    return [tuple(first for first, _ in ends), tuple(last for _, last in ends)]


def label_canvas(viewer: ViewerModel, layers: Sequence[Layer] = ()) -> None:
    """The scale bar, and the names of these layers in their colours, on black in every theme: light adds up.

    The bar stands on the left: napari's notifications come from the lower right.
    """
    canvas = viewer.canvas
    if canvas.background_color_override is None:
        canvas.background_color_override = 'black'
    canvas.overlays.scale_bar.visible = True
    canvas.overlays.scale_bar.position = 'bottom_left'
    canvas.overlay_tiling.top_right = 'vertical'
    for layer in layers:
        show_name(layer)


def show_name(layer: Any) -> None:
    """The layer's name on the canvas, in the colour of its highest values."""
    name = layer.name_overlay
    name.color = np.asarray(layer.colormap.colors, float)[-1]
    name.position, name.font_size, name.visible = 'top_right', 11, True
