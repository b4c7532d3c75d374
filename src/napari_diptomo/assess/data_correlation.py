"""Agreement of a volume with its data, and how high it can be.

The Pearson correlation between the projections of a volume and the noisy maps
cannot reach 1: noise is in the maps. How high it can be follows from the
counts alone. Each count is put into one of two halves by the toss of a coin;
the halves are then independent (binomial thinning of a Poisson variable).
From their correlation r the reliability of the whole is 2r / (1 + r)
(Spearman and Brown, 1910), and the correlation of the whole with the noiseless
truth its square root. The ceiling is an estimate with a scatter of its own, and
a good volume lies at it: only a fit that exceeds it by several standard errors
has begun to fit noise (`ceiling_excess`).

Formulas: ceiling of the correlation with noisy data (`count_ceiling`).
"""

from __future__ import annotations

import numpy as np

from napari_diptomo.assess._arrays import same_shape
from napari_diptomo.series.counts import thin
from napari_diptomo.series.errors import InputError


def projection_correlation(maps: np.ndarray, projections: np.ndarray) -> np.ndarray:
    """Pearson correlation of each channel over all its tilts and pixels.

    Parameters
    ----------
    maps, projections : ndarray (channel, tilt, y, x)
        Measured maps, and projections of the volume on the same pixels.

    Returns
    -------
    ndarray (channel,)
        Between -1 and 1; 0 where a channel is constant.

    Raises
    ------
    InputError
        The shapes differ.
    """
    same_shape('set of maps', np.shape(maps), 'projections', np.shape(projections))
    a, b = _centred(maps), _centred(projections)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), norm, out=np.zeros(len(a)), where=norm > 0)


def half_ceiling(half_a: np.ndarray, half_b: np.ndarray) -> np.ndarray:
    """Ceiling of the correlation with the maps, from two independent halves of the data.

    Parameters
    ----------
    half_a, half_b : ndarray (channel, tilt, y, x)
        Maps of each half; fitted maps are fitted once for each half.

    Returns
    -------
    ndarray (channel,)
        Correlation that the noiseless truth itself would reach with the maps of
        both halves together, sqrt(2r / (1 + r)) for halves that correlate by r
        (Spearman and Brown, 1910); 0 where they do not.
    """
    r = np.clip(projection_correlation(half_a, half_b), 0, 1)
    return np.sqrt(2 * r / (1 + r))


def count_ceiling(counts: np.ndarray, seed: int = 0) -> np.ndarray:
    """Ceiling of the correlation with count maps, from their binomial halves.

    Parameters
    ----------
    counts : ndarray (channel, tilt, y, x)
        Whole, non-negative counts, neither filtered nor interpolated.
    seed : int
        Of the coin.

    Returns
    -------
    ndarray (channel,)
        See `half_ceiling`.

    Raises
    ------
    InputError
        These are not counts.
    """
    counts = np.asarray(counts)
    if not ((counts >= 0) & (counts == np.round(counts))).all():
        raise InputError(
            'Only whole counts can be halved; for fitted maps fit each half of the spectra and use `half_ceiling`.'
        )
    whole = counts.astype(np.int64)
    half = thin(whole, 0.5, np.random.default_rng(seed))
    return half_ceiling(half, whole - half)


def ceiling_excess(
    counts: np.ndarray, projections: np.ndarray, seen: np.ndarray | None = None, halvings: int = 8, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of projections with count maps less its ceiling, and the standard error of this difference.

    Parameters
    ----------
    counts, projections : ndarray (channel, tilt, y, x)
        Whole counts, and projections of the volume on the same pixels.
    seen : ndarray of bool (tilt, y, x), optional
        The pixels that are compared; default: all.
    halvings : int
        Divisions of the counts into halves that the ceiling is the mean of.
    seed : int
        Of the halvings.

    Returns
    -------
    excess, error : ndarray (channel,)
        The error is that of a jackknife over the tilts, and of the mean over the halvings.
    """
    same_shape('set of maps', np.shape(counts), 'projections', np.shape(projections))
    weight = np.ones(np.shape(counts)[1:]) if seen is None else np.asarray(seen, float)
    whole = np.asarray(counts).astype(np.int64)
    rng = np.random.default_rng(seed)
    fitted = _left_out(_sums(whole, projections, weight))
    ceilings = []
    for _ in range(halvings):
        half = thin(whole, 0.5, rng)
        r = np.clip(_left_out(_sums(half, whole - half, weight)), 0, 1)
        ceilings.append(np.sqrt(2 * r / (1 + r)))
    excess = fitted - np.mean(ceilings, axis=0)
    tilts = len(weight)
    spread = excess[:, 1:] - excess[:, 1:].mean(axis=1, keepdims=True)
    variance = (tilts - 1) / tilts * (spread**2).sum(axis=1)
    coin = np.array(ceilings)[:, :, 0].var(axis=0) / max(halvings - 1, 1)
    return excess[:, 0], np.sqrt(variance + coin)


def _sums(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sums for a correlation, (sum, channel, tilt)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    ones = np.ones_like(a)
    return np.array([(part * weight).sum(axis=(2, 3)) for part in (ones, a, b, a * a, b * b, a * b)])


def _left_out(sums: np.ndarray) -> np.ndarray:
    """Correlation from all tilts, and without each of them in turn, (channel, 1 + tilt)."""
    total = sums.sum(axis=2, keepdims=True)
    n, a, b, aa, bb, ab = np.concatenate([total, total - sums], axis=2)
    n = np.maximum(n, 1)
    norm = np.sqrt(np.maximum(aa - a * a / n, 0) * np.maximum(bb - b * b / n, 0))
    return np.divide(ab - a * b / n, norm, out=np.zeros_like(norm), where=norm > 0)


def _centred(maps: np.ndarray) -> np.ndarray:
    flat = np.asarray(maps, dtype=np.float64).reshape(len(maps), -1)
    return flat - flat.mean(axis=1, keepdims=True)
