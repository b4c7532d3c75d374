"""Numbers behind a composition: pooling, counting errors, fractions with theirs. Arrays only."""

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


def fractions(amounts: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the sum of the channels, and their errors to first order.

    Parameters
    ----------
    amounts, errors : ndarray (channel, ...)
        Independent between the channels.

    Returns
    -------
    fractions, errors : ndarray (channel, ...)
        Zero where the sum is not positive.
    """
    total = amounts.sum(axis=0)
    good = total > 0
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=good)
    shares = amounts * inverse
    variance = errors**2
    spread = (1 - 2 * shares) * variance + shares**2 * variance.sum(axis=0)
    return shares, np.sqrt(np.maximum(spread, 0)) * inverse


def usual(total: np.ndarray) -> float:
    """Mean of the positive values, each weighted by itself: what is usual where something is."""
    positive = np.maximum(total, 0)
    return float((positive**2).sum() / max(float(positive.sum()), 1e-300))
