"""The dock of a window, opened for what is dropped and by the palette as the menu does: under one name, once."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QDockWidget, QWidget

from napari_diptomo.widgets.dock import TomographyDock

#: As napari calls it in the menu Plugins; under another name the menu would open a second one.
NAME = 'Tomography (DIPm-TV tomography)'


def open_dock(viewer: Any) -> TomographyDock:
    """The dock of a viewer with a window, shown; made where there is none.

    Parameters
    ----------
    viewer : Viewer
    """
    for dock in viewer.window.dock_widgets.values():
        if isinstance(dock, TomographyDock):
            _show(dock)
            return dock
    made = TomographyDock(viewer)
    viewer.window.add_dock_widget(made, name=NAME)
    return made


def _show(dock: TomographyDock) -> None:
    frame: QWidget | None = dock
    while frame is not None and not isinstance(frame, QDockWidget):
        frame = frame.parentWidget()
    if frame is not None:
        frame.show()
        frame.raise_()
