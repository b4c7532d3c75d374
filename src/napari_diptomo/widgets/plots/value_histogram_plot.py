"""The histogram of one channel: voxels by value, and intervals that the mouse draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from napari_diptomo.assess.composition_values import ChannelValues
from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.plots.drag_box import DragBox
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot
from napari_diptomo.widgets.theme import plot_colours

_HEIGHT = 220
#: Where an empty bin ends on the logarithmic axis.
_LEAST = 0.5
_OPACITY = 90
#: About how many pixels wide the axis is.
_WIDE = 300


class ValueHistogramPlot(ThemedPlot):
    """Voxels by value, their number on a logarithmic axis; the mouse draws intervals.

    Signals
    -------
    chosen(float, float, bool)
        The mouse made an interval: its ends, and whether it is one more.
    """

    chosen = Signal(float, float, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(rows=0, parent=parent)
        self.setFixedHeight(_HEIGHT)
        self.box = DragBox()
        self.plot = self.addPlot(row=0, col=0, viewBox=self.box)
        self.plot.hideButtons()
        self.plot.setLabel('left', 'voxels')
        self.plot.setLogMode(y=True)
        for side in ('bottom', 'left'):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self.plots.append(self.plot)
        self.values: ChannelValues | None = None
        self._curve = self.plot.plot(stepMode='center', fillLevel=float(np.log10(_LEAST)))
        # pyqtgraph clips the edges of steps as if there were as many of them as steps.
        self._curve.setClipToView(False)
        self._regions: list[Any] = []
        self._trail = self._band('#ffffff')
        self._trail.hide()
        self._marks = {
            name: pg.InfiniteLine(angle=90, pen=pg.mkPen(width=2, style=style))
            for name, style in (('voxel', Qt.PenStyle.SolidLine), ('label', Qt.PenStyle.DashLine))
        }
        for line in self._marks.values():
            line.hide()
            self.plot.addItem(line, ignoreBounds=True)
        self.box.dragged.connect(self._dragged)
        self.follow_theme()

    def show_values(self, values: ChannelValues) -> None:
        """Show voxels in place of those before, without regions and marks."""
        self.values = values
        edges, counts = values.histogram()
        hue = colours((values.channel,))[values.channel]
        area = QColor(hue)
        area.setAlpha(_OPACITY)
        self._curve.setData(edges, np.maximum(counts, _LEAST))
        self._curve.setPen(pg.mkPen(hue, width=1))
        self._curve.setFillBrush(area)
        self.plot.setLabel('bottom', ' / '.join(part for part in (values.channel, values.unit) if part))
        margin = 0.04 * (edges[-1] - edges[0])
        self.plot.setXRange(edges[0] - margin, edges[-1] + margin, padding=0)
        self.plot.setYRange(np.log10(_LEAST), np.log10(counts.max()) + 0.15, padding=0)
        self.show_regions(())
        for name in self._marks:
            self.mark(name, None)

    def show_regions(self, regions: Sequence[tuple[tuple[float, float], str]]) -> None:
        """Show intervals, each with its colour, in place of those before."""
        for item in self._regions:
            self.plot.removeItem(item)
        self._trail.hide()
        self._regions = [self._band(hue, ends) for ends, hue in regions]

    def mark(self, name: str, value: float | None) -> None:
        """Mark a value; ``name`` is ``'voxel'`` or ``'label'``, None takes the mark away."""
        line = self._marks[name]
        line.setVisible(value is not None)
        if value is not None:
            line.setValue(value)

    def marked(self, name: str) -> float | None:
        """The value that is marked, None where there is none."""
        line = self._marks[name]
        return float(line.value()) if line.isVisible() else None

    def follow_theme(self, event: Any = None) -> None:
        super().follow_theme(event)
        for line in getattr(self, '_marks', {}).values():
            line.setPen(pg.mkPen(plot_colours().text, width=2, style=line.pen.style()))

    def _dragged(self, way: list[tuple[float, float]], finished: bool, more: bool) -> None:
        if self.values is None:
            return
        # As fine as the mouse is: what the name of the region says is what it is.
        (first, last), _ = self.box.viewRange()
        digits = -int(np.floor(np.log10((last - first) / _WIDE)))
        low, high = sorted(round(end[0], digits) for end in (way[0], way[-1]))
        self._trail.setRegion((low, high))
        self._trail.setVisible(not finished)
        if finished:
            self.chosen.emit(low, high, more)

    def _band(self, hue: str, ends: tuple[float, float] = (0.0, 1.0)) -> Any:
        colour = QColor(hue)
        colour.setAlpha(_OPACITY)
        band = pg.LinearRegionItem(ends, movable=False, brush=colour, pen=pg.mkPen(hue, width=1))
        self.plot.addItem(band, ignoreBounds=True)
        return band
