"""The two tables of the composition page: factors to look at and correct, mean compositions to read off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_diptomo.jobs.numbers import with_error

_FIXED = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
_FACTOR = 2
#: Elements that stand side by side in a dock.
_WIDE = 4


class FactorTable(QTableWidget):
    """A row per channel: its name, its line family, its factor, which can be typed over.

    Signals
    -------
    edited
        The user changed a factor.
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 3, parent)
        self.setToolTip(
            '<qt>Each factor is of the lines beside it: a whole family, or its alpha line where "Factors of" says so. '
            'Double-click one to give your own.</qt>'
        )
        self.setAccessibleName('Factors')
        plain(self)
        self.touched = False
        self.itemChanged.connect(self._item_changed)

    def show_factors(self, name: str, channels: Sequence[str], lines: Sequence[str], values: Sequence[float]) -> None:
        """Show what will be used; ``lines``, the family or line of each factor, and ``values`` may be empty."""
        self.blockSignals(True)
        self.setHorizontalHeaderLabels(['Element', 'Lines', name])
        self.setRowCount(len(channels))
        for row, channel in enumerate(channels):
            for column, text in enumerate((channel, lines[row] if lines else '')):
                self.setItem(row, column, cell(text))
            item = QTableWidgetItem(f'{values[row]:.4g}' if len(values) else '')
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, _FACTOR, item)
        self.blockSignals(False)
        self.touched = False
        fit_height(self)

    def show_lines(self, name: str, lines: Sequence[str]) -> None:
        """Say of which lines the typed factors are, without a change to them."""
        self.blockSignals(True)
        self.setHorizontalHeaderLabels(['Element', 'Lines', name])
        for row, line in enumerate(lines):
            self.setItem(row, 1, cell(line))
        self.blockSignals(False)

    def values(self) -> tuple[float | None, ...]:
        """Factors in the order of the rows, None where there is no number."""
        return tuple(_number(self.item(row, _FACTOR)) for row in range(self.rowCount()))

    def problem(self) -> str:
        """The fault of factors that were typed, one sentence; empty when there is none."""
        for row, value in enumerate(self.values()):
            if self.touched and (value is None or not 0 < value < np.inf):
                name: Any = self.item(row, 0)
                return f'The factor of {name.text()} is no positive number; type one.'
        return ''

    def _item_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == _FACTOR:
            self.touched = True
            self.edited.emit()


class MeanTable(QTableWidget):
    """Mean composition of the regions with standard errors: a row per region, or per element where there are many."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName('Mean composition')
        self.setToolTip(
            '<qt>The ratio of the summed counts, with its standard error from the counts and from the scatter within the '
            'region. The error of the factors is given below.</qt>'
        )
        plain(self)

    def show_regions(self, regions: Mapping[str, Any]) -> None:
        """Regions by name, as `napari_diptomo.assess.RegionComposition`, or a sentence why there is none."""
        first = next(iter(regions.values()))
        elements = [f'{name} {first.unit}' for name in first.channels]
        cells = [[_mean(found, channel) for channel in range(len(elements))] for found in regions.values()]
        if len(elements) > _WIDE:
            self._fill('Element', elements, list(regions), [list(row) for row in zip(*cells, strict=True)])
        else:
            self._fill('Region', list(regions), elements, cells)
        fit_height(self)

    def _fill(
        self, corner: str, rows: list[str], columns: list[str], cells: Sequence[Sequence[QTableWidgetItem]]
    ) -> None:
        self.setColumnCount(1 + len(columns))
        self.setHorizontalHeaderLabels([corner, *columns])
        self.setRowCount(len(rows))
        for row, name in enumerate(rows):
            self.setItem(row, 0, cell(name))
            for column, shown in enumerate(cells[row], start=1):
                self.setItem(row, column, shown)


def _mean(found: Any, channel: int) -> QTableWidgetItem:
    if isinstance(found, str):
        shown = cell('-', right=True)
        shown.setToolTip(found)
        return shown
    shown = cell(percent_with_error(found.percent[channel], found.standard_error[channel]), right=True)
    shown.setToolTip(f'{found.voxels} voxel{"s" * (found.voxels != 1)}')
    return shown


def percent_with_error(value: float, error: float) -> str:
    """A tenth of a percent, or as many digits as a smaller error has meaning for: no error that is known is 0.0."""
    return with_error(value, error) if 0 < error < 0.05 else f'{value:.1f} ± {error:.1f}'


def plain(table: QTableWidget) -> None:
    """Without numbers of rows, as wide as the page."""
    columns: Any = table.horizontalHeader()
    lines: Any = table.verticalHeader()
    lines.setVisible(False)
    columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.setMinimumWidth(120)
    # Tab leads on to the next control; the arrows move within.
    table.setTabKeyNavigation(False)
    table.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)


def fit_height(table: QTableWidget, most: int = 8) -> None:
    """As high as its rows, or ``most`` of them."""
    rows = min(max(table.rowCount(), 1), most)
    columns: Any = table.horizontalHeader()
    lines: Any = table.verticalHeader()
    table.setFixedHeight(columns.sizeHint().height() + rows * lines.defaultSectionSize() + 4)


def cell(text: str, right: bool = False) -> QTableWidgetItem:
    """Text that cannot be typed over."""
    item = QTableWidgetItem(text)
    item.setFlags(_FIXED)
    if right:
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item


def _number(item: QTableWidgetItem | None) -> float | None:
    try:
        return float(item.text().replace(',', '.')) if item is not None else None
    except ValueError:
        return None
