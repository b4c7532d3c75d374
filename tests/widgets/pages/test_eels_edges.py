"""Edges, white lines and reference spectra on the Maps page, from a core loss alone to a volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_diptomo.series import SpectralTiltSeries
from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube
from napari_diptomo.simulate.core_loss import core_loss_tilt_series
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.pages.eels_edges import STEPS, EdgesPart
from napari_diptomo.widgets.pages.eels_maps import OXIDES, EELSMaps
from napari_diptomo.widgets.tasks.opening import look_over

Still = Callable[[EELSMaps], None]


@pytest.fixture(scope='module')
def series() -> SpectralTiltSeries:
    """Core loss alone of a manganese oxide particle at five tilts."""
    return core_loss_tilt_series(24, (-40.0, -20.0, 0.0, 20.0, 40.0), edge_counts=8000).series


@pytest.fixture
def still(qtbot: Any) -> Still:
    def wait(page: EELSMaps) -> None:
        qtbot.waitUntil(lambda: not (page.busy or page.edges.view.region._timer.isActive()), timeout=60_000)

    return wait


@pytest.fixture
def page(dock: TomographyDock, series: SpectralTiltSeries, still: Still) -> EdgesPart:
    dock.open_page.done(look_over(series))
    dock.stages.go_to(dock.maps_page)
    still(dock.maps_page.eels)
    return dock.maps_page.eels.edges


def test_a_core_loss_alone_offers_what_it_can_show(dock: TomographyDock, page: EdgesPart) -> None:
    eels = dock.maps_page.eels
    assert [eels.kind.itemText(i) for i in range(eels.kind.count())] == list(STEPS)
    assert page.isVisibleTo(dock) and not eels.oxides.isVisibleTo(dock)
    assert set(page.picker.buttons) == {'Mn_L', 'O_K'}
    assert page.form is not None and page.form.fields['edges'].value == ('O_K', 'Mn_L')
    assert all(button.isChecked() for button in page.picker.buttons.values())
    assert page.view.plot._explained.wanted == ('O_K', 'Mn_L')
    assert 'Mn_L' in page.view.note.text()
    assert dock.maps_page.obstacle() == ''
    assert 'A core loss alone' in dock.open_page.opened.text()
    assert 'Low loss only' not in dock.open_page.opened.text()


def test_pressing_an_edge_leaves_it_out_and_takes_it_in(dock: TomographyDock, page: EdgesPart, still: Still) -> None:
    for name in ('O_K', 'Mn_L'):
        page.picker.buttons[name].click()
    assert page.form is not None and page.form.fields['edges'].value == ()
    assert dock.maps_page.obstacle() == 'Choose at least one edge.'
    assert not dock.run_bar.run_button.isEnabled()
    page.picker.buttons['Mn_L'].click()
    still(dock.maps_page.eels)
    assert page.form.fields['edges'].value == ('Mn_L',)
    assert page.view.plot._explained.wanted == ('Mn_L',)
    page.form.fields['edges'].value = ('Xx_L',)
    still(dock.maps_page.eels)
    assert 'no edge' in page.view.note.text()


def test_edges_go_to_a_volume_without_a_script(
    dock: TomographyDock, page: EdgesPart, viewer: ViewerModel, settled: Callable[..., None]
) -> None:
    dock.run_bar.run_button.click()
    settled(dock)
    maps = dock.session.maps
    assert maps is not None and maps.channels == ('O_K', 'Mn_L') and len(maps.angles) == 5
    assert [layer.name for layer in viewer.layers if layer.visible] == ['O_K maps', 'Mn_L maps']
    assert 'O_K' in page.made.text() and dock.maps_page.outcome_widget is page.outcome_widget
    assert any('zero loss' in finding.sentence for finding in dock.maps_page.findings())
    dock.stages.go_to(dock.reconstruct_page)
    dock.reconstruct_page.method.setCurrentText('SIRT')
    dock.run_page()
    settled(dock, timeout=120_000)
    assert dock.session.volume is not None and dock.session.volume.channels == ('O_K', 'Mn_L')
    assert dock.session.volume.data.shape[0] == 2


def test_white_lines_and_their_ratio(
    dock: TomographyDock, page: EdgesPart, viewer: ViewerModel, still: Still, settled: Callable[..., None]
) -> None:
    dock.maps_page.eels.kind.setCurrentText('White lines')
    still(dock.maps_page.eels)
    assert page.form is not None and page.form.fields['element'].value == 'Mn'
    dock.run_page()
    settled(dock)
    assert dock.session.maps is not None and dock.session.maps.channels == ('Mn_L3', 'Mn_L2')
    ratio = viewer.layers['Mn L3 / L2 maps']
    assert not ratio.visible and 2 < np.median(ratio.data[ratio.data > 0]) < 6
    assert 'L3 / L2' in page.made.text()


def test_regions_on_the_image_become_references(
    dock: TomographyDock,
    page: EdgesPart,
    viewer: ViewerModel,
    still: Still,
    settled: Callable[..., None],
    reported: list[str],
) -> None:
    eels = dock.maps_page.eels
    eels.kind.setCurrentText('Reference spectra')
    still(eels)
    assert page.form is not None and page.form.fields['edge'].value == 'Mn_L'
    assert 'Give references' in dock.maps_page.obstacle()
    page.add_region.click()
    assert len(reported) == 1 and 'Draw a region' in reported[0]
    viewer.dims.set_current_step(0, 2)
    for name, corners in (('core', (10, 10, 14, 14)), ('shell', (7, 6, 17, 8))):
        top, left, bottom, right = corners
        page.view.draw.click()
        page.view.region.layer.add_rectangles(
            np.array([[top, left], [top, right], [bottom, right], [bottom, left]], float)
        )
        page.name.setText(name)
        page.add_region.click()
        still(eels)
    first, second = page.form.fields['regions'].value
    assert first.startswith('core = polygon 10.0 10.0') and second.endswith('at 0')
    assert dock.maps_page.obstacle() == ''
    dock.run_page()
    settled(dock)
    assert dock.session.maps is not None and dock.session.maps.channels == ('core', 'shell')
    assert 'Shares' in page.made.text()


def test_a_dual_range_still_begins_with_the_oxides_and_has_the_edges_too(
    dock: TomographyDock, still: Still, settled: Callable[..., None]
) -> None:
    made = eels_tilt_series(oxide_nanocube(24), [-40.0, 0.0, 40.0], core_tilts=[0, 1, 2], core_dose=100, read_noise=0.0)
    dock.open_page.done(look_over(made.series))
    dock.stages.go_to(dock.maps_page)
    eels = dock.maps_page.eels
    still(eels)
    assert eels.kind.currentText() == OXIDES and eels.oxides.isVisibleTo(dock)
    eels.kind.setCurrentText('Edges')
    still(eels)
    form = eels.edges.form
    assert form is not None and form.fields['edges'].value == ('Fe_L',)
    form.fields['background_width'].value = 30.0
    form.fields['thickness'].value = True
    dock.run_page()
    settled(dock)
    assert dock.session.maps is not None and dock.session.maps.channels == ('Fe_L', 't/λ')
    assert 'on average' in eels.edges.made.text()
    eels.kind.setCurrentText(OXIDES)
    still(eels)
    assert eels.view.plot._explained is not None


def test_the_controls_come_back(dock: TomographyDock, page: EdgesPart, still: Still) -> None:
    eels = dock.maps_page.eels
    eels.kind.setCurrentText('White lines')
    assert page.form is not None
    page.form.fields['smooth'].value = 2.5
    state = dock.maps_page.state()
    page.form.fields['smooth'].value = 1.0
    eels.kind.setCurrentText('Edges')
    dock.maps_page.set_state(state)
    assert eels.kind.currentText() == 'White lines' and page.form.fields['smooth'].value == 2.5


def test_files_of_a_core_loss_alone_go_to_a_volume_by_a_recipe(series: SpectralTiltSeries, tmp_path: Path) -> None:
    import hyperspy.api as hs

    from napari_diptomo import SIRT, EdgeMaps, Recipe, load_tilt_series, run

    axes = [
        {'name': name, 'size': size, 'scale': scale, 'units': 'nm'}
        for name, size, scale in (('y', 24, 1.0), ('x', 24, 1.0))
    ]
    axes.append({'name': 'Energy loss', 'size': len(series.energy), 'offset': 470.0, 'scale': 0.5, 'units': 'eV'})
    for counts, angle in zip(series.counts, series.angles, strict=True):
        signal = hs.signals.Signal1D(counts, axes=axes)
        signal.set_signal_type('EELS')
        signal.save(tmp_path / f'core_{angle:g}.hspy')
    opened = load_tilt_series(tmp_path)
    assert opened.angles.tolist() == series.angles.tolist() and opened.energy[0] == 470
    steps = (EdgeMaps(edges=('O_K', 'Mn_L')), SIRT(iterations=10))
    recipe = Recipe(source=opened.recipe.source, steps=steps)
    recipe.save(tmp_path / 'recipe.json')
    volume = run(Recipe.load(tmp_path / 'recipe.json'))
    assert volume.channels == ('O_K', 'Mn_L')
