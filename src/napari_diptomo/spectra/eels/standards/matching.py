r"""Spectra from elsewhere matched to data: a common shift and a common width, with their errors.

References and stored standards were recorded on another energy axis and with another
resolution. Both are fitted before they are used: shapes f become

    f(E - d) broadened by v,      v a variance in eV^2, negative where the data are sharper,

with d and v in common, so that their distance, by which oxides are distinguished, is kept. Of (d, v)
the least chi2 + (d / 0.5 eV)^2 + (v / 0.25 eV^2)^2 is taken, chi2 in units of its own value per degree
of freedom where that is above one: what the shapes do not describe makes the axis less certain.

What remains uncertain mixes the shapes. With f_1 written by shapes moved by the error of d (or v), f_1 = (1 - p) f_1' +
p f_2' + background, p is how much of one phase is taken for the other; likewise f_2 with q. The outer
products of (p, q) of all directions of (d, v) add up to the covariance of the impurities of the phases (`purity`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

#: Standard deviations beforehand of a common shift, eV, and of a common variance, eV^2.
_SHIFT, _VARIANCE = 0.5, 0.25
#: Steps of the second derivative, in units of these.
_STEP = 0.1
#: Larger shifts are not looked for, eV; beyond this the axis is another one.
MOST_SHIFT = 2.5


@dataclass(frozen=True, eq=False)
class Match:
    """Shift and width of shapes on data.

    Attributes
    ----------
    shift, variance : float
        d, eV, and v, eV^2.
    covariance : ndarray (2, 2)
        Of both.
    chi2 : float
        Per degree of freedom.
    impurity : ndarray (2, 2)
        Covariance of the share of the second phase in the first shape, and of the first in the second.
    """

    shift: float
    variance: float
    covariance: np.ndarray
    chi2: float
    impurity: np.ndarray


def moved(shapes: np.ndarray, energy: np.ndarray, shift: float, variance: float) -> np.ndarray:
    """Shapes (energy, shape) moved by a shift, eV, and broadened by a variance, eV^2."""
    step = float(energy[1] - energy[0])
    found = np.stack([np.interp(energy - shift, energy, shape) for shape in shapes.T], axis=1)
    if variance == 0:
        return found
    broad = ndimage.gaussian_filter1d(found, np.sqrt(abs(variance)) / step, axis=0, mode='nearest')
    return broad if variance > 0 else 2 * found - broad


def match(
    misfit: Callable[[np.ndarray], float], shapes: np.ndarray, energy: np.ndarray, degrees: int, beside: np.ndarray
) -> Match:
    """Shift and width of shapes by the misfit of what they describe.

    Parameters
    ----------
    misfit : callable
        Of shapes (energy, shape): chi2 of the data, not per degree of freedom.
    shapes : ndarray (energy, 2)
        Of two phases, as they came.
    energy : ndarray (energy,)
        eV.
    degrees : int
        Degrees of freedom of ``misfit``.
    beside : ndarray (energy, column)
        Of the background, which may take part in what a wrong shift does.
    """
    sizes = np.array([_SHIFT, _VARIANCE])
    # Where to begin: the valley is narrow, and a coarse look at the shift alone finds it.
    coarse = np.arange(-MOST_SHIFT, MOST_SHIFT + 0.01, 0.25)
    values = [misfit(moved(shapes, energy, shift, 0.0)) for shift in coarse]
    scale = max(min(values) / max(degrees, 1), 1.0)

    def cost(place: np.ndarray) -> float:
        shift, variance = place * sizes
        if abs(shift) > MOST_SHIFT + 0.5 or abs(variance) > 2.0:
            return 1e12
        return misfit(moved(shapes, energy, shift, variance)) / scale + float(place @ place)

    start = np.array([coarse[int(np.argmin(values))] / _SHIFT, 0.0])
    simplex = start + np.array([[0.0, 0.0], [0.2, 0.0], [0.0, 0.6]])
    options = {'xatol': 2e-3, 'fatol': 1e-2, 'maxiter': 120, 'initial_simplex': simplex}
    best = minimize(cost, start, method='Nelder-Mead', options=options).x
    chi2 = misfit(moved(shapes, energy, *(best * sizes))) / max(degrees, 1)
    scale = max(chi2, 1.0)
    covariance = np.linalg.pinv(_curvature(cost, best) / 2, hermitian=True) * np.outer(sizes, sizes)
    shift, variance = best * sizes
    return Match(
        float(shift), float(variance), covariance, float(chi2),
        _mixed(shapes, energy, (float(shift), float(variance)), covariance, beside),
    )  # fmt: skip


def _curvature(cost: Callable[[np.ndarray], float], best: np.ndarray) -> np.ndarray:
    """Second derivative of the cost, (2, 2), positive."""
    step = _STEP * np.eye(2)
    found = np.empty((2, 2))
    centre = cost(best)
    for i in range(2):
        found[i, i] = (cost(best + step[i]) + cost(best - step[i]) - 2 * centre) / _STEP**2
    found[0, 1] = found[1, 0] = (
        cost(best + step[0] + step[1])
        + cost(best - step[0] - step[1])
        - cost(best + step[0] - step[1])
        - cost(best - step[0] + step[1])
    ) / (4 * _STEP**2)
    values, vectors = np.linalg.eigh(found)
    # Not below what is known beforehand.
    curvature: np.ndarray = (vectors * np.maximum(values, 2.0)) @ vectors.T
    return curvature


def _mixed(
    shapes: np.ndarray, energy: np.ndarray, place: tuple[float, float], covariance: np.ndarray, beside: np.ndarray
) -> np.ndarray:
    """Impurity of both shapes by the error of shift and width, (2, 2)."""
    here = moved(shapes, energy, *place)
    values, vectors = np.linalg.eigh(covariance)
    found = np.zeros((2, 2))
    for value, vector in zip(values, vectors.T, strict=True):
        off = np.sqrt(max(value, 0.0)) * vector
        there = np.hstack([moved(shapes, energy, place[0] + off[0], place[1] + off[1]), beside])
        root = 1 / np.sqrt(np.maximum(here.sum(axis=1), 1e-3 * here.sum(axis=1).max()))[:, None]
        shares = np.linalg.lstsq(there * root, here * root, rcond=None)[0][:2]
        part = -np.array([shares[1, 0], shares[0, 1]])
        found += np.outer(part, part)
    return found
