"""Arithmetic of compositions and oxidation states: pooled counts, fractions of a sum, and their errors.

Formulas: Cliff-Lorimer fractions and their errors (`fractions`).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

#: Full width at half maximum of a Gaussian over its sigma.
FWHM = 2.3548


def pooled(volume: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean over (z, y, x), ``sigma`` in voxels; (..., z, y, x) in float64."""
    volume = np.asarray(volume, np.float64)
    if sigma == 0:
        return volume
    return gaussian_filter(volume, (0,) * (volume.ndim - 3) + (sigma,) * 3, mode='nearest')


def pooled_voxels(sigma: float) -> float:
    """Voxels that a Gaussian mean averages over: one over the sum of its squared weights."""
    if sigma == 0:
        return 1.0
    width = 2 * int(4 * sigma + 0.5) + 3
    line = np.zeros(width)
    line[width // 2] = 1.0
    return float((gaussian_filter(line, sigma) ** 2).sum() ** -3)


def counting_error(counts: np.ndarray, photons_per_count: float) -> np.ndarray:
    """Standard deviation of pooled counts per tilt if every photon were known to come from its voxel.

    Parameters
    ----------
    counts : ndarray
        Pooled counts per tilt.
    photons_per_count : float
        Tilts times pooled voxels: so many photons make one pooled count.

    Returns
    -------
    ndarray like counts
        That of one photon where there are fewer.
    """
    return np.sqrt(np.maximum(counts * photons_per_count, 1.0)) / photons_per_count


def pooled_count_errors(
    data: np.ndarray, std: np.ndarray | None, gain: np.ndarray, tilts: int, sigma: float
) -> tuple[np.ndarray, str]:
    """Standard deviations of the pooled counts times a gain, and in words where they come from.

    Parameters
    ----------
    data : ndarray (channel, z, y, x)
        Counts per tilt.
    std : ndarray like data, optional
        Spread of the reconstruction; without it counting statistics of the tilts are taken.
    gain : ndarray
        Broadcastable to data.
    tilts : int
        Of the series.
    sigma : float
        Width of the Gaussian that pools, voxels.

    Returns
    -------
    errors : ndarray like data
    words : str
    """
    if std is not None:
        # Errors of a reconstruction are alike over the width of its resolution:
        # pooling as if they were independent would promise too much.
        return pooled(std * gain, sigma), 'spread of the volume, taken as common to the pooled voxels'
    errors = counting_error(pooled(data, sigma), tilts * pooled_voxels(sigma)) * gain
    return errors, f'counting statistics of {tilts} tilts alone: a lower bound, the volume has no spread'


def fractions(parts: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of the sum of the channels, and their errors to first order.

    Parameters
    ----------
    parts, errors : ndarray (channel, ...)
        Independent between the channels.

    Returns
    -------
    fractions, errors : ndarray (channel, ...)
        Zero where the sum is not positive.
    """
    total = parts.sum(axis=0)
    good = total > 0
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=good)
    shares = parts * inverse
    variance = errors**2
    spread = (1 - 2 * shares) * variance + shares**2 * variance.sum(axis=0)
    return shares, np.sqrt(np.maximum(spread, 0)) * inverse


def typical(total: np.ndarray) -> float:
    """Mean of the positive values, each weighted by itself: the typical value where there is matter."""
    positive = np.maximum(total, 0)
    return float((positive**2).sum() / max(float(positive.sum()), 1e-300))
