r"""Element maps from window counts, pixel by pixel.

Windows count the photons of several families,

    E y[w] = gain[w] sum_c mixing[w, c] n[c] + background[w],

and weighted least squares takes them apart at every pixel of every tilt:

    n = (M^T D M)^-1 M^T D (y - b),    M = gain * mixing,   D = diag(1 / var y).

The variance of a window is estimated from its neighbours, the pixel's own
count left out, so the maps are linear in the counts that they show and
unbiased however few these are. They are for visualisation, for the alignment
and for comparisons: a reconstruction takes the windows themselves.

Formulas: element maps from window counts (`unmixed_windows`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.series.neighbour_mean import neighbours

#: A window's variance is floored at this share of its mean over the tilt: an empty pixel is not known exactly.
_LEAST_VARIANCE = 0.05


@dataclass(frozen=True, eq=False)
class UnmixedWindows:
    """Counts of whole families.

    Attributes
    ----------
    data, variance : ndarray (channel, tilt, y, x), float32
        Weighted least squares, and its variance.
    held_out : ndarray like data, optional
        The held-out part, unmixed with the same weights.
    """

    data: np.ndarray
    variance: np.ndarray
    held_out: np.ndarray | None


def unmixed_windows(
    windows: np.ndarray,
    mixing: np.ndarray,
    *,
    background: np.ndarray | None = None,
    gain: np.ndarray | None = None,
    variance: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    held_out_share: float = 0.0,
) -> UnmixedWindows:
    """Maps of the channels from counts in windows.

    Parameters
    ----------
    windows : ndarray (window, tilt, y, x)
        Counts.
    mixing : ndarray (window, channel)
        Of full column rank.
    background : ndarray like windows, optional
        Counts that are of no channel.
    gain : ndarray (window, tilt), optional
        Relative detection efficiency.
    variance : ndarray like windows, optional
        Of windows that are no plain counts.
    held_out : ndarray like windows, optional
        The part of ``windows`` that was set aside.
    held_out_share : float
        Fraction of the counts that was set aside.

    Returns
    -------
    UnmixedWindows
    """
    shape = (mixing.shape[1], *windows.shape[1:])
    data, spread = np.empty(shape, np.float32), np.empty(shape, np.float32)
    apart = None if held_out is None else np.empty(shape, np.float32)
    background = np.zeros_like(windows) if background is None else background
    # One tilt at a time: the matrices of all pixels are many times larger than the maps.
    for t in range(shape[1]):
        scaled = mixing.astype(float)
        if gain is not None:
            scaled = scaled * gain[:, t, None]
        operator, spread[:, t] = _least_squares(
            scaled, windows[:, t] if variance is None else variance[:, t], variance is None
        )
        data[:, t] = np.einsum('yxcw,wyx->cyx', operator, windows[:, t] - background[:, t])
        if apart is not None and held_out is not None:
            apart[:, t] = np.einsum('yxcw,wyx->cyx', operator, held_out[:, t] - held_out_share * background[:, t])
    return UnmixedWindows(data, spread, apart)


def _least_squares(mixing: np.ndarray, known: np.ndarray, are_counts: bool) -> tuple[np.ndarray, np.ndarray]:
    """The operator (y, x, channel, window) of a tilt, and the variance (channel, y, x) of its maps.

    ``known`` (window, y, x) are counts, or the variances of windows that are no counts.
    """
    variance = neighbours(known) if are_counts else known.astype(float)
    level = np.abs(known).mean(axis=(1, 2), keepdims=True)
    # A window without a count in the whole tilt is as uncertain as the others are.
    level = np.where(level > 0, level, max(float(level.mean()), 1e-12))
    weights = np.moveaxis(1 / np.maximum(variance, _LEAST_VARIANCE * level), 0, -1)
    weighted = mixing.T * weights[:, :, None, :]
    covariance = np.linalg.inv(weighted @ mixing)
    return covariance @ weighted, np.moveaxis(np.diagonal(covariance, axis1=-2, axis2=-1), -1, 0)
