"""The plot of how well the projections of a volume explain its maps, tilt by tilt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot
from napari_diptomo.widgets.theme import plot_colours

if TYPE_CHECKING:
    from napari_diptomo.assess import Consistency, TiltPrediction


class MisfitPlot(ThemedPlot):
    """Misfit of every channel over the tilt angle with standard errors; 1, that of the truth, is marked."""

    def __init__(self, label: str = 'misfit / noise', parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.plot = self.plots[0]
        self.plot.setLabel('bottom', 'tilt / °')
        self.plot.setLabel('left', label)
        self.plot.showGrid(y=True, alpha=0.2)
        self._truth = pg.InfiniteLine(1.0, angle=0)
        self.plot.addItem(self._truth, ignoreBounds=True)
        self._curves: list[Any] = []
        self.follow_theme()

    def follow_theme(self, event: Any = None) -> None:
        super().follow_theme(event)
        if hasattr(self, '_truth'):
            self._truth.setPen(pg.mkPen(plot_colours().text, style=Qt.PenStyle.DashLine))

    def show_misfit(self, found: Consistency | TiltPrediction) -> None:
        """Show residuals in place of those before."""
        for curve in self._curves:
            self.plot.removeItem(curve)
        self._curves.clear()
        hues = colours(found.channels)
        for name, misfit, error in zip(found.channels, found.misfit, found.misfit_error, strict=True):
            hue = hues[name]
            bars = pg.ErrorBarItem(x=found.angles, y=misfit, height=2 * error, beam=0.0, pen=pg.mkPen(hue, width=1))
            self.plot.addItem(bars)
            points = self.plot.plot(
                found.angles,
                misfit,
                pen=pg.mkPen(hue, width=1),
                symbol='o',
                symbolSize=5,
                symbolBrush=hue,
                symbolPen=None,
            )
            self._curves += [bars, points]
        ends = np.array([found.misfit - found.misfit_error, found.misfit + found.misfit_error])
        ends = np.append(ends[np.isfinite(ends)], (0.9, 1.1))
        self.plot.setYRange(float(ends.min()), float(ends.max()), padding=0.05)
