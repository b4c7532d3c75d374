"""Choosing elements: typed symbols, those that the spectrum suggests, or the periodic table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget
from superqt.utils import QFlowLayout

from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.controls.periodic_table import PeriodicTable
from napari_diptomo.widgets.theme import plot_colours


class ElementPicker(QWidget):
    """A line of symbols, a row of buttons and a periodic table that all say the same.

    Signals
    -------
    changed
        Another choice.
    table_wanted
        The periodic table is about to open.
    """

    changed = Signal()
    table_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit()
        self.line.setAcceptDrops(False)
        self.line.setPlaceholderText('for example Ge, Sb, Te')
        self.line.setToolTip(
            '<qt>Elements to map, separated by commas. A line family can be named too: Pt_M instead of Pt.</qt>'
        )
        self.line.setAccessibleName('Elements')
        self.line.editingFinished.connect(self._typed)
        self._table: PeriodicTable | None = None
        self.open_table = QPushButton('Periodic &table')
        self.open_table.setToolTip('Choose elements by pressing them; each press takes one in or leaves it out.')
        self.open_table.clicked.connect(self._show_table)
        self.chips: dict[str, QPushButton] = {}
        self._suggested: tuple[str, ...] = ()
        self._stray: Mapping[str, str] = {}
        self._row = QWidget()
        self._flow = QFlowLayout(self._row)
        self._flow.setContentsMargins(0, 0, 0, 0)
        typed = QHBoxLayout()
        typed.addWidget(self.line, 1)
        typed.addWidget(self.open_table)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(typed)
        column.addWidget(self._row)

    @property
    def table(self) -> PeriodicTable:
        """The periodic table; made when it is opened first, as it has more buttons than all pages together."""
        if self._table is None:
            self._table = PeriodicTable(self)
            self._table.toggled.connect(self._toggle)
            self._paint_table()
        return self._table

    def elements(self) -> tuple[str, ...]:
        """Symbols or families as typed, each once: ``('Ge', 'Sb_L')``."""
        words = re.split(r'[,;\s]+', self.line.text().strip())
        return tuple(dict.fromkeys(word[:1].upper() + word[1:] for word in words if word))

    def set_elements(self, elements: tuple[str, ...]) -> None:
        """Choose these."""
        self.line.setText(', '.join(elements))
        self._typed()

    def suggest(self, elements: tuple[str, ...], stray: Mapping[str, str] | None = None) -> None:
        """Offer these as buttons.

        Parameters
        ----------
        elements : tuple of str
            Seen in the spectrum.
        stray : mapping of str to str
            Those that may not be of the specimen, or are doubtful, each with the reason.
        """
        self._suggested, self._stray = tuple(elements), dict(stray or {})
        self._show()

    def _typed(self) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        wanted = tuple(dict.fromkeys((*self._suggested, *self.elements())))
        if tuple(self.chips) != wanted:
            self._rebuild(wanted)
        chosen = self.elements()
        hue = colours(chosen)
        for name, chip in self.chips.items():
            chip.blockSignals(True)
            chip.setChecked(name in chosen)
            chip.blockSignals(False)
            chip.setStyleSheet(_style(hue.get(name), name in self._stray))
            chip.setToolTip(f'<qt>Map {name}, or leave it out. {self._stray.get(name, "")}</qt>')
        self._paint_table()

    def _paint_table(self) -> None:
        if self._table is not None:
            chosen = self.elements()
            hue = colours(chosen)
            self._table.paint({name.partition('_')[0]: hue[name] for name in chosen}, self._suggested, self._stray)

    def _rebuild(self, names: tuple[str, ...]) -> None:
        while self._flow.count():
            item: Any = self._flow.takeAt(0)
            item.widget().deleteLater()
        self.chips = {}
        for name in names:
            chip = QPushButton(name)
            chip.setCheckable(True)
            chip.clicked.connect(self._chip_pressed)
            self._flow.addWidget(chip)
            self.chips[name] = chip

    def _chip_pressed(self) -> None:
        chip: Any = self.sender()
        self._switch(chip.text())

    def _switch(self, name: str) -> None:
        chosen = self.elements()
        self.set_elements(tuple(n for n in chosen if n != name) if name in chosen else (*chosen, name))

    def _toggle(self, symbol: str) -> None:
        """An element of the table stands for all of its families that are chosen."""
        chosen = self.elements()
        others = tuple(name for name in chosen if name.partition('_')[0] != symbol)
        self.set_elements(others if others != chosen else (*chosen, symbol))

    def _show_table(self) -> None:
        self.table_wanted.emit()
        self._paint_table()
        self.table.show_below(self.open_table)


def _style(hue: str | None, stray: bool) -> str:
    # The element's own colour, as in the plot and the layers, on which black is readable.
    fill = f'background-color: {hue}; color: black;' if hue else ''
    # As high as those without a frame: what the border takes the padding gives.
    frame = f'border: 2px dashed {plot_colours().warning}; margin: 0px; padding: 1px 3px;' if stray else ''
    return f'QPushButton {{ {fill} {frame} }}' if fill or frame else ''
