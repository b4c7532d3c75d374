"""Window, standards and plural scattering for the fit of a series."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.eels.background import FAMILIES, Family
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries
from napari_diptomo.spectra.eels.deconvolution import deconvolved
from napari_diptomo.spectra.eels.metal_edges import COUNTED, counted, shallow_edge
from napari_diptomo.spectra.eels.scattering import SingleLoss
from napari_diptomo.spectra.eels.tilt_fits import FitPlan, usual_thickness

if TYPE_CHECKING:
    from napari_diptomo.spectra.eels.eels_oxidation_maps import EELSOxidationMaps
    from napari_diptomo.spectra.eels.standards.search import Standards

#: Relative to the maximum of the shallow edge, eV: what is fitted, what must be recorded behind it.
_FIT, _LEAST_BEHIND = (-21.0, 38.0), 8.0
#: Loss up to which nothing but plasmons is measured, relative to the maximum, eV.
_ONSET = -14.0


def fit_window(step: EELSOxidationMaps, energy: np.ndarray) -> tuple[float, float]:
    """What is fitted of the low loss, eV.

    Raises
    ------
    InputError
        The edge is not in the low loss, or too close to its end.
    """
    edge = shallow_edge(step.element)
    low = step.energy_min if step.energy_min is not None else edge + _FIT[0]
    high = step.energy_max if step.energy_max is not None else edge + _FIT[1]
    high = min(high, float(energy[-1]))
    name = f'{step.element}-M2,3'
    if energy[-1] < edge + _LEAST_BEHIND:
        raise InputError(
            f'{name} at {edge:g} eV lies at the end of the low loss, which ends at {energy[-1]:.0f} eV; record it to '
            f'{edge + _FIT[1]:.0f} eV or so.'
        )
    if not low < edge + COUNTED[0] < edge < high:
        raise InputError(
            f'The window {low:g}-{high:g} eV does not hold {name} at {edge:g} eV and what lies in front of it; widen it.'
        )
    return low, high


def plan(step: EELSOxidationMaps, calibrated: CalibratedSeries, standards: Standards) -> tuple[FitPlan, dict[str, Any]]:
    """What the tilts are fitted with, and what the notes tell of it."""
    energy = calibrated.series.energy
    window = fit_window(step, energy)
    shapes, uncertainty = _on_axis(standards, energy, window)
    single, told = None, 'plural scattering left in, alike in all pixels'
    reference, thickness = shapes, standards.thickness
    if step.deconvolve != 'none':
        if not np.isfinite(thickness):
            # Standards of a series that was not calibrated hold the plural scattering of pixels like these.
            thickness = usual_thickness(calibrated.t_over_lambda[_middle_tilt(calibrated)])
        single = single_loss(calibrated, shallow_edge(step.element) + _ONSET)
        # Amounts are then counts as they would be without plural scattering, and go with the path through the oxide.
        reference = single.scattered(shapes, np.array([-thickness]))[0]
        told = 'standards given the plural scattering of the thickness of each pixel'
    if step.deconvolve == 'Fourier-log':
        calibrated = deconvolved(calibrated)
        shapes, single, told = reference, None, str(calibrated.notes['deconvolved'])
    norm = reference[counted(step.element, energy)].sum(axis=0)
    if not (norm > 0).all():
        raise InputError('A standard has no edge where it should be; look at the standards, or find them anew.')
    families: tuple[Family, ...] = FAMILIES if step.background == 'auto' else (step.background,)
    fit = FitPlan(
        calibrated,
        shapes / norm,
        None if uncertainty is None else uncertainty / norm,
        window,
        families,
        single,
        thickness,
        step.fit_shift,
        _impurity(standards),
    )
    return fit, {'window_eV': [round(w, 2) for w in window], 'deconvolution': told}


def single_loss(calibrated: CalibratedSeries, onset: float) -> SingleLoss:
    """The single loss of a series, from pixels of the usual thickness of the tilt in the middle."""
    tilt = _middle_tilt(calibrated)
    thickness = calibrated.t_over_lambda[tilt]
    usual = usual_thickness(thickness)
    chosen = np.isfinite(thickness) & (np.abs(thickness - usual) < 0.35 * usual)
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
            'The zero loss of every tilt is saturated, so how thick the specimen is cannot be told; set deconvolve to none.'
        )
    off = np.abs(calibrated.series.angles - np.median(calibrated.series.angles))
    return int(np.where(known, off, np.inf).argmin())


def _impurity(standards: Standards) -> float:
    """Standard deviation of what the oxidised standard holds of the reduced one, as the core loss told it."""
    if 'share_error' in standards.notes:
        return float(standards.notes['share_error'])
    # Standards that were stored before the notes had it.
    told = [values for name, values in standards.notes.items() if '_in_the_purest_' in name]
    return float(told[0][1]) if told else 0.0


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
