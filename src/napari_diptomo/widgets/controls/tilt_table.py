"""The tilts of a series: whether each is used, its file, its angle, and what every source says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QGuiApplication, QKeySequence, QPalette
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_diptomo.series import InputError
from napari_diptomo.series.tilts import SAME_ANGLE, repeats_in
from napari_diptomo.widgets.controls.pasted_numbers import angles_in, number_in, steps_between

_USE, _FILE, _ANGLE, _SOURCES = 0, 1, 2, 3
#: Rows that the table is high enough for.
_FEWEST_SHOWN, _MOST_SHOWN = 3, 7
_TIP = (
    '<qt>Untick a tilt to leave it out; it stays listed, and a tick brings it back (Space, for all that are '
    'selected). {angles}</qt>'
)
_EDITABLE = 'Double-click an angle to correct it, or press F2; more under <i>Angles</i>.'
_FIXED = 'The angles are as the data came with them; they are corrected where the files are opened.'
_NO_TILTS = (
    '<qt>A stack: its tilts are listed once it is open, or when their angles are given under <i>Angles</i>.</qt>'
)


@dataclass
class _Row:
    """A tilt: its place among the files or in the stack, and the angle that the files give it."""

    position: int
    name: str
    path: Path | None = None
    given: float | None = None
    angle: float | None = None
    text: str = ''
    used: bool = True


@dataclass(frozen=True)
class _Source:
    """Angles of the tilts as one source gives them, by their place."""

    words: str
    values: dict[int, float] = field(default_factory=dict)


class TiltTable(QTableWidget):
    """A row per tilt: a tick, the name of its file, its angle in degrees; where sources differ a column for each.

    Signals
    -------
    edited
        The user changed an angle.
    ticked
        The user took a tilt out of use, or back.
    refused(str)
        What was asked for cannot be done, one sentence.
    """

    edited = Signal()
    ticked = Signal()
    refused = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, _SOURCES, parent)
        columns: Any = self.horizontalHeader()
        columns.setMinimumSectionSize(24)
        columns.setHighlightSections(False)
        lines: Any = self.verticalHeader()
        lines.setVisible(False)
        lines.setDefaultSectionSize(max(22, self.fontMetrics().height() + 6))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setAccessibleName('Tilts: use, file and angle')
        self._rows: list[_Row] = []
        self._sources: tuple[_Source, ...] = ()
        self._chosen = ''
        #: Whether each row is a tilt, and not one of the stacks that hold all of them.
        self._are_tilts = True
        self._editable = True
        #: Tilts out of use of a stack that is not open yet.
        self._unlisted: frozenset[int] = frozenset()
        self.problem = ''
        self.itemChanged.connect(self._item_changed)
        self._fill()

    def show_files(self, files: Sequence[Path], angles: np.ndarray | None, stacks: bool = False) -> None:
        """List the files.

        Parameters
        ----------
        files : sequence of Path
            In their order.
        angles : ndarray (file,), optional
            Degrees, where they are known already.
        stacks : bool
            Each is a stack, and no tilt.
        """
        self._rows = [_Row(number, Path(file).name, Path(file)) for number, file in enumerate(files)]
        if angles is not None:
            for row, angle in zip(self._rows, angles, strict=True):
                row.given = row.angle = float(angle)
        self._are_tilts, self._editable, self._unlisted = not stacks, not stacks, frozenset()
        self._sources, self._chosen = (), ''
        self.sort_by_angle()

    def show_found(
        self,
        angles: np.ndarray,
        positions: Sequence[int],
        evidence: Sequence[Any] = (),
        chosen: str = '',
        editable: bool = True,
    ) -> None:
        """The series is open: these angles are the truth now.

        Parameters
        ----------
        angles : ndarray (tilt,)
            Degrees.
        positions : sequence of int
            Where each tilt comes among the files or in the stack.
        evidence : sequence of Evidence
            What the sources say of these tilts.
        chosen : str
            Where the angles are from, in words.
        editable : bool
            Whether the files can be opened anew with other angles.
        """
        out = set(self.unused())
        corrected = self.angles() is not None
        known = {row.position: row for row in self._rows} if self._are_tilts else {}
        places = set(positions)
        if not known or not places <= set(known) or not set(known) - places <= out:
            known = {place: _Row(place, f'tilt {place + 1}') for place in sorted(places | out)}
        for place, angle in zip(positions, angles, strict=True):
            row = known[place]
            row.angle, row.text = float(angle), ''
            if not corrected:
                row.given = row.angle
        for place, row in known.items():
            row.used = place not in out
        self._rows = list(known.values())
        self._are_tilts, self._editable, self._unlisted = True, editable, frozenset()
        self._sources = tuple(
            _Source(one.source, {place: float(v) for place, v in zip(positions, one.values, strict=True)})
            for one in evidence
            if one.kind == 'angles' and len(one.values) == len(positions)
        )
        self._chosen = chosen
        self.sort_by_angle()

    def show_evidence(self, evidence: Sequence[Any]) -> None:
        """Angles of the listed files by each source, in their order, where none was chosen."""
        said = [one for one in evidence if one.kind == 'angles' and len(one.values) > 1]
        if said and not self._are_tilts and len({len(one.values) for one in said}) == 1:
            self._make_rows(len(said[0].values))
        self._sources = tuple(
            _Source(one.source, dict(enumerate(map(float, one.values))))
            for one in said
            if len(one.values) == len(self._rows)
        )
        self._fill()
        contested = next((number for number, row in enumerate(self._rows) if self._contested(row, 1.0)), None)
        if contested is not None:
            self.setCurrentCell(contested, _FILE)

    def set_angles(self, angles: Sequence[float | None] | None) -> None:
        """Angles in degrees as the user had typed them, in the order of the files; None for none typed."""
        if angles is None or not len(angles):
            return
        if not self._are_tilts and self._rows:
            self._make_rows(len(angles))
        if len(angles) != len(self._rows):
            return
        self._take(dict(enumerate(angles)))

    def set_unused(self, unused: Sequence[int]) -> None:
        """Untick these tilts, by their place among the files or in the stack; tick the others."""
        out = set(unused)
        if not self._are_tilts:
            self._unlisted = frozenset(out)
            return
        for row in self._rows:
            row.used = row.position not in out
        self._fill()

    def unused(self) -> tuple[int, ...]:
        """Places of the tilts that are not ticked, ascending."""
        if not self._are_tilts:
            return tuple(sorted(self._unlisted))
        return tuple(sorted(row.position for row in self._rows if not row.used))

    def places(self) -> set[int]:
        """Those of all tilts that are listed."""
        return {row.position for row in self._rows} if self._are_tilts else set()

    def files(self) -> tuple[str, ...]:
        """Paths in their order; empty where the rows are the tilts of stacks."""
        ordered = sorted(self._rows, key=lambda row: row.position)
        return tuple(str(row.path) for row in ordered if row.path is not None)

    def angles(self) -> tuple[float | None, ...] | None:
        """Degrees in the order of the files, where they are others than the files give; else None."""
        if not self._are_tilts or all(row.angle == row.given and not row.text for row in self._rows):
            return None
        return tuple(row.angle for row in sorted(self._rows, key=lambda row: row.position))

    def repeats(self) -> bool:
        """Whether several tilts in use have one angle."""
        known = np.array([row.angle for row in self._rows if row.used and row.angle is not None], float)
        return self._are_tilts and len(repeats_in(known)) < len(known)

    def count(self) -> str:
        """How many tilts are used, in words."""
        if not self._are_tilts or not self._rows:
            return ''
        used = sum(row.used for row in self._rows)
        return f'{used} tilts' if used == len(self._rows) else f'{used} of {len(self._rows)} tilts in use'

    def tools_work(self) -> bool:
        """Whether the angles can be changed here."""
        return bool(self._rows) and (self._editable or not self._are_tilts)

    def can_reset(self) -> bool:
        """Whether `reset` changes anything."""
        return self.angles() is not None

    def sources(self) -> tuple[str, ...]:
        """Those that have a column, in words."""
        return tuple(one.words for one in self._sources) if self._differ() else ()

    def sort_by_angle(self) -> None:
        """Lowest angle first; those that have none follow, in the order of the files."""
        self._rows.sort(key=lambda row: (row.angle is None, row.angle or 0.0, row.position))
        self._fill()

    def sort_by_file(self) -> None:
        """In the order of the files, or of the stack."""
        self._rows.sort(key=lambda row: row.position)
        self._fill()

    def reverse(self) -> None:
        """The other sense of rotation: every angle with the opposite sign."""
        self._change(lambda angle: -angle + 0.0)

    def add(self, offset: float) -> None:
        """Add to every angle, degrees."""
        self._change(lambda angle: round(angle + offset, 6))

    def fill_steps(self, first: float, last: float, step: float) -> None:
        """From the top row to the lowest in equal steps, degrees; a stack that is not open gets as many tilts."""
        self._put(steps_between(first, last, step, len(self._rows) if self._are_tilts else None))

    def paste(self, text: str) -> None:
        """Angles from a spreadsheet, for the rows from top to bottom, or for the files that it names."""
        names = [row.name for row in self._rows] if self._are_tilts else []
        self._put(angles_in(text, names))

    def paste_clipboard(self) -> None:
        """Angles that were copied in another program."""
        clipboard = QGuiApplication.clipboard()
        try:
            self.paste('' if clipboard is None else clipboard.text())
        except InputError as error:
            self.refused.emit(str(error))

    def take_source(self, words: str) -> None:
        """The angles that one of the sources gives; tilts of which it says nothing keep theirs."""
        values = next(one.values for one in self._sources if one.words == words)
        self._take({place: value for place, value in values.items() if np.isfinite(value)})
        self.edited.emit()

    def reset(self) -> None:
        """The angles that the files give."""
        self._take({row.position: row.given for row in self._rows})
        self.edited.emit()

    def keyPressEvent(self, event: Any) -> None:
        if event.key() == Qt.Key.Key_Space and self._are_tilts and self._rows:
            self._toggle()
        elif event.matches(QKeySequence.StandardKey.Paste) and self.tools_work():
            self.paste_clipboard()
        else:
            super().keyPressEvent(event)

    def _toggle(self) -> None:
        """All selected rows to the opposite of the current one."""
        chosen = sorted({index.row() for index in self.selectedIndexes()} | {max(self.currentRow(), 0)})
        used = not self._rows[max(self.currentRow(), 0)].used
        for number in chosen:
            self._rows[number].used = used
            self._show_use(number)
        self._find_problem()
        self.ticked.emit()

    def _put(self, values: Sequence[float]) -> None:
        """One angle for each row, from top to bottom."""
        if not self._are_tilts:
            self._make_rows(len(values))
        self._take({row.position: value for row, value in zip(self._rows, values, strict=True)})
        self.edited.emit()

    def _make_rows(self, count: int) -> None:
        """Rows for the tilts of stacks that are not open yet."""
        out = self._unlisted
        self._rows = [_Row(place, f'tilt {place + 1}', used=place not in out) for place in range(count)]
        self._are_tilts, self._editable, self._unlisted = True, True, frozenset()

    def _change(self, change: Any) -> None:
        self._take({row.position: change(row.angle) for row in self._rows if row.angle is not None})
        self.edited.emit()

    def _take(self, angles: dict[int, float | None]) -> None:
        for row in self._rows:
            if row.position in angles:
                row.angle, row.text = angles[row.position], ''
        self._fill()

    def _differ(self) -> bool:
        """Whether the sources contradict each other or the angles that are used."""
        return bool(self._sources) and any(self._contested(row) for row in self._rows)

    def _contested(self, row: _Row, within: float = SAME_ANGLE) -> bool:
        """Whether two angles of a tilt lie farther apart than so many degrees."""
        said = [one.values.get(row.position, np.nan) for one in self._sources]
        said = [value for value in (*said, np.nan if row.angle is None else row.angle) if np.isfinite(value)]
        return bool(said) and max(said) - min(said) >= within

    def _fill(self) -> None:
        current = (self.currentRow(), self.currentColumn())
        self.blockSignals(True)
        shown = self._sources if self._differ() else ()
        self.setColumnCount(_SOURCES + len(shown))
        self.setHorizontalHeaderLabels(['Use', 'File', 'Tilt / °', *(self._heading(one) for one in shown)])
        for number, one in enumerate(shown, start=_SOURCES):
            heading: Any = self.horizontalHeaderItem(number)
            used = ' These are used.' if self._is_chosen(one) else ''
            heading.setToolTip(f'<qt>Angles from {one.words}, degrees.{used}</qt>')
        self._size_columns(len(shown))
        self.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            self._fill_row(number, row, shown)
        self.blockSignals(False)
        if current[0] in range(len(self._rows)):
            self.setCurrentCell(current[0], max(current[1], 0))
        self.setColumnHidden(_USE, not self._are_tilts)
        self._fit_height()
        angles = _EDITABLE if self._editable else _FIXED
        self.setToolTip(_TIP.format(angles=angles) if self._are_tilts else _NO_TILTS)
        self._find_problem()

    def _fill_row(self, number: int, row: _Row, shown: Sequence[_Source]) -> None:
        fixed = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        tick = QTableWidgetItem()
        tick.setFlags(fixed | Qt.ItemFlag.ItemIsUserCheckable)
        name = QTableWidgetItem(row.name)
        name.setFlags(fixed)
        name.setToolTip(row.name if row.path is None else str(row.path))
        angle = QTableWidgetItem(row.text or ('' if row.angle is None else f'{row.angle:g}'))
        if not (self._are_tilts and self._editable):
            angle.setFlags(fixed)
        cells = [tick, name, angle]
        for one in shown:
            value = one.values.get(row.position, np.nan)
            cell = QTableWidgetItem(f'{value:g}' if np.isfinite(value) else '')
            cell.setFlags(fixed)
            if np.isfinite(value) and row.angle is not None and abs(value - row.angle) >= SAME_ANGLE:
                cell.setToolTip(f'{value - row.angle:+.3g}° from the angle that is used')
                italic = cell.font()
                italic.setItalic(True)
                cell.setFont(italic)
            cells.append(cell)
        for column, cell in enumerate(cells):
            if column >= _ANGLE:
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(number, column, cell)
        self._show_use(number)

    def _show_use(self, number: int) -> None:
        """Tick of a row, and its text grey where it is not used."""
        used = self._rows[number].used
        grey = self.palette().color(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text)
        blocked = self.blockSignals(True)
        for column in range(self.columnCount()):
            cell: Any = self.item(number, column)
            if column == _USE:
                cell.setCheckState(Qt.CheckState.Checked if used else Qt.CheckState.Unchecked)
            elif used:
                cell.setData(Qt.ItemDataRole.ForegroundRole, None)
            else:
                cell.setForeground(grey)
        self.blockSignals(blocked)

    def _heading(self, one: _Source) -> str:
        name = next((word.strip(',;:') for word in one.words.split() if '.' in word.strip(',;:.')), '')
        short = name or one.words.removeprefix('the ').removesuffix(' of the files').capitalize()
        return f'✓ {short}' if self._is_chosen(one) else short

    def _is_chosen(self, one: _Source) -> bool:
        return bool(self._chosen) and one.words in self._chosen

    def _size_columns(self, sources: int) -> None:
        columns: Any = self.horizontalHeader()
        columns.setSectionResizeMode(_USE, QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(_FILE, QHeaderView.ResizeMode.Stretch)
        columns.setSectionResizeMode(_ANGLE, QHeaderView.ResizeMode.ResizeToContents)
        for number in range(_SOURCES, _SOURCES + sources):
            columns.setSectionResizeMode(number, QHeaderView.ResizeMode.Interactive)
            self.setColumnWidth(number, 84)

    def _fit_height(self) -> None:
        """From some rows to all of them, as the height of the dock allows; otherwise the page scrolls as a whole."""
        heading, lines = self.horizontalHeader(), self.verticalHeader()
        assert heading is not None and lines is not None, 'every table has them'
        shown = min(max(len(self._rows), _FEWEST_SHOWN), _MOST_SHOWN)
        rest = heading.sizeHint().height() + 2 * self.frameWidth()
        self.setMinimumHeight(rest + shown * lines.defaultSectionSize())
        self.setMaximumHeight(rest + max(shown, len(self._rows)) * lines.defaultSectionSize())

    def _item_changed(self, item: QTableWidgetItem) -> None:
        row = self._rows[item.row()]
        if item.column() == _USE:
            used = item.checkState() == Qt.CheckState.Checked
            if used != row.used:
                row.used = used
                self._show_use(item.row())
                self._find_problem()
                self.ticked.emit()
        elif item.column() == _ANGLE:
            row.angle = number_in(item.text())
            row.text = item.text() if row.angle is None else ''
            self._find_problem()
            self.edited.emit()

    def _find_problem(self) -> None:
        self.problem = ''
        if self._are_tilts and self._rows and not any(row.used for row in self._rows):
            self.problem = 'All tilts are out of use; tick those that shall be used.'
        elif self.angles() is not None:
            missing = [row.name for row in self._rows if row.angle is None]
            self.problem = f'{missing[0]} has no tilt angle; type it in degrees.' if missing else ''
