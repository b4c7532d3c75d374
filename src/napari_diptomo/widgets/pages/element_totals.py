"""How the totals of the elements go with the tilt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.controls.parts import heading, words
from napari_diptomo.widgets.plots.plot_place import PlotPlace
from napari_diptomo.widgets.plots.totals_contents import Total, misbehaving

if TYPE_CHECKING:
    from napari_diptomo.widgets.plots.totals_plot import TotalsPlot


class TotalsView(QWidget):
    """The plot of the totals, and a sentence on those that do not behave."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._place = PlotPlace(_totals_plot)
        self.note = words('')
        self.key = words('')
        self.setToolTip(
            '<qt>All counts of an element at each tilt. A specimen that only turns keeps them on the dashed curve; '
            'what rises or falls otherwise comes from elsewhere or is shadowed.</qt>'
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (heading('Totals over the tilts'), self.note, self.key, self._place):
            column.addWidget(part)
        self.clear()

    @property
    def plot(self) -> TotalsPlot:
        """Made when there are totals first."""
        return self._place.plot

    def clear(self) -> None:
        """Nothing is known."""
        self.setVisible(False)

    def set_totals(self, angles: np.ndarray, totals: Sequence[Total]) -> None:
        """Show totals over the tilts (tilt,), degrees."""
        self.setVisible(bool(totals))
        self.plot.set_totals(angles, totals, colours(total.name for total in totals))
        self.key.setText(self.plot.key)
        sentence = misbehaving(totals)
        self.note.setText(sentence)
        self.note.setVisible(bool(sentence))

    def cleanup(self) -> None:
        """Let go of the theme."""
        self._place.cleanup()


def _totals_plot() -> TotalsPlot:
    from napari_diptomo.widgets.plots.totals_plot import TotalsPlot

    return TotalsPlot()
