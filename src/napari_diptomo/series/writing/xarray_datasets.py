"""Series, maps and volumes as datasets of xarray: named axes in nm, degrees and keV or eV."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_diptomo.series import findings
from napari_diptomo.series.data import MapSeries, SpectralTiltSeries, Volume
from napari_diptomo.series.errors import InputError


def to_dataset(obj: SpectralTiltSeries | MapSeries | Volume) -> Any:
    """A dataset with the counts and what belongs to them.

    Parameters
    ----------
    obj : SpectralTiltSeries, MapSeries or Volume
        Lazy counts stay lazy; arrays are shared, not copied.

    Returns
    -------
    xarray.Dataset
        ``counts`` (tilt, y, x, energy), (channel, tilt, y, x) or (channel, z, y, x), and where there are such:
        ``haadf``, ``variance``, ``held_out``, ``missing``, ``shift_y`` and ``shift_x`` (pixels), ``std``. Windows have an
        axis of their own, and ``mixing`` (window, channel). The attributes hold recipe and findings as JSON.

    Raises
    ------
    InputError
        There is no xarray here.
    """
    try:
        import xarray
    except ImportError:
        raise InputError(
            'to_xarray needs xarray, which is not installed; run: pip install "napari-diptomo[xarray]".'
        ) from None
    if isinstance(obj, SpectralTiltSeries):
        arrays, coordinates = _of_spectra(obj)
    elif isinstance(obj, MapSeries):
        arrays, coordinates = _of_maps(obj)
    else:
        arrays, coordinates = _of_volume(obj)
    kept = {name: (axes, values) for name, (axes, values) in arrays.items() if values is not None}
    attributes = {'findings': findings.to_json(obj.findings), 'transposed': int(obj.transposed)}
    if obj.recipe is not None:
        attributes['recipe'] = obj.recipe.to_json()
    dataset = xarray.Dataset(kept, coordinates, attributes)
    dataset['counts'].attrs['long_name'] = 'counts per voxel of path' if isinstance(obj, Volume) else 'counts'
    return dataset


def _of_spectra(series: SpectralTiltSeries) -> tuple[dict[str, Any], dict[str, Any]]:
    images = ('tilt', 'y', 'x')
    _, y, x, _ = series.counts.shape
    arrays = {'counts': ((*images, 'energy'), series.counts), 'haadf': (images, series.haadf)}
    energy = ('energy', series.energy, {'units': series.energy_unit})
    return arrays, {'tilt': _tilt(series.angles), **_lengths({'y': y, 'x': x}, series.pixel_size), 'energy': energy}


def _of_maps(maps: MapSeries) -> tuple[dict[str, Any], dict[str, Any]]:
    first = 'channel' if maps.mixing is None else 'window'
    axes, images = (first, 'tilt', 'y', 'x'), ('tilt', 'y', 'x')
    assert maps.shifts is not None
    arrays = {
        'counts': (axes, maps.data),
        **{name: (axes, getattr(maps, name)) for name in ('variance', 'held_out', 'background', 'missing')},
        'haadf': (images, maps.haadf),
        'gain': ((first, 'tilt'), maps.gain),
        'mixing': (('window', 'channel'), maps.mixing),
        'shift_y': (('tilt',), maps.shifts[:, 0]),
        'shift_x': (('tilt',), maps.shifts[:, 1]),
    }
    y, x = maps.data.shape[2:]
    lengths = _lengths({'y': y, 'x': x}, maps.pixel_size)
    return arrays, {'channel': list(maps.channels), 'tilt': _tilt(maps.angles), **lengths}


def _of_volume(volume: Volume) -> tuple[dict[str, Any], dict[str, Any]]:
    axes = ('channel', 'z', 'y', 'x')
    lengths = dict(zip(axes[1:], volume.data.shape[1:], strict=True))
    arrays = {'counts': (axes, volume.data), 'std': (axes, volume.std)}
    return arrays, {'channel': list(volume.channels), **_lengths(lengths, volume.voxel_size)}


def _tilt(angles: np.ndarray) -> tuple[str, np.ndarray, dict[str, str]]:
    return 'tilt', angles, {'units': 'deg'}


def _lengths(sizes: dict[str, int], scale: float) -> dict[str, Any]:
    return {name: (name, scale * np.arange(size), {'units': 'nm'}) for name, size in sizes.items()}
