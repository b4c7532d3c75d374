"""Shifts corrected by hand in the dock, by the keys that a user presses; the recipe replays them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit, QMessageBox

from napari_diptomo import run
from napari_diptomo.align import Align, read_shifts, tilt_shifts
from napari_diptomo.series import MapSeries, Recipe
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.tasks.opening import look_over

ANGLES = np.arange(-30.0, 31.0, 10.0)
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
ROW = 4


@pytest.fixture
def maps() -> MapSeries:
    """Spots of known shifts, 7 tilts of 32 x 24 pixels."""
    shifts = np.random.default_rng(3).uniform(-1, 1, (7, 2))
    y, x = np.mgrid[:24, :32]
    images = [
        sum(
            40 * np.exp(-((y - 12 - py - sy) ** 2 + (x - 15.5 - px * np.cos(t) - sx) ** 2) / 6)
            for py, px in ((-4, -8), (5, 3), (0, 9))
        )
        for (sy, sx), t in zip(shifts, np.deg2rad(ANGLES), strict=True)
    ]
    return MapSeries(np.array(images)[None], ANGLES, ('Fe',), 2.0)


@pytest.fixture
def aligned(dock: TomographyDock, maps: MapSeries, settled: Callable[..., None]) -> TomographyDock:
    """The dock on the page Align after an alignment."""
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(dock.align_page)
    page = dock.align_page
    page.parameters.build().apply({'rounds': 1, 'axis_rotation': 0.0})
    dock.run_page()
    settled(dock)
    assert dock.session.aligned is not None
    dock.show()
    return dock


def press(qtbot: Any, dock: TomographyDock, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    qtbot.keyClick(dock.align_page.by_hand.table, key, modifier)


def select(qtbot: Any, dock: TomographyDock, row: int, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    table = dock.align_page.by_hand.table
    table.scrollToItem(table.item(row, 0))
    middle = table.visualItemRect(table.item(row, 3)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, middle)


def type_in(qtbot: Any, dock: TomographyDock, row: int, column: int, text: str) -> None:
    """As after a double click."""
    table = dock.align_page.by_hand.table
    table.setCurrentCell(row, column)
    table.editItem(table.item(row, column))
    editor = table.findChildren(QLineEdit)[-1]
    editor.selectAll()
    qtbot.keyClicks(editor, text)
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    QApplication.processEvents()  # Qt commits what was typed in its own time


def now(dock: TomographyDock) -> np.ndarray:
    return np.array(dock.session.aligned.shifts)


def moved(dy: float, dx: float, row: int = ROW) -> np.ndarray:
    found = np.zeros((7, 2))
    found[row] = dy, dx
    return found


def test_arrow_keys_move_the_image_and_the_recipe_replays_it(
    aligned: TomographyDock, maps: MapSeries, qtbot: Any
) -> None:
    found = now(aligned)
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Right)
    press(qtbot, aligned, Qt.Key.Key_Right)
    press(qtbot, aligned, Qt.Key.Key_Up, SHIFT)
    # To the right and up: the specimen is said to have sat that much less to the right, and lower.
    np.testing.assert_allclose(now(aligned) - found, moved(5.0, -1.0), atol=1e-9)
    series = aligned.session.aligned
    assert series.data is aligned.session.maps.data, 'counts are never moved'
    assert [row.source for row in tilt_shifts(series)][ROW] == 'by hand'
    assert aligned.align_page.form.value().by_hand == (10.0, -1.0, 5.0)
    recipe = Recipe.from_dict(series.recipe.to_dict())
    assert recipe.steps[-1] == aligned.align_page.form.value()
    np.testing.assert_allclose(run(recipe, data=maps).shifts, series.shifts, atol=1e-9)


def test_undo_and_redo_by_keys_and_by_buttons(aligned: TomographyDock, qtbot: Any) -> None:
    found, page = now(aligned), aligned.align_page
    assert not page.by_hand.undo.isEnabled() and not page.by_hand.redo.isEnabled()
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Left)
    press(qtbot, aligned, Qt.Key.Key_Down)
    press(qtbot, aligned, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_allclose(now(aligned) - found, moved(0, 0.5), atol=1e-9)
    press(qtbot, aligned, Qt.Key.Key_Z, CONTROL)
    press(qtbot, aligned, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(now(aligned), found)
    assert page.form.value().by_hand == ()
    press(qtbot, aligned, Qt.Key.Key_Z, CONTROL | SHIFT)
    qtbot.mouseClick(page.by_hand.redo, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(now(aligned) - found, moved(-0.5, 0.5), atol=1e-9)
    assert not page.by_hand.redo.isEnabled()
    assert '10°' in page.by_hand.undo.toolTip()


def test_what_is_typed_is_the_shift_itself(aligned: TomographyDock, qtbot: Any, reported: list[str]) -> None:
    type_in(qtbot, aligned, 2, 1, '2,25')
    assert now(aligned)[2, 1] == pytest.approx(2.25, abs=1e-3)
    type_in(qtbot, aligned, 2, 2, 'far')
    assert 'is no number of pixels' in reported[-1]
    type_in(qtbot, aligned, 2, 1, '33')
    assert 'wider than the images of 32 x 24 pixels' in reported[-1]
    assert now(aligned)[2, 1] == pytest.approx(2.25, abs=1e-3)
    assert aligned.align_page.by_hand.table.item(2, 1).text() == '2.25'
    assert len(reported) == 2


def test_reset_takes_the_selected_rows_back(aligned: TomographyDock, qtbot: Any) -> None:
    found = now(aligned)
    select(qtbot, aligned, 1)
    select(qtbot, aligned, 3, CONTROL)
    press(qtbot, aligned, Qt.Key.Key_Right)
    assert (np.abs(now(aligned) - found).max(axis=1) > 0.4).tolist() == [False, True, False, True] + [False] * 3
    select(qtbot, aligned, 3)
    qtbot.mouseClick(aligned.align_page.by_hand.reset, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(now(aligned) - found, moved(0, -0.5, row=1), atol=1e-9)


def test_the_aligned_tilts_follow_the_keys(aligned: TomographyDock, viewer: ViewerModel, qtbot: Any) -> None:
    select(qtbot, aligned, ROW)
    layer = viewer.layers['aligned tilts']
    assert viewer.dims.point[0] == pytest.approx(10.0), 'the tilt of the row'
    before = layer.data[:, 0].copy()
    for _ in range(2):
        press(qtbot, aligned, Qt.Key.Key_Right)
    assert viewer.layers['aligned tilts'] is layer
    columns = np.arange(32)
    for image, old, expected in zip(layer.data[:, 0], before, moved(0, 1)[:, 1], strict=True):
        centres = [(frame.sum(0) * columns).sum() / frame.sum() for frame in (image, old)]
        assert centres[0] - centres[1] == pytest.approx(expected, abs=0.05)
    # Those that are aligned leave a smaller difference.
    page = aligned.align_page.by_hand
    page.view.setCurrentIndex(2)
    over = viewer.layers['neighbour difference']
    wrong = np.abs(over.data[ROW]).sum()
    press(qtbot, aligned, Qt.Key.Key_Z, CONTROL)
    press(qtbot, aligned, Qt.Key.Key_Z, CONTROL)
    assert np.abs(over.data[ROW]).sum() < 0.7 * wrong
    page.view.setCurrentIndex(3)
    flickering = viewer.layers['neighbouring tilt']
    seen = set()
    qtbot.waitUntil(lambda: seen.add(flickering.visible) or len(seen) == 2, timeout=5_000)
    page.view.setCurrentIndex(0)
    assert [layer.name for layer in viewer.layers] == ['Fe maps']


def test_the_canvas_names_what_is_seen(aligned: TomographyDock, viewer: ViewerModel, qtbot: Any) -> None:
    part = aligned.align_page.by_hand
    maps = [layer for layer in viewer.layers if layer.metadata[KEY]['kind'] == 'maps']
    assert all(layer.name_overlay.visible for layer in maps)
    part.view.setCurrentIndex(1)
    assert not any(layer.name_overlay.visible for layer in maps), 'hidden below the aligned tilts'
    viewer.layers['aligned tilts'].visible = False
    assert all(layer.name_overlay.visible for layer in maps)
    viewer.layers['aligned tilts'].visible = True
    assert viewer.layers.selection.active is viewer.layers['aligned tilts']
    part.view.setCurrentIndex(0)
    assert all(layer.name_overlay.visible for layer in maps)
    assert viewer.layers.selection.active is maps[-1]
    part.show_axis.click()
    assert viewer.canvas.overlays.text.text == f'sum of {len(aligned.session.aligned.angles)} tilts'
    part.show_axis.click()
    assert viewer.canvas.overlays.text.text.startswith('tilt ')


def test_the_slider_and_the_table_go_together(aligned: TomographyDock, viewer: ViewerModel, qtbot: Any) -> None:
    select(qtbot, aligned, ROW)
    viewer.dims.set_point(0, -20.0)
    assert aligned.align_page.by_hand.table.currentRow() == 1
    press(qtbot, aligned, Qt.Key.Key_PageDown)
    assert aligned.align_page.by_hand.table.currentRow() > 1


def test_layers_that_the_user_removed_come_back_with_the_next_row(
    aligned: TomographyDock, viewer: ViewerModel, qtbot: Any
) -> None:
    select(qtbot, aligned, ROW)
    aligned.align_page.by_hand.view.setCurrentIndex(2)
    viewer.layers.clear()
    press(qtbot, aligned, Qt.Key.Key_Right)
    select(qtbot, aligned, 1)
    assert 'aligned tilts' in viewer.layers


def test_scores_follow_and_doubtful_tilts_are_marked(aligned: TomographyDock, qtbot: Any) -> None:
    table = aligned.align_page.by_hand.table
    before = tilt_shifts(aligned.session.aligned)[ROW].score
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Down, SHIFT)
    assert table.item(ROW, 3).text() == '', 'not known yet'
    qtbot.waitUntil(lambda: table.item(ROW, 3).text() != '', timeout=20_000)
    assert float(table.item(ROW, 3).text()) < before - 0.1
    assert table.item(ROW, 4).text() == 'doubtful, by hand'
    assert any(
        finding.about == 'tilts out of line' and '10°' in finding.sentence for finding in aligned.align_page.findings()
    )
    press(qtbot, aligned, Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: table.item(ROW, 4).text() == 'found', timeout=20_000)
    assert not any(finding.about == 'tilts out of line' for finding in aligned.align_page.findings())


def test_what_was_made_from_other_shifts_is_not_shown_as_theirs(aligned: TomographyDock, qtbot: Any) -> None:
    from napari_diptomo.series import Volume

    aligned.session.set_result(Volume(np.ones((1, 8, 24, 32)), ('Fe',), 2.0))
    assert aligned.session.volume is not None
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Right)
    assert aligned.session.volume is None and len(aligned.session.runs) == 1, 'kept, but not of these shifts'
    assert aligned.session.input_maps is aligned.session.aligned


@pytest.mark.parametrize('name', ['shifts.xf', 'shifts.csv'])
def test_export_and_import(
    aligned: TomographyDock,
    settled: Callable[..., None],
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    maps: MapSeries,
    name: str,
) -> None:
    page, path = aligned.align_page, tmp_path / name
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Right, SHIFT)
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(path), ''))
    qtbot.mouseClick(page.export_button, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(read_shifts(path, ANGLES).shifts[:, 0], now(aligned)[:, 0], atol=2e-3)
    before = aligned.session.aligned
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *_: (str(path), ''))
    qtbot.mouseClick(page.import_button, Qt.MouseButton.LeftButton)
    settled(aligned)
    assert {row.source for row in tilt_shifts(aligned.session.aligned)} == {'import'}
    np.testing.assert_allclose(now(aligned), read_shifts(path, ANGLES).shifts)
    step = page.form.value()
    assert (step.shifts_file, step.rounds, step.by_hand) == (str(path), 0, ())
    press(qtbot, aligned, Qt.Key.Key_Left)
    replayed = run(Recipe.from_dict(aligned.session.aligned.recipe.to_dict()), data=maps)
    np.testing.assert_allclose(replayed.shifts, now(aligned), atol=1e-9)
    for _ in range(2):
        press(qtbot, aligned, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(now(aligned), before.shifts)
    assert page.form.value() == Align(rounds=1, axis_rotation=0, by_hand=(10.0, -5.0, 0.0))


def test_a_file_of_another_length_is_refused_and_nothing_changes(
    aligned: TomographyDock, qtbot: Any, tmp_path: Path, reported: list[str]
) -> None:
    (tmp_path / 'a.xf').write_text('1 0 0 1 2.0 -1.0\n' * 5)
    page, before = aligned.align_page, aligned.session.aligned
    page.import_shifts(str(tmp_path / 'a.xf'))
    assert reported == ['a.xf has 5 lines, but the series 7 tilts; they must correspond.']
    page.export_shifts(str(tmp_path / 'a.dat'))
    assert len(reported) == 2 and 'no known ending' in reported[1]
    page.export_shifts(str(tmp_path / 'none' / 'a.csv'))
    assert len(reported) == 3
    assert aligned.session.aligned is before and page.form.value().shifts_file == ''


def test_a_new_alignment_keeps_the_corrections_and_can_be_undone(
    aligned: TomographyDock, settled: Callable[..., None], qtbot: Any
) -> None:
    found = now(aligned)
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Right)
    before = now(aligned)
    aligned.run_page()
    settled(aligned)
    np.testing.assert_allclose(now(aligned), before, atol=1e-9)
    for _ in range(2):
        press(qtbot, aligned, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(now(aligned), found)


def test_corrections_outlive_a_tilt_that_is_left_out(
    aligned: TomographyDock, settled: Callable[..., None], qtbot: Any
) -> None:
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Right)
    aligned.open_page.table.item(ROW, 0).setCheckState(Qt.CheckState.Unchecked)
    assert aligned.session.aligned is None and not aligned.align_page.by_hand.isVisible()
    assert 'aligned tilts' not in aligned.viewer.layers
    aligned.stages.go_to(aligned.align_page)
    aligned.run_page()
    settled(aligned)
    assert len(now(aligned)) == 6
    select(qtbot, aligned, 0)
    press(qtbot, aligned, Qt.Key.Key_Left)
    assert aligned.align_page.form.value().by_hand == (10.0, -0.5, 0.0, -30.0, 0.5, 0.0)


def test_other_data_begin_without_the_corrections_of_the_earlier_ones(
    aligned: TomographyDock, maps: MapSeries, qtbot: Any
) -> None:
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Right)
    aligned.open_page.done(look_over(replace(maps, data=maps.data + 1)))
    assert aligned.align_page.form.value().by_hand == ()
    assert aligned.context.last_used.step(Align).by_hand == ()


def test_a_recipe_that_is_dropped_keeps_its_corrections_for_its_data(
    aligned: TomographyDock, maps: MapSeries, tmp_path: Path
) -> None:
    step = Align(by_hand=(10.0, 1.0, 0.0))
    aligned.open_recipe(Recipe(steps=(step,)).save(tmp_path / 'recipe.json'))
    aligned.open_page.done(look_over(replace(maps, data=maps.data + 1)))
    assert aligned.align_page.form.value().by_hand == step.by_hand


def test_a_series_recorded_with_its_axis_along_x_moves_as_it_is_seen(
    dock: TomographyDock, maps: MapSeries, settled: Callable[..., None], qtbot: Any
) -> None:
    dock.open_page.done(look_over(replace(maps, transposed=True)))
    dock.stages.go_to(dock.align_page)
    dock.run_page()
    settled(dock)
    dock.show()
    found = now(dock)
    select(qtbot, dock, ROW)
    assert dock.viewer.layers['aligned tilts'].data.shape == (7, 1, 32, 24)
    press(qtbot, dock, Qt.Key.Key_Right)
    np.testing.assert_allclose(now(dock) - found, moved(-0.5, 0), atol=1e-9)


def test_nothing_is_moved_while_a_stage_runs(aligned: TomographyDock) -> None:
    page = aligned.align_page
    page.set_frozen(True)
    assert not page.by_hand.table.isEnabled()
    page.set_frozen(False)
    assert page.by_hand.table.isEnabled() and not page.by_hand.undo.isEnabled()


def test_no_two_controls_of_the_page_share_a_mnemonic(aligned: TomographyDock) -> None:
    from qtpy.QtWidgets import QAbstractButton, QLabel

    assert QApplication.instance() is not None and not aligned.findChildren(QMessageBox)
    widgets = [*aligned.findChildren(QAbstractButton), *aligned.findChildren(QLabel)]
    texts = [w.text().replace('&&', '') for w in widgets if w.isVisible()]
    letters = [text[text.index('&') + 1].lower() for text in texts if '&' in text]
    assert len(set(letters)) == len(letters), sorted(letters)
    assert not set(letters) & set('fvlpwh'), "napari's menus"


def test_what_was_corrected_and_seen_is_there_again_when_the_dock_is(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, qtbot: Any
) -> None:
    first = opened(window)
    first.open_page.done(look_over(maps))
    first.stages.go_to(first.align_page)
    first.align_page.done(Align(rounds=0, axis_rotation=0).run(maps))
    select(qtbot, first, ROW)
    press(qtbot, first, Qt.Key.Key_Right)
    first.align_page.by_hand.view.setCurrentIndex(2)
    layers, before = [layer.name for layer in window.layers], now(first)
    first.parent().title.close_button.click()
    qtbot.wait(50)
    again = opened(window)
    assert [layer.name for layer in window.layers] == layers
    assert again.align_page.form.value().by_hand == (10.0, -0.5, 0.0)
    select(qtbot, again, 1)
    press(qtbot, again, Qt.Key.Key_Right)
    np.testing.assert_allclose(now(again) - before, moved(0, -0.5, row=1), atol=1e-9)
    assert sorted(layer.name for layer in window.layers) == sorted(layers)
    assert again.align_page.form.value().by_hand == (-20.0, -0.5, 0.0, 10.0, -0.5, 0.0)


def test_a_project_keeps_the_corrections(aligned: TomographyDock, qtbot: Any, tmp_path: Path, settled: Any) -> None:
    select(qtbot, aligned, ROW)
    press(qtbot, aligned, Qt.Key.Key_Right)
    shifts = now(aligned)
    with qtbot.waitSignal(aligned.session.autosave.saved, timeout=20_000):
        aligned._save_project_to(tmp_path / 'project')
    press(qtbot, aligned, Qt.Key.Key_Right)
    aligned.open_project(tmp_path / 'project')
    settled(aligned)
    np.testing.assert_array_equal(now(aligned), shifts)
    page = aligned.align_page
    assert page.form.value().by_hand == (10.0, -0.5, 0.0) and not page.by_hand.undo.isEnabled()
    assert aligned.viewer.layers['aligned tilts'].visible
    select(qtbot, aligned, ROW)
    qtbot.mouseClick(page.by_hand.reset, Qt.MouseButton.LeftButton)
    assert page.form.value().by_hand == ()
