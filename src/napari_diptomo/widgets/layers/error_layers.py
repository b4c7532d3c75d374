"""Standard deviations and fit residuals as napari layers that are hidden at first."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.image_layers import KEY, LayerTuple, Provenance

#: Unlike any element's colour, and as even to the eye as the values are.
COLORMAP = 'inferno'
RESIDUAL = 'fit residual'


def residual_layers(maps: MapSeries) -> list[LayerTuple]:
    """One hidden 4-D layer (tilt, z, y, x): deviance per pixel, 1 where the fit explains it; none without a residual."""
    if maps.residual is None:
        return []
    # Twice what noise makes expect is half bright: an even image must not look like a finding.
    top = max(2.0, float(np.percentile(maps.residual, 99.9)))
    return [hidden_layer(maps, maps.residual, RESIDUAL, 'residual', (0.0, top))]


def deviation_layers(maps: MapSeries) -> list[LayerTuple]:
    """One hidden 4-D layer per channel with the standard deviation in counts; none without a variance."""
    if maps.variance is None or maps.mixing is not None:
        return []
    layers = []
    for name, variance in zip(maps.channels, maps.variance, strict=True):
        deviation = np.sqrt(variance)
        layers.append(
            hidden_layer(
                maps, deviation, f'{spread_name(name)} maps', 'map spread', image_layers.contrast_limits(deviation)
            )
        )
    return layers


def hidden_layer(maps: MapSeries, data: np.ndarray, name: str, kind: str, limits: tuple[float, float]) -> LayerTuple:
    """Images (tilt, y, x) of a series of maps as a 4-D layer that is out of sight at first."""
    shown = np.swapaxes(data, -1, -2) if maps.transposed else data
    step, first = image_layers.tilt_axis(maps.angles)
    return (
        shown[:, None],
        {
            'name': name,
            'scale': (step, maps.pixel_size, maps.pixel_size, maps.pixel_size),
            'translate': (first, 0.0, 0.0, 0.0),
            'units': ('deg', 'nm', 'nm', 'nm'),
            'axis_labels': ('tilt', 'z', 'y', 'x'),
            'colormap': COLORMAP,
            'blending': 'additive',
            'visible': False,
            'contrast_limits': limits,
            'metadata': {
                KEY: Provenance(
                    kind=kind,
                    channels=maps.channels,
                    angles=[float(a) for a in maps.angles],
                    transposed=maps.transposed,
                    recipe=image_layers.as_json(maps.recipe),
                )
            },
        },
        'image',
    )


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
                **image_layers.volume_grid(data.shape[1], volume.voxel_size),
                'name': spread_name(name),
                'colormap': COLORMAP,
                'blending': 'additive',
                'rendering': 'mip',
                'visible': False,
                'contrast_limits': image_layers.contrast_limits(data[index]),
                'metadata': {KEY: image_layers.volume_record(volume, index) | {'kind': 'spread'}},
            },
            'image',
        )
        for index, name in enumerate(volume.channels)
    ]
