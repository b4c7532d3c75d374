r"""Intensity per count and damping, once more, from a volume of the maps alone.

Projections of such a volume at the tilts of the maps are the maps without their noise, so that

    h_t = o_t + g_t D( sum_c w_c (A_t x_c) ),    D(p) = (1 - exp(-k p)) / k

is an ordinary least-squares problem in w and k there, the images being placed on the projections first. It is solved by
Gauss and Newton's method; outlying pixels (matter that no map holds) weigh less (Huber). Images beyond the tilts of the maps
are not asked: what the volume holds there is the prior's.

Formulas: intensity per count from a volume (`intensity_of_volume`).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import lsq_linear

from napari_diptomo.reconstruct.haadf_observation import HAADFObservation
from napari_diptomo.reconstruct.haadf_weights import Intensity
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series.haadf import HAADFSeries

#: Prior deviations: of the weights' ratios (relative), and of damping times thickest path; its largest value. Platinum of a
#: measured series has 1.7 (docs/haadf-measured.md).
_SPREAD, _DAMPED, _MOST_DAMPED = 0.5, 1.0, 4.0
#: Placing images and solving for weights take turns; steps of each solution; robust standard deviations of an outlier.
_ROUNDS, _STEPS, _OUTLIER = 4, 4, 1.5
#: Relative error up to which a weight is known from the counts, and by what factor a volume may change it.
_KNOWN, _FACTOR = 0.2, 2.5
#: Pixels that share one error of the model, in the weight of the priors.
_SHARED = 9.0


@torch.no_grad()
def intensity_of_volume(problem: Problem, x: torch.Tensor) -> Intensity:
    """Weights and damping that explain the images at the tilts of the maps.

    Parameters
    ----------
    problem : Problem
        With HAADF data.
    x : Tensor (channel, z, y, x)
        A volume of the maps alone, in counts per voxel.

    Returns
    -------
    Intensity
        In units of the images' range per count; that of the problem where fewer than three images are within its tilts.
    """
    data = problem.haadf
    assert data is not None
    series = _within(data.series, problem.maps.angles)
    if series is None:
        return data.intensity
    seen = HAADFObservation(series, data.intensity, problem.beam.shape, problem.device, problem.data_size)
    x = problem.inside(x)
    whole = torch.cat([x, torch.zeros_like(x[:1])])
    found = data.intensity
    start = np.maximum(found.weights, 0.05 * found.weights.max() + 1e-12)
    for _ in range(_ROUNDS):
        seen.refit(whole)
        found = _solved(seen, seen.paths(x), start)
        if not _agree(found, data.intensity):
            # A volume that is far from its counts says nothing.
            return data.intensity
        seen.weights = torch.as_tensor(found.weights, dtype=torch.float32, device=problem.device)
        seen.damping = found.damping
    return found


def _agree(found: Intensity, before: Intensity) -> bool:
    """Whether well-known weights are within a factor of those of the counts alone."""
    known = before.errors < _KNOWN * before.weights
    ratio = found.weights[known] / before.weights[known]
    return bool(((ratio > 1 / _FACTOR) & (ratio < _FACTOR)).all())


def _within(series: HAADFSeries, angles: np.ndarray) -> HAADFSeries | None:
    """The images at tilts that the maps cover."""
    step = float(np.median(np.diff(np.sort(angles)))) / 2 if len(angles) > 1 else 0.0
    kept = (series.angles > angles.min() - step) & (series.angles < angles.max() + step)
    return series.at(kept) if kept.sum() >= 3 else None


def _solved(seen: HAADFObservation, paths: np.ndarray, start: np.ndarray) -> Intensity:
    """Gauss-Newton steps in the weights and the damping; ``paths`` are (channel, tilt, y, u)."""
    images, mask = seen.corrected_images()
    weights, k = seen.weights.double().cpu().numpy().copy(), seen.damping
    p = np.tensordot(weights, paths, 1)
    top = max(float(np.quantile(p[mask > 0], 0.995)), 1e-12)
    errors = np.zeros(len(weights))
    for _ in range(_STEPS):
        p = np.tensordot(weights, paths, 1)
        fading = np.exp(-k * p)
        damped = p if k * top < 1e-6 else (1 - fading) / k
        bent = -0.5 * p**2 if k * top < 1e-3 else (p * fading * k - (1 - fading)) / k**2
        residual = images - damped
        weight = mask * _huber(residual, mask)
        columns = np.stack([*(start[:, None, None, None] * paths * fading), bent / top])
        # Offsets of the images are free: everything is compared less its mean.
        columns, residual = _centred(columns, weight), _centred(residual[None], weight)[0]
        root = np.sqrt(weight).ravel()
        a, y = (columns.reshape(len(columns), -1) * root).T, residual.ravel() * root
        variance = _SHARED * float((y**2).sum() / max(weight.sum(), 1))
        now = np.array([*(weights / start), k * top])
        ratios = (np.eye(len(start)) - 1.0 / len(start)) / (_SPREAD * now[:-1].mean())
        prior = np.zeros((len(now), len(now)))
        prior[:-1, :-1], prior[-1, -1] = ratios, 1 / _DAMPED
        scale = 1 / np.sqrt(variance + 1e-20)
        whole = np.concatenate([a * scale, prior])
        target = np.concatenate([(y + a @ now) * scale, np.zeros(len(now))])
        solved = lsq_linear(whole, target, (0, [*[np.inf] * len(start), _MOST_DAMPED]))
        weights, k = solved.x[:-1] * start, solved.x[-1] / top
        errors = np.sqrt(np.diag(np.linalg.pinv(whole.T @ whole)))[:-1] * start
    return Intensity(weights, errors, float(k))


def _huber(residual: np.ndarray, mask: np.ndarray) -> np.ndarray:
    spread = 1.4826 * float(np.median(np.abs(residual[mask > 0]))) + 1e-12
    return np.asarray(np.minimum(1.0, _OUTLIER * spread / np.maximum(np.abs(residual), 1e-12)))


def _centred(a: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mean = (a * weight).sum((-2, -1), keepdims=True) / np.maximum(weight.sum((-2, -1), keepdims=True), 1e-12)
    return np.asarray(a - mean)
