"""Everything can be reached, read out and pressed from the keyboard, and no key does what it should not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.controls.composition_tables import FactorTable
from napari_diptomo.widgets.controls.parts import follow_layout
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.tasks.opening import look_over

ENDLESS = DIPmTV(preset='fast', iterations=5000, widths=(8, 8), skips=(2, 2))
CONTROLS = (
    QAbstractButton,
    QComboBox,
    QAbstractSpinBox,
    QLineEdit,
    QPlainTextEdit,
    QAbstractItemView,
    QAbstractSlider,
)


@pytest.fixture
def whole(dock: TomographyDock) -> TomographyDock:
    """A dock whose pages have built all their forms."""
    for page in dock.pages:
        page.enter()
    return dock


def mnemonics(*boxes: QWidget) -> list[str]:
    """Letters behind the ampersands of buttons and of labels with a buddy."""
    texts = [w.text() for box in boxes for w in box.findChildren(QAbstractButton)]
    texts += [w.text() for box in boxes for w in box.findChildren(QLabel) if w.buddy() is not None]
    return [found.lower() for text in texts for found in re.findall(r'&(\w)', text.replace('&&', ''))]


def controls(box: QWidget) -> Iterator[QWidget]:
    """Widgets that Tab reaches, without the parts of which Qt makes its own boxes."""
    for widget in box.findChildren(QWidget):
        part = (
            isinstance(widget.parent(), QAbstractSpinBox | QComboBox)
            or 'QComboBoxPrivate' in type(widget.parent()).__name__
        )
        popup = isinstance(widget, QAbstractItemView) and not hasattr(widget, 'accessibleName')
        if isinstance(widget, CONTROLS) and not part and not popup and widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            yield widget


def test_no_mnemonic_is_one_of_naparis_menus_or_given_twice(whole: TomographyDock) -> None:
    for page in whole.pages:
        whole.run_bar.set_action(page.action, '', onward=True)
        letters = mnemonics(page, whole.run_bar)
        assert not set(letters) & set('fvlpwh'), f"{page.title}: napari's menus have these"
        # The three spectra of the page Maps are never seen together.
        once = 3 if page is whole.maps_page else 1
        assert max(Counter(letters).values(), default=0) <= once, (page.title, Counter(letters))


def test_every_control_has_a_name(whole: TomographyDock) -> None:
    buddies = {label.buddy() for label in whole.findChildren(QLabel) if label.buddy() is not None}
    nameless = []
    for widget in controls(whole):
        text = widget.text() if isinstance(widget, QAbstractButton) else ''
        in_popup = type(widget.window()) is not type(whole) and widget.window() is not whole.window()
        if not (widget.accessibleName() or text.strip() or widget in buddies or in_popup):
            nameless.append(f'{type(widget).__name__} in {type(widget.parent()).__name__}: {widget.toolTip()[:60]}')
    assert not nameless, '\n'.join(nameless)


def test_tab_leaves_every_table(whole: TomographyDock) -> None:
    tables = [table for table in whole.findChildren(QAbstractItemView) if hasattr(table, 'tabKeyNavigation')]
    assert len(tables) > 5
    assert not [type(table).__name__ for table in tables if table.tabKeyNavigation()]


def test_tab_leads_from_a_table_to_the_next_control(qtbot: Any) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    column = QVBoxLayout(page)
    table, beside = FactorTable(), QLineEdit()
    column.addWidget(table)
    column.addWidget(beside)
    table.show_factors('k', ('Ge', 'Sb'), (), (1.0, 2.0))
    page.show()
    qtbot.waitExposed(page)
    page.activateWindow()
    table.setFocus()
    table.setCurrentCell(0, 0)
    qtbot.keyClick(table, Qt.Key.Key_Tab)
    assert page.focusWidget() is beside
    assert (table.currentRow(), table.currentColumn()) == (0, 0)


def test_tab_follows_the_page_downwards(whole: TomographyDock) -> None:
    whole.resize(430, 900)
    whole.show()
    for page in whole.pages[:5]:
        if not page.closed():
            whole.stages.go_to(page)
        else:
            whole.stages._stack.setCurrentIndex(whole.pages.index(page))
            follow_layout(page)
        QApplication.processEvents()
        start = next(iter(controls(page)), None)
        chain, widget = [], page
        while (widget := widget.nextInFocusChain()) is not page:
            seen = page.isAncestorOf(widget) and widget.isVisible() and widget.isEnabled()
            if seen and isinstance(widget, CONTROLS) and widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
                chain.append(widget)
        assert start is None or chain
        tops = [widget.mapTo(page, QPoint(0, 0)).y() for widget in chain]
        for before, after, one, other in zip(tops, tops[1:], chain, chain[1:], strict=False):
            assert after >= before - 12, (page.title, one.accessibleName(), other.accessibleName())


def test_numbers_with_alt_choose_the_pages(whole: TomographyDock) -> None:
    assert [button.shortcut().toString() for button in whole.stages.buttons] == [f'Alt+{n}' for n in range(1, 7)]


def test_escape_asks_before_it_cancels(opened: Callable[[Any], Any], window: Any, maps: MapSeries, qtbot: Any) -> None:
    dock = opened(window)
    dock.open_page.done(look_over(maps))
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    page.forms[ENDLESS.title].set_value(ENDLESS)
    qtbot.keyClick(dock, Qt.Key.Key_Escape)
    dock.run_page()
    child = dock.session.task.job
    qtbot.waitUntil(lambda: child.pid is not None, timeout=20_000)
    dock.run_bar._escape.activated.emit()
    dock.run_bar._escape.activated.emit()
    (box,) = dock.findChildren(QMessageBox)
    assert 'is still running' in box.text() and child.is_alive
    qtbot.keyClick(box, Qt.Key.Key_Escape)
    assert child.is_alive, 'Esc at the question is no'
    qtbot.waitUntil(lambda: not dock.findChildren(QMessageBox), timeout=3_000)
    dock.run_bar._escape.activated.emit()
    (box,) = dock.findChildren(QMessageBox)
    cancel = next(button for button in box.buttons() if 'Cancel' in button.text())
    qtbot.mouseClick(cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not child.is_alive, timeout=5_000)
    QApplication.processEvents()


def test_what_ends_a_run_never_stands_where_one_is_started(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    dock.resize(430, 700)
    dock.show()
    bar = dock.run_bar
    bar.set_action('&Run', '', onward=True)
    QApplication.processEvents()

    def places(*buttons: QWidget) -> list[Any]:
        return [
            button.geometry().translated(button.parentWidget().mapTo(dock, button.pos()) - button.pos())
            for button in buttons
        ]

    idle = places(bar.run_button, bar.next_button, bar.project_button)
    bar.set_running(True, stoppable=True)
    bar.layout().activate()
    QApplication.processEvents()
    assert places(bar.run_button, bar.next_button, bar.project_button) == idle, 'nothing moves'
    assert not bar.run_button.isEnabled()
    running = places(bar.pause_button, bar.finish_button, bar.cancel_button)
    assert not [1 for one in idle for other in running if one.intersects(other)]
    bar.set_running(False)
    assert bar.run_button.isEnabled() and not bar.cancel_button.isVisible()


def test_the_table_of_tilts_grows_with_the_dock(dock: TomographyDock, qtbot: Any) -> None:
    angles = np.linspace(-60.0, 60.0, 25)
    dock.open_page.done(look_over(MapSeries(np.ones((1, 25, 8, 8)), angles, ('Ge',), pixel_size=1.0)))
    dock.stages.go_to(dock.open_page)
    dock.resize(430, 600)
    dock.show()
    qtbot.waitExposed(dock)
    low = dock.open_page.table.height()
    dock.resize(430, 1040)
    qtbot.waitUntil(lambda: dock.open_page.table.height() > low + 150, timeout=3_000)
