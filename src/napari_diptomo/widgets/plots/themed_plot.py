"""The base of all plots of the dock.

All follow napari's theme and none takes the wheel from the page it sits on.
"""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from napari.settings import get_settings
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_diptomo.widgets.theme import legible_text, plot_colours

_HEIGHT = 170


class ThemedPlot(pg.GraphicsLayoutWidget):
    """One or more plots, one below the other, in the colours of napari's theme."""

    def __init__(self, rows: int = 1, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setFixedHeight(_HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.plots: list[pg.PlotItem] = []
        #: Titles as they were given, in the colours of the curves.
        self._titles: dict[pg.PlotItem, str] = {}
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
            # The grey of pyqtgraph is hardly read in the light theme. Later titles keep the colour.
            title = self._titles.get(plot)
            shown = plot.titleLabel.text if title is None else legible_text(title)
            plot.titleLabel.setText(shown, color=colours.text)
            legend = plot.legend
            if legend is not None:
                legend.setLabelTextColor(colours.text)

    def set_title(self, plot: pg.PlotItem, html: str | None) -> None:
        """The title of a plot, whose colours are those of curves, legible on the background; None for none."""
        if html is None:
            self._titles.pop(plot, None)
        else:
            self._titles[plot] = html
        plot.setTitle(None if html is None else legible_text(html), size='9pt')

    def cleanup(self) -> None:
        """Stop following the theme: the setting outlives the window."""
        get_settings().appearance.events.theme.disconnect(self.follow_theme)

    def wheelEvent(self, event: Any) -> None:
        event.ignore()
