"""The composition of a volume and of its regions, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.series import InputError, Observer, Source, Volume

if TYPE_CHECKING:
    from napari_diptomo.assess import CalibratedFactors, Composition, RegionComposition
    from napari_diptomo.assess.channel_factors import Factors, Method
    from napari_diptomo.widgets.controls.standard_dialog import StandardRequest

#: Name of the region of all voxels that have a composition.
WHOLE = 'Specimen'
#: Title of the task that calibrates factors.
CALIBRATION = 'Calibrate factors'


@dataclass(frozen=True, eq=False)
class Composed:
    """A composition with the means that the page shows.

    Attributes
    ----------
    volume : Volume
        Percent, 0 where masked.
    regions : dict of str to RegionComposition or str
        The whole first; a sentence where a region has no composition.
    counts : Volume, optional
        What was quantified; None where the composition was opened from a file.
    step : Composition, optional
        That quantified it.
    """

    volume: Volume
    regions: dict[str, RegionComposition | str]
    counts: Volume | None = None
    step: Composition | None = None


def composing(step: Composition, volume: Volume, labels: np.ndarray | None) -> Callable[[Observer], Composed]:
    """Quantify a volume, its specimen as a whole and every label but 0 of ``labels`` (z, y, x)."""

    def run_composition(observer: Observer) -> Composed:
        from napari_diptomo.assess import region_composition

        result = step.run(volume, observer)
        regions: dict[str, RegionComposition | str] = {
            WHOLE: region_composition(volume, (result.data != 0).any(axis=0), step)
        }
        for label in () if labels is None else np.unique(labels[labels != 0]):
            try:
                regions[f'label {label}'] = region_composition(volume, labels == label, step)
            except InputError as error:
                regions[f'label {label}'] = str(error)
        return Composed(result, regions, volume, step)

    return run_composition


def asking_factors(step: Composition, volume: Volume) -> Callable[[Observer], Factors]:
    """The factors that a step would use; the first question imports the tables of eXSpy."""

    def ask_factors(observer: Observer) -> Factors:
        from napari_diptomo.assess.composition import factors_of

        return factors_of(step, volume)

    return ask_factors


@dataclass(frozen=True, eq=False)
class CalibratedTable:
    """Factors of a standard, and the file that holds them.

    Attributes
    ----------
    path : Path
        The table.
    factors : CalibratedFactors
    """

    path: Path
    factors: CalibratedFactors


def calibrating(request: StandardRequest, method: Method) -> Callable[[Observer], CalibratedTable]:
    """Open a standard, measure its factors for a method, save them."""

    def calibrate(observer: Observer) -> CalibratedTable:
        from napari_diptomo.assess import Dose, StandardSettings
        from napari_diptomo.jobs.factor_standard import calibrate_standard

        film = (request.thickness, request.density, Dose(request.electrons))
        settings = StandardSettings(method, request.lines, *film)
        source = Source(paths=request.paths)
        factors = calibrate_standard(source, request.composition, request.output, settings, observer)
        return CalibratedTable(request.output, factors)

    return calibrate


def describe_composition(result: Volume) -> str:
    """The error of the factors, the mask and the pooling, which the means leave out."""
    notes = result.notes['composition']
    parts = [f'Caution: {result.notes["denoised"]}.'] if 'denoised' in result.notes else []
    systematic = max(notes['error_of_mean_from_factors'].values())
    if systematic > 0:
        parts.append(f'The factors contribute a systematic error of {systematic:.1f} %.')
    parts.append(f'Masked: {notes["masked"]}.')
    if notes['pooled_fwhm_nm'] > 0:
        parts.append(f'Counts pooled over {notes["pooled_fwhm_nm"]:.3g} nm.')
    return ' '.join(parts)
