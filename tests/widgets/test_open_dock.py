"""One dock to a window, whoever opens it, under the name that the menu and the documents have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QDockWidget

from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.open_dock import NAME, open_dock

ROOT = Path(__file__).parents[2]


def frames(window: Any) -> list[QDockWidget]:
    return [f for f in window.window._qt_window.findChildren(QDockWidget) if f.findChildren(TomographyDock)]


def from_the_menu(window: Any) -> None:
    """Press the entry, wherever in the menu Plugins it stands."""
    bar = window.window._qt_window.menuBar()
    (plugins,) = (action.menu() for action in bar.actions() if action.text().replace('&', '') == 'Plugins')
    plugins.aboutToShow.emit()
    (entry,) = (action for action in plugins.actions() if action.text() == NAME)
    entry.trigger()


@pytest.mark.parametrize('menu_first', [True, False])
def test_the_menu_and_a_drop_open_one_dock(window: Any, menu_first: bool) -> None:
    if menu_first:
        from_the_menu(window)
        (frame,) = frames(window)
        frame.hide()
    dock = open_dock(window)
    assert open_dock(window) is dock
    (frame,) = frames(window)
    assert not frame.isHidden() and frame.windowTitle() == NAME
    if not menu_first:
        from_the_menu(window)
        assert frames(window) == [frame], 'the entry of the menu is of this dock'


def test_what_is_read_calls_it_as_the_menu_does() -> None:
    pages = [*(ROOT / 'docs').glob('*.md'), ROOT / 'README.md', *(ROOT / 'src').rglob('*.py')]
    named = {
        page.name: re.findall(r'Plugins > Tomography[^*,;:.>]*', page.read_text(encoding='utf-8')) for page in pages
    }
    named = {page: found for page, found in named.items() if found}
    assert len(named) > 5
    for page, found in named.items():
        assert [text.strip().startswith(f'Plugins > {NAME}') for text in found] == [True] * len(found), page
