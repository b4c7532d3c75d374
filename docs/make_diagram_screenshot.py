"""Make the picture of the ternary diagram: two phases selected in it with the mouse, their voxels beside it.

    python docs/make_diagram_screenshot.py

Runs under Xvfb where there is no screen. Takes the diagram with its regions (composition-diagram), and where ``--all`` is
given the page before (diagram-before), the table (diagram-table), in three dimensions (diagram-volume) and a histogram
(diagram-histogram).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from make_screenshots import Tour, guided, parser_of

from napari_diptomo import EDXMaps, TotalVariation, Volume, simulate
from napari_diptomo.assess import on_plane

#: Ge2Sb2Te5 and Sb2Te3, of Ge, Sb and Te.
_PHASES = ((0.22, 0.22, 0.56), (0.0, 0.4, 0.6))
_RADIUS = 0.07


def specimen(side: int, peak: float) -> tuple[Volume, tuple[float, ...]]:
    """A lamella of Ge, Sb and Te over ±60°, reconstructed, and the k-factors that its counts were made with."""
    phantom = simulate.lamella(side, voxel_size=2.0)
    made = simulate.edx_tilt_series(phantom, np.arange(-60, 61, 10), peak_counts=peak, seed=1)
    maps = EDXMaps(elements=phantom.channels).run(made.series)
    return TotalVariation(iterations=60).run(maps), simulate.true_k_factors(phantom.channels)


def lead(tour: Tour, arguments: argparse.Namespace) -> None:
    """Compute a composition, select two phases, turn to a slice."""
    dock = tour.dock
    volume, factors = specimen(arguments.side, arguments.peak)
    dock.session.set_result(volume)
    page = dock.composition_page
    dock.stages.go_to(page)
    tour.until(lambda: bool(page.factors_note.text()) and not page._asker.busy)
    for row, factor in enumerate(factors):
        page.factors.item(row, 2).setText(f'{factor:.4g}')
    dock.run_page()
    tour.idle()
    diagram = page.diagram
    tour.until(lambda: not diagram.busy)
    if arguments.all:
        tour.picture('diagram-before')
    dock.stages.bring_into_view(diagram)
    tour.settle()
    for number, shares in enumerate(_PHASES):
        start = on_plane(np.array(shares))
        drag(tour, diagram.ternary, start + np.outer(np.linspace(0, _RADIUS, 6), [1, 0]), more=number > 0)
        tour.until(lambda: not diagram.busy)
    tour.viewer.dims.ndisplay = 2
    _point_at_the_middle(tour, volume)
    dock.stages.bring_into_view(diagram)
    tour.picture('composition-diagram')
    print(diagram.note.text(), '|', diagram.hint.text())
    if arguments.all:
        dock.stages.bring_into_view(diagram.table)
        tour.picture('diagram-table')
        tour.viewer.dims.ndisplay = 3
        tour.picture('diagram-volume')
        tour.viewer.dims.ndisplay = 2
        diagram.view.setCurrentIndex(1)
        diagram.view.activated.emit(1)
        tour.until(lambda: not diagram.busy)
        low, high = diagram.histogram.box.viewRange()[1]
        drag(tour, diagram.histogram, np.array([[12.0, high / 2], [20.0, high / 2], [33.0, (low + high) / 2]]))
        tour.until(lambda: not diagram.busy)
        _point_at_the_middle(tour, volume)
        tour.picture('diagram-histogram')


def drag(tour: Tour, plot: Any, way: np.ndarray, more: bool = False) -> None:
    """Move the mouse along points (point, 2) of a plot with its left button held."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    tour.settle()
    widget = plot.viewport()
    points = [QPointF(plot.mapFromScene(plot.box.mapViewToScene(QPointF(*point)))) for point in way]
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    keys = Qt.KeyboardModifier.ShiftModifier if more else Qt.KeyboardModifier.NoModifier
    press, move, release = QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove, QEvent.Type.MouseButtonRelease
    steps = [
        (press, points[0], left, left),
        *((move, at, none, left) for at in points[1:]),
        (release, points[-1], left, none),
    ]
    for kind, at, button, held in steps:
        where = QPointF(widget.mapToGlobal(at.toPoint()))
        QApplication.sendEvent(widget, QMouseEvent(kind, at, where, button, held, keys))
        tour.settle(0.05)


def _point_at_the_middle(tour: Tour, volume: Volume) -> None:
    """The pointer is over the middle of the slice."""
    _, ny, nx = volume.data.shape[1:]
    tour.viewer.dims.set_point(tour.viewer.dims.ndim - 3, 0.0)
    position = (0.0, ny / 2 * volume.voxel_size, nx / 2 * volume.voxel_size)
    tour.viewer.cursor.position = (0.0,) * (tour.viewer.dims.ndim - 3) + position


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument('--side', type=int, default=40, help='voxels along a side')
    parser.add_argument('--peak', type=float, default=100.0, help='counts')
    parser.add_argument('--all', action='store_true')
    return guided(lead, parser, '1366x768')


if __name__ == '__main__':
    sys.exit(main())
