"""Boxes to choose from: narrow, with a label, refilled without losing the choice, entries disabled."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel


def compact_box(name: str, tip: str) -> QComboBox:
    """A box that a long list of layer names does not widen, and with it the dock."""
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(f'<qt>{tip}</qt>')
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(6)
    return box


def labelled(text: str, box: QComboBox) -> QHBoxLayout:
    """The box behind its label, in a row."""
    row = QHBoxLayout()
    label = QLabel(text)
    label.setBuddy(box)
    row.addWidget(label)
    row.addWidget(box, 1)
    return row


def disable_entries(box: QComboBox, reasons: Mapping[str, str]) -> None:
    """Entries that can be seen and not be chosen, by their text, each with the reason as its tool tip; all others can be."""
    model = box.model()
    assert isinstance(model, QStandardItemModel)
    for index in range(box.count()):
        reason = reasons.get(box.itemText(index), '')
        item = model.item(index)
        assert item is not None
        item.setEnabled(not reason)
        box.setItemData(index, reason or None, Qt.ItemDataRole.ToolTipRole)


def refill(box: QComboBox, items: list[str]) -> None:
    """Other items, keeping the chosen one where it is among them; no signal."""
    kept = box.currentText()
    box.blockSignals(True)
    box.clear()
    box.addItems(items)
    if kept in items:
        box.setCurrentIndex(items.index(kept))
    box.blockSignals(False)
