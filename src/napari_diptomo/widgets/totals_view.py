"""How the totals of the elements go with the tilt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.page import words
from napari_diptomo.widgets.totals_plot import Total, TotalsPlot, misbehaving


class TotalsView(QWidget):
    """The plot of the totals, and a sentence on those that do not behave."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = TotalsPlot()
        self.told = words('')
        self.fold = QCollapsible('Totals over the tilts', expandedIcon='▾', collapsedIcon='▸')
        self.fold.setDuration(0)
        self.fold.setToolTip(
            '<qt>All counts of an element at each tilt. A specimen that only turns keeps them on the dashed curve; '
            'what rises or falls otherwise comes from elsewhere or is shadowed.</qt>'
        )
        self.fold.addWidget(self.plot)
        self.fold.expand(animate=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.told)
        column.addWidget(self.fold)
        self.clear()

    def clear(self) -> None:
        """Nothing is known."""
        self.setVisible(False)

    def set_totals(self, angles: np.ndarray, totals: Sequence[Total]) -> None:
        """Show totals over the tilts (tilt,), degrees."""
        self.setVisible(bool(totals))
        self.plot.set_totals(angles, totals, colours(total.name for total in totals))
        sentence = misbehaving(totals)
        self.told.setText(sentence)
        self.told.setVisible(bool(sentence))

    def cleanup(self) -> None:
        """Let go of the theme."""
        self.plot.cleanup()
