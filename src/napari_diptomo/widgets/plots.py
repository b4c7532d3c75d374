"""The dock's plots: spectrum, shifts, and how a reconstruction gets on.

All follow napari's theme and none takes the wheel from the page it sits on.
"""

from __future__ import annotations

from collections.abc import Mapping
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
#: Of a label in the spectrum, as a share of the height.
_LABEL = 0.15


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


class SpectrumPlot(ThemedPlot):
    """The sum spectrum with the lines of the chosen elements."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.plot = self.plots[0]
        self.plot.setLabel('left', 'counts')
        self.plot.setLogMode(y=True)
        self.plot.setMouseEnabled(x=True, y=False)
        self._curve = self.plot.plot()
        self._marks: list[Any] = []
        self._energy = np.zeros(0)
        self._counts = np.zeros(0)
        self.follow_theme()

    def set_spectrum(self, energy: np.ndarray, counts: np.ndarray, unit: str) -> None:
        """Show a spectrum.

        Parameters
        ----------
        energy : ndarray (energy,)
            Centres of the channels.
        counts : ndarray (energy,)
            Summed over all pixels and tilts.
        unit : str
            keV or eV.
        """
        self._energy = np.asarray(energy, float)
        self._counts = np.maximum(np.asarray(counts, float), 0.7)
        self._curve.setData(self._energy, self._counts)
        self.plot.setLabel('bottom', f'energy / {unit}')
        used = np.flatnonzero(self._counts > max(1.0, self._counts.max() * 1e-4))
        if used.size:
            low, high = self._energy[used[0]], self._energy[used[-1]]
            self.plot.setXRange(max(low, 0.0), high, padding=0.02)
        self.plot.setYRange(0, np.log10(self._counts.max()) + 0.5, padding=0)

    def mark(self, lines: Mapping[str, tuple[str, float]], colours: Mapping[str, str]) -> None:
        """Label the main line of every element: ``{'Ge': ('Ge-K', 9.88), ...}``."""
        for item in self._marks:
            self.plot.removeItem(item)
        self._marks.clear()
        if self._energy.size == 0:
            return
        low, high = self.plot.getViewBox().viewRange()[0]
        tall = _LABEL * (float(np.log10(self._counts.max())) + 0.5)
        taken: list[tuple[float, float]] = []
        for element, (label, energy) in sorted(lines.items(), key=lambda item: item[1][1]):
            near = np.abs(self._energy - energy).argmin()
            peak = float(np.log10(self._counts[max(near - 5, 0) : near + 6].max()))
            height = peak
            # Labels of neighbouring lines go above one another.
            for place, level in taken:
                if abs(place - energy) < 0.11 * (high - low) and abs(height - level) < tall:
                    height = level + tall
            taken.append((energy, height))
            self._mark(label, energy, peak, height, colours.get(element, HUES[-1]))
        top = max([height for _, height in taken], default=0.0)
        self.plot.setYRange(0, max(np.log10(self._counts.max()) + 0.5, top + 1.5 * tall), padding=0)

    def follow_theme(self, event: Any = None) -> None:
        super().follow_theme(event)
        if isalive(self) and hasattr(self, '_curve'):
            self._curve.setPen(pg.mkPen(plot_colours().text, width=1))

    def _mark(self, label: str, energy: float, peak: float, height: float, colour: str) -> None:
        line = pg.PlotCurveItem([energy, energy], [0, peak], pen=pg.mkPen(colour, width=1))
        text = pg.TextItem(label, color=colour, anchor=(0.5, 1.0))
        text.setPos(energy, height)
        for item in (line, text):
            self.plot.addItem(item, ignoreBounds=True)
            self._marks.append(item)


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
