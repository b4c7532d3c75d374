"""How our layers are shown, and from where: read off a viewer, and given back to one."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_diptomo.jobs.project import LayerLook, ViewRecord
from napari_diptomo.widgets.layers.canvas_view import show_from
from napari_diptomo.widgets.layers.image_layers import KEY

#: Longer colour tables are napari's own and known by their names.
_FEW_COLOURS = 16


def looks_of(viewer: ViewerModel) -> tuple[LayerLook, ...]:
    """How our layers look now."""
    return tuple(
        look_of(layer) for layer in viewer.layers if KEY in layer.metadata and hasattr(layer, 'contrast_limits')
    )


def apply_looks(viewer: ViewerModel, looks: tuple[LayerLook, ...]) -> None:
    """Make our layers look as they did; layers that nothing is known of stay as they are."""
    left = {_key(look): look for look in looks}
    for layer in viewer.layers:
        look = left.get(_key_of(layer)) if KEY in layer.metadata else None
        if look is not None:
            _apply(layer, look)


def view_of(viewer: ViewerModel) -> ViewRecord:
    """Camera and sliders as they are now."""
    camera = viewer.scene.camera
    return ViewRecord(
        ndisplay=viewer.dims.ndisplay,
        point=tuple(float(v) for v in viewer.dims.point),
        center=tuple(float(v) for v in camera.center),
        zoom=float(camera.zoom),
        angles=_floats(camera.angles),
    )


def apply_view(viewer: ViewerModel, view: ViewRecord) -> None:
    """Set camera and sliders."""
    camera: dict[str, Any] = {'zoom': view.zoom, 'angles': view.angles}
    if len(view.center) == 3:
        camera['center'] = view.center
    show_from(viewer, view.ndisplay, view.point, camera)


def look_of(layer: Image) -> LayerLook:
    """How one layer looks now."""
    colours = np.asarray(layer.colormap.colors, float)
    kind, run, channel, index = _key_of(layer)
    return LayerLook(
        kind=kind,
        run=run,
        channel=channel,
        index=index,
        name=layer.name,
        visible=bool(layer.visible),
        opacity=float(layer.opacity),
        contrast_limits=_floats(layer.contrast_limits),
        contrast_limits_range=_floats(layer.contrast_limits_range),
        gamma=float(layer.gamma),
        blending=str(layer.blending),
        rendering=str(layer.rendering),
        colormap=str(layer.colormap.name),
        colours=tuple(tuple(row) for row in colours.tolist()) if len(colours) <= _FEW_COLOURS else (),
    )


def _apply(layer: Any, look: LayerLook) -> None:
    layer.visible, layer.opacity, layer.gamma = look.visible, look.opacity, look.gamma
    if look.contrast_limits_range is not None:
        layer.contrast_limits_range = look.contrast_limits_range
    if look.contrast_limits is not None:
        layer.contrast_limits = look.contrast_limits
    # Names of another version of napari are left out.
    with contextlib.suppress(ValueError, KeyError):
        layer.blending = look.blending
    with contextlib.suppress(ValueError, KeyError):
        layer.rendering = look.rendering
    with contextlib.suppress(ValueError, KeyError, TypeError):
        layer.colormap = _colormap(look)
    if look.name:
        layer.name = look.name


def _colormap(look: LayerLook) -> Any:
    from napari.utils import Colormap

    return Colormap(colors=look.colours, name=look.colormap) if len(look.colours) > 1 else look.colormap


def _key(look: LayerLook) -> tuple[str, int, str, int]:
    return look.kind, look.run, look.channel, look.index


def _key_of(layer: Layer) -> tuple[str, int, str, int]:
    record = layer.metadata[KEY]
    channel = record.get('channel') or layer.name.split(' [')[0]
    return str(record.get('kind', '')), int(record.get('run', 0)), str(channel), int(record.get('index', 0))


def _floats(values: Any) -> Any:
    """As the records of a project take them: as many as they say."""
    return tuple(float(value) for value in values)
