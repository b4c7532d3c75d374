"""Buttons for the edges that a spectrum shows; each press takes one in or leaves it out."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget
from superqt.utils import QFlowLayout


class EdgePicker(QWidget):
    """A row of buttons, one for each edge.

    Signals
    -------
    chosen(str)
        An edge was pressed in.
    left_out(str)
        An edge was pressed out.
    """

    chosen = Signal(str)
    left_out = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QPushButton] = {}
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(0, 0, 0, 0)

    def set_edges(self, edges: Mapping[str, str]) -> None:
        """Offer these edges.

        Parameters
        ----------
        edges : mapping of str to str
            Name, and what to say of it.
        """
        for button in self.buttons.values():
            self._flow.removeWidget(button)
            button.deleteLater()
        self.buttons = {}
        for name, said in edges.items():
            button = QPushButton(name.replace('_', '-'))
            button.setCheckable(True)
            button.setToolTip(f'<qt>{said}</qt>')
            button.clicked.connect(lambda taken, name=name: (self.chosen if taken else self.left_out).emit(name))
            self.buttons[name] = button
            self._flow.addWidget(button)

    def set_chosen(self, names: tuple[str, ...]) -> None:
        """Press in these, by the name at their beginning: ``'O_K 528-560'`` is O-K."""
        first = {name.split(' ')[0] for name in names}
        for name, button in self.buttons.items():
            button.setChecked(name in first)
