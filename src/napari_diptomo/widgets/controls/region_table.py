"""The table of regions that were selected in the diagram of a composition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtWidgets import QHeaderView, QTableWidget, QWidget

from napari_diptomo.widgets.controls.composition_tables import cell, fit_height, plain
from napari_diptomo.widgets.controls.judged_tables import dotted, short
from napari_diptomo.widgets.tasks.composition_diagram import SelectedRegion

#: Channels that leave space for errors beside the numbers.
_FEW = 3


class RegionTable(QTableWidget):
    """A row per region: voxels, volume, mean composition."""

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
        if not regions:
            self.setRowCount(0)
            return
        first = regions[0].composition
        unit = f'\n{first.unit}' if first.unit else ''
        headings = ['Region', 'Voxels', 'Volume\nnm³', *(f'{name}{unit}' for name in first.channels)]
        self.setColumnCount(len(headings))
        self.setHorizontalHeaderLabels(headings)
        self.setRowCount(len(regions))
        header: Any = self.horizontalHeader()
        for column in range(1, len(headings)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        for row, region in enumerate(regions):
            self.setItem(row, 0, dotted(str(row + 1), hues[row]))
            found = region.composition
            texts = [str(found.voxels), short(region.volume), *_means(region)]
            for column, text in enumerate(texts, start=1):
                self.setItem(row, column, cell(text, right=True))
            for column in range(len(headings)):
                shown: Any = self.item(row, column)
                shown.setToolTip(
                    f'<qt>{region.shape}: {found.voxels} voxels, {short(region.volume)} nm³, {_long(region)}</qt>'
                )
        fit_height(self)


def _means(region: SelectedRegion) -> list[str]:
    found = region.composition
    with_error = len(found.channels) <= _FEW and np.isfinite(found.standard_error).all()
    pairs = zip(found.percent, found.standard_error, strict=True)
    return [f'{value:.1f} ± {error:.1f}' if with_error else _plain(value, found.unit) for value, error in pairs]


def _long(region: SelectedRegion) -> str:
    found = region.composition
    if np.isfinite(found.standard_error).all():
        return str(found)
    values = ', '.join(f'{n} {_plain(v, found.unit)}' for n, v in zip(found.channels, found.percent, strict=True))
    return f'mean of the voxels {values} {found.unit}'.strip()


def _plain(value: float, unit: str) -> str:
    return f'{value:.1f}' if unit.endswith('%') else f'{value:.3g}'
