"""Marks in the plots of a run that consists of several fits: where each begins, and above it with which weight."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import pyqtgraph as pg
from qtpy.QtCore import Qt

from napari_diptomo.widgets.theme import plot_colours

#: Pixels of a letter above the plot, and around the text.
_LETTER, _SPACE = 6.0, 4
_HEIGHT = 16


class FitMarks:
    """Dotted lines between the fits in all plots, and above the first what those between two lines were fitted with.

    Parameters
    ----------
    plots : sequence of PlotItem
        One below the other, with one axis of iterations.
    """

    def __init__(self, plots: Sequence[pg.PlotItem]) -> None:
        self._plots = tuple(plots)
        self._lines: list[tuple[pg.PlotItem, pg.InfiniteLine]] = []
        self._axis = self._plots[0].getAxis('top')
        # Text alone: its ticks are the lines.
        self._axis.setStyle(tickLength=0, tickTextOffset=1)
        self._plots[0].hideAxis('top')

    @property
    def texts(self) -> list[str]:
        """The text above the plot."""
        levels = self._axis._tickLevels or [[]]
        return [text for _, text in levels[0]] if self._axis.isVisible() else []

    def clear(self) -> None:
        """Take all marks away."""
        for plot, line in self._lines:
            plot.removeItem(line)
        self._lines.clear()
        self._axis.setTicks([[]])
        self._plots[0].hideAxis('top')

    def show(self, begins: Sequence[tuple[float, str]], end: float) -> None:
        """Show the fits of a run in place of those before.

        Parameters
        ----------
        begins : sequence of (float, str)
            First iteration of each fit and its name; fits of one name that follow each other have it in common.
        end : float
            The last iteration.
        """
        self.clear()
        if not any(name for _, name in begins):
            return
        for begin, _ in begins[1:]:
            for plot in self._plots:
                line = pg.InfiniteLine(begin, angle=90)
                plot.addItem(line, ignoreBounds=True)
                self._lines.append((plot, line))
        starts = [next(group) for _, group in groupby(begins, key=lambda fit: fit[1])]
        ends = [*(begin for begin, _ in starts[1:]), end]
        scale = self._plots[0].getViewBox().width() / max(end - starts[0][0], 1.0)
        self._axis.setTicks(
            [
                [
                    ((begin + stop) / 2, name)
                    for (begin, name), stop in zip(starts, ends, strict=True)
                    if (stop - begin) * scale >= _LETTER * len(name) + _SPACE
                ]
            ]
        )
        self._plots[0].showAxis('top')
        self._axis.setHeight(_HEIGHT)
        self.follow_theme()

    def follow_theme(self) -> None:
        """Take on the colours of the current theme."""
        text = plot_colours().text
        self._axis.setPen(pg.mkPen(None))
        self._axis.setTextPen(text)
        for _, line in self._lines:
            line.setPen(pg.mkPen(text, width=1, style=Qt.PenStyle.DotLine))
