r"""A detector and line weights refined on a sum spectrum.

*Detector.* Energy scale, resolution, tails and escape peaks p are found by
Gauss-Newton on the weighted residual r(p) of the fit, in which the coefficients are
solved for at every p (variable projection):

    min_p sum_i r_i(p)^2 + sum_j ((p_j - p_j0) / s_j)^2,

with s_j what is not known beforehand: 3 % of the resolution, 10 eV, 0.1 %. Where that gains
less than two of chi-square per parameter, what is known beforehand stands (Akaike's rule):
a detector refined on noise makes all peaks too large.

*Weights.* The tables know the weights of the lines of a K family to a few
per cent, those of L and M families far worse. Lines that the detector
resolves become columns of their own, each held near its share of the family by a
prior of that width. The coefficients of the families stay free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from napari_diptomo.spectra.common.non_negative import non_negative
from napari_diptomo.spectra.edx.detector import Detector
from napari_diptomo.spectra.edx.lines import LineFamily
from napari_diptomo.spectra.edx.sum_fit import background_shapes, line_shapes, solve

#: Width of the prior of every parameter of the detector; the resolution's is a share of itself.
_PRIOR = {
    'resolution': 0.03,
    'offset': 0.010,
    'gain': 0.001,
    'bend': 0.010,
    'tail': 0.03,
    'surface': 0.05,
    'escape': 0.5,
}
_NOT_NEGATIVE = ('tail', 'surface', 'escape')
#: Error of a line's share of its family, relative and in all.
_WEIGHT_ERROR = {'K': 0.04, 'L': 0.3, 'M': 0.6}
_LEAST_WEIGHT_ERROR = 0.002
#: Lines nearer than this share of the peak width keep their ratio.
_RESOLVED = 0.5
_ITERATIONS, _ROUNDS = 8, 2
#: Chi-square that each free parameter of a refinement must gain. Noise alone gains about one, and a refinement on noise
#: makes every peak larger: +0.3 to +0.7 % of Te beside Sb at one count (docs/edx-few-counts.md).
SIGNIFICANT_GAIN = 2.0


def calibrate(
    energy: np.ndarray,
    counts: np.ndarray,
    families: Sequence[LineFamily],
    detector: Detector,
    beam_energy: float,
) -> Detector:
    """Refine energy scale, resolution, tails and escape peaks on a sum spectrum.

    Parameters
    ----------
    energy, counts : ndarray (energy,)
        Channel centres, keV; counts.
    families : sequence of LineFamily
        What the spectrum shows.
    detector : Detector
        To start from.
    beam_energy : float
        keV.

    Returns
    -------
    Detector
        The one given where the refinement does not improve the fit.
    """
    return calibrate_with_weights(energy, counts, families, detector, beam_energy)[0]


def calibrate_with_weights(
    energy: np.ndarray,
    counts: np.ndarray,
    families: Sequence[LineFamily],
    detector: Detector,
    beam_energy: float,
) -> tuple[Detector, tuple[LineFamily, ...]]:
    """Refine detector and line weights in turn; arguments as for `calibrate`."""
    smooth = background_shapes(energy, detector, beam_energy)
    families = tuple(families)
    start = detector
    for _ in range(_ROUNDS):
        detector = _refine_detector(energy, counts, families, detector, start, smooth)
        families = refine_weights(energy, counts, families, detector, smooth)
    return detector, families


def refine_weights(
    energy: np.ndarray,
    counts: np.ndarray,
    families: Sequence[LineFamily],
    detector: Detector,
    smooth: np.ndarray,
) -> tuple[LineFamily, ...]:
    """The same families with line weights as the spectrum shows them.

    Parameters
    ----------
    energy, counts, families, detector
        As for `calibrate`.
    smooth : ndarray (energy, shape)
        Shapes of the background.
    """
    if not families:
        return ()
    groups = [_groups(family, detector) for family in families]
    columns = np.hstack([_shapes(energy, f, g, detector) for f, g in zip(families, groups, strict=True)])
    shares = np.concatenate([np.bincount(g, f.weights) for f, g in zip(families, groups, strict=True)])
    owner = np.repeat(np.arange(len(families)), [g.max() + 1 for g in groups])
    width = np.array([_WEIGHT_ERROR[families[int(i)].shell] for i in owner]) * shares + _LEAST_WEIGHT_ERROR
    root = _root(counts)
    data = np.hstack([columns, smooth]) * root[:, None]
    coefficients = solve(counts, line_shapes(energy, families, detector), smooth).counts
    for _ in range(3):
        error = width * np.maximum(coefficients[owner], 50.0)
        prior = np.hstack([np.diag(1 / error), np.zeros((len(owner), smooth.shape[1]))])
        target = np.concatenate([counts * root, shares * coefficients[owner] / error])
        found = non_negative(np.vstack([data, prior]), target)[: len(owner)]
        coefficients = np.bincount(owner, found, minlength=len(families))
    return tuple(
        _reweighted(family, groups[i], found[owner == i], shares[owner == i]) for i, family in enumerate(families)
    )


def _refine_detector(
    energy: np.ndarray,
    counts: np.ndarray,
    families: tuple[LineFamily, ...],
    detector: Detector,
    start: Detector,
    smooth: np.ndarray,
) -> Detector:
    names = list(_PRIOR)
    scale = np.array([_PRIOR[name] for name in names]) * np.where(np.array(names) == 'resolution', start.resolution, 1)
    positive = np.array([name in _NOT_NEGATIVE for name in names])
    centre = np.array([getattr(start, name) for name in names])
    root = _root(counts)

    def trial(x: np.ndarray) -> Detector:
        moved: dict[str, Any] = dict(zip(names, map(float, centre + scale * x), strict=True))
        return replace(detector, **moved)

    def residual(x: np.ndarray) -> np.ndarray:
        fit = solve(counts, line_shapes(energy, families, trial(x)), smooth, iterations=1)
        return np.concatenate([(counts - fit.model) * root, x])

    x = (np.array([getattr(detector, name) for name in names]) - centre) / scale
    r, damping = residual(x), 1e-3
    for _ in range(_ITERATIONS):
        jacobian = np.stack([(residual(x + 0.1 * unit) - r) / 0.1 for unit in np.eye(len(x))], axis=1)
        hessian, gradient = jacobian.T @ jacobian, jacobian.T @ r
        for _ in range(4):
            step = np.clip(np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), -gradient), -3, 3)
            trial_x = np.where(positive, np.maximum(x + step, -centre / scale), x + step)
            trial_r = residual(trial_x)
            if trial_r @ trial_r < r @ r:
                break
            damping *= 10
        else:
            break
        settled = r @ r - trial_r @ trial_r < 1e-3 * (r @ r)
        x, r, damping = trial_x, trial_r, damping / 5
        if settled:
            break
    unrefined = residual(np.zeros(len(x)))
    return trial(x) if unrefined @ unrefined - r @ r > SIGNIFICANT_GAIN * len(x) else start


def _root(counts: np.ndarray) -> np.ndarray:
    """Square root of the weights; a channel with next to nothing must not outweigh the rest."""
    return 1 / np.sqrt(np.maximum(gaussian_filter1d(counts.astype(float), 2.0), max(1e-3 * counts.mean(), 1e-12)))


def _groups(family: LineFamily, detector: Detector) -> np.ndarray:
    """Number of the group of every line, lines of a group too close to be resolved."""
    energies = np.asarray(family.energies)
    groups = np.zeros(len(energies), int)
    first, group = -np.inf, -1
    for i in np.argsort(energies):
        if energies[i] - first > _RESOLVED * detector.fwhm(energies[i]):
            first, group = energies[i], group + 1
        groups[i] = group
    return groups


def _shapes(energy: np.ndarray, family: LineFamily, groups: np.ndarray, detector: Detector) -> np.ndarray:
    lines = detector.line_shapes(energy, np.asarray(family.energies))
    weights = np.zeros((len(groups), groups.max() + 1))
    weights[np.arange(len(groups)), groups] = family.weights
    return lines @ (weights / np.maximum(weights.sum(axis=0), 1e-300))


def _reweighted(family: LineFamily, groups: np.ndarray, found: np.ndarray, shares: np.ndarray) -> LineFamily:
    if found.sum() <= 1:
        return family
    factor = np.divide(found / found.sum(), shares, out=np.ones(len(shares)), where=shares > 0)
    return replace(family, weights=tuple(float(w) for w in np.asarray(family.weights) * factor[groups]))
