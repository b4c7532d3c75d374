"""Volumes in the viewer to quantify, and compositions as layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_diptomo.jobs.colours import colours
from napari_diptomo.series import InputError, Volume
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.first_look import label_canvas, show_name
from napari_diptomo.widgets.layers.reader_and_writer import gather
from napari_diptomo.widgets.layers.voxel_status import VoxelStatus

#: How composition layers are coloured.
PALETTES = ('elements', 'RGB', 'CMY')


@dataclass(frozen=True, eq=False)
class ShownVolume:
    """Layers that are the channels of one volume.

    Attributes
    ----------
    label : str
        For a list to choose from.
    layers, spread : tuple of Layer
        Counts of every channel; their standard deviations where there are any.
    """

    label: str
    layers: tuple[Layer, ...]
    spread: tuple[Layer, ...] = ()

    @cached_property
    def volume(self) -> Volume:
        """The counts, with what their layers remember."""
        volume = _gathered(self.layers)
        return volume if len(self.spread) != len(self.layers) else replace(volume, std=_gathered(self.spread).data)


def _gathered(layers: tuple[Layer, ...]) -> Volume:
    found = gather([layer.as_layer_data_tuple() for layer in layers])
    assert isinstance(found, Volume)
    return found


def shown_volumes(viewer: ViewerModel) -> list[ShownVolume]:
    """Volumes of counts whose layers are in the viewer, the oldest first."""
    groups: dict[Any, dict[str, list[Layer]]] = {}
    for layer in viewer.layers:
        record = layer.metadata.get(image_layers.KEY, {})
        if record.get('kind') not in ('volume', 'spread') or 'composition' in record.get('notes', {}):
            continue
        key = (record.get('run'), record.get('recipe'), tuple(record.get('channels', ())), np.shape(layer.data))
        groups.setdefault(key, {'volume': [], 'spread': []})[record['kind']].append(layer)
    found = []
    for group in groups.values():
        ordered = [tuple(sorted(group[kind], key=_index)) for kind in ('volume', 'spread')]
        if ordered[0]:
            found.append(ShownVolume(_label(ordered[0]), *ordered))
    return found


def is_shown_as(volume: Volume | None, shown: ShownVolume) -> bool:
    """Whether these layers show that volume."""
    if volume is None:
        return False
    record = shown.layers[0].metadata[image_layers.KEY]
    curves = {name: list(curve) for name, curve in volume.scores.items()}
    return record.get('recipe') == image_layers.as_json(volume.recipe) and record.get('scores') == curves


def labels_on(volume: Volume, layer: Labels) -> np.ndarray:
    """Labels (z, y, x) painted on a volume, in its axes.

    Raises
    ------
    InputError
        The layer has another size.
    """
    labels = np.asarray(layer.data)
    if volume.transposed and labels.ndim == 3:
        labels = np.swapaxes(labels, -1, -2)
    if labels.shape != volume.data.shape[1:]:
        raise InputError(
            f'The regions in {layer.name} have the shape {labels.shape}, the volume {volume.data.shape[1:]}; paint them in a '
            'labels layer of the same size.'
        )
    return labels


def composition_layers(result: Volume, palette: str = 'elements') -> list[image_layers.LayerTuple]:
    """One additive 3-D layer (z, y, x) per channel, 0 to 100 percent; masked voxels are 0 and stay black.

    Colours add up: with the palettes of two or three elements the voxels have
    the colours of `napari_diptomo.assess.mix_colours`.
    """
    units = result.notes.get('composition', {}).get('units', {})
    hues = channel_hues(result.channels, palette)
    data = np.swapaxes(result.data, -1, -2) if result.transposed else result.data
    made = []
    for index, name in enumerate(result.channels):
        unit = units.get(name, 'at.%')
        percent = unit.endswith('%')
        made.append(
            (
                np.ascontiguousarray(data[index]),
                {
                    **image_layers.volume_grid(data.shape[1], result.voxel_size),
                    'name': f'{name} {unit}' if percent else f'{name.capitalize()} {unit}',
                    'colormap': image_layers.colormap(name, hues[name]) if percent else 'viridis',
                    'visible': percent,
                    'blending': 'additive',
                    'rendering': image_layers.RENDERING,
                    'attenuation': image_layers.ATTENUATION,
                    'gamma': image_layers.GAMMA,
                    'contrast_limits': (0.0, 100.0) if percent else image_layers.contrast_limits(data[index]),
                    'metadata': {image_layers.KEY: image_layers.volume_record(result, index) | {'kind': 'composition'}},
                },
                'image',
            )
        )
    return made


def channel_hues(channels: tuple[str, ...], palette: str) -> dict[str, str]:
    """A colour per channel: that of the element, or the corners of a triangle for the first two or three."""
    hues = colours(channels)
    if palette == 'elements':
        return hues
    from napari_diptomo.assess.ternary import CORNERS

    corners = ['#' + ''.join(f'{round(255 * part):02x}' for part in corner) for corner in CORNERS[palette]]
    return hues | dict(zip(channels, corners, strict=False))


class CompositionView:
    """Shows a composition in place of the one before it.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers go.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        # Those of a dock that was closed are there already.
        self._shown: list[Image] = image_layers.of_kind(viewer.layers, 'composition')

    def show(self, result: Volume, palette: str) -> None:
        """Layers of a result; what else we have shown is hidden."""
        for layer in self._shown:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        for layer in self._viewer.layers:
            if image_layers.KEY in layer.metadata:
                layer.visible = False
        self._shown = [self._viewer.add_layer(Layer.create(*part)) for part in composition_layers(result, palette)]
        label_canvas(self._viewer, [layer for layer in self._shown if layer.visible])
        VoxelStatus(result).answer_for(self._shown)

    def recolour(self, channels: tuple[str, ...], palette: str) -> None:
        """Other colours for the layers that are shown."""
        hues = channel_hues(channels, palette)
        for layer in self._shown:
            name = layer.metadata[image_layers.KEY]['channel']
            if layer in self._viewer.layers and layer.name.endswith('%'):
                layer.colormap = image_layers.colormap(name, hues[name])
                show_name(layer)


def _label(layers: tuple[Layer, ...]) -> str:
    """``'Ge, Sb, Te (SIRT)'`` of layers named ``'Ge (SIRT)'`` and so on."""
    channels = [layer.metadata[image_layers.KEY].get('channel', layer.name) for layer in layers]
    return ', '.join(channels) + layers[0].name.removeprefix(channels[0])


def _index(layer: Layer) -> int:
    return int(layer.metadata[image_layers.KEY].get('index', 0))
