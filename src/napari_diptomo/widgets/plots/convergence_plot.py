"""The plot of how a reconstruction gets on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs.colours import HUES, colours
from napari_diptomo.widgets.plots.fit_marks import FitMarks
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot

_HEIGHT = 290
_HEIGHT_ALONE = 190
_FITTED, _HELD_OUT = 'data', 'held-out'
_QUANTITY = 'deviance per datum'
_NOTHING_YET = 'The curves come with the first iterations.'
#: Length of ticks, pixels, inwards as those of pyqtgraph.
_TICKS = -5
_LABELS = {_FITTED: 'fitted', _HELD_OUT: 'held-out', 'tv': 'total variation'}
_HUES = {_FITTED: HUES[0], _HELD_OUT: HUES[3]}
#: Decades on the axis below which more numbers have their place.
_LITTLE = 0.8
#: Digits of an exponent.
_RAISED = str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹')
#: Before the number of a fit in its name, behind what it was fitted with.
_NUMBER = ', fit '
#: Before the name of a channel in the names of its curves.
_CHANNEL = 'channel '


class _LogAxis(pg.AxisItem):
    """Labels 1, 2 and 5 of each decade, some more where less than one is seen: all nine would overlap in a low plot."""

    def logTickStrings(self, values: Any, scale: float, spacing: Any) -> list[str]:
        labelled = (1, 2, 3, 4, 5, 7, 10) if self.range[1] - self.range[0] < _LITTLE else (1, 2, 5, 10)
        mantissas = (round(10 ** (value % 1)) for value in values)
        return [_short(10.0**value) if m in labelled else '' for value, m in zip(values, mantissas, strict=True)]


def _short(value: float) -> str:
    """A number of an axis: pyqtgraph leaves out what is wider than the axis, as ``1e+03`` would be."""
    if 1e-3 <= value < 9999.5:
        return f'{value:.3g}' if value < 999.5 else f'{value:.0f}'
    mantissa, _, exponent = f'{value:.0e}'.partition('e')
    power = f'10{str(int(exponent)).translate(_RAISED)}'
    return power if mantissa == '1' else f'{mantissa}·{power}'


class ConvergencePlot(ThemedPlot):
    """Deviances of fitted and held-out counts above, the other terms of the objective below.

    Both deviances are per datum and may be compared: where the held-out one
    rises while the fitted one falls, noise is being fitted. In place of both the
    fitted ones of the channels can be shown, in the colours of their layers (`show_channels`).
    What is what stands in titles above the curves, where they cannot hide them. Where a run tries several weights each
    has curves of its own under its number (`FitMarks`), and those of the last are the thickest.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(rows=2, parent=parent)
        self.setFixedHeight(_HEIGHT)
        self.deviances, self.terms = self.plots
        self.terms.setLabel('bottom', 'iteration')
        for plot in self.plots:
            plot.setAxisItems({'left': _LogAxis('left')})
            plot.getAxis('left').setWidth(45)
            plot.getAxis('left').enableAutoSIPrefix(False)
        self.ci.layout.setRowStretchFactor(0, 3)
        self.terms.setXLink(self.deviances)
        #: Curves by name and number of the part: what is cut to the view has to rise along x.
        self._curves: dict[tuple[str, int], Any] = {}
        self._names: dict[str, str] = {}
        self._points: dict[tuple[str, int], list[tuple[float, float]]] = {}
        self._part = 0
        #: First iteration of each part, and what it was fitted with.
        self._begins: list[tuple[float, str]] = []
        self._latest: tuple[int, str] | None = None
        self._hues: dict[str, str] = {}
        self._by_channel = False
        self._returned = pg.InfiniteLine(angle=90, pen=pg.mkPen(HUES[7], style=Qt.PenStyle.DashLine))
        self.deviances.addItem(self._returned, ignoreBounds=True)
        self._dirty = False
        self._marks = FitMarks(self.plots)
        self.clear_curves()
        self.follow_theme()

    def follow_theme(self, event: Any = None) -> None:
        """Take on the colours of the current theme."""
        super().follow_theme(event)
        if hasattr(self, '_marks'):
            self._marks.follow_theme()

    @property
    def weights(self) -> list[str]:
        """The text above the curves of a run that tries several."""
        return self._marks.texts

    @property
    def returned(self) -> float | None:
        """The iteration that is marked as the result, None when there is no mark."""
        return float(self._returned.value()) if self._returned.isVisible() else None

    @property
    def has_channels(self) -> bool:
        """Whether anything is known channel by channel."""
        return any(name.startswith(_CHANNEL) for name, _ in self._points)

    def show_channels(self, shown: bool) -> None:
        """Show the deviances of the channels in place of those of all counts, where there are any."""
        self._by_channel, self._dirty = shown, True
        self.redraw()

    def clear_curves(self) -> None:
        """Forget the last run."""
        for (name, _), curve in self._curves.items():
            self._plot_of(name).removeItem(curve)
        self._curves.clear()
        self._names.clear()
        self._hues.clear()
        self._points.clear()
        self._begins.clear()
        self._marks.clear()
        self._latest, self._part = None, 0
        self._returned.setVisible(False)
        for plot in self.plots:
            self.set_title(plot, None)
        # Numbers from 0 to 1 would be read as a result.
        self._show_numbers(False)
        self.set_title(self.deviances, _NOTHING_YET)

    def add(
        self,
        iteration: int,
        losses: Mapping[str, float],
        validation: float | None,
        fit: str = '',
        by_channel: Mapping[str, float] | None = None,
    ) -> None:
        """Note the values of one iteration; `redraw` shows them.

        Another fit, and one that went back to an earlier iteration, begin curves of their own. ``by_channel`` are the
        deviances of all channels by name.
        """
        if self._latest is not None and (fit != self._latest[1] or iteration <= self._latest[0]):
            self._part += 1
        if len(self._begins) <= self._part:
            self._begins.append((iteration, _label_of(fit)))
        self._latest = iteration, fit
        values = dict(losses) if validation is None else {**losses, _HELD_OUT: validation}
        if by_channel:
            self._hues |= {_CHANNEL + name: hue for name, hue in colours(by_channel).items()}
            values |= {_CHANNEL + name: value for name, value in by_channel.items()}
        for name, value in values.items():
            if np.isfinite(value):
                self._points.setdefault((name, self._part), []).append((iteration, value))
        self._dirty = True

    def mark_returned(self, iteration: float | None) -> None:
        """Mark the iterate that became the result; None takes the mark away."""
        self._returned.setVisible(iteration is not None)
        if iteration is not None:
            self._returned.setValue(float(iteration))

    def redraw(self) -> None:
        """Bring the curves up to date."""
        if not self._dirty:
            return
        self._dirty = False
        self._show_numbers(bool(self._points))
        for key, points in self._points.items():
            if key not in self._curves:
                self._begin_curve(key)
            self._curves[key].setData(*np.array(points).T)
        self._mark_fits()
        by_channel = self._by_channel and self.has_channels
        above = [name for name, _ in self._points if self._plot_of(name) is self.deviances]
        shown = {name for name in above if name.startswith(_CHANNEL) is by_channel}
        for (name, _), curve in self._curves.items():
            curve.setVisible(name in shown or name not in above)
        self._write_titles(shown)
        values = [v for (n, _), points in self._points.items() if n in shown for _, v in points]
        # A negative value would be hidden by a logarithm.
        self.deviances.setLogMode(y=bool(values and min(values) > 0))

    def _show_numbers(self, shown: bool) -> None:
        for plot in self.plots:
            for side in ('left', 'bottom'):
                plot.getAxis(side).setStyle(showValues=shown, tickLength=_TICKS if shown else 0)

    def _mark_fits(self) -> None:
        """Name the fits, and draw the curves of those before the last thinner."""
        if self._latest is not None:
            self._marks.show(self._begins, self._latest[0])
            last = self._begins[-1][1]
            for (name, part), curve in self._curves.items():
                curve.setPen(pg.mkPen(self._hues[name], width=2 if self._begins[part][1] == last else 1))

    def _begin_curve(self, key: tuple[str, int]) -> None:
        name, _ = key
        plot = self._plot_of(name)
        if name not in self._names:
            self._name(name)
        hue = self._hues[name]
        # With a preview only: few points, the first of which is no line yet.
        marks = (
            {'symbol': 'o', 'symbolSize': 4, 'symbolBrush': hue, 'symbolPen': None} if name.startswith(_CHANNEL) else {}
        )
        self._curves[key] = plot.plot(pen=pg.mkPen(hue, width=2), **marks)

    def _name(self, name: str) -> None:
        """Give a name its colour, and its plot its place."""
        others = sum(self._plot_of(n) is self.terms for n in self._names)
        hue = self._hues.setdefault(name, _HUES.get(name, HUES[(1, 2, 4, 5, 6)[others % 5]]))
        label = _LABELS.get(name, name.removeprefix(_CHANNEL).replace('_', ' '))
        self._names[name] = f'<span style="color: {hue}">{label}</span>'
        # SIRT has no other term: an empty plot would only ask what is missing.
        alone = all(self._plot_of(n) is self.deviances for n in self._names)
        self.terms.setVisible(not alone)
        self.setFixedHeight(_HEIGHT_ALONE if alone else _HEIGHT)
        # A hidden plot keeps its row.
        self.ci.layout.setRowMaximumHeight(1, 0 if alone else _HEIGHT)
        self.ci.layout.setRowStretchFactor(1, 0 if alone else 2)
        self.deviances.setLabel('bottom', 'iteration' if alone else None)
        self.deviances.getAxis('bottom').showLabel(alone)
        # Painted before Qt comes to it, a plot that was hidden would lie on the other.
        self.ci.layout.activate()

    def _write_titles(self, shown: set[str]) -> None:
        """Above each plot what its curves are; ``shown`` of the upper one."""
        for plot, quantity in ((self.deviances, _QUANTITY), (self.terms, 'other terms')):
            names = [n for n in self._names if self._plot_of(n) is plot and (n in shown or plot is self.terms)]
            text = ' &nbsp; '.join(self._names[n] for n in names)
            if plot is self.deviances and any(label[:1].isdigit() for _, label in self._begins):
                text += ' &nbsp; by weight'
            self.set_title(plot, f'{quantity}: &nbsp; {text}' if names else None)

    def _plot_of(self, name: str) -> pg.PlotItem:
        return self.deviances if name in _HUES or name.startswith(_CHANNEL) else self.terms


def _label_of(fit: str) -> str:
    """``'weight 0.35, fit 2 of 4'`` -> ``'0.35'``, ``'maps alone, fit 1 of 3'`` -> ``'maps alone'``; empty for a number alone."""
    return fit.rpartition(_NUMBER)[0].removeprefix('weight ').replace(' with ', ' ')
