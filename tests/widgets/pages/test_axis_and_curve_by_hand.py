"""The tilt axis and the points of the shift curve, dragged with the mouse in the window; the recipe replays them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_diptomo import run
from napari_diptomo.align import tilt_shifts
from napari_diptomo.series import MapSeries, Recipe
from napari_diptomo.widgets.tasks.opening import look_over

ANGLES = np.arange(-30.0, 31.0, 10.0)
PIXEL = 2.0  # nm


def maps_of(transposed: bool = False) -> MapSeries:
    """Spots of known shifts, 7 tilts of 32 x 24 pixels."""
    shifts = np.random.default_rng(3).uniform(-1, 1, (7, 2))
    y, x = np.mgrid[:24, :32]
    images = [
        sum(
            40 * np.exp(-((y - 12 - py - sy) ** 2 + (x - 15.5 - px * np.cos(t) - sx) ** 2) / 6)
            for py, px in ((-4, -8), (5, 3), (0, 9))
        )
        for (sy, sx), t in zip(shifts, np.deg2rad(ANGLES), strict=True)
    ]
    return MapSeries(np.array(images)[None], ANGLES, ('Fe',), PIXEL, transposed=transposed)


@pytest.fixture
def aligned(
    make_napari_viewer: Any, opened: Callable[[Any], Any], settled: Callable[..., None]
) -> Callable[[bool], Any]:
    """Gives the dock on the page Align after an alignment, in a window that is seen."""

    def show(transposed: bool) -> Any:
        dock = opened(make_napari_viewer(show=True))
        dock.open_page.done(look_over(maps_of(transposed)))
        dock.stages.go_to(dock.align_page)
        dock.align_page.parameters.build().apply({'rounds': 1, 'axis_rotation': 0.0})
        dock.run_page()
        settled(dock)
        assert dock.session.aligned is not None
        return dock

    return show


def drag(widget: QWidget, start: QPointF, end: QPointF, steps: int = 4) -> None:
    """Press, move and release the left button."""
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

    def send(kind: QEvent.Type, at: QPointF, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        glob = QPointF(widget.mapToGlobal(QPoint(round(at.x()), round(at.y()))))
        event = QMouseEvent(kind, at, glob, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(widget, event)
        # Plots look at the mouse a hundred times a second at most.
        QTest.qWait(20)

    send(QEvent.Type.MouseMove, start, none, none)
    send(QEvent.Type.MouseButtonPress, start, left, left)
    for k in range(1, steps + 1):
        send(QEvent.Type.MouseMove, start + (end - start) * (k / steps), none, left)
    send(QEvent.Type.MouseButtonRelease, end, left, none)


def on_canvas(dock: Any, x: float, y: float) -> QPointF:
    """Where a point of the images, pixels from their middle, is in the canvas."""
    viewer, maps = napari.current_viewer(), dock.session.aligned
    ny, nx = maps.data.shape[2:]
    row, column = (ny - 1) / 2 + y, (nx - 1) / 2 + x
    if maps.transposed:
        row, column = column, row
    native = canvas()
    centre = np.asarray(viewer.camera.center)[-2:]
    off = (np.array([row, column]) * PIXEL - centre) * viewer.camera.zoom
    return QPointF(native.width() / 2 + off[1], native.height() / 2 + off[0])


def canvas() -> QWidget:
    return napari.current_viewer().window._qt_viewer.canvas.native


EXCHANGED = pytest.mark.parametrize('transposed', [False, True], ids=['as recorded', 'x and y exchanged'])


@EXCHANGED
def test_the_axis_is_moved_and_turned_with_the_mouse(
    aligned: Callable[[bool], Any], transposed: bool, qtbot: Any
) -> None:
    dock = aligned(transposed)
    part = dock.align_page.by_hand
    qtbot.mouseClick(part.show_axis, Qt.MouseButton.LeftButton)
    assert part.axis.shown
    QApplication.processEvents()
    before = dock.session.aligned
    found = before.axis_shift
    drag(canvas(), on_canvas(dock, found, 0), on_canvas(dock, found + 4.0, 0))
    moved = dock.session.aligned
    assert moved.axis_shift == pytest.approx(found + 4.0, abs=0.3)
    assert moved.axis_rotation == 0
    np.testing.assert_array_equal(moved.shifts, before.shifts)
    # The lower end to the left: the line turns clockwise, (x, y) = (-sin r, cos r) v.
    v = 10.0
    drag(
        canvas(), on_canvas(dock, moved.axis_shift, v), on_canvas(dock, moved.axis_shift - v * np.tan(np.deg2rad(8)), v)
    )
    turned = dock.session.aligned
    assert turned.axis_rotation == pytest.approx(8.0, abs=1.0)
    assert turned.axis_shift == pytest.approx(moved.axis_shift, abs=1e-6)
    recipe = Recipe.from_dict(turned.recipe.to_dict())
    assert recipe.steps[-1] == dock.align_page.form.value()
    again = run(recipe, data=dock.session.maps)
    assert again.axis_shift == pytest.approx(turned.axis_shift, abs=1e-6)
    assert again.axis_rotation == pytest.approx(turned.axis_rotation, abs=1e-6)
    qtbot.waitUntil(lambda: all(row.score is not None for row in tilt_shifts(dock.session.aligned)), timeout=20_000)
    qtbot.mouseClick(part.undo, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(part.undo, Qt.MouseButton.LeftButton)
    assert dock.session.aligned.axis_shift == found
    assert part.axis.shown
    # Far from the line the mouse moves the camera.
    far = on_canvas(dock, found + 12, 0)
    drag(canvas(), far, far + QPointF(20, 0))
    assert dock.session.aligned.axis_shift == found
    qtbot.mouseClick(part.show_axis, Qt.MouseButton.LeftButton)
    assert not part.axis.shown


@EXCHANGED
def test_a_point_of_the_curve_is_dragged(aligned: Callable[[bool], Any], transposed: bool, qtbot: Any) -> None:
    dock = aligned(transposed)
    plot = dock.align_page.plot
    before = np.array(dock.session.aligned.shifts)
    QTest.qWait(300)  # the page is laid out
    row = int(np.abs(before[:, 0] - before[:, 1]).argmax())  # points that do not hide each other
    spot = plot.along_x.points.points()[row].pos()
    view = plot.plot.getViewBox()
    start = QPointF(plot.mapFromScene(view.mapViewToScene(spot)))
    end = QPointF(plot.mapFromScene(view.mapViewToScene(QPointF(spot.x(), spot.y() + 0.4))))
    drag(plot.viewport(), start, end)
    change = np.array(dock.session.aligned.shifts) - before
    assert abs(end.y() - start.y()) > 5, 'a drag that is seen'
    assert change[row, 1] == pytest.approx(0.4 / PIXEL, abs=0.08)
    change[row, 1] = 0
    np.testing.assert_allclose(change, 0, atol=1e-9)
    assert tilt_shifts(dock.session.aligned)[row].source == 'by hand'
    qtbot.mouseClick(dock.align_page.by_hand.undo, Qt.MouseButton.LeftButton)
    np.testing.assert_array_equal(dock.session.aligned.shifts, before)
