"""The plot of the Fourier shell correlations of two halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot
from napari_diptomo.widgets.tasks.judging import THRESHOLD
from napari_diptomo.widgets.theme import plot_colours

if TYPE_CHECKING:
    from napari_diptomo.assess import HalfResolution


class ShellCorrelationPlot(ThemedPlot):
    """A curve per channel over the frequency in 1/nm; 0.143 is dashed, the half-bit criterion dotted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.plot = self.plots[0]
        self.plot.setLabel('bottom', 'frequency / (1/nm)')
        self.plot.setLabel('left', 'FSC of halves')
        self.plot.getAxis('bottom').enableAutoSIPrefix(False)
        self.plot.showGrid(y=True, alpha=0.2)
        self.plot.setYRange(-0.1, 1.0, padding=0.03)
        # On the left, where all curves are high.
        named = {'position': 0.01, 'anchors': [(0, 0), (0, 0)]}
        self._threshold = pg.InfiniteLine(THRESHOLD, angle=0, label=f'{THRESHOLD}', labelOpts=named)
        self.plot.addItem(self._threshold, ignoreBounds=True)
        self._half_bit = self.plot.plot()
        self._half_bit_name = pg.TextItem('half-bit', anchor=(0, 1))
        self.plot.addItem(self._half_bit_name, ignoreBounds=True)
        self._curves: list[Any] = []
        self.follow_theme()

    def follow_theme(self, event: Any = None) -> None:
        super().follow_theme(event)
        if hasattr(self, '_half_bit'):
            text = plot_colours().text
            self._threshold.label.setColor(text)
            self._half_bit_name.setColor(text)
            self._threshold.setPen(pg.mkPen(text, style=Qt.PenStyle.DashLine))
            self._half_bit.setPen(pg.mkPen(text, style=Qt.PenStyle.DotLine))

    def show_curves(self, found: HalfResolution) -> None:
        """Show correlations in place of those before."""
        for curve in self._curves:
            self.plot.removeItem(curve)
        self._curves.clear()
        hues = colours(found.channels)
        for name, curve in zip(found.channels, found.curves, strict=True):
            pen = pg.mkPen(hues[name], width=2)
            self._curves.append(
                self.plot.plot(curve.frequency / found.voxel_size, curve.correlation, pen=pen, connect='finite')
            )
        frequency = found.curves[0].frequency / found.voxel_size
        self._half_bit.setData(frequency, found.half_bit)
        place = min(1, len(frequency) - 1)
        self._half_bit_name.setPos(float(frequency[place]), float(found.half_bit[place]))
        self.plot.setXRange(0.0, float(np.max(frequency)), padding=0.02)
