"""What has been made so far: the series, its maps, the aligned maps, the volume.

Every stage's result invalidates what was made from its predecessor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_diptomo.series import MapSeries, Recipe, Source, SpectralTiltSeries, Volume

if TYPE_CHECKING:
    from napari_diptomo.spectra.suggest import FoundElement


class Session(QObject):
    """The data that flow through the dock.

    Signals
    -------
    changed
        Some result is new or gone.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.source = Source()
        self.series: SpectralTiltSeries | None = None
        self.spectrum: np.ndarray | None = None
        self.found: tuple[FoundElement, ...] = ()
        self.doubt = ''
        self.maps: MapSeries | None = None
        self.aligned: MapSeries | None = None
        self.volume: Volume | None = None

    @property
    def input_maps(self) -> MapSeries | None:
        """What a reconstruction takes: the aligned maps, else the maps as they are."""
        return self.aligned if self.aligned is not None else self.maps

    @property
    def angles(self) -> np.ndarray | None:
        """Tilts in degrees of whatever is open."""
        opened = self.series if self.series is not None else self.maps
        return None if opened is None else opened.angles

    @property
    def recipe(self) -> Recipe:
        """How the latest result was made."""
        for made in (self.volume, self.aligned, self.maps, self.series):
            if made is not None and made.recipe is not None:
                return made.recipe
        return Recipe(self.source)

    def set_series(
        self, series: SpectralTiltSeries, spectrum: np.ndarray, found: tuple[FoundElement, ...], doubt: str = ''
    ) -> None:
        """A tilt series of spectra was opened; ``spectrum`` (energy,) is its sum, ``found`` what they seem to hold."""
        self._forget()
        self.series, self.spectrum, self.found, self.doubt = series, spectrum, found, doubt
        self.changed.emit()

    def set_ready_maps(self, maps: MapSeries) -> None:
        """Maps were opened, not made from spectra."""
        self._forget()
        self.maps = maps
        self.changed.emit()

    def set_result(self, result: Any) -> None:
        """A step ended well: maps without shifts found, aligned maps, or a volume."""
        if isinstance(result, Volume):
            self.volume = result
        else:
            self.maps, self.aligned, self.volume = result, None, None
        self.changed.emit()

    def set_aligned(self, maps: MapSeries) -> None:
        """The alignment ended well."""
        self.aligned, self.volume = maps, None
        self.changed.emit()

    def drop_volume(self) -> None:
        """The last run was discarded."""
        self.volume = None
        self.changed.emit()

    def _forget(self) -> None:
        self.series = self.spectrum = self.maps = self.aligned = self.volume = None
        self.found, self.doubt = (), ''


def summary(angles: np.ndarray) -> str:
    """The tilts in one sentence: ``'16 tilts from -40° to 35°, steps of 5°, missing wedge 105°'``.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees, ascending.
    """
    if len(angles) == 1:
        return f'1 tilt at {angles[0]:g}°: a volume needs at least two'
    steps = np.diff(angles)
    if np.ptp(steps) < 0.1:
        step = f'steps of {steps.mean():.3g}°'
    else:
        step = f'steps of {steps.min():.3g}° to {steps.max():.3g}°'
    wedge = 180 - (angles[-1] - angles[0])
    return f'{len(angles)} tilts from {angles[0]:.4g}° to {angles[-1]:.4g}°, {step}, missing wedge {max(wedge, 0):.3g}°'
