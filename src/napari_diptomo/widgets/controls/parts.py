"""Text, headings and groups of controls: what the pages are laid out with."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget


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


def words(text: str) -> QLabel:
    """Text that wraps and never widens the dock."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setMinimumWidth(10)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def heading(text: str) -> QLabel:
    """A small title within a page."""
    label = QLabel(f'<b>{text}</b>')
    label.setContentsMargins(0, 6, 0, 0)
    return label


def scrolling(page: QWidget) -> QScrollArea:
    """The page in a frame that scrolls downwards only."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(page)
    return area
