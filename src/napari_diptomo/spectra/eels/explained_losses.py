"""What the low loss and the core loss of a series, a tilt or a region are made of: the curves for a plot.

The first call calibrates the series and finds its standards, later ones read
the pixels that are looked at and answer at once. What a step would be run with
decides: the same window, backgrounds, standards and plural scattering.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_diptomo.series import InputError, Observer, SpectralTiltSeries
from napari_diptomo.series.oxides import mean_valence
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries, calibrate
from napari_diptomo.spectra.eels.eels_oxidation_maps import EELSOxidationMaps
from napari_diptomo.spectra.eels.explained_range import (
    ExplainedRange,
    background_alone,
    explained_core_loss,
    residual_of,
    whole,
)
from napari_diptomo.spectra.eels.oxidation_plan import plan
from napari_diptomo.spectra.eels.standards.oxidation_standards import standards_of
from napari_diptomo.spectra.eels.standards.search import Standards
from napari_diptomo.spectra.eels.systematics import fit_families
from napari_diptomo.spectra.eels.tilt_fits import FitPlan, family_weights

_LOCK = threading.Lock()
_KEPT: WeakKeyDictionary[SpectralTiltSeries, dict[Any, Any]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class ExplainedEELS:
    """What an EELS series is made of.

    Attributes
    ----------
    low : ExplainedRange
        The low loss.
    core : ExplainedRange, optional
        The core loss; None where the tilt has none.
    pure : mapping of str to ndarray (core tilt, y, x), bool
        Where the oxides are pure by the deep edge.
    standards : Standards, optional
        What was fitted.
    calibrated : CalibratedSeries
        The series on one energy axis.
    valence : tuple of float, optional
        Mean of the region: value, statistical and systematic error.
    why_not : str
        Why there are no standards, in a sentence; empty where there are.
    tilt : int, optional
        The tilt, None for the sum over all.
    region : ndarray (y, x) of bool, optional
        The pixels, None for all.
    """

    low: ExplainedRange
    core: ExplainedRange | None
    pure: Mapping[str, np.ndarray]
    standards: Standards | None
    calibrated: CalibratedSeries
    valence: tuple[float, float, float] | None = None
    why_not: str = ''
    tilt: int | None = None
    region: np.ndarray | None = None


def explain_eels(
    series: SpectralTiltSeries,
    step: EELSOxidationMaps | None = None,
    *,
    tilt: int | None = None,
    region: np.ndarray | None = None,
    standards: Standards | None = None,
    observer: Observer | None = None,
) -> ExplainedEELS:
    """Fit the spectra of a series or of a part of it.

    Parameters
    ----------
    series : SpectralTiltSeries
        EELS; the object is remembered with its calibration and standards.
    step : EELSOxidationMaps, optional
        What maps would be made with.
    tilt : int, optional
        One tilt; the sum over all where not given.
    region : ndarray (y, x) of bool, optional
        Pixels to look at; all where not given.
    standards : Standards, optional
        In place of those that the step would find, e.g. from drawn regions.
    observer : Observer, optional
        Told of the first call.

    Returns
    -------
    ExplainedEELS
        Without standards (no core loss, one phase only, ...) it has the
        background in front of the edge and behind it, and says why.

    Raises
    ------
    InputError
        A region without pixels, a tilt that is not there, a low loss that cannot be calibrated or without the edge.
    """
    step = step or EELSOxidationMaps()
    _check(series, tilt, region)
    calibrated = _kept(series, 'calibrated', lambda: calibrate(series, observer))
    found, why_not = standards, ''
    if found is None:
        found, why_not = _standards(series, step, calibrated, observer)
    tilts = range(len(series.angles)) if tilt is None else (tilt,)
    pixels = np.ones(series.counts.shape[1:3], bool) if region is None else np.asarray(region, bool)
    spectrum, thickness = _low_loss(series, calibrated, tilts, None if region is None else pixels)
    if not spectrum.any():
        raise InputError('There are no counts in the region; draw it over the specimen.')
    core = explained_core_loss(calibrated, found, tilts, pixels)
    pure = found.pure if found is not None and not step.standards else {}
    if found is None:
        low, state = background_alone(step, calibrated.series.energy, spectrum), None
    else:
        low, state = _fitted(
            step, _plan(series, step, calibrated, found), spectrum, thickness, len(tilts) * pixels.sum()
        )
    return ExplainedEELS(low, core, pure, found, calibrated, state, why_not, tilt, region)


def _check(series: SpectralTiltSeries, tilt: int | None, region: np.ndarray | None) -> None:
    n = len(series.angles)
    if tilt is not None and not 0 <= tilt < n:
        raise InputError(f'There is no tilt {tilt}; give a number from 0 to {n - 1}.')
    if region is None:
        return
    if np.shape(region) != tuple(series.counts.shape[1:3]):
        raise InputError(
            f'The region has the shape {np.shape(region)}, the images have {tuple(series.counts.shape[1:3])}; '
            'draw it on these images.'
        )
    if not np.any(region):
        raise InputError('The region holds no pixel; draw a larger one.')


def _kept(series: SpectralTiltSeries, key: Any, make: Callable[[], Any]) -> Any:
    """What was made for this series before, or is made now."""
    with _LOCK:
        store = _KEPT.setdefault(series, {})
        if key not in store:
            store[key] = make()
        return store[key]


def _standards(
    series: SpectralTiltSeries, step: EELSOxidationMaps, calibrated: CalibratedSeries, observer: Observer | None
) -> tuple[Standards | None, str]:
    """Standards as the step would have them, or why there are none."""

    def make() -> tuple[Standards | None, str]:
        try:
            return standards_of(step, calibrated, observer), ''
        except InputError as error:
            return None, str(error)

    key = ('standards', step.states, step.standards, step.method, step.references)
    found: tuple[Standards | None, str] = _kept(series, key, make)
    return found


def _plan(
    series: SpectralTiltSeries, step: EELSOxidationMaps, calibrated: CalibratedSeries, standards: Standards
) -> FitPlan:
    # What is looked at are the spectra as counted, whatever the maps are made of.
    looked_at = step.model_copy(update={'deconvolve': 'none' if step.deconvolve == 'none' else 'standards'})
    key = ('plan', looked_at, id(standards))
    # The standards are kept along: another object must not come by their id.
    made: tuple[FitPlan, Standards] = _kept(series, key, lambda: (plan(looked_at, calibrated, standards)[0], standards))
    return made[0]


def _low_loss(
    series: SpectralTiltSeries, calibrated: CalibratedSeries, tilts: Sequence[int], region: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """Summed counts (energy,) and their mean t/lambda, pixels with more counts above the zero loss counting more."""
    total, thickness, weight = np.zeros(len(calibrated.series.energy)), 0.0, 0.0
    for t in tilts:
        if region is None:
            total += _kept(series, ('sum', t), partial(_sum, calibrated.series.counts[t], None))
        else:
            total += _sum(calibrated.series.counts[t], region)
        found = calibrated.t_over_lambda[t] if region is None else calibrated.t_over_lambda[t][region]
        thick = found[np.isfinite(found)]
        thickness, weight = thickness + float((thick**2).sum()), weight + float(thick.sum())
    return total, thickness / weight if weight > 0 else 0.0


def _sum(counts: Any, region: np.ndarray | None) -> np.ndarray:
    image = np.asarray(counts)
    chosen = image.reshape(-1, image.shape[-1]) if region is None else image[region]
    summed: np.ndarray = chosen.sum(axis=0, dtype=float)
    return summed


def _fitted(
    step: EELSOxidationMaps, fit_plan: FitPlan, spectrum: np.ndarray, thickness: float, pixels: int
) -> tuple[ExplainedRange, tuple[float, float, float] | None]:
    """The low loss of a region fitted as one pixel, with every family."""
    energy = fit_plan.calibrated.series.energy
    found = fit_families(
        spectrum[None],
        energy,
        fit_plan.standards,
        fit_plan.families,
        window=fit_plan.window,
        read_noise=fit_plan.calibrated.read_noise * float(np.sqrt(pixels)),
        fit_shift='common' if fit_plan.fit_shift else 'none',
        thickness=None if fit_plan.single is None else np.array([thickness - fit_plan.thickness]),
        single=fit_plan.single,
        order=0,
    )
    inside = (energy >= fit_plan.window[0]) & (energy <= fit_plan.window[1])
    drawn = {family: fit.spectra(slice(0, 1)) for family, fit in found.fits.items()}
    background, edges = drawn[found.best]
    curves = {name: whole(inside, edges[0, :, i]) for i, name in enumerate(step.states)}
    explained = _range(energy, spectrum, fit_plan, inside, background[0], curves, float(found.fit.chi2[0]), found.best)
    atoms = step.atoms()
    values = {f: fit.amounts[0] / atoms.counts_per_atom for f, fit in found.fits.items()}
    per_atom = 1 / np.outer(atoms.counts_per_atom, atoms.counts_per_atom)
    mean, std = mean_valence(values[found.best], found.fit.covariance[0] * per_atom, atoms.valences)
    weights = family_weights({f: fit.tilt.chi2 for f, fit in found.fits.items()})
    spread = sum(
        weights[f] * float(mean_valence(v, 0 * per_atom, atoms.valences)[0] - mean) ** 2 for f, v in values.items()
    )
    others = {f: whole(inside, back[0]) for f, (back, _) in drawn.items()}
    state = None if not mean > 0 else (float(mean), float(std), float(np.sqrt(spread)))
    return replace(explained, backgrounds=others, weights=weights), state


def _range(
    energy: np.ndarray,
    counts: np.ndarray,
    fit_plan: FitPlan,
    inside: np.ndarray,
    background: np.ndarray,
    curves: Mapping[str, np.ndarray],
    chi2: float,
    family: str,
) -> ExplainedRange:
    under = whole(inside, background)
    model = under + sum(curves.values())
    return ExplainedRange(
        energy, counts, fit_plan.window, under, curves, model, residual_of(counts, model), chi2, family
    )
