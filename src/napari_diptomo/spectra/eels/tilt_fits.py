"""The tilts of an EELS series fitted one after the other, with every background that is asked for.

The family that describes the sums of ALL tilts best gives the maps: were it
chosen tilt by tilt, tilts would disagree by the difference of two families,
and no volume fits that. What the other families tell is systematic error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_diptomo.series import InputError, Watch
from napari_diptomo.series.counts import thin
from napari_diptomo.spectra.eels.background import Family
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries
from napari_diptomo.spectra.eels.scattering import SingleLoss
from napari_diptomo.spectra.eels.systematics import FamilyFits, fit_families, from_standards


@dataclass(frozen=True, eq=False)
class FitPlan:
    """What all tilts are fitted with.

    Attributes
    ----------
    calibrated : CalibratedSeries
        The spectra.
    standards : ndarray (energy, state)
        One count each where edge counts are counted.
    uncertainty : ndarray (energy, state), optional
        Standard deviation of ``standards``.
    window : tuple of float
        What is fitted, eV.
    families : tuple of str
        Of the background.
    single : SingleLoss, optional
        Of a single loss; None where standards are not given the thickness of the pixel.
    thickness : float
        t/lambda that is in the standards.
    fit_shift : bool
        Whether standards may move.
    impurity : float
        Standard deviation of the share of the first oxide in the standard of the last, counts of the edge.
    """

    calibrated: CalibratedSeries
    standards: np.ndarray
    uncertainty: np.ndarray | None
    window: tuple[float, float]
    families: tuple[Family, ...]
    single: SingleLoss | None
    thickness: float
    fit_shift: bool
    impurity: float = 0.0

    def spectra(self, tilt: int) -> np.ndarray:
        """Counts of a tilt, (pixel, energy)."""
        counts = np.asarray(self.calibrated.series.counts[tilt])
        return counts.reshape(-1, counts.shape[-1])

    def options(self, tilt: int) -> dict[str, Any]:
        """Options of `fit_edges` for the pixels of a tilt."""
        extra = None
        if self.single is not None:
            found = self.calibrated.t_over_lambda[tilt].ravel()
            known = np.isfinite(found)
            # Where the zero loss is saturated the usual thickness stands in, of the series if all of the tilt is.
            usual = np.median(found[known]) if known.any() else usual_thickness(self.calibrated.t_over_lambda)
            extra = np.where(known, found, usual) - self.thickness
        return {
            'window': self.window,
            'read_noise': self.calibrated.read_noise,
            'fit_shift': 'common' if self.fit_shift else 'none',
            'shifts': self.calibrated.remainder[tilt].ravel(),
            'thickness': extra,
            'single': self.single,
            'allow_negative': True,
        }


@dataclass(frozen=True, eq=False)
class TiltFits:
    """One tilt fitted with every family.

    Attributes
    ----------
    amounts : mapping of family to ndarray (pixel, state)
        Edge counts.
    covariance : mapping of family to ndarray (pixel, state, state)
        Statistical.
    held_out : mapping of family to ndarray (pixel, state), optional
        The part of ``amounts`` that held-out counts make.
    residual : mapping of family to ndarray (pixel,)
        Chi-square per degree of freedom.
    chi2 : mapping of family to float
        Of the sum of the tilt.
    standard_errors : ndarray (state, state, state)
        Covariance of the amounts from the errors of each standard, per square of its amount.
    shift : ndarray (state,)
        What the standards were moved by with the best family, eV.
    """

    amounts: Mapping[Family, np.ndarray]
    covariance: Mapping[Family, np.ndarray]
    held_out: Mapping[Family, np.ndarray] | None
    residual: Mapping[Family, np.ndarray]
    chi2: Mapping[Family, float]
    standard_errors: np.ndarray
    shift: Mapping[Family, np.ndarray]


def fit_tilts(plan: FitPlan, share: float, seed: int, watch: Watch) -> list[TiltFits]:
    """Fit all tilts.

    Parameters
    ----------
    plan : FitPlan
        With what.
    share : float
        Of the counts that are held out; 0 where counts are not whole.
    seed : int
        Of their draw.
    watch : Watch
        Told of every tilt; may cancel within one.
    """
    found = []
    n = len(plan.calibrated.series.angles)
    for t in range(n):
        counts, held = plan.spectra(t), None
        if share > 0:
            held = _held_out(counts, share, (seed, t))
            counts = counts - held
        found.append(_put_together(_fits(plan, t, counts, held, watch), plan, share if held is not None else 0.0))
        watch.step(t + 1, message=f'oxides of tilt {t + 1} of {n}')
    return found


def usual_thickness(thickness: np.ndarray) -> float:
    """Mean t/lambda weighted by itself, so that vacuum has no say."""
    known = thickness[np.isfinite(thickness)]
    return float((known**2).sum() / max(float(known.sum()), 1e-300))


def best_family(tilts: Sequence[TiltFits]) -> Family:
    """The family with the least chi-square over all tilts."""
    return min(tilts[0].chi2, key=lambda family: sum(tilt.chi2[family] for tilt in tilts))


def family_weights(chi2: Mapping[Family, float]) -> dict[Family, float]:
    """What each family counts for the systematic error, by 1 / chi2; sum one."""
    inverse = {family: 1 / max(value, 1e-300) for family, value in chi2.items()}
    total = sum(inverse.values())
    return {family: value / total for family, value in inverse.items()}


def systematic(tilt: TiltFits, best: Family) -> np.ndarray:
    """Covariance of the amounts of a family from background and standards, (pixel, state, state)."""
    found = from_standard_errors(tilt, tilt.amounts[best])
    for family, weight in family_weights(tilt.chi2).items():
        off = tilt.amounts[family] - tilt.amounts[best]
        found += weight * off[:, :, None] * off[:, None, :]
    return found


def from_standard_errors(tilt: TiltFits, amounts: np.ndarray) -> np.ndarray:
    """Covariance of amounts (pixel, state) from the errors of the standards, (pixel, state, state); common to all pixels."""
    found: np.ndarray = np.einsum('ps,sij->pij', amounts**2, tilt.standard_errors)
    return found


def are_whole(counts: np.ndarray) -> bool:
    """Whether counts are whole and not negative, so that a share of them can be drawn."""
    if counts.dtype.kind in 'ui':
        return counts.dtype.kind == 'u' or bool((counts >= 0).all())
    return bool((counts >= 0).all() and (counts == np.round(counts)).all())


def _fits(plan: FitPlan, tilt: int, counts: np.ndarray, held: np.ndarray | None, watch: Watch) -> FamilyFits:
    return fit_families(
        counts,
        plan.calibrated.series.energy,
        plan.standards,
        plan.families,
        held=held,
        between=watch.obey,
        **plan.options(tilt),
    )


def _put_together(found: FamilyFits, plan: FitPlan, share: float) -> TiltFits:
    """Amounts of all counts: those of the fitted ones and of the held-out ones."""
    fits = found.fits
    held_out = {f: fit.held_out for f, fit in fits.items() if fit.held_out is not None} if share else None
    states = found.fit.amounts.shape[1]
    errors = np.zeros((states,) * 3)
    if plan.uncertainty is not None:
        of_pixels = from_standards(found.fit, plan.calibrated.series.energy, plan.uncertainty)
        # It is linear in the squares of the amounts; what is wanted are its coefficients.
        flat = of_pixels.reshape(len(of_pixels), -1)
        errors = np.linalg.lstsq(found.fit.amounts**2, flat, rcond=None)[0].reshape(errors.shape)
    # What one standard holds of another moves counts from one oxide to the other, alike in all channels and pixels.
    move = np.zeros(states)
    move[0], move[-1] = 1.0, -1.0
    errors[-1] += plan.impurity**2 * np.outer(move, move)
    return TiltFits(
        {f: fit.amounts + (held_out[f] if held_out else 0) for f, fit in fits.items()},
        # The held-out counts add their share of the variance to that of the others.
        {f: fit.covariance / (1 - share) for f, fit in fits.items()},
        held_out,
        {f: fit.chi2 for f, fit in fits.items()},
        {f: fit.tilt.chi2 for f, fit in fits.items()},
        errors,
        {f: fit.shift for f, fit in fits.items()},
    )


def _held_out(counts: np.ndarray, share: float, seed: tuple[int, int]) -> np.ndarray:
    if not are_whole(counts):
        raise InputError(
            'The spectra of some tilts are whole counts, those of others are not, so no counts can be held out; set the '
            'held-out share to 0.'
        )
    return thin(counts, share, np.random.default_rng(seed)).astype(np.float32)
