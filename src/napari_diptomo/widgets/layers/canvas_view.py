"""The view of the canvas: remembered, shown again, fitted to the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from napari_diptomo.widgets.layers.image_layers import KEY


@dataclass(frozen=True)
class Look:
    """The layers of ours that are seen, and from where.

    Attributes
    ----------
    layers : tuple of Layer
        Visible ones.
    ndisplay : int
    point : tuple of float
        Of the sliders, in world coordinates.
    camera : dict
        Centre, zoom and angles.
    """

    layers: tuple[Layer, ...]
    ndisplay: int
    point: tuple[float, ...]
    camera: dict[str, Any]

    @classmethod
    def of(cls, viewer: ViewerModel) -> Look:
        """As it is now."""
        camera = viewer.scene.camera
        where = {'center': tuple(camera.center), 'zoom': float(camera.zoom), 'angles': tuple(camera.angles)}
        return cls(tuple(seen(viewer)), viewer.dims.ndisplay, tuple(viewer.dims.point), where)

    def shows(self, layers: Sequence[Layer]) -> bool:
        """Whether any of these was seen."""
        return any(layer in layers for layer in self.layers)

    def restore(self, viewer: ViewerModel) -> None:
        """Show the layers again that are still there, from where they were seen."""
        found = [layer for layer in self.layers if layer in viewer.layers]
        if not found:
            return
        for layer in found:
            layer.visible = True
        if not viewer.layers.selection:
            # The one that was selected is gone, and with it all controls.
            viewer.layers.selection.active = found[-1]
        show_from(viewer, self.ndisplay, self.point, self.camera)


def show_from(viewer: ViewerModel, ndisplay: int, point: Sequence[float], camera: dict[str, Any]) -> None:
    """Set the number of axes on display, the sliders and the camera."""
    viewer.dims.ndisplay = ndisplay
    if len(point) == viewer.dims.ndim:
        for axis, value in enumerate(point):
            viewer.dims.set_point(axis, value)
    for name, value in camera.items():
        setattr(viewer.scene.camera, name, value)


def seen(viewer: ViewerModel) -> list[Layer]:
    """Our layers that are visible."""
    return [layer for layer in viewer.layers if KEY in layer.metadata and layer.visible]


def hide_ours(viewer: ViewerModel) -> None:
    """Hide our layers: several in one place would shine through each other."""
    for layer in viewer.layers:
        if KEY in layer.metadata:
            layer.visible = False


def fit_canvas(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Fill the canvas with these layers; napari's own way counts hidden ones, which may be far larger.

    Layers of fewer axes than the viewer has are measured together with one of
    ours that has them all and lies in the same place.
    """
    shown = [layer for layer in layers if layer in viewer.layers]
    if shown and max(layer.ndim for layer in shown) < viewer.dims.ndim:
        low, high = _plane(shown)
        margin = 0.02 * (high - low)
        shown += [
            layer
            for layer in viewer.layers
            if KEY in layer.metadata
            and layer.ndim == viewer.dims.ndim
            and (_plane([layer])[0] >= low - margin).all()
            and (_plane([layer])[1] <= high + margin).all()
        ][:1]
    if shown and max(layer.ndim for layer in shown) == viewer.dims.ndim:
        viewer.reset_view(layers=shown)
    else:
        viewer.reset_view()


def _plane(layers: Sequence[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (y, x) of all of them."""
    extents = np.array([layer.extent.world[:, -2:] for layer in layers])
    return extents[:, 0].min(axis=0), extents[:, 1].max(axis=0)
