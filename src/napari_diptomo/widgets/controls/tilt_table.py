"""The files of a tilt series with the angle of each, open to correction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

_FILE, _ANGLE = 0, 1
_EDITABLE = '<qt>Tilt angles, degrees. Double-click one to correct it.</qt>'
_FIXED = (
    '<qt>Tilt angles as the files hold them, degrees. To correct them put a table of angles '
    '(.rawtlt, .tlt, .csv, .txt) beside the files and open them again.</qt>'
)


class TiltTable(QTableWidget):
    """A row per file: its name, its tilt in degrees.

    Signals
    -------
    edited
        The user changed an angle.
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self.setHorizontalHeaderLabels(['File', 'Tilt / deg'])
        columns: Any = self.horizontalHeader()
        columns.setSectionResizeMode(_FILE, QHeaderView.ResizeMode.Stretch)
        columns.setSectionResizeMode(_ANGLE, QHeaderView.ResizeMode.ResizeToContents)
        lines: Any = self.verticalHeader()
        lines.setVisible(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setFixedHeight(150)
        self.setToolTip(_EDITABLE)
        self.setAccessibleName('Files and tilt angles')
        self._files: tuple[Path, ...] = ()
        self._touched = False
        self.problem = ''
        self.itemChanged.connect(self._item_changed)

    def show_files(self, files: Sequence[Path], angles: np.ndarray | None) -> None:
        """List the files; angles (file,) in degrees where they are known already."""
        if angles is None:
            self._fill([Path(file) for file in files], [])
            return
        order = np.argsort(angles, kind='stable')
        self._fill([Path(files[i]) for i in order], [float(angles[i]) for i in order])

    def show_found(self, angles: np.ndarray) -> None:
        """The series is open: its angles (tilt,), ascending, are the truth now."""
        listed = [self._angle(row) for row in range(self.rowCount())]
        known = [angle for angle in listed if angle is not None]
        found = [float(angle) for angle in angles]
        if len(known) == len(listed) and np.array_equal(np.sort(known), found):
            self._fill([self._files[i] for i in np.argsort(known)], found)
            return
        # Which of the files has which of these angles is the files' secret, or
        # all are in one: correcting them takes a table beside the files.
        self._fill([Path(f'tilt {number}') for number in range(1, len(found) + 1)], found, editable=False)

    def set_angles(self, angles: Sequence[float | None] | None) -> None:
        """Angles (file,) in degrees as the user had typed them; None for none typed."""
        if angles is None or len(angles) != self.rowCount():
            return
        for row, angle in enumerate(angles):
            cell: Any = self.item(row, _ANGLE)
            cell.setText('' if angle is None else f'{angle:g}')

    def files(self) -> tuple[str, ...]:
        """Paths in the order of the rows."""
        return tuple(str(file) for file in self._files)

    def angles(self) -> tuple[float | None, ...] | None:
        """Degrees in the order of the rows, when the user has touched them; else None."""
        if not self._touched:
            return None
        return tuple(self._angle(row) for row in range(self.rowCount()))

    def _fill(self, files: list[Path], angles: list[float], editable: bool = True) -> None:
        self._files = tuple(files)
        fixed = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        self.blockSignals(True)
        self.setRowCount(len(files))
        for row, file in enumerate(files):
            name = QTableWidgetItem(file.name)
            name.setFlags(fixed)
            name.setToolTip(str(file))
            self.setItem(row, _FILE, name)
            angle = QTableWidgetItem(f'{angles[row]:g}' if angles else '')
            angle.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if not editable:
                angle.setFlags(fixed)
            self.setItem(row, _ANGLE, angle)
        self.blockSignals(False)
        self.setToolTip(_EDITABLE if editable else _FIXED)
        self._touched = False
        self.problem = ''

    def _angle(self, row: int) -> float | None:
        item = self.item(row, _ANGLE)
        try:
            return float(item.text().replace(',', '.').replace('°', '')) if item is not None else None
        except ValueError:
            return None

    def _item_changed(self, item: QTableWidgetItem) -> None:
        if item.column() != _ANGLE:
            return
        self._touched = True
        missing = [self._files[row].name for row in range(self.rowCount()) if self._angle(row) is None]
        self.problem = f'{missing[0]} has no tilt angle; type it in degrees.' if missing else ''
        self.edited.emit()
