r"""The discrepancy principle for counts: when a fit is as close to them as the truth itself would be.

The discrepancy principle (Morozov 1966) stops a fit once its misfit has come
down to that of the noise. For Poisson counts this is not 1 per datum: the
truth, of expectation m, has the deviance

    E(m) = sum over y of  P(y; m) 2 (m - y + y log(y / m)),

0.09 at m = 0.01, 1.15 at m = 1, 1 + 1 / (6 m) for many counts. A model with
the deviance of its own expectation, or less, has begun to fit noise.

Formulas: expected deviance of Poisson counts (`poisson_expectation`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.special import gammaln, xlogy

from napari_diptomo.reconstruct.problem import FLOOR, Problem

_LOWEST, _HIGHEST, _NODES = 1e-4, 1e3, 400


def poisson_expectation(model: torch.Tensor) -> torch.Tensor:
    """E(m) for every expected count, of the shape of ``model``, good to 1e-3."""
    table = torch.as_tensor(_table(), dtype=model.dtype, device=model.device)
    low, high = float(np.log(_LOWEST)), float(np.log(_HIGHEST))
    position = (model.clamp(_LOWEST, _HIGHEST).log() - low) / (high - low) * (_NODES - 1)
    below = position.floor().clamp(0, _NODES - 2)
    fraction = position - below
    index = below.long()
    return (1 - fraction) * table[index] + fraction * table[index + 1]


def noise_reached(problem: Problem, expected: torch.Tensor, deviance: float, poisson: bool) -> bool | None:
    """Whether the deviance per datum of the fitted part is that of the noise; None where the noise is not known.

    Parameters
    ----------
    problem : Problem
        The data.
    expected : Tensor (window, tilt, y, u)
        Expected data of the full exposure.
    deviance : float
        Of the fitted part, per datum.
    poisson : bool
        Counts; otherwise the variance must have come with the maps.
    """
    if not poisson:
        return deviance <= 1 if problem.maps.variance is not None else None
    each = poisson_expectation(((1 - problem.share) * expected).clamp_min(0) + FLOOR)
    mean = (each * problem.mask).sum() / (problem.mask.sum() * (each.numel() // problem.mask.numel()))
    return bool(deviance <= mean)


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    means = np.geomspace(_LOWEST, _HIGHEST, _NODES)
    found = []
    for mean in means:
        counts = np.arange(int(mean + 12 * np.sqrt(mean)) + 30)
        probability = np.exp(xlogy(counts, mean) - mean - gammaln(counts + 1))
        deviance = 2 * (mean - counts + xlogy(counts, counts / mean))
        found.append(float((probability * deviance).sum()))
    return np.array(found)
