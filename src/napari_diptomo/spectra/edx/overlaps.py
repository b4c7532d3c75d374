r"""Which elements the spectra can distinguish, from the Fisher information.

Counts n ~ Poisson(C x) with the shapes of families and background as columns
of C carry about the coefficients x the information

    I = C^T diag(1 / m) C,    m = C x,

and no unbiased estimate has a smaller covariance than I^-1 (Cramer and Rao).
Its correlations show which coefficients are confused, its diagonal how well each is
known at these counts. The sum of two coefficients has the variance
V_aa + V_bb + 2 V_ab, small where V_ab is negative: two families under one
peak are known together and unknown apart.

Formulas: overlap of two elements (`overlaps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.edx.lines import spoken_name
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel

#: Pairs are reported from this correlation on, and warned of from the second.
_REPORTED, _CONFUSED = 0.3, 0.9
#: From this many counts per pixel on a family has an error worth reporting.
_LEAST_COUNTS = 1e-9


@dataclass(frozen=True, eq=False)
class OverlapReport:
    """How well the coefficients of the wanted families are known, and which are confused.

    Attributes
    ----------
    names : tuple of str
        Families, e.g. ``'Sb_L'``.
    counts : ndarray (family,)
        At which the report holds, counts per spectrum.
    relative_error : ndarray (family,)
        Smallest standard deviation that an unbiased fit can have, per count.
    correlation : ndarray (family, family)
        Of the coefficients.
    condition : float
        Condition number of the information, normalised to a unit diagonal: 1
        where nothing overlaps.
    sentences, warnings : tuple of str
        Overlaps; families that cannot be distinguished at these counts.
    """

    names: tuple[str, ...]
    counts: np.ndarray
    relative_error: np.ndarray
    correlation: np.ndarray
    condition: float
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]


def overlaps(
    model: SpectrumModel,
    counts_per_family: Sequence[float] | np.ndarray | None = None,
    background: float | None = None,
) -> OverlapReport:
    """Report on the wanted families of a model.

    Parameters
    ----------
    model : SpectrumModel
        Its wanted families are reported on; the others are fitted along.
    counts_per_family : array-like (family,), optional
        Expected counts per spectrum of all families of the model or of the
        wanted ones alone (the others are then 0); one count in each when not given.
    background : float, optional
        Expected background counts per spectrum; as many as the families hold when not given.

    Returns
    -------
    OverlapReport
        Errors and correlations at the Cramer-Rao bound: no unbiased fit has smaller ones.

    Raises
    ------
    InputError
        The number of counts is neither that of all families nor that of the wanted ones, or one is negative.
    """
    counts = _all_counts(model, counts_per_family)
    total = counts.sum() if background is None else background
    share = model.smooth.mean(axis=1)
    smooth = share / share.sum()
    covariance, information = coefficient_covariance(model.shapes, smooth, counts, float(total))
    n = model.wanted
    deviation = np.sqrt(np.diag(covariance)[:n])
    correlation = covariance[:n, :n] / np.outer(deviation, deviation)
    scale = 1 / np.sqrt(np.diag(information)[:n])
    normalised = information[:n, :n] * np.outer(scale, scale)
    relative = deviation / np.maximum(counts[:n], _LEAST_COUNTS)
    sentences, warnings = _words(model.names[:n], counts[:n], covariance[:n, :n], correlation)
    return OverlapReport(
        model.names[:n], counts[:n], relative, correlation, float(np.linalg.cond(normalised)), sentences, warnings
    )


def coefficient_covariance(
    shapes: np.ndarray,
    smooth: np.ndarray,
    counts: np.ndarray,
    background: float,
    model_error: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cramer-Rao bound of the coefficients and their Fisher information.

    Parameters
    ----------
    shapes : ndarray (energy, family)
        Probability of each channel for one photon.
    smooth : ndarray (energy,)
        Shape of the background; its coefficient is fitted along where there is any.
    counts : ndarray (family,)
        Expected counts.
    background : float
        Expected background counts.
    model_error : ndarray (energy,), optional
        Variance of the channels beyond counting noise, where the model itself is in error.

    Returns
    -------
    covariance, information : ndarray (family, family)
        The covariance with the background fitted along; the information of the families alone.
    """
    columns = np.column_stack([shapes, smooth]) if background > 0 else shapes
    mean = shapes @ counts + background * smooth
    mean = np.maximum(mean, 1e-6 * max(float(mean.mean()), 1e-12)) + model_error
    information = columns.T @ (columns / mean[:, None])
    # Scaled first: families of very different sharpness would spoil the inverse.
    scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
    covariance = np.linalg.pinv(information * np.outer(scale, scale), rcond=1e-12) * np.outer(scale, scale)
    n = shapes.shape[1]
    return covariance[:n, :n], information[:n, :n]


def _all_counts(model: SpectrumModel, given: Sequence[float] | np.ndarray | None) -> np.ndarray:
    counts = np.zeros(len(model.families))
    given = np.ones(model.wanted) if given is None else np.asarray(given, float)
    if len(given) not in (model.wanted, len(counts)):
        raise InputError(
            f'There are {len(given)} expected counts for {model.wanted} wanted families; give one for each.'
        )
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise InputError('Expected counts must be numbers of zero or more; correct the negative one.')
    counts[: len(given)] = given
    return counts


def _words(
    names: Sequence[str], counts: np.ndarray, covariance: np.ndarray, correlation: np.ndarray
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    sentences, warnings = [], []
    pairs = sorted(combinations(range(len(names)), 2), key=lambda pair: -abs(correlation[pair]))
    for a, b in pairs:
        rho = float(correlation[a, b])
        if abs(rho) < _REPORTED:
            continue
        together = max(float(counts[a] + counts[b]), _LEAST_COUNTS)
        joint = float(np.sqrt(max(covariance[a, a] + covariance[b, b] + 2 * covariance[a, b], 0.0))) / together
        alone = [float(np.sqrt(covariance[i, i]) / max(counts[i], _LEAST_COUNTS)) for i in (a, b)]
        sentence = (
            f'{spoken_name(names[a])} and {spoken_name(names[b])} overlap (correlation {rho:.2f}): '
            f'at {counts[a]:.3g} and {counts[b]:.3g} counts per spectrum their sum is known to {_percent(joint)}, '
            f'alone they are to {_percent(alone[0])} and {_percent(alone[1])}.'
        )
        sentences.append(sentence)
        unknown = min(alone) > 1 and joint < 0.7 * min(alone)
        if abs(rho) > _CONFUSED or unknown:
            warnings.append(
                f'{spoken_name(names[a])} and {spoken_name(names[b])} cannot be resolved at these counts '
                f'(correlation {rho:.2f}); map one of them, choose another line family, or bin the pixels.'
            )
    return tuple(sentences), tuple(warnings)


def _percent(share: float) -> str:
    return f'{100 * share:.2g} %' if share < 1 else f'{100 * min(share, 1e6):.0f} %'
