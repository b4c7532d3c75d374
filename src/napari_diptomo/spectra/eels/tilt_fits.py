"""The tilts of an EELS series fitted one after the other, with every background that is asked for.

The background model that describes the sums of ALL tilts best gives the maps: were it
chosen tilt by tilt, tilts would disagree by the difference of two background models,
and no volume fits that. The difference to the other background models is systematic error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from napari_diptomo.series import InputError, Watch
from napari_diptomo.series.counts import thin
from napari_diptomo.spectra.eels.background import BACKGROUND_MODELS, BackgroundModel
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries
from napari_diptomo.spectra.eels.counts_per_electron import counts_per_electron
from napari_diptomo.spectra.eels.deconvolution import deconvolved
from napari_diptomo.spectra.eels.metal_edges import EDGE_RANGE, in_low_loss_edge, low_loss_edge
from napari_diptomo.spectra.eels.scattering import SingleLoss
from napari_diptomo.spectra.eels.standards.matching import Match, moved
from napari_diptomo.spectra.eels.standards.on_series import match_low_loss
from napari_diptomo.spectra.eels.standards.stored import Standards
from napari_diptomo.spectra.eels.systematics import ModelFits, background_spread, fit_background_models, from_standards

#: Relative to the maximum of the low-loss edge, eV: what is fitted, what must be recorded behind it.
_FIT, _LEAST_BEHIND = (-21.0, 38.0), 8.0
#: Pixels are of the typical thickness within this share of it.
_TYPICAL = 0.35
#: Loss up to which nothing but plasmons is measured, relative to the maximum, eV.
_ONSET = -14.0


@dataclass(frozen=True)
class OxideFitSettings:
    """The fit of the oxides of a metal to its low-loss edge.

    Attributes
    ----------
    element : str
        The metal.
    background : str
        Background model; ``'auto'``: all, see `background`.
    energy_min, energy_max : float, optional
        Ends of the fit, eV; None: 21 eV below and 38 eV above the maximum of the edge.
    deconvolve : {'standards', 'Fourier-log', 'none'}
        Plural scattering: put into the standards, taken out of the spectra, or left as it is.
    fit_shift : bool
        Whether standards may move.
    """

    element: str = 'Fe'
    background: BackgroundModel | Literal['auto'] = 'auto'
    energy_min: float | None = None
    energy_max: float | None = None
    deconvolve: Literal['standards', 'Fourier-log', 'none'] = 'standards'
    fit_shift: bool = True

    def window(self, energy: np.ndarray) -> tuple[float, float]:
        """Ends of the fit on the energies (energy,) of a low loss, eV.

        Raises
        ------
        InputError
            The edge is not in the low loss, or too close to its end.
        """
        edge = low_loss_edge(self.element)
        low = self.energy_min if self.energy_min is not None else edge + _FIT[0]
        high = self.energy_max if self.energy_max is not None else edge + _FIT[1]
        high = min(high, float(energy[-1]))
        name = f'{self.element}-M2,3'
        if energy[-1] < edge + _LEAST_BEHIND:
            raise InputError(
                f'{name} at {edge:g} eV lies at the end of the low loss, which ends at {energy[-1]:.0f} eV; record it to '
                f'{edge + _FIT[1]:.0f} eV or so.'
            )
        if not low < edge + EDGE_RANGE[0] < edge < high:
            raise InputError(
                f'The window {low:g}-{high:g} eV does not hold {name} at {edge:g} eV and what lies in front of it; widen it.'
            )
        return low, high


@dataclass(frozen=True, eq=False)
class FitPlan:
    """Spectra, standards and settings that all tilts are fitted with.

    Attributes
    ----------
    calibrated : CalibratedSeries
        The spectra.
    standards : ndarray (energy, state)
        One count each where edge counts are counted.
    uncertainty : ndarray (energy, state), optional
        Standard deviation of ``standards``.
    window : tuple of float
        Ends of the fit, eV.
    background_models : tuple of str
        Of the background.
    single : SingleLoss, optional
        Of a single loss; None where standards are not given the thickness of the pixel.
    thickness : float
        t/lambda that is in the standards.
    fit_shift : bool
        Whether standards may move.
    impurities : ndarray (2, 2)
        Covariance of the share of the last oxide in the standard of the first, and of the first in that of the last,
        counts of the edge.
    gain : float
        Counts per electron.
    read_noise : float
        Standard deviation of a channel beyond that of counting, counts.
    """

    calibrated: CalibratedSeries
    standards: np.ndarray
    uncertainty: np.ndarray | None
    window: tuple[float, float]
    background_models: tuple[BackgroundModel, ...]
    single: SingleLoss | None
    thickness: float
    fit_shift: bool
    impurities: np.ndarray = field(default_factory=lambda: np.zeros((2, 2)))
    gain: float = 1.0
    read_noise: float = 0.0

    @property
    def impurity(self) -> float:
        """Standard deviation of the share of the first oxide in the standard of the last."""
        return float(np.sqrt(self.impurities[1, 1]))

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
            # Where the zero loss is saturated the typical thickness stands in, of the series if all of the tilt is.
            typical = np.median(found[known]) if known.any() else typical_thickness(self.calibrated.t_over_lambda)
            extra = np.where(known, found, typical) - self.thickness
        return {
            'window': self.window,
            # Weights need be right up to a factor: those of counts that are g times as many as electrons are g m + r^2.
            'read_noise': self.read_noise / float(np.sqrt(self.gain)),
            'fit_shift': 'common' if self.fit_shift else 'none',
            'shifts': self.calibrated.remainder[tilt].ravel(),
            'thickness': extra,
            'single': self.single,
            'allow_negative': True,
        }


def plan_fit(
    settings: OxideFitSettings, calibrated: CalibratedSeries, standards: Standards
) -> tuple[FitPlan, dict[str, Any]]:
    """Window, standards and plural scattering for the fit of a series.

    Parameters
    ----------
    settings : OxideFitSettings
        Chosen by the user.
    calibrated : CalibratedSeries
        The spectra, not deconvolved.
    standards : Standards
        Of the oxides, on an axis of their own.

    Returns
    -------
    plan : FitPlan
    notes : dict
        Window and deconvolution (JSON-ready).

    Raises
    ------
    InputError
        A window without the edge, standards that do not cover it, a zero loss saturated at every tilt.
    """
    energy = calibrated.series.energy
    window = settings.window(energy)
    shapes, uncertainty = _on_axis(standards, energy, window)
    single, deconvolution = None, 'plural scattering left in, alike in all pixels'
    reference, thickness = shapes, standards.thickness
    notes: dict[str, Any] = {}
    impurities = _impurities(standards)
    if settings.deconvolve != 'none':
        if not np.isfinite(thickness):
            # Standards of a series that was not calibrated hold the plural scattering of pixels like these.
            thickness = typical_thickness(calibrated.t_over_lambda[_middle_tilt(calibrated)])
        single = single_loss(calibrated, low_loss_edge(settings.element) + _ONSET)
    if standards.phases is None and shapes.shape[1] == 2:
        found = _matched(shapes, calibrated, window, single, thickness)
        shapes = moved(shapes, energy, found.shift, found.variance)
        impurities = impurities + found.impurity
        notes['stored_standards'] = {
            'shift': [round(found.shift, 3), round(float(np.sqrt(found.covariance[0, 0])), 3)],
            'variance': [round(found.variance, 3), round(float(np.sqrt(found.covariance[1, 1])), 3)],
            'chi2': round(found.chi2, 3),
        }
        reference = shapes
    if single is not None:
        # Intensities are then counts as they would be without plural scattering, and go with the path through the oxide.
        reference = single.scattered(shapes, np.array([-thickness]))[0]
        deconvolution = 'standards given the plural scattering of the thickness of each pixel'
    if settings.deconvolve == 'Fourier-log':
        calibrated = deconvolved(calibrated)
        shapes, single, deconvolution = reference, None, str(calibrated.notes['deconvolved'])
    norm = reference[in_low_loss_edge(settings.element, energy)].sum(axis=0)
    if not (norm > 0).all():
        raise InputError('A standard has no edge where it should be; look at the standards, or find them anew.')
    gain, read_noise = _gain(calibrated, window)
    background_models: tuple[BackgroundModel, ...] = (
        BACKGROUND_MODELS if settings.background == 'auto' else (settings.background,)
    )
    fit = FitPlan(
        calibrated,
        shapes / norm,
        None if uncertainty is None else uncertainty / norm,
        window,
        background_models,
        single,
        thickness,
        settings.fit_shift,
        impurities,
        gain,
        calibrated.read_noise if read_noise is None else read_noise,
    )
    notes['counts_per_electron'] = round(gain, 3)
    return fit, {'window_eV': [round(w, 2) for w in window], 'deconvolution': deconvolution, **notes}


def _gain(calibrated: CalibratedSeries, window: tuple[float, float]) -> tuple[float, float | None]:
    """Counts per electron and read-out noise: the tilt in the middle of three of the series."""
    number = len(calibrated.series.angles)
    found = [
        counts_per_electron(np.asarray(calibrated.series.counts[tilt]), calibrated.series.energy, window)
        for tilt in sorted({0, number // 2, number - 1})
    ]
    return sorted(found, key=lambda one: one[0])[len(found) // 2]


def _matched(
    shapes: np.ndarray,
    calibrated: CalibratedSeries,
    window: tuple[float, float],
    single: SingleLoss | None,
    thickness: float,
) -> Match:
    """Standards matched to the typical pixels of the tilt in the middle."""
    energy = calibrated.series.energy
    known = np.isfinite(calibrated.t_over_lambda).any(axis=(1, 2))
    tilt = _middle_tilt(calibrated) if known.any() else len(calibrated.series.angles) // 2
    counts = np.asarray(calibrated.series.counts[tilt])
    typical = np.ones(counts.shape[:2], bool)
    if known.any():
        found = calibrated.t_over_lambda[tilt]
        middle = typical_thickness(found)
        typical = np.isfinite(found) & (np.abs(found - middle) < _TYPICAL * middle)
        if single is not None:
            shapes = single.scattered(shapes, np.array([middle - thickness]))[0]
    spectrum = counts[typical].sum(axis=0, dtype=float)
    read_variance = float(typical.sum()) * calibrated.read_noise**2
    return match_low_loss(shapes, energy, spectrum, window, single, read_variance)


def single_loss(calibrated: CalibratedSeries, onset: float) -> SingleLoss:
    """The single loss of a series, from pixels of the typical thickness of the tilt in the middle."""
    tilt = _middle_tilt(calibrated)
    thickness = calibrated.t_over_lambda[tilt]
    typical = typical_thickness(thickness)
    chosen = np.isfinite(thickness) & (np.abs(thickness - typical) < _TYPICAL * typical)
    counts = np.asarray(calibrated.series.counts[tilt])
    return SingleLoss.of(calibrated.series.energy, counts[chosen].sum(axis=0, dtype=float), onset)


def _middle_tilt(calibrated: CalibratedSeries) -> int:
    """Nearest to the middle of those whose thickness is known.

    Raises
    ------
    InputError
        There is none.
    """
    known = np.isfinite(calibrated.t_over_lambda).any(axis=(1, 2))
    if not known.any():
        raise InputError(
            'The zero loss of every tilt is saturated, so the thickness of the specimen is unknown; set deconvolve to none.'
        )
    off = np.abs(calibrated.series.angles - np.median(calibrated.series.angles))
    return int(np.where(known, off, np.inf).argmin())


def _impurities(standards: Standards) -> np.ndarray:
    """Covariance of what each standard holds of the other oxide, from the core loss, (2, 2)."""
    if 'impurity' in standards.notes:
        return np.array(standards.notes['impurity'], float)
    # Standards that were stored before the notes had it, or before they had even the share.
    recorded = [values for name, values in standards.notes.items() if '_in_the_purest_' in name]
    error = standards.notes.get('share_error', recorded[0][1] if recorded else 0.0)
    return np.diag([0.0, float(error) ** 2])


def _on_axis(
    standards: Standards, energy: np.ndarray, window: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Shapes and their uncertainty per channel of another axis, (energy, state)."""
    step = float(energy[1] - energy[0])
    if standards.energy[0] > window[0] + step or standards.energy[-1] < window[1] - step:
        raise InputError(
            f'The standards reach from {standards.energy[0]:.0f} to {standards.energy[-1]:.0f} eV and the fit from '
            f'{window[0]:.0f} to {window[1]:.0f} eV; narrow its window, or find the standards anew.'
        )
    return standards.on(energy), replace(standards, shapes=standards.uncertainty).on(energy)


@dataclass(frozen=True, eq=False)
class TiltFits:
    """One tilt fitted with every background model.

    Attributes
    ----------
    intensities : mapping of str to ndarray (pixel, state)
        Edge counts.
    covariance : mapping of str to ndarray (pixel, state, state)
        Statistical.
    held_out : mapping of str to ndarray (pixel, state), optional
        The part of ``intensities`` that held-out counts make.
    residual : mapping of str to ndarray (pixel,)
        Chi-square per degree of freedom.
    chi2 : mapping of str to float
        Of the sum of the tilt.
    standard_errors : ndarray (state, state, state, state)
        Covariance of the intensities (third and fourth axis) from the errors of two standards (first and second), per
        product of their intensities.
    shift : ndarray (state,)
        Shift of the standards with the best background model, eV.
    """

    intensities: Mapping[BackgroundModel, np.ndarray]
    covariance: Mapping[BackgroundModel, np.ndarray]
    held_out: Mapping[BackgroundModel, np.ndarray] | None
    residual: Mapping[BackgroundModel, np.ndarray]
    chi2: Mapping[BackgroundModel, float]
    standard_errors: np.ndarray
    shift: Mapping[BackgroundModel, np.ndarray]


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
        Receives the progress.
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


def typical_thickness(thickness: np.ndarray) -> float:
    """Mean t/lambda weighted by itself, so that vacuum has no say."""
    known = thickness[np.isfinite(thickness)]
    return float((known**2).sum() / max(float(known.sum()), 1e-300))


def best_model(tilts: Sequence[TiltFits]) -> BackgroundModel:
    """The background model with the least chi-square over all tilts."""
    return min(tilts[0].chi2, key=lambda background_model: sum(tilt.chi2[background_model] for tilt in tilts))


def systematic(tilt: TiltFits, best: BackgroundModel) -> np.ndarray:
    """Covariance of the intensities of a background model from background and standards, (pixel, state, state)."""
    common = from_standard_errors(tilt, tilt.intensities[best])
    return background_spread(tilt.intensities, best, tilt.chi2, common)


def from_standard_errors(tilt: TiltFits, intensities: np.ndarray) -> np.ndarray:
    """Covariance of intensities (pixel, state) from the errors of the standards, (pixel, state, state); common to all pixels."""
    found: np.ndarray = np.einsum('ps,pt,stij->pij', intensities, intensities, tilt.standard_errors)
    return found


def are_whole(counts: np.ndarray) -> bool:
    """Whether counts are whole and not negative, so that a fraction of them can be held out."""
    if counts.dtype.kind in 'ui':
        return counts.dtype.kind == 'u' or bool((counts >= 0).all())
    return bool((counts >= 0).all() and (counts == np.round(counts)).all())


def _fits(plan: FitPlan, tilt: int, counts: np.ndarray, held: np.ndarray | None, watch: Watch) -> ModelFits:
    return fit_background_models(
        counts,
        plan.calibrated.series.energy,
        plan.standards,
        plan.background_models,
        held=held,
        between=partial(watch.step, tilt, message=f'tilt {tilt + 1} of {len(plan.calibrated.series.angles)}'),
        **plan.options(tilt),
    )


def _put_together(found: ModelFits, plan: FitPlan, share: float) -> TiltFits:
    """Intensities of all counts: those of the fitted ones and of the held-out ones."""
    fits = found.fits
    held_out = {f: fit.held_out for f, fit in fits.items() if fit.held_out is not None} if share else None
    states = found.fit.intensities.shape[1]
    errors = np.zeros((states,) * 4)
    if plan.uncertainty is not None:
        of_pixels = from_standards(found.fit, plan.calibrated.series.energy, plan.uncertainty)
        # It is linear in the squares of the intensities; what is wanted are its coefficients.
        flat = of_pixels.reshape(len(of_pixels), -1)
        each = np.linalg.lstsq(found.fit.intensities**2, flat, rcond=None)[0]
        errors[range(states), range(states)] = each.reshape((states,) * 3)
    # What a standard holds of the other moves counts from one oxide to the other, alike in all channels and pixels: shares
    # e_1 and e_2 move e_2 a_2 - e_1 a_1 to the first.
    move = np.zeros(states)
    move[0], move[-1] = 1.0, -1.0
    ends, signs = [0, -1], np.array([-1.0, 1.0])
    moved = plan.impurities * np.outer(signs, signs)
    errors[np.ix_(ends, ends)] += moved[:, :, None, None] * np.outer(move, move)
    return TiltFits(
        {f: fit.intensities + (held_out[f] if held_out else 0) for f, fit in fits.items()},
        # The held-out counts add their share of the variance to that of the others.
        {f: plan.gain * fit.covariance / (1 - share) for f, fit in fits.items()},
        held_out,
        {f: fit.chi2 / plan.gain for f, fit in fits.items()},
        {f: fit.tilt.chi2 / plan.gain for f, fit in fits.items()},
        errors,
        {f: fit.shift for f, fit in fits.items()},
    )


def _held_out(counts: np.ndarray, share: float, seed: tuple[int, int]) -> np.ndarray:
    if not are_whole(counts):
        raise InputError(
            'The spectra of some tilts are whole counts, those of others are not, so no counts can be held out; set the '
            'held-out fraction to 0.'
        )
    return thin(counts, share, np.random.default_rng(seed)).astype(np.float32)
