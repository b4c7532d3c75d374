"""The plot of a spectrum: counts, what the fit makes of them, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_diptomo.widgets.plots.spectrum_contents import Explanation, Mark
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot
from napari_diptomo.widgets.theme import legible, plot_colours

_HEIGHT = 350
#: Of a label, as a share of the height and of the width of the plot.
_TALL, _WIDE = 0.09, 0.11
#: Fewer counts than these are plotted here where the axis is logarithmic.
_LEAST = 0.5
_SIGMA = 3.0
_AXIS_WIDTH = 52


class SpectrumPlot(ThemedPlot):
    """A spectrum above, the standardised residual of its fit below.

    What belongs to all elements has the colour of text: counts as an
    area, the model as a line, the background dashed. What belongs to one
    element has the element's colour. Drag to move along the energies, drag
    with the right button to stretch them, double-click for the whole.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(rows=2, parent=parent)
        self.setFixedHeight(_HEIGHT)
        self.setToolTip(
            '<qt>Drag to move along the energies, drag with the right button to stretch them, '
            'double-click for all.</qt>'
        )
        self.plot, self.rest = self.plots
        self.plot.setLabel('left', 'counts')
        self.plot.setTitle('area: counts &nbsp; line: fit &nbsp; dashed: background', size='9pt')
        self.rest.setLabel('left', 'residual / sigma')
        self.rest.setXLink(self.plot)
        for plot in self.plots:
            plot.setMouseEnabled(x=True, y=False)
            plot.getAxis('left').setWidth(_AXIS_WIDTH)
        self.plot.getAxis('left').enableAutoSIPrefix(False)
        self.ci.layout.setRowStretchFactor(0, 5)
        self.ci.layout.setRowStretchFactor(1, 2)
        self.ci.layout.setVerticalSpacing(2)
        self._counts_curve = self.plot.plot(stepMode='center')
        # pyqtgraph clips the edges of steps as if there were as many of them as steps, and raises when zoomed in.
        self._counts_curve.setClipToView(False)
        self._continuum = self.plot.plot()
        self._model = self.plot.plot()
        self._residual = self.rest.plot()
        self._limits = [pg.InfiniteLine(pos=level, angle=0) for level in (-_SIGMA, 0.0, _SIGMA)]
        for line in self._limits:
            self.rest.addItem(line, ignoreBounds=True)
        self._parts: list[Any] = []
        self._marks: list[Any] = []
        self._marked: Sequence[Mark] = ()
        self._explained: Explanation | None = None
        self._hues: Mapping[str, str] = {}
        self._energy = np.zeros(0)
        self._counts = np.zeros(0)
        self.log = True
        self._unit = 'keV'
        self._show_rest(False)
        # What is near to one another depends on how far the energies are stretched.
        self.plot.sigXRangeChanged.connect(self._draw_marks)
        self.follow_theme()

    def set_spectrum(self, energy: np.ndarray, counts: np.ndarray, unit: str) -> None:
        """Show a spectrum; an earlier fit goes, the range of energies stays where the axis is the same.

        Parameters
        ----------
        energy : ndarray (energy,)
            Centres of the channels.
        counts : ndarray (energy,)
            Summed over what is looked at.
        unit : str
            keV or eV.
        """
        another = not np.array_equal(self._energy, energy)
        self._energy, self._counts = np.asarray(energy, float), np.asarray(counts, float)
        self._unit = unit
        if another:
            self.show_all()
        self._clear_fit()
        self._draw()

    def set_explained(self, explained: Explanation | None, hues: Mapping[str, str] | None = None) -> None:
        """Show what a fit makes of the spectrum.

        Parameters
        ----------
        explained : Explanation, optional
            The fit; None takes it and the residual away.
        hues : mapping of str to str
            Colours of the wanted families by name.
        """
        self._explained, self._hues = explained, hues or {}
        self._show_rest(explained is not None)
        self._draw_fit()

    def mark(self, marks: Sequence[Mark]) -> None:
        """Label these lines."""
        self._marked = tuple(marks)
        self._draw_marks()

    def set_log(self, log: bool) -> None:
        """Whether the counts are on a logarithmic axis."""
        self.log = log
        self._draw()

    def show_all(self) -> None:
        """All energies that hold counts worth seeing."""
        if self._counts.size == 0:
            return
        used = np.flatnonzero(self._counts > max(1.0, self._counts.max() * 1e-4))
        low, high = (self._energy[used[0]], self._energy[used[-1]]) if used.size else self._energy[[0, -1]]
        self.plot.setXRange(max(float(low), 0.0), float(high), padding=0.02)

    def follow_theme(self, event: Any = None) -> None:
        super().follow_theme(event)
        if not (isalive(self) and hasattr(self, '_parts')):
            return
        colours = plot_colours()
        pale = pg.mkColor(colours.text)
        pale.setAlpha(110)
        area = pg.mkColor(colours.text)
        area.setAlpha(45)
        self._counts_curve.setPen(pg.mkPen(pale, width=1))
        self._counts_curve.setFillBrush(area)
        self._model.setPen(pg.mkPen(colours.text, width=1))
        self._continuum.setPen(pg.mkPen(colours.text, width=1, style=Qt.PenStyle.DashLine))
        self._residual.setPen(pg.mkPen(pale, width=1))
        for line in self._limits:
            line.setPen(pg.mkPen(colours.warning if line.value() else colours.text, width=1))
        self._draw_marks()

    def mouseDoubleClickEvent(self, event: Any) -> None:
        self.show_all()

    def _draw(self) -> None:
        if self._energy.size == 0:
            return
        self.plot.setLogMode(y=self.log)
        self._counts_curve.setFillLevel(self._lift(0.0))
        edges = np.concatenate([self._energy, 2 * self._energy[-1:] - self._energy[-2:-1]])
        edges = edges - np.gradient(edges) / 2
        self._counts_curve.setData(edges, self._liftable(self._counts))
        self._draw_fit()
        self._draw_marks()

    def _clear_fit(self) -> None:
        self._explained = None
        for part in self._parts:
            self.plot.removeItem(part)
        self._parts.clear()
        for curve in (self._model, self._continuum, self._residual):
            curve.setData([], [])

    def _draw_fit(self) -> None:
        explained, hues = self._explained, self._hues
        self._clear_fit()
        self._explained = explained
        if explained is None:
            return
        energy, background = explained.energy, explained.background
        for name in explained.wanted:
            if name in hues:
                self._draw_family(energy, explained.families[name], background, hues[name])
        self._continuum.setData(energy, self._liftable(background))
        self._model.setData(energy, self._liftable(explained.model))
        self._residual.setData(energy, explained.residual)
        tall = max(float(np.abs(explained.residual).max(initial=0.0)) * 1.1, 2 * _SIGMA)
        self.rest.setYRange(-tall, tall, padding=0)

    def _draw_family(self, energy: np.ndarray, curve: np.ndarray, background: np.ndarray, hue: str) -> None:
        """The photons of one family, standing on the background."""
        part = pg.PlotDataItem(pen=pg.mkPen(hue, width=2))
        part.setLogMode(False, self.log)
        seen = curve > 0.02 * background + 1e-3 * curve.max(initial=0.0)
        part.setData(energy, np.where(seen, self._liftable(curve + background), np.nan), connect='finite')
        self.plot.addItem(part, ignoreBounds=True)
        self._parts.append(part)

    def _draw_marks(self, *_: Any) -> None:
        for item in self._marks:
            self.plot.removeItem(item)
        self._marks.clear()
        if self._energy.size == 0:
            return
        bottom, top = self._bottom(), self._top()
        marks = sorted(self._marked, key=lambda mark: mark.energy)
        heights, highest = self._places(marks, bottom, top)
        for mark, height in zip(marks, heights, strict=True):
            for energy in mark.others:
                self._line(energy, bottom, self._peak(energy), mark.colour, Qt.PenStyle.DotLine)
            self._line(mark.energy, bottom, self._peak(mark.energy), mark.colour, Qt.PenStyle.SolidLine)
            self._label(mark, height)
        self.plot.setYRange(bottom, highest, padding=0)

    def _places(self, marks: Sequence[Mark], bottom: float, top: float) -> tuple[list[float], float]:
        """How high the labels stand, above the curve and above one another, and the upper end of the axis."""
        low, high = self.plot.getViewBox().viewRange()[0]
        wide = _WIDE * (high - low)
        highest = top
        heights: list[float] = []
        # The more labels are piled up the higher the axis, and with it a label in its unit.
        for _ in range(4):
            tall = _TALL * (highest - bottom)
            heights = []
            for i, mark in enumerate(marks):
                height = self._peak(mark.energy, wide / 2)
                near = sorted(h for m, h in zip(marks[:i], heights, strict=True) if mark.energy - m.energy < wide)
                for level in near:
                    if abs(height - level) < tall:
                        height = level + tall
                heights.append(height)
            seen = [h for m, h in zip(marks, heights, strict=True) if low <= m.energy <= high]
            highest = max([top + 0.6 * tall, *(h + 1.2 * tall for h in seen)])
        return heights, highest

    def _line(self, energy: float, bottom: float, peak: float, colour: str, style: Qt.PenStyle) -> None:
        pen = pg.mkPen(colour, width=1, style=style)
        self._add(pg.PlotCurveItem([energy, energy], [bottom, peak], pen=pen))

    def _label(self, mark: Mark, height: float) -> None:
        text = pg.TextItem(mark.label, color=legible(mark.colour), anchor=(0.5, 0.85))
        text.setPos(mark.energy, height)
        self._add(text)

    def _add(self, item: Any) -> None:
        self.plot.addItem(item, ignoreBounds=True)
        self._marks.append(item)

    def _show_rest(self, shown: bool) -> None:
        """The residual has no place where there is no fit."""
        self.rest.setVisible(shown)
        self.ci.layout.setRowStretchFactor(1, 2 if shown else 0)
        below, above = (self.rest, self.plot) if shown else (self.plot, None)
        below.setLabel('bottom', f'energy / {self._unit}')
        below.getAxis('bottom').setStyle(showValues=True)
        if above is not None:
            above.getAxis('bottom').showLabel(False)
            above.getAxis('bottom').setStyle(showValues=False)

    def _bottom(self) -> float:
        """Lower end of the axis: where it is logarithmic, not far below what most channels hold."""
        if not self.log:
            return 0.0
        low, high = self.plot.getViewBox().viewRange()[0]
        seen = self._counts[(self._energy >= low) & (self._energy <= high) & (self._counts > 0)]
        return self._lift(float(np.percentile(seen, 5)) / 3) if seen.size else self._lift(0.0)

    def _top(self) -> float:
        """Where the highest counts lie on the axis."""
        return self._lift(float(self._counts.max()))

    def _peak(self, energy: float, reach: float = 0.05) -> float:
        """Where the highest channel within some energy of another lies on the axis."""
        near = np.abs(self._energy - energy) <= max(reach, 0.05)
        return self._lift(float(self._counts[near].max(initial=0.0)))

    def _lift(self, counts: float) -> float:
        """Where a number of counts lies on the axis."""
        return float(np.log10(max(counts, _LEAST))) if self.log else counts

    def _liftable(self, counts: np.ndarray) -> np.ndarray:
        return np.maximum(counts, _LEAST) if self.log else counts
