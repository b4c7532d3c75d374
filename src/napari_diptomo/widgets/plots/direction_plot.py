"""The plot of the Fourier shell correlation by direction, in the plane of x and z, with the missing wedge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QRectF, Qt
from qtpy.QtWidgets import QWidget

from napari_diptomo.widgets.plots.themed_plot import ThemedPlot
from napari_diptomo.widgets.theme import plot_colours

if TYPE_CHECKING:
    from napari_diptomo.assess import HalfResolution

#: Pixels along the side of an image, and plots in one row.
_PIXELS, _COLUMNS, _HEIGHT = 121, 4, 160
#: Brightness of what no tilt has measured.
_DIMMED = 0.45


class DirectionPlot(ThemedPlot):
    """A disc of spatial frequencies per channel: x to the right, z up, bright where the halves agree.

    The dashed lines are the outermost tilts; the missing wedge between them on the side of z is dimmed.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(rows=0, parent=parent)
        self.images: list[np.ndarray] = []

    def show_directions(self, found: HalfResolution) -> None:
        """Show discs in place of those before."""
        self.clear()
        self.plots.clear()
        self.images.clear()
        rows = -(-len(found.channels) // _COLUMNS)
        columns = -(-len(found.channels) // rows)
        self.setFixedHeight(_HEIGHT * rows)
        for number in range(len(found.channels)):
            plot = self.addPlot(row=number // columns, col=number % columns)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            plot.setMouseEnabled(x=False, y=False)
            plot.hideAxis('left')
            plot.hideAxis('bottom')
            plot.setAspectLocked(True)
            self.plots.append(plot)
            self._fill(plot, found, number)
        self.follow_theme()

    def follow_theme(self, event: object = None) -> None:
        super().follow_theme(event)
        for plot in getattr(self, 'plots', ()):
            plot.setTitle(plot.titleLabel.text, color=plot_colours().text, size='8pt')

    def _fill(self, plot: pg.PlotItem, found: HalfResolution, channel: int) -> None:
        image = disc(found, channel)
        self.images.append(image)
        plot.setTitle(found.channels[channel], size='8pt')
        top = found.curves[channel].frequency[-1] / found.voxel_size
        item = pg.ImageItem(_coloured(image), axisOrder='row-major')
        item.setRect(QRectF(-top, -top, 2 * top, 2 * top))
        plot.addItem(item)
        pen = pg.mkPen('#ffffff', width=1, style=Qt.PenStyle.DashLine)
        for tilt in found.tilts:
            x, z = top * np.cos(np.radians(tilt)), top * np.sin(np.radians(tilt))
            plot.plot([-x, x], [-z, z], pen=pen)
        for text, where, anchor in (('x', (top, 0), (0, 0.5)), ('z', (0, top), (0.5, 1))):
            label = pg.TextItem(text, color=plot_colours().text, anchor=anchor)
            label.setPos(*where)
            plot.addItem(label, ignoreBounds=True)
        plot.setRange(xRange=(-1.2 * top, 1.2 * top), yRange=(-1.05 * top, 1.35 * top), padding=0)


def disc(found: HalfResolution, channel: int) -> np.ndarray:
    """Correlation and whether it was measured at the frequencies of the plane of x and z.

    Parameters
    ----------
    found : HalfResolution
    channel : int

    Returns
    -------
    ndarray (kz, kx, 2)
        Rows from negative to positive kz. NaN beyond Nyquist, and where too few coefficients say anything.
    """
    line = np.linspace(-1, 1, _PIXELS)
    kz, kx = np.meshgrid(line, line, indexing='ij')
    shells = len(found.curves[channel].frequency)
    shell = np.round(np.hypot(kx, kz) * shells).astype(int) - 1
    directions = np.asarray(found.directions)
    step = directions[1] - directions[0]
    # k and -k are one frequency: directions repeat after half a turn.
    angle = (np.degrees(np.arctan2(kz, kx)) - directions[0]) % 180
    nearest = np.round(angle / step).astype(int) % len(directions)
    table = np.array([curve.correlation for curve in found.cones[channel]])
    values = np.where((shell >= 0) & (shell < shells), table[nearest, np.clip(shell, 0, shells - 1)], np.nan)
    low, high = found.tilts
    tilt = (np.degrees(np.arctan2(kz, kx)) + 90) % 180 - 90
    measured = ((tilt >= low) & (tilt <= high)) | ((tilt + 180 >= low) & (tilt + 180 <= high))
    return np.stack([values, measured], axis=-1)


def _coloured(image: np.ndarray) -> np.ndarray:
    """As RGBA; transparent where nothing is known."""
    values, measured = image[..., 0], image[..., 1] > 0
    known = np.isfinite(values)
    table = pg.colormap.get('cividis')
    colours = table.map(np.clip(np.nan_to_num(values), 0, 1), mode='byte').astype(float)
    colours[~measured, :3] *= _DIMMED
    colours[~known] = 0
    return colours.astype(np.uint8)
