"""The table of mean compositions: regions down the side, or elements where there are more than fit beside each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_diptomo.assess.regions import RegionComposition
from napari_diptomo.widgets.controls.composition_tables import MeanTable


def of(channels: tuple[str, ...], first: float) -> RegionComposition:
    rest = (100 - first) / (len(channels) - 1)
    percent = np.array([first, *[rest] * (len(channels) - 1)])
    return RegionComposition(channels, percent, np.full(len(channels), 0.25), np.zeros(len(channels)), 'at.%', 120)


def texts(table: MeanTable) -> list[list[str]]:
    return [
        [table.item(row, column).text() for column in range(table.columnCount())] for row in range(table.rowCount())
    ]


def headings(table: MeanTable) -> list[str]:
    return [table.horizontalHeaderItem(column).text() for column in range(table.columnCount())]


def test_three_elements_stand_side_by_side(qtbot: Any) -> None:
    table = MeanTable()
    qtbot.addWidget(table)
    table.show_regions({'Specimen': of(('Ge', 'Sb', 'Te'), 20.0), 'Core': 'no voxel has enough counts'})
    assert headings(table) == ['Region', 'Ge at.%', 'Sb at.%', 'Te at.%']
    assert texts(table) == [['Specimen', '20.0 ± 0.2', '40.0 ± 0.2', '40.0 ± 0.2'], ['Core', '-', '-', '-']]


def test_many_elements_stand_below_each_other(qtbot: Any) -> None:
    elements = ('O', 'Mg', 'Al', 'Si', 'S', 'Ca', 'Fe', 'Ni')
    table = MeanTable()
    qtbot.addWidget(table)
    table.show_regions({'Specimen': of(elements, 65.0), 'Core': 'no voxel has enough counts'})
    assert headings(table) == ['Element', 'Specimen', 'Core']
    assert [row[0] for row in texts(table)] == [f'{element} at.%' for element in elements]
    assert texts(table)[0] == ['O at.%', '65.0 ± 0.2', '-']
    assert table.item(0, 2).toolTip() == 'no voxel has enough counts'
    assert table.item(7, 1).toolTip() == '120 voxels'


def test_an_error_that_is_known_is_never_zero(qtbot: Any) -> None:
    found = RegionComposition(('O', 'Ni'), np.array([99.7, 0.31]), np.array([0.6, 0.03]), np.zeros(2), 'at.%', 120)
    table = MeanTable()
    qtbot.addWidget(table)
    table.show_regions({'Specimen': found})
    assert texts(table) == [['Specimen', '99.7 ± 0.6', '0.310 ± 0.030']]
