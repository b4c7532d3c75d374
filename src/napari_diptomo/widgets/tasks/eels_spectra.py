"""Sums, fits, standards and maps of an EELS series, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series import InputError, MapSeries, Observer, SpectralTiltSeries
from napari_diptomo.series.tilts import angles_in_words
from napari_diptomo.widgets.tasks.edx_spectra import Selection

if TYPE_CHECKING:
    from napari_diptomo.assess.oxidation_state import FractionMaps
    from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries
    from napari_diptomo.spectra.eels.eels_oxidation_maps import EELSOxidationMaps
    from napari_diptomo.spectra.eels.standards.stored import Standards


#: Left of zero a zero loss needs so much room, eV.
_LEFT = 1.0


def is_core_loss_alone(series: SpectralTiltSeries) -> bool:
    """Whether energy losses were opened without their zero loss, and nothing beside them."""
    return series.energy_unit == 'eV' and series.core_loss is None and float(series.energy[0]) > -_LEFT


@dataclass(frozen=True, eq=False)
class MadeOxides:
    """Maps of oxides with the oxidation states that follow from them.

    Attributes
    ----------
    maps : MapSeries
        Atoms or edge counts of each oxide.
    states : FractionMaps, optional
        None where they cannot be determined.
    why : str
        Why not, one sentence.
    """

    maps: MapSeries
    states: FractionMaps | None
    why: str = ''

    @property
    def oxides(self) -> MapSeries:
        """Maps of the oxides themselves where sums of them are delivered."""
        return self.maps if self.maps.mixing is None else self.maps.unmixed()


def mapping_oxides(step: EELSOxidationMaps, series: SpectralTiltSeries) -> Callable[[Observer], MadeOxides]:
    """Run the step, then look at the oxidation state of every pixel."""

    def map_oxides(observer: Observer) -> MadeOxides:
        from napari_diptomo.assess.oxidation_state import fraction_maps

        maps = step.run(series, observer)
        made = MadeOxides(maps, None)
        try:
            return replace(made, states=fraction_maps(made.oxides))
        except InputError as error:
            return replace(made, why=str(error))

    return map_oxides


def asking_window(step: EELSOxidationMaps, series: SpectralTiltSeries) -> Callable[[Observer], tuple[float, float]]:
    """The window of the low loss that the step would fit, eV."""

    def ask_window(observer: Observer) -> tuple[float, float]:
        return step.fit_settings().window(series.energy)

    return ask_window


def explaining_edge(
    series: SpectralTiltSeries, step: EELSOxidationMaps, selection: Selection
) -> Callable[[Observer], Any]:
    """The fit of the low-loss M2,3 edge in the spectrum of a selection."""

    def explain_edge(observer: Observer) -> Any:
        from napari_diptomo.spectra.eels.explained_losses import explain_eels

        return explain_eels(series, step, tilt=selection.tilt, region=selection.region, observer=observer)

    return explain_edge


def summing_core_loss(series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], np.ndarray]:
    """The sum (energy,) of the core loss of a selection."""

    def sum_core_loss(observer: Observer) -> np.ndarray:
        core = series.core_loss
        if core is None:
            raise InputError('This series has no core loss; give its files on the page Open.')
        if selection.tilt is not None and selection.tilt not in core.tilts:
            recorded = angles_in_words(series.angles[list(core.tilts)])
            raise InputError(
                f'There is no core loss at {series.angles[selection.tilt]:g}°, only at {recorded}; move the slider there or '
                'look at all tilts.'
            )
        if selection.region is not None and not selection.region.any():
            raise InputError('The region holds no pixel of the image; draw it on the image or remove it.')
        total = np.zeros(len(core.energy))
        for index, tilt in enumerate(core.tilts):
            if selection.tilt in (None, tilt):
                counts = np.asarray(core.counts[index])
                total += (
                    (counts if selection.region is None else counts[selection.region]).reshape(-1, total.size).sum(0)
                )
        return total

    return sum_core_loss


def calibrating(series: SpectralTiltSeries) -> Callable[[Observer], CalibratedSeries]:
    """Put the series on one energy axis; the look at its spectra finds it done, and its standards too."""

    def calibrate_energies(observer: Observer) -> CalibratedSeries:
        from napari_diptomo.spectra.eels.explained_losses import explain_eels

        if is_core_loss_alone(series):
            raise InputError(
                f'The spectra begin at {series.energy[0]:.0f} eV, a core loss alone: edges, white lines and reference spectra can be '
                'mapped; thickness and oxidation states by M2,3 need the low loss.'
            )
        return explain_eels(series, observer=observer).calibrated

    return calibrate_energies


def saving_standards(standards: Standards, path: str) -> Callable[[Observer], tuple[str, bool]]:
    """Write standards; gives back the file, and that it is not to be taken."""

    def save_standards(observer: Observer) -> tuple[str, bool]:
        return str(standards.save(path)), False

    return save_standards


def drawing_standards(
    series: SpectralTiltSeries, step: EELSOxidationMaps, masks: dict[str, np.ndarray], path: str
) -> Callable[[Observer], tuple[str, bool]]:
    """Make standards with these pixels as pure, write them; gives back the file, which is to be taken."""

    def draw_standards(observer: Observer) -> tuple[str, bool]:
        from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
        from napari_diptomo.spectra.eels.standards.search import find_standards

        standards = find_standards(calibrate(series, observer), pure=masks, observer=observer)
        return str(standards.save(path)), True

    return draw_standards
