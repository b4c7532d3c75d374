"""The stack of pages and the numbered buttons that choose among them."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPoint, QTimer, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_diptomo.widgets.controls.parts import follow_layout, scrolling, words
from napari_diptomo.widgets.pages.page import Page


class Stages(QWidget):
    """The pages, one in front; later ones closed until their input exists.

    Signals
    -------
    moved
        Another page is in front.
    """

    moved = Signal()

    def __init__(self, pages: Sequence[Page], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pages = tuple(pages)
        self._wanted: QWidget | None = None
        self._stack = QStackedWidget()
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self.buttons: list[QPushButton] = []
        row = QHBoxLayout()
        row.setSpacing(2)
        for number, page in enumerate(self._pages):
            button = QPushButton(f'{number + 1} {page.title}')
            button.setCheckable(True)
            button.setShortcut(f'Alt+{number + 1}')
            # All of them stand side by side in the narrowest dock.
            button.setStyleSheet('padding-left: 1px; padding-right: 1px')
            self._group.addButton(button, number)
            self.buttons.append(button)
            row.addWidget(button)
            self._stack.addWidget(scrolling(page))
        self.why = words('')
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 0)
        column.addLayout(row)
        column.addWidget(self.why)
        column.addWidget(self._stack, 1)
        self.buttons[0].setChecked(True)
        self._group.idClicked.connect(self._show)

    @property
    def current(self) -> Page:
        """The page in front."""
        return self._pages[self._stack.currentIndex()]

    @property
    def can_go_forward(self) -> bool:
        """Whether there is a next page and it is open."""
        following = self._stack.currentIndex() + 1
        return following < len(self._pages) and not self._pages[following].closed()

    def go_forward(self) -> None:
        """To the next page."""
        if self.can_go_forward:
            self._show(self._stack.currentIndex() + 1)

    def go_to(self, page: Page) -> None:
        """To this page."""
        self._show(self._pages.index(page))

    def refresh(self) -> None:
        """Open and close pages as their input comes and goes."""
        reasons = [page.closed() for page in self._pages]
        for button, page, reason in zip(self.buttons, self._pages, reasons, strict=True):
            button.setEnabled(not reason)
            button.setToolTip(f'<qt>{reason or page.explanation}</qt>')
        current = self._stack.currentIndex()
        if reasons[current]:
            # Back, not on: a volume left in the viewer keeps the last page open when a new series is opened.
            self._show(next(i for i in reversed(range(current)) if not reasons[i]))
        closed = next((i for i, reason in enumerate(reasons) if reason), None)
        self.why.setVisible(closed is not None)
        if closed is not None:
            self.why.setText(f'<small>{self._pages[closed].title} is closed: {_lower(reasons[closed])}</small>')

    def bring_into_view(self, widget: QWidget | None) -> None:
        """Scroll the page in front to this widget, once Qt has laid it out."""
        self._wanted = widget
        QTimer.singleShot(250, self._scroll)

    def set_running(self, running: bool) -> None:
        """While a job runs the parameters stay as they were given."""
        for page in self._pages:
            page.set_frozen(running)

    def _scroll(self) -> None:
        area = self._stack.currentWidget()
        if self._wanted is not None and isinstance(area, QScrollArea) and area.isAncestorOf(self._wanted):
            # What has just been shown has no place before the layout is done.
            self.current.body.activate()
            # Not ensureWidgetVisible: of a plot it looks at the text cursor it has not got.
            top = self._wanted.mapTo(self.current, QPoint(0, 0)).y()
            area.ensureVisible(0, top + self._wanted.height(), 0, 36)
            area.ensureVisible(0, top, 0, 10)

    def _show(self, index: int) -> None:
        self.buttons[index].setChecked(True)
        if self._stack.currentIndex() != index or not self.current.isVisible():
            self._stack.setCurrentIndex(index)
        self._pages[index].enter()
        # Forms are made when their page is entered.
        follow_layout(self._pages[index])
        self.moved.emit()


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
