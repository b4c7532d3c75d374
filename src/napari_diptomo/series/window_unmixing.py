r"""Element maps from window counts, pixel by pixel.

Windows count the photons of several families,

    E y[w] = gain[w] sum_c mixing[w, c] n[c] + background[w],

and weighted least squares takes them apart at every pixel of every tilt:

    n = (M^T D M)^-1 M^T D (y - b),    M = gain * mixing,   D = diag(1 / var y).

The variance of a window is that which its neighbours tell, the pixel's own
count left out, so the maps are linear in the counts that they show and
unbiased however few these are. They are for looking, for the alignment and
for comparisons: a reconstruction takes the windows themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.neighbour_mean import neighbours

if TYPE_CHECKING:
    from napari_diptomo.series.data import MapSeries

#: A window's variance is floored at this share of its mean over the tilt: an empty place is not known exactly.
_LEAST_VARIANCE = 0.05


def unmixed(maps: MapSeries) -> MapSeries:
    """Maps (channel, tilt, y, x) of a mixed series in counts of whole families; see `MapSeries.unmixed`."""
    if maps.mixing is None:
        return maps
    if np.linalg.matrix_rank(maps.mixing) < len(maps.channels):
        raise InputError(
            f'{len(maps.data)} windows with this mixing cannot tell {", ".join(maps.channels)} apart; '
            'give more windows, or leave an element out.'
        )
    shape = (len(maps.channels), *maps.data.shape[1:])
    data, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    held_out = None if maps.held_out is None else np.empty(shape, np.float32)
    background = np.zeros_like(maps.data) if maps.background is None else maps.background
    # One tilt at a time: the matrices of all pixels are many times larger than the maps.
    for t in range(shape[1]):
        operator, variance[:, t] = _weighted(maps, t)
        data[:, t] = np.einsum('yxcw,wyx->cyx', operator, maps.data[:, t] - background[:, t])
        if held_out is not None and maps.held_out is not None:
            held = maps.held_out[:, t] - maps.held_out_share * background[:, t]
            held_out[:, t] = np.einsum('yxcw,wyx->cyx', operator, held)
    # What one window lacks, no channel is known without.
    missing = None if maps.missing is None else np.broadcast_to(maps.missing.any(axis=0), shape)
    parts: dict[str, Any] = {'data': data, 'variance': variance, 'held_out': held_out, 'missing': missing}
    return replace(maps, mixing=None, background=None, gain=None, **parts)


def _weighted(maps: MapSeries, t: int) -> tuple[np.ndarray, np.ndarray]:
    """The operator (y, x, channel, window) of a tilt, and the variance (channel, y, x) of its maps."""
    assert maps.mixing is not None
    mixing = maps.mixing.astype(float)
    if maps.gain is not None:
        mixing = mixing * maps.gain[:, t, None]
    known = maps.data[:, t] if maps.variance is None else maps.variance[:, t]
    variance = neighbours(known) if maps.variance is None else known.astype(float)
    level = np.abs(known).mean(axis=(1, 2), keepdims=True)
    # A window without a count in the whole tilt is as uncertain as the others are.
    level = np.where(level > 0, level, max(float(level.mean()), 1e-12))
    weights = np.moveaxis(1 / np.maximum(variance, _LEAST_VARIANCE * level), 0, -1)
    weighted = mixing.T * weights[:, :, None, :]
    covariance = np.linalg.inv(weighted @ mixing)
    return covariance @ weighted, np.moveaxis(np.diagonal(covariance, axis1=-2, axis2=-1), -1, 0)
