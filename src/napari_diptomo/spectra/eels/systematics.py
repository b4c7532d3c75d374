r"""Systematic errors of an edge, because the background under it, or its standard, is not known.

*Background.* The pixels are fitted with every background model. The one with the least
chi-square in the sum of the tilt gives the intensities a; the others show what a
would be if they were right:

    Q = sum_f w_f (a_f - a)(a_f - a)^T / sum_f w_f,    w_f = 1 / chi2_f,

chi2_f per degree of freedom of the tilt's sum. Background models that describe the sum
equally well count equally; one that misses it by ten times the noise counts a
tenth. That is far softer than a likelihood would have it, on purpose: what is
left to all background models of chi-square comes from standards and spectrometer, and a
background model does not become certain by it.

*Standards.* Where a standard is known to u(E), independently at every channel,

    Q += sum_s a_s^2 H diag(u_s^2) H^T,

H what the weighted fit of the mean pixel makes of a count in a channel.

Q is a covariance of the intensities, pixel by pixel, to be added to the statistical
one; but what it describes does not average out over pixels or tilts.

Formulas: spread between background models (`background_spread`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.eels.background import BACKGROUND_MODELS, BackgroundModel, fit_background
from napari_diptomo.spectra.eels.edge_fit import EdgeFit, fit_edges

_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class ModelFits:
    """The pixels of a tilt fitted with several background models.

    Attributes
    ----------
    fits : mapping of str to EdgeFit
        By background model.
    weights : mapping of str to float
        Weight of each background model, sum one.
    best : str
        The background model with the least chi-square, which gives the intensities.
    systematic : ndarray (pixel, edge, edge)
        Covariance of the intensities from background and standards.
    """

    fits: Mapping[BackgroundModel, EdgeFit]
    weights: Mapping[BackgroundModel, float]
    best: BackgroundModel
    systematic: np.ndarray

    @property
    def fit(self) -> EdgeFit:
        """The fit with the best background model."""
        return self.fits[self.best]

    @property
    def covariance(self) -> np.ndarray:
        """Of the intensities, statistical and systematic, (pixel, edge, edge)."""
        total: np.ndarray = self.fit.covariance + self.systematic
        return total


@dataclass(frozen=True, eq=False)
class BackgroundSpread:
    """Edge over background in one spectrum, by what is taken to lie under the edge.

    Attributes
    ----------
    values, chi2 : mapping of str to float
        Counts over background less one; chi-square of the background where it was fitted.
    """

    values: Mapping[BackgroundModel, float]
    chi2: Mapping[BackgroundModel, float]

    @property
    def best(self) -> BackgroundModel:
        """The background model with the least chi-square."""
        return min(self.chi2, key=lambda background_model: self.chi2[background_model])

    @property
    def error(self) -> float:
        """Systematic standard deviation of the best value, weighted as in the module."""
        weights = background_weights(self.chi2)
        return math.sqrt(
            sum(
                weights[background_model] * (value - self.values[self.best]) ** 2
                for background_model, value in self.values.items()
            )
        )


def fit_background_models(
    counts: np.ndarray,
    energy: np.ndarray,
    standards: np.ndarray,
    background_models: Sequence[BackgroundModel] = BACKGROUND_MODELS,
    *,
    uncertainty: np.ndarray | None = None,
    **how: Any,
) -> ModelFits:
    """Fit the pixels of a tilt with every background model.

    Parameters
    ----------
    counts, energy, standards
        As for `fit_edges`.
    background_models : sequence of str
        To compare; plasmon is left out where ``single`` is not given.
    uncertainty : ndarray (energy, edge), optional
        Standard deviation of the standards.
    **how
        Further options of `fit_edges`.

    Raises
    ------
    InputError
        No background model that can be fitted.
    """
    usable = [f for f in background_models if f != 'plasmon tail' or how.get('single') is not None]
    if not usable:
        raise InputError('Choose at least one background; plasmon needs the zero loss in the range.')
    fits = {
        background_model: fit_edges(counts, energy, standards, background_model, **how) for background_model in usable
    }
    chi2 = {background_model: fit.tilt.chi2 for background_model, fit in fits.items()}
    best = min(chi2, key=lambda background_model: chi2[background_model])
    systematic = background_spread(
        {background_model: fit.intensities for background_model, fit in fits.items()}, best, chi2
    )
    if uncertainty is not None:
        systematic += from_standards(fits[best], energy, uncertainty)
    return ModelFits(fits, background_weights(chi2), best, systematic)


def shares(
    intensities: np.ndarray, covariance: np.ndarray, strengths: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Share of each edge in their sum, with its standard deviation.

    Parameters
    ----------
    intensities : ndarray (pixel, edge)
        From a fit.
    covariance : ndarray (pixel, edge, edge)
        Of the intensities.
    strengths : sequence of float, optional
        Counts per atom of each edge, so that the shares are those of atoms.

    Returns
    -------
    share, std : ndarray (pixel, edge)
        To first order of the errors; the share is cut to 0..1, and NaN where the sum is not positive.
    """
    per_atom = 1 / np.asarray(np.ones(intensities.shape[1]) if strengths is None else strengths, float)
    atoms = intensities * per_atom
    total = atoms.sum(axis=1)[:, None]
    known = total > 0
    share = np.clip(np.divide(atoms, total, out=np.full_like(atoms, np.nan), where=known), 0, 1)
    slopes = (np.eye(intensities.shape[1]) - np.nan_to_num(share)[:, :, None]) * per_atom
    variance = np.einsum('psi,pij,psj->ps', slopes, covariance, slopes)
    std = np.sqrt(np.maximum(variance, 0)) / np.where(known, total, np.nan)
    return share, std


def edge_over_background(
    energy: np.ndarray,
    counts: np.ndarray,
    signal: tuple[float, float],
    before: tuple[float, float],
    behind: tuple[float, float] | None = None,
    background_models: Sequence[BackgroundModel] = BACKGROUND_MODELS[:4],
) -> BackgroundSpread:
    """Edge over background with no standard, by background model: each fitted beside the edge and extrapolated under it.

    Parameters
    ----------
    energy, counts : ndarray (energy,)
        A spectrum, eV and counts.
    signal : tuple of float
        Where the edge is summed, eV.
    before, behind : tuple of float
        Where the background is fitted, in front of the edge and, if given, behind it, eV.
    background_models : sequence of str
        To compare.
    """
    ranges = [before, signal] if behind is None else [before, signal, behind]
    whole = (energy >= min(low for low, _ in ranges)) & (energy < max(high for _, high in ranges))
    energy, counts = energy[whole], counts[whole].astype(float)
    used = between(energy, before)
    if behind is not None:
        used |= between(energy, behind)
    under = between(energy, signal)
    values: dict[BackgroundModel, float] = {}
    chi2: dict[BackgroundModel, float] = {}
    for background_model in background_models:
        fit = fit_background(background_model, energy, counts, np.zeros((len(energy), 0)), used=used)
        values[background_model] = float(counts[under].sum() / fit.spectrum[under].sum() - 1)
        chi2[background_model] = fit.chi2
    return BackgroundSpread(values, chi2)


def background_weights(chi2: Mapping[BackgroundModel, float]) -> dict[BackgroundModel, float]:
    """Weight of each background model in the systematic error, by 1 / chi2; their sum is one."""
    inverse = {background_model: 1 / max(value, _TINY) for background_model, value in chi2.items()}
    total = sum(inverse.values())
    return {background_model: value / total for background_model, value in inverse.items()}


def background_spread(
    intensities: Mapping[BackgroundModel, np.ndarray],
    best: BackgroundModel,
    chi2: Mapping[BackgroundModel, float],
    other: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Q of the background models, see the module.

    Parameters
    ----------
    intensities : mapping of str to ndarray (pixel, edge)
        By background model.
    best : str
        The model whose intensities are used.
    chi2 : mapping of str to float
        By background model.
    other : ndarray (pixel, edge, edge), optional
        Covariance from other causes, to which Q is added.

    Returns
    -------
    ndarray (pixel, edge, edge)
    """
    found = np.asarray(other)
    for background_model, weight in background_weights(chi2).items():
        off = intensities[background_model] - intensities[best]
        found = found + weight * off[:, :, None] * off[:, None, :]
    return found


def from_standards(fit: EdgeFit, energy: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Covariance of the intensities from errors of the standards.

    Parameters
    ----------
    fit : EdgeFit
        Of a tilt.
    energy : ndarray (energy,)
        eV.
    uncertainty : ndarray (energy, edge)
        Standard deviation of the standards, independent from channel to channel.

    Returns
    -------
    ndarray (pixel, edge, edge)
    """
    n = fit.intensities.shape[1]
    inside = (energy >= fit.energy[0]) & (energy <= fit.energy[-1])
    weights = np.maximum(fit.intensities, 1e-6)
    shapes = fit.edges.mean(weights)
    mean = np.maximum(fit.columns @ fit.background.mean(axis=0) + shapes @ fit.intensities.mean(axis=0), _TINY)
    columns = np.hstack([shapes, fit.columns])
    operator = np.linalg.solve(columns.T @ (columns / mean[:, None]), columns.T / mean)[:n]
    each = np.einsum('ie,es,je->sij', operator, uncertainty[inside] ** 2, operator)
    found: np.ndarray = np.einsum('ps,sij->pij', fit.intensities**2, each)
    return found
