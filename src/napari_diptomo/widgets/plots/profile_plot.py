"""The plot of a profile through a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot

if TYPE_CHECKING:
    from napari_diptomo.assess import Profile

_HEIGHT = 200
_OPACITY = 70


class ProfilePlot(ThemedPlot):
    """A curve per channel over the distance in nm, its standard error as a band."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setFixedHeight(_HEIGHT)
        self.plot = self.plots[0]
        self.plot.setLabel('bottom', 'distance / nm')
        self.plot.setLabel('left', 'counts / voxel')
        for side in ('bottom', 'left'):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self.plot.showGrid(y=True, alpha=0.2)
        self._curves: list[Any] = []
        #: Bands that are shown, one per channel that has errors.
        self.bands = 0
        self.follow_theme()

    def show_profile(self, profile: Profile) -> None:
        """Show a profile in place of the one before."""
        self.clear_curves()
        hues = colours(profile.channels)
        names = []
        for name, values, error in zip(profile.channels, profile.values, profile.error, strict=True):
            hue = hues[name]
            names.append(f'<span style="color: {hue}">● {name}</span>')
            if np.isfinite(error).all():
                self._add_band(profile.distance, values, error, hue)
            self._curves.append(self.plot.plot(profile.distance, values, pen=pg.mkPen(hue, width=2)))
        self.set_title(self.plot, ' &nbsp; '.join(names))

    def clear_curves(self) -> None:
        """Show nothing."""
        for curve in self._curves:
            self.plot.removeItem(curve)
        self._curves.clear()
        self.bands = 0
        self.set_title(self.plot, None)

    def _add_band(self, distance: np.ndarray, values: np.ndarray, error: np.ndarray, hue: str) -> None:
        ends = [pg.PlotCurveItem(distance, values + side * error, pen=pg.mkPen(None)) for side in (-1, 1)]
        colour = QColor(hue)
        colour.setAlpha(_OPACITY)
        band = pg.FillBetweenItem(*ends, brush=pg.mkBrush(colour))
        for item in (*ends, band):
            self.plot.addItem(item)
        self._curves += [*ends, band]
        self.bands += 1
