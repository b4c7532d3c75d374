"""A volume cut open, or as surfaces: one look of its layers and back, without a change to the data."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.first_look import specimen_box

#: Axes of a volume by name.
AXES = ('z', 'y', 'x')


def cut(viewer: ViewerModel, layers: Iterable[Image], axis: str, share: float) -> float:
    """Take away what lies on the camera's side of a plane.

    Parameters
    ----------
    viewer : ViewerModel
        Its camera says which side that is.
    layers : iterable of Image
        Channels of a volume.
    axis : {'z', 'y', 'x'}
        Normal of the plane.
    share : float
        Where it stands: 0 is the near end of the specimen, 1 its far end.

    Returns
    -------
    float
        Position of the plane along the axis, nm.
    """
    number = AXES.index(axis)
    shown = list(layers)
    low, high = specimen_box(shown)
    towards = np.asarray(viewer.scene.camera.view_direction, float)[-3:][number]
    away = 1.0 if towards >= 0 else -1.0
    near, far = (low, high) if away > 0 else (high, low)
    place = float(near[number] + share * (far[number] - near[number]))
    # napari takes both in world coordinates, though it says data coordinates (napari/napari#3874).
    position, normal = (low + high) / 2, np.zeros(3)
    position[number], normal[number] = place, away
    for layer in shown:
        layer.experimental_clipping_planes = [{'position': tuple(position), 'normal': tuple(normal), 'enabled': True}]
    return place


def make_whole(layers: Iterable[Image]) -> None:
    """Take the planes away."""
    for layer in layers:
        layer.experimental_clipping_planes = []


def show_surfaces(layers: Iterable[Image], level: float) -> None:
    """Each channel as the surface where it has this share of its upper contrast limit."""
    for layer in layers:
        layer.rendering = 'iso'
        layer.blending = 'translucent'
        layer.iso_threshold = level * layer.contrast_limits[1]


def show_densities(layers: Iterable[Image]) -> None:
    """Back to what lies inside."""
    for layer in layers:
        layer.rendering = image_layers.RENDERING
        layer.blending = 'additive'
        layer.attenuation = image_layers.ATTENUATION
