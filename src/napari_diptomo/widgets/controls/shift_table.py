"""The shift of every tilt in a table that corrects them: typed, or nudged with the arrow keys."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_diptomo.widgets.controls.pasted_numbers import number_in

if TYPE_CHECKING:
    from napari_diptomo.align import TiltShift

_HEADINGS = ('Tilt / °', 'dx / px', 'dy / px', 'Score', 'Source')
_ANGLE, _DX, _DY, _SCORE, _SOURCE = range(5)
_FEWEST_SHOWN = 6
#: Pixels per key, and with Shift.
_STEP, _LARGE_STEP = 0.5, 5.0
#: Direction (x, y) in which a key moves the image.
_ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}
_TIP = (
    '<qt>The arrow keys move the aligned image of the selected tilts by half a pixel, with Shift by 5; so dx falls when it '
    'moves to the right. Page Up and Page Down go to the next tilt, a double click or F2 changes a number. Ctrl+Z undoes, '
    'Ctrl+Shift+Z does it again.</qt>'
)
_TIPS = {
    _DX: 'Where the specimen sits in the image, across the tilt axis, pixels.',
    _DY: 'Where the specimen sits in the image, along the tilt axis, pixels.',
    _SCORE: 'Correlation of the image with what the other tilts predict; 1 where they are alike. Empty while it is computed.',
    _SOURCE: 'Found by the alignment, read from a file, or corrected by hand.',
}


class ShiftTable(QTableWidget):
    """A row per tilt: angle, dx, dy, score and source; tilts that do not fit the others are marked.

    Signals
    -------
    chosen(int)
        Another row is the current one.
    nudged(object, float, float)
        The images of these rows shall move by so many pixels to the right and down, as the viewer shows them.
    typed(int, object, object)
        The user gave dx or dy of a row, the other is None; pixels.
    undo, redo
        Asked for with the keys.
    refused(str)
        What was typed is no number, one sentence.
    """

    chosen = Signal(int)
    nudged = Signal(object, float, float)
    typed = Signal(int, object, object)
    undo = Signal()
    redo = Signal()
    refused = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_HEADINGS), parent)
        self.setHorizontalHeaderLabels(_HEADINGS)
        for column, tip in _TIPS.items():
            heading: Any = self.horizontalHeaderItem(column)
            heading.setToolTip(f'<qt>{tip}</qt>')
        columns: Any = self.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(_SOURCE, QHeaderView.ResizeMode.Stretch)
        lines: Any = self.verticalHeader()
        lines.setVisible(False)
        lines.setDefaultSectionSize(max(22, self.fontMetrics().height() + 6))
        height = columns.sizeHint().height() + _FEWEST_SHOWN * lines.defaultSectionSize() + 2 * self.frameWidth()
        self.setMinimumHeight(height)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setToolTip(_TIP)
        self.setAccessibleName('Shifts of the tilts')
        self.setAccessibleDescription('Arrow keys move the image of the selected tilts.')
        self._rows: tuple[TiltShift, ...] = ()
        self.itemChanged.connect(self._item_changed)
        self.currentCellChanged.connect(self._current_changed)
        # A row that the slider had chosen is chosen by the user now.
        self.cellClicked.connect(self._clicked)

    def show_shifts(self, rows: Sequence[TiltShift], doubtful: Collection[float]) -> None:
        """Show these, in this order; tilts at the doubtful angles are marked."""
        self._rows = tuple(rows)
        blocked = self.blockSignals(True)
        if self.rowCount() != len(rows):
            self.clearSelection()
            self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            self._fill_row(number, row, row.angle in doubtful)
        self.blockSignals(blocked)

    def chosen_rows(self) -> list[int]:
        """Numbers of the selected rows, ascending."""
        rows = {index.row() for index in self.selectedIndexes()}
        return sorted(rows or ({self.currentRow()} if self.currentRow() >= 0 else set()))

    def choose(self, number: int) -> None:
        """Make this the current row without `chosen`: the viewer shows it already."""
        if number == self.currentRow() or not 0 <= number < self.rowCount():
            return
        blocked = self.blockSignals(True)
        self.setCurrentCell(number, max(self.currentColumn(), 0))
        self.blockSignals(blocked)

    def event(self, event: Any) -> bool:
        # Keys that napari or the dock have as shortcuts are the table's while it has the focus.
        if event.type() == QEvent.Type.ShortcutOverride and self._is_ours(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: Any) -> None:
        if event.matches(QKeySequence.StandardKey.Undo):
            self.undo.emit()
        elif event.matches(QKeySequence.StandardKey.Redo):
            self.redo.emit()
        elif self._direction(event) is not None:
            self._nudge(event)
        else:
            super().keyPressEvent(event)

    def _is_ours(self, event: Any) -> bool:
        undo = event.matches(QKeySequence.StandardKey.Undo) or event.matches(QKeySequence.StandardKey.Redo)
        return bool(undo or self._direction(event) is not None)

    def _direction(self, event: Any) -> tuple[int, int] | None:
        """Where an arrow key points, with Shift or alone."""
        pressed = event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
        return None if pressed != Qt.KeyboardModifier.NoModifier else _ARROWS.get(event.key())

    def _nudge(self, event: Any) -> None:
        rows, direction = self.chosen_rows(), self._direction(event)
        if not rows or direction is None:
            if self.rowCount():
                self.setCurrentCell(0, 0)
            return
        step = _LARGE_STEP if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else _STEP
        self.nudged.emit(rows, step * direction[0], step * direction[1])

    def _fill_row(self, number: int, row: TiltShift, doubtful: bool) -> None:
        score = '' if row.score is None else f'{row.score:.2f}'
        source = f'doubtful, {row.source}' if doubtful else str(row.source)
        texts = (f'{row.angle:g}', f'{row.dx:.2f}', f'{row.dy:.2f}', score, source)
        for column, text in enumerate(texts):
            cell = self.item(number, column)
            if cell is None:
                cell = QTableWidgetItem()
                if column not in (_DX, _DY):
                    cell.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
                if column != _SOURCE:
                    cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(number, column, cell)
            cell.setText(text)
            font = cell.font()
            font.setBold(doubtful)
            cell.setFont(font)
            tip = '<qt>This tilt does not fit what the others predict: look at it, correct it, or leave it out.</qt>'
            cell.setToolTip(tip if doubtful else '')

    def _item_changed(self, item: QTableWidgetItem) -> None:
        row = self._rows[item.row()]
        before = row.dx if item.column() == _DX else row.dy
        value = number_in(item.text())
        if item.text() == f'{before:.2f}':
            return
        if value is None:
            self.refused.emit(f'"{item.text()}" is no number of pixels; type one, as -1.5.')
            blocked = self.blockSignals(True)
            item.setText(f'{before:.2f}')
            self.blockSignals(blocked)
        elif item.column() == _DX:
            self.typed.emit(item.row(), value, None)
        else:
            self.typed.emit(item.row(), None, value)

    def _current_changed(self, row: int, column: int, before: int, column_before: int) -> None:
        if row >= 0 and row != before:
            self.chosen.emit(row)

    def _clicked(self, row: int, column: int) -> None:
        self.chosen.emit(row)
