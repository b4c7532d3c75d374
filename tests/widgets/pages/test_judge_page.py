"""The page Judge as a user meets it: after a run, with a line of a profile, with phases, with another run chosen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton

from napari_diptomo.assess import consistency, half_resolution, line_profile, phases_by_clustering
from napari_diptomo.jobs import movie
from napari_diptomo.jobs.assess_volume import halving_step
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import MapSeries, Recipe, Volume
from napari_diptomo.simulate import lamella, tilt_series
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.layers.profile_line import ProfileLine
from napari_diptomo.widgets.tasks.opening import look_over
from napari_diptomo.widgets.tasks.task import Outcome

Settled = Callable[..., None]
STEP = SIRT(iterations=8)


@pytest.fixture(scope='module')
def lamella_maps() -> MapSeries:
    made = tilt_series(lamella(20), range(-60, 61, 15), peak_counts=60, seed=1).maps
    return replace(made, recipe=Recipe())


@pytest.fixture(scope='module')
def volume(lamella_maps: MapSeries) -> Volume:
    return STEP.run(lamella_maps)


def finish(dock: TomographyDock, maps: MapSeries, volume: Volume) -> Any:
    """A run of these maps ends with this volume; gives the page."""
    if dock.session.maps is None:
        dock.open_page.done(look_over(maps))
    dock.runs.begin(maps, 'SIRT', Recipe().then(STEP))
    dock.runs.end(Outcome('SIRT', volume))
    assert dock.judge_page.closed() == ''
    dock.stages.buttons[5].click()
    assert dock.stages.current is dock.judge_page
    return dock.judge_page


def judge(dock: TomographyDock, settled: Settled, halves: str = 'none') -> None:
    dock.judge_page.halves.setCurrentText(halves)
    dock.run_bar.run_button.click()
    settled(dock)


def cells(table: Any, row: int) -> list[str]:
    return [table.item(row, column).text() for column in range(table.columnCount())]


def test_closed_until_there_is_a_volume_with_its_maps(
    dock: TomographyDock, lamella_maps: MapSeries, volume: Volume
) -> None:
    assert dock.stages.buttons[5].text() == '6 Judge'
    assert dock.judge_page.closed() == 'Reconstruct a volume first, or choose a finished run.'
    dock.session.set_result(volume)
    # Profile, phases, report and movie need no maps.
    assert dock.judge_page.closed() == '' and dock.stages.buttons[5].isEnabled()
    assert dock.judge_page.obstacle().startswith('The maps of Run 1 (SIRT) are not in this session')
    assert dock.judge_page.maps_box.isVisibleTo(dock.judge_page)
    # As a project brings them back: the volume knows how its maps were made.
    dock.session.restore(None, lamella_maps, None)
    dock.runs.choose(next(iter(dock.runs)))
    assert dock.judge_page.obstacle() == ''
    assert not dock.judge_page.maps_box.isVisibleTo(dock.judge_page)


def test_a_project_brings_the_maps_back_that_the_volume_was_made_from(
    dock: TomographyDock,
    lamella_maps: MapSeries,
    volume: Volume,
    settled: Settled,
    qtbot: Any,
    tmp_path: Path,
    reported: list[str],
) -> None:
    page = finish(dock, lamella_maps, volume)
    judge(dock, settled)
    page._show_residuals()
    page.find_phases.click()
    settled(dock)
    with qtbot.waitSignal(dock.session.autosave.saved, timeout=60_000):
        dock.session.autosave.save_to(tmp_path / 'project')
    dock.open_project(tmp_path / 'project')
    settled(dock)
    assert dock.runs.chosen is not None and dock.runs.chosen.maps is None
    assert dock.judge_page.closed() == ''
    dock.stages.buttons[5].click()
    reported.clear()
    judge(dock, settled)
    assert reported == [] and page.judged.volume is dock.session.volume


def test_misfit_and_resolution_are_those_of_the_functions(
    dock: TomographyDock, lamella_maps: MapSeries, volume: Volume, settled: Settled, reported: list[str]
) -> None:
    page = finish(dock, lamella_maps, volume)
    assert not page.result_box.isVisibleTo(page)
    judge(dock, settled, 'fast (SIRT)')
    assert reported == []
    found = consistency(volume, lamella_maps)
    halves = half_resolution(lamella_maps, halving_step(STEP, 'fast'))
    assert page.result_box.isVisibleTo(page)
    for row, name in enumerate(volume.channels):
        shown = cells(page.table, row)
        assert shown[:2] == [name, f'{found.misfit[row].mean():.2f}']
        assert f'{halves.periods()[row]:.3g} nm' in shown[3]
        assert len(shown) == 6
    points = page.misfit.plot.listDataItems()[0]
    np.testing.assert_allclose(points.getData(), (found.angles, found.misfit[0]))
    curves = [item.getData() for item in page.correlation.plot.listDataItems()]
    frequency = halves.curves[1].frequency / volume.voxel_size
    assert any(np.array_equal(y, halves.curves[1].correlation) and np.array_equal(x, frequency) for x, y in curves)
    assert page.note.text().startswith('SIRT of each half. No tilt measured the frequencies along the beam')
    assert 'halves agree on the same error' in page.note.text()
    assert page.findings() == found.findings


def test_without_halves_there_is_no_curve(
    dock: TomographyDock, lamella_maps: MapSeries, volume: Volume, settled: Settled
) -> None:
    page = finish(dock, lamella_maps, volume)
    judge(dock, settled)
    assert page.table.columnCount() == 3
    assert not page.correlation.isVisibleTo(page) and not page.note.isVisibleTo(page)


def test_halves_can_be_cancelled(
    dock: TomographyDock, lamella_maps: MapSeries, volume: Volume, settled: Settled, qtbot: Any
) -> None:
    endless = SIRT(iterations=5000)
    slow = replace(volume, recipe=Recipe().then(endless))
    page = finish(dock, lamella_maps, slow)
    page.halves.setCurrentText('own settings')
    dock.run_bar.run_button.click()
    qtbot.waitUntil(lambda: 'SIRT' in dock.run_bar.status.text(), timeout=60_000)
    dock.run_bar.cancel_button.click()
    settled(dock)
    assert dock.run_bar.status.text() == 'Judge: cancelled.'
    assert page.judged is None


def test_a_tilt_that_does_not_belong_is_a_finding_below_the_page(
    dock: TomographyDock, lamella_maps: MapSeries, settled: Settled
) -> None:
    data = lamella_maps.data.copy()
    data[:, 4] = np.roll(data[:, 4], 6, axis=-1)
    wrong = replace(lamella_maps, data=data)
    finish(dock, wrong, STEP.run(wrong))
    judge(dock, settled)
    assert any('the tilt at 0° worse than the others' in row.finding.sentence for row in dock.findings.rows)


def test_residuals_lie_on_the_maps(
    dock: TomographyDock, viewer: ViewerModel, lamella_maps: MapSeries, volume: Volume, settled: Settled
) -> None:
    page = finish(dock, lamella_maps, volume)
    judge(dock, settled)
    page._show_residuals()
    page._show_residuals()
    shown = {layer.name: layer for layer in viewer.layers if 'residual' in layer.name}
    assert set(shown) == {f'{name} residual' for name in volume.channels}
    first = shown[f'{volume.channels[0]} residual']
    np.testing.assert_array_equal(first.data[:, 0], page.judged.consistency.residual[0])
    like = viewer.layers[f'{volume.channels[0]} maps']
    assert isinstance(first, Image) and (tuple(first.scale), first.units) == (tuple(like.scale), like.units)
    assert [layer.name for layer in viewer.layers if layer.visible and KEY in layer.metadata] == [first.name]


def test_another_volume_closes_the_results_and_a_discarded_one_ends_them(
    dock: TomographyDock, viewer: ViewerModel, lamella_maps: MapSeries, volume: Volume, settled: Settled
) -> None:
    page = finish(dock, lamella_maps, volume)
    judge(dock, settled)
    page._show_residuals()
    page.find_phases.click()
    settled(dock)
    first = dock.runs.chosen
    finish(dock, lamella_maps, replace(volume, data=volume.data / 2))
    assert not page.result_box.isVisibleTo(page) and not page.phase_table.isVisibleTo(page)
    assert page.findings() == ()
    assert not any('residual' in layer.name for layer in viewer.layers)
    dock.runs.choose(first)
    assert page.result_box.isVisibleTo(page) and page.phase_table.isVisibleTo(page)
    dock.runs.discard(first)
    assert page.judged is None and page.divided is None
    dock.runs.discard(dock.runs.chosen)
    assert dock.stages.current is not page


def test_a_line_gives_a_profile_that_follows_it(
    dock: TomographyDock,
    viewer: ViewerModel,
    lamella_maps: MapSeries,
    volume: Volume,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = finish(dock, lamella_maps, volume)
    part = page.profile
    assert not part.save.isVisibleTo(page)
    part.width_box.setValue(3 * volume.voxel_size)
    part.draw.click()
    qtbot.waitUntil(lambda: part.profile is not None, timeout=30_000)
    line = viewer.layers['Profile']
    assert isinstance(line, Shapes) and viewer.dims.ndisplay == 2
    start, end = (np.asarray(point) for point in line.data[0])
    expected = line_profile(volume, start, end, 3 * volume.voxel_size)
    np.testing.assert_allclose(part.profile.values, expected.values, rtol=1e-5)
    assert part.plot.bands == len(volume.channels)
    # The slice that is seen is that of the line, or nobody would see it.
    assert viewer.dims.point[-3] == pytest.approx(line.data_to_world(start)[0], abs=1e-6)

    lower = np.array([0, 3, 0])
    moved = [start + lower, end + lower]
    line.data = [np.array(moved)]
    expected = line_profile(volume, *moved, 3 * volume.voxel_size)
    qtbot.waitUntil(lambda: np.allclose(part.profile.values, expected.values, rtol=1e-5), timeout=30_000)
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(tmp_path / 'p.csv'), ''))
    part.save.click()
    rows = (tmp_path / 'p.csv').read_text().splitlines()
    assert rows[0].startswith('distance_nm,Ge,standard_error_Ge') and len(rows) == 1 + len(expected.distance)

    line.data = [np.array([start, end + np.array([0, 0, 500])])]
    qtbot.waitUntil(lambda: 'leaves the volume' in part.note.text(), timeout=30_000)
    assert part.profile is None and not part.plot.isVisibleTo(page)
    viewer.layers.remove(line)
    assert part.note.text().startswith('Draw a line')


def test_a_line_of_the_users_own_layer_is_taken(
    dock: TomographyDock, viewer: ViewerModel, lamella_maps: MapSeries, volume: Volume, qtbot: Any
) -> None:
    page = finish(dock, lamella_maps, volume)
    size = volume.voxel_size
    own = viewer.add_shapes(
        [np.array([[3.0, 2.0], [3.0, 9.0]]) * size], shape_type='line', ndim=2, name='mine', units=('nm', 'nm')
    )
    viewer.dims.set_point(viewer.dims.ndim - 3, 0.5 * size)
    viewer.layers.selection.active = own
    page.profile.draw.click()
    qtbot.waitUntil(lambda: page.profile.profile is not None, timeout=30_000)
    assert 'Profile' not in viewer.layers
    middle = (volume.data.shape[1] - 1) / 2 + viewer.dims.point[-3] / size
    expected = line_profile(volume, (middle, 3, 2), (middle, 3, 9))
    np.testing.assert_allclose(page.profile.profile.values, expected.values, rtol=1e-5)
    own.data = []
    qtbot.waitUntil(lambda: 'no line in mine' in page.profile.note.text(), timeout=30_000)


def test_a_volume_shown_with_x_and_y_swapped_is_read_where_the_line_lies(viewer: ViewerModel, qtbot: Any) -> None:
    turned = Volume(np.ones((1, 4, 6, 10), np.float32), ('Fe',), 2.0, transposed=True)
    line = ProfileLine(viewer)
    viewer.add_image(np.swapaxes(turned.data[0], -1, -2), scale=(2, 2, 2), translate=(-3, 0, 0), units=('nm',) * 3)
    line.take(turned)
    start, end = line.ends(turned)
    # Shown as (z, x, y): the line runs along the last axis, y of the volume.
    assert abs(end[1] - start[1]) == pytest.approx(3.0) and start[2] == end[2] == 4.5
    line.cleanup()


def test_phases_are_labels_on_the_volume_and_a_table(
    dock: TomographyDock,
    viewer: ViewerModel,
    lamella_maps: MapSeries,
    volume: Volume,
    settled: Settled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = finish(dock, lamella_maps, volume)
    assert not page.save_phases.isVisibleTo(page)
    page.count.setValue(2)
    page.find_phases.click()
    settled(dock)
    expected = phases_by_clustering(volume, 2)
    (labels,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    np.testing.assert_array_equal(labels.data, expected.labels)
    assert labels.name == f'Phases: 1 {expected.names()[0]}, 2 {expected.names()[1]}'
    like = viewer.layers['Ge (SIRT)']
    assert (tuple(labels.scale), tuple(labels.translate)) == (tuple(like.scale), tuple(like.translate))
    voxels = int((expected.labels == 1).sum())
    shown = cells(page.phase_table, 0)
    assert shown[0] == f'1 {expected.names()[0]}'
    assert float(shown[1]) == pytest.approx(voxels * volume.voxel_size**3, rel=0.01)
    assert [int(text) for text in shown[4:]] == [round(100 * value) for value in expected.fractions[0]]
    page.find_phases.click()
    settled(dock)
    assert sum(isinstance(layer, Labels) for layer in viewer.layers) == 1

    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(tmp_path / 'phases.csv'), ''))
    page.save_phases.click()
    headings, first, _ = ((tmp_path / 'phases.csv').read_text()).splitlines()
    assert float(first.split(',')[headings.split(',').index('of_counts_Ge')]) == pytest.approx(
        expected.fractions[0][0], rel=1e-5
    )


def test_what_cannot_be_done_is_said_and_the_page_stays(
    dock: TomographyDock,
    lamella_maps: MapSeries,
    volume: Volume,
    settled: Settled,
    reported: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = finish(dock, lamella_maps, replace(volume, data=np.ones_like(volume.data)))
    page.find_phases.click()
    settled(dock)
    assert 'no specimen stands out' in reported.pop()
    judge(dock, settled)
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(tmp_path / 'no' / 'm.csv'), ''))
    page._save_tables()
    assert 'cannot be written' in reported.pop()
    finish(dock, replace(lamella_maps, data=lamella_maps.data[..., :16]), volume)
    judge(dock, settled)
    assert 'take the maps that it was made from' in reported.pop()
    assert dock.run_bar.run_button.isEnabled()


def test_no_two_controls_have_the_same_mnemonic(dock: TomographyDock) -> None:
    dock.run_bar.set_action(dock.judge_page.action, '', onward=False)
    texts = [w.text() for box in (dock.judge_page, dock.run_bar) for w in box.findChildren((QPushButton, QLabel))]
    letters = Counter(found.lower() for text in texts for found in re.findall(r'(?<!&)&([A-Za-z])(?!\w*;)', text))
    assert letters and max(letters.values()) == 1


def test_a_volume_of_a_file_is_judged_by_maps_of_a_file(
    dock: TomographyDock,
    lamella_maps: MapSeries,
    volume: Volume,
    settled: Settled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reported: list[str],
) -> None:
    dock.runs.add(volume, 'saved', shown=True)
    dock.stages.go_to(dock.judge_page)
    page = dock.judge_page
    other = replace(lamella_maps, data=lamella_maps.data[:, :, :18])
    files = {name: str(maps.save(tmp_path / name)) for name, maps in (('o.hspy', other), ('m.hspy', lamella_maps))}
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *a, **k: (files['o.hspy'], ''))
    page.choose_maps.click()
    settled(dock)
    assert any('20 x 18 pixels, and the volume has' in said for said in reported) and page.obstacle()
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *a, **k: (files['m.hspy'], ''))
    page.choose_maps.click()
    settled(dock)
    assert page.obstacle() == '' and not page.maps_box.isVisibleTo(page)
    judge(dock, settled)
    np.testing.assert_allclose(page.judged.consistency.misfit, consistency(volume, lamella_maps).misfit, rtol=1e-5)


def test_maps_that_only_fit_are_taken_with_a_reservation(
    dock: TomographyDock, lamella_maps: MapSeries, volume: Volume
) -> None:
    dock.open_page.done(look_over(lamella_maps))
    dock.runs.add(replace(volume, recipe=None), 'saved', shown=True)
    assert dock.judge_page.obstacle() == ''
    assert 'nothing says that it was made from them' in dock.judge_page.maps_note.text()
    assert dock.judge_page.maps_box.isVisibleTo(dock.judge_page)


def test_report_and_movie_are_written(
    dock: TomographyDock,
    lamella_maps: MapSeries,
    volume: Volume,
    settled: Settled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reported: list[str],
) -> None:
    page = finish(dock, lamella_maps, volume)
    judge(dock, settled, 'fast (SIRT)')
    buttons = {button.text(): button for button in page.findChildren(QPushButton)}
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *a, **k: (str(tmp_path / 'cell'), 'Page (*.html)'))
    buttons['Write &report…'].click()
    settled(dock, timeout=180_000)
    assert reported == ['Report: done.']
    written = (tmp_path / 'cell.html').read_text(encoding='utf-8')
    assert f'{page.judged.consistency.misfit[0].mean():.2f}' in written and '<h2>Resolution</h2>' in written
    assert (tmp_path / 'cell.pdf').exists() and (tmp_path / 'cell_figures' / 'fsc.csv').exists()
    # A turn in ten frames: movies are looked at where they are made.
    monkeypatch.setattr(movie, 'MovieSettings', partial(movie.MovieSettings, seconds=0.5, size=64))
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *a, **k: (str(tmp_path / 'cell.gif'), 'GIF (*.gif)'))
    buttons['Write m&ovie…'].click()
    settled(dock, timeout=180_000)
    assert (tmp_path / 'cell.gif').stat().st_size > 1000


def test_the_discs_of_directions_are_those_of_the_cones(
    dock: TomographyDock, lamella_maps: MapSeries, volume: Volume, settled: Settled
) -> None:
    page = finish(dock, lamella_maps, volume)
    judge(dock, settled, 'fast (SIRT)')
    assert page.directions.isVisibleTo(page) and len(page.directions.images) == 3
    found = page.judged.resolution
    values, measured = np.moveaxis(page.directions.images[0], -1, 0)
    middle, shells = values.shape[0] // 2, len(found.curves[0].frequency)
    # Half of Nyquist to the right, and as far up.
    step = round(middle / 2)
    shell = round(step / middle * shells) - 1
    assert values[middle, middle + step] == found.cones[0][found.directions.index(0.0)].correlation[shell]
    up = found.cones[0][found.directions.index(-90.0)].correlation[shell]
    assert values[middle + step, middle] == up == values[middle - step, middle]
    assert measured[middle, middle + step] and not measured[middle + step, middle]


def test_phases_that_are_a_choice_are_said_under_the_page(
    dock: TomographyDock, lamella_maps: MapSeries, settled: Settled
) -> None:
    steps = np.repeat(np.linspace(0.05, 0.95, 10), 4)
    share = 30 * np.broadcast_to(steps, (20, 20, 40)).astype(float)
    total = np.pad(np.full((14, 14, 40), 30.0), ((3, 3), (3, 3), (0, 0)))
    data = np.stack([share * (total > 0), total - share * (total > 0)]) + 0.01
    dock.runs.add(Volume(data, ('Ge', 'Te'), 1.0, recipe=None), 'gradual', shown=True)
    dock.stages.go_to(dock.judge_page)
    dock.judge_page.find_phases.click()
    settled(dock)
    assert [finding.about for finding in dock.judge_page.findings()] == ['number of phases']


def test_an_ome_zarr_that_is_dropped_on_the_dock_is_a_run(
    dock: TomographyDock, volume: Volume, settled: Settled, tmp_path: Path, reported: list[str]
) -> None:
    path = volume.save(tmp_path / 'cell.ome.zarr')
    dock.open_paths([str(path)])
    settled(dock)
    assert [run.title for run in dock.runs] == ['cell.ome'] and reported == []
    np.testing.assert_array_equal(dock.session.volume.data, volume.data)
    assert dock.session.volume.recipe == volume.recipe
