"""The two tables of the page Judge: misfit and resolution of each element, and the phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_diptomo.jobs.colours import colours
from napari_diptomo.widgets.controls.composition_tables import cell, fit_height, plain
from napari_diptomo.widgets.controls.painting import painting
from napari_diptomo.widgets.tasks.judging import THRESHOLD, Divided, Judged, phase_hue, resolution_in_words

if TYPE_CHECKING:
    from napari_diptomo.assess import HalfResolution, Region

#: Channels whose fractions leave room for the names of the phases.
_FEW = 5
#: Diameter of a dot, pixels.
_DOT = 10


class JudgedTable(QTableWidget):
    """A row per element with its colour: misfit, worst tilt, and resolution where halves were made."""

    never_frozen = True

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName('Misfit and resolution')
        self.setToolTip(
            '<qt>Misfit: mean square of measured less expected in units of the noise, 1 for the truth, below 1 where noise '
            f'was fitted. FSC: the period at which two halves of the counts agree to {THRESHOLD}, over all directions, across '
            'the beam (x) and along it (z); ≤ where the voxels are too large to show it.</qt>'
        )
        plain(self)

    def show_judged(self, judged: Judged) -> None:
        """Show what was found."""
        found, resolution = judged.consistency, judged.resolution
        headings = ['Element', 'Misfit', 'Worst tilt']
        if resolution is not None:
            headings += [f'FSC {THRESHOLD}', 'Across', 'Along']
        self.setColumnCount(len(headings))
        self.setHorizontalHeaderLabels(headings)
        self.setRowCount(len(found.channels))
        hues = colours(found.channels)
        resolved = [[]] * len(found.channels) if resolution is None else _resolved(resolution)
        for row, name in enumerate(found.channels):
            worst = int(np.argmax(found.misfit[row]))
            texts = [
                f'{found.misfit[row].mean():.2f}',
                f'{found.misfit[row, worst]:.2f}, {found.angles[worst]:g}°',
                *resolved[row],
            ]
            self.setItem(row, 0, dotted(name, hues[name]))
            for column, text in enumerate(texts, start=1):
                self.setItem(row, column, cell(text, right=True))
        header: Any = self.horizontalHeader()
        # Names of elements are short: what is left is theirs, and no number takes two lines.
        for column in range(1, len(headings)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        fit_height(self)


class PhaseTable(QTableWidget):
    """A row per phase: its elements, its volume, its surface, how thick it is if it is a layer."""

    never_frozen = True

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName('Phases')
        self.setToolTip(
            '<qt>Layer: the thickness of the phase if it is a layer, twice its volume over its surface. The other columns are '
            'fractions of the counts, which are no atomic percent.</qt>'
        )
        plain(self)

    def show_phases(self, divided: Divided) -> None:
        """Show phases that were measured."""
        phases = divided.phases
        headings = ['Phase', 'Volume\nnm³', 'Surface\nnm²', 'Layer\nnm', *(f'{name}\n%' for name in phases.channels)]
        self.setColumnCount(len(headings))
        self.setHorizontalHeaderLabels(headings)
        self.setRowCount(len(divided.regions))
        self._share_width(len(headings), len(phases.channels))
        names = phases.names()
        for row, region in enumerate(divided.regions):
            tip = f'{names[region.phase - 1]}: {region.voxels} voxels{_cut(region)}'
            texts = [
                *(short(value) for value in (region.volume, region.surface, region.thickness)),
                *(f'{100 * value:.0f}' for value in phases.fractions[region.phase - 1]),
            ]
            self.setItem(row, 0, dotted(f'{region.label} {names[region.phase - 1]}', phase_hue(region.label)))
            for column, text in enumerate(texts, start=1):
                self.setItem(row, column, cell(text, right=True))
            for column in range(len(headings)):
                shown: Any = self.item(row, column)
                shown.setToolTip(tip)
        fit_height(self)

    def _share_width(self, columns: int, channels: int) -> None:
        """Leave to the names of the phases as much as the numbers do not need."""
        header: Any = self.horizontalHeader()
        mode = QHeaderView.ResizeMode.ResizeToContents if channels <= _FEW else QHeaderView.ResizeMode.Stretch
        for column in range(1, columns):
            header.setSectionResizeMode(column, mode)


def _resolved(found: HalfResolution) -> list[list[str]]:
    """Over all directions, across and along the beam, for each channel."""
    directed = found.periods_by_direction(THRESHOLD)
    across, along = found.directions.index(0.0), found.directions.index(-90.0)
    columns = (found.periods(THRESHOLD), directed[:, across], directed[:, along])
    return [
        [resolution_in_words(float(value), found.voxel_size) for value in values]
        for values in zip(*columns, strict=True)
    ]


def dotted(text: str, hue: str) -> QTableWidgetItem:
    """Text behind a dot: letters in a pale colour would be lost on a light page."""
    dot = QPixmap(_DOT, _DOT)
    dot.fill(Qt.GlobalColor.transparent)
    with painting(dot) as painter:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(hue))
        painter.drawEllipse(0, 0, _DOT, _DOT)
    item = cell(text)
    item.setIcon(QIcon(dot))
    return item


def short(value: float) -> str:
    """``'9040'``, ``'1.23e6'``: three digits."""
    return f'{float(f"{value:.3g}"):g}'.replace('e+0', 'e') if np.isfinite(value) else '-'


def _cut(region: Region) -> str:
    return ', cut by the edge of the field' if region.cut else ''
