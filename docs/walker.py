"""A user at a napari window: presses what is seen, types, drops files, counts clicks and notes how long napari took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from make_screenshots import Tour
from stalls import Stalls

#: Milliseconds between two ticks of the clock that says how long an event would have waited.
_TICK_MS = 5


class Walker(Tour):
    """A user at a window: presses, types, drops; counts clicks and notes how long napari took.

    Parameters
    ----------
    out : Path
        Folder for the pictures.
    size : tuple of int
        Of the window, pixels.
    """

    def __init__(self, out: Path, size: tuple[int, int]) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.clicks = 0
        self.seconds: dict[str, float] = {}
        self.volume_clicks: int | None = None
        self._late: list[float] = []
        self._loads: list[float] = []
        self._stalls = Stalls()
        self._ticked: float | None = None
        self._step = 0
        self._chosen_at = 0.0, 0.0
        self._clock = QTimer()
        self._clock.setTimerType(Qt.TimerType.PreciseTimer)
        self._clock.timeout.connect(self._tick)
        super().__init__(out, size)

    def open_dock(self) -> Any:
        """From the menu, as a user does; None until `find_dock`."""
        self._began = time.monotonic()
        self._clock.start(_TICK_MS)
        return None

    def find_dock(self) -> None:
        """Plugins, Tomography."""
        self.picture('napari')
        self.choose_menu('Plugins', 'Tomography')
        # From the click itself: napari imports and makes the dock before the menu has closed.
        begun, computed = self._chosen_at
        self.until(lambda: self._docks() and self._docks()[0].isVisible())
        self.dock = self._docks()[0]
        self.until(lambda: self.dock.session.window is not None)
        self.seconds['dock opens'] = time.perf_counter() - begun
        # What other computations on this machine change less.
        self.seconds['dock opens, of the processor'] = time.process_time() - computed
        self.picture('dock')

    def until(self, done: Callable[[], Any], timeout: float = 600.0) -> None:
        """Let Qt's own loop run until `done`: events wait for what napari does, not for this script."""
        from qtpy.QtCore import QEventLoop, QTimer

        end, loop, watch = time.monotonic() + timeout, QEventLoop(), QTimer()
        watch.timeout.connect(lambda: loop.quit() if done() or time.monotonic() > end else None)
        watch.start(20)
        loop.exec()
        if not done():
            self.picture('stuck')
            sys.exit('The walk took too long.')

    def picture(self, name: str) -> None:
        """Save what is on the screen, with all that lies over the window."""
        self.settle(0.7)
        self._step += 1
        self._loads.append(psutil.getloadavg()[0])
        with self._not_counted():
            path = self._out / f'{self._step:02d}-{name}.png'
            self._app.primaryScreen().grabWindow(0).save(str(path))
        self._stalls.step = path.stem
        print(path, self.clicks, flush=True)

    def press(self, widget: Any) -> None:
        """Press a widget where it is seen, having scrolled to it."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.see(widget)
        if not widget.isVisible() or not widget.isEnabled():
            sys.exit(f'{widget.text()!r} cannot be pressed.')
        self.clicks += 1
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=widget.rect().center())

    def see(self, widget: Any) -> None:
        """Scroll the page to a widget."""
        from qtpy.QtWidgets import QScrollArea

        area = widget.parent()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parent()
        if area is not None:
            area.ensureWidgetVisible(widget, 0, 40)
        self.settle(0.1)

    def select(self, box: Any, text: str) -> None:
        """Open a box and click an entry."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.press(box)
        view = box.view()
        self.until(view.isVisible)
        # A box takes a release so soon after it was opened for the end of the press that opened it.
        self.settle(self._app.doubleClickInterval() / 1000 + 0.1)
        index = box.model().index(box.findText(text), 0)
        view.scrollTo(index)
        self.clicks += 1
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(index).center())
        self.until(lambda: box.currentText() == text)

    def type_into(self, line: Any, text: str) -> None:
        """Replace the text of a line, and press Enter."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.see(line)
        line.setFocus()
        QTest.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(line, text)
        QTest.keyClick(line, Qt.Key.Key_Return)

    def choose_menu(self, *names: str) -> None:
        """Open a menu of the window and click down to an entry, each found by a part of its name."""
        self._choose(self.viewer.window._qt_window.menuBar(), names)

    def choose_of(self, button: Any, name: str, picture: str = '') -> None:
        """Open the menu of a button and click an entry."""
        self.press(button)
        self.until(button.menu().isVisible)
        if picture:
            self.picture(picture)
        self._choose(button.menu(), (name,))

    def in_dialog(self, text: str, press: Callable[[], None], picture: str = '') -> None:
        """Do what opens a dialog for files, paste a path into it and confirm."""
        from qtpy.QtCore import Qt, QTimer
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QDialogButtonBox, QFileDialog, QLineEdit

        def answer() -> None:
            found = [w for w in self._app.topLevelWidgets() if isinstance(w, QFileDialog) and w.isVisible()]
            if not found:
                QTimer.singleShot(100, answer)
                return
            line = found[0].findChild(QLineEdit)
            # Typed key by key the folders on the way would be taken for what is meant.
            self._app.clipboard().setText(text)
            for key in (Qt.Key.Key_A, Qt.Key.Key_V):
                QTest.keyClick(line, key, Qt.KeyboardModifier.ControlModifier)
            if picture:
                self.picture(picture)
            box = found[0].findChild(QDialogButtonBox)
            QTest.mouseClick(box.buttons()[0], Qt.MouseButton.LeftButton)
            self.clicks += 1

        QTimer.singleShot(100, answer)
        press()

    def drop(self, paths: Iterable[str]) -> None:
        """Drop files on the dock."""
        from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
        from qtpy.QtGui import QDragEnterEvent, QDropEvent

        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(path) for path in paths])
        where, keys, buttons = QPointF(60, 200), Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
        enter = QDragEnterEvent(where.toPoint(), Qt.DropAction.CopyAction, mime, buttons, keys)
        self._app.sendEvent(self.dock, enter)
        self._app.sendEvent(self.dock, QDropEvent(where, Qt.DropAction.CopyAction, mime, buttons, keys))

    def next_page(self) -> None:
        """The button Next."""
        self.press(self.dock.run_bar.next_button)
        self.settle(0.5)

    def run(self) -> None:
        """The page's own button, to the end of its job."""
        self.press(self.dock.run_bar.run_button)
        self.idle()

    def run_to_preview(self) -> None:
        """Start a reconstruction; until the viewer shows its first preview."""
        shown: list[int] = []
        self.dock.session.frame.connect(lambda frame, iteration: shown.append(iteration))
        begun = time.perf_counter()
        self.press(self.dock.run_bar.run_button)
        self.until(lambda: shown or not self.dock.session.busy)
        if shown:
            self.seconds['first preview after Run'] = time.perf_counter() - begun
        self.volume_clicks = self.volume_clicks or self.clicks
        self.seconds.setdefault('napari to first preview', time.monotonic() - self._began)

    def report(self) -> dict[str, Any]:
        """The measurements of this walk, JSON-ready."""
        late = np.array(self._late or [0.0])
        p50, p95 = np.percentile(late, (50, 95))
        return {
            'clicks to the volume': self.volume_clicks,
            'clicks': self.clicks,
            'seconds': {name: round(value, 2) for name, value in self.seconds.items()},
            'event latency, ms': {
                'median': round(float(p50), 1),
                'p95': round(float(p95), 1),
                'worst': round(float(late.max()), 1),
            },
            'longest waits': self._stalls.longest(),
            'processes that wanted a core': round(float(np.mean(self._loads)), 1),
        }

    def _choose(self, menu: Any, names: Iterable[str]) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        for name in names:
            actions = [a for a in menu.actions() if name in a.text().replace('&', '')]
            if not actions:
                sys.exit(f'No entry {name!r} among {[a.text() for a in menu.actions()]}.')
            self.clicks += 1
            self._chosen_at = time.perf_counter(), time.process_time()
            QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(actions[0]).center())
            if actions[0].menu() is not None:
                menu = actions[0].menu()
                self.until(menu.isVisible)
                self.settle(0.2)

    def _docks(self) -> list[Any]:
        from napari_diptomo.widgets.dock import TomographyDock

        return list(self.viewer.window._qt_window.findChildren(TomographyDock))

    def _tick(self) -> None:
        now = time.perf_counter()
        if self._ticked is not None:
            self._late.append(max((now - self._ticked) * 1e3 - _TICK_MS, 0.0))
        self._ticked = now
        self._stalls.tick()

    @contextmanager
    def _not_counted(self) -> Iterator[None]:
        self._clock.stop()
        self._stalls.pause()
        try:
            yield
        finally:
            self._ticked = None
            self._clock.start(_TICK_MS)
