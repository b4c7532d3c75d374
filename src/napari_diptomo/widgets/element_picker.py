"""Choosing elements: type symbols, or press the ones that the spectrum suggests."""

from __future__ import annotations

import re

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QVBoxLayout, QWidget
from superqt.utils import QFlowLayout

from napari_diptomo.jobs.colours import colours


class ElementPicker(QWidget):
    """A line of symbols and a row of buttons that say the same.

    Signals
    -------
    changed
        Another choice.
    """

    changed = Signal()

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
        self.chips: dict[str, QPushButton] = {}
        self._suggested: tuple[str, ...] = ()
        self._row = QWidget()
        self._flow = QFlowLayout(self._row)
        self._flow.setContentsMargins(0, 0, 0, 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        column.addWidget(self._row)

    def elements(self) -> tuple[str, ...]:
        """Symbols or families as typed, each once: ``('Ge', 'Sb_L')``."""
        words = re.split(r'[,;\s]+', self.line.text().strip())
        return tuple(dict.fromkeys(word[:1].upper() + word[1:] for word in words if word))

    def set_elements(self, elements: tuple[str, ...]) -> None:
        """Choose these."""
        self.line.setText(', '.join(elements))
        self._typed()

    def suggest(self, elements: tuple[str, ...]) -> None:
        """Offer these as buttons."""
        self._suggested = tuple(elements)
        self._show_chips()

    def _typed(self) -> None:
        self._show_chips()
        self.changed.emit()

    def _show_chips(self) -> None:
        wanted = tuple(dict.fromkeys((*self._suggested, *self.elements())))
        if tuple(self.chips) != wanted:
            self._rebuild(wanted)
        chosen = self.elements()
        hue = colours(chosen)
        for name, chip in self.chips.items():
            chip.blockSignals(True)
            chip.setChecked(name in chosen)
            chip.blockSignals(False)
            chip.setStyleSheet(_chosen_style(hue[name]) if name in chosen else '')

    def _rebuild(self, names: tuple[str, ...]) -> None:
        while self._flow.count():
            self._flow.takeAt(0).widget().deleteLater()
        self.chips = {}
        for name in names:
            chip = QPushButton(name)
            chip.setCheckable(True)
            chip.setToolTip(f'Map {name}, or leave it out.')
            chip.toggled.connect(self._chip_pressed)
            self._flow.addWidget(chip)
            self.chips[name] = chip

    def _chip_pressed(self, checked: bool) -> None:
        chip = self.sender()
        chosen = [name for name in self.elements() if name != chip.text()]
        if checked:
            chosen.append(chip.text())
        self.set_elements(tuple(chosen))


def _chosen_style(hue: str) -> str:
    # The element's own colour, as in the plot and the layers, on which black is readable.
    return f'QPushButton {{ background-color: {hue}; color: black; }}'
