from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from napari_diptomo.series import InputError
from napari_diptomo.widgets.controls.tilt_table import TiltTable
from napari_diptomo.widgets.controls.tilt_tools import StepsDialog, TiltTools

FILES = [Path('b.hspy'), Path('a.hspy'), Path('c.hspy')]
USE, FILE, ANGLE = 0, 1, 2


@dataclass(frozen=True)
class Said:
    """Evidence as a reader gives it."""

    source: str
    values: np.ndarray
    kind: str = 'angles'


@pytest.fixture
def table(qtbot: Any) -> TiltTable:
    table = TiltTable()
    qtbot.addWidget(table)
    return table


def column(table: TiltTable, number: int) -> list[str]:
    return [table.item(row, number).text() for row in range(table.rowCount())]


def ticks(table: TiltTable) -> list[bool]:
    return [table.item(row, USE).checkState() == Qt.CheckState.Checked for row in range(table.rowCount())]


def editable(table: TiltTable) -> bool:
    return bool(table.item(0, ANGLE).flags() & Qt.ItemFlag.ItemIsEditable)


def test_corrected_angles_are_in_the_order_of_the_files(table):
    table.show_files(FILES, np.array([10.0, -10.0, 20.0]))
    assert column(table, FILE) == ['a.hspy', 'b.hspy', 'c.hspy'], 'lowest angle first'
    assert table.angles() is None, 'nothing was touched'
    table.item(0, ANGLE).setText('-12,5')
    assert table.files() == ('b.hspy', 'a.hspy', 'c.hspy')
    assert table.angles() == (10.0, -12.5, 20.0)
    table.item(0, ANGLE).setText('-10')
    assert table.angles() is None, 'as the files say again'


def test_angles_of_metadata_find_their_files(table):
    table.show_files(FILES, None)
    table.show_found(np.array([-10.0, 0.0, 10.0]), (2, 0, 1))
    assert column(table, FILE) == ['c.hspy', 'b.hspy', 'a.hspy']
    assert column(table, ANGLE) == ['-10', '0', '10']
    assert editable(table) and table.angles() is None
    table.reverse()
    assert table.angles() == (0.0, -10.0, 10.0)


def test_tilts_of_a_stack_are_numbered_as_it_holds_them(table):
    table.show_files([Path('stack.hspy')], None, stacks=True)
    assert table.isColumnHidden(USE) and not editable(table)
    assert table.angles() is None and table.unused() == ()
    table.show_found(np.array([-5.0, 5.0]), (1, 0))
    assert not table.isColumnHidden(USE)
    assert column(table, FILE) == ['tilt 2', 'tilt 1']
    assert table.files() == ()


def test_data_without_files_keep_their_angles(table):
    table.show_found(np.array([-5.0, 5.0]), (0, 1), editable=False)
    assert not editable(table) and not table.tools_work()
    assert 'as the data came with them' in table.toolTip()


def test_a_tick_by_mouse_and_by_keyboard(table, qtbot):
    table.show_files(FILES, np.array([10.0, -10.0, 20.0]))
    table.show()
    with qtbot.waitSignal(table.ticked):
        table.item(0, USE).setCheckState(Qt.CheckState.Unchecked)
    assert table.unused() == (1,), 'a.hspy is the second of the files'
    table.selectAll()
    table.setCurrentCell(1, ANGLE)
    table.selectAll()
    with qtbot.waitSignal(table.ticked):
        qtbot.keyClick(table, Qt.Key.Key_Space)
    assert ticks(table) == [False, False, False]
    assert table.problem == 'All tilts are out of use; tick those that shall be used.'
    table.setCurrentCell(2, FILE)
    qtbot.keyClick(table, Qt.Key.Key_Space)
    assert table.unused() == (0, 1)
    assert table.problem == ''
    assert table.count() == '1 of 3 tilts in use'


def test_tab_leaves_the_table(qtbot):
    whole = QWidget()
    column = QVBoxLayout(whole)
    table, behind = TiltTable(), QLineEdit()
    column.addWidget(table)
    column.addWidget(behind)
    qtbot.addWidget(whole)
    table.show_files(FILES, np.array([10.0, -10.0, 20.0]))
    whole.show()
    whole.activateWindow()
    table.setFocus()
    table.setCurrentCell(0, ANGLE)
    qtbot.waitUntil(table.hasFocus)
    qtbot.keyClick(table, Qt.Key.Key_Tab)
    qtbot.waitUntil(behind.hasFocus)


def test_ticks_follow_their_tilts_when_sorted(table):
    table.show_files(FILES, np.array([10.0, -10.0, 20.0]))
    table.set_unused([0])
    assert ticks(table) == [True, False, True]
    table.sort_by_file()
    assert column(table, FILE) == ['b.hspy', 'a.hspy', 'c.hspy']
    assert ticks(table) == [False, True, True]
    table.reverse()
    table.sort_by_angle()
    assert column(table, ANGLE) == ['-20', '-10', '10']
    assert table.unused() == (0,)


@pytest.mark.parametrize(
    ('change', 'angles'),
    [
        (lambda table: table.reverse(), (-10.0, 0.0, -20.0)),
        (lambda table: table.add(2.5), (12.5, 2.5, 22.5)),
        (lambda table: table.fill_steps(-30, 30, 30), (0.0, -30.0, 30.0)),
        (lambda table: table.paste('Winkel\n1,5\n2,5\n3,5'), (2.5, 1.5, 3.5)),
        (lambda table: table.paste('c.hspy\t3\nb.hspy\t1\na.hspy\t2'), (1.0, 2.0, 3.0)),
    ],
)
def test_all_angles_at_once_and_back(table, qtbot, change, angles):
    table.show_files(FILES, np.array([10.0, 0.0, 20.0]))
    with qtbot.waitSignal(table.edited):
        change(table)
    assert table.angles() == angles
    assert table.can_reset()
    table.reset()
    assert table.angles() is None and not table.can_reset()
    assert column(table, ANGLE) == ['0', '10', '20']


def test_a_correction_outlives_the_opening_and_can_be_reset(table):
    table.show_files(FILES, np.array([10.0, 0.0, 20.0]))
    table.reverse()
    table.show_found(np.array([-20.0, -10.0, 0.0]), (2, 0, 1))
    assert table.angles() == (-10.0, 0.0, -20.0), 'to be opened so again'
    table.reset()
    assert table.angles() is None
    assert sorted(column(table, ANGLE)) == ['0', '10', '20']


def test_the_clipboard_is_pasted_by_its_key(table, qtbot):
    table.show_files(FILES, np.array([10.0, 0.0, 20.0]))
    clipboard = QGuiApplication.clipboard()
    clipboard.setText('7\n8\n9')
    qtbot.keyClick(table, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert column(table, ANGLE) == ['7', '8', '9']
    clipboard.setText('7\n8')
    with qtbot.waitSignal(table.refused) as said:
        table.paste_clipboard()
    assert said.args == ['The clipboard holds 2 numbers for 3 tilts; copy one for each.']
    assert column(table, ANGLE) == ['7', '8', '9'], 'nothing is half done'


def test_a_stack_gets_its_tilts_from_what_is_pasted(table):
    table.show_files([Path('stack.rpl')], None, stacks=True)
    table.set_unused([1])
    table.paste('-5\n0\n5\n10')
    assert column(table, FILE) == ['tilt 1', 'tilt 2', 'tilt 3', 'tilt 4']
    assert (table.angles(), table.unused()) == ((-5.0, 0.0, 5.0, 10.0), (1,))
    with pytest.raises(InputError, match='These are 3 angles for 4 tilts'):
        table.fill_steps(0, 20, 10)


def test_a_missing_angle_names_its_file(table):
    table.show_files(FILES, None)
    assert table.problem == ''
    table.item(0, ANGLE).setText('5')
    assert table.problem == 'a.hspy has no tilt angle; type it in degrees.'


def test_tilts_that_could_not_be_read_stay_listed(table):
    table.show_files(FILES, np.array([10.0, 0.0, 20.0]))
    table.set_unused([1])
    table.show_found(np.array([10.0, 20.0]), (0, 2))
    assert column(table, FILE) == ['a.hspy', 'b.hspy', 'c.hspy']
    assert ticks(table) == [False, True, True]
    assert table.places() == {0, 1, 2}


def test_sources_that_differ_have_columns(table):
    table.show_files(FILES, np.array([0.0, 10.0, 20.0]))
    said = (
        Said('the table angles.csv, by file name', np.array([0.0, 10.0, 20.0])),
        Said('the metadata of the files', np.array([0.0, np.nan, 15.0])),
        Said('pixel sizes', np.array([1.0, 1.0, 1.0]), 'pixel size'),
    )
    table.show_found(np.array([0.0, 10.0, 20.0]), (0, 1, 2), said, 'from the table angles.csv, by file name')
    headings = [table.horizontalHeaderItem(i).text() for i in range(table.columnCount())]
    assert headings == ['Use', 'File', 'Tilt / °', '✓ angles.csv', 'Metadata']
    assert 'These are used' in table.horizontalHeaderItem(3).toolTip()
    assert column(table, 4) == ['0', '', '15']
    assert table.item(2, 4).toolTip() == '-5° from the angle that is used'
    table.take_source('the metadata of the files')
    assert table.angles() == (0.0, 10.0, 15.0)


def test_sources_that_agree_have_none(table):
    said = (Said('x', np.array([0.0, 10.01])), Said('y', np.array([0.0, 10.0])))
    table.show_found(np.array([0.0, 10.0]), (0, 1), said, 'from x')
    assert table.columnCount() == 3 and table.sources() == ()


def test_sources_that_contradict_each_other_are_there_to_choose_from(table):
    table.show_files(FILES, None)
    table.show_evidence((Said('one.csv', np.array([1.0, 2.0, 3.0])), Said('two.csv', np.array([3.0, 2.0, 1.0]))))
    assert table.sources() == ('one.csv', 'two.csv')
    table.take_source('two.csv')
    assert table.angles() == (3.0, 2.0, 1.0)


def test_repeats_count_among_tilts_in_use(table):
    table.show_files(FILES, np.array([10.0, 10.0, 20.0]))
    assert table.repeats()
    table.set_unused([1])
    assert not table.repeats()


def test_the_row_below_says_and_does_it(table, qtbot):
    tools = TiltTools(table)
    qtbot.addWidget(tools)
    assert not tools.isVisibleTo(tools)
    table.show_files(FILES, np.array([10.0, 0.0, 20.0]))
    table.edited.connect(tools.refresh)
    tools.refresh()
    assert tools.count.text() == '3 tilts'
    tools.menu.aboutToShow.emit()
    texts = [action.text().replace('&', '') for action in tools.menu.actions() if action.text()]
    assert texts == [
        'Reverse the sign',
        'Add an offset…',
        'First, last, step…',
        'Paste a column',
        'Sort by angle',
        'Sort by file',
    ]
    assert not tools.reset.isEnabled()
    tools.menu.actions()[0].trigger()
    assert table.angles() == (-10.0, 0.0, -20.0)
    assert tools.reset.isEnabled()
    tools.reset.click()
    assert table.angles() is None


def test_the_dialog_of_the_steps(qtbot):
    dialog = StepsDialog()
    qtbot.addWidget(dialog)
    dialog.fields[2].setValue(2.5)
    assert dialog.values() == (-60.0, 60.0, 2.5)
