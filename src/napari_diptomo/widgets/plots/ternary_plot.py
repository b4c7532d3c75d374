"""The ternary diagram of a composition: how many voxels lie where, and regions that the mouse draws."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QRectF, Signal
from qtpy.QtWidgets import QWidget

from napari_diptomo.assess.ternary_diagram import TernaryPoints, off_plane, on_plane, triangle_of
from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.plots.drag_box import DragBox
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot
from napari_diptomo.widgets.theme import plot_colours

_HEIGHT = 340
#: Small triangles along a side, and pixels.
DIVISIONS, _PIXELS = 40, 640
_TOP = float(np.sqrt(3) / 2)
#: Perceptually uniform, and alike for all kinds of colour vision; a single voxel stands out from none.
_COLOURS, _ONE = 'cividis', 0.22
_TICKS = (20, 40, 60, 80)
#: The scale of the colours: left edge, bottom, width, height.
_SCALE = (0.93, 0.5, 0.035, 0.31)
#: Height of a line of text.
_LINE = 0.05
#: Where the circle of an error is, and the largest that is still shown beside the diagram.
_ERROR_AT, _LARGEST = (0.03, 0.65), 0.1
_MARKER = '#ffffff'


class TernaryPlot(ThemedPlot):
    """Voxels per small triangle on a logarithmic scale of colours; the mouse draws circles or outlines.

    Signals
    -------
    circled(object, float, bool)
        The mouse made a circle: fractions of its middle, its radius, and whether it is one more.
    outlined(object, bool)
        The mouse made an outline: fractions of its corners (corner, 3), and whether it is one more.
    """

    circled = Signal(object, float, bool)
    outlined = Signal(object, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(rows=0, parent=parent)
        self.setFixedHeight(_HEIGHT)
        self.box = DragBox()
        self.plot = self.addPlot(row=0, col=0, viewBox=self.box)
        self.ci.layout.setContentsMargins(0, 0, 0, 0)
        self.plot.hideButtons()
        self.plot.hideAxis('left')
        self.plot.hideAxis('bottom')
        self.plot.setAspectLocked(True)
        self.plot.setRange(xRange=(-0.12, 1.12), yRange=(-0.12, _TOP + 0.1), padding=0)
        self.plots.append(self.plot)
        #: What the mouse draws: ``'circle'`` or ``'outline'``.
        self.tool = 'circle'
        self.points: TernaryPoints | None = None
        self.counts = np.zeros((DIVISIONS, DIVISIONS, 2), int)
        self._image = self._add(pg.ImageItem(axisOrder='row-major'))
        self._grid = self._add(pg.PlotCurveItem(connect='pairs', pen=pg.mkPen((255, 255, 255, 55))))
        self._frame = self._add(pg.PlotCurveItem())
        self._ticks = self._add(pg.PlotCurveItem(connect='pairs'))
        self._scale = self._add(pg.ImageItem(axisOrder='row-major'))
        self._error = self._add(pg.PlotCurveItem())
        self._texts: list[pg.TextItem] = []
        self._corners = [self._text(anchor) for anchor in ((0.5, 1.0), (0.5, 0.0), (0.5, 0.0))]
        for corner, where in zip(self._corners, ((0.5, _TOP + 0.015), (0.02, -0.055), (0.98, -0.055)), strict=True):
            corner.setPos(*where)
        self._error_text = self._text((0.5, 0.0))
        self.readout = self._text((0.0, 0.0))
        self.readout.setPos(-0.11, _TOP + 0.09)
        self._steps: list[pg.TextItem] = []
        self._regions: list[Any] = []
        self._trail = self._add(pg.PlotCurveItem(pen=pg.mkPen(_MARKER, width=2)))
        self._marks = {
            name: self._add(pg.ScatterPlotItem(size=size, symbol=symbol, pen=pg.mkPen('k', width=1), brush=_MARKER))
            for name, size, symbol in (('voxel', 11, 'o'), ('label', 14, 'd'))
        }
        self._lay_out()
        self.box.dragged.connect(self._dragged)
        self.plot.scene().sigMouseMoved.connect(self._hovered)
        self.follow_theme()

    def show_points(self, points: TernaryPoints) -> None:
        """Show voxels in place of those before, without regions and marks."""
        self.points = points
        self.counts = points.histogram(DIVISIONS)
        hues = colours(points.channels)
        for corner, name in zip(self._corners, points.channels, strict=True):
            corner.setHtml(f'<span style="color: {hues[name]}">●</span> <b>{name}</b> {points.unit}')
        self._image.setImage(_coloured(self.counts), levels=None, rect=QRectF(0, 0, 1, _TOP))
        self._show_scale()
        self._show_error()
        self.show_regions(())
        for name in self._marks:
            self.mark(name, None)

    def show_regions(self, regions: Sequence[tuple[np.ndarray, str]]) -> None:
        """Show the outlines of regions, fractions (corner, 3) and a colour each, in place of those before."""
        for item in self._regions:
            self.plot.removeItem(item)
        self._regions = []
        self._trail.setData([], [])
        for corners, hue in regions:
            x, y = on_plane(np.concatenate([corners, corners[:1]]).T)
            # Dark below, so that it is seen on every density.
            for pen in (pg.mkPen('k', width=4), pg.mkPen(hue, width=2)):
                self._regions.append(self._add(pg.PlotCurveItem(x, y, pen=pen)))

    def mark(self, name: str, shares: np.ndarray | None) -> None:
        """Mark a composition, fractions of the three; ``name`` is ``'voxel'`` or ``'label'``, None takes the mark away."""
        if shares is None:
            self._marks[name].setData([], [])
        else:
            x, y = on_plane(np.asarray(shares, float))
            self._marks[name].setData([float(x)], [float(y)])

    def marked(self, name: str) -> np.ndarray | None:
        """The composition that is marked, fractions of the three; None where there is none."""
        x, y = self._marks[name].getData()
        return off_plane(np.array([x[0], y[0]])) if len(x) else None

    def follow_theme(self, event: Any = None) -> None:
        super().follow_theme(event)
        if not hasattr(self, '_marks'):
            return
        text = plot_colours().text
        for item in (*self._texts, *self._steps):
            item.setColor(text)
        for curve in (self._frame, self._ticks, self._error):
            curve.setPen(pg.mkPen(text, width=1))

    def _lay_out(self) -> None:
        """Frame, lines of constant fraction and ticks: each line ends at the tick that names its element's percent."""
        corners = on_plane(np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0.0]]))
        self._frame.setData(*corners)
        lines, ticks = [], []
        for tick in _TICKS:
            share = tick / 100
            for element, anchor in ((0, (0, 0.5)), (1, (1, 0.8)), (2, (0.75, 0))):
                # Along the side where the next element, counted the way the ticks go round, is missing.
                start, end = np.zeros(3), np.zeros(3)
                start[element] = end[element] = share
                start[(element + 2) % 3] = end[(element + 1) % 3] = 1 - share
                foot, head = on_plane(start), on_plane(end)
                outward = (foot - head) / np.hypot(*(foot - head))
                lines += [foot, head]
                ticks += [foot, foot + 0.015 * outward]
                label = self._text(anchor)
                label.setText(str(tick))
                label.setPos(*(foot + 0.02 * outward))
        self._grid.setData(*np.array(lines).T)
        self._ticks.setData(*np.array(ticks).T)

    def _show_scale(self) -> None:
        """The colours of 1 to the most voxels in a small triangle."""
        for item in self._steps:
            self.plot.removeItem(item)
        left, bottom, width, height = _SCALE
        most = max(int(self.counts.max()), 1)
        self._scale.setImage(_map(np.linspace(_ONE, 1, 128))[:, None], levels=None, rect=QRectF(*_SCALE))
        decades = [10**power for power in range(int(np.log10(most)) + 1)]
        if most == 1 or height * np.log(most / decades[-1]) / np.log(most) > _LINE:
            decades = sorted({*decades, most})
        self._steps = []
        for number in decades:
            label = pg.TextItem(
                f'{number:g}' if number < 10_000 else f'{number:.0e}'.replace('e+0', 'e'), anchor=(0, 0.5)
            )
            label.setPos(left + width, bottom + height * (np.log10(number) / np.log10(most) if most > 1 else 1.0))
            self._steps.append(self._add(label))
        head = pg.TextItem('voxels', anchor=(0.5, 1))
        head.setPos(left + width / 2 + 0.02, bottom + height + 0.02)
        self._steps.append(self._add(head))
        for item in self._steps:
            item.setColor(plot_colours().text)

    def _show_error(self) -> None:
        """The circle within which a single voxel's error moves it, root mean square; to scale."""
        points = self.points
        radius = float(np.median(points.error)) if points is not None else np.nan
        known = points is not None and np.isfinite(radius)
        self._error_text.setText(f'one voxel\n± {100 * radius:.2g} {points.unit}' if known and points else '')
        shown = known and radius <= _LARGEST
        turn = np.linspace(0, 2 * np.pi, 49)
        x, y = _ERROR_AT[0] + radius * np.cos(turn), _ERROR_AT[1] + radius * np.sin(turn)
        self._error.setData(x if shown else [], y if shown else [])
        self._error_text.setPos(_ERROR_AT[0], _ERROR_AT[1] - (radius if shown else 0.0) - 0.01)

    def _dragged(self, way: list[tuple[float, float]], finished: bool, more: bool) -> None:
        if self.points is None:
            return
        corners = np.array(way)
        if self.tool == 'circle':
            middle, radius = rounded_circle(corners[0], corners[-1])
            outline = circle(middle, radius)
            self.readout.setText(f'{self._words(middle)}\n± {100 * radius:.2g} {self.points.unit}')
        else:
            outline = off_plane(corners.T).T
        self._trail.setData(*on_plane(np.concatenate([outline, outline[:1]]).T))
        if not finished:
            return
        self._trail.setData([], [])
        if self.tool == 'outline':
            self.outlined.emit(outline, more)
        elif radius > 0:
            self.circled.emit(middle, radius, more)

    def _hovered(self, position: Any) -> None:
        """Say the composition under the mouse, and how many voxels have it."""
        where = self.box.mapSceneToView(position)
        shares = off_plane(np.array([where.x(), where.y()]))
        if self.points is None or (shares < 0).any():
            self.readout.setText('')
            return
        number = int(self.counts[triangle_of(shares, DIVISIONS)])
        self.readout.setText(f'{self._words(shares)}\n{number} voxel{"s" * (number != 1)}')

    def _words(self, shares: np.ndarray) -> str:
        assert self.points is not None
        return '\n'.join(f'{name} {100 * share:.0f}' for name, share in zip(self.points.channels, shares, strict=True))

    def _add(self, item: Any) -> Any:
        self.plot.addItem(item, ignoreBounds=True)
        return item

    def _text(self, anchor: tuple[float, float]) -> pg.TextItem:
        item = pg.TextItem('', anchor=anchor)
        self._texts.append(item)
        return self._add(item)


def rounded_circle(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle in whole percent, within the triangle, and radius in half percent: what its name says is what it is.

    Parameters
    ----------
    start, end : ndarray (2,)
        Points in the plane of the diagram.

    Returns
    -------
    middle : ndarray (3,)
        Fractions.
    radius : float
        As a fraction; 0 where the points are hardly apart.
    """
    shares = np.maximum(off_plane(start), 0)
    shares /= shares.sum()
    radius = np.hypot(*(end - on_plane(shares)))
    percent = np.round(100 * shares[:2])
    middle = np.array([*percent, 100 - percent.sum()])
    # Two halves that are rounded up leave less than nothing to the third.
    middle[int(np.argmax(middle))] += min(middle[2], 0)
    middle = np.maximum(middle, 0) / 100
    return middle, float(np.round(200 * radius) / 200)


def circle(centre: np.ndarray, radius: float) -> np.ndarray:
    """Fractions (corner, 3) on a circle about a composition."""
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    x, y = on_plane(np.asarray(centre, float))
    return off_plane(np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)])).T


def _coloured(counts: np.ndarray) -> np.ndarray:
    """The diagram as RGBA, row 0 at the bottom; transparent outside, the darkest colour where no voxel is."""
    i, j, down, inside = _pixels(len(counts))
    most = max(int(counts.max()), 1)
    level = np.log(np.maximum(counts, 1)) / np.log(most) if most > 1 else np.ones(counts.shape)
    table = _map(np.where(counts > 0, _ONE + (1 - _ONE) * level, 0.0))
    image = table[i, j, down]
    image[~inside] = 0
    return image


@lru_cache(maxsize=2)
def _pixels(divisions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Small triangle of each pixel, and whether it is within the large one."""
    x = (np.arange(_PIXELS) + 0.5) / _PIXELS
    y = x[: round(_TOP * _PIXELS)] * _TOP * _PIXELS / round(_TOP * _PIXELS)
    shares = off_plane(np.stack(np.broadcast_arrays(x[None], y[:, None])))
    inside = np.asarray((shares >= 0).all(axis=0))
    return (*triangle_of(np.where(inside, shares, 1 / 3), divisions), inside)


def _map(levels: np.ndarray) -> np.ndarray:
    """Colours of levels from 0 to 1, RGBA."""
    table = pg.colormap.get(_COLOURS).getLookupTable(nPts=256, alpha=True)
    return np.asarray(table)[np.round(255 * levels).astype(int)].astype(np.uint8)
