"""Layers for the reader and the samples, and results from layers for the writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_diptomo.series import Finding, InputError, MapSeries, Recipe, SpectralTiltSeries, Volume
from napari_diptomo.widgets.layers.image_layers import (
    KEY,
    LayerTuple,
    Provenance,
    contrast_limits,
    map_layers,
    sum_layer,
)

FullLayerData = tuple[Any, dict[str, Any], str]

#: Lengths in nm by the names that microscopes write.
_NM = {
    'nm': 1.0,
    'µm': 1e3,
    'μm': 1e3,
    'um': 1e3,
    'micrometer': 1e3,
    'nanometer': 1.0,
    'Å': 0.1,
    'A': 0.1,
    'angstrom': 0.1,
}


def dropped_maps(maps: MapSeries, source: Sequence[str]) -> list[LayerTuple]:
    """Maps that came by the reader: the dock takes them over, without loss, from the metadata."""
    made = map_layers(maps)
    for _, kwargs, _ in made:
        kwargs['metadata'][KEY].update(dropped=True, source=list(source), maps=maps)
    return made


def dropped_counts(series: SpectralTiltSeries, source: Sequence[str]) -> LayerTuple:
    """All counts of a tilt series that came by the reader, summed over energy tilt by tilt as they are looked at."""
    image = series.counts.sum(-1)
    middle = np.asarray(image[len(series.angles) // 2])
    data, kwargs, kind = sum_layer(
        image, series.angles, series.pixel_size, list(source), series.transposed, limits=contrast_limits(middle)
    )
    kwargs['metadata'][KEY]['dropped'] = True
    return data, kwargs, kind


def picture(
    data: np.ndarray, axes: Sequence[tuple[float, float, str]], name: str, path: str, spectral: bool
) -> LayerTuple:
    """One image of a file, with its calibration where there is one.

    Parameters
    ----------
    data : ndarray
        Any number of axes; spectra are summed already.
    axes : sequence of (scale, offset, unit)
        One per axis.
    spectral : bool
        It is one tilt of a series of spectra, which the dock may take over.
    """
    nm = [_NM[unit] for _, _, unit in axes[-2:] if unit in _NM]
    kwargs: dict[str, Any] = {'name': name, 'contrast_limits': contrast_limits(data)}
    if len(nm) == len(axes[-2:]):
        scale = [axis[0] * factor for axis, factor in zip(axes[-2:], nm, strict=True)]
        # Units are all or nothing in a viewer, so further axes count as lengths too.
        kwargs['scale'] = (*[scale[-1]] * (data.ndim - 2), *scale)
        kwargs['units'] = ('nm',) * data.ndim
    kwargs['metadata'] = {KEY: Provenance(kind='series' if spectral else 'picture', source=[path], dropped=spectral)}
    return data, kwargs, 'image'


def gather(layer_data: Sequence[FullLayerData]) -> MapSeries | Volume:
    """The volume or the series of maps that these layers are the channels of.

    Raises
    ------
    InputError
        The layers do not belong together.
    """
    if not layer_data:
        raise InputError('There is nothing to save; select the image layers of a volume.')
    shapes = {tuple(np.shape(data)) for data, _, _ in layer_data}
    if len(shapes) > 1:
        raise InputError('The layers have different shapes; select those of one volume only.')
    ndim = len(shapes.pop())
    if ndim not in (3, 4):
        raise InputError(f'A volume has 3 axes and a series of maps 4, these layers have {ndim}; select others.')
    first = layer_data[0][1]
    record = first.get('metadata', {}).get(KEY, {})
    data = np.stack([np.asarray(values) for values, _, _ in layer_data])
    names = tuple(meta.get('metadata', {}).get(KEY, {}).get('channel') or meta['name'] for _, meta, _ in layer_data)
    transposed = bool(record.get('transposed'))
    if transposed:
        data = np.swapaxes(data, -1, -2)
    recipe = Recipe.from_json(record['recipe'], embedded=True) if record.get('recipe') else None
    findings = tuple(Finding.from_dict(values) for values in record.get('findings', ()))
    if ndim == 4:
        return replace(_maps(data, names, first, record, transposed, recipe), findings=findings)
    return Volume(
        data,
        names,
        voxel_size=_pixel_size(first),
        scores=record.get('scores', {}),
        notes=record.get('notes', {}),
        transposed=transposed,
        recipe=recipe,
        findings=findings,
    )


def _maps(
    data: np.ndarray,
    names: tuple[str, ...],
    meta: dict[str, Any],
    record: dict[str, Any],
    transposed: bool,
    recipe: Recipe | None,
) -> MapSeries:
    if data.shape[2] != 1:
        raise InputError('Only maps (tilt, 1, y, x) can be saved from 4-D layers; select those of the Maps stage.')
    angles = record.get('angles')
    if angles is None:
        angles = meta['translate'][0] + meta['scale'][0] * np.arange(data.shape[1])
    return MapSeries(data[:, :, 0], angles, names, _pixel_size(meta), transposed=transposed, recipe=recipe)


def _pixel_size(meta: dict[str, Any]) -> float:
    scale = np.abs(np.asarray(meta.get('scale', (1.0, 1.0)), float))[-2:]
    unit = str(list(meta.get('units') or ['nm'])[-1])
    return float(scale[-1] * _NM.get(unit, 1.0))
