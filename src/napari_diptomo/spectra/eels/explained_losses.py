"""Low loss and core loss of a series, a tilt or a region with the curves that they are fitted with, for a plot.

The first call calibrates the series and finds its standards, later ones read
the pixels that are looked at and answer at once. What a step would be run with
decides: the same window, backgrounds, standards and plural scattering.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_diptomo.series import InputError, Observer, SpectralTiltSeries
from napari_diptomo.series.oxides import mean_valence
from napari_diptomo.spectra.common.non_negative import non_negative
from napari_diptomo.spectra.common.tilt_counts import check_place
from napari_diptomo.spectra.eels.background import BackgroundModel, fit_background
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries, calibrate
from napari_diptomo.spectra.eels.eels_oxidation_maps import EELSOxidationMaps
from napari_diptomo.spectra.eels.map_assembly import Atoms
from napari_diptomo.spectra.eels.metal_edges import CoreLossEdge, in_low_loss_edge
from napari_diptomo.spectra.eels.standards.leading_edge import power_law
from napari_diptomo.spectra.eels.standards.search import StandardsSettings, standards_of
from napari_diptomo.spectra.eels.standards.stored import Standards
from napari_diptomo.spectra.eels.systematics import background_weights, fit_background_models
from napari_diptomo.spectra.eels.tilt_fits import FitPlan, OxideFitSettings, plan_fit

#: Channels expected to hold less than this count as this in the residual.
_LEAST_EXPECTED = 0.5
_LOCK = threading.Lock()
_KEPT: WeakKeyDictionary[SpectralTiltSeries, dict[Any, Any]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class ExplainedRange:
    """A spectrum and what it is fitted with; outside of the window curves are NaN.

    Attributes
    ----------
    energy : ndarray (energy,)
        eV, calibrated.
    counts : ndarray (energy,)
        Recorded.
    window : tuple of float
        Ends of the fit, eV.
    background : ndarray (energy,)
        Expected counts under the edges.
    standards : mapping of str to ndarray (energy,)
        Expected counts of each oxide; empty without standards.
    model : ndarray (energy,)
        Background and standards.
    residual : ndarray (energy,)
        (counts - model) / standard deviation.
    chi2 : float
        Per degree of freedom; 1 where nothing but noise is left.
    background_model : str
        Of the background.
    backgrounds : mapping of str to ndarray (energy,)
        Expected counts of the other background models.
    weights : mapping of str to float
        Weight of each of them in the systematic error.
    """

    energy: np.ndarray
    counts: np.ndarray
    window: tuple[float, float]
    background: np.ndarray
    standards: Mapping[str, np.ndarray]
    model: np.ndarray
    residual: np.ndarray
    chi2: float
    background_model: str = ''
    backgrounds: Mapping[BackgroundModel, np.ndarray] = field(default_factory=dict)
    weights: Mapping[BackgroundModel, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ExplainedEELS:
    """The spectra of an EELS series and what they are fitted with.

    Attributes
    ----------
    low : ExplainedRange
        The low loss.
    core : ExplainedRange, optional
        The core loss; None where the tilt has none.
    pure : mapping of str to ndarray (core tilt, y, x), bool
        Where the oxides are pure by the core-loss edge.
    standards : Standards, optional
        Those that were fitted.
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
        Whose settings are used.
    tilt : int, optional
        One tilt; the sum over all where not given.
    region : ndarray (y, x) of bool, optional
        Pixels to look at; all where not given.
    standards : Standards, optional
        In place of those that the step would find, e.g. from outlined regions.
    observer : Observer, optional
        Receives the progress.

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
    check_place(series, tilt, region)
    calibrated = _kept(series, 'calibrated', lambda: calibrate(series, observer))
    found, why_not = standards, ''
    if found is None:
        found, why_not = _standards(series, step.standards_settings(), calibrated, observer)
    tilts = range(len(series.angles)) if tilt is None else (tilt,)
    pixels = np.ones(series.counts.shape[1:3], bool) if region is None else np.asarray(region, bool)
    spectrum, thickness = _low_loss(series, calibrated, tilts, None if region is None else pixels)
    if not spectrum.any():
        raise InputError('There are no counts in the region; draw it over the specimen.')
    core = explained_core_loss(calibrated, found, tilts, pixels)
    pure = found.pure if found is not None and not step.standards else {}
    if found is None:
        low, state = background_alone(step.fit_settings(), calibrated.series.energy, spectrum), None
    else:
        fit_plan = _plan(series, step.fit_settings(), calibrated, found)
        low, state = _fitted(step.atoms(), fit_plan, spectrum, thickness, len(tilts) * pixels.sum())
    return ExplainedEELS(low, core, pure, found, calibrated, state, why_not, tilt, region)


def _kept(series: SpectralTiltSeries, key: Any, make: Callable[[], Any]) -> Any:
    """The thing made for this series before, or is made now."""
    with _LOCK:
        store = _KEPT.setdefault(series, {})
        if key not in store:
            store[key] = make()
        return store[key]


def _standards(
    series: SpectralTiltSeries, settings: StandardsSettings, calibrated: CalibratedSeries, observer: Observer | None
) -> tuple[Standards | None, str]:
    """Standards as maps would be made with, or why there are none."""

    def make() -> tuple[Standards | None, str]:
        try:
            return standards_of(settings, calibrated, observer), ''
        except InputError as error:
            return None, str(error)

    found: tuple[Standards | None, str] = _kept(series, ('standards', settings), make)
    return found


def _plan(
    series: SpectralTiltSeries, settings: OxideFitSettings, calibrated: CalibratedSeries, standards: Standards
) -> FitPlan:
    # What is looked at are the spectra as counted, whatever the maps are made of.
    looked_at = replace(settings, deconvolve='none' if settings.deconvolve == 'none' else 'standards')
    key = ('plan', looked_at, id(standards))
    # The standards are kept along: another object must not come by their id.
    made: tuple[FitPlan, Standards] = _kept(
        series, key, lambda: (plan_fit(looked_at, calibrated, standards)[0], standards)
    )
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
    atoms: Atoms, fit_plan: FitPlan, spectrum: np.ndarray, thickness: float, pixels: int
) -> tuple[ExplainedRange, tuple[float, float, float] | None]:
    """The low loss of a region fitted as one pixel, with every background model."""
    energy = fit_plan.calibrated.series.energy
    found = fit_background_models(
        spectrum[None],
        energy,
        fit_plan.standards,
        fit_plan.background_models,
        window=fit_plan.window,
        read_noise=fit_plan.read_noise * float(np.sqrt(pixels / fit_plan.gain)),
        fit_shift='common' if fit_plan.fit_shift else 'none',
        thickness=None if fit_plan.single is None else np.array([thickness - fit_plan.thickness]),
        single=fit_plan.single,
        order=0,
    )
    inside = (energy >= fit_plan.window[0]) & (energy <= fit_plan.window[1])
    predicted = {background_model: fit.spectra(slice(0, 1)) for background_model, fit in found.fits.items()}
    background, edges = predicted[found.best]
    curves = {name: whole(inside, edges[0, :, i]) for i, name in enumerate(atoms.states)}
    explained = _range(energy, spectrum, fit_plan, inside, background[0], curves, float(found.fit.chi2[0]), found.best)
    values = {f: fit.intensities[0] / atoms.counts_per_atom for f, fit in found.fits.items()}
    per_atom = 1 / np.outer(atoms.counts_per_atom, atoms.counts_per_atom)
    mean, std = mean_valence(values[found.best], fit_plan.gain * found.fit.covariance[0] * per_atom, atoms.valences)
    weights = background_weights({f: fit.tilt.chi2 for f, fit in found.fits.items()})
    spread = sum(
        weights[f] * float(mean_valence(v, 0 * per_atom, atoms.valences)[0] - mean) ** 2 for f, v in values.items()
    )
    others = {f: whole(inside, back[0]) for f, (back, _) in predicted.items()}
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
    background_model: str,
) -> ExplainedRange:
    under = whole(inside, background)
    model = under + sum(curves.values())
    return ExplainedRange(
        energy, counts, fit_plan.window, under, curves, model, residual_of(counts, model), chi2, background_model
    )


def background_alone(settings: OxideFitSettings, energy: np.ndarray, spectrum: np.ndarray) -> ExplainedRange:
    """Without standards: the background in front of the edge and behind it, extrapolated under it."""
    window = settings.window(energy)
    inside = (energy >= window[0]) & (energy <= window[1])
    edge = in_low_loss_edge(settings.element, energy)[inside]
    asked = settings.background
    background_model: BackgroundModel = 'sum of power laws' if asked == 'auto' or asked == 'plasmon tail' else asked
    fit = fit_background(
        background_model, energy[inside], spectrum[inside], np.zeros((int(inside.sum()), 0)), used=~edge
    )
    under = whole(inside, fit.spectrum)
    return ExplainedRange(
        energy, spectrum, window, under, {}, under, residual_of(spectrum, under), float(fit.chi2), background_model
    )


def explained_core_loss(
    calibrated: CalibratedSeries, standards: Standards | None, tilts: Sequence[int], pixels: np.ndarray
) -> ExplainedRange | None:
    """The core loss of those of the tilts that have one; fitted where the standards come from it."""
    core = calibrated.series.core_loss
    chosen = [i for i, t in enumerate(core.tilts) if t in tilts] if core is not None else []
    if core is None or not chosen:
        return None
    counts = np.sum([np.asarray(core.counts[i])[pixels].sum(axis=0, dtype=float) for i in chosen], axis=0)
    phases = None if standards is None else standards.phases
    energy = core.energy
    nothing = np.full(len(energy), np.nan)
    if phases is None:
        return ExplainedRange(energy, counts, (energy[0], energy[-1]), nothing, {}, nothing, nothing, np.nan)
    # The energies of the phases are corrected ones.
    energy = energy - float(phases.notes.get('energy_offset', 0.0))
    window = (float(phases.energy[0]), float(phases.energy[-1]))
    inside = (energy >= window[0] - 1e-6) & (energy <= window[1] + 1e-6)
    law = power_law(counts, energy, CoreLossEdge.of(phases.names))[0][inside]
    shapes = np.stack([np.interp(energy[inside], phases.energy, shape) for shape in phases.shapes.T], axis=1)
    columns = np.hstack([shapes, law[:, None]])
    root = 1 / np.sqrt(np.maximum(counts[inside], 1.0))
    solution = non_negative(columns * root[:, None], counts[inside] * root)
    curves = {name: whole(inside, n * shape) for name, n, shape in zip(phases.names, solution, shapes.T, strict=False)}
    under = whole(inside, solution[-1] * law)
    model = under + sum(curves.values())
    residual = residual_of(counts, model)
    chi2 = float(np.nansum(residual**2) / max(int(inside.sum()) - columns.shape[1], 1))
    return ExplainedRange(energy, counts, window, under, curves, model, residual, chi2, 'power law')


def whole(inside: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A curve of the window on all channels, NaN elsewhere."""
    curve = np.full(len(inside), np.nan)
    curve[inside] = values
    return curve


def residual_of(counts: np.ndarray, model: np.ndarray) -> np.ndarray:
    residual: np.ndarray = (counts - model) / np.sqrt(np.maximum(model, _LEAST_EXPECTED))
    return residual
