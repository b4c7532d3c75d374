r"""What an edge may be wrong by because the background under it, or its standard, is not known.

*Background.* The pixels are fitted with every family. The one with the least
chi-square in the sum of the tilt gives the amounts a; the others tell what a
would be if they were right:

    Q = sum_f w_f (a_f - a)(a_f - a)^T / sum_f w_f,    w_f = 1 / chi2_f,

chi2_f per degree of freedom of the tilt's sum. Families that describe the sum
equally well count equally; one that misses it by ten times the noise counts a
tenth. That is far softer than a likelihood would have it, on purpose: what is
left to all families of chi-square comes from standards and spectrometer, and a
family does not become certain by it.

*Standards.* Where a standard is known to u(E), independently at every channel,

    Q += sum_s a_s^2 H diag(u_s^2) H^T,

H what the weighted fit of the mean pixel makes of a count in a channel.

Q is a covariance of the amounts, pixel by pixel, to be added to the statistical
one; but what it describes does not average out over pixels or tilts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.eels.background import FAMILIES, Family, fit_background
from napari_diptomo.spectra.eels.edge_fit import EdgeFit, fit_edges

_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class FamilyFits:
    """The pixels of a tilt fitted with several families of backgrounds.

    Attributes
    ----------
    fits : mapping of family to EdgeFit
        By family.
    weights : mapping of family to float
        What each family counts, sum one.
    best : str
        The family with the least chi-square, which gives the amounts.
    systematic : ndarray (pixel, edge, edge)
        Covariance of the amounts from background and standards.
    """

    fits: Mapping[Family, EdgeFit]
    weights: Mapping[Family, float]
    best: Family
    systematic: np.ndarray

    @property
    def fit(self) -> EdgeFit:
        """The fit with the best family."""
        return self.fits[self.best]

    @property
    def covariance(self) -> np.ndarray:
        """Of the amounts, statistical and systematic, (pixel, edge, edge)."""
        total: np.ndarray = self.fit.covariance + self.systematic
        return total


@dataclass(frozen=True, eq=False)
class BackgroundSpread:
    """Edge over background in one spectrum, by what is taken to lie under the edge.

    Attributes
    ----------
    values, chi2 : mapping of family to float
        Counts over background less one; chi-square of the background where it was fitted.
    """

    values: Mapping[Family, float]
    chi2: Mapping[Family, float]

    @property
    def best(self) -> Family:
        """The family with the least chi-square."""
        return min(self.chi2, key=lambda family: self.chi2[family])

    @property
    def error(self) -> float:
        """Systematic standard deviation of the best value, weighted as in the module."""
        weights = _weights(list(self.chi2.values()))
        off = np.array(list(self.values.values())) - self.values[self.best]
        return float(np.sqrt(weights @ off**2))


def fit_families(
    counts: np.ndarray,
    energy: np.ndarray,
    standards: np.ndarray,
    families: Sequence[Family] = FAMILIES,
    *,
    uncertainty: np.ndarray | None = None,
    **how: Any,
) -> FamilyFits:
    """Fit the pixels of a tilt with every family.

    Parameters
    ----------
    counts, energy, standards
        As for `fit_edges`.
    families : sequence of str
        To compare; plasmon is left out where ``single`` is not given.
    uncertainty : ndarray (energy, edge), optional
        Standard deviation of the standards.
    **how
        Further options of `fit_edges`.

    Raises
    ------
    InputError
        No family that can be fitted.
    """
    usable = [f for f in families if f != 'plasmon tail' or how.get('single') is not None]
    if not usable:
        raise InputError('Choose at least one background; plasmon needs the zero loss in the range.')
    fits = {family: fit_edges(counts, energy, standards, family, **how) for family in usable}
    chi2 = [fit.tilt.chi2 for fit in fits.values()]
    weights = _weights(chi2)
    best = usable[int(np.argmin(chi2))]
    systematic = np.zeros_like(fits[best].covariance)
    for weight, fit in zip(weights, fits.values(), strict=True):
        off = fit.amounts - fits[best].amounts
        systematic += weight * off[:, :, None] * off[:, None, :]
    if uncertainty is not None:
        systematic += from_standards(fits[best], energy, uncertainty)
    return FamilyFits(fits, dict(zip(usable, weights.tolist(), strict=True)), best, systematic)


def shares(
    amounts: np.ndarray, covariance: np.ndarray, strengths: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Share of each edge in their sum, with its standard deviation.

    Parameters
    ----------
    amounts : ndarray (pixel, edge)
        From a fit.
    covariance : ndarray (pixel, edge, edge)
        Of the amounts.
    strengths : sequence of float, optional
        Counts per atom of each edge, so that the shares are those of atoms.

    Returns
    -------
    share, std : ndarray (pixel, edge)
        To first order of the errors; the share is cut to 0..1, and NaN where the sum is not positive.
    """
    per_atom = 1 / np.asarray(np.ones(amounts.shape[1]) if strengths is None else strengths, float)
    atoms = amounts * per_atom
    total = atoms.sum(axis=1)[:, None]
    known = total > 0
    share = np.clip(np.divide(atoms, total, out=np.full_like(atoms, np.nan), where=known), 0, 1)
    slopes = (np.eye(amounts.shape[1]) - np.nan_to_num(share)[:, :, None]) * per_atom
    variance = np.einsum('psi,pij,psj->ps', slopes, covariance, slopes)
    std = np.sqrt(np.maximum(variance, 0)) / np.where(known, total, np.nan)
    return share, std


def edge_over_background(
    energy: np.ndarray,
    counts: np.ndarray,
    signal: tuple[float, float],
    before: tuple[float, float],
    behind: tuple[float, float] | None = None,
    families: Sequence[Family] = FAMILIES[:4],
) -> BackgroundSpread:
    """Edge over background with no standard, by family: each fitted beside the edge and drawn through under it.

    Parameters
    ----------
    energy, counts : ndarray (energy,)
        A spectrum, eV and counts.
    signal : tuple of float
        Where the edge is summed, eV.
    before, behind : tuple of float
        Where the background is fitted, in front of the edge and, if given, behind it, eV.
    families : sequence of str
        To compare.
    """
    ranges = [before, signal] if behind is None else [before, signal, behind]
    whole = (energy >= min(low for low, _ in ranges)) & (energy < max(high for _, high in ranges))
    energy, counts = energy[whole], counts[whole].astype(float)
    used = between(energy, before)
    if behind is not None:
        used |= between(energy, behind)
    under = between(energy, signal)
    values: dict[Family, float] = {}
    chi2: dict[Family, float] = {}
    for family in families:
        fit = fit_background(family, energy, counts, np.zeros((len(energy), 0)), used=used)
        values[family] = float(counts[under].sum() / fit.spectrum[under].sum() - 1)
        chi2[family] = fit.chi2
    return BackgroundSpread(values, chi2)


def _weights(chi2: Sequence[float]) -> np.ndarray:
    found = 1 / np.maximum(np.asarray(chi2, float), _TINY)
    normalised: np.ndarray = found / found.sum()
    return normalised


def from_standards(fit: EdgeFit, energy: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Covariance of the amounts from errors of the standards.

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
    n = fit.amounts.shape[1]
    inside = (energy >= fit.energy[0]) & (energy <= fit.energy[-1])
    weights = np.maximum(fit.amounts, 1e-6)
    shapes = fit.edges.mean(weights)
    mean = np.maximum(fit.columns @ fit.background.mean(axis=0) + shapes @ fit.amounts.mean(axis=0), _TINY)
    columns = np.hstack([shapes, fit.columns])
    operator = np.linalg.solve(columns.T @ (columns / mean[:, None]), columns.T / mean)[:n]
    each = np.einsum('ie,es,je->sij', operator, uncertainty[inside] ** 2, operator)
    found: np.ndarray = np.einsum('ps,sij->pij', fit.amounts**2, each)
    return found
