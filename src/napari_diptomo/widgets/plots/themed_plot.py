"""What the dock's plots have in common, and the plot of the shifts.

All follow napari's theme and none takes the wheel from the page it sits on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from napari.settings import get_settings
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs.colours import HUES
from napari_diptomo.widgets.theme import plot_colours

_HEIGHT = 170


class ThemedPlot(pg.GraphicsLayoutWidget):
    """One or more plots, one below the other, in the colours of napari's theme."""

    def __init__(self, rows: int = 1, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setFixedHeight(_HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.plots: list[pg.PlotItem] = []
        for row in range(rows):
            plot = self.addPlot(row=row, col=0)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            plot.setMouseEnabled(x=False, y=False)
            plot.setClipToView(True)
            self.plots.append(plot)
        self.follow_theme()
        get_settings().appearance.events.theme.connect(self.follow_theme)

    def follow_theme(self, event: Any = None) -> None:
        """Take on the colours of the current theme."""
        if not isalive(self):
            # Gone with its viewer; the setting still knows it.
            self.cleanup()
            return
        colours = plot_colours()
        self.setBackground(colours.background)
        for plot in self.plots:
            for side in ('left', 'bottom'):
                axis = plot.getAxis(side)
                axis.setPen(colours.text)
                axis.setTextPen(colours.text)
            legend = plot.legend
            if legend is not None:
                legend.setLabelTextColor(colours.text)

    def cleanup(self) -> None:
        """Stop following the theme: the setting outlives the window."""
        get_settings().appearance.events.theme.disconnect(self.follow_theme)

    def wheelEvent(self, event: Any) -> None:
        event.ignore()


class ShiftPlot(ThemedPlot):
    """The shifts found by the alignment over the tilt angle."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.plot = self.plots[0]
        self.plot.setTitle(
            f'<span style="color: {HUES[0]}">● across the axis (x)</span> &nbsp; '
            f'<span style="color: {HUES[1]}">■ along the axis (y)</span>',
            size='9pt',
        )
        self.plot.setLabel('bottom', 'tilt / deg')
        self.plot.setLabel('left', 'shift / nm')
        self.plot.showGrid(y=True, alpha=0.2)
        self._x = self.plot.plot(pen=HUES[0], symbol='o', symbolSize=5, symbolBrush=HUES[0])
        self._y = self.plot.plot(pen=HUES[1], symbol='s', symbolSize=5, symbolBrush=HUES[1])
        self.follow_theme()

    def set_shifts(self, angles: np.ndarray, shifts: np.ndarray, pixel_size: float) -> None:
        """Show shifts (tilt, 2) in pixels (y, x) as nm over the angles (tilt,) in degrees."""
        self._y.setData(angles, shifts[:, 0] * pixel_size)
        self._x.setData(angles, shifts[:, 1] * pixel_size)
