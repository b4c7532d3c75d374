"""Maps and volumes as layers: units, places, colours, records."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_diptomo.jobs.colours import HUES, colours, opacity
from napari_diptomo.series import MapSeries, Recipe, Source, Volume
from napari_diptomo.widgets.layers import image_layers as layers

ANGLES = np.array([-40.0, -35.0, -30.0, -25.0])


@pytest.fixture
def maps() -> MapSeries:
    data = np.random.default_rng(0).poisson(5, (2, 4, 6, 8))
    return MapSeries(data, ANGLES, ('Ge', 'Te'), pixel_size=2.0)


@pytest.fixture
def volume() -> Volume:
    data = np.random.default_rng(0).random((2, 5, 6, 8))
    return Volume(data, ('Ge', 'Te'), voxel_size=2.0, recipe=Recipe(Source(paths=('a.bcf',))))


def test_maps_and_volume_share_one_viewer_in_nm(maps: MapSeries, volume: Volume) -> None:
    viewer = ViewerModel()
    for part in (*layers.map_layers(maps), *layers.volume_layers(volume)):
        viewer.add_layer(Layer.create(*part))
    assert viewer.layers.units is not None
    assert [str(unit) for unit in viewer.layers.units] == ['degree', 'nanometer', 'nanometer', 'nanometer']
    assert viewer.dims.axis_labels == ('tilt', 'z', 'y', 'x')


def test_the_tilt_slider_reads_degrees(maps: MapSeries) -> None:
    viewer = ViewerModel()
    viewer.add_layer(Layer.create(*layers.map_layers(maps)[0]))
    viewer.dims.set_current_step(0, 3)
    assert viewer.dims.point[0] == pytest.approx(-25.0)


def test_the_maps_lie_in_the_middle_of_the_volume(maps: MapSeries, volume: Volume) -> None:
    image = Layer.create(*layers.map_layers(maps)[0])
    body = Layer.create(*layers.volume_layers(volume)[0])
    assert body.data_to_world((2, 0, 0)) == pytest.approx((0, 0, 0))
    assert image.data_to_world((0, 0, 3, 4))[1:] == pytest.approx(body.data_to_world((2, 3, 4)))


def test_windows_are_shown_as_the_elements_they_stand_for() -> None:
    mixing = np.array([[0.1, 0.5], [0.8, 0.3], [0.0, 0.2]])
    truth = np.random.default_rng(0).random((2, 4, 6, 8)) + 1
    windows = MapSeries(np.einsum('wc,ctyx->wtyx', mixing, truth), ANGLES, ('Ge', 'Te'), mixing=mixing)
    parts = layers.map_layers(windows)
    assert [kwargs['name'] for _, kwargs, _ in parts] == ['Ge maps', 'Te maps']
    for (data, _, _), expected in zip(parts, truth, strict=True):
        np.testing.assert_allclose(data[:, 0], expected, rtol=1e-4)


def test_a_transposed_volume_is_shown_as_recorded(volume: Volume) -> None:
    turned = Volume(volume.data, volume.channels, 2.0, transposed=True)
    data, _, _ = layers.volume_layers(turned)[0]
    assert data.shape == (5, 8, 6)
    assert np.array_equal(data, volume.data[0].swapaxes(1, 2))


def test_layers_remember_the_run(volume: Volume) -> None:
    _, kwargs, _ = layers.volume_layers(volume)[1]
    record = kwargs['metadata'][layers.KEY]
    assert record['channel'] == 'Te'
    assert json.loads(record['recipe'])['source']['paths'] == ['a.bcf']


def test_limits_ignore_hot_pixels() -> None:
    data = np.zeros((100, 100))
    data[:10] = 2.0
    data[0, 0] = 1e6
    assert layers.contrast_limits(data) == (0.0, 2.0)


def test_limits_of_an_even_image_leave_room() -> None:
    assert layers.contrast_limits(np.full((10, 10), 2.0)) == (0.0, 4.0)


def test_limits_start_at_nothing_though_noise_is_below() -> None:
    assert layers.contrast_limits(np.random.default_rng(0).normal(0, 1, 10_000))[0] == 0.0


@pytest.mark.parametrize('data', [np.zeros((4, 4)), np.full((2, 2), np.nan)])
def test_limits_of_nothing_are_still_a_range(data: np.ndarray) -> None:
    low, high = layers.contrast_limits(data)
    assert low < high


def test_uneven_tilts_get_the_mean_step() -> None:
    assert layers.tilt_axis(np.array([-30.0, -10.0, 30.0])) == (30.0, -30.0)


def test_one_element_one_colour() -> None:
    assert colours(('Ge', 'Sb', 'Te'))['Te'] == colours(('Te',))['Te']
    assert len(set(colours(('O', 'Ge', 'Mg', 'Si', 'Fe', 'S', 'Ni')).values())) == 7
    assert colours(('Ge_K',))['Ge_K'] == colours(('Ge',))['Ge']
    assert set(colours(map(str, range(24))).values()) == set(HUES)


def test_mixtures_do_not_all_turn_white() -> None:
    assert opacity([HUES[0]]) == 1.0
    four = [HUES[i] for i in (0, 3, 4, 5)]
    brightest = np.array([[int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)] for hue in four]).sum(0).max()
    assert opacity(four) * brightest == pytest.approx(1.6)
    assert opacity([]) == 1.0
