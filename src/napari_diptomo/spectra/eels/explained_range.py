"""A spectrum and the curves that it is fitted with: the low loss without standards, the core loss with those of its phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.spectra.common.non_negative import non_negative
from napari_diptomo.spectra.eels.background import Family, fit_background
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries
from napari_diptomo.spectra.eels.metal_edges import counted
from napari_diptomo.spectra.eels.oxidation_plan import fit_window
from napari_diptomo.spectra.eels.standards.leading_edge import DeepEdge, power_law
from napari_diptomo.spectra.eels.standards.search import Standards

if TYPE_CHECKING:
    from napari_diptomo.spectra.eels.eels_oxidation_maps import EELSOxidationMaps

#: Channels expected to hold less than this count as this in the residual.
_LEAST_EXPECTED = 0.5


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
        What was fitted, eV.
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
    family : str
        Of the background.
    backgrounds : mapping of str to ndarray (energy,)
        What other families say.
    weights : mapping of str to float
        What each of them counts for the systematic error.
    """

    energy: np.ndarray
    counts: np.ndarray
    window: tuple[float, float]
    background: np.ndarray
    standards: Mapping[str, np.ndarray]
    model: np.ndarray
    residual: np.ndarray
    chi2: float
    family: str = ''
    backgrounds: Mapping[Family, np.ndarray] = field(default_factory=dict)
    weights: Mapping[Family, float] = field(default_factory=dict)


def background_alone(step: EELSOxidationMaps, energy: np.ndarray, spectrum: np.ndarray) -> ExplainedRange:
    """Without standards: the background in front of the edge and behind it, drawn through under it."""
    window = fit_window(step, energy)
    inside = (energy >= window[0]) & (energy <= window[1])
    edge = counted(step.element, energy)[inside]
    asked = step.background
    family: Family = 'sum of power laws' if asked == 'auto' or asked == 'plasmon tail' else asked
    fit = fit_background(family, energy[inside], spectrum[inside], np.zeros((int(inside.sum()), 0)), used=~edge)
    under = whole(inside, fit.spectrum)
    return ExplainedRange(
        energy, spectrum, window, under, {}, under, residual_of(spectrum, under), float(fit.chi2), family
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
    # The phases tell energies that were put right.
    energy = energy - float(phases.notes.get('energy_offset', 0.0))
    window = (float(phases.energy[0]), float(phases.energy[-1]))
    inside = (energy >= window[0] - 1e-6) & (energy <= window[1] + 1e-6)
    law = power_law(counts, energy, DeepEdge.of(phases.names))[0][inside]
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
