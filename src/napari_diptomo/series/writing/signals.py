"""Series, maps and volumes as signals of HyperSpy, with calibrated axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_diptomo.series.data import MapSeries, SpectralTiltSeries, Volume
from napari_diptomo.series.reading import hyperspy_adapter

#: Steps of an axis that differ by less than this share of them are even.
_EVEN = 1e-6


def to_signal(obj: SpectralTiltSeries | MapSeries | Volume) -> Any:
    """A HyperSpy signal of spectra (x, y, tilt | energy), maps (tilt, channel | x, y) or a volume (z, channel | x, y).

    Parameters
    ----------
    obj : SpectralTiltSeries, MapSeries or Volume
        Lazy counts stay lazy; arrays are shared, not copied.

    Returns
    -------
    hyperspy.signals.BaseSignal
        The axes in nm, degrees and keV or eV.
    """
    if isinstance(obj, SpectralTiltSeries):
        return _of_spectra(obj)
    channel = {'name': 'channel', 'size': len(obj.data), 'navigate': True}
    if isinstance(obj, MapSeries):
        size, outer = obj.pixel_size, _tilts(obj.angles)
    else:
        size, outer = obj.voxel_size, {**_length('z', obj.data.shape[1], obj.voxel_size), 'navigate': True}
    y, x = obj.data.shape[2:]
    axes = [channel, outer, _length('y', y, size), _length('x', x, size)]
    # Windows are no channels.
    names = obj.channels if len(obj.channels) == len(obj.data) else ()
    return hyperspy_adapter.make_signal(obj.data, axes, ', '.join(names), {}, '')


def _of_spectra(series: SpectralTiltSeries) -> Any:
    _, y, x, _ = series.counts.shape
    axes = [
        _tilts(series.angles),
        *({**_length(name, size, series.pixel_size), 'navigate': True} for name, size in (('y', y), ('x', x))),
        {**_values('Energy' if series.energy_unit == 'keV' else 'Energy loss', series.energy, series.energy_unit)},
    ]
    known = series.metadata
    detector = {
        'energy_resolution_MnKa': known.get('energy_resolution_MnKa'),
        'elevation_angle': known.get('elevation'),
        'azimuth_angle': known.get('azimuth'),
        'live_time': known.get('live_time'),
        'real_time': known.get('real_time'),
    }
    eels = series.energy_unit == 'eV'
    microscope: dict[str, Any] = {
        'beam_energy': known.get('beam_energy'),
        'convergence_angle': known.get('convergence_angle'),
        'Detector': {'EELS': _known({'collection_angle': known.get('collection_angle')})}
        if eels
        else {'EDS': _known(detector)},
    }
    metadata: dict[str, Any] = {'Acquisition_instrument': {'TEM': _known(microscope)}}
    if known.get('elements'):
        metadata['Sample'] = {'elements': list(known['elements'])}
    title = str(known.get('title') or 'tilt series')
    return hyperspy_adapter.make_signal(series.counts, axes, title, metadata, 'EELS' if eels else 'EDS_TEM')


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _tilts(angles: np.ndarray) -> dict[str, Any]:
    return {**_values('tilt', angles, 'deg'), 'navigate': True}


def _values(name: str, values: np.ndarray, units: str) -> dict[str, Any]:
    """An axis of even steps where they are even, else of the values themselves."""
    steps = np.diff(values)
    axis = {'name': name, 'units': units, 'navigate': False}
    if not len(steps) or (steps[0] and np.abs(steps - steps.mean()).max() <= _EVEN * abs(steps.mean())):
        scale = float(values[-1] - values[0]) / len(steps) if len(steps) else 1.0
        return {**axis, 'size': len(values), 'offset': float(values[0]), 'scale': scale}
    if (steps > 0).all():
        return {**axis, 'axis': np.asarray(values, float)}
    return {**axis, 'size': len(values), 'units': ''}


def _length(name: str, size: int, scale: float) -> dict[str, Any]:
    return {'name': name, 'size': size, 'scale': float(scale), 'units': 'nm', 'navigate': False}
