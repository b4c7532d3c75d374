"""Maps and volumes as napari layers: pure functions without a window.

napari takes the units of all layers of a viewer together or not at all, so a
tilt series of maps is a 4-D layer (tilt, z, y, x) with one z plane and the
units (deg, nm, nm, nm): beside a volume in nm it keeps the scale bar in nm
and the slider says "tilt".
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from napari_diptomo.jobs.colours import colours, opacity
from napari_diptomo.series import MapSeries, Recipe, SpectralTiltSeries, Volume

LayerTuple = tuple[Any, dict[str, Any], str]

#: Key of our entry in ``layer.metadata``.
KEY = 'diptomo'

#: What lies in front dims what is behind: a plain maximum of several elements is white all over.
RENDERING, ATTENUATION = 'attenuated_mip', 0.15
#: Above one: the haze around and between particles fades, and nothing is cut off.
GAMMA = 1.3

_SAMPLE = 200_000


class Provenance(TypedDict, total=False):
    """The record of a layer of ours in ``layer.metadata['diptomo']``."""

    kind: str
    channel: str
    channels: tuple[str, ...]
    index: int
    angles: list[float]
    source: list[str]
    recipe: str
    transposed: bool
    notes: dict[str, Any]
    scores: dict[str, list[float]]
    findings: list[dict[str, Any]]
    run: int
    dropped: bool
    maps: MapSeries


def contrast_limits(data: np.ndarray, high: float = 99.9) -> tuple[float, float]:
    """From nothing to a high percentile, so that a few hot pixels do not set the limits.

    Fitted counts scatter about zero; what is below is noise and stays black.
    Where nothing stands out the limits leave room: an even volume is half bright.

    Parameters
    ----------
    data : ndarray
        Values; large arrays are sampled.
    high : float
        Percentile.
    """
    sample = _sample(data)
    if sample.size == 0:
        return 0.0, 1.0
    middle, top = levels(data, high)
    # The first iterates are even all over; at their own level they would be white.
    top = max(top, 2 * middle)
    if top <= 0:
        top = max(float(sample.max()), 1e-6)
    return 0.0, top


def levels(data: np.ndarray, high: float = 99.9) -> tuple[float, float]:
    """Median and a high percentile; 0 where nothing is finite. Large arrays are sampled."""
    sample = _sample(data)
    if sample.size == 0:
        return 0.0, 0.0
    middle, top = np.percentile(sample, (50, high))
    return float(middle), float(top)


def _sample(data: np.ndarray) -> np.ndarray:
    step = max(1, data.size // _SAMPLE)
    # Stepping through the flat order with an even stride would visit the same
    # few columns of an even-sized image again and again.
    sample = np.asarray(data).reshape(-1)[:: step | 1]
    return sample[np.isfinite(sample)]


def tilt_axis(angles: np.ndarray) -> tuple[float, float]:
    """Scale and offset in degrees of a tilt axis; the mean step where the tilts are not even."""
    if len(angles) < 2:
        return 1.0, float(angles[0])
    step = float(angles[-1] - angles[0]) / (len(angles) - 1)
    return (step if step > 0 else 1.0), float(angles[0])


def map_layers(maps: MapSeries, colour: dict[str, str] | None = None) -> list[LayerTuple]:
    """One additive 4-D layer (tilt, z, y, x) per channel.

    A series recorded with the tilt axis along x is shown as it was recorded,
    window counts as the element maps that they stand for.
    """
    colour = colour or colours(maps.channels)
    data = maps.unmixed().data
    if maps.transposed:
        data = np.swapaxes(data, -1, -2)
    return [
        (
            data[index][:, None],
            {
                **tilted(maps.angles, maps.pixel_size),
                'name': f'{name} maps',
                'colormap': colormap(name, colour[name]),
                'blending': 'additive',
                'opacity': opacity(colour.values()),
                'contrast_limits': contrast_limits(data[index]),
                'metadata': {
                    KEY: Provenance(
                        kind='maps',
                        channel=name,
                        channels=maps.channels,
                        index=index,
                        angles=[float(a) for a in maps.angles],
                        transposed=maps.transposed,
                        recipe=as_json(maps.recipe),
                        findings=[finding.to_dict() for finding in maps.findings],
                    )
                },
            },
            'image',
        )
        for index, name in enumerate(maps.channels)
    ]


def sum_layer(
    counts: Any,
    angles: np.ndarray,
    pixel_size: float,
    source: list[str],
    transposed: bool = False,
    limits: tuple[float, float] | None = None,
) -> LayerTuple:
    """All counts of every pixel (tilt, y, x), lazy or not, as one grey 4-D layer that knows its files."""
    if transposed:
        counts = counts.swapaxes(-1, -2)
    name = Path(source[0]).stem if len(source) == 1 else Path(source[0]).parent.name
    return (
        counts[:, None],
        {
            **tilted(angles, pixel_size),
            'name': f'{name or "series"} (all counts)',
            'colormap': 'gray',
            'blending': 'additive',
            'contrast_limits': limits or contrast_limits(np.asarray(counts)),
            'metadata': {KEY: Provenance(kind='series', source=source, angles=[float(a) for a in angles])},
        },
        'image',
    )


def counts_layer(series: SpectralTiltSeries, image: np.ndarray) -> LayerTuple:
    """All counts (tilt, y, x) of a series that the dock has opened."""
    source = list(series.recipe.source.paths) if series.recipe is not None else []
    layer = sum_layer(image, series.angles, series.pixel_size, source or ['sample'], series.transposed)
    if series.energy_unit == 'eV':
        layer[1]['name'] = layer[1]['name'].replace('all counts', 'energy-loss counts')
    return layer


def volume_layers(volume: Volume, method: str = '', colour: dict[str, str] | None = None) -> list[LayerTuple]:
    """One additive 3-D layer (z, y, x) per channel, with the run's record in its metadata.

    A volume of a series with the tilt axis along x is shown as it was
    recorded, y and x swapped back.
    """
    colour = colour or colours(volume.channels)
    data = np.swapaxes(volume.data, -1, -2) if volume.transposed else volume.data
    method = method or method_of(volume.recipe)
    return [
        (
            np.ascontiguousarray(data[index]),
            {
                **volume_grid(data.shape[1], volume.voxel_size),
                'name': layer_name(name, method),
                'colormap': colormap(name, colour[name]),
                'blending': 'additive',
                'opacity': opacity(colour.values()),
                'rendering': RENDERING,
                'attenuation': ATTENUATION,
                'gamma': GAMMA,
                'contrast_limits': contrast_limits(data[index]),
                'metadata': {KEY: volume_record(volume, index)},
            },
            'image',
        )
        for index, name in enumerate(volume.channels)
    ]


def volume_record(volume: Volume, index: int) -> Provenance:
    """The record of the layer of one channel of a volume."""
    return Provenance(
        kind='volume',
        channel=volume.channels[index],
        channels=volume.channels,
        index=index,
        transposed=volume.transposed,
        recipe=as_json(volume.recipe),
        notes=dict(volume.notes),
        scores={name: list(curve) for name, curve in volume.scores.items()},
        findings=[finding.to_dict() for finding in volume.findings],
    )


def volume_grid(depth: int, voxel_size: float) -> dict[str, Any]:
    """Scale, offset, units and axis names of a volume centred on z = 0, where the maps lie."""
    return {
        'scale': (voxel_size,) * 3,
        'translate': (-(depth - 1) / 2 * voxel_size, 0.0, 0.0),
        'units': ('nm', 'nm', 'nm'),
        'axis_labels': ('z', 'y', 'x'),
    }


def of_kind(layers: Iterable[Any], kind: str) -> list[Any]:
    """Those of these layers that show a volume (z, y, x) of this kind."""
    return [layer for layer in layers if layer.ndim == 3 and layer.metadata.get(KEY, {}).get('kind') == kind]


def layer_name(channel: str, method: str) -> str:
    """``'Ge (DIPm-TV)'``."""
    return f'{channel} ({method})' if method else channel


def method_of(recipe: Recipe | None) -> str:
    """The title of the last step, which made the result."""
    return recipe.steps[-1].title if recipe is not None and recipe.steps else ''


def as_json(recipe: Recipe | None) -> str:
    """The recipe as text, empty where there is none."""
    return recipe.to_json() if recipe is not None else ''


def colormap(name: str, hue: str) -> Any:
    """From black to the element's colour."""
    from napari.utils import Colormap

    return Colormap(colors=['#000000', hue], name=f'{name} {hue}')


def tilted(angles: np.ndarray, pixel_size: float) -> dict[str, Any]:
    """Scale, offset, units and axis names of a layer (tilt, z, y, x)."""
    step, first = tilt_axis(angles)
    return {
        'scale': (step, pixel_size, pixel_size, pixel_size),
        'translate': (first, 0.0, 0.0, 0.0),
        'units': ('deg', 'nm', 'nm', 'nm'),
        'axis_labels': ('tilt', 'z', 'y', 'x'),
    }
