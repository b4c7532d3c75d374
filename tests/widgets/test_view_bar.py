"""One click to slices, cut and surfaces of the volume that is seen, one click back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QPoint, Qt

from napari_diptomo.assess import Composition
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.composition_layers import composition_layers
from napari_diptomo.widgets.layers.first_look import look_from_a_corner, specimen_box, volume_layers_seen
from napari_diptomo.widgets.layers.volume_cut import cut
from napari_diptomo.widgets.layers.volume_view import VolumeView
from napari_diptomo.widgets.plots.slice_views import bar_length, outer_bounds, slice_colours, unit_of


@pytest.fixture
def volume() -> Volume:
    """Two bricks of 24 voxels of 2 nm: Ge at small x, Te at large x."""
    data = np.zeros((2, 24, 24, 24), np.float32)
    data[0, 6:18, 8:16, 4:12] = 1.0
    data[1, 6:18, 8:16, 12:20] = 2.0
    return Volume(data, channels=('Ge', 'Te'), voxel_size=2.0)


@pytest.fixture
def shown(dock: TomographyDock, volume: Volume, qtbot: Any) -> TomographyDock:
    dock.runs.add(volume, 'SIRT', shown=True)
    dock.show()
    qtbot.waitUntil(dock.view_bar.isVisible, timeout=3_000)
    return dock


def click(button: Any, qtbot: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_without_a_volume_there_is_nothing_to_press(dock: TomographyDock, qtbot: Any) -> None:
    dock.show()
    assert not dock.view_bar.isVisible()


def test_the_camera_looks_at_the_specimen_not_at_the_box(shown: TomographyDock) -> None:
    layers = volume_layers_seen(shown.viewer)
    low, high = specimen_box(layers)
    # Voxels 6 to 17 of 24 along z, whose middle is z = 0.
    np.testing.assert_allclose(low, (-11.0, 16.0, 8.0))
    np.testing.assert_allclose(high, (11.0, 30.0, 38.0))
    np.testing.assert_allclose(shown.viewer.scene.camera.center, (0.0, 23.0, 23.0))
    zoom = shown.viewer.scene.camera.zoom
    for layer in layers:
        layer.data = np.ones_like(layer.data)
    look_from_a_corner(shown.viewer, layers)
    assert shown.viewer.scene.camera.zoom < zoom


def test_names_stand_on_the_canvas_in_their_colours(shown: TomographyDock) -> None:
    for layer in volume_layers_seen(shown.viewer):
        assert layer.name_overlay.visible
        np.testing.assert_allclose(layer.name_overlay.color, layer.colormap.colors[-1])
    assert shown.viewer.canvas.overlays.scale_bar.visible
    assert shown.viewer.canvas.overlays.scale_bar.position == 'bottom_left'


def test_the_volume_is_cut_through_its_middle_and_whole_again(shown: TomographyDock, qtbot: Any) -> None:
    bar = shown.view_bar
    click(bar.buttons['Cut'], qtbot)
    assert bar.place.isVisible()
    for layer in volume_layers_seen(shown.viewer):
        (plane,) = layer.experimental_clipping_planes
        assert abs(plane.normal[0]) == 1.0
        assert plane.position[0] == pytest.approx(0.0), 'nm, halfway through 24 voxels'
    bar.axis.setCurrentText('x')
    (plane,) = volume_layers_seen(shown.viewer)[0].experimental_clipping_planes
    assert plane.position[2] == pytest.approx(23.0) and bar.place_note.text() == '23 nm'
    click(bar.buttons['Cut'], qtbot)
    assert not bar.place.isVisible()
    assert not any(len(layer.experimental_clipping_planes) for layer in volume_layers_seen(shown.viewer))


def test_what_is_cut_away_is_on_the_side_of_the_camera(shown: TomographyDock) -> None:
    layers = volume_layers_seen(shown.viewer)
    for along in ((1.0, 0.0, 0.0), (-1.0, 0.2, 0.0)):
        shown.viewer.scene.camera.set_view_direction(along, up_direction=(0.0, -1.0, 0.0))
        cut(shown.viewer, layers, 'z', 0.5)
        (plane,) = layers[0].experimental_clipping_planes
        # napari keeps what the normal points to.
        assert plane.normal[0] * shown.viewer.scene.camera.view_direction[0] > 0


def test_surfaces_and_back(shown: TomographyDock, qtbot: Any) -> None:
    bar = shown.view_bar
    click(bar.buttons['Surface'], qtbot)
    first = volume_layers_seen(shown.viewer)[0]
    assert first.rendering == 'iso' and first.iso_threshold == pytest.approx(0.5 * first.contrast_limits[1])
    bar.level.setValue(30)
    assert first.iso_threshold == pytest.approx(0.3 * first.contrast_limits[1])
    click(bar.buttons['Cut'], qtbot)
    shown.viewer.scene.camera.zoom = 99.0
    click(bar.whole, qtbot)
    assert first.rendering == 'attenuated_mip' and first.blending == 'additive'
    assert not len(first.experimental_clipping_planes) and shown.viewer.scene.camera.zoom != 99.0
    assert not any(button.isChecked() for button in bar.buttons.values())


def test_another_volume_gets_the_view_that_is_chosen(shown: TomographyDock, volume: Volume, qtbot: Any) -> None:
    click(shown.view_bar.buttons['Surface'], qtbot)
    shown.runs.add(volume, 'SIRT', shown=True)
    qtbot.waitUntil(
        lambda: {str(layer.rendering) for layer in volume_layers_seen(shown.viewer)} == {'iso'}, timeout=3_000
    )


def test_three_slices_are_linked(shown: TomographyDock, qtbot: Any) -> None:
    click(shown.view_bar.buttons['Slices'], qtbot)
    slices = shown.view_bar.slices
    assert slices is not None
    slices.resize(900, 320)
    qtbot.waitExposed(slices)
    np.testing.assert_allclose(slices.point, (0.0, 23.0, 23.0))
    shown.viewer.dims.ndisplay = 2
    plot = slices.plots[0]
    qtbot.wait(100)
    place = plot.getViewBox().mapViewToScene(
        plot.getViewBox().childGroup.mapFromParent(plot.getViewBox().rect().center())
    )
    where = slices.canvas.mapFromScene(place)
    qtbot.mouseClick(slices.canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(where.x() + 10, where.y()))
    qtbot.waitUntil(lambda: slices.point[2] != 23.0, timeout=3_000)
    slices.move_to((4.0, 20.0, 12.0))
    assert shown.viewer.dims.point[-3] == pytest.approx(4.0, abs=1.0)
    qtbot.waitUntil(lambda: 'y = 20' in slices.plots[2].titleLabel.text, timeout=3_000)
    assert slices.lines[1][0].value() == pytest.approx(4.0), 'z is across in the second view'
    shown.viewer.dims.set_point(shown.viewer.dims.ndim - 3, -10.0)
    qtbot.waitUntil(lambda: abs(slices.point[0] + 10.0) <= 1.0, timeout=3_000)
    slices.move_to((0.0, 24.0, 12.0))
    qtbot.waitUntil(lambda: 'Ge (SIRT): 1<' in slices.where.text, timeout=3_000)
    assert slices.where.text.count('Counts per voxel<br>') == 1, 'the unit, once for both channels'
    click(shown.view_bar.buttons['Slices'], qtbot)
    assert shown.view_bar.slices is None


@pytest.mark.parametrize(
    ('notes', 'unit'),
    [
        ({'statistics': 'Poisson counts'}, 'Counts per voxel'),
        ({'statistics': 'Gaussian, with the variance of the spectral fit'}, 'Counts per voxel'),
        (
            {'statistics': 'Gaussian, variance estimated from the scatter of the maps'},
            'Values per voxel, in the unit of the maps',
        ),
        ({'composition': {'units': {'Ge': 'wt.%', 'Te': 'wt.%'}}}, 'wt.%'),
        ({'statistics': 'Poisson counts', 'oxidation_state': {}}, ''),
    ],
)
def test_values_have_the_unit_of_what_is_seen(
    dock: TomographyDock, volume: Volume, notes: dict[str, Any], unit: str
) -> None:
    dock.runs.add(replace(volume, notes=notes), 'SIRT', shown=True)
    assert [unit_of(layer) for layer in volume_layers_seen(dock.viewer)] == [unit, unit]


def test_a_composition_says_percent_once(dock: TomographyDock, volume: Volume) -> None:
    result = Composition(k_factors=(1.0, 1.0), largest_error=1.0).run(volume)
    germanium = Image(composition_layers(result)[0][0], **composition_layers(result)[0][1])
    assert germanium.name == 'Ge at.%' and unit_of(germanium) == ''


def test_previews_of_maps_that_are_no_counts_have_their_unit(viewer: ViewerModel, maps: MapSeries) -> None:
    for series, unit in (
        (maps, 'Counts per voxel'),
        (replace(maps, data=maps.data * 0.37), 'Values per voxel, in the unit of the maps'),
    ):
        view = VolumeView(viewer, series, 'SIRT', 1)
        view.show(np.ones((2, 16, 16, 16), np.float32))
        assert {unit_of(layer) for layer in view.layers} == {unit}
        view.discard()


def test_slices_have_the_colours_and_the_places_of_the_layers(shown: TomographyDock) -> None:
    germanium = volume_layers_seen(shown.viewer)[0]
    picture = slice_colours(germanium, 0, 0.0)
    expected = np.asarray(germanium.colormap.colors)[-1][:3] * germanium.opacity
    np.testing.assert_allclose(picture[12, 6], expected, atol=0.02)
    assert not picture[12, 16].any()
    low, high = outer_bounds(germanium)
    np.testing.assert_allclose(low, (-24.0, -1.0, -1.0))
    np.testing.assert_allclose(high, (24.0, 47.0, 47.0))


@pytest.mark.parametrize(('width', 'length'), [(100.0, 20.0), (48.0, 10.0), (7.0, 2.0), (0.9, 0.2)])
def test_scale_bars_are_round(width: float, length: float) -> None:
    assert bar_length(width) == pytest.approx(length)


def test_in_a_window_the_slices_cover_the_canvas_and_leave_it(
    opened: Callable[[Any], Any], make_napari_viewer: Any, volume: Volume, qtbot: Any
) -> None:
    window = make_napari_viewer(show=True)
    dock = opened(window)
    dock.runs.add(volume, 'SIRT', shown=True)
    qtbot.waitUntil(lambda: not dock.view_bar.isHidden(), timeout=3_000)
    before = dock.window().minimumSizeHint()
    dock.view_bar.buttons['Slices'].click()
    canvas, slices = dock.window().centralWidget(), dock.view_bar.slices
    assert slices.geometry() == canvas.rect()
    dock.window().resize(dock.window().width() + 40, dock.window().height() + 30)
    qtbot.wait(100)
    assert slices.geometry() == canvas.rect()
    assert dock.window().minimumSizeHint() == before, 'a small screen stays large enough'
    dock.view_bar.buttons['Slices'].click()
    assert dock.view_bar.slices is None


def test_the_half_that_is_cut_away_is_the_near_one(
    opened: Callable[[Any], Any], make_napari_viewer: Any, qtbot: Any
) -> None:
    window = make_napari_viewer(show=True)
    dock = opened(window)
    data = np.zeros((2, 16, 16, 16), np.float32)
    data[0, 2:8, 3:13, 3:13] = 1.0
    data[1, 8:14, 3:13, 3:13] = 1.0
    dock.runs.add(Volume(data, channels=('Ge', 'Te'), voxel_size=2.0), 'SIRT', shown=True)
    window.scene.camera.set_view_direction((1.0, 0.0, 0.0), up_direction=(0.0, -1.0, 0.0))
    for layer in volume_layers_seen(window):
        layer.name_overlay.visible = False

    def seen() -> list[int]:
        picture = window.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
        blue = (picture[..., 2] > 60) & (picture[..., 2] > 1.5 * picture[..., 0])
        pink = (picture[..., 0] > 60) & (picture[..., 0] > 1.5 * picture[..., 1])
        return [int(blue.sum()), int(pink.sum())]

    cut(window, volume_layers_seen(window), 'z', 0.5)
    germanium, tellurium = seen()
    assert tellurium > 500 and germanium < 0.05 * tellurium, 'germanium has the smaller z: the camera stands there'


def test_the_plane_stands_where_the_slider_says(
    opened: Callable[[Any], Any], make_napari_viewer: Any, qtbot: Any
) -> None:
    """Three slabs of 2 nm voxels, the nearest germanium: near its front it is seen, further on it is gone."""
    window = make_napari_viewer(show=True)
    dock = opened(window)
    data = np.zeros((3, 16, 16, 16), np.float32)
    for channel in range(3):
        data[channel, 2 + 4 * channel : 6 + 4 * channel, 3:13, 3:13] = 1.0
    dock.runs.add(Volume(data, channels=('Ge', 'Sb', 'Te'), voxel_size=2.0), 'SIRT', shown=True)
    window.scene.camera.set_view_direction((1.0, 0.0, 0.0), up_direction=(0.0, -1.0, 0.0))
    layers = volume_layers_seen(window)
    by_name = {layer.name[:2]: layer for layer in layers}

    def seen(name: str, share: float) -> float:
        """Brightness of one channel alone, cut at this share of the specimen."""
        cut(window, layers, 'z', share)
        for layer in layers:
            layer.opacity = float(layer is by_name[name])
            layer.name_overlay.visible = False
        return float(window.screenshot(canvas_only=True, flash=False)[..., :3].astype(float).mean())

    full = seen('Te', 0.2)
    assert seen('Ge', 0.2) > 0.5 * full
    assert seen('Ge', 0.5) < 0.1 * full
    assert seen('Sb', 0.5) > 0.5 * full
    assert seen('Sb', 0.8) < 0.1 * full
    assert seen('Te', 0.8) > 0.5 * full
