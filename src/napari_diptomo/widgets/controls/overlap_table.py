"""Errors and correlations of the line families of the chosen elements, folded away at first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QHeaderView, QTableWidget, QVBoxLayout, QWidget

from napari_diptomo.widgets.controls.composition_tables import cell, fit_height, plain
from napari_diptomo.widgets.controls.parts import folded

if TYPE_CHECKING:
    from napari_diptomo.spectra.edx.overlaps import OverlapReport

#: Below this correlation nothing is marked; the colour of full correlation, of which less is seen for less.
_NOTICEABLE, _MARK = 0.1, (214, 120, 30)


class OverlapTable(QWidget):
    """A row per line family: its smallest error in one pixel, and its correlation with the families above it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = QTableWidget()
        self.table.setAccessibleName('Errors and correlations of the elements')
        self.table.setToolTip(
            '<qt>Error: the smallest standard deviation that an unbiased fit can have at the mean counts of a pixel. The '
            'other columns: correlation of the coefficients, from -1 to 1; near -1 the lines lie under one peak and only '
            'the sum of both is known.</qt>'
        )
        plain(self.table)
        self.folded = folded('Errors and correlations', self.table)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.folded)
        self.show_report(None)

    def show_report(self, report: OverlapReport | None) -> None:
        """Show a report; without one there is nothing to be seen."""
        self.setVisible(report is not None)
        if report is None:
            return
        names = [name.replace('_', '-') for name in report.names]
        headings = ['Lines', 'Error', *names[:-1]]
        self.table.setColumnCount(len(headings))
        self.table.setHorizontalHeaderLabels(headings)
        self.table.setRowCount(len(names))
        header: Any = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for row, name in enumerate(names):
            self.table.setItem(row, 0, cell(name))
            self.table.setItem(row, 1, cell(_percent(report.relative_error[row]), right=True))
            for column in range(len(names) - 1):
                known = column < row
                text = _short(report.correlation[row, column]) if known else ''
                item = cell(text, right=True)
                if known:
                    item.setBackground(_tint(report.correlation[row, column]))
                    item.setToolTip(f'Correlation of {name} and {names[column]}')
                self.table.setItem(row, column + 2, item)
        fit_height(self.table, most=len(names))


def _percent(share: float) -> str:
    """``'43 %'``, ``'> 999 %'``; ``'-'`` where nothing is known."""
    if not np.isfinite(share):
        return '-'
    return f'{100 * share:.2g} %' if share < 0.995 else f'{100 * share:.0f} %' if share < 10 else '> 999 %'


def _short(correlation: float) -> str:
    return f'{correlation:.2f}' if np.isfinite(correlation) else '-'


def _tint(correlation: float) -> QBrush:
    """The stronger the fuller; it lies over whatever colour the theme has."""
    strength = min(abs(correlation), 1.0) if np.isfinite(correlation) else 0.0
    return QBrush(QColor(*_MARK, round(200 * strength))) if strength >= _NOTICEABLE else QBrush()
