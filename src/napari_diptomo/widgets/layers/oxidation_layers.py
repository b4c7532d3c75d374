"""Oxidation states as napari layers: of maps and of volumes, each with its error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.error_layers import COLORMAP, hidden_layer, spread_name
from napari_diptomo.widgets.layers.image_layers import KEY, LayerTuple

if TYPE_CHECKING:
    from napari_diptomo.assess.oxidation_state import FractionMaps

#: Where there is no metal the value is 0: black, and darker than any valence.
_VALENCES = (1.5, 3.0)


def fraction_layers(maps: MapSeries, states: FractionMaps) -> list[LayerTuple]:
    """Hidden 4-D layers (tilt, z, y, x): what each pixel's oxidation state is, and its standard deviation."""
    parts: list[LayerTuple] = []
    for name, values, errors in zip(states.names, *_of_maps(states), strict=True):
        parts.append(hidden_layer(maps, errors, f'{spread_name(name)} maps', 'oxidation', _error_limits(errors)))
        parts.append(hidden_layer(maps, values, f'{name} maps', 'oxidation', _limits(name)))
    return parts


def oxidation_layers(result: Volume) -> list[LayerTuple]:
    """3-D layers (z, y, x) of an oxidation-state volume; the first is seen, its error and the others are hidden."""
    parts = []
    for index, name in enumerate(result.channels):
        if result.std is not None:
            limits = _error_limits(result.std[index])
            parts.append(_volume_layer(result, result.std[index], index, spread_name(name), limits))
        parts.append(_volume_layer(result, result.data[index], index, name, _limits(name), visible=index == 0))
    return parts


def _volume_layer(
    result: Volume, data: np.ndarray, index: int, name: str, limits: tuple[float, float], visible: bool = False
) -> LayerTuple:
    shown = np.swapaxes(data, -1, -2) if result.transposed else data
    kwargs: dict[str, Any] = {
        **image_layers.volume_grid(shown.shape[0], result.voxel_size),
        'name': name,
        'colormap': COLORMAP,
        'blending': 'additive',
        'rendering': 'attenuated_mip',
        'attenuation': image_layers.ATTENUATION,
        'visible': visible,
        'contrast_limits': limits,
        'metadata': {KEY: image_layers.volume_record(result, index) | {'kind': 'oxidation'}},
    }
    return np.ascontiguousarray(shown), kwargs, 'image'


def _of_maps(states: FractionMaps) -> tuple[list[np.ndarray], list[np.ndarray]]:
    if states.fraction is None or states.fraction_std is None:
        return [states.valence], [states.valence_std]
    return [states.fraction, states.valence], [states.fraction_std, states.valence_std]


def _limits(name: str) -> tuple[float, float]:
    return (0.0, 1.0) if 'fraction' in name else _VALENCES


def _error_limits(errors: np.ndarray) -> tuple[float, float]:
    # Single pixels at the rim of the specimen must not darken all others.
    inside = errors[errors > 0]
    return 0.0, float(np.percentile(inside, 98)) if inside.size else 1.0
