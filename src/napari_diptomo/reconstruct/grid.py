"""The grid that is solved on, and what no method can reconstruct; known before torch is loaded."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import InputError, MapSeries


def check_maps(maps: MapSeries) -> None:
    """Refuse what no method can reconstruct, in one sentence."""
    if not isinstance(maps, MapSeries):
        raise InputError('A reconstruction needs a series of maps; extract the maps from the spectra first.')
    if len(np.unique(maps.angles)) < 2:
        raise InputError('There is one tilt only; a volume needs images from at least two tilt angles.')
    for name, channel in zip(maps.channels, maps.data, strict=False):
        if not (channel > 0).any():
            raise InputError(f'The maps of {name} are all zero; leave this channel out.')


def volume_shape(maps: MapSeries, thickness: float | None, beyond_field: bool) -> tuple[int, int, int]:
    """Shape (z, y, x) that is solved for."""
    _, _, ny, nu = maps.data.shape
    nz = nu if thickness is None else max(round(thickness / maps.pixel_size), 1)
    nx = lamella_width(nu, nz, maps.angles) if beyond_field else nu
    return nz, ny, nx


def lamella_width(columns: int, depth: int, angles: np.ndarray) -> int:
    """Voxels along x that some ray of a specimen wider than the image passes."""
    steepest = np.deg2rad(np.abs(angles).max())
    half = (columns / 2 + depth / 2 * np.sin(steepest)) / max(np.cos(steepest), 0.2)
    return columns + 2 * int(np.ceil(half - columns / 2))
