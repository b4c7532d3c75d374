"""The standard deviation of an ensemble as napari layers, hidden until asked for."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import Volume
from napari_diptomo.widgets import layers as as_layers
from napari_diptomo.widgets.layers import KEY, LayerTuple

#: Unlike any element's colour, and as even to the eye as the values are.
COLORMAP = 'inferno'


def spread_name(channel: str) -> str:
    """``'Ge ± std'``."""
    return f'{channel} ± std'


def spread_layers(volume: Volume) -> list[LayerTuple]:
    """One hidden 3-D layer (z, y, x) per channel, counts per voxel; none where the volume has no spread."""
    if volume.std is None:
        return []
    data = np.swapaxes(volume.std, -1, -2) if volume.transposed else volume.std
    return [
        (
            np.ascontiguousarray(data[index]),
            {
                **as_layers.volume_grid(data.shape[1], volume.voxel_size),
                'name': spread_name(name),
                'colormap': COLORMAP,
                'blending': 'additive',
                'rendering': 'mip',
                'visible': False,
                'contrast_limits': as_layers.contrast_limits(data[index]),
                'metadata': {KEY: as_layers.volume_record(volume, index) | {'kind': 'spread'}},
            },
            'image',
        )
        for index, name in enumerate(volume.channels)
    ]
