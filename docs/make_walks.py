"""Walk through napari as a newcomer does, with the mouse and the keys, and take a picture at every step.

    python docs/make_walks.py --out walks
    python docs/make_walks.py --out walks --walk edx --theme light --size 1920x1080
    python docs/make_walks.py --out walks --data FOLDER --page

Four walks: the EDX sample, the EELS sample, a measured series (``--data``, a folder of EDX files), and a project that is
closed and taken up the next day. Each in napari's dark and light theme and on a small and a large screen, unless one
is named. Events come as those of a user: buttons are pressed where they are seen, menus opened, names typed, files
dropped. What was measured on the way is printed and written as JSON beside the pictures; ``--page`` writes it into
docs/quality.md. Runs under Xvfb where there is no screen.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from make_screenshots import Tour, guide, on_a_screen, parser_of

THEMES, SIZES = ('dark', 'light'), ('1366x768', '1920x1080')
PAGE = Path(__file__).parent / 'quality.md'
BEGIN, END = '<!-- walks: written by docs/make_walks.py -->', '<!-- end of walks -->'
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
        self._ticked: float | None = None
        self._step = 0
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
        begun = time.perf_counter()
        self.until(lambda: self._docks() and self._docks()[0].isVisible())
        self.dock = self._docks()[0]
        self.until(lambda: self.dock.session.window is not None)
        self.seconds['dock opens'] = time.perf_counter() - begun
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
        with self._not_counted():
            path = self._out / f'{self._step:02d}-{name}.png'
            self._app.primaryScreen().grabWindow(0).save(str(path))
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

    def press_cell(self, table: Any, row: int) -> None:
        """Press the first cell of a row."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.see(table)
        self.clicks += 1
        place = table.visualItemRect(table.item(row, 0)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)

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
        }

    def _choose(self, menu: Any, names: Iterable[str]) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        for name in names:
            actions = [a for a in menu.actions() if name in a.text().replace('&', '')]
            if not actions:
                sys.exit(f'No entry {name!r} among {[a.text() for a in menu.actions()]}.')
            self.clicks += 1
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

    @contextmanager
    def _not_counted(self) -> Iterator[None]:
        self._clock.stop()
        try:
            yield
        finally:
            self._ticked = None
            self._clock.start(_TICK_MS)


def edx(walker: Walker, arguments: argparse.Namespace) -> None:
    """The sample from spectra to a judged composition."""
    walker.find_dock()
    dock = walker.dock
    walker.press(_button(dock, 'Load sample'))
    walker.idle()
    walker.picture('sample')
    walker.next_page()
    walker.until(lambda: not dock.maps_page.view.busy)
    walker.picture('maps-before')
    walker.press(dock.maps_page.picker.open_table)
    walker.picture('periodic-table')
    dock.maps_page.picker.table.close()
    walker.clicks -= 1
    walker.run()
    walker.picture('maps-made')
    walker.next_page()
    walker.picture('align-before')
    walker.run()
    walker.picture('aligned')
    walker.see(dock.align_page.by_hand)
    walker.picture('shifts-by-hand')
    walker.next_page()
    walker.until(lambda: 'Needs' in dock.reconstruct_page.estimate.text())
    walker.picture('reconstruct-before')
    form = dock.reconstruct_page.forms['DIPm-TV']
    walker.select(form.fields['preset'].native, 'fast')
    walker.settle(0.5)
    walker.picture('preset-fast')
    walker.run_to_preview()
    walker.picture('first-preview')
    walker.idle()
    walker.picture('volume')
    _more(walker, form)
    for name in ('Slices', 'Cut', 'Surface'):
        walker.press(dock.view_bar.buttons[name])
        walker.picture(f'view-{name.lower()}')
        walker.press(dock.view_bar.buttons[name])
    walker.press(dock.view_bar.whole)
    walker.next_page()
    walker.picture('composition-before')
    walker.run()
    walker.picture('composition')
    walker.next_page()
    walker.picture('judge-before')
    walker.run()
    walker.picture('judged')
    _down_the_page(walker, 'judge')


def eels(walker: Walker, arguments: argparse.Namespace) -> None:
    """The sample from low and core loss to oxidation states."""
    walker.find_dock()
    dock, page = walker.dock, walker.dock.maps_page.eels
    walker.choose_menu('File', 'Open Sample', 'DIPm-TV', 'EELS spectra')
    walker.until(lambda: dock.session.series is not None)
    walker.picture('sample')
    walker.next_page()
    walker.until(lambda: page.found is not None)
    walker.until(lambda: not page.busy)
    walker.picture('maps-before')
    walker.run()
    walker.picture('maps-made')
    _down_the_page(walker, 'maps')
    walker.next_page()
    walker.run()
    walker.picture('aligned')
    walker.next_page()
    walker.until(lambda: 'Needs' in dock.reconstruct_page.estimate.text())
    walker.select(dock.reconstruct_page.forms['DIPm-TV'].fields['preset'].native, 'fast')
    walker.picture('reconstruct-before')
    walker.run_to_preview()
    walker.picture('first-preview')
    walker.idle()
    walker.picture('volume')
    walker.next_page()
    walker.picture('oxidation-before')
    walker.run()
    walker.picture('oxidation')
    walker.next_page()
    walker.run()
    walker.picture('judged')


def real(walker: Walker, arguments: argparse.Namespace) -> None:
    """A measured series: dropped, binned, elements typed, a quick look by SIRT, then DIPm-TV."""
    walker.find_dock()
    dock = walker.dock
    walker.type_into(dock.open_page.fields['binning'].native.findChild(_line_edit()), str(arguments.binning))
    walker.drop([str(arguments.data)])
    walker.settle(1.0)
    walker.picture('listed')
    walker.idle()
    walker.picture('opened')
    walker.next_page()
    walker.until(lambda: not dock.maps_page.view.busy)
    walker.picture('suggested')
    walker.type_into(dock.maps_page.picker.line, arguments.elements)
    walker.until(lambda: not dock.maps_page.view.busy)
    walker.picture('maps-before')
    walker.run()
    walker.picture('maps-made')
    _down_the_page(walker, 'maps')
    walker.next_page()
    walker.run()
    walker.picture('aligned')
    walker.next_page()
    walker.until(lambda: 'Needs' in dock.reconstruct_page.estimate.text())
    walker.picture('reconstruct-before')
    walker.select(dock.reconstruct_page.method, 'SIRT')
    walker.run_to_preview()
    walker.idle()
    walker.picture('sirt')
    walker.select(dock.reconstruct_page.method, 'DIPm-TV')
    walker.select(dock.reconstruct_page.forms['DIPm-TV'].fields['preset'].native, 'fast')
    walker.run_to_preview()
    walker.picture('first-preview')
    walker.press(dock.run_bar.pause_button)
    walker.settle(1.0)
    walker.picture('paused')
    walker.press(dock.run_bar.pause_button)
    walker.settle(5.0)
    if dock.session.busy:
        walker.press(dock.run_bar.finish_button)
    walker.idle()
    walker.picture('stopped-and-kept')
    walker.next_page()
    walker.run()
    walker.picture('composition')
    walker.next_page()
    walker.run()
    walker.picture('judged')


def evening(walker: Walker, arguments: argparse.Namespace) -> None:
    """A volume is made, the dock closed and opened again, the project saved, napari closed."""
    from qtpy.QtWidgets import QDockWidget, QMessageBox

    walker.find_dock()
    dock = walker.dock
    walker.choose_menu('File', 'Open Sample', 'DIPm-TV', 'Ge-Sb-Te lamella')
    walker.until(lambda: dock.session.input_maps is not None)
    walker.picture('ready-maps')
    walker.press(dock.stages.buttons[3])
    walker.picture('not-aligned')
    walker.select(dock.reconstruct_page.method, 'SIRT')
    walker.run_to_preview()
    walker.idle()
    walker.picture('sirt')
    walker.in_dialog(
        str(arguments.project),
        lambda: walker.choose_of(dock.run_bar.project_button, 'as…', 'project-menu'),
        'save-dialog',
    )
    walker.until(lambda: arguments.project.is_dir())
    walker.picture('saved')
    walker.select(dock.reconstruct_page.method, 'DIPm-TV')
    walker.run_to_preview()
    frame = dock.parent()
    assert isinstance(frame, QDockWidget)
    walker.press(frame.titleBarWidget().close_button)
    walker.settle(1.0)
    walker.picture('dock-closed-while-it-runs')
    (box,) = walker.viewer.window._qt_window.findChildren(QMessageBox)
    walker.press(next(button for button in box.buttons() if 'Keep' in button.text()))
    walker.find_dock()
    walker.picture('dock-again')
    walker.press(walker.dock.run_bar.cancel_button)
    walker.idle()
    walker.picture('cancelled')
    walker.until(lambda: not walker.dock.session.autosave.busy)


def morning(walker: Walker, arguments: argparse.Namespace) -> None:
    """napari is started the next day: the session is offered, and taken up."""
    walker.find_dock()
    dock = walker.dock
    walker.press(_button(dock, 'Restore'))
    walker.idle()
    walker.picture('restored')
    # The run that was cancelled last has no volume: choose the other.
    walker.press_cell(dock.reconstruct_page.runs_list, len(dock.runs) - 1)
    walker.picture('chosen')
    walker.press(dock.stages.buttons[5])
    walker.run()
    walker.picture('judged')
    walker.in_dialog(
        str(arguments.project), lambda: walker.choose_of(dock.run_bar.project_button, 'Open project', 'project-menu')
    )
    walker.idle()
    walker.picture('project-opened')


def _more(walker: Walker, form: Any) -> None:
    """The parameters under More, screen by screen."""
    walker.press(form.more.toggleButton())
    walker.settle(1.0)
    _down_the_page(walker, 'more')
    walker.press(form.more.toggleButton())
    walker.settle(1.0)


def _down_the_page(walker: Walker, name: str) -> None:
    """The page in front from its top, a screen at a time."""
    area = walker.dock.stages._stack.currentWidget()
    bar = area.verticalScrollBar()
    bar.setValue(0)
    for part in range(1, 9):
        walker.picture(f'{name}-{part}')
        if bar.value() >= bar.maximum():
            return
        bar.setValue(bar.value() + bar.pageStep() - 20)


def _button(dock: Any, text: str) -> Any:
    from qtpy.QtWidgets import QPushButton

    found = [b for b in dock.findChildren(QPushButton) if text in b.text().replace('&', '') and b.isVisible()]
    return found[0] if found else sys.exit(f'There is no button {text!r}.')


def _line_edit() -> Any:
    from qtpy.QtWidgets import QLineEdit

    return QLineEdit


WALKS: dict[str, tuple[Callable[[Walker, argparse.Namespace], None], ...]] = {
    'edx': (edx,),
    'eels': (eels,),
    'real': (real,),
    'project': (evening, morning),
}


def walk_once(arguments: argparse.Namespace, part: Callable[..., None]) -> None:
    """One window from its opening to its end."""
    found: dict[str, Any] = {}

    def lead(walker: Any, arguments: argparse.Namespace) -> None:
        part(walker, arguments)
        found.update(walker.report())

    guide(lead, arguments, Walker, arguments.state)
    text = json.dumps(found, indent=1)
    print(text)
    (arguments.out / 'measured.json').write_text(text + '\n', encoding='utf-8')


def walk_all(arguments: argparse.Namespace) -> None:
    """Every walk in every theme and size, each window in a process of its own."""
    for name in [arguments.walk] if arguments.walk else WALKS:
        if name == 'real' and arguments.data is None:
            continue
        for theme in [arguments.theme] if arguments.theme else THEMES:
            for size in [arguments.size] if arguments.size else SIZES:
                with tempfile.TemporaryDirectory() as state:
                    for part in WALKS[name]:
                        folder = arguments.out / f'{part.__name__}-{theme}-{size}'
                        options = ['--part', part.__name__, '--theme', theme, '--size', size, '--out', str(folder)]
                        options += [
                            '--state',
                            state,
                            '--project',
                            f'{state}/my project',
                            '--binning',
                            str(arguments.binning),
                        ]
                        options += ['--data', str(arguments.data)] if arguments.data else []
                        command = [sys.executable, __file__, *options, '--elements', arguments.elements]
                        subprocess.run(command, check=True)


def table(out: Path) -> str:
    """The measurements of the walks under a folder, as a table of Markdown."""
    lines = [
        '| walk | clicks to the volume | dock opens | first preview after Run | napari to first preview | latency p95 | worst |',
        '|---|---|---|---|---|---|---|',
    ]
    for path in sorted(out.glob('*/measured.json')):
        found = json.loads(path.read_text(encoding='utf-8'))
        seconds, late = found['seconds'], found['event latency, ms']
        times = [seconds.get(name) for name in ('dock opens', 'first preview after Run', 'napari to first preview')]
        cells = [path.parent.name.replace('-', ', '), str(found['clicks to the volume'] or '')]
        cells += ['' if value is None else f'{value:.3g} s' for value in times]
        cells += [f'{late[name]:.0f} ms' for name in ('p95', 'worst')]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument('--walk', choices=tuple(WALKS))
    parser.add_argument('--theme', choices=THEMES)
    parser.add_argument('--size', help='WIDTHxHEIGHT')
    parser.add_argument('--out', type=Path, default=Path('walks'))
    parser.add_argument('--data', type=Path, help='folder of measured EDX files')
    parser.add_argument('--binning', type=int, default=8)
    parser.add_argument('--elements', default='O, Mg, Al, Si, S, Ca, Fe, Ni')
    parser.add_argument('--page', action='store_true', help='write what was measured into docs/quality.md')
    parser.add_argument('--part', help=argparse.SUPPRESS)
    parser.add_argument('--state', help=argparse.SUPPRESS)
    parser.add_argument('--project', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        parts = {part.__name__: part for walk in WALKS.values() for part in walk}
        if not on_a_screen(arguments.size):
            return 1
        walk_once(arguments, parts[arguments.part])
        return 0
    walk_all(arguments)
    print(table(arguments.out))
    if arguments.page:
        before, _, rest = PAGE.read_text(encoding='utf-8').partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f'{before}{BEGIN}\n\n{table(arguments.out)}\n\n{END}{after}', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
