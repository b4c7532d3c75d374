"""A HAADF series in the dock: opened with real clicks, shown, aligned, fitted in a child process, compared with and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_diptomo import SIRT, DIPmTV, MapSeries, PoissonEM, TotalVariation, simulate
from napari_diptomo.reconstruct import Reconstruction
from napari_diptomo.series import Source
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.haadf_layer import haadf_layer
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.run import Run

Settled = Callable[..., None]
ANGLES, TILTS = np.arange(-40.0, 41.0, 20.0), np.arange(-70.0, 71.0, 14.0)
TEXT = ', '.join(f'{angle:g}' for angle in TILTS)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of three elements as .tif, and beside them a folder with images of half the pixel size."""
    import tifffile

    folder = tmp_path_factory.mktemp('haadf')
    phantom = simulate.lamella(16)
    maps = simulate.tilt_series(phantom, ANGLES).maps

    def write(path: Path, images: np.ndarray, pixel: float) -> None:
        resolution = (1 / pixel, 1 / pixel)
        tifffile.imwrite(path, images, imagej=True, resolution=resolution, metadata={'axes': 'ZYX', 'unit': 'nm'})

    (folder / 'maps').mkdir()
    for name, stack in zip(maps.channels, maps.data, strict=True):
        write(folder / 'maps' / f'{name}.tif', stack, 2.0)
    (folder / 'haadf').mkdir()
    images = haadf_series(phantom, TILTS, HAADFModel(), seed=1).images
    write(folder / 'haadf' / 'HAADF.tif', np.repeat(np.repeat(images, 2, axis=1), 2, axis=2), 1.0)
    return folder


def drop(widget: Any, *paths: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    point = QPointF(widget.rect().center())
    no = Qt.KeyboardModifier.NoModifier
    widget.dropEvent(QDropEvent(point, Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, no))


def open_both(dock: TomographyDock, folder: Path, qtbot: Any, settled: Settled) -> None:
    page = dock.open_page
    page.add_paths([str(path) for path in sorted((folder / 'maps').iterdir())])
    page.table.set_angles(ANGLES)
    drop(page.haadf, folder / 'haadf' / 'HAADF.tif')
    qtbot.keyClicks(page.haadf.angles.native, TEXT)
    qtbot.keyClick(page.haadf.angles.native, Qt.Key.Key_Return)
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    settled(dock)


def run_with_and_without(dock: TomographyDock, qtbot: Any, settled: Settled) -> tuple[Run, Run]:
    """The method that is chosen, run with the images and, by the button that offers it, without."""
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    settled(dock, timeout=120_000)
    (first,) = dock.runs
    # It reached the process that computes.
    assert first.volume is not None
    assert len(first.volume.notes['haadf']['weights']) == 3
    button = dock.reconstruct_page.haadf_button
    assert (button.isHidden(), button.text()) == (False, 'Run without HAADF to compare')
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settled(dock, timeout=120_000)
    _, second = dock.runs
    assert 'haadf' not in second.volume.notes
    return first, second


def test_opened_and_shown(
    dock: TomographyDock, viewer: ViewerModel, folder: Path, qtbot: Any, settled: Settled
) -> None:
    open_both(dock, folder, qtbot, settled)
    series = dock.session.maps.haadf_series
    np.testing.assert_array_equal(series.angles, TILTS)
    assert series.pixel_size == pytest.approx(1.0)
    words = 'HAADF series: 11 images from -70° to 70°, 6 of them at tilts beyond the spectra; 32 x 32 pixels of 1 nm'
    assert words in dock.open_page.opened.text()
    (layer,) = [layer for layer in viewer.layers if layer.metadata[KEY]['kind'] == 'haadf']
    assert not layer.visible
    assert layer not in viewer.layers.selection
    assert layer.data.shape == (11, 1, 32, 32)
    # Both have one middle, and the slider is at the angle.
    maps_layer = next(layer for layer in viewer.layers if layer.metadata[KEY]['kind'] == 'maps')
    middles = [one.data_to_world([(size - 1) / 2 for size in one.data.shape]) for one in (layer, maps_layer)]
    np.testing.assert_allclose(middles[0], middles[1], atol=1e-6)
    viewer.dims.set_point(0, 56.0)
    assert viewer.canvas.overlays.text.text == 'tilt 56°'
    viewer.dims.set_point(0, 20.0)
    assert viewer.canvas.overlays.text.text == 'tilt 20°'


def test_ticks_and_clearing(dock: TomographyDock, folder: Path, qtbot: Any, settled: Settled) -> None:
    open_both(dock, folder, qtbot, settled)
    page = dock.open_page
    before = dock.session.maps.haadf_series
    page.table.set_unused((0,))
    page._ticked()
    assert len(dock.session.maps.angles) == 4
    assert dock.session.maps.haadf_series is before
    qtbot.mouseClick(page.haadf.forget, Qt.MouseButton.LeftButton)
    assert page.source().haadf == ()
    assert 'Changed since it was opened' in page.opened.text()
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    settled(dock)
    assert dock.session.maps.haadf_series is None


def test_the_orientation_is_opened_with_and_kept(
    dock: TomographyDock, folder: Path, qtbot: Any, settled: Settled
) -> None:
    open_both(dock, folder, qtbot, settled)
    before = dock.session.maps.haadf_series.images
    beside = dock.open_page.haadf
    assert not beside.orientation_row.isHidden()
    beside.orientation.native.setCurrentText('turn left')
    assert 'Changed since it was opened' in dock.open_page.opened.text()
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    settled(dock)
    np.testing.assert_array_equal(dock.session.maps.haadf_series.images, np.rot90(before, 1, (1, 2)))
    source = dock.open_page.source()
    assert source.haadf_orientation == 'turn left'
    beside.clear()
    assert (beside.orientation.value, beside.orientation_row.isHidden()) == ('as recorded', True)
    beside.set_values(source)
    assert beside.values()['haadf_orientation'] == 'turn left'


def test_bad_input_is_one_sentence(
    dock: TomographyDock, folder: Path, qtbot: Any, settled: Settled, reported: list[str]
) -> None:
    page = dock.open_page
    page.add_paths([str(path) for path in sorted((folder / 'maps').iterdir())])
    page.table.set_angles(ANGLES)
    page.haadf.add_paths([str(folder / 'haadf')])
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    settled(dock)
    assert len(reported) == 1
    assert reported[0].startswith('HAADF series: No tilt angles were found for the 11 images of HAADF.tif')
    np.testing.assert_array_equal(page.table.angles(), ANGLES)
    page.haadf.angles.native.setText('zero')
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    assert '"zero" is not a list of numbers' in reported[-1]


def test_images_recorded_with_the_spectra(
    dock: TomographyDock,
    maps: MapSeries,
    folder: Path,
    qtbot: Any,
    settled: Settled,
    tmp_path: Path,
    reported: list[str],
) -> None:
    from dataclasses import replace

    page = dock.open_page
    saved = replace(maps, haadf=maps.data.sum(axis=0)).save(tmp_path / 'maps.hspy')
    page.add_paths([str(saved)])
    page.haadf.own.click()
    assert page.source().own_haadf
    assert page.haadf.add.isHidden()
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    settled(dock)
    np.testing.assert_array_equal(dock.session.maps.haadf_series.images, maps.data.sum(axis=0))
    assert dock.session.maps.recipe.source.own_haadf
    page.clear()
    assert page.source() == Source()
    page.add_paths([str(maps.save(tmp_path / 'without.hspy'))])
    page.haadf.own.click()
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    settled(dock)
    assert reported[-1].startswith('No images were recorded with the spectra')


def test_a_recipe_and_a_dock_that_is_opened_again_set_it(
    dock: TomographyDock, folder: Path, qtbot: Any, settled: Settled
) -> None:
    open_both(dock, folder, qtbot, settled)
    page = dock.open_page
    source, state, text = page.source(), page.state(), page.opened.text()
    page.set_state(state)
    assert (page.source(), page.opened.text()) == (source, text)
    page._describe_opened()
    assert 'Changed since' not in page.opened.text()
    page.clear()
    assert page.take_source(source)
    assert page.source().haadf == source.haadf
    assert page.source().haadf_angles == tuple(TILTS)


def test_aligned_fitted_and_compared(
    dock: TomographyDock, viewer: ViewerModel, folder: Path, qtbot: Any, settled: Settled
) -> None:
    open_both(dock, folder, qtbot, settled)
    page = dock.reconstruct_page
    step = DIPmTV(preset='fast', iterations=10, widths=(8, 8), skips=(2, 2))
    dock.stages.go_to(page)
    assert 'not yet in the frame of the maps' in page.haadf.text()
    dock.stages.go_to(dock.align_page)
    qtbot.mouseClick(dock.run_bar.run_button, Qt.MouseButton.LeftButton)
    settled(dock)
    shown = [row.text.text() for row in dock.findings.rows]
    assert any('The 11 images of the HAADF series are aligned' in text for text in shown), shown
    dock.stages.go_to(page)
    form = page.forms[step.title]
    form.set_value(step)
    assert page.haadf.text().startswith('HAADF series: 11 images from -70° to 70°')
    assert page.haadf.text().endswith('in the frame of the maps.')
    assert not form.fields['haadf'].native.isHidden()
    for method in ('SIRT', 'Poisson EM'):
        page.method.setCurrentText(method)
        assert not page.haadf.isHidden() and not page.forms[method].fields['haadf'].native.isHidden()
    page.method.setCurrentText(step.title)
    first, second = run_with_and_without(dock, qtbot, settled)
    button = page.haadf_button
    assert second.title == 'DIPm-TV without HAADF'
    assert second.recipe.steps[-1].haadf is False
    # There is the other run already.
    assert button.isHidden()
    assert 'Run 1 (DIPm-TV) is the same with HAADF series: misfit of the held-out counts' in page.note.text()
    assert sum(layer.metadata[KEY]['kind'] == 'volume' for layer in viewer.layers) == 6
    dock.runs.discard(first)
    assert (button.isHidden(), button.text()) == (False, 'Run with HAADF to compare')


@pytest.mark.parametrize('step', [TotalVariation(iterations=20), SIRT(iterations=10), PoissonEM(iterations=10)])
def test_other_methods_take_the_series_too(
    dock: TomographyDock, folder: Path, qtbot: Any, settled: Settled, step: Reconstruction
) -> None:
    open_both(dock, folder, qtbot, settled)
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    page.method.setCurrentText(step.title)
    form = page.forms[step.title]
    form.set_value(step)
    assert not form.fields['haadf'].native.isHidden() and form.fields['haadf'].value is True
    assert not page.haadf.isHidden()
    _, second = run_with_and_without(dock, qtbot, settled)
    assert second.title == f'{step.title} without HAADF'
    # All counts are fitted: none to compare both by, but there is the other run.
    assert page.haadf_button.isHidden()
    assert f'Run 1 ({step.title}) is the same with HAADF series. Choose it' in page.note.text()


def test_without_a_series_nothing_is_asked(dock: TomographyDock, maps: MapSeries) -> None:
    from napari_diptomo.widgets.tasks.opening import look_over

    dock.open_page.done(look_over(maps))
    dock.stages.go_to(dock.reconstruct_page)
    page = dock.reconstruct_page
    assert page.haadf.isHidden()
    assert page.forms[DIPmTV.title].fields['haadf'].native.isHidden()
    assert page.forms[TotalVariation.title].fields['haadf'].native.isHidden()


def test_a_transposed_series_is_shown_as_recorded() -> None:
    from napari_diptomo import HAADFSeries

    images = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 4, 6)
    maps = MapSeries(np.ones((1, 3, 8, 10)), [-10, 0, 10], ('Ge',), 1.0, transposed=True)
    data, given, _ = haadf_layer(HAADFSeries(images, [-20, 0, 20], 2.0), maps)
    np.testing.assert_array_equal(data[:, 0], images.swapaxes(1, 2))
    # 10 x 8 pixels of 1 nm as shown, 6 x 4 of 2 nm: middles at 4.5 and 3.5 nm.
    assert given['translate'][2:] == (4.5 - 2.5 * 2, 3.5 - 1.5 * 2)
