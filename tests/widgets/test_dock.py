"""The pages of the dock, on a viewer without a window and without child processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import MapSeries, Recipe, SpectralTiltSeries, Volume, load
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.preferences import LastUsed
from napari_diptomo.widgets.tasks.opening import look_over

Settled = Callable[..., None]


def choose(dock: TomographyDock, step: Any) -> None:
    """Set the last page to this step."""
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    page.method.setCurrentText(step.title)
    page.forms[step.title].set_value(step)


def with_maps(dock: TomographyDock, maps: MapSeries) -> None:
    dock.open_page.done(look_over(maps))


@pytest.fixture
def series() -> SpectralTiltSeries:
    """Germanium in the middle, seven tilts, spectra of 10 eV channels."""
    from napari_diptomo.simulate import edx_tilt_series, lamella

    return edx_tilt_series(lamella(16), np.arange(-30.0, 31.0, 10.0), peak_counts=60, seed=1).series


def test_an_empty_dock_says_what_to_do(dock: TomographyDock) -> None:
    assert dock.stages.current is dock.open_page
    assert not dock.run_bar.run_button.isEnabled()
    assert 'Add the files' in dock.run_bar.status.text()
    assert [button.isEnabled() for button in dock.stages.buttons] == [True, False, False, False, False, False]
    assert 'Open a tilt series first' in dock.stages.buttons[1].toolTip()
    assert 'Maps is closed' in dock.stages.why.text()


def test_the_sample_which_nobody_has_to_check_leads_on_to_the_maps(dock: TomographyDock, settled: Settled) -> None:
    dock.open_page._load_sample()
    settled(dock)
    assert dock.session.sample and dock.stages.current is dock.maps_page
    assert {'Ge', 'Sb', 'Te'} <= set(dock.maps_page.picker.chips)
    assert dock.run_bar.status.text() == 'Sample: done.'


def test_ready_maps_open_the_later_stages(dock: TomographyDock, maps: MapSeries, viewer: ViewerModel) -> None:
    with_maps(dock, maps)
    assert [button.isEnabled() for button in dock.stages.buttons] == [True, True, True, True, False, False]
    assert [layer.name for layer in viewer.layers] == ['Ge maps', 'Te maps']
    dock.stages.go_to(dock.open_page)
    assert dock.run_bar.status.text() == 'Already open: press Next, or add other files.'
    assert '7 tilts from -30° to 30°, steps of 10°, missing wedge 120°' in dock.open_page.opened.text()
    dock.stages.go_to(dock.maps_page)
    assert 'ready maps' in dock.run_bar.status.text()


def test_spectra_give_suggestions_maps_and_layers(
    dock: TomographyDock, series: SpectralTiltSeries, viewer: ViewerModel, settled: Settled
) -> None:
    dock.open_page.done(look_over(series))
    assert {'Ge', 'Te'} <= set(dock.maps_page.picker.chips)
    dock.stages.go_to(dock.maps_page)
    dock.maps_page.picker.set_elements(('Ge', 'Te'))
    dock.run_bar.run_button.click()
    settled(dock)
    assert dock.session.maps is not None
    assert dock.session.maps.channels == ('Ge', 'Te')
    assert [layer.name for layer in viewer.layers] == ['fit residual', 'Ge maps', 'Te maps']
    assert [layer.visible for layer in viewer.layers] == [False, True, True]
    assert viewer.layers[1].data.shape == (7, 1, 16, 16)
    assert 'Mean counts' in dock.maps_page.made.text()


def test_chips_and_text_say_the_same(dock: TomographyDock, series: SpectralTiltSeries) -> None:
    dock.open_page.done(look_over(series))
    picker = dock.maps_page.picker
    picker.set_elements(('Ge',))
    picker.chips['Te'].click()
    assert picker.elements() == ('Ge', 'Te')
    picker.chips['Ge'].click()
    assert picker.line.text() == 'Te'
    picker.line.setText('te; sb_L')
    assert picker.elements() == ('Te', 'Sb_L')


def test_an_element_without_a_line_is_one_sentence(
    dock: TomographyDock, series: SpectralTiltSeries, settled: Settled, reported: list[str]
) -> None:
    dock.open_page.done(look_over(series))
    dock.stages.go_to(dock.maps_page)
    dock.maps_page.picker.set_elements(('H', 'Te'))
    assert 'H has no X-ray line' in dock.maps_page.hint.text()
    dock.run_page()
    settled(dock)
    assert len(reported) == 1
    assert 'H has no X-ray line' in reported[0]
    dock.maps_page.picker.set_elements(('Te',))
    dock.run_page()
    settled(dock)
    assert dock.session.maps is not None


def test_a_corrupt_file_is_one_sentence(
    dock: TomographyDock, tmp_path: Path, settled: Settled, reported: list[str]
) -> None:
    for angle in (-10, 0, 10):
        (tmp_path / f'{angle}.bcf').write_bytes(b'AAMVHFSS' + bytes(3000))
    dock.open_paths([str(tmp_path)])
    assert dock.open_page.table.rowCount() == 3
    settled(dock)
    assert len(reported) == 1
    assert '.bcf' in reported[0]
    assert dock.run_bar.run_button.isEnabled()


def test_a_folder_without_data_is_one_sentence(dock: TomographyDock, tmp_path: Path) -> None:
    dock.open_paths([str(tmp_path)])
    assert 'No spectra and no maps were found' in dock.open_page.note.text()
    assert not dock.session.busy


def test_sources_of_angles_that_disagree_are_both_shown(dock: TomographyDock, tmp_path: Path) -> None:
    page = dock.open_page
    for angle in (-10, 0, 10):
        (tmp_path / f'{angle}.bcf').touch()
    (tmp_path / 'angles.txt').write_text('-10\n0\n35\n')
    page.add_paths([str(tmp_path)])
    assert 'table angles.txt (-10, 0, 35) and of the file names (-10, 0, 10) disagree' in page.note.text()
    assert page.table.angles() is None


def test_angles_can_be_corrected(dock: TomographyDock, tmp_path: Path) -> None:
    for angle in (-10, 0, 10):
        (tmp_path / f'{angle}.bcf').write_bytes(b'')
    page = dock.open_page
    page.add_paths([str(tmp_path)])
    assert 'file names' in page.note.text()
    assert page.source().angles is None
    page.table.item(0, 2).setText('-11.5')
    assert page.source().angles == (-11.5, 0.0, 10.0)
    assert [Path(path).name for path in page.source().paths] == ['-10.bcf', '0.bcf', '10.bcf']
    page.table.item(1, 2).setText('flat')
    assert '0.bcf has no tilt angle' in dock.run_bar.status.text()
    assert not dock.run_bar.run_button.isEnabled()


@pytest.mark.parametrize(
    ('name', 'dark', 'beam'), [('0.bcf', False, True), ('HAADF.tif', True, False), ('series.hspy', True, True)]
)
def test_only_questions_that_mean_something_for_the_files_are_asked(
    dock: TomographyDock, tmp_path: Path, name: str, dark: bool, beam: bool
) -> None:
    page = dock.open_page
    page._rows.setRowVisible(page.fields['dark_level'].native, True)
    page.fields['dark_level'].value = 7.0
    (tmp_path / name).touch()
    page.add_paths([str(tmp_path / name)])
    assert page._rows.isRowVisible(page.fields['dark_level'].native) is dark
    assert page._rows.isRowVisible(page.fields['beam_energy'].native) is beam
    assert page.source().dark_level == (7.0 if dark else None)


def test_the_estimate_names_memory_and_device(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    with_maps(dock, maps)
    dock.stages.go_to(dock.reconstruct_page)
    qtbot.waitUntil(lambda: 'Needs about' in dock.reconstruct_page.estimate.text(), timeout=30_000)
    assert 'torch' in dock.reconstruct_page.estimate.text()


def test_after_cleanup_the_viewer_is_let_go(dock: TomographyDock, maps: MapSeries, viewer: ViewerModel) -> None:
    with_maps(dock, maps)
    dock.cleanup()
    viewer.dims.set_current_step(0, 0)
    viewer.add_layer(viewer.layers[0].__class__(np.zeros((2, 2)), metadata={KEY: {'dropped': True, 'source': ['x']}}))
    assert len(viewer.layers) == 3


def test_parameters_are_remembered(
    dock: TomographyDock, maps: MapSeries, viewer: ViewerModel, last_used: LastUsed, qtbot: Any
) -> None:
    with_maps(dock, maps)
    choose(dock, SIRT(iterations=4))
    dock.reconstruct_page.job()
    dock.cleanup()
    again = TomographyDock(viewer, LastUsed(last_used._path))
    qtbot.addWidget(again)
    with_maps(again, maps)
    again.stages.go_to(again.reconstruct_page)
    assert again.reconstruct_page.step() == SIRT(iterations=4)
    again.cleanup()


def test_damaged_memories_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / 'last.json'
    path.write_text('{"SIRT": {"iterations": -3}}')
    assert LastUsed(path).step(SIRT) == SIRT()
    path.write_text('no json')
    assert LastUsed(path).step(SIRT) == SIRT()


def test_volume_and_recipe_are_saved(
    dock: TomographyDock, maps: MapSeries, settled: Settled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QFileDialog

    with_maps(dock, maps)
    recipe = Recipe().then(SIRT(iterations=2))
    volume = Volume(np.random.default_rng(0).random((2, 4, 16, 16)), ('Ge', 'Te'), 2.0, recipe=recipe)
    dock.session.set_result(volume)
    names = iter([tmp_path / 'v.hspy', tmp_path / 'r.json'])
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(next(names)), ''))
    dock.reconstruct_page._save_volume()
    settled(dock)
    dock.reconstruct_page._save_recipe()
    assert np.array_equal(load(tmp_path / 'v.hspy').data, volume.data)
    assert Recipe.load(tmp_path / 'r.json').steps == recipe.steps


def test_a_change_after_opening_is_not_silently_ignored(dock: TomographyDock, maps: MapSeries, tmp_path: Path) -> None:
    path = maps.save(tmp_path / 'maps.hspy')
    dock.open_page.add_paths([str(path)])
    with_maps(dock, maps)
    assert '7 tilts' in dock.open_page.opened.text()
    dock.open_page.fields['binning'].value = 2
    assert 'press Open' in dock.open_page.opened.text()


def test_unaligned_maps_are_remarked_on(dock: TomographyDock, maps: MapSeries) -> None:
    with_maps(dock, maps)
    dock.stages.go_to(dock.reconstruct_page)
    assert dock.reconstruct_page.unaligned.isVisibleTo(dock)
    dock.session.set_aligned(replace(maps, shifts=np.ones((7, 2))))
    assert not dock.reconstruct_page.unaligned.isVisibleTo(dock)


def test_damaged_spectra_can_be_looked_at_and_say_what_is_wrong(
    dock: TomographyDock, series: SpectralTiltSeries, settled: Settled, reported: list[str]
) -> None:
    dock.open_page.done(look_over(replace(series, energy_unit='')))
    dock.stages.go_to(dock.maps_page)
    assert 'keV' in dock.maps_page.hint.text()
    dock.maps_page.picker.set_elements(('Te',))
    dock.run_page()
    settled(dock)
    assert len(reported) == 1
