"""Maps and volumes as ``.hspy``: the format that keeps everything.

The data have calibrated axes, as any HyperSpy opens them; the rest is beside them as
`napari_diptomo.series.reading.saved` says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import findings
from napari_diptomo.series.data import MapSeries, Volume
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.saved import FORMAT, KEY, swapped

_MAP_ARRAYS: tuple[str, ...] = (
    'angles',
    'shifts',
    'variance',
    'held_out',
    'background',
    'mixing',
    'gain',
    'residual',
    'haadf',
    'missing',
)
_MAP_VALUES: tuple[str, ...] = (
    'channels',
    'pixel_size',
    'axis_shift',
    'axis_rotation',
    'held_out_share',
    'transposed',
    'notes',
)
_HAADF_ARRAYS: tuple[str, ...] = ('images', 'angles', 'shifts', 'missing')
_HAADF_VALUES: tuple[str, ...] = ('pixel_size', 'axis_shift', 'axis_rotation', 'angle_source', 'notes')
_VOLUME_ARRAYS: tuple[str, ...] = ('std',)
_VOLUME_VALUES: tuple[str, ...] = ('channels', 'voxel_size', 'scores', 'transposed', 'notes')


def write_hspy(obj: MapSeries | Volume, path: Path) -> None:
    """Write a map series or a volume; an earlier file is overwritten."""
    if isinstance(obj, MapSeries):
        kind, names, values = 'map series', _MAP_ARRAYS, _MAP_VALUES
        axes = _map_axes(obj)
        swap = False
    else:
        kind, names, values = 'volume', _VOLUME_ARRAYS, _VOLUME_VALUES
        swap = obj.transposed
        axes = _volume_axes(swapped(obj.data, swap).shape, obj.voxel_size)
    arrays = {name: swapped(getattr(obj, name), swap) for name in names if getattr(obj, name) is not None}
    metadata = {'format': FORMAT, 'kind': kind, 'arrays': arrays, **_described(obj, values)}
    if isinstance(obj, MapSeries):
        metadata |= _beside(obj)
    hyperspy_adapter.write(path, swapped(obj.data, swap), axes, ', '.join(obj.channels), {KEY: metadata})


def _described(obj: MapSeries | Volume, values: tuple[str, ...]) -> dict[str, str]:
    """Values, recipe and findings as JSON."""
    return {
        'values': json.dumps({name: getattr(obj, name) for name in values}, default=_jsonable),
        'recipe': json.dumps(None if obj.recipe is None else obj.recipe.to_dict()),
        'findings': findings.to_json(obj.findings),
    }


def _beside(maps: MapSeries) -> dict[str, Any]:
    """Other series of the specimen, beside the arrays of the maps: older versions pass them over."""
    found: dict[str, Any] = {}
    if maps.haadf_series is not None:
        found['haadf_series'] = _haadf(maps.haadf_series)
    if maps.reinsertion is not None:
        found['reinsertion'] = json.dumps(asdict(maps.reinsertion))
    if maps.second_axis is not None:
        second = maps.second_axis
        arrays = {name: getattr(second, name) for name in _MAP_ARRAYS if getattr(second, name) is not None}
        found['second_axis'] = {
            'arrays': {'data': second.data, **arrays},
            **_described(second, _MAP_VALUES),
            **_beside(second),
        }
    return found


def _haadf(haadf: HAADFSeries) -> dict[str, Any]:
    return {
        'arrays': {name: getattr(haadf, name) for name in _HAADF_ARRAYS if getattr(haadf, name) is not None},
        'values': json.dumps({name: getattr(haadf, name) for name in _HAADF_VALUES}, default=_jsonable),
        'findings': findings.to_json(haadf.findings),
    }


def array_bytes(obj: MapSeries | Volume) -> int:
    """Bytes of all arrays; compressed they take less."""
    names = _MAP_ARRAYS if isinstance(obj, MapSeries) else _VOLUME_ARRAYS
    arrays = [getattr(obj, name) for name in ('data', *names)]
    if isinstance(obj, MapSeries) and obj.haadf_series is not None:
        arrays += [getattr(obj.haadf_series, name) for name in _HAADF_ARRAYS]
    own = sum(int(array.nbytes) for array in arrays if array is not None)
    return own + (array_bytes(obj.second_axis) if isinstance(obj, MapSeries) and obj.second_axis is not None else 0)


def _map_axes(maps: MapSeries) -> list[dict[str, Any]]:
    channels, tilts, y, x = maps.data.shape
    tilt: dict[str, Any] = {'name': 'tilt', 'units': 'deg', 'navigate': True}
    if tilts > 1 and (np.diff(maps.angles) > 0).all():
        tilt |= {'axis': maps.angles}
    else:
        # An axis of positions must rise; the angles themselves are kept among the arrays.
        tilt |= {'size': tilts, 'units': ''}
    return [
        {'name': 'channel', 'size': channels, 'navigate': True},
        tilt,
        _length_axis('y', y, maps.pixel_size),
        _length_axis('x', x, maps.pixel_size),
    ]


def _volume_axes(shape: tuple[int, ...], voxel_size: float) -> list[dict[str, Any]]:
    return [
        {'name': 'channel', 'size': shape[0], 'navigate': True},
        {**_length_axis('z', shape[1], voxel_size), 'navigate': True},
        _length_axis('y', shape[2], voxel_size),
        _length_axis('x', shape[3], voxel_size),
    ]


def _length_axis(name: str, size: int, scale: float) -> dict[str, Any]:
    return {'name': name, 'size': size, 'scale': float(scale), 'units': 'nm', 'navigate': False}


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise InputError(f'A note of the kind {type(value).__name__} cannot be saved; keep notes to text and numbers.')
