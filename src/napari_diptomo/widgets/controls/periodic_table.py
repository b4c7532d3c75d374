"""A periodic table to choose elements from: a small window that stays until one presses beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qtpy.QtCore import QPoint, Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_diptomo.widgets.controls.parts import words
from napari_diptomo.widgets.theme import plot_colours

_ROWS = (
    'H . . . . . . . . . . . . . . . . He',
    'Li Be . . . . . . . . . . B C N O F Ne',
    'Na Mg . . . . . . . . . . Al Si P S Cl Ar',
    'K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr',
    'Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe',
    'Cs Ba . Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn',
    'Fr Ra . . . . . . . . . . . . . . . .',
    '. . La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu .',
    '. . Ac Th Pa U . . . . . . . . . . . .',
)
#: Row and column of every element that an X-ray table may know.
PLACES = {
    symbol: (row, column)
    for row, line in enumerate(_ROWS)
    for column, symbol in enumerate(line.split())
    if symbol != '.'
}
_CELL = 27
_GAP_ROW = 7


class PeriodicTable(QFrame):
    """Eighteen columns of buttons.

    Signals
    -------
    toggled(str)
        The symbol of the element that was pressed.
    """

    toggled = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAccessibleName('Periodic table')
        self.cells: dict[str, QPushButton] = {}
        self._missing: Mapping[str, str] = {}
        self._lines: Mapping[str, str] = {}
        grid = QGridLayout()
        grid.setSpacing(2)
        grid.setRowMinimumHeight(_GAP_ROW, 6)
        for symbol, (row, column) in PLACES.items():
            grid.addWidget(self._cell(symbol), row + (row >= _GAP_ROW), column)
        self.key = words(
            '<small><b>filled</b> chosen &nbsp; <b>framed</b> seen in the spectrum &nbsp; '
            '<b>dashed</b> stray or doubtful &nbsp; <b>grey</b> no line in range</small>'
        )
        column_layout = QVBoxLayout(self)
        column_layout.setContentsMargins(8, 8, 8, 6)
        column_layout.addLayout(grid)
        column_layout.addWidget(self.key)

    def set_lines(self, lines: Mapping[str, str], missing: Mapping[str, str]) -> None:
        """The elements that the spectra can show.

        Parameters
        ----------
        lines : mapping of str to str
            Element to a description of its lines in range: ``{'Ge': 'Ge-K 9.89 keV'}``.
        missing : mapping of str to str
            Element to the reason why it cannot be mapped.
        """
        self._lines, self._missing = lines, missing

    def paint(
        self, chosen: Mapping[str, str], suggested: Iterable[str] = (), stray: Mapping[str, str] | None = None
    ) -> None:
        """Show what is chosen and what the spectrum suggests.

        Parameters
        ----------
        chosen : mapping of str to str
            Element to its colour.
        suggested : iterable of str
            Seen in the spectrum.
        stray : mapping of str to str
            Seen, with the reason why it may not be of the specimen, or not there.
        """
        suggested, stray = set(suggested), stray or {}
        self.setStyleSheet(f'PeriodicTable {{ border: 1px solid {plot_colours().accent}; }}')
        for symbol, cell in self.cells.items():
            cell.setEnabled(symbol not in self._missing or symbol in chosen)
            cell.setStyleSheet(_style(chosen.get(symbol), symbol in suggested, symbol in stray))
            cell.setChecked(symbol in chosen)
            cell.setToolTip(f'<qt>{self._tip(symbol, symbol in suggested, stray)}</qt>')

    def show_below(self, widget: QWidget) -> None:
        """Open under a widget, wholly on its screen."""
        self.adjustSize()
        place = widget.mapToGlobal(QPoint(0, widget.height() + 2))
        whole: Any = widget.screen()
        screen = whole.availableGeometry()
        x = max(screen.left(), min(place.x(), screen.right() - self.width()))
        y = place.y()
        if y + self.height() > screen.bottom():
            y = max(screen.top(), widget.mapToGlobal(QPoint(0, 0)).y() - self.height() - 2)
        self.move(x, max(y, screen.top()))
        self.show()

    def _cell(self, symbol: str) -> QPushButton:
        cell = QPushButton(symbol)
        cell.setFixedSize(_CELL, _CELL)
        cell.setCheckable(True)
        cell.setAccessibleName(symbol)
        cell.clicked.connect(self._pressed)
        self.cells[symbol] = cell
        return cell

    def _pressed(self) -> None:
        cell: Any = self.sender()
        self.toggled.emit(cell.text())

    def _tip(self, symbol: str, suggested: bool, stray: Mapping[str, str]) -> str:
        if symbol in self._missing:
            return self._missing[symbol]
        text = self._lines.get(symbol, symbol)
        if symbol in stray:
            return f'{text}. {stray[symbol]}'
        return f'{text}. Seen in the spectrum.' if suggested else text


def _style(hue: str | None, suggested: bool, stray: bool) -> str:
    colours = plot_colours()
    frame = f'2px dashed {colours.warning}' if stray else f'1px solid {colours.text}' if suggested else 'none'
    if hue is not None:
        fill, text = hue, 'black'
    else:
        fill, text = (colours.grid if suggested and not stray else colours.cell), colours.text
    return (
        f'QPushButton {{ min-width: {_CELL}px; max-width: {_CELL}px; padding: 0; border: {frame}; border-radius: 2px; '
        f'background-color: {fill}; color: {text}; }} '
        f'QPushButton:disabled {{ background-color: transparent; color: {colours.grid}; }} '
        f'QPushButton:hover {{ border: 1px solid {colours.accent}; }}'
    )
