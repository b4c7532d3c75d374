"""Make the pictures of the docs: napari with the dock, page by page.

    python docs/make_screenshots.py
    python docs/make_screenshots.py --data FOLDER --elements O,Mg,Si,Fe --binning 8 --out DIR

Runs under Xvfb where there is no screen. Without a folder it shows the sample.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parent / 'images'
#: Column of the table of shifts that is filled in the background.
_SCORE = 3


class Tour:
    """A napari window with the dock, led from page to page.

    Parameters
    ----------
    out : Path
        Folder for the pictures.
    size : tuple of int
        Of the window, pixels.
    """

    def __init__(self, out: Path, size: tuple[int, int]) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        self._app = QApplication.instance() or QApplication([])
        self._out = out
        self.viewer = napari.Viewer(show=True)
        self.settle(1.0)
        self.viewer.window.resize(*size)
        self.dock = self.open_dock()
        self.settle(1.0)

    def open_dock(self) -> Any:
        """The dock, opened."""
        from napari_diptomo.widgets.open_dock import open_dock

        return open_dock(self.viewer)

    def settle(self, seconds: float = 1.0) -> None:
        """Let the window paint."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)

    def until(self, done: Callable[[], Any], timeout: float = 900.0) -> None:
        """Let the window live until `done`."""
        end = time.monotonic() + timeout
        while not done():
            if time.monotonic() > end:
                sys.exit('The tour took too long.')
            self._app.processEvents()
            time.sleep(0.01)

    def idle(self) -> None:
        """Wait for the running stage."""
        self.until(lambda: not self.dock.session.busy)
        self.settle()

    def picture(self, name: str) -> None:
        """Save what the window shows."""
        self.settle()
        self.viewer.screenshot(str(self._out / f'{name}.png'), canvas_only=False, flash=False)
        print(self._out / f'{name}.png', flush=True)


def lead(tour: Tour, arguments: argparse.Namespace) -> None:
    """Open, maps, align, run, judge: a picture of each."""
    dock = tour.dock
    tour.picture('0-empty')
    if arguments.data:
        dock.open_page.fields['binning'].value = arguments.binning
        dock.open_paths([arguments.data])
    else:
        dock.open_page._load_sample()
    tour.idle()
    dock.stages.go_to(dock.open_page)
    tour.picture('1-open')
    dock.stages.go_forward()
    if arguments.elements:
        dock.maps_page.picker.set_elements(tuple(arguments.elements.split(',')))
    dock.run_page()
    tour.idle()
    tour.picture('2-maps')
    dock.stages.go_forward()
    dock.run_page()
    tour.idle()
    tour.picture('3-align')
    by_hand = dock.align_page.by_hand
    aligned = by_hand.history.index()
    _nudge(tour)
    tour.picture('3-by-hand')
    by_hand.history.setIndex(aligned)
    by_hand.view.setCurrentIndex(0)
    tour.settle(2.0)
    dock.stages.go_forward()
    _set(dock, arguments)
    tour.until(lambda: 'Needs' in dock.reconstruct_page.estimate.text())
    tour.picture('4-reconstruct')
    dock.run_page()
    tour.until(lambda: dock.run_bar.bar.value() > arguments.iterations / 3 or not dock.session.busy)
    tour.picture('5-running')
    tour.idle()
    tour.picture('6-volume')
    dock.stages.go_to(dock.judge_page)
    dock.run_page()
    tour.idle()
    tour.picture('7-judge')
    tour.viewer.theme = 'light'
    tour.picture('light')


def _nudge(tour: Tour) -> None:
    """Move a tilt out of line by two pixels, and see its difference from the neighbour."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    by_hand = tour.dock.align_page.by_hand
    row = len(tour.dock.session.angles) // 3
    by_hand.table.setCurrentCell(row, 0)
    for _ in range(4):
        QTest.keyClick(by_hand.table, Qt.Key.Key_Right)
    by_hand.view.setCurrentIndex(2)
    tour.settle(3.0)
    tour.until(lambda: by_hand.table.item(row, _SCORE).text())
    tour.dock.stages.bring_into_view(by_hand)


def _set(dock: Any, arguments: argparse.Namespace) -> None:
    page = dock.reconstruct_page
    form = page.forms[page.method.currentText()]
    form.fields['preset'].value = 'fast'
    form.fields['iterations'].value = arguments.iterations
    if arguments.thickness:
        form.fields['thickness'].value = arguments.thickness


def on_a_screen(size: str) -> bool:
    """Start anew under Xvfb where there is no screen; False when there is no Xvfb either."""
    if sys.platform.startswith('linux') and not os.environ.get('DISPLAY') and not os.environ.get('WAYLAND_DISPLAY'):
        xvfb = shutil.which('xvfb-run')
        if xvfb is None:
            print('There is no screen and no Xvfb; `make system` installs it.')
            return False
        os.execv(xvfb, [xvfb, '-a', '-s', f'-screen 0 {size}x24', sys.executable, *sys.argv])
    return True


def guided(lead: Callable[[Tour, argparse.Namespace], None], parser: argparse.ArgumentParser, size: str) -> int:
    """Lead a tour through a window of its own, with settings of its own.

    Parameters
    ----------
    lead : callable
        From the tour and the arguments; takes the pictures.
    parser : ArgumentParser
        Knows what is special of this tour; size, theme and folder are added.
    size : str
        Of the window unless the user has another, ``'WIDTHxHEIGHT'``.

    Returns
    -------
    int
        Exit code.
    """
    parser.add_argument('--size', default=size)
    parser.add_argument('--theme', default='dark')
    parser.add_argument('--out', type=Path, default=IMAGES)
    arguments = parser.parse_args()
    if not on_a_screen(arguments.size):
        return 1
    guide(lead, arguments)
    return 0


def guide(
    lead: Callable[[Any, argparse.Namespace], None],
    arguments: argparse.Namespace,
    kind: type[Tour] = Tour,
    state: str | None = None,
) -> None:
    """Open a window, lead a tour through it, close it.

    Parameters
    ----------
    lead : callable
    arguments : Namespace
        With ``size``, ``theme`` and ``out``.
    kind : type of Tour
    state : str, optional
        Folder of earlier sessions; a new one unless given.
    """
    # Nobody's own settings shall be in the pictures, nor the pictures' in theirs.
    os.environ['NAPARI_CONFIG'] = str(Path(tempfile.mkdtemp()) / 'settings.yaml')
    os.environ['XDG_STATE_HOME'] = state or tempfile.mkdtemp()
    from napari.settings import get_settings

    get_settings().appearance.theme = arguments.theme
    arguments.out.mkdir(parents=True, exist_ok=True)
    width, height = (int(number) for number in arguments.size.split('x'))
    tour = kind(arguments.out, (width, height))
    lead(tour, arguments)
    tour.viewer.close()


def parser_of(text: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the script's own text."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument('--data', help='folder of a tilt series; without it the sample')
    parser.add_argument('--elements', help='separated by commas')
    parser.add_argument('--binning', type=int, default=1)
    parser.add_argument('--thickness', type=float, help='nm')
    parser.add_argument('--iterations', type=int, default=150)
    return guided(lead, parser, '1366x768')


if __name__ == '__main__':
    sys.exit(main())
