"""The row below a `TiltTable`: changes of all angles at once."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QPushButton,
    QWidget,
)

from napari_diptomo.series import InputError
from napari_diptomo.widgets.controls.parts import words
from napari_diptomo.widgets.controls.tilt_table import TiltTable


class TiltTools(QWidget):
    """How many tilts are used, a menu of changes, and the way back to what the files say.

    Parameters
    ----------
    table : TiltTable
        What is changed.
    """

    def __init__(self, table: TiltTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table = table
        self.count = words('')
        self.change = QPushButton('Angles')
        self.change.setToolTip('<qt>Reverse, shift, sort, paste or fill in all angles.</qt>')
        self.menu = QMenu(self.change)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.change.setMenu(self.menu)
        self.reset = QPushButton('Reset')
        self.reset.setToolTip('<qt>Take the angles that the files give again.</qt>')
        self.reset.clicked.connect(table.reset)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.count, 1)
        row.addWidget(self.change)
        row.addWidget(self.reset)
        self.refresh()

    def refresh(self) -> None:
        """After any change of the table."""
        self.count.setText(self._table.count())
        self.change.setEnabled(bool(self._table.rowCount()))
        self.reset.setEnabled(self._table.can_reset())
        self.setVisible(bool(self._table.rowCount()))

    def _fill_menu(self) -> None:
        table, works = self._table, self._table.tools_work()
        tilts = works and bool(table.places())
        self.menu.clear()
        for text, slot, enabled in (
            ('Re&verse the sign', table.reverse, tilts),
            ('&Add an offset…', self._ask_offset, tilts),
            ('&First, last, step…', self._ask_steps, works),
            ('&Paste a column', table.paste_clipboard, works),
            ('', None, True),
            ('&Sort by angle', table.sort_by_angle, bool(table.places())),
            ('Sort by fi&le', table.sort_by_file, bool(table.places())),
        ):
            if slot is None:
                self.menu.addSeparator()
                continue
            action: Any = self.menu.addAction(text)
            action.setEnabled(enabled)
            action.triggered.connect(partial(_without_argument, slot))
        sources = table.sources()
        if sources:
            self.menu.addSeparator()
        for source in sources:
            action = self.menu.addAction(f'Take those from {source}'.replace('&', '&&'))
            action.setEnabled(tilts)
            action.triggered.connect(partial(_without_argument, partial(table.take_source, source)))

    def _ask_offset(self) -> None:
        offset, agreed = QInputDialog.getDouble(
            self, 'Add an offset', 'Degrees to add to every tilt angle:', 0.0, -180.0, 180.0, 2
        )
        if agreed and offset:
            self._table.add(offset)

    def _ask_steps(self) -> None:
        asked = StepsDialog(self)
        if asked.exec() != QDialog.DialogCode.Accepted:
            return
        try:
            self._table.fill_steps(*asked.values())
        except InputError as error:
            self._table.refused.emit(str(error))


class StepsDialog(QDialog):
    """First, last and step of the angles, from the top row downwards."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle('Fill in the angles')
        rows = QFormLayout(self)
        self.fields: list[QDoubleSpinBox] = []
        for name, value in (('First', -60.0), ('Last', 60.0), ('Step', 10.0)):
            field = QDoubleSpinBox()
            field.setRange(-180.0, 180.0)
            field.setDecimals(3)
            field.setValue(value)
            field.setSuffix('°')
            field.setAccessibleName(name)
            rows.addRow(name, field)
            self.fields.append(field)
        rows.addRow(words('From the top row of the table downwards.'))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        rows.addRow(buttons)

    def values(self) -> tuple[float, float, float]:
        """First, last and step, degrees."""
        first, last, step = (field.value() for field in self.fields)
        return first, last, step


def _without_argument(slot: Any, *checked: Any) -> None:
    """Qt says whether a menu item is checked, which nobody asked."""
    slot()
