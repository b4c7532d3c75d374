"""What maps tell of their own doubt, as napari layers: standard deviations and what the fit leaves unexplained."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import MapSeries
from napari_diptomo.widgets import layers as as_layers
from napari_diptomo.widgets.layers import KEY, LayerTuple, Provenance
from napari_diptomo.widgets.spread_layers import COLORMAP, spread_name

RESIDUAL = 'left by the fit'


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
                maps, deviation, f'{spread_name(name)} maps', 'map spread', as_layers.contrast_limits(deviation)
            )
        )
    return layers


def hidden_layer(maps: MapSeries, data: np.ndarray, name: str, kind: str, limits: tuple[float, float]) -> LayerTuple:
    """Images (tilt, y, x) of a series of maps as a 4-D layer that is out of sight at first."""
    shown = np.swapaxes(data, -1, -2) if maps.transposed else data
    step, first = as_layers.tilt_axis(maps.angles)
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
                    recipe=as_layers.as_json(maps.recipe),
                )
            },
        },
        'image',
    )
