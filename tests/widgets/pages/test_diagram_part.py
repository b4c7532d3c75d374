"""The diagram of the voxels on the page Composition, driven with the mouse: regions become labels, voxels become marks."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton

from napari_diptomo.assess import TernaryPoints, on_plane, triangle_of
from napari_diptomo.series import Recipe, Volume
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.selected_voxels import SelectedVoxels
from napari_diptomo.widgets.plots.ternary_plot import DIVISIONS, rounded_circle
from napari_diptomo.widgets.tasks.composition_diagram import describe_points

Settled = Callable[..., None]
WEIGHTS = {'Ge': 72.63, 'Sb': 121.76, 'Te': 127.60, 'O': 16.0}
K = {'Ge': 1.32, 'Sb': 1.0, 'Te': 1.2, 'O': 1.5}
CORE, SHELL = np.array([2, 2, 5]) / 9, np.array([0, 2, 3]) / 5
LINES = {'Ge': 'Ge_K', 'Sb': 'Sb_L', 'Te': 'Te_L', 'O': 'O_K'}
SHIFT, NONE = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.NoModifier


def of(names: tuple[str, ...], core: np.ndarray, shell: np.ndarray) -> Volume:
    """A core in its shell, counts in each that give these atoms; not cubic, so that axes cannot be mistaken."""
    data = np.zeros((len(names), 8, 12, 16), np.float32)
    for index, name in enumerate(names):
        data[index, 1:7, 1:11, 1:15] = 40 * shell[index] * WEIGHTS[name] / K[name] / 100
        data[index, 2:6, 3:9, 4:11] = 40 * core[index] * WEIGHTS[name] / K[name] / 100
    notes = {'lines': {name: LINES[name] for name in names}, 'tilts': 17, 'max_tilt': [-40.0, 40.0]}
    return Volume(data, names, 2.0, notes=notes, recipe=Recipe())


@pytest.fixture
def volume() -> Volume:
    return of(('Ge', 'Sb', 'Te'), CORE, SHELL)


@pytest.fixture
def core(volume: Volume) -> np.ndarray:
    mask = np.zeros(volume.data.shape[1:], bool)
    mask[2:6, 3:9, 4:11] = True
    return mask


@pytest.fixture
def compute(dock: TomographyDock, settled: Settled, qtbot: Any) -> Callable[[Volume], Any]:
    """Gives the diagram of the composition of a volume, with the k-factors above and unsmoothed."""

    def compute_composition(volume: Volume, unit: str = 'at.%') -> Any:
        dock.session.set_result(volume)
        page = dock.composition_page
        dock.stages.buttons[4].click()
        qtbot.waitUntil(lambda: bool(page.factors_note.text()) and not page._asker.busy, timeout=60_000)
        page.form.fields['smooth'].value = 0.0
        page.form.fields['largest_error'].value = 1.0
        page.form.fields['unit'].value = unit
        qtbot.waitUntil(lambda: not page._asker.busy, timeout=60_000)
        for row, name in enumerate(volume.channels):
            page.factors.item(row, 2).setText(str(K[name]))
        dock.run_bar.run_button.click()
        settled(dock)
        dock.resize(430, 640)
        dock.show()
        ready(page.diagram, qtbot)
        return page.diagram

    return compute_composition


def ready(diagram: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not diagram.busy, timeout=20_000)


def drag(plot: Any, way: np.ndarray, keys: Qt.KeyboardModifier = NONE) -> None:
    """Press the left button at the first of these points (point, 2) of a plot, move along the others, let go."""
    widget = plot.viewport()
    # A plot that has just come into sight is laid out.
    QTest.qWait(50)
    points = [QPointF(plot.mapFromScene(plot.box.mapViewToScene(QPointF(*point)))) for point in way]
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

    def send(kind: QEvent.Type, at: QPointF, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        event = QMouseEvent(kind, at, QPointF(widget.mapToGlobal(at.toPoint())), button, held, keys)
        QApplication.sendEvent(widget, event)
        # Plots look at the mouse a hundred times a second at most.
        QTest.qWait(20)

    send(QEvent.Type.MouseMove, points[0], none, none)
    send(QEvent.Type.MouseButtonPress, points[0], left, left)
    for point in points[1:]:
        send(QEvent.Type.MouseMove, point, none, left)
    send(QEvent.Type.MouseButtonRelease, points[-1], left, none)


def circle_at(diagram: Any, shares: np.ndarray, radius: float, qtbot: Any, keys: Qt.KeyboardModifier = NONE) -> None:
    """Drag a circle from its middle to the right, slowly."""
    start = on_plane(np.asarray(shares, float))
    drag(diagram.ternary, start + np.outer(np.linspace(0, radius, 6), [1, 0]), keys)
    ready(diagram, qtbot)


def labels_of(viewer: ViewerModel) -> Labels:
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    return layer


def row(table: Any, number: int) -> list[str]:
    return [table.item(number, column).text() for column in range(table.columnCount())]


def test_there_is_no_diagram_until_there_is_a_composition(
    dock: TomographyDock, volume: Volume, compute: Callable[[Volume], Any]
) -> None:
    diagram = dock.composition_page.diagram
    assert not diagram.isVisibleTo(dock.composition_page)
    compute(volume)
    assert diagram.isVisibleTo(dock.composition_page) and diagram.ternary.isVisibleTo(diagram)
    assert not diagram.table.isVisibleTo(diagram)
    dock.session.renewed.emit()
    assert not diagram.isVisibleTo(dock.composition_page)


def test_a_circle_about_the_core_gives_its_voxels_as_labels(
    viewer: ViewerModel,
    volume: Volume,
    core: np.ndarray,
    compute: Callable[[Volume], Any],
    qtbot: Any,
    reported: list[str],
) -> None:
    diagram = compute(volume)
    counts = diagram.ternary.counts
    assert counts[triangle_of(CORE, DIVISIONS)] == core.sum() == 168
    circle_at(diagram, CORE, 0.06, qtbot)
    layer = labels_of(viewer)
    np.testing.assert_array_equal(layer.data, core)
    radius = 100 * diagram.regions[0].shape.radius
    assert radius == pytest.approx(6, abs=0.6)
    assert layer.name == f'Selected: Ge 22 Sb 22 Te 56 ± {radius:.2g} at.%'
    assert tuple(layer.scale) == (2.0, 2.0, 2.0) and tuple(layer.translate) == (-7.0, 0.0, 0.0)
    shown = row(diagram.table, 0)
    assert shown[:3] == ['1', '168', '1340']
    assert [float(text.split(' ± ')[0]) for text in shown[3:]] == pytest.approx(100 * CORE, abs=0.11)
    assert f'Te 56 ± {radius:.2g} at.%: 168 voxels, 1340 nm³' in diagram.table.item(0, 0).toolTip()
    # The label that is chosen is marked where its voxels are.
    np.testing.assert_allclose(diagram.ternary.marked('label'), CORE, atol=1e-3)
    assert reported == []


def test_a_second_circle_replaces_the_first_and_with_shift_joins_it(
    viewer: ViewerModel, volume: Volume, core: np.ndarray, compute: Callable[[Volume], Any], qtbot: Any
) -> None:
    diagram = compute(volume)
    circle_at(diagram, CORE, 0.06, qtbot)
    circle_at(diagram, SHELL, 0.05, qtbot)
    shell = (volume.data.sum(axis=0) > 0) & ~core
    np.testing.assert_array_equal(labels_of(viewer).data, shell)
    assert diagram.table.rowCount() == 1
    labels_of(viewer).opacity = 0.3
    circle_at(diagram, CORE, 0.06, qtbot, SHIFT)
    layer = labels_of(viewer)
    np.testing.assert_array_equal(layer.data, shell + 2 * core)
    assert layer.opacity == 0.3 and layer.selected_label == 2
    assert re.fullmatch(r'Selected: 1 Ge 0 Sb 40 Te 60 ± [\d.]+ at.%, 2 Ge 22 Sb 22 Te 56 ± [\d.]+ at.%', layer.name)
    assert [row(diagram.table, number)[1] for number in range(2)] == [str(shell.sum()), '168']
    layer.selected_label = 1
    np.testing.assert_allclose(diagram.ternary.marked('label'), SHELL, atol=1e-3)
    viewer.layers.remove(layer)
    assert diagram.regions == [] and not diagram.table.isVisibleTo(diagram)


def test_a_voxel_has_one_label_and_the_table_is_that_of_the_labels(
    viewer: ViewerModel, volume: Volume, core: np.ndarray, compute: Callable[[Volume], Any], qtbot: Any
) -> None:
    diagram = compute(volume)
    middle = (CORE + SHELL) / 2
    circle_at(diagram, middle, 0.3, qtbot)
    specimen = (volume.data.sum(axis=0) > 0).astype(int)
    np.testing.assert_array_equal(labels_of(viewer).data, specimen)
    circle_at(diagram, CORE, 0.06, qtbot, SHIFT)
    np.testing.assert_array_equal(labels_of(viewer).data, specimen + core)
    assert [row(diagram.table, number)[1] for number in range(2)] == [str(specimen.sum() - core.sum()), str(core.sum())]
    assert float(diagram.table.item(0, 3).text().split(' ± ')[0]) == pytest.approx(0, abs=0.1)
    # The second region is replaced by one elsewhere, and the first has its voxels again.
    circle_at(diagram, SHELL, 0.05, qtbot)
    np.testing.assert_array_equal(labels_of(viewer).data, 2 * specimen - core)
    # One that covers all leaves nothing of the others.
    circle_at(diagram, middle, 0.3, qtbot, SHIFT)
    assert diagram.table.rowCount() == 1
    np.testing.assert_array_equal(labels_of(viewer).data, specimen)


def test_an_outline_selects_what_it_goes_round(
    viewer: ViewerModel, volume: Volume, core: np.ndarray, compute: Callable[[Volume], Any], qtbot: Any
) -> None:
    diagram = compute(volume)
    diagram.tool.setCurrentText('outline')
    corners = np.array([[0.12, 0.12, 0.76], [0.12, 0.4, 0.48], [0.4, 0.3, 0.3], [0.35, 0.1, 0.55]])
    drag(diagram.ternary, on_plane(corners.T).T)
    ready(diagram, qtbot)
    np.testing.assert_array_equal(labels_of(viewer).data, core)
    assert re.fullmatch(r'Selected: outline in Ge 12-40 Sb (9|10)-40 Te (29|30)-7[67] at.%', labels_of(viewer).name)


def test_a_region_without_voxels_is_one_sentence_and_changes_nothing(
    viewer: ViewerModel, volume: Volume, compute: Callable[[Volume], Any], qtbot: Any
) -> None:
    diagram = compute(volume)
    circle_at(diagram, np.array([0.8, 0.1, 0.1]), 0.05, qtbot)
    assert re.fullmatch(
        r'No voxel lies in Ge 80 Sb 10 Te 10 ± [\d.]+ at.%; draw where the diagram has some.', diagram.hint.text()
    )
    assert not any(isinstance(layer, Labels) for layer in viewer.layers)


@pytest.mark.parametrize('transposed', [False, True])
def test_the_voxel_under_the_pointer_is_marked(
    viewer: ViewerModel, volume: Volume, compute: Callable[[Volume], Any], transposed: bool
) -> None:
    diagram = compute(replace(volume, transposed=transposed))
    viewer.dims.ndisplay = 2

    def point_at(z: int, y: int, x: int) -> Any:
        row, column = (x, y) if transposed else (y, x)
        viewer.cursor.position = (2.0 * z - 7.0, 2.0 * row, 2.0 * column)
        return diagram.ternary.marked('voxel')

    np.testing.assert_allclose(point_at(3, 4, 10), CORE, atol=1e-3)
    np.testing.assert_allclose(point_at(3, 4, 13), SHELL, atol=1e-3)
    # Masked, outside, and in three dimensions, where the pointer is over many.
    assert point_at(0, 0, 0) is None
    assert point_at(3, 4, 10) is not None and point_at(3, 40, 10) is None
    assert point_at(3, 4, 10) is not None
    viewer.dims.ndisplay = 3
    assert diagram.ternary.marked('voxel') is None and point_at(3, 4, 11) is None


def test_labels_of_the_user_are_marked_where_they_fit(
    viewer: ViewerModel, volume: Volume, core: np.ndarray, compute: Callable[[Volume], Any]
) -> None:
    diagram = compute(volume)
    painted = np.where(core, 3, 0)
    layer = viewer.add_layer(Labels(painted, name='painted'))
    assert diagram.ternary.marked('label') is None
    layer.selected_label = 3
    np.testing.assert_allclose(diagram.ternary.marked('label'), CORE, atol=1e-3)
    viewer.add_layer(Labels(np.ones((3, 4, 5), int), name='of another volume'))
    assert diagram.ternary.marked('label') is None


def test_an_interval_of_a_histogram_gives_its_voxels(
    viewer: ViewerModel, volume: Volume, core: np.ndarray, compute: Callable[[Volume], Any], qtbot: Any
) -> None:
    diagram = compute(volume)
    assert [diagram.view.itemText(i) for i in range(diagram.view.count())] == [
        'ternary diagram', 'Ge at.%', 'Sb at.%', 'Te at.%', 'Ge counts', 'Sb counts', 'Te counts',
    ]  # fmt: skip
    choose(diagram, 'Ge at.%', qtbot)
    assert diagram.histogram.isVisibleTo(diagram) and not diagram.ternary.isVisibleTo(diagram)
    edges, counts = diagram.histogram.values.histogram()
    assert dict(zip(edges[:-1][counts > 0], counts[counts > 0], strict=True))[22.0] == 168
    low, high = diagram.histogram.box.viewRange()[1]
    drag(diagram.histogram, np.array([[23.5, high * 0.8], [20.0, high / 2], [16.0, (low + high) / 2]]))
    ready(diagram, qtbot)
    np.testing.assert_array_equal(labels_of(viewer).data, core)
    low, high = diagram.regions[0].shape.low, diagram.regions[0].shape.high
    assert (low, high) == pytest.approx((16, 23.5), abs=0.2)
    assert labels_of(viewer).name == f'Selected: Ge {low:g} to {high:g} at.%'
    viewer.dims.ndisplay = 2
    viewer.cursor.position = (-1.0, 8.0, 20.0)
    assert diagram.histogram.marked('voxel') == pytest.approx(200 / 9, abs=0.05)
    assert diagram.histogram.marked('label') == pytest.approx(200 / 9, abs=0.05)
    choose(diagram, 'Te counts', qtbot)
    assert diagram.histogram.values.unit == 'counts' and len(diagram.histogram.values.values) == 6 * 10 * 14
    choose(diagram, 'ternary diagram', qtbot)
    assert diagram.table.rowCount() == 1


def choose(diagram: Any, view: str, qtbot: Any) -> None:
    diagram.view.setCurrentText(view)
    diagram.view.activated.emit(diagram.view.currentIndex())
    ready(diagram, qtbot)


def test_of_two_elements_there_is_the_histogram(compute: Callable[[Volume], Any]) -> None:
    diagram = compute(of(('Sb', 'Te'), np.array([0.7, 0.3]), np.array([0.4, 0.6])))
    assert diagram.view.itemText(0) == 'Sb at.%' and diagram.histogram.isVisibleTo(diagram)
    assert 'A ternary diagram needs three elements; the composition has Sb and Te.' in diagram.note.text()


def test_of_four_elements_three_are_chosen_and_none_twice(compute: Callable[[Volume], Any], qtbot: Any) -> None:
    names = ('Ge', 'Sb', 'Te', 'O')
    diagram = compute(of(names, np.array([2, 2, 5, 1]) / 10, np.array([0, 2, 3, 5]) / 10))
    assert diagram.corners[0].isVisibleTo(diagram)
    assert [box.currentText() for box in diagram.corners] == ['Ge', 'Sb', 'Te']
    diagram.corners[0].setCurrentText('Te')
    diagram.corners[0].activated.emit(2)
    ready(diagram, qtbot)
    assert [box.currentText() for box in diagram.corners] == ['Te', 'Sb', 'Ge']
    diagram.corners[1].setCurrentText('O')
    diagram.corners[1].activated.emit(3)
    ready(diagram, qtbot)
    assert diagram.ternary.points.channels == ('Te', 'O', 'Ge')
    assert diagram.ternary.points.in_circle((3, 5, 0), 0.01).sum() == 6 * 10 * 14 - 168
    # Elements below each other, and nothing wider than the dock.
    circle_at(diagram, np.array([3, 5, 0]) / 8, 0.05, qtbot)
    circle_at(diagram, np.array([5, 1, 2]) / 8, 0.05, qtbot, SHIFT)
    table = diagram.table
    assert [table.item(number, 0).text() for number in range(6)] == [
        'Voxels', 'Volume nm³', 'Ge at.%', 'Sb at.%', 'Te at.%', 'O at.%',
    ]  # fmt: skip
    assert [table.horizontalHeaderItem(column).text() for column in range(3)] == ['Region', '1', '2']
    assert [table.item(0, column).text() for column in (1, 2)] == [str(6 * 10 * 14 - 168), '168']
    assert [float(table.item(number, 2).text().split(' ± ')[0]) for number in range(2, 6)] == pytest.approx(
        [20, 20, 50, 10], abs=0.1
    )
    assert diagram.minimumSizeHint().width() <= 400


def test_the_error_of_a_voxel_is_said_with_its_source(volume: Volume, compute: Callable[[Volume], Any]) -> None:
    diagram = compute(replace(volume, std=volume.data / 20))
    error = 100 * float(np.median(diagram.ternary.points.error))
    assert 1 < error < 5
    assert f'moves it by ± {error:.2g} at.% (median, from the spread of the volume)' in diagram.note.text()
    assert 'is noise, not a range of phases' in diagram.note.text()
    # Without a spread noise may be wider than what is known of it.
    diagram = compute(volume)
    assert re.search(r'by at least ± [\d.]+ at.% \(median, counting statistics alone\)', diagram.note.text())
    assert 'a wider one may be as well' in diagram.note.text()


def test_regions_are_saved_as_a_table_and_as_labels(
    dock: TomographyDock,
    viewer: ViewerModel,
    volume: Volume,
    core: np.ndarray,
    compute: Callable[[Volume], Any],
    settled: Settled,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reported: list[str],
) -> None:
    diagram = compute(volume)
    circle_at(diagram, CORE, 0.06, qtbot)
    save = next(button for button in diagram.findChildren(QPushButton) if button.text() == 'Save regions…')
    for name, kind in (('cell', 'Table (*.csv)'), ('cell', 'Labels (*.tif)')):
        monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *a, n=name, k=kind: (str(tmp_path / n), k))
        save.click()
        settled(dock)
    (found,) = csv.DictReader((tmp_path / 'cell.csv').open(encoding='utf-8'))
    assert found['voxels'] == '168' and found['volume_nm3'] == '1344'
    assert found['selected_by'] == str(diagram.regions[0].shape)
    assert float(found['Te']) == pytest.approx(500 / 9, abs=0.05)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / 'cell.tif'), core)
    assert reported == ['Save regions: done.'] * 2


def test_another_composition_leaves_the_labels_and_begins_anew(
    viewer: ViewerModel, volume: Volume, compute: Callable[..., Any], qtbot: Any
) -> None:
    diagram = compute(volume)
    circle_at(diagram, CORE, 0.06, qtbot)
    diagram = compute(volume, 'wt.%')
    before = labels_of(viewer)
    assert not before.visible and diagram.regions == []
    assert 'wt.%' in diagram.view.itemText(1) and diagram.ternary.points.unit == 'wt.%'
    circle_at(diagram, np.array([0.15, 0.25, 0.6]), 0.3, qtbot)
    assert [layer.visible for layer in viewer.layers if isinstance(layer, Labels)] == [False, True]


def test_a_composition_of_a_file_has_the_means_of_its_voxels(
    dock: TomographyDock, viewer: ViewerModel, volume: Volume, compute: Callable[[Volume], Any], qtbot: Any
) -> None:
    compute(volume)
    made = dock.composition_page.result
    assert made is not None
    dock.session.composition = replace(made)
    dock.composition_page.show_again()
    diagram = dock.composition_page.diagram
    ready(diagram, qtbot)
    assert diagram.view.count() == 4
    circle_at(diagram, CORE, 0.06, qtbot)
    assert row(diagram.table, 0)[3:] == ['22.2', '22.2', '55.6']
    assert 'mean of the voxels Ge 22.2' in diagram.table.item(0, 0).toolTip()


def test_oxidation_states_have_histograms(
    dock: TomographyDock, viewer: ViewerModel, settled: Settled, qtbot: Any
) -> None:
    data = np.zeros((2, 6, 7, 8), np.float32)
    data[0, 1:5, 1:6, 1:4] = 30
    data[1, 1:5, 1:6, 4:7] = 30
    dock.session.set_result(Volume(data, ('FeO', 'Fe3O4'), 1.0, notes={'tilts': 9}, recipe=Recipe()))
    dock.stages.buttons[4].click()
    dock.run_bar.run_button.click()
    settled(dock)
    diagram = dock.composition_page.diagram
    ready(diagram, qtbot)
    assert 'fraction' in diagram.view.itemText(0) and diagram.histogram.isVisibleTo(diagram)
    assert 'three elements' not in diagram.note.text()


def test_a_layer_that_another_has_removed_is_no_concern(viewer: ViewerModel, volume: Volume) -> None:
    voxels = SelectedVoxels(viewer)
    gone: list[bool] = []
    voxels.removed.connect(lambda: gone.append(True))
    voxels.show(np.ones(volume.data.shape[1:], int), {1: 'all'}, ['#00e100'], volume)
    other = viewer.add_layer(Labels(np.ones((2, 2), int)))
    viewer.layers.remove(other)
    assert gone == []
    voxels.remove()
    assert gone == [] and len(viewer.layers) == 0
    voxels.cleanup()


def test_a_circle_is_what_its_name_says() -> None:
    middle, radius = rounded_circle(on_plane(CORE), on_plane(CORE) + np.array([0.0, 0.0513]))
    np.testing.assert_allclose(middle, [0.22, 0.22, 0.56])
    assert radius == pytest.approx(0.05)
    # From beyond a corner, and where rounding would leave -1 %.
    np.testing.assert_allclose(rounded_circle(np.array([0.5, 0.95]), np.zeros(2))[0], [1, 0, 0])
    middle, _ = rounded_circle(on_plane(np.array([0.005 + 1e-9, 0.995 - 1e-9, 0.0])), np.zeros(2))
    assert middle.min() >= 0 and middle.sum() == pytest.approx(1)


def test_in_a_window_the_pointer_over_a_slice_is_marked(
    make_napari_viewer: Any,
    opened: Callable[[Any], Any],
    volume: Volume,
    settled: Settled,
    qtbot: Any,
    reported: list[str],
) -> None:
    # A window gives proxies of its layers: the composition did not survive them.
    viewer = make_napari_viewer(show=True)
    dock = opened(viewer)
    dock.session.set_result(volume)
    dock.stages.buttons[4].click()
    page = dock.composition_page
    qtbot.waitUntil(lambda: bool(page.factors_note.text()) and not page._asker.busy, timeout=60_000)
    page.form.fields['smooth'].value = 0.0
    page.form.fields['largest_error'].value = 1.0
    for number, name in enumerate(volume.channels):
        page.factors.item(number, 2).setText(str(K[name]))
    dock.run_bar.run_button.click()
    settled(dock)
    ready(page.diagram, qtbot)
    assert reported == [] and page.result_box.isVisibleTo(page)
    circle_at(page.diagram, CORE, 0.06, qtbot)
    assert page.diagram.table.item(0, 1).text() == '168'
    viewer.dims.ndisplay = 2
    viewer.dims.set_point(0, 0.0)
    viewer.reset_view()
    QTest.qWait(200)
    canvas = viewer.window._qt_viewer.canvas.native

    def point_at(y: int, x: int) -> Any:
        off = (np.array([2.0 * y, 2.0 * x]) - np.asarray(viewer.camera.center)[-2:]) * viewer.camera.zoom
        at = QPointF(canvas.width() / 2 + off[1], canvas.height() / 2 + off[0])
        none = Qt.MouseButton.NoButton
        where = QPointF(canvas.mapToGlobal(at.toPoint()))
        QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, at, where, none, none, NONE))
        QTest.qWait(50)
        return page.diagram.ternary.marked('voxel')

    np.testing.assert_allclose(point_at(6, 7), CORE, atol=1e-3)
    np.testing.assert_allclose(point_at(9, 13), SHELL, atol=1e-3)
    # As the marks do, the status bar over the labels says the composition.
    np.testing.assert_allclose(page.diagram.ternary.marked('label'), CORE, atol=1e-3)
    status = viewer.layers.selection.active.get_status((0.0, 12.0, 14.0), dims_displayed=[1, 2], world=True)
    assert 'Ge 22.2 ±' in status['coordinates'] and 'Te 55.6 ±' in status['coordinates']


def test_a_layer_that_was_painted_in_is_the_users(
    viewer: ViewerModel, volume: Volume, core: np.ndarray, compute: Callable[[Volume], Any], qtbot: Any
) -> None:
    diagram = compute(volume)
    circle_at(diagram, CORE, 0.06, qtbot)
    painted = labels_of(viewer)
    painted.paint((0, 0, 0), 7)
    assert painted.data[0, 0, 0] == 7
    circle_at(diagram, CORE, 0.06, qtbot)
    assert painted in viewer.layers and painted.data[0, 0, 0] == 7
    np.testing.assert_array_equal(viewer.layers[-1].data, core)
    diagram.clear_regions()
    assert labels_of(viewer) is painted


def test_the_plot_says_what_is_under_the_mouse(volume: Volume, compute: Callable[[Volume], Any]) -> None:
    plot = compute(volume).ternary

    def hover(shares: np.ndarray) -> str:
        QTest.qWait(50)
        at = QPointF(plot.mapFromScene(plot.box.mapViewToScene(QPointF(*on_plane(shares)))))
        none, widget = Qt.MouseButton.NoButton, plot.viewport()
        where = QPointF(widget.mapToGlobal(at.toPoint()))
        QApplication.sendEvent(widget, QMouseEvent(QEvent.Type.MouseMove, at, where, none, none, NONE))
        return plot.readout.textItem.toPlainText()

    assert hover(CORE) == 'Ge 22\nSb 22\nTe 56\n168 voxels'
    assert hover(np.array([0.7, 0.2, 0.1])) == 'Ge 70\nSb 20\nTe 10\n0 voxels'
    assert hover(np.array([0.7, -0.2, 0.5])) == ''


def test_what_lies_where_by_convention_is_said() -> None:
    points = TernaryPoints(
        ('Ge', 'Sb', 'Te'), 'at.%', np.ones((1, 1, 4), bool), np.full((3, 4), 1 / 3), np.full(4, 0.031), 1, 7
    )
    result = Volume(
        np.ones((3, 1, 1, 4)), ('Ge', 'Sb', 'Te'), notes={'composition': {'errors': 'spread of the volume'}}
    )
    assert describe_points(points, result) == (
        "4 voxels. A single voxel's error moves it by ± 3.1 at.% (median, from the spread of the volume): a cloud no wider than "
        'this is noise, not a range of phases. 25 % of them lie on a side because a negative percentage counts as none. '
        '7 voxels with less than a tenth of Ge, Sb, Te are left out.'
    )
    assert describe_points(replace(points, error=np.full(4, np.nan), moved=0, left_out=0), result) == '4 voxels.'
