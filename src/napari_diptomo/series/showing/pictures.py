"""The image that stands for an object: maps at zero tilt, the middle slice of a volume, HAADF or summed counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_diptomo.series.channel_colours import colours
from napari_diptomo.series.data import MapSeries, SpectralTiltSeries, Volume
from napari_diptomo.series.errors import InputError

Axis = Literal['z', 'y', 'x']
#: Bytes that may be read for a picture nobody asked for.
_MOST_READ = 64 * 2**20
_GREY = '#ffffff'
_AXES = ('z', 'y', 'x')


@dataclass(frozen=True, eq=False)
class Picture:
    """Images of one view, one per channel.

    Attributes
    ----------
    images : ndarray (channel, row, column)
        As in the files: what was transposed on loading is swapped back.
    names : tuple of str
        One per channel.
    hues : tuple of str
        ``'#rrggbb'``, one per channel.
    pixel : float
        nm.
    view : str
        What is seen, in words: ``'counts at 0°'``.
    """

    images: np.ndarray
    names: tuple[str, ...]
    hues: tuple[str, ...]
    pixel: float
    view: str


def of_maps(maps: MapSeries, tilt: float | None = None, channels: Sequence[str] | None = None) -> Picture:
    """Maps at one tilt.

    Parameters
    ----------
    maps : MapSeries
        Windows are shown as they are, in grey.
    tilt : float, optional
        Degrees, the nearest one is taken; default: the least tilted.
    channels : sequence of str, optional
        Default: all.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        No such channel, or no number.
    """
    place = nearest(maps.angles, tilt)
    names = maps.channels if maps.mixing is None else tuple(f'window {w + 1}' for w in range(len(maps.data)))
    index, names = _chosen(names, channels)
    hues = tuple(colours(names).values()) if maps.mixing is None else (_GREY,) * len(names)
    if 'images' in maps.notes:
        hues = (_GREY,) * len(names)
    images = _swapped(maps.data[index, place], maps.transposed)
    values = 'intensities' if 'images' in maps.notes else 'counts'
    return Picture(images, names, hues, maps.pixel_size, f'{values} at {maps.angles[place]:g}°')


def of_volume(
    volume: Volume, index: int | None = None, axis: Axis = 'z', channels: Sequence[str] | None = None
) -> Picture:
    """A slice of a volume.

    Parameters
    ----------
    volume : Volume
    index : int, optional
        Voxel along the axis, counted from 0; default: the middle.
    axis : {'z', 'y', 'x'}
        Across the slice.
    channels : sequence of str, optional
        Default: all.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        No such channel, axis or slice.
    """
    if axis not in _AXES:
        raise InputError(f'A volume has no axis {axis!r}; choose "z", "y" or "x".')
    which, names = _chosen(volume.channels, channels)
    data = _swapped(volume.data, volume.transposed)
    count = data.shape[1 + _AXES.index(axis)]
    place = count // 2 if index is None else index
    if not isinstance(place, int | np.integer) or not -count <= place < count:
        raise InputError(f'There is no slice {index!r} along {axis}; give a whole number from 0 to {count - 1}.')
    place %= count
    images = np.take(data, place, 1 + _AXES.index(axis))[which]
    view = f'counts per voxel of path, slice {place} of {count} along {axis}'
    return Picture(images, names, tuple(colours(names).values()), volume.voxel_size, view)


def of_spectra(series: SpectralTiltSeries, tilt: float | None = None, *, cheap: bool = False) -> Picture | None:
    """HAADF of one tilt, or its counts summed over energy.

    Parameters
    ----------
    series : SpectralTiltSeries
        Of lazy counts one tilt is read.
    tilt : float, optional
        Degrees, the nearest one is taken; default: the least tilted.
    cheap : bool
        Read no more than some megabytes.

    Returns
    -------
    Picture or None
        None where it would not be cheap.
    """
    place = nearest(series.angles, tilt)
    at = f'at {series.angles[place]:g}°'
    if series.haadf is not None:
        image, name = series.haadf[place], 'HAADF'
    elif cheap and bytes_read(series.counts, place) > _MOST_READ:
        return None
    else:
        image, name = np.asarray(series.counts[place].sum(-1)), 'all counts'
    return Picture(_swapped(image[None], series.transposed), (name,), (_GREY,), series.pixel_size, at)


def bytes_read(counts: Any, tilt: int) -> float:
    """Bytes that reading one tilt takes: of lazy counts the whole chunks that it lies in.

    Parameters
    ----------
    counts : dask or numpy array (tilt, y, x, energy)
    tilt : int
        Its number.

    Returns
    -------
    float
        0 for counts in memory.
    """
    if isinstance(counts, np.ndarray):
        return 0.0
    ends = np.cumsum(counts.chunks[0])
    together = counts.chunks[0][int(np.searchsorted(ends, tilt, side='right'))]
    return float(together) * float(np.prod(counts.shape[1:])) * counts.dtype.itemsize


def nearest(angles: np.ndarray, tilt: float | None) -> int:
    """The number of the tilt nearest to an angle.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.
    tilt : float, optional
        Degrees; default 0.

    Returns
    -------
    int

    Raises
    ------
    InputError
        It is no number.
    """
    try:
        wanted = 0.0 if tilt is None else float(tilt)
    except (TypeError, ValueError):
        wanted = float('nan')
    if not np.isfinite(wanted):
        raise InputError(f'{tilt!r} is no tilt angle; give degrees, or nothing for the least tilted.')
    return int(np.argmin(np.abs(angles - wanted)))


def _chosen(names: tuple[str, ...], wanted: Sequence[str] | None) -> tuple[list[int], tuple[str, ...]]:
    if wanted is None:
        return list(range(len(names))), names
    chosen = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    missing = [name for name in chosen if name not in names]
    if missing or not chosen:
        which = missing[0] if missing else 'without a name'
        raise InputError(f'There is no channel {which}; choose among {", ".join(names)}.')
    return [names.index(name) for name in chosen], chosen


def _swapped(images: np.ndarray, transposed: bool) -> np.ndarray:
    return np.swapaxes(images, -1, -2) if transposed else images
