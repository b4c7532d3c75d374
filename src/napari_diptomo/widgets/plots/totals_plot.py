"""The total of every element over the tilts: a specimen that only turns keeps them on a smooth curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_diptomo.widgets.plots.themed_plot import ThemedPlot
from napari_diptomo.widgets.plots.totals_contents import Total

_HEIGHT = 190


class TotalsPlot(ThemedPlot):
    """Totals as points, what is expected dashed, both in units of the mean of the latter.

    Families that do not behave like a projection of one specimen have
    a line through their points.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setFixedHeight(_HEIGHT)
        self.plot = self.plots[0]
        self.plot.setLabel('bottom', 'tilt / °')
        self.plot.setLabel('left', 'relative total')
        self.plot.showGrid(y=True, alpha=0.2)
        self._curves: list[Any] = []
        #: Which colour is which, as rich text.
        self.key = ''
        self.follow_theme()

    def set_totals(self, angles: np.ndarray, totals: Sequence[Total], hues: Mapping[str, str]) -> None:
        """Show totals.

        Parameters
        ----------
        angles : ndarray (tilt,)
            Degrees.
        totals : sequence of Total
            One per family.
        hues : mapping of str to str
            Colour by name.
        """
        for curve in self._curves:
            self.plot.removeItem(curve)
        self._curves.clear()
        names = []
        for total in totals:
            hue = hues[total.name]
            names.append(f'<span style="color: {hue}">● {total.name.replace("_", "-")}</span>')
            mean = max(float(np.mean(total.expected)), 1e-12)
            self._curves += [
                self.plot.plot(angles, total.expected / mean, pen=pg.mkPen(hue, width=1, style=Qt.PenStyle.DashLine)),
                self.plot.plot(
                    angles,
                    total.counts / mean,
                    pen=None if total.behaves else pg.mkPen(hue, width=2),
                    symbol='o',
                    symbolSize=6,
                    symbolBrush=hue,
                    symbolPen=None,
                ),
            ]
        self.key = f'<small>{" &nbsp; ".join(names)} &nbsp; dashed: expected</small>'
        lowest = min([float(np.min(total.counts) / max(np.mean(total.expected), 1e-12)) for total in totals] or [0.0])
        highest = max([float(np.max(total.counts) / max(np.mean(total.expected), 1e-12)) for total in totals] or [1.0])
        self.plot.setYRange(min(1.1 * lowest, 0.0), 1.1 * max(highest, 1.0), padding=0)
