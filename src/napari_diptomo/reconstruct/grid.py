"""The grid that is solved on, and what no method can reconstruct; known before torch is loaded."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.array_checks import check_degrees


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


def _check_shifts(maps: MapSeries) -> None:
    ny, nx = maps.data.shape[2:]
    shifts = _offsets(maps)
    for t in np.flatnonzero((np.abs(shifts) >= (ny, nx)).any(axis=1)):
        y, x = shifts[t]
        raise InputError(
            f'The image at {maps.angles[t]:g} deg is shifted by {y:.4g} pixels along y and {x:.4g} along x, which is more '
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
