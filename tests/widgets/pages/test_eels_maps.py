"""The Maps page of an EELS series as a person presses it: spectra, windows, standards, pure pixels, maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog

from napari_diptomo.series import Finding, InputError, MapSeries, Remedy, SpectralTiltSeries
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.pure_regions import PureRegions
from napari_diptomo.widgets.pages.eels_maps import EELSMaps
from napari_diptomo.widgets.pages.eels_spectrum import CORE, LOW
from napari_diptomo.widgets.tasks.opening import Opened, look_over

Still = Callable[[EELSMaps], None]
SQUARE = np.array([[10, 10], [10, 20], [20, 20], [20, 10]], float)


@pytest.fixture(scope='module')
def series() -> SpectralTiltSeries:
    """A nanocube of FeO and Fe3O4 at three tilts, the core loss at the one in the middle."""
    from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube

    return eels_tilt_series(oxide_nanocube(32), np.array([-40.0, 0.0, 40.0]), seed=0, read_noise=0.0).series


@pytest.fixture(scope='module')
def opened(series: SpectralTiltSeries) -> Opened:
    """Looked over once for all docks."""
    return look_over(series)


@pytest.fixture
def still(qtbot: Any) -> Still:
    """Wait until the page shows what is asked for."""

    def wait(page: EELSMaps) -> None:
        qtbot.waitUntil(lambda: not (page.busy or page.view.region._timer.isActive()), timeout=90_000)

    return wait


@pytest.fixture
def page(dock: TomographyDock, opened: Opened, still: Still) -> EELSMaps:
    dock.open_page.done(opened)
    dock.stages.go_to(dock.maps_page)
    still(dock.maps_page.eels)
    return dock.maps_page.eels


def counts(page: EELSMaps) -> np.ndarray:
    return page.view.plot._counts


def test_energy_losses_have_a_page_of_their_own(dock: TomographyDock, page: EELSMaps) -> None:
    assert page.isVisibleTo(dock)
    assert not dock.maps_page.edx.isVisibleTo(dock)
    assert dock.session.found == ()
    assert dock.session.doubt == ''
    assert dock.run_bar.run_button.isEnabled()


def test_a_remedy_of_the_oxides_changes_their_form(
    dock: TomographyDock, page: EELSMaps, series: SpectralTiltSeries, still: Still, qtbot: Any
) -> None:
    narrower = Remedy('Fit from 42 eV', 'EELSOxidationMaps', {'energy_min': 42.0})
    tail = Finding(
        'doubt', 'background', 'The tail is not exponential.', {'from eV': 36}, narrower, 'EELSOxidationMaps'
    )
    maps = MapSeries(np.ones((2, 3, 32, 32)), series.angles, ('FeO', 'Fe3O4'), findings=(tail,))
    dock.session.set_result(maps)
    (row,) = dock.findings.rows
    assert row.text.text().startswith('<b>Doubt: background.</b>')
    qtbot.mouseClick(row.button, Qt.MouseButton.LeftButton)
    still(page)
    assert page.form.fields['energy_min'].value == 42.0
    assert page.view.plot._explained.energy[0] == pytest.approx(42.0, abs=0.3)


def test_negative_counts_of_a_read_out_can_be_looked_at(series: SpectralTiltSeries) -> None:
    noisy = np.asarray(series.counts) - 2.0
    opened = look_over(replace(series, counts=noisy))
    assert opened.spectrum == pytest.approx(noisy.sum((0, 1, 2)), rel=1e-5)
    assert opened.found == ()


def test_the_first_picture_shows_the_specimen_and_not_the_zero_loss(series: SpectralTiltSeries) -> None:
    image = look_over(series).image
    middle, corner = image[1, 12:20, 12:20].mean(), image[1, :4, :4].mean()
    assert middle > 5 * corner


def test_the_low_loss_is_shown_with_background_and_standards(page: EELSMaps, series: SpectralTiltSeries) -> None:
    explained = page.view.plot._explained
    assert explained is not None
    assert explained.wanted == ('FeO', 'Fe3O4')
    both = sum(explained.families.values()) + explained.background
    assert both == pytest.approx(explained.model)
    assert explained.model.sum() == pytest.approx(explained.counts.sum(), rel=0.01)
    assert page.view.plot.rest.isVisible()
    assert 'All pixels, all tilts' in page.view.note.text()
    assert 'share of 2+ ions 0.8' in page.spread.text()
    assert 'exponential' in page.spread.text()


def test_the_window_of_the_fit_is_the_shaded_one_both_ways(page: EELSMaps, still: Still) -> None:
    assert page.form is not None
    low, high = page.form.fields['energy_min'], page.form.fields['energy_max']
    assert low.value is None
    assert page.view.plot.span.getRegion() == pytest.approx((36.0, 95.0))
    page.view.plot.span.setRegion((40.0, 85.0))
    still(page)
    assert (low.value, high.value) == (40.0, 85.0)
    assert page.view.plot._explained.energy[0] == pytest.approx(40.0, abs=0.3)
    low.value = 42.0
    still(page)
    assert page.view.plot.span.getRegion() == pytest.approx((42.0, 85.0))
    assert page.view.plot._explained.energy[0] == pytest.approx(42.0, abs=0.3)


def test_a_window_beside_the_edge_is_one_sentence(dock: TomographyDock, page: EELSMaps, still: Still) -> None:
    page.view.plot.span.setRegion((70.0, 90.0))
    still(page)
    assert 'does not hold Fe-M2,3' in dock.maps_page.obstacle()
    assert not dock.run_bar.run_button.isEnabled()
    page.form.restore_defaults()
    still(page)
    assert dock.maps_page.obstacle() == ''
    assert page.view.plot._explained is not None


def test_the_core_loss_is_shown_with_its_own_fit(page: EELSMaps, series: SpectralTiltSeries, still: Still) -> None:
    page.view.range.setCurrentText(CORE)
    still(page)
    assert counts(page).sum() == pytest.approx(float(np.asarray(series.core_loss.counts).sum()), rel=0.02)
    assert page.view.plot._explained.wanted == ('FeO', 'Fe3O4')
    assert not page.view.plot.span.isVisible()
    page.view.range.setCurrentText(LOW)
    still(page)
    assert page.view.plot._energy[-1] < 101
    assert page.view.plot.span.isVisible()


def test_a_tilt_without_core_loss_says_where_there_is_one(page: EELSMaps, viewer: ViewerModel, still: Still) -> None:
    page.view.range.setCurrentText(CORE)
    page.view.tilts.setCurrentIndex(1)
    viewer.dims.set_current_step(0, 0)
    still(page)
    assert 'no core loss at -40°, only at 0°' in page.view.note.text()
    viewer.dims.set_current_step(0, 1)
    still(page)
    assert 'tilt 0°' in page.view.note.text()


def test_the_spectrum_of_a_region(page: EELSMaps, series: SpectralTiltSeries, still: Still) -> None:
    page.view.draw.click()
    page.view.region.layer.add_rectangles(SQUARE)
    still(page)
    pixels = int(page.view.region.mask.sum())
    assert f'{pixels} pixels' in page.view.note.text()
    inside = np.asarray(series.counts)[:, page.view.region.mask].sum()
    assert counts(page).sum() == pytest.approx(float(inside), rel=0.01)
    page.view.whole.click()
    still(page)


def test_zooming_in_and_a_double_click(page: EELSMaps) -> None:
    plot = page.view.plot
    plot.plot.setXRange(50, 60)
    assert plot.plot.viewRange()[1][1] < counts(page)[plot._energy > 45].max() * 1.5
    plot.mouseDoubleClickEvent(None)
    assert plot.plot.viewRange()[0] == pytest.approx([33, 98], abs=1)
    plot.mouseDoubleClickEvent(None)
    assert plot.plot.viewRange()[0][0] < -9


def test_pure_pixels_are_a_layer_that_can_be_painted(
    page: EELSMaps, viewer: ViewerModel, series: SpectralTiltSeries
) -> None:
    page.standards.show_pure.click()
    layer = viewer.layers['Pure pixels']
    assert layer.data.shape == (3, 1, 32, 32)
    assert not layer.data[[0, 2]].any()
    assert np.array_equal(layer.data[1, 0] == 1, page.found.pure['FeO'][0])
    assert viewer.dims.current_step[0] == 1
    assert layer.mode == 'paint'
    layer.data[1, 0, 15:17, 15:17] = 2
    masks = page.standards.regions.masks()
    assert masks['Fe3O4'][0, 15, 15]
    page.standards.show_pure.click()
    assert 'Pure pixels' not in viewer.layers
    assert page.standards.use_painted.isHidden()


def test_pure_pixels_of_a_transposed_series_have_its_axes(viewer: ViewerModel, series: SpectralTiltSeries) -> None:
    regions = PureRegions(viewer)
    regions.set_series(replace(series, transposed=True))
    mask = np.zeros((1, 32, 32), bool)
    mask[0, 3, 20] = True
    regions.show({'FeO': mask, 'Fe3O4': ~mask & False})
    assert regions.layer.data[1, 0, 20, 3] == 1
    assert np.array_equal(regions.masks()['FeO'], mask)
    regions.layer.data[:] = 0
    with pytest.raises(InputError, match='No pixel is painted at a tilt with a core loss'):
        regions.masks()
    regions.cleanup()


def test_standards_of_painted_pixels_are_kept_and_used(
    page: EELSMaps, tmp_path: Path, still: Still, reported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'painted.npz'
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(path), ''))
    before = page.found.standards.shapes
    page.standards.show_pure.click()
    labels = page.standards.regions.layer.data[1, 0]
    atoms = np.nan_to_num(page.found.standards.phases.atoms[0])
    shell = (atoms[..., 1] > 0.5 * atoms.sum(axis=-1)) & (atoms.sum(axis=-1) > 0)
    labels[:] = np.where(labels == 1, 2, 0)
    page.standards.use_painted.click()
    still(page)
    # The pixels of FeO are no Fe3O4.
    assert len(reported) == 1 and 'one phase' in reported[0]
    assert 'Regression' in page.standards.note.text()
    labels[:] = np.where(shell, 2, 0)
    page.standards.use_painted.click()
    still(page)
    assert path.exists()
    assert page.form.fields['standards'].value == str(path)
    still(page)
    assert page.found.standards.shapes.shape == before.shape
    assert not np.allclose(page.found.standards.shapes, before)
    assert page.standards.own.isVisibleTo(page)
    page.standards.own.click()
    still(page)
    assert page.form.fields['standards'].value == ''
    assert np.allclose(page.found.standards.shapes, before)


def test_standards_are_saved_and_serve_a_series_without_core_loss(
    dock: TomographyDock,
    page: EELSMaps,
    series: SpectralTiltSeries,
    tmp_path: Path,
    still: Still,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / 'iron.npz'
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(path), ''))
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *_: (str(path), ''))
    page.standards.save.click()
    still(page)
    assert path.exists()
    dock.open_page.done(look_over(replace(series, core_loss=None)))
    still(page)
    assert page.view.range.isHidden()
    assert 'no core loss' in page.standards.note.text()
    assert page.view.plot._explained.wanted == ()
    page.standards.load.click()
    still(page)
    assert page.view.plot._explained.wanted == ('FeO', 'Fe3O4')


def test_a_file_that_holds_no_standards_is_one_sentence(
    page: EELSMaps, tmp_path: Path, still: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'other.npz'
    path.write_text('no standards')
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *_: (str(path), ''))
    page.standards.load.click()
    still(page)
    assert 'holds no standards' in page.standards.note.text()


def test_maps_with_hidden_states_and_errors(
    dock: TomographyDock, page: EELSMaps, viewer: ViewerModel, settled: Callable[..., None]
) -> None:
    dock.run_bar.run_button.click()
    settled(dock, timeout=120_000)
    maps = dock.session.maps
    assert maps.channels == ('FeO', 'Fe3O4')
    assert maps.variance is not None
    seen = [layer.name for layer in viewer.layers if layer.visible]
    assert seen == ['FeO maps', 'Fe3O4 maps']
    hidden = {layer.name for layer in viewer.layers if not layer.visible}
    assert {'Fe2+ fraction maps', 'Fe2+ fraction ± std maps', 'mean valence maps', 'FeO ± std maps'} <= hidden
    assert viewer.layers.selection.active.name == 'Fe3O4 maps'
    fraction = viewer.layers['Fe2+ fraction maps'].data
    assert fraction.shape == (3, 1, 32, 32)
    # A rim of FeO lies around Fe3O4.
    assert fraction[1, 0, 16, 8:10].mean() > fraction[1, 0, 12:20, 12:20].mean()
    assert 'share of 2+ ions 0.8' in page.made.text()
    assert '0.3 ± 0.1' in page.reading.text()
    assert page.reading.isVisibleTo(dock)


def test_independent_sums_are_shown_as_the_oxides_that_they_stand_for(series: SpectralTiltSeries) -> None:
    from napari_diptomo.spectra import EELSOxidationMaps
    from napari_diptomo.widgets.tasks.eels_spectra import mapping_oxides

    step = EELSOxidationMaps(background='power law', holdout=0.0)
    observer = None
    plain = mapping_oxides(step.model_copy(update={'deliver': 'maps'}), series)(observer)
    sums = mapping_oxides(step, series)(observer)
    assert sums.maps.mixing is not None
    assert sums.oxides.channels == ('FeO', 'Fe3O4')
    both = plain.states.carried & sums.states.carried
    assert both.sum() > 500
    assert np.abs(plain.states.fraction - sums.states.fraction)[both].mean() < 0.02


def test_no_zero_loss_is_one_sentence_and_the_page_lives(
    dock: TomographyDock, series: SpectralTiltSeries, still: Still, settled: Callable[..., None], reported: list[str]
) -> None:
    dock.open_page.done(look_over(replace(series, counts=series.counts[..., 80:], energy=series.energy[80:])))
    dock.stages.go_to(dock.maps_page)
    page = dock.maps_page.eels
    still(page)
    assert 'zero loss' in page.view.note.text()
    dock.run_page()
    settled(dock)
    assert len(reported) == 1 and 'zero loss' in reported[0]
    dock.open_page.done(look_over(series))
    still(page)
    assert page.view.plot._explained is not None


def test_the_open_page_shows_core_loss_and_thickness(
    dock: TomographyDock, series: SpectralTiltSeries, qtbot: Any
) -> None:
    dock.open_page.done(look_over(series))
    assert 'Core loss at 0°' in dock.open_page.opened.text()
    qtbot.waitUntil(lambda: 't/λ' in dock.open_page.opened.text(), timeout=60_000)


def test_core_loss_files_are_dropped_on_their_row(dock: TomographyDock, tmp_path: Path) -> None:
    page = dock.open_page
    assert page.source().core_loss == ()
    files = [tmp_path / '0-core.dm4', tmp_path / '20-core.dm4']
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in files])
    point = page.core_loss.rect().center()
    drop = QDropEvent(
        QPointF(point), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    page.core_loss.dropEvent(drop)
    assert page.source().core_loss == tuple(map(str, files))
    assert page.source().core_loss_angles is None
    assert '0-core.dm4' in page.core_loss.note.text()
    page.core_loss.angles.native.setText('0, 20')
    assert page.source().core_loss_angles == (0.0, 20.0)
    page.core_loss.angles.native.setText('zero')
    with pytest.raises(InputError, match='not a list of numbers'):
        page.source()
    page.core_loss.forget.click()
    assert page.source().core_loss == ()
