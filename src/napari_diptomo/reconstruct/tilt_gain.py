r"""The gain of each tilt, from the mass that all tilts share.

Every tilt shows the same matter: as long as the whole specimen lies in every
image, the sum of A_t x over the image is the sum of x, whatever t is. Total
counts that differ by more than counting noise are then due to the dose, the
beam current or a detector in the shadow of the holder:

    g_t ~ sum over channels and pixels of (y_t - b_t),   geometric mean of g: 1

Along the tilt axis only the part of the specimen is summed that all shifted
images show. One gain per tilt, common to all channels.

Formulas: gain of each tilt from its total (`fitted_gain`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_diptomo.reconstruct.field_edges import edges_of
from napari_diptomo.series import InputError, MapSeries


def fitted_gain(maps: MapSeries) -> np.ndarray:
    """Gain of each tilt relative to that in the maps, geometric mean 1; ndarray (tilt,).

    Raises
    ------
    InputError
        The specimen extends beyond the images in most tilts, no row is in all of them, or a tilt holds no counts.
    """
    signal = maps.data.astype(np.float64)
    if maps.background is not None:
        signal = signal - maps.background
    if maps.gain is not None:
        signal = signal / np.maximum(maps.gain, 1e-12)[:, :, None, None]
    _check_in_field(maps)
    mass = _common_rows(signal.sum(axis=(0, 3)), np.asarray(maps.shifts)[:, 0])
    if not (mass > 0).all():
        worst = float(maps.angles[int(mass.argmin())])
        raise InputError(f'The tilt at {worst:g}° holds no counts to fit a gain to; leave this tilt out.')
    return mass / np.exp(np.log(mass).mean())


def with_fitted_gain(maps: MapSeries) -> MapSeries:
    """The same maps with their gain times the fitted one."""
    known = np.ones(maps.data.shape[:2], np.float32) if maps.gain is None else maps.gain
    return replace(maps, gain=known * fitted_gain(maps)[None])


def _common_rows(rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Sums over the rows that are in all images, (tilt,); from the sums of each row, (tilt, y), and shifts along y."""
    ny = rows.shape[1]
    # Row y of the volume falls on row y + shift: edges of rows are at whole numbers here.
    low, high = max(0.0, float(-shifts.min())), min(float(ny), float(ny - shifts.max()))
    if high - low < 1:
        raise InputError('No row is in all of the shifted images; do without the fitted gain.')
    edges = np.arange(ny + 1)
    sums = np.concatenate([np.zeros((len(rows), 1)), rows.cumsum(axis=1)], axis=1)
    return np.array(
        [
            np.interp(high + s, edges, total) - np.interp(low + s, edges, total)
            for s, total in zip(shifts, sums, strict=True)
        ]
    )


def _check_in_field(maps: MapSeries) -> None:
    if edges_of(maps).typical:
        raise InputError(
            'The specimen extends beyond the images, so the total counts of the tilts need not agree; '
            'do without the fitted gain.'
        )
