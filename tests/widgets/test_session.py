"""The session belongs to the viewer: what runs and what was made outlive the dock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch  # noqa: F401 -- the estimate of the memory would import it in the midst of another test's set-up
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMessageBox

from napari_diptomo.reconstruct import SIRT, DIPmTV
from napari_diptomo.series import Finding, MapSeries, Recipe, Volume
from napari_diptomo.widgets.session import session_of
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.opening import look_over

ENDLESS = DIPmTV(preset='fast', iterations=5000, widths=(8, 8), skips=(2, 2))
# A network takes seconds to begin, and only some tests look at what it alone shows.
QUICK = SIRT(iterations=10_000, holdout=0.0)
NOTE = Finding('note', 'angles', 'Nobody could check them.', step='Align')


def close(dock: Any) -> None:
    """Press the x of the dock."""
    frame = dock.parent()
    assert isinstance(frame, QDockWidget)
    frame.title.close_button.click()


def start(dock: Any, maps: MapSeries, qtbot: Any, step: SIRT | DIPmTV = QUICK) -> Any:
    """An endless run; gives its process."""
    dock.open_page.done(look_over(maps))
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    page.method.setCurrentText(step.title)
    page.forms[step.title].set_value(step)
    dock.run_page()
    child = dock.session.task.job
    qtbot.waitUntil(lambda: dock.session.task.progress is not None, timeout=60_000)
    return child


def question(window: Any, qtbot: Any) -> QMessageBox:
    main = session_of(window).window
    qtbot.waitUntil(lambda: any(box.isVisible() for box in main.findChildren(QMessageBox)), timeout=3_000)
    return next(box for box in main.findChildren(QMessageBox) if box.isVisible())


def answer(box: QMessageBox, text: str, qtbot: Any) -> None:
    button = next(button for button in box.buttons() if button.text().replace('&', '') == text)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_dock_that_is_closed_and_opened_again_shows_the_running_job(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, counting: None, qtbot: Any
) -> None:
    dock = opened(window)
    child = start(dock, maps, qtbot, ENDLESS)
    dock.run_bar.pause_button.click()
    close(dock)
    box = question(window, qtbot)
    assert 'DIPm-TV is still running' in box.text()
    answer(box, 'Keep running', qtbot)
    assert child.is_alive

    again = opened(window)
    assert again is not dock
    assert again.stages.current is again.reconstruct_page
    assert again.run_bar.pause_button.isChecked(), 'it was suspended and still is'
    assert 'paused' in again.run_bar.status.text()
    again.run_bar.pause_button.click()
    seen = again.run_bar.bar.value()
    qtbot.waitUntil(lambda: again.run_bar.bar.value() > seen, timeout=30_000)
    assert again.reconstruct_page.step() == ENDLESS
    assert again.reconstruct_page.convergence._points, 'the convergence from the first iteration on'
    again.run_bar.finish_button.click()
    qtbot.waitUntil(lambda: not again.session.busy, timeout=30_000)
    assert again.session.volume is not None
    assert again.reconstruct_page.runs_list.item(0, 2).text() == 'stopped early'


@pytest.mark.parametrize(('text', 'status'), [('Cancel the run', 'cancelled'), ('Stop and keep', 'stopped early')])
def test_closing_the_dock_asks_what_to_do_with_the_run(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, counting: None, qtbot: Any, text: str, status: str
) -> None:
    dock = opened(window)
    child = start(dock, maps, qtbot)
    close(dock)
    answer(question(window, qtbot), text, qtbot)
    qtbot.waitUntil(lambda: not child.is_alive, timeout=20_000)
    session = session_of(window)
    qtbot.waitUntil(lambda: not session.busy, timeout=20_000)
    assert [run.status.value for run in session.runs] == [status]
    again = opened(window)
    assert (again.session.volume is not None) == (text == 'Stop and keep')


def test_the_question_goes_when_the_run_ends_by_itself(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, counting: None, qtbot: Any
) -> None:
    dock = opened(window)
    start(dock, maps, qtbot)
    close(dock)
    box = question(window, qtbot)
    session_of(window).finish()
    qtbot.waitUntil(lambda: not session_of(window).busy, timeout=30_000)
    qtbot.waitUntil(lambda: box not in session_of(window).window.findChildren(QMessageBox), timeout=3_000)


def test_closing_a_dock_at_rest_asks_nothing_and_loses_nothing(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, qtbot: Any
) -> None:
    dock = opened(window)
    dock.open_page.done(look_over(maps))
    dock.align_page.done(maps)
    volume = Volume(np.ones((2, 16, 16, 16)), ('Ge', 'Te'), 2.0, recipe=Recipe().then(SIRT()), findings=(NOTE,))
    dock.stages.go_to(dock.reconstruct_page)
    dock.reconstruct_page.done(volume)
    dock.reconstruct_page.method.setCurrentText('SIRT')
    dock.reconstruct_page.forms['SIRT'].set_value(SIRT(iterations=12))
    layers = [layer.name for layer in window.layers]
    close(dock)
    qtbot.wait(100)
    assert not [box for box in session_of(window).window.findChildren(QMessageBox) if box.isVisible()]

    again = opened(window)
    assert again.stages.current is again.reconstruct_page
    assert again.session.volume is volume
    assert [row.finding for row in again.findings.rows] == [NOTE]
    assert again.reconstruct_page.step() == SIRT(iterations=12)
    assert again.open_page.opened.text().startswith('7 tilts from -30')
    again.stages.go_to(again.align_page)
    assert 'Largest shift' in again.align_page.found.text()
    assert [layer.name for layer in window.layers] == layers


def test_a_result_that_came_while_no_dock_was_open_is_shown_by_the_next(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, qtbot: Any, reported: list[str]
) -> None:
    dock = opened(window)
    dock._start(ThreadJob(lambda observer: look_over(maps)), 'Open', dock.open_page)
    close(dock)
    session = session_of(window)
    qtbot.waitUntil(lambda: not session.busy, timeout=20_000)
    assert reported == ['Open: done. It is kept: open Plugins > Tomography (DIPm-TV tomography) again.']
    again = opened(window)
    assert again.session.maps is maps
    assert again.stages.buttons[3].isEnabled()


def test_a_dock_that_is_closed_is_destroyed_and_hears_nothing_more(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, qtbot: Any
) -> None:
    from qtpy.compat import isalive

    dock = opened(window)
    dock.open_page.done(look_over(maps))
    close(dock)
    qtbot.waitUntil(lambda: not isalive(dock), timeout=3_000)
    window.dims.ndisplay = 3
    window.layers[0].visible = False
    window.add_labels(np.ones((4, 4), int))
    session_of(window).changed.emit()
    session_of(window).set_aligned(maps)


def test_viewers_have_sessions_of_their_own(
    opened: Callable[[Any], Any], make_napari_viewer: Any, maps: MapSeries, qtbot: Any
) -> None:
    first, second = make_napari_viewer(), make_napari_viewer()
    one, other = opened(first), opened(second)
    one.open_page.done(look_over(maps))
    assert one.session is session_of(first) is not other.session
    assert other.session.maps is None


def test_a_dock_that_is_opened_again_has_its_full_height(
    opened: Callable[[Any], Any], make_napari_viewer: Any, qtbot: Any
) -> None:
    window = make_napari_viewer(show=True)
    heights = []
    for _ in range(3):
        dock = opened(window)
        qtbot.wait(300)
        heights.append(dock.stages.height())
        close(dock)
        qtbot.wait(100)
    assert min(heights) > 0.9 * max(heights)
