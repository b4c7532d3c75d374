"""The area of a plot in which the left mouse button draws, where it would move the axes elsewhere."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QPointF, Qt, Signal


class DragBox(pg.ViewBox):
    """Follows the mouse while its left button is held.

    Signals
    -------
    dragged(object, bool, bool)
        The way of the mouse as a list of (x, y) in the units of the axes, whether the button was let go, and whether
        Shift was held.
    """

    dragged = Signal(object, bool, bool)

    def __init__(self) -> None:
        super().__init__(enableMenu=False, enableMouse=False)
        self._way: list[tuple[float, float]] = []

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        event.accept()
        if event.isStart():
            self._way = [self._place(event.buttonDownPos())]
        self._way.append(self._place(event.pos()))
        more = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.dragged.emit(list(self._way), bool(event.isFinish()), more)

    def _place(self, pixel: QPointF) -> tuple[float, float]:
        point = self.mapToView(pixel)
        return float(point.x()), float(point.y())
