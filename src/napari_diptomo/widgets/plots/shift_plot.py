"""The plot of the shifts found by the alignment."""

from __future__ import annotations

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs.colours import HUES
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot


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
