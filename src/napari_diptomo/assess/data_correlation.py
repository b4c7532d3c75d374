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

The correlation r itself scatters with the noise of the maps. With the projections b held, it is a function of the sums of
a, a^2 and a b over the pixels, and to first order

    var r = sum_i var(alpha a_i + beta a_i^2 + gamma a_i b_i),

alpha, beta and gamma being the derivatives of r by these sums: moments of a_i up to the fourth, which counts and normal
deviates have in closed form.

`ceiling_excess` compares with the ceiling that all tosses of the coin give together: halves of counts of mean m and
variance v have the covariance (v - m) / 4 and the variance (v + m) / 4, so that the ceiling is sqrt(1 - m / v), without the
scatter of the coin. Of few counts this root is skew and its mean too low, while r^2 - (1 - m / v) is nearly linear in the
sums: its standard error is taken in the same way, and divided by r + ceiling it is that of the difference itself.

Formulas: ceiling of the correlation with noisy data (`count_ceiling`); standard error of a correlation (`correlation_error`).
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


def correlation_error(projections: np.ndarray, expected: np.ndarray, variance: np.ndarray | None = None) -> np.ndarray:
    """Standard error of `projection_correlation` from the noise of the maps, the projections held.

    Parameters
    ----------
    projections : ndarray (channel, ...)
        Of the volume.
    expected : ndarray (channel, ...)
        What the maps are without noise; of a good volume the projections, in the unit of the maps.
    variance : ndarray (channel, ...), optional
        Of normal noise; default: the maps are counts, and ``expected`` is in counts.

    Returns
    -------
    ndarray (channel,)
        0 where a channel is constant. A volume that is fitted anew follows the noise: its correlation scatters less.

    Raises
    ------
    InputError
        The shapes differ.
    """
    same_shape('set of projections', np.shape(projections), 'expected maps', np.shape(expected))
    b, m = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (projections, expected))
    if variance is None:
        m = np.maximum(m, 0)
        second, with_square, of_square = _moments_of_counts(m)
    else:
        second = np.asarray(variance, np.float64).reshape(len(b), -1)
        with_square, of_square = 2 * m * second, 4 * m**2 * second + 2 * second**2
    n = b.shape[1]
    mean_a, mean_b = m.mean(axis=1, keepdims=True), b.mean(axis=1, keepdims=True)
    spread_a = (second + m**2).sum(axis=1, keepdims=True) - n * mean_a**2
    spread_b = (b**2).sum(axis=1, keepdims=True) - n * mean_b**2
    norm = np.sqrt(np.maximum(spread_a * spread_b, 0))
    safe, safe_a = np.where(norm > 0, norm, 1.0), np.where(spread_a > 0, spread_a, 1.0)
    r = ((m * b).sum(axis=1, keepdims=True) - n * mean_a * mean_b) / safe
    linear = (b - mean_b) / safe + r * mean_a / safe_a
    square = -r / (2 * safe_a)
    variance = _variance_of_sum(linear, square, second, with_square, of_square)
    return np.where(norm[:, 0] > 0, np.sqrt(variance), 0.0)


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
    counts: np.ndarray, projections: np.ndarray, seen: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of projections with count maps less its ceiling, and the standard error of this difference.

    Parameters
    ----------
    counts, projections : ndarray (channel, tilt, y, x)
        Whole counts, and projections of the volume on the same pixels, in any unit.
    seen : ndarray of bool (tilt, y, x), optional
        The pixels that are compared; default: all.

    Returns
    -------
    excess, error : ndarray (channel,)
        Both 0 where a channel is constant. The error is that of counts that scatter about the projections.

    Raises
    ------
    InputError
        The shapes differ.
    """
    same_shape('set of maps', np.shape(counts), 'projections', np.shape(projections))
    shown = np.ones(np.shape(counts)[1:], bool) if seen is None else np.asarray(seen, bool)
    a, b = (np.asarray(values, np.float64)[:, shown] for values in (counts, projections))
    mean = a.mean(axis=1)
    spread = a.var(axis=1, ddof=1) if a.shape[1] > 1 else np.zeros(len(a))
    ceiling = np.sqrt(np.clip(1 - np.divide(mean, spread, out=np.ones(len(a)), where=spread > 0), 0, 1))
    fitted = projection_correlation(a, b)
    together = np.abs(fitted) + ceiling
    error = np.divide(_error_of_squares(mean, b), together, out=np.zeros(len(a)), where=together > 0)
    return np.where(together > 0, fitted - ceiling, 0.0), error


def _error_of_squares(mean: np.ndarray, projections: np.ndarray) -> np.ndarray:
    """Standard error, (channel,), of the squared correlation less the squared ceiling; see the module.

    Parameters
    ----------
    mean : ndarray (channel,)
        Counts of a pixel.
    projections : ndarray (channel, pixel)
        Proportional to what is expected of it.
    """
    b = np.maximum(projections, 0)
    level = b.mean(axis=1)
    rate = b * np.divide(mean, level, out=np.zeros(len(b)), where=level > 0)[:, None]
    mean_a, mean_b = rate.mean(axis=1, keepdims=True), b.mean(axis=1, keepdims=True)
    spread_a = mean_a + rate.var(axis=1, keepdims=True)
    spread_b = b.var(axis=1, keepdims=True)
    determined = (spread_a > 0) & (spread_b > 0)
    spread_a, spread_b = np.where(determined, spread_a, 1), np.where(determined, spread_b, 1)
    covariance = (rate * b).mean(axis=1, keepdims=True) - mean_a * mean_b
    by_spread = -((covariance / spread_a) ** 2) / spread_b - mean_a / spread_a**2
    linear = 2 * covariance * (b - mean_b) / (spread_a * spread_b) - 2 * mean_a * by_spread + 1 / spread_a
    variance = _variance_of_sum(linear, by_spread, *_moments_of_counts(rate)) / rate.shape[1] ** 2
    return np.where(determined[:, 0], np.sqrt(variance), 0.0)


def _moments_of_counts(rate: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance of Poisson counts a, covariance of a and a^2, variance of a^2."""
    return rate, rate + 2 * rate**2, rate + 6 * rate**2 + 4 * rate**3


def _variance_of_sum(
    linear: np.ndarray, square: np.ndarray, second: np.ndarray, with_square: np.ndarray, of_square: np.ndarray
) -> np.ndarray:
    """Variance, (channel,), of the sum of linear a + square a^2 over the pixels, of the moments of `_moments_of_counts`."""
    each = linear**2 * second + 2 * linear * square * with_square + square**2 * of_square
    return np.maximum(each.sum(axis=1), 0)


def _centred(maps: np.ndarray) -> np.ndarray:
    flat = np.asarray(maps, dtype=np.float64).reshape(len(maps), -1)
    return flat - flat.mean(axis=1, keepdims=True)
