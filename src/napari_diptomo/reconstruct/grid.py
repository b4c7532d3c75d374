"""The grid that is solved on, and what no method can reconstruct; known before torch is loaded."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.array_checks import check_degrees

#: Pixels of one series over those of the other beyond which they are not fitted together.
_PIXELS = 8.0
#: Pixels along an edge of an image below which it does not show how the specimen lies.
_ROWS = 4


def check_maps(maps: MapSeries) -> None:
    """Refuse what no method can reconstruct, in one sentence."""
    if not isinstance(maps, MapSeries):
        raise InputError('A reconstruction needs a series of maps; extract the maps from the spectra first.')
    if len(np.unique(maps.angles)) < 2:
        raise InputError('There is one tilt only; a volume needs images from at least two tilt angles.')
    check_degrees(maps.angles)
    for name, channel in zip(maps.channels, maps.data, strict=False):
        if not (channel > 0).any():
            raise InputError(f'The maps of {name} are all zero; leave this channel out.')
    _check_shifts(maps)


def check_alike(first: MapSeries, second: MapSeries) -> None:
    """Refuse a second series of other channels, or whose maps were made otherwise.

    Parameters
    ----------
    first, second : MapSeries

    Raises
    ------
    InputError
        They cannot be fitted together.
    """
    if second.channels != first.channels:
        raise InputError(
            f'The maps of the second axis have the channels {", ".join(second.channels)} and those of the first '
            f'{", ".join(first.channels)}; extract the same ones from both.'
        )
    one, other = (np.zeros(0) if maps.mixing is None else maps.mixing for maps in (first, second))
    if not np.array_equal(one, other):
        raise InputError('The windows of the two axes differ; extract the maps of both with the same settings.')
    if (second.variance is None) != (first.variance is None) or second.held_out_share != first.held_out_share:
        raise InputError(
            'The maps of the two axes were extracted differently (counts or fitted, held-out fraction); extract both with '
            'the same settings.'
        )
    for maps, which in ((first, 'first'), (second, 'second')):
        rows, columns = maps.data.shape[2:]
        if min(rows, columns) < _ROWS:
            raise InputError(
                f'The images of the {which} axis have {columns} x {rows} pixels (x, y); images of two axes share no more than a '
                f'line there, and {_ROWS} pixels along each edge are needed.'
            )
    ratio = second.pixel_size / first.pixel_size
    if not 1 / _PIXELS <= ratio <= _PIXELS:
        raise InputError(
            f'The pixels of the two axes differ too much ({first.pixel_size:.4g} and {second.pixel_size:.4g} nm); check both sizes, '
            'or bin the images with the finer ones.'
        )


def _check_shifts(maps: MapSeries) -> None:
    ny, nx = maps.data.shape[2:]
    shifts = _offsets(maps)
    for t in np.flatnonzero((np.abs(shifts) >= (ny, nx)).any(axis=1)):
        y, x = shifts[t]
        raise InputError(
            f'The image at {maps.angles[t]:g}° is shifted by {y:.4g} pixels along y and {x:.4g} along x, which is more '
            f'than its {ny} x {nx} pixels (y, x), so it shows nothing of the volume; correct the shift, or leave this tilt out.'
        )


def _offsets(maps: MapSeries) -> np.ndarray:
    """How far the middle of the volume sits from that of each image, (tilt, 2), pixels (y, x)."""
    offsets = np.array(maps.shifts, float)
    offsets[:, 1] += maps.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
    return offsets


def volume_shape(maps: MapSeries, thickness: float | None, beyond_field: bool) -> tuple[int, int, int]:
    """Shape (z, y, x) that is solved for."""
    _, _, ny, nu = maps.data.shape
    nz = nu if thickness is None else max(round(thickness / maps.pixel_size), 1)
    nx = lamella_width(nu, nz, maps.angles, _offsets(maps)[:, 1]) if beyond_field else nu
    return nz, ny, nx


def lamella_width(columns: int, depth: int, angles: np.ndarray, offsets: np.ndarray | float = 0.0) -> int:
    """Voxels along x that some ray of a specimen wider than the image passes.

    ``offsets`` (tilt,) is how far the specimen's middle sits from that of each image, pixels along x.
    """
    t = np.deg2rad(np.asarray(angles, float))
    half = (columns / 2 + np.abs(offsets) + depth / 2 * np.sin(np.abs(t))) / np.maximum(np.cos(t), 0.2)
    return columns + 2 * int(np.ceil(half.max() - columns / 2))
