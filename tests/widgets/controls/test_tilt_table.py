from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt

from napari_diptomo.widgets.controls.tilt_table import TiltTable

FILES = [Path('b.hspy'), Path('a.hspy')]


def editable(table: TiltTable) -> bool:
    return bool(table.item(0, 1).flags() & Qt.ItemFlag.ItemIsEditable)


def test_angles_whose_files_are_known_can_be_corrected(qtbot):
    table = TiltTable()
    qtbot.addWidget(table)
    table.show_files(FILES, np.array([10.0, -10.0]))
    table.show_found(np.array([-10.0, 10.0]))
    assert editable(table)
    assert 'Double-click' in table.toolTip()
    assert table.angles() is None, 'nothing was touched'
    table.item(0, 1).setText('-12,5')
    assert table.files() == ('a.hspy', 'b.hspy')
    assert table.angles() == (-12.5, 10.0)


def test_angles_from_metadata_alone_say_how_they_are_corrected(qtbot):
    table = TiltTable()
    qtbot.addWidget(table)
    table.show_files(FILES, None)
    table.show_found(np.array([-10.0, 10.0]))
    assert not editable(table)
    assert '.rawtlt' in table.toolTip() and 'Double-click' not in table.toolTip()
