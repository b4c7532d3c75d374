"""Three slices through a volume at right angles, linked by a cross that moves all of them and napari's sliders."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pyqtgraph as pg
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QObject, QRectF, Qt, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_diptomo.widgets.layers.first_look import volume_layers_seen
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.theme import plot_colours

#: Axes to the right and downwards, and the one that is cut; of (z, y, x).
_PLANES = ((2, 1, 0), (0, 1, 2), (2, 0, 1))
_AXES = 'zyx'
_NICE = (1, 2, 5)
#: Events of layers that change what is seen.
_SEEN = {'inserted', 'removed', 'visible', 'data', 'contrast_limits', 'gamma', 'colormap', 'opacity'}
#: Of the width of a view that its scale bar takes at most.
_BAR = 0.3
#: Ends of what a volume says about its statistics where the maps were no counts.
_NOT_COUNTED = ('measured on the images', 'scatter of the maps')


class SliceViews(QWidget):
    """The volume that is seen in the viewer, cut along z, y and x through one point.

    Colours, contrast and visibility are those of the layers. A click or a
    dragged line moves the point; napari's own slice follows, and the other way round.

    Parameters
    ----------
    viewer : ViewerModel
        Has the volume.
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle('Slices')
        self._viewer = viewer
        self._moving = False
        self.point = np.zeros(3)
        self.canvas = pg.GraphicsLayoutWidget()
        self.canvas.setAccessibleName('Slices across z, y and x')
        self.canvas.setToolTip('<qt>Click, or drag a line, to move the point through which all three are cut.</qt>')
        self.canvas.setMinimumSize(300, 150)
        self.plots: list[pg.PlotItem] = []
        self.images: list[pg.ImageItem] = []
        self.lines: list[tuple[pg.InfiniteLine, pg.InfiniteLine]] = []
        self._bars: list[tuple[Any, Any]] = []
        for number, (right, down, cut) in enumerate(_PLANES):
            self._add_plot(number, right, down, cut)
        self.where = self.canvas.addLabel('', row=1, col=1)
        self._canvas_covered: QWidget | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.canvas, 1)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(30)
        self._later.timeout.connect(self.redraw)
        self.canvas.scene().sigMouseClicked.connect(self._clicked)
        viewer.layers.events.connect(self._changed)
        viewer.dims.events.point.connect(self._sliders_moved)
        viewer.events.theme.connect(self.follow_theme)
        self.centre()

    def centre(self) -> None:
        """The point in the middle of the volume."""
        layers = volume_layers_seen(self._viewer)
        if layers:
            self.move_to(np.asarray(layers[0].extent.world).mean(axis=0))
        self.redraw()

    def move_to(self, point: Sequence[float] | np.ndarray) -> None:
        """Cut through another point (z, y, x), nm; napari's sliders follow."""
        self.point = np.asarray(point, float)
        self._moving = True
        try:
            first = self._viewer.dims.ndim - 3
            for axis in range(3):
                if first >= 0 and first + axis in self._viewer.dims.not_displayed:
                    self._viewer.dims.set_point(first + axis, float(self.point[axis]))
        finally:
            self._moving = False
        self._later.start()

    def redraw(self) -> None:
        """Slices of what is seen now."""
        layers = volume_layers_seen(self._viewer)
        colours = plot_colours()
        self.canvas.setBackground(colours.background)
        for number, (right, down, cut) in enumerate(_PLANES):
            plot, image = self.plots[number], self.images[number]
            for side in ('left', 'bottom'):
                plot.getAxis(side).setPen(colours.text)
                plot.getAxis(side).setTextPen(colours.text)
            image.setVisible(bool(layers))
            if not layers:
                continue
            low, high = outer_bounds(layers[0])
            picture = sum(slice_colours(layer, cut, self.point[cut]) for layer in layers)
            # Rows are the axis downwards: those of (z, y, x) that are left, in their order, may be the other way round.
            picture = picture if down < right else np.swapaxes(picture, 0, 1)
            image.setImage(np.clip(picture, 0, 1), levels=(0, 1))
            image.setRect(QRectF(low[right], low[down], high[right] - low[right], high[down] - low[down]))
            across, along = self.lines[number]
            for line, axis in ((across, right), (along, down)):
                line.blockSignals(True)
                line.setBounds((low[axis], high[axis]))
                line.setValue(self.point[axis])
                line.blockSignals(False)
            plot.setTitle(f'{_AXES[cut]} = {self.point[cut]:.3g} nm', size='9pt', color=colours.text)
            self._draw_bar(number, low[right], high[down], high[right] - low[right])
        self.where.setText(self._values(layers) if layers else 'No volume is seen.', color=colours.text, size='10pt')

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._later.stop()
        self._viewer.layers.events.disconnect(self._changed)
        self._viewer.dims.events.point.disconnect(self._sliders_moved)
        self._viewer.events.theme.disconnect(self.follow_theme)
        if self._canvas_covered is not None:
            self._canvas_covered.removeEventFilter(self)

    def cover(self, canvas: QWidget) -> None:
        """Lie over a widget, as large as it is."""
        self._canvas_covered = canvas
        canvas.installEventFilter(self)
        self.setGeometry(canvas.rect())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        canvas = self._canvas_covered
        if event is not None and event.type() == QEvent.Type.Resize and canvas is not None and watched is canvas:
            self.setGeometry(canvas.rect())
        return False

    def follow_theme(self, event: Any = None) -> None:
        """Take on the colours of the current theme."""
        self._later.start()

    def _add_plot(self, number: int, right: int, down: int, cut: int) -> None:
        plot = self.canvas.addPlot(row=number // 2, col=number % 2)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setAspectLocked(True)
        plot.invertY(True)
        plot.setLabel('bottom', f'{_AXES[right]} / nm')
        plot.setLabel('left', f'{_AXES[down]} / nm')
        image = pg.ImageItem(axisOrder='row-major')
        plot.addItem(image)
        across, along = (pg.InfiniteLine(angle=angle, movable=True, pen=_pen()) for angle in (90, 0))
        for line, axis in ((across, right), (along, down)):
            line.axis = axis
            line.sigPositionChanged.connect(self._line_moved)
            plot.addItem(line, ignoreBounds=True)
        bar = pg.PlotCurveItem(pen=pg.mkPen('w', width=4))
        text = pg.TextItem(color='w', anchor=(0.5, 1.0))
        for item in (bar, text):
            plot.addItem(item, ignoreBounds=True)
        self.plots.append(plot)
        self.images.append(image)
        self.lines.append((across, along))
        self._bars.append((bar, text))

    def _draw_bar(self, number: int, left: float, bottom: float, width: float) -> None:
        length = bar_length(width)
        bar, text = self._bars[number]
        start, height = left + 0.05 * width, bottom - 0.05 * width
        bar.setData([start, start + length], [height, height])
        text.setText(f'{length:g} nm')
        text.setPos(start + length / 2, height)

    def _line_moved(self, line: Any) -> None:
        point = self.point.copy()
        point[line.axis] = line.value()
        self.move_to(point)

    def _clicked(self, event: Any) -> None:
        for plot, (right, down, _) in zip(self.plots, _PLANES, strict=True):
            if plot.getViewBox().sceneBoundingRect().contains(event.scenePos()):
                where = plot.getViewBox().mapSceneToView(event.scenePos())
                point = self.point.copy()
                point[right], point[down] = where.x(), where.y()
                self.move_to(point)

    def _sliders_moved(self, event: Any = None) -> None:
        dims = self._viewer.dims
        if self._moving or dims.ndim < 3:
            return
        for axis in range(3):
            if dims.ndim - 3 + axis in dims.not_displayed:
                self.point[axis] = dims.point[dims.ndim - 3 + axis]
        self._later.start()

    def _changed(self, event: Any = None) -> None:
        if event.type in _SEEN:
            self._later.start()

    def _values(self, layers: Sequence[Any]) -> str:
        """Values of all channels at the point with their unit, each in its colour: the key to the slices."""
        lines = [
            ', '.join(f'{name} {value:.3g}' for name, value in zip(_AXES[::-1], self.point[::-1], strict=True)) + ' nm'
        ]
        heading = ''
        for layer in layers:
            unit = unit_of(layer)
            if unit != heading:
                heading = unit
                lines.append(escape(unit))
            index = tuple(round(float(v)) for v in layer.world_to_data(self.point))
            inside = all(0 <= i < n for i, n in zip(index, layer.data.shape, strict=True))
            value = f'{float(layer.data[index]):.3g}' if inside else 'outside'
            red, green, blue = (round(255 * float(part)) for part in layer.colormap.colors[-1][:3])
            lines.append(f'<span style="color: rgb({red},{green},{blue})">■</span> {escape(layer.name)}: {value}')
        return '<br>'.join(lines)


def unit_of(layer: Any) -> str:
    """In what the values of a layer of a volume are, in words; empty where its name says it or they have no unit.

    Parameters
    ----------
    layer : Image
        With the record of one channel of a volume, or of a preview.
    """
    record = layer.metadata.get(KEY, {})
    notes = record.get('notes', {})
    if record.get('kind') in ('composition', 'oxidation') or 'oxidation_state' in notes:
        # Names are 'Ge at.%', 'Density g/cm^3', 'mean valence'.
        return ''
    if 'composition' in notes:
        return str(notes['composition'].get('units', {}).get(record.get('channel'), 'at.%'))
    # Of images of some intensity, not of counts.
    unknown = 'images' in notes or str(notes.get('statistics', '')).endswith(_NOT_COUNTED)
    return 'Values per voxel, in the unit of the maps' if unknown else 'Counts per voxel'


def slice_colours(layer: Any, axis: int, place: float) -> np.ndarray:
    """One slice of a layer as its colours (row, column, 3), as bright as the layer is shown.

    Parameters
    ----------
    layer : Image
        Of three axes.
    axis : int
        The one that is cut.
    place : float
        Where, world coordinates.
    """
    index = round(float((place - layer.translate[axis]) / layer.scale[axis]))
    values = np.take(np.asarray(layer.data), np.clip(index, 0, layer.data.shape[axis] - 1), axis=axis)
    low, high = layer.contrast_limits
    shares = np.clip((values - low) / (high - low), 0, 1) ** layer.gamma
    colours = layer.colormap.map(shares.ravel()).reshape(*shares.shape, 4)
    return colours[..., :3] * layer.opacity


def outer_bounds(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where the outermost voxels end, world coordinates (z, y, x)."""
    first, step = np.asarray(layer.translate, float), np.asarray(layer.scale, float)
    return first - step / 2, first + (np.array(layer.data.shape) - 0.5) * step


def bar_length(width: float) -> float:
    """The longest of 1, 2, 5, 10, 20 ... nm that takes less than a third of a width."""
    most = _BAR * width
    decade = 10.0 ** np.floor(np.log10(most))
    return float(max(step * decade for step in _NICE if step * decade <= most))


def _pen() -> Any:
    return pg.mkPen((255, 255, 255, 150), width=1, style=Qt.PenStyle.DashLine)
