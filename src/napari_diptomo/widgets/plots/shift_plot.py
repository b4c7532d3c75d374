"""The plot of the shifts found by the alignment; its points are dragged up and down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs.colours import HUES
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot


class ShiftPlot(ThemedPlot):
    """The shifts found by the alignment over the tilt angle.

    Signals
    -------
    moved(int, float, float)
        The point of a tilt was dragged: its number, and the change of its shift along y and x, pixels.
    """

    moved = Signal(int, float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.plot = self.plots[0]
        self.set_title(
            self.plot,
            f'<span style="color: {HUES[0]}">● across the axis (x)</span> &nbsp; '
            f'<span style="color: {HUES[1]}">■ along the axis (y)</span>',
        )
        self.plot.setLabel('bottom', 'tilt / °')
        self.plot.setLabel('left', 'shift / nm')
        self.plot.showGrid(y=True, alpha=0.2)
        self.setToolTip('Drag a point up or down to correct the shift of its tilt.')
        self.along_x = _DraggedCurve(self.plot, HUES[0], 'o', lambda row, change: self._dragged(row, 0.0, change))
        self.along_y = _DraggedCurve(self.plot, HUES[1], 's', lambda row, change: self._dragged(row, change, 0.0))
        self._pixel_size = 1.0
        self.follow_theme()

    def set_shifts(self, angles: np.ndarray, shifts: np.ndarray, pixel_size: float) -> None:
        """Show shifts (tilt, 2) in pixels (y, x) as nm over the angles (tilt,) in degrees."""
        self._pixel_size = pixel_size
        self.along_y.show(angles, shifts[:, 0] * pixel_size)
        self.along_x.show(angles, shifts[:, 1] * pixel_size)

    def _dragged(self, row: int, dy: float, dx: float) -> None:
        self.moved.emit(row, dy / self._pixel_size, dx / self._pixel_size)


class _DraggedCurve:
    """A curve with its points; ``moved`` is called with the number of a point and how far it was dragged."""

    def __init__(self, plot: pg.PlotItem, colour: str, symbol: str, moved: Any) -> None:
        self._line = pg.PlotCurveItem(pen=colour)
        self.points = _DraggedPoints(self, colour, symbol)
        for item in (self._line, self.points):
            plot.addItem(item)
        self._moved = moved
        self._angles = self._values = np.zeros(0)

    def show(self, angles: np.ndarray, values: np.ndarray) -> None:
        self._angles, self._values = np.array(angles, float), np.array(values, float)
        self.drag(0, 0.0)

    def drag(self, row: int, change: float) -> None:
        """Show a point elsewhere for as long as the mouse is pressed."""
        values = self._values.copy()
        if len(values):
            values[row] += change
        order = np.argsort(self._angles, kind='stable')
        self._line.setData(self._angles[order], values[order])
        self.points.setData(self._angles, values)

    def drop(self, row: int, change: float) -> None:
        self.drag(row, 0.0)
        if change:
            self._moved(row, change)


class _DraggedPoints(pg.ScatterPlotItem):
    """Points that follow the left mouse button up and down."""

    def __init__(self, curve: _DraggedCurve, colour: str, symbol: str) -> None:
        super().__init__(size=7, symbol=symbol, brush=colour, pen=None, hoverable=True, hoverPen='w', tip=None)
        self._curve = curve
        self._row: int | None = None

    def mouseDragEvent(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        if event.isStart():
            under = self.pointsAt(event.buttonDownPos())
            self._row = int(under[0].index()) if len(under) else None
        if self._row is None:
            event.ignore()
            return
        event.accept()
        # Axes that follow the point would move it under the mouse.
        view = self.getViewBox()
        view.enableAutoRange() if event.isFinish() else view.disableAutoRange()
        change = float(event.pos().y() - event.buttonDownPos().y())
        if event.isFinish():
            row, self._row = self._row, None
            self._curve.drop(row, change)
        else:
            self._curve.drag(self._row, change)
