"""Files of the program can be dropped again, on the dock and on the canvas; what is refused is not kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: F401 -- the estimate of the memory would import it in the midst of another test's set-up
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_diptomo.align import Align
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import MapSeries, Recipe, Source, SpectralTiltSeries, Volume
from napari_diptomo.spectra import EDXMaps
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.open_dock import NAME, open_dock
from napari_diptomo.widgets.tasks.opening import look_over

Settled = Callable[..., None]


def drop(dock: TomographyDock, *paths: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    no_keys, left = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    dock.dropEvent(QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, mime, left, no_keys))


def made() -> Volume:
    data = np.random.default_rng(0).random((2, 6, 16, 16)).astype(np.float32)
    scores = {'iteration': [1.0, 2.0], 'validation': [1.2, 1.1], 'data': [1.1, 0.9]}
    return Volume(data, ('Ge', 'Te'), 2.0, scores=scores, recipe=Recipe().then(SIRT(iterations=5)))


def test_a_recipe_sets_the_pages(dock: TomographyDock, maps: MapSeries, tmp_path: Path, reported: list[str]) -> None:
    dock.open_page.done(look_over(maps))
    steps = (EDXMaps(elements=('Ge', 'Te')), Align(rounds=7), SIRT(iterations=77))
    recipe = Recipe(steps=steps)
    recipe.save(tmp_path / 'sirt.json')
    drop(dock, tmp_path / 'sirt.json')
    assert reported == []
    assert dock.reconstruct_page.step() == SIRT(iterations=77)
    assert dock.align_page.form.value() == Align(rounds=7)
    assert 'sirt.json: its steps are set on the pages' in dock.run_bar.status.text()
    assert not dock.session.busy, 'nothing is run'


def test_the_files_of_a_recipe_are_listed_and_not_read(
    dock: TomographyDock, maps: MapSeries, tmp_path: Path, settled: Settled
) -> None:
    maps.save(tmp_path / 'maps.hspy')
    Recipe(Source(paths=('maps.hspy',)), (SIRT(iterations=8),)).save(tmp_path / 'r.json')
    drop(dock, tmp_path / 'r.json')
    assert dock.stages.current is dock.open_page
    assert dock.open_page.source().paths == (str(tmp_path / 'maps.hspy'),)
    assert 'Press Open to read its files' in dock.run_bar.status.text()
    assert not dock.session.busy and dock.session.maps is None
    dock.run_bar.run_button.click()
    settled(dock)
    assert np.array_equal(dock.session.maps.data, maps.data)
    dock.stages.go_to(dock.reconstruct_page)
    assert dock.reconstruct_page.step() == SIRT(iterations=8)


def test_elements_of_a_recipe_wait_for_the_series(dock: TomographyDock, tmp_path: Path) -> None:
    from napari_diptomo.simulate import edx_tilt_series, lamella

    Recipe(Source(paths=('gone.bcf',)), (EDXMaps(elements=('Te',), holdout=0.25),)).save(tmp_path / 'r.json')
    drop(dock, tmp_path / 'r.json')
    assert 'gone.bcf' in dock.run_bar.status.text()
    series: SpectralTiltSeries = edx_tilt_series(
        lamella(16), np.arange(-30.0, 31.0, 10.0), peak_counts=60, seed=1
    ).series
    dock.open_page.done(look_over(series))
    dock.stages.go_to(dock.maps_page)
    assert dock.maps_page.picker.elements() == ('Te',)
    assert dock.maps_page.form.value().holdout == 0.25


@pytest.mark.parametrize('text', ['{', '{"a": 1}', '[1, 2]'])
def test_a_json_file_that_is_no_recipe_is_one_sentence(
    dock: TomographyDock, tmp_path: Path, reported: list[str], text: str
) -> None:
    (tmp_path / 'x.json').write_text(text)
    drop(dock, tmp_path / 'x.json')
    assert len(reported) == 1
    assert 'recipe' in reported[0]


def test_a_saved_volume_comes_back_as_a_run(
    dock: TomographyDock, viewer: ViewerModel, tmp_path: Path, settled: Settled, reported: list[str], qtbot: Any
) -> None:
    volume = made()
    volume.save(tmp_path / 'night.hspy')
    drop(dock, tmp_path / 'night.hspy')
    settled(dock)
    assert reported == []
    (run,) = dock.runs
    assert np.array_equal(run.volume.data, volume.data)
    assert dock.stages.current is dock.reconstruct_page
    table = dock.reconstruct_page.runs_list
    assert [table.item(0, column).text() for column in range(3)] == ['1', 'night', 'done']
    assert dock.reconstruct_page.convergence.isVisibleTo(dock)
    assert [layer.name for layer in viewer.layers] == ['Ge (night)', 'Te (night)']
    own = {layer.colormap.map(np.array([1.0])).tobytes() for layer in viewer.layers}
    assert len(own) == 2, 'in the colours of a run of this session'
    assert dock.stages.buttons[4].isEnabled()
    assert not dock.run_bar.run_button.isEnabled(), 'there are no maps to reconstruct'
    assert dock.open_page.source().paths == (), 'it is no file of a tilt series'


def test_a_volume_leaves_the_series_that_is_open(
    dock: TomographyDock, maps: MapSeries, tmp_path: Path, settled: Settled
) -> None:
    maps.save(tmp_path / 'maps.hspy')
    made().save(tmp_path / 'night.hspy')
    drop(dock, tmp_path / 'maps.hspy')
    settled(dock)
    drop(dock, tmp_path / 'night.hspy')
    settled(dock)
    assert [run.title for run in dock.runs] == ['night']
    assert np.array_equal(dock.session.maps.data, maps.data)
    assert dock.open_page.source().paths == (str(tmp_path / 'maps.hspy'),)
    assert dock.open_page.table.rowCount() == 7


def test_a_volume_that_was_dropped_before_the_dock_was_open_is_a_run(
    viewer: ViewerModel, last_used: Any, tmp_path: Path, qtbot: Any
) -> None:
    from dataclasses import replace

    from napari.layers import Layer

    from napari_diptomo._reader import read

    volume = replace(made(), std=np.full((2, 6, 16, 16), 0.5))
    for part in read(str(volume.save(tmp_path / 'v.hspy'))):
        viewer.add_layer(Layer.create(*part))
    dock = TomographyDock(viewer, last_used)
    qtbot.addWidget(dock)
    (run,) = dock.runs
    assert (run.title, run.status.value) == ('SIRT', 'done')
    assert np.array_equal(run.volume.data, volume.data)
    assert np.array_equal(run.volume.std, volume.std)
    assert len(viewer.layers) == 4
    dock.stages.go_to(dock.reconstruct_page)
    dock.reconstruct_page.runs_list.selectRow(0)
    assert dock.session.volume is run.volume
    assert len(viewer.layers) == 4
    dock.reconstruct_page.buttons['discard'].click()
    assert len(viewer.layers) == 0
    dock.cleanup()


def test_what_the_canvas_gets_goes_to_the_dock(make_napari_viewer: Any, tmp_path: Path, qtbot: Any) -> None:
    from napari_diptomo.widgets.session import session_of

    window = make_napari_viewer()
    Recipe(steps=(SIRT(iterations=9),)).save(tmp_path / 'r.json')
    made().save(tmp_path / 'v.hspy')
    window.open(str(tmp_path / 'r.json'), plugin='napari-diptomo')
    session = session_of(window)
    qtbot.waitUntil(lambda: session.dock_open, timeout=5_000)
    dock = open_dock(window)
    assert [name for name in window.window.dock_widgets if name.startswith('Tomography')] == [NAME]
    qtbot.waitUntil(lambda: 'r.json' in dock.run_bar.status.text(), timeout=5_000)
    window.open(str(tmp_path / 'v.hspy'), plugin='napari-diptomo')
    qtbot.waitUntil(lambda: len(dock.runs) == 1 and not dock.session.busy, timeout=30_000)
    assert len(window.layers) == 2
    autosave = dock.session.autosave
    with qtbot.waitSignal(autosave.saved, timeout=60_000):
        autosave.save_to(tmp_path / 'mine')
    dock.runs.discard()
    window.open(str(tmp_path / 'mine'), plugin='napari-diptomo')
    qtbot.waitUntil(lambda: len(dock.runs) == 1 and not dock.session.busy, timeout=30_000)
    assert [layer.metadata[KEY]['kind'] for layer in window.layers] == ['volume', 'volume']


def test_recipes_and_projects_are_ours_and_other_json_is_not(tmp_path: Path) -> None:
    from napari_diptomo._reader import get_reader, read

    Recipe().save(tmp_path / 'r.json')
    (tmp_path / 'other.json').write_text('{"a": 1}')
    (tmp_path / 'p').mkdir()
    (tmp_path / 'p' / 'project.json').write_text('{"napari-diptomo project": 1}')
    assert get_reader(str(tmp_path / 'r.json')) is read
    assert get_reader(str(tmp_path / 'p')) is read
    assert get_reader(str(tmp_path / 'p' / 'project.json')) is read
    assert get_reader(str(tmp_path / 'other.json')) is None


def test_a_volume_beside_the_data_does_not_block_the_folder(
    dock: TomographyDock, maps: MapSeries, tmp_path: Path, settled: Settled, reported: list[str]
) -> None:
    maps.save(tmp_path / 'maps.hspy')
    made().save(tmp_path / 'a volume.hspy')
    drop(dock, tmp_path)
    settled(dock)
    assert reported == []
    assert np.array_equal(dock.session.maps.data, maps.data)


def test_refused_files_are_not_kept(
    dock: TomographyDock, maps: MapSeries, tmp_path: Path, settled: Settled, reported: list[str]
) -> None:
    maps.save(tmp_path / 'maps.hspy')
    (tmp_path / 'broken.hspy').write_bytes(b'x')
    drop(dock, tmp_path / 'broken.hspy')
    settled(dock)
    assert len(reported) == 1
    drop(dock, tmp_path / 'maps.hspy')
    settled(dock)
    assert len(reported) == 1
    assert np.array_equal(dock.session.maps.data, maps.data)


def test_a_file_that_cannot_be_listed_leaves_the_list_as_it_was(dock: TomographyDock, tmp_path: Path) -> None:
    for angle in (-10, 0, 10):
        (tmp_path / f'{angle}.bcf').write_bytes(b'')
    dock.open_page.add_paths([str(tmp_path / f'{angle}.bcf') for angle in (-10, 0, 10)])
    dock.open_page.add_paths([str(tmp_path / 'gone.bcf')])
    assert 'gone.bcf' in dock.open_page.note.text()
    assert dock.open_page.table.rowCount() == 3
    assert dock.run_bar.run_button.isEnabled()


def test_what_is_dropped_after_a_series_was_opened_replaces_it(
    dock: TomographyDock, maps: MapSeries, tmp_path: Path, settled: Settled, reported: list[str]
) -> None:
    from dataclasses import replace

    maps.save(tmp_path / 'one.hspy')
    replace(maps, data=2 * maps.data).save(tmp_path / 'two.hspy')
    for name, factor in (('one', 1), ('two', 2)):
        drop(dock, tmp_path / f'{name}.hspy')
        settled(dock)
        assert np.array_equal(dock.session.maps.data, factor * maps.data)
    assert reported == []
