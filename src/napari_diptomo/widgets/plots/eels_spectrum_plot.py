"""The plot of an energy loss spectrum: the window of the fit can be dragged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.compat import isalive
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_diptomo.widgets.plots.spectrum_plot import SpectrumPlot
from napari_diptomo.widgets.theme import plot_colours

#: Narrower windows than this cannot be dragged, eV.
_NARROWEST = 5.0
#: Low losses have millions of counts.
_AXIS_WIDTH = 72
#: Calibration moves the ends of an axis by less than this, eV.
_MOST_MOVED = 15.0


class EELSPlot(SpectrumPlot):
    """A spectrum of energy losses with its fit; the counts fill the height where one looks.

    The zero loss is thousands of times higher than an edge, so the first look
    is at the edge; a double-click shows all and goes back.

    Signals
    -------
    window_moved(float, float)
        The user has dragged the window or one of its ends, eV.
    """

    window_moved = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        self._focus: tuple[float, float] | None = None
        self._setting = False
        super().__init__(parent)
        self.setToolTip(
            '<qt>Drag the ends of the shaded window to choose what is fitted. Beside it drag to move along the energies, '
            'drag with the right button to stretch them; double-click for all and back.</qt>'
        )
        for plot in self.plots:
            plot.getAxis('left').setWidth(_AXIS_WIDTH)
        # A title as long as the key would widen the plot beyond the dock.
        self.plot.setTitle(None)
        self.span = pg.LinearRegionItem(movable=True)
        self.span.setZValue(-20)
        self.span.sigRegionChangeFinished.connect(self._dragged)
        self.span.setVisible(False)
        self.plot.addItem(self.span, ignoreBounds=True)
        self.follow_theme()

    def set_focus(self, limits: tuple[float, float] | None) -> None:
        """Energies to look at first, eV; None for all."""
        if limits != self._focus:
            self._focus = limits
            self.show_all()

    def set_spectrum(self, energy: np.ndarray, counts: np.ndarray, unit: str) -> None:
        """As `SpectrumPlot.set_spectrum`; an axis that calibration has moved a little counts as the same."""
        before, ends = self.plot.getViewBox().viewRange()[0], self._energy[[0, -1]] if self._energy.size else None
        super().set_spectrum(energy, counts, unit)
        if ends is not None and np.abs(ends - self._energy[[0, -1]]).max() < _MOST_MOVED:
            self.plot.setXRange(*before, padding=0)

    def set_others(self, energy: np.ndarray, backgrounds: Mapping[Any, np.ndarray]) -> None:
        """Draw what other families of backgrounds say; they go with the fit."""
        for values in backgrounds.values():
            curve = pg.PlotDataItem(pen=pg.mkPen(plot_colours().text, width=1, style=Qt.PenStyle.DotLine))
            curve.setLogMode(False, self.log)
            curve.setData(energy, self._liftable(values), connect='finite')
            self.plot.addItem(curve, ignoreBounds=True)
            self._parts.append(curve)

    def set_window(self, limits: tuple[float, float] | None) -> None:
        """Show the window of the fit, eV; None where there is none."""
        self.span.setVisible(limits is not None)
        if limits is None or self._energy.size == 0:
            return
        self._setting = True
        try:
            self.span.setBounds((float(self._energy[0]), float(self._energy[-1])))
            self.span.setRegion(limits)
        finally:
            self._setting = False

    def show_all(self) -> None:
        """The range of interest, if that is known, else all."""
        if self._focus is not None:
            self.plot.setXRange(*self._focus, padding=0)
        elif self._energy.size:
            self.plot.setXRange(float(self._energy[0]), float(self._energy[-1]), padding=0.01)

    def mouseDoubleClickEvent(self, event: Any) -> None:
        low, high = self.plot.getViewBox().viewRange()[0]
        focus = self._focus
        if focus is not None and np.allclose((low, high), focus, atol=0.01 * (focus[1] - focus[0])):
            self.plot.setXRange(float(self._energy[0]), float(self._energy[-1]), padding=0.01)
        else:
            self.show_all()

    def follow_theme(self, event: Any = None) -> None:
        super().follow_theme(event)
        if not (isalive(self) and hasattr(self, 'span')):
            return
        colours = plot_colours()
        for alpha, brush in ((20, self.span.setBrush), (45, self.span.setHoverBrush)):
            shade = pg.mkColor(colours.warning)
            shade.setAlpha(alpha)
            brush(shade)
        for line in self.span.lines:
            line.setPen(pg.mkPen(colours.warning, width=2))
            line.setHoverPen(pg.mkPen(colours.text, width=3))

    def _dragged(self) -> None:
        low, high = (float(value) for value in self.span.getRegion())
        if self._setting:
            return
        if high - low < _NARROWEST:
            middle = (low + high) / 2
            low, high = middle - _NARROWEST / 2, middle + _NARROWEST / 2
            self.set_window((low, high))
        self.window_moved.emit(low, high)

    def _seen(self) -> np.ndarray:
        """The counts between the ends of the axis."""
        low, high = self.plot.getViewBox().viewRange()[0]
        return self._counts[(self._energy >= low) & (self._energy <= high)]

    def _top(self) -> float:
        seen = self._seen()
        return self._lift(float(seen.max())) if seen.size else super()._top()
