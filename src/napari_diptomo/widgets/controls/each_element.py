"""The tick that divides the convergence of a run by its elements."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QWidget


class EachElement(QCheckBox):
    """Whether the plot shows each element by itself; to be ticked while a run is under way, too."""

    never_frozen = True

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__('Each element by itself', parent)
        self.setToolTip(
            '<qt>Above: the misfit of the fitted counts of each element, in the colour of its layers, as of the volumes that '
            'were shown while it formed; of energy windows those that its photons fall into.</qt>'
        )
