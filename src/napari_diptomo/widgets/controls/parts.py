"""Text, headings and groups of controls: what the pages are laid out with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QLayout, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_diptomo.widgets.theme import legible_text

_PERCENT = re.compile(r'(?<=\d) (?=%)')


class Part(QWidget):
    """Controls of a page that are shown or hidden together, in the column `body`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(0, 0, 0, 0)


def freeze(whole: QWidget, frozen: bool) -> None:
    """Disable what is set by hand; text, plots and what says `never_frozen` stay as they are."""
    for form in whole.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
        if isinstance(form, Part):
            freeze(form, frozen)
        elif not isinstance(form, QLabel) and not hasattr(form, 'follow_theme') and not hasattr(form, 'never_frozen'):
            form.setEnabled(not frozen)


def follow_layout(whole: QWidget) -> None:
    """Have Tab go through the controls as they are laid out; Qt's own order is that in which they were made."""
    found = list(_laid_out(whole.layout()))
    for before, after in pairwise(found):
        QWidget.setTabOrder(before, after)


def _laid_out(layout: QLayout | None) -> Iterator[QWidget]:
    """The widgets of a layout that have no layout of their own, row by row."""
    if layout is None:
        return
    for index in range(layout.count()):
        item = layout.itemAt(index)
        widget = item.widget() if item is not None else None
        if widget is None:
            yield from _laid_out(item.layout() if item is not None else None)
        elif widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            yield widget
        else:
            yield from _laid_out(widget.layout())


class Words(QLabel):
    """Text in which no line ends between a number and its percent sign, and colours of elements are legible."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._given = ''
        self.setText(text)

    def setText(self, text: str | None) -> None:
        self._given = _PERCENT.sub('\N{NO-BREAK SPACE}', text or '')
        super().setText(legible_text(self._given))

    def follow_theme(self, event: Any = None) -> None:
        """Take on the colours of the current theme."""
        if 'color: #' in self._given:
            super().setText(legible_text(self._given))


def words(text: str) -> Words:
    """Text that wraps and never widens the dock."""
    label = Words(text)
    label.setWordWrap(True)
    label.setMinimumWidth(10)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def heading(text: str) -> QLabel:
    """A small title within a page."""
    label = QLabel(f'<b>{text}</b>')
    label.setContentsMargins(0, 6, 0, 0)
    return label


def folded(title: str, inner: QWidget) -> QCollapsible:
    """Controls folded away under a title, which takes no more height than a button then."""
    section = QCollapsible(title, expandedIcon='▾', collapsedIcon='▸')
    section.setDuration(0)
    layout: Any = section.layout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    section.addWidget(inner)
    section.collapse(animate=False)
    return section


def scrolling(page: QWidget) -> QScrollArea:
    """The page in a frame that scrolls downwards only."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(page)
    return area
