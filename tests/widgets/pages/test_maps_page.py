"""The Maps page as a person presses it: spectra of parts, the periodic table, warnings, totals, layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import Qt

from napari_diptomo.jobs.colours import colours
from napari_diptomo.series import MapSeries, Recipe, SpectralTiltSeries
from napari_diptomo.spectra import EDXMaps, FoundElement
from napari_diptomo.widgets.controls.overlap_table import _percent as in_percent
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.region_of_interest import Region
from napari_diptomo.widgets.pages.maps_page import MapsPage
from napari_diptomo.widgets.tasks.opening import Opened, look_over

Still = Callable[[MapsPage], None]
SQUARE = np.array([[4, 3], [4, 9], [10, 9], [10, 3]], float)


@pytest.fixture(scope='module')
def series() -> SpectralTiltSeries:
    """Germanium, antimony, tellurium, seven tilts, 16 x 16 pixels."""
    from napari_diptomo.simulate import edx_tilt_series, lamella

    return edx_tilt_series(lamella(16), np.arange(-30.0, 31.0, 10.0), peak_counts=60, seed=1).series


@pytest.fixture(scope='module')
def opened(series: SpectralTiltSeries) -> Opened:
    """Looked over once for all docks; the copper of the grid is stray, manganese doubtful."""
    seen = look_over(series)
    reason = 'Cu-K rises 3 times: it comes from grid or holder.'
    found = [replace(f, stray=True, reason=reason) if f.element == 'Cu' else f for f in seen.found]
    return replace(seen, found=(*found, FoundElement('Mn', 'Mn_K', 90.0, 4.2, doubtful=True)))


@pytest.fixture
def still(qtbot: Any) -> Still:
    """Wait until the page shows what is asked for."""

    def wait(page: MapsPage) -> None:
        qtbot.waitUntil(
            lambda: (
                not (page.view.busy or page._overlaps.busy or page._totals.busy or page.view.region._timer.isActive())
            ),
            timeout=60_000,
        )

    return wait


@pytest.fixture
def page(dock: TomographyDock, opened: Opened, still: Still) -> MapsPage:
    dock.open_page.done(opened)
    dock.stages.go_to(dock.maps_page)
    dock.maps_page.picker.set_elements(('Ge', 'Te'))
    still(dock.maps_page)
    return dock.maps_page


def shown(page: MapsPage) -> np.ndarray:
    return page.view.plot._counts


def test_the_whole_is_shown_with_its_fit(page: MapsPage, series: SpectralTiltSeries) -> None:
    assert np.array_equal(shown(page), np.asarray(series.counts).sum((0, 1, 2)))
    explained = page.view.plot._explained
    assert explained is not None
    assert explained.wanted == ('Ge_K', 'Te_L')
    assert explained.model.sum() == pytest.approx(explained.counts.sum(), rel=0.02)
    assert 'All pixels, all tilts' in page.view.note.text()
    assert page.view.plot.rest.isVisible()


def test_the_spectrum_follows_a_region_until_it_is_removed(
    page: MapsPage, series: SpectralTiltSeries, still: Still, viewer: ViewerModel
) -> None:
    page.view.draw.click()
    region = viewer.layers['Region']
    assert viewer.layers.selection.active is region
    assert region.mode == 'add_rectangle'
    region.add_rectangles(SQUARE)
    still(page)
    inside = page.view.region.mask
    assert inside is not None
    assert 36 <= inside.sum() <= 49
    assert inside[5:10, 4:9].all()
    counts = np.asarray(series.counts)
    assert np.array_equal(shown(page), counts[:, inside].sum((0, 1)))
    assert f'{int(inside.sum())} pixels' in page.view.note.text()
    region.data = [region.data[0] + [2, 0]]
    still(page)
    moved = page.view.region.mask
    assert np.array_equal(moved[2:], inside[:-2])
    assert np.array_equal(shown(page), counts[:, moved].sum((0, 1)))
    page.view.whole.click()
    still(page)
    assert 'Region' not in viewer.layers
    assert shown(page).sum() == counts.sum()
    assert page.view.whole.isHidden()


def test_one_tilt_follows_the_slider(
    page: MapsPage, series: SpectralTiltSeries, still: Still, viewer: ViewerModel
) -> None:
    page.view.tilts.setCurrentIndex(1)
    for tilt in (0, 5):
        viewer.dims.set_current_step(0, tilt)
        still(page)
        assert np.array_equal(shown(page), np.asarray(series.counts[tilt]).sum((0, 1)))
        assert f'tilt {series.angles[tilt]:g}°' in page.view.note.text()


def test_a_region_beside_the_image_is_one_sentence(page: MapsPage, still: Still) -> None:
    page.view.draw.click()
    page.view.region.layer.add_rectangles(SQUARE + 100)
    still(page)
    assert page.view.note.text() == 'The region holds no pixel of the image; draw it on the image or remove it.'
    page.view.whole.click()
    still(page)
    assert 'All pixels' in page.view.note.text()


def test_a_region_of_a_transposed_series_has_its_axes(viewer: ViewerModel, qtbot: Any) -> None:
    region = Region(viewer)
    region.set_image((16, 12), transposed=True)
    region.draw(1.0)
    region.layer.add_rectangles(np.array([[2, 9], [2, 14], [5, 14], [5, 9]], float))
    qtbot.waitUntil(lambda: region.mask is not None)
    rows, columns = np.nonzero(region.mask)
    assert region.mask.shape == (16, 12)
    assert (rows.min(), columns.min()) == (9, 2)
    region.cleanup()


def test_a_region_removed_through_the_proxy_of_the_viewer_is_gone(viewer: ViewerModel, qtbot: Any) -> None:
    region = Region(PublicOnlyProxy(viewer))
    region.set_image((16, 16), transposed=False)
    region.draw(1.0)
    region.layer.add_rectangles(SQUARE)
    qtbot.waitUntil(lambda: region.mask is not None)
    viewer.layers.remove('Region')
    assert region.mask is None
    assert region.layer is None
    region.cleanup()


def test_the_axis_of_counts_is_logarithmic_or_not(page: MapsPage) -> None:
    top = shown(page).max()
    assert page.view.plot.plot.viewRange()[1][1] < 10
    page.view.log.click()
    low, high = page.view.plot.plot.viewRange()[1]
    assert low == 0
    assert top < high < 2 * top


def test_elements_are_pressed_in_the_periodic_table(page: MapsPage, viewer: ViewerModel) -> None:
    page.picker.open_table.click()
    cells = page.picker.table.cells
    assert len(cells) == 92
    assert cells['Ge'].isChecked()
    assert colours(('Ge', 'Te'))['Te'] in cells['Te'].styleSheet()
    cells['Te'].click()
    assert page.picker.line.text() == 'Ge'
    cells['Sb'].click()
    assert page.picker.elements() == ('Ge', 'Sb')
    assert page.picker.chips['Sb'].isChecked()
    # Te is no longer chosen, but its peak is large: it stays named.
    assert {mark.family for mark in page.view.plot._marked} == {'Ge_K', 'Sb_L', 'Te_L'}


def test_what_cannot_be_mapped_is_grey_and_says_why(page: MapsPage) -> None:
    page.picker.open_table.click()
    hydrogen, tungsten = page.picker.table.cells['H'], page.picker.table.cells['W']
    assert not hydrogen.isEnabled()
    assert 'H has no X-ray line' in hydrogen.toolTip()
    assert tungsten.isEnabled()
    assert 'keV' in tungsten.toolTip()
    assert 'protective strap' in tungsten.toolTip()
    assert 'stray' not in page.picker.table.cells['Ge'].toolTip()


def test_elements_are_chosen_by_what_the_spectra_show(dock: TomographyDock, opened: Opened) -> None:
    dock.open_page.done(opened)
    assert set(dock.maps_page.picker.chips) == {'Ge', 'Sb', 'Te', 'Cu', 'Mn'}
    assert set(dock.maps_page.picker.elements()) == {'Ge', 'Sb', 'Te'}


def test_what_is_doubtful_is_dashed_and_says_how_much(page: MapsPage) -> None:
    manganese = page.picker.chips['Mn']
    assert 'dashed' in manganese.styleSheet()
    assert '4.2 standard deviations' in manganese.toolTip()
    assert 'dashed' not in page.picker.chips['Ge'].styleSheet()


def test_what_may_be_stray_is_dashed_and_says_why(page: MapsPage) -> None:
    copper = page.picker.table.cells['Cu']
    assert 'dashed' in copper.styleSheet()
    assert 'grid' in copper.toolTip()
    assert 'dashed' in page.picker.chips['Cu'].styleSheet()
    assert 'grid' in page.picker.chips['Cu'].toolTip()
    assert 'Cu' not in page.picker.elements()


def test_elements_that_cannot_be_resolved_are_named(page: MapsPage, still: Still) -> None:
    assert page.warning.isHidden()
    page.picker.set_elements(('S', 'Mo_L'))
    still(page)
    assert 'S-K' in page.warning.text()
    assert 'Mo-L' in page.warning.text()
    page.picker.set_elements(('Ge',))
    assert page.warning.isHidden()


def test_errors_and_correlations_stand_in_a_table(page: MapsPage, still: Still, qtbot: Any) -> None:
    page.picker.set_elements(('S', 'Mo_L', 'Ge'))
    still(page)
    shown = page.overlap_table
    assert not shown.isHidden() and not shown.folded.isExpanded()
    table = shown.table
    headings = [table.horizontalHeaderItem(column).text() for column in range(table.columnCount())]
    assert headings == ['Lines', 'Error', 'S-K', 'Mo-L']
    assert [table.item(row, 0).text() for row in range(3)] == ['S-K', 'Mo-L', 'Ge-K']
    assert all(table.item(row, 1).text().endswith('%') for row in range(3))
    assert float(table.item(1, 2).text()) < -0.9, 'S-K and Mo-L lie under one peak'
    assert abs(float(table.item(2, 2).text())) < 0.05
    assert [table.item(row, column).text() for row, column in ((0, 2), (0, 3), (1, 3))] == ['', '', '']
    strong, weak = (table.item(row, 2).background() for row in (1, 2))
    assert strong.color().alpha() > 150
    assert weak.style() is Qt.BrushStyle.NoBrush
    page.picker.set_elements(('Ge',))
    assert shown.isHidden()


@pytest.mark.parametrize(
    ('share', 'text'), [(0.034, '3.4 %'), (0.43, '43 %'), (1.5, '150 %'), (123.0, '> 999 %'), (np.nan, '-')]
)
def test_errors_are_short(share: float, text: str) -> None:
    assert in_percent(share) == text


def test_totals_that_no_specimen_gives_are_named(page: MapsPage, maps: MapSeries) -> None:
    rng = np.random.default_rng(0)
    angles = np.arange(-60.0, 61.0, 10.0)
    course = np.ones((4, len(angles), 1, 1)) * 3.0
    course[3] *= (1 + 2 * np.abs(np.sin(np.radians(angles))))[:, None, None]
    counts = rng.poisson(np.broadcast_to(course, (4, len(angles), 32, 32)))
    page.done(MapSeries(counts, angles, ('Ge', 'Sb', 'Te', 'Ti')))
    assert page.gain.isHidden() is False
    assert not page.totals.isHidden()
    assert 'Ti' in page.totals.note.text()
    assert 'Ge' not in page.totals.note.text()
    assert len(page.totals.plot._curves) == 8


def test_maps_bring_their_doubts_as_hidden_layers(page: MapsPage, maps: MapSeries, viewer: ViewerModel) -> None:
    doubtful = replace(maps, variance=np.full_like(maps.data, 4.0), residual=np.ones(maps.data.shape[1:]))
    page.done(doubtful)
    assert [layer.name for layer in viewer.layers] == ['fit residual', 'Ge maps', 'Te maps']
    assert [layer.visible for layer in viewer.layers] == [False, True, True]
    assert viewer.layers[0].data.shape == viewer.layers[1].data.shape
    page.deviations.click()
    added = [layer for layer in viewer.layers if '±' in layer.name]
    assert [layer.name for layer in added] == ['Ge ± std maps', 'Te ± std maps']
    assert not any(layer.visible for layer in added)
    assert (added[0].data == 2.0).all()
    page.deviations.click()
    assert len(viewer.layers) == 3
    page.done(replace(maps, variance=doubtful.variance))
    assert [layer.name for layer in viewer.layers] == ['Ge maps', 'Te maps']


def test_totals_of_a_series_are_those_of_its_spectra(page: MapsPage, maps: MapSeries, still: Still) -> None:
    page.done(maps)
    assert page.totals.isHidden()
    still(page)
    assert not page.totals.isHidden()
    assert page.totals.note.text() == ''
    assert 'Ge-K' in page.totals.plot.key
    assert 'Te-L' in page.totals.plot.key


def test_the_gain_is_measured_edited_and_goes_with_the_maps(page: MapsPage, maps: MapSeries) -> None:
    shadow = np.array([1.0, 1.0, 0.6, 0.6, 0.6, 1.0, 1.0])
    page.done(replace(maps, data=np.full((2, 7, 16, 16), 40.0) * shadow[None, :, None, None]))
    assert page.gain.line.text() == ''
    page.gain.measure.click()
    assert np.allclose(page.gain.gains(), shadow / shadow.mean(), atol=0.01)
    assert page.gain.plot.isVisibleTo(page.gain.plot.parentWidget())
    page.gain.line.setText('1, 1, 0.5, 0.5, 0.5, 1, 1')
    page.gain.line.editingFinished.emit()
    page.gain.apply.click()
    given = np.array([1, 1, 0.5, 0.5, 0.5, 1, 1])
    assert np.allclose(page.session.maps.gain[1], given / given.mean())
    assert page.session.aligned is None
    page.gain.line.setText('')
    page.gain.line.editingFinished.emit()
    page.gain.apply.click()
    assert page.session.maps.gain is None


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('1, 0.9', 'There are 2 gains for 7 tilts; give one for each or none.'),
        ('1, one', 'The gain is not a list of numbers; separate them by commas.'),
        ('1, 1, 1, 0, 1, 1, 1', 'The gain of a tilt must be a positive number; correct it or leave the gains empty.'),
    ],
)
def test_a_wrong_gain_is_one_sentence(page: MapsPage, maps: MapSeries, text: str, sentence: str) -> None:
    page.done(maps)
    page.gain.line.setText(text)
    page.gain.line.editingFinished.emit()
    assert page.gain.note.text() == sentence
    assert not page.gain.apply.isEnabled()


def test_the_gain_is_recorded_in_the_recipe(page: MapsPage, maps: MapSeries) -> None:
    step = EDXMaps(elements=('Ge', 'Te'), gain_from_totals='slab')
    page.done(replace(maps, recipe=Recipe().then(step), gain=np.ones((2, 7))))
    assert len(page.gain.gains()) == 7
    gains = (1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0)
    page.gain.line.setText(', '.join(map(str, gains)))
    page.gain.apply.click()
    (recorded,) = page.session.maps.recipe.steps
    assert recorded == step.model_copy(update={'gain': gains, 'gain_from_totals': 'off'})
