"""Series, maps and volumes of HyperSpy signals, class by class: the way back of `to_hyperspy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_diptomo.series.data import Volume
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.stored_axes import length_in_nm
from napari_diptomo.series.reading.tilt_series import load_tilt_series

_HOLDS = {'SpectralTiltSeries': 'spectra', 'MapSeries': 'maps', 'Volume': 'a volume'}
#: Voxel sizes along two axes that differ by less are one.
_ALIKE = 1e-3


def from_hyperspy(kind: type, signal: Any, **reading: Any) -> Any:
    """An object of a class, made of a signal.

    Parameters
    ----------
    kind : type
        `SpectralTiltSeries`, `MapSeries` or `Volume`.
    signal : hyperspy.signals.BaseSignal, or a list of them
    **reading : Any
        As `load_tilt_series` takes them.

    Returns
    -------
    SpectralTiltSeries, MapSeries or Volume
        Lazy counts stay lazy.

    Raises
    ------
    InputError
        It holds something else.
    """
    listed = signal if isinstance(signal, list | tuple) else [signal]
    if not listed or not all(hyperspy_adapter.is_signal(one) for one in listed):
        given = type(listed[0]).__name__ if listed else 'nothing'
        raise InputError(f'from_hyperspy takes a HyperSpy signal, not {given}; for files there is load_tilt_series.')
    if issubclass(kind, Volume):
        if reading or len(listed) > 1:
            raise InputError('A volume is made of one signal with the axes (z, channel | x, y), and of nothing else.')
        return _volume(listed[0])
    found = load_tilt_series(signal, **reading)
    if not isinstance(found, kind):
        holds = _HOLDS[type(found).__name__]
        raise InputError(f'This signal holds {holds}; use {type(found).__name__}.from_hyperspy.')
    return found


def _volume(signal: Any) -> Volume:
    described = hyperspy_adapter.describe(signal, 'volume')
    names = [axis.name for axis in described.axes]
    if names[-3:] != ['z', 'y', 'x'] or names[:-3] not in ([], ['channel']) or described.spectral:
        shown = ', '.join(name or '?' for name in names)
        raise InputError(
            f'A volume needs the axes channel, z, y, x in the order of the array, not {shown}; name them so.'
        )
    sizes = [length_in_nm(abs(axis.scale), axis.units) for axis in described.axes[-3:]]
    known = [size for size in sizes if size is not None]
    if len(known) < 3 or max(known) - min(known) > _ALIKE * max(known):
        raise InputError('The voxels of this signal are not cubes of a known size; give z, y and x one scale in nm.')
    data = np.asarray(described.content)
    data = data[None] if len(names) == 3 else data
    channels = tuple(described.title.split(', '))
    if len(channels) != len(data) or len(set(channels)) != len(channels):
        channels = tuple(f'channel {number}' for number in range(1, len(data) + 1))
    return Volume(data, channels, voxel_size=known[0], recipe=None)
