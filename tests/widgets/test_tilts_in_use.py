"""Tilts unticked on the page Open: the later stages without them, and with them again as before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hyperspy.api as hs
import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import MapSeries, Recipe, Remedy, Source, SpectralTiltSeries, load_tilt_series, open_source
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.spectra.common.tilt_counts import counts_of
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.projects import opening_project
from napari_diptomo.widgets.tasks.opening import look_over, opening

Settled = Callable[..., None]
ANGLES = (-30.0, -15.0, 0.0, 15.0, 30.0)
BAD = 3


def write(
    folder: Path, counts: np.ndarray, energy: np.ndarray, names: Sequence[str] = 'abcde', stage: Any = ()
) -> None:
    """A file per tilt; `stage` is what the metadata say of its angle."""
    for number, (name, data) in enumerate(zip(names, counts, strict=True)):
        axes = [{'name': n, 'size': s, 'scale': 2.0, 'units': 'nm'} for n, s in zip('yx', data.shape[:2], strict=True)]
        axes.append({'name': 'Energy', 'size': len(energy), 'scale': energy[1] - energy[0], 'offset': energy[0]})
        axes[-1]['units'] = 'keV'
        signal = hs.signals.Signal1D(data, axes=axes)
        signal.metadata.set_item('Acquisition_instrument.TEM.beam_energy', 200.0)
        if stage:
            signal.metadata.set_item('Acquisition_instrument.TEM.Stage.tilt_alpha', stage[number])
        signal.save(str(folder / f'{name}.hspy'), overwrite=True)


@pytest.fixture(scope='module')
def spectra() -> SpectralTiltSeries:
    """Five tilts; the beam was off in a quarter of the fourth."""
    from napari_diptomo.simulate import edx_tilt_series, lamella

    series = edx_tilt_series(lamella(16), ANGLES, peak_counts=60, seed=1).series
    counts = np.asarray(series.counts).copy()
    counts[BAD, :8] = 0
    return replace(series, counts=counts)


@pytest.fixture
def folder(tmp_path: Path, spectra: SpectralTiltSeries) -> Path:
    data = tmp_path / 'data'
    data.mkdir()
    write(data, np.asarray(spectra.counts), spectra.energy)
    (data / 'angles.csv').write_text('\n'.join(f'{name}.hspy,{a:g}' for name, a in zip('abcde', ANGLES, strict=True)))
    return data


def tick(dock: TomographyDock, row: int, used: bool) -> None:
    state = Qt.CheckState.Checked if used else Qt.CheckState.Unchecked
    dock.open_page.table.item(row, 0).setCheckState(state)


def make_maps(dock: TomographyDock, settled: Settled) -> MapSeries:
    dock.stages.go_to(dock.maps_page)
    dock.run_page()
    settled(dock)
    assert dock.session.maps is not None
    return dock.session.maps


def volume_of(dock: TomographyDock) -> np.ndarray:
    maps = dock.session.input_maps
    assert maps is not None
    return SIRT(iterations=5, holdout=0).run(maps).data


def test_a_bad_tilt_is_left_out_and_comes_back(
    dock: TomographyDock, folder: Path, viewer: ViewerModel, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock.open_paths([str(folder)])
    settled(dock)
    assert len(dock.session.angles) == 5
    dock.maps_page.picker.set_elements(('Ge', 'Te'))
    before = make_maps(dock, settled)
    first = volume_of(dock)
    spectrum = dock.session.spectrum
    zoom = viewer.scene.camera.zoom = 3.25
    # From here on nothing may be read.
    monkeypatch.setattr(hyperspy_adapter, 'read', None)
    monkeypatch.setattr('napari_diptomo.jobs.reading.isolated.IsolatedReader.ask', None)
    monkeypatch.setattr('napari_diptomo.jobs.reading.isolated.IsolatedReader.tilt', None)

    dock.stages.go_to(dock.open_page)
    tick(dock, BAD, False)
    assert dock.session.angles.tolist() == [-30, -15, 0, 30]
    assert dock.session.maps is None, 'made from another series'
    assert dock.session.series.recipe.source.unused == (BAD,)
    assert 'Out of use or joined: 15°.' in dock.open_page.opened.text()
    assert dock.open_page.tools.count.text() == '4 of 5 tilts in use'
    assert viewer.layers[-1].data.shape[0] == 4
    assert viewer.scene.camera.zoom == zoom
    assert dock.maps_page.picker.elements() == ('Ge', 'Te'), 'chosen by the user'
    without = make_maps(dock, settled)
    assert without.angles.tolist() == [-30, -15, 0, 30]
    assert volume_of(dock).shape == first.shape
    assert not np.allclose(volume_of(dock), first)

    dock.stages.go_to(dock.open_page)
    tick(dock, BAD, True)
    np.testing.assert_array_equal(dock.session.spectrum, spectrum)
    again = make_maps(dock, settled)
    np.testing.assert_array_equal(again.data, before.data)
    np.testing.assert_array_equal(volume_of(dock), first)
    assert again.recipe == before.recipe


def test_maps_without_a_tilt_are_those_of_its_recipe(dock: TomographyDock, folder: Path, settled: Settled) -> None:
    dock.open_paths([str(folder)])
    settled(dock)
    tick(dock, BAD, False)
    dock.maps_page.picker.set_elements(('Ge', 'Te'))
    maps = make_maps(dock, settled)
    recipe = Recipe.from_json(maps.recipe.to_json())
    repeated = recipe.steps[0].run(open_source(recipe.source))
    np.testing.assert_array_equal(repeated.data, maps.data)


def test_what_is_unticked_before_opening_may_be_damaged(
    dock: TomographyDock, folder: Path, spectra: SpectralTiltSeries, settled: Settled, reported: list[str]
) -> None:
    good = (folder / 'd.hspy').read_bytes()
    (folder / 'd.hspy').write_bytes(good[:2000])
    page = dock.open_page
    page.add_paths([str(folder)])
    tick(dock, BAD, False)
    assert page.source().unused == (BAD,)
    dock.run_page()
    settled(dock)
    assert reported == []
    assert dock.session.angles.tolist() == [-30, -15, 0, 30]
    assert page.tools.count.text() == '4 of 5 tilts in use'
    tick(dock, 0, False)
    assert dock.session.angles.tolist() == [-15, 0, 30], 'of what is open at once'
    tick(dock, 0, True)
    tick(dock, BAD, True)
    assert 'press Open to read it anew' in page.opened.text()
    assert dock.session.angles.tolist() == [-30, -15, 0, 30], 'until it is read'
    (folder / 'd.hspy').write_bytes(good)
    dock.run_page()
    settled(dock)
    assert dock.session.angles.tolist() == list(ANGLES)
    np.testing.assert_array_equal(np.asarray(dock.session.series.counts), np.asarray(spectra.counts))


def test_all_out_of_use_is_said(dock: TomographyDock, folder: Path, settled: Settled) -> None:
    dock.open_paths([str(folder)])
    settled(dock)
    for row in range(5):
        tick(dock, row, False)
    assert 'All tilts are out of use' in dock.run_bar.status.text()
    assert dock.session.angles.tolist() == [30], 'as before the last tick'
    tick(dock, 2, True)
    assert dock.session.angles.tolist() == [0]


def test_ready_maps_without_a_tilt(dock: TomographyDock, maps: MapSeries, viewer: ViewerModel) -> None:
    dock.open_page.done(look_over(maps))
    tick(dock, 6, False)
    assert dock.session.maps.angles.tolist() == [-30, -20, -10, 0, 10, 20]
    np.testing.assert_array_equal(dock.session.maps.data, maps.data[:, :6])
    tick(dock, 6, True)
    assert dock.session.maps is maps
    assert [layer.name for layer in viewer.layers] == ['Ge maps', 'Te maps']


def test_runs_outlive_a_tick(dock: TomographyDock, maps: MapSeries) -> None:
    dock.open_page.done(look_over(maps))
    volume = SIRT(iterations=2, holdout=0).run(maps)
    dock.session.set_result(volume)
    tick(dock, 0, False)
    assert [run.volume for run in dock.runs] == [volume]
    assert dock.session.volume is None, 'none of these maps'


def test_repeated_tilts_are_a_choice(dock: TomographyDock, spectra: SpectralTiltSeries, settled: Settled) -> None:
    page = dock.open_page
    page.done(look_over(spectra))
    row = page.fields['repeated'].native
    assert not page._rows.isRowVisible(row)
    twice = replace(spectra, angles=np.array([-30.0, 0, 0, 15, 30]))
    whole = look_over(twice).in_use((), 'keep')
    page.done(whole)
    assert page._rows.isRowVisible(row)
    (finding,) = page.findings()
    assert page.takes(finding.remedy)
    assert not page.takes(Remedy('x', 'Source', {'nothing': 1}))
    dock._apply(finding.remedy)
    assert dock.run_bar.status.text() == 'Repeated: sum.'
    assert dock.session.angles.tolist() == [-30, 0, 15, 30]
    assert dock.session.series.recordings == (1, 2, 1, 1)
    assert page.findings()[0].level == 'note'
    both = counts_of(dock.session.series).tilt(1).toarray()
    np.testing.assert_array_equal(both, (counts_of(twice).tilt(1) + counts_of(twice).tilt(2)).toarray())
    np.testing.assert_allclose(dock.session.spectrum, whole.spectrum)
    page.fields['repeated'].value = 'first'
    np.testing.assert_array_equal(np.asarray(dock.session.series.counts), np.asarray(spectra.counts)[[0, 1, 3, 4]])


def test_spikes_keep_their_tilt(spectra: SpectralTiltSeries) -> None:
    counts = np.asarray(spectra.counts).astype(np.int32)
    counts[2, 4, 4, 300] = 10_000
    opened = look_over(replace(spectra, counts=counts))
    assert [spike.tilt for spike in counts_of(opened.data).spikes] == [2]
    part = opened.in_use((0,), 'keep')
    assert [spike.tilt for spike in counts_of(part.data).spikes] == [1]
    assert [spike.tilt for spike in counts_of(opened.in_use((2,), 'keep').data).spikes] == []


def test_a_recipe_sets_the_ticks(dock: TomographyDock, folder: Path, settled: Settled, tmp_path: Path) -> None:
    recipe = Recipe(Source(paths=(str(folder),), unused=(1, 4)))
    dock.open_recipe(recipe.save(tmp_path / 'recipe.json'))
    assert dock.open_page.source() == recipe.source
    dock.run_page()
    settled(dock)
    assert dock.session.angles.tolist() == [-30, 0, 15]
    tick(dock, 1, True)
    assert dock.session.angles.tolist() == [-30, -15, 0, 15], 'read with the others'


def test_a_project_keeps_them(dock: TomographyDock, folder: Path, settled: Settled, tmp_path: Path, qtbot: Any) -> None:
    dock.open_paths([str(folder)])
    settled(dock)
    tick(dock, BAD, False)
    with qtbot.waitSignal(dock.session.autosave.saved, timeout=60_000):
        dock.session.autosave.save_to(tmp_path / 'project')
    dock.open_page.clear()
    dock.session.set_ready_maps(MapSeries(np.ones((1, 2, 4, 4)), [0, 1], ('X',)))
    dock._take_project(opening_project(tmp_path / 'project')(None))
    assert dock.session.angles.tolist() == [-30, -15, 0, 30]
    assert dock.open_page.table.unused() == (BAD,)
    tick(dock, BAD, True)
    assert dock.session.angles.tolist() == list(ANGLES)


def test_a_project_of_ready_maps_keeps_them(
    dock: TomographyDock, maps: MapSeries, settled: Settled, tmp_path: Path, qtbot: Any
) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / 'Ge.tif', maps.data[0])
    (tmp_path / 'Ge.rawtlt').write_text('\n'.join(f'{angle:g}' for angle in maps.angles))
    dock.open_page.fields['pixel_size'].value = 2.0
    dock.open_paths([str(tmp_path / 'Ge.tif')])
    settled(dock)
    tick(dock, 1, False)
    with qtbot.waitSignal(dock.session.autosave.saved, timeout=60_000):
        dock.session.autosave.save_to(tmp_path / 'project')
    dock._take_project(opening_project(tmp_path / 'project')(None))
    assert dock.session.maps.angles.tolist() == [-30, -10, 0, 10, 20, 30]
    assert dock.open_page.table.unused() == (1,)
    table = dock.open_page.table
    names = [table.item(row, 1).text() for row in range(7)]
    tick(dock, names.index('tilt 3'), False)
    assert dock.session.maps.angles.tolist() == [-30, 0, 10, 20, 30]
    tick(dock, names.index('tilt 2'), True)
    assert 'press Open to read it anew' in dock.open_page.opened.text()
    dock.run_page()
    settled(dock)
    assert dock.session.maps.angles.tolist() == [-30, -20, 0, 10, 20, 30]


def test_saved_maps_without_a_tilt_are_opened_from_their_own_file(maps: MapSeries, tmp_path: Path) -> None:
    made = replace(maps, recipe=Recipe(Source(paths=('elsewhere',))))
    path = str(made.save(tmp_path / 'maps.hspy'))
    opened = opening(Source(paths=(path,)))(None)
    assert opened.data.recipe == made.recipe
    part = opened.in_use((2,), 'keep').data
    assert part.recipe == Recipe(Source(paths=(path,), unused=(2,)))
    again = open_source(part.recipe.source)
    np.testing.assert_array_equal(again.data, part.data)


def test_corrected_angles_leave_the_same_tilts_out(dock: TomographyDock, folder: Path, settled: Settled) -> None:
    dock.open_paths([str(folder)])
    settled(dock)
    tick(dock, BAD, False)
    dock.open_page.table.reverse()
    assert 'press Open to read it anew' in dock.open_page.opened.text()
    source = dock.open_page.source()
    assert source.angles == (30, 15, 0, -15, -30)
    dock.run_page()
    settled(dock)
    assert dock.session.angles.tolist() == [-30, 0, 15, 30]
    np.testing.assert_array_equal(
        np.asarray(dock.session.series.counts), np.asarray(load_tilt_series(folder).counts)[[4, 2, 1, 0]]
    )
    dock.open_page.tools.reset.click()
    assert dock.open_page.source().angles is None
    assert dock.open_page.source().unused == (BAD,)


def test_the_table_is_there_in_the_next_dock(
    dock: TomographyDock, maps: MapSeries, viewer: ViewerModel, qtbot: Any
) -> None:
    dock.open_page.done(look_over(maps))
    tick(dock, 2, False)
    state = dock.open_page.state()
    dock.open_page.set_state(state)
    assert dock.open_page.table.unused() == (2,)
    assert dock.open_page.table.rowCount() == 7
    tick(dock, 2, True)
    assert dock.session.maps is maps


def test_metadata_that_contradict_the_names_are_shown_beside_them_and_one_is_taken(
    dock: TomographyDock, tmp_path: Path, spectra: SpectralTiltSeries, settled: Settled
) -> None:
    stage = [-30.0, -15.0, 0.0, 15.0, 40.0]
    names = [f's{number}_{angle:+.0f}deg' for number, angle in enumerate(ANGLES)]
    write(tmp_path, np.asarray(spectra.counts), spectra.energy, names, stage)
    dock.open_paths([str(tmp_path)])
    settled(dock)
    page = dock.open_page
    assert dock.session.series is None
    assert 'The sources of the angles disagree. The columns show' in page.note.text()
    assert page.table.columnCount() == 5
    last = [page.table.item(page.table.rowCount() - 1, column).text() for column in (1, 2, 3, 4)]
    assert last == ['s4_+30deg.hspy', '30', '40', '30']
    page.table.take_source('the metadata of the files')
    dock.run_page()
    settled(dock)
    assert dock.session.angles.tolist() == stage
    assert [finding.about for finding in page.findings()] == ['tilt angles']
