"""The table of regions that were selected in the diagram of a composition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_diptomo.widgets.controls.composition_tables import cell, fit_height, percent_with_error, plain
from napari_diptomo.widgets.controls.judged_tables import dotted, short
from napari_diptomo.widgets.tasks.composition_diagram import SelectedRegion

#: Channels that stand side by side in a dock; of more there is a row each.
_FEW = 3
_MOST_ROWS = 12


class RegionTable(QTableWidget):
    """Voxels, volume and mean composition of every region: a row per region, or a column where elements are many."""

    never_frozen = True

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName('Selected regions')
        self.setToolTip(
            '<qt>Mean composition: the ratio of the summed counts with its standard error. As the voxels were selected by their '
            'composition, the mean lies in the region whatever the noise.</qt>'
        )
        plain(self)

    def show_regions(self, regions: Sequence[SelectedRegion], hues: Sequence[str]) -> None:
        """Show regions in the order in which they were made, each with its colour."""
        self.clear()
        self.setRowCount(0)
        if not regions:
            return
        first = regions[0].composition
        side_by_side = len(first.channels) <= _FEW
        unit = f'{chr(10) if side_by_side else " "}{first.unit}' if first.unit else ''
        volume = 'Volume\nnm³' if side_by_side else 'Volume nm³'
        headings = ['Region', 'Voxels', volume, *(f'{name}{unit}' for name in first.channels)]
        columns = [
            [dotted(str(number), hue), *(cell(text, right=True) for text in _texts(region))]
            for number, (region, hue) in enumerate(zip(regions, hues, strict=True), start=1)
        ]
        for items, region in zip(columns, regions, strict=True):
            for item in items:
                item.setToolTip(f'<qt>{_in_words(region)}</qt>')
        if side_by_side:
            self._fill(headings, columns)
        else:
            names = [headings[0], *(item.text() for item, *_ in columns)]
            rows = [list(row) for row in zip(*columns, strict=True)][1:]
            named = [[cell(name), *row] for name, row in zip(headings[1:], rows, strict=True)]
            self._fill(names, named)
            for column, (dot, *_) in enumerate(columns, start=1):
                self.setHorizontalHeaderItem(column, dot)
        fit_height(self, _MOST_ROWS)

    def _fill(self, headings: list[str], rows: list[list[QTableWidgetItem]]) -> None:
        self.setColumnCount(len(headings))
        self.setHorizontalHeaderLabels(headings)
        self.setRowCount(len(rows))
        header: Any = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for row, items in enumerate(rows):
            for column, item in enumerate(items):
                self.setItem(row, column, item)


def _texts(region: SelectedRegion) -> list[str]:
    """Voxels, volume, percent of each element."""
    found = region.composition
    pairs = zip(found.percent, found.standard_error, strict=True)
    means = [
        percent_with_error(value, error) if np.isfinite(error) else _plain(value, found.unit) for value, error in pairs
    ]
    return [str(found.voxels), short(region.volume), *means]


def _in_words(region: SelectedRegion) -> str:
    found = region.composition
    means = str(found)
    if not np.isfinite(found.standard_error).all():
        values = ', '.join(f'{n} {_plain(v, found.unit)}' for n, v in zip(found.channels, found.percent, strict=True))
        means = f'mean of the voxels {values} {found.unit}'.strip()
    return f'{region.shape}: {found.voxels} voxels, {short(region.volume)} nm³, {means}'


def _plain(value: float, unit: str) -> str:
    return f'{value:.1f}' if unit.endswith('%') else f'{value:.3g}'
