r"""HAADF intensity per count of each channel, and the damping of thick paths, from common tilts.

Where maps y_c and images h show the same tilt,

    h_t = o_t + D( sum_c w_c E y_c ),    D(p) = (1 - exp(-k p)) / k,

is a regression with noise in the y_c, which pulls its slopes towards zero. The variance of the noise is known, so that it is
taken out of the normal equations (Fuller, Measurement Error Models, 1987, ch. 1); both sides are smoothed before, as the
images may be displaced by a fraction of a pixel. What the counts do not separate, a rare channel from the others say, stays
near Z^gamma. An intensity per count may be quite another (light elements have few counts per atom, the name of a channel need
not be that of an element). Where the prior leaves more than twice the residual that there is without it, the prior of a channel
whose ratio to Z^gamma is z standard deviations off the mean, in its logarithm, counts 1 / (1 + z^2) (Cauchy's weight). Always
so it loses channels that look alike: of eight elements of a measured series oxygen, sulphur and nickel were worth nothing.

Formulas: intensity per count of each channel (`intensity_per_count`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import nnls

from napari_diptomo.series.elements import atomic_number

#: Smoothing before the regression of the weights, and in two stages before that of the damping, pixels.
_SMOOTH, _BEFORE, _SMOOTHER = 1.5, 1.0, 2.0
#: How far ratios of the weights may be from their start (one deviation); damping times thickest path, likewise from
#: none, and at most.
_SPREAD, _DAMPED, _MOST_DAMPED = 0.5, 0.2, 1.0
_ROUNDS = 3
#: Residual with the prior over that without from which it is wrong; solutions with one that gives way, each with what the one before
#: asks for; the least ratio to the mean that counts as one there: a channel that was thrown out must be able to return.
_WRONG, _SOLUTIONS, _LEAST_RATIO = 2.0, 6, 0.5
#: Slope of damped images at no intensity over that of a straight line, at most: with the largest damping it is about 2.
_STEEP = 5.0
#: Exponent of the atomic number that the weights begin with; that of channels that are no elements.
GAMMA, _UNKNOWN = 1.7, 30


@dataclass(frozen=True)
class Intensity:
    """Intensity of the images per count of the maps.

    Attributes
    ----------
    weights : ndarray (channel,)
        Not negative.
    errors : ndarray (channel,)
        Standard deviations.
    damping : float
        k, per unit of intensity.
    """

    weights: np.ndarray
    errors: np.ndarray
    damping: float


def powers_of_atomic_numbers(channels: Sequence[str]) -> np.ndarray:
    """Z^gamma of each channel (channel,); of those that are no elements that of a medium one."""
    return np.array([float(atomic_number(channel) or _UNKNOWN) ** GAMMA for channel in channels])


def intensity_per_count(
    counts: np.ndarray, variance: np.ndarray, images: np.ndarray, start: np.ndarray, used: np.ndarray | None = None
) -> Intensity:
    """Weights of the channels and damping, from tilts that maps and images share.

    Parameters
    ----------
    counts, variance : ndarray (channel, tilt, y, x)
        Maps and the variance of their noise.
    images : ndarray (tilt, y, x)
        Of the same tilts, with an unknown offset each.
    start : ndarray (channel,)
        Weights to within a common factor, as Z^gamma.
    used : ndarray of bool (tilt, y, x), optional
        Pixels to compare.

    Returns
    -------
    Intensity
        In the unit of the images over that of the counts.
    """
    counts, variance, images = (np.asarray(a, np.float64) for a in (counts, variance, images))
    inside = np.ones(images.shape, bool) if used is None else np.asarray(used, bool)
    weights, errors = _weights(counts, variance, images, start, inside)
    damping = 0.0
    for _ in range(_ROUNDS):
        scale, damping = _damping(counts, variance, weights, images, inside)
        p = scale * np.tensordot(weights, counts, 1)
        offsets = _means(_smooth(images, _SMOOTHER) - _smooth(damped(p, damping), _SMOOTHER), inside)
        weights, errors = _weights(counts, variance, _undamped(images - offsets, damping), start, inside)
    return Intensity(weights, errors, damping)


def damped(p: np.ndarray, k: float) -> np.ndarray:
    """D of the module's formula."""
    return p if k <= 0 else -np.expm1(-k * p) / k


def _undamped(d: np.ndarray, k: float) -> np.ndarray:
    return d if k <= 0 else -np.log(np.clip(1 - k * d, 0.05, None)) / k


def _smooth(a: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(a, (0,) * (a.ndim - 2) + (sigma, sigma)))


def _left_noise(sigma: float) -> float:
    """Variance that smoothing leaves of white noise."""
    size = 2 * int(6 * sigma) + 1
    kernel = np.zeros((size, size))
    kernel[size // 2, size // 2] = 1
    return float((_smooth(kernel, sigma) ** 2).sum())


def _means(a: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean of each image over the pixels used, (..., tilt, 1, 1)."""
    return (a * inside).sum((-2, -1), keepdims=True) / np.maximum(inside.sum((-2, -1), keepdims=True), 1)


def _centred(a: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.asarray((a - _means(a, inside)) * inside)


def _weights(
    counts: np.ndarray, variance: np.ndarray, images: np.ndarray, start: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    a = _centred(_smooth(counts, _SMOOTH), inside).reshape(len(counts), -1) * start[:, None]
    h = _centred(_smooth(images, _SMOOTH), inside).ravel()
    noise = (_left_noise(_SMOOTH) * _smooth(variance, _SMOOTH) * inside).sum((1, 2, 3)) * start**2
    gram, right = a @ a.T - np.diag(noise), a @ h
    # Smoothed residuals of neighbours are one.
    pixels = max(inside.sum(), 1) / (4 * np.pi * _SMOOTH**2)

    def residual_of(weights: np.ndarray) -> float:
        return float(((h - weights @ a) ** 2).sum()) / pixels

    def solved(rounds: int, gives_way: bool) -> tuple[np.ndarray, np.ndarray]:
        """Weights over their start, and their covariance."""
        found = np.full(len(a), max(float(right.sum() / max(gram.sum(), 1e-30)), 1e-30))
        trust = np.ones(len(a))
        # The prior weighs as much as a residual that does not yet hold what a wrong start leaves.
        for _ in range(rounds):
            mean = max(float(trust @ found / trust.sum()), 1e-30)
            ratios = np.diag(trust) - np.outer(trust, trust) / trust.sum()
            residual = residual_of(found)
            matrix = gram + residual / (_SPREAD * mean) ** 2 * ratios
            lowest, largest = np.linalg.eigvalsh(matrix)[[0, -1]]
            # Where the counts are noise alone, less than nothing is left of them.
            least = max(1e-6 * max(abs(lowest), abs(largest)), 1e-30)
            matrix += max(0.0, least - lowest) * np.eye(len(a))
            lower = np.linalg.cholesky(matrix)
            found, _ = nnls(lower.T, np.linalg.solve(lower, right))
            if gives_way:
                trust = 1 / (1 + (np.log(np.maximum(found / mean, _LEAST_RATIO)) / _SPREAD) ** 2)
        return found, residual * np.linalg.inv(matrix)

    found, covariance = solved(_ROUNDS, gives_way=False)
    if residual_of(found) > _WRONG * residual_of(nnls(a.T, h)[0]):
        found, covariance = solved(_SOLUTIONS, gives_way=True)
    return found * start, np.sqrt(np.diag(covariance)) * start


def _damping(
    counts: np.ndarray, variance: np.ndarray, weights: np.ndarray, images: np.ndarray, inside: np.ndarray
) -> tuple[float, float]:
    """Common factor of the weights, and k, from the curvature of the images over the weighted counts."""
    if not weights.any():
        return 1.0, 0.0
    # A little smoothing before the powers: the noise of squared single counts would drown them.
    p = _smooth(np.tensordot(weights, counts, 1), _BEFORE)
    noise = _left_noise(_BEFORE) * _smooth(np.tensordot(weights**2, variance, 1), _BEFORE)
    top = max(float(np.quantile(_smooth(p, _SMOOTHER), 0.995)), 1e-30)
    p, noise, h = p / top, noise / top**2, _smooth(images, _SMOOTHER) / top
    # Powers before the rest of it: the mean of a damped path is not the damped mean.
    first, second = _smooth(p, _SMOOTHER), _smooth(p**2 - noise, _SMOOTHER)
    cubes = _smooth(p**3 - 3 * p * noise, _SMOOTHER)
    left = _left_noise(np.hypot(_BEFORE, _SMOOTHER)) / _left_noise(_BEFORE)
    noise = _smooth(noise, _SMOOTHER)
    a = np.stack([_centred(first, inside).ravel(), -0.5 * _centred(second, inside).ravel()])
    gram = a @ a.T
    both = -0.5 * left * (2 * first * noise * inside).sum()
    gram -= np.array(
        [
            [left * (noise * inside).sum(), both],
            [both, 0.25 * left * ((4 * np.maximum(second, 0) * noise + 2 * noise**2) * inside).sum()],
        ]
    )
    straight = float(a[0] @ _centred(h, inside).ravel()) / max(float(gram[0, 0]), 1e-30)
    if straight <= 0:
        return 1e-6, 0.0
    residual = ((_centred(h, inside).ravel() - straight * a[0]) ** 2).mean() * 4 * np.pi * (_BEFORE**2 + _SMOOTHER**2)
    prior = residual / (_DAMPED * straight**2) ** 2
    scale, k = 1.0, 0.0
    for _ in range(10):
        # D in second order is linear in scale and k scale^2; the third order follows.
        third = k**2 * scale**3 * cubes / 6
        right = a @ _centred(h - third, inside).ravel()
        scale, bent = np.linalg.solve(gram + np.diag([0.0, prior]), right)
        if not 0 < scale < _STEEP * straight:
            # Images that the counts do not explain bend somehow; the iteration diverges.
            return straight, 0.0
        k = float(np.clip(bent / max(scale, 1e-6) ** 2, 0.0, _MOST_DAMPED))
    return max(float(scale if k else straight), 1e-6), k / top
