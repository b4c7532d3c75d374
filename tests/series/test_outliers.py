"""Outlier pixels: those put in are found, to the pixel; nothing of a specimen is, however sharp, faint or lonely."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.outliers import outlier_pixels, without_outliers
from napari_diptomo.simulate import facetted, interdiffusion, lamella, needle, oxide_nanocube, porous, tilt_series

ANGLES = np.arange(-40, 41, 10.0)
SPECIMENS = {
    'lamella': lambda: lamella(24, 3),
    'porous': lambda: porous(24, 3),
    'needle': lambda: needle(24, 1),
    'needle, precipitates anywhere': lambda: needle(24, 2, aligned=False),
    'facetted': lambda: facetted(24, 3),
    'interdiffusion': lambda: interdiffusion(24, 2),
    'nanocube': lambda: oxide_nanocube(24),
}
#: Channel, tilt, y, x: inside, at an edge, in a corner, at the first and the last tilt.
PLACES = ((0, 4, 11, 12), (0, 2, 0, 9), (1, 6, 23, 23), (1, 0, 8, 14), (2, 8, 15, 10), (2, 3, 12, 0))


@pytest.fixture(scope='module', params=SPECIMENS)
def phantom(request):
    return SPECIMENS[request.param]()


def with_values(maps: MapSeries, values: dict) -> MapSeries:
    data = maps.data.copy()
    for place, value in values.items():
        data[place] = value
    return replace(maps, data=data)


def found(maps: MapSeries) -> set[tuple[int, ...]]:
    return {tuple(map(int, place)) for place in np.argwhere(outlier_pixels(maps))}


@pytest.mark.parametrize('peak', [1, 5, 20, 100])
def test_nothing_of_a_specimen_is_an_outlier(phantom, peak):
    simulated = tilt_series(phantom, ANGLES, peak, seed=3)
    assert found(simulated.maps) == set()
    assert found(replace(simulated.maps, data=simulated.clean)) == set()


@pytest.mark.parametrize('peak', [1, 20, 100])
@pytest.mark.parametrize('value', [3e3, 6.5535e4, 1e6])
def test_outliers_are_found_to_the_pixel(phantom, peak, value):
    maps = tilt_series(phantom, ANGLES, peak, seed=3).maps
    assert found(with_values(maps, dict.fromkeys(PLACES, value))) == set(PLACES)


@pytest.mark.parametrize(
    'angles',
    [[-40, 0, 40], [0, 90], np.arange(-40, 41, 20), ANGLES, [-55, -20, -18, 0, 3.5, 41, 70], np.linspace(-70, 70, 36)],
    ids=len,
)
def test_a_single_bright_voxel_is_kept(angles):
    """A point of the specimen, in whatever column and however bright, alone in its channel."""
    rng = np.random.default_rng(0)
    for _ in range(15):
        truth = np.zeros((1, 20, 6, 20), np.float32)
        truth[0, rng.integers(0, 20), rng.integers(0, 6), rng.integers(0, 20)] = 10 ** rng.uniform(1, 4)
        clean = ParallelBeam(np.asarray(angles, float), (20, 6, 20)).project(truth) + rng.choice([0, 0.02, 3])
        assert found(MapSeries(rng.poisson(clean), angles, ('Au',))) == set()


def test_a_bright_voxel_is_kept_where_one_image_is_blank():
    rng = np.random.default_rng(1)
    for blank in range(9):
        truth = np.zeros((1, 20, 6, 20), np.float32)
        truth[0, 7, 3, 12] = 500
        data = rng.poisson(ParallelBeam(ANGLES, (20, 6, 20)).project(truth)).astype(np.float32)
        data[:, blank] = 0
        assert found(MapSeries(data, ANGLES, ('Au',))) == set()


@pytest.mark.parametrize('given', [True, False])
def test_a_bright_voxel_is_kept_in_displaced_images(given):
    """Shifts that are known may be large, unknown ones a pixel or two."""
    rng = np.random.default_rng(2)
    shifts = rng.normal(0, 3 if given else 1, (9, 2))
    truth = np.zeros((1, 24, 24, 24), np.float32)
    truth[0, 9, 11, 14] = 500
    data = rng.poisson(ParallelBeam(ANGLES, (24, 24, 24), shifts).project(truth))
    assert found(MapSeries(data, ANGLES, ('Au',), shifts=shifts if given else None)) == set()


@pytest.mark.parametrize('mean', [0.001, 0.01, 0.1, 1.0, 30.0])
def test_few_counts_are_none(mean):
    data = np.random.default_rng(0).poisson(mean, (2, 9, 100, 100))
    assert found(MapSeries(data, ANGLES, ('A', 'B'))) == set()


def test_noise_that_is_wider_than_that_of_counts_is_none():
    rng = np.random.default_rng(0)
    assert found(MapSeries(rng.negative_binomial(0.5, 1 / 7, (1, 9, 100, 100)), ANGLES, ('A',))) == set()
    fitted = rng.normal(0, 3, (1, 9, 100, 100))
    assert found(MapSeries(fitted, ANGLES, ('A',))) == set()
    assert found(MapSeries(fitted, ANGLES, ('A',), variance=np.full(fitted.shape, 9.0))) == set()


def test_maps_that_are_no_counts_in_any_unit(phantom):
    maps = tilt_series(phantom, ANGLES, 40, seed=3).maps
    flat_field = np.random.default_rng(8).uniform(0.98, 1.02, maps.data.shape)
    for unit in (0.37, 1e-12, 1e20):
        scaled = replace(maps, data=maps.data * flat_field * unit)
        assert found(scaled) == set()
        assert found(with_values(scaled, dict.fromkeys(PLACES, 3e3 * unit))) == set(PLACES)


def test_fitted_maps_with_a_variance_that_the_outlier_has_inflated():
    rng = np.random.default_rng(4)
    simulated = tilt_series(lamella(24, 3), ANGLES, 40, seed=3)
    variance = simulated.clean + 5.0
    data = simulated.clean + np.sqrt(variance) * rng.standard_normal(variance.shape)
    assert found(replace(simulated.maps, data=data, variance=variance)) == set()
    data[PLACES[0]], data[PLACES[3]] = 1e5, -1e5
    for c, t, y, x in (PLACES[0], PLACES[3]):
        variance[c, t, max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4] += 1e3
    assert found(replace(simulated.maps, data=data, variance=variance)) == {PLACES[0], PLACES[3]}


def test_a_hot_pixel_of_the_detector_stays_where_no_point_can(phantom):
    maps = tilt_series(phantom, ANGLES, 40, seed=3).maps
    hot = {(0, t, 10, 2): 5000 for t in range(9)}
    assert found(with_values(maps, hot)) == set(hot)


def test_spots_and_pairs(phantom):
    maps = tilt_series(phantom, ANGLES, 40, seed=3).maps
    for size in ((1, 2), (2, 1), (2, 2), (1, 3)):
        spot = {(1, 4, 10 + y, 12 + x): 1e5 for y in range(size[0]) for x in range(size[1])}
        assert found(with_values(maps, spot)) == set(spot)


def test_a_dead_pixel_in_a_bright_map():
    data = np.random.default_rng(0).poisson(400, (1, 9, 24, 24))
    data[0, 4, 11, 9] = 0
    assert found(MapSeries(data, ANGLES, ('A',))) == {(0, 4, 11, 9)}


def test_a_single_slice():
    truth = np.zeros((1, 20, 1, 20), np.float32)
    truth[0, 6:14, 0, 6:14] = 2
    data = np.random.default_rng(0).poisson(ParallelBeam(ANGLES, (20, 1, 20)).project(truth)).astype(np.float32)
    maps = MapSeries(data, ANGLES, ('A',))
    assert found(maps) == set()
    assert found(with_values(maps, {(0, 3, 0, 11): 1e5})) == {(0, 3, 0, 11)}


def test_the_finding_names_channels_tilts_and_numbers():
    maps = tilt_series(lamella(24, 3), ANGLES, 20, seed=3).maps
    marked, findings = without_outliers(with_values(maps, {(0, 2, 10, 11): 1e6, (2, 5, 3, 4): 4e4}))
    assert marked.missing.sum() == 2
    (finding,) = findings
    assert (finding.level, finding.about) == ('note', 'outlier pixels')
    assert '2 pixels of the maps are outliers' in finding.sentence
    assert f'{maps.channels[0]} at -20°, {maps.channels[2]} at 10°' in finding.sentence
    assert finding.evidence['pixels'] == 2
    assert finding.evidence['largest'] == 1e6
    assert finding.evidence[f'in {maps.channels[2]}'] == 1
    assert without_outliers(maps) == (maps, ())


def test_many_outliers_are_a_doubt():
    maps = tilt_series(lamella(40, 3), ANGLES, 20, seed=3).maps
    spoilt = np.random.default_rng(0).random(maps.data.shape) < 2e-3
    data = np.where(spoilt, 10 ** np.random.default_rng(1).uniform(3.5, 6, maps.data.shape), maps.data)
    marked, (finding,) = without_outliers(replace(maps, data=data))
    assert finding.level == 'doubt'
    assert marked.missing[spoilt].mean() > 0.8
    assert not marked.missing[~spoilt].any()


def test_a_value_around_stands_in_so_that_counts_remain_counts():
    data = np.full((1, 9, 8, 8), 50.0)
    data[0, 4, 3, 3], data[0, 4, 2, 2:5] = 1e6, 40
    marked, _ = without_outliers(MapSeries(data, ANGLES, ('A',)))
    assert marked.data[0, 4, 3, 3] == 50
    assert marked.are_counts


def test_what_is_missing_may_be_no_number():
    data = np.ones((2, 9, 8, 8))
    missing = np.zeros(data.shape, bool)
    missing[1, 2, :3] = True
    data[missing] = np.nan
    with pytest.raises(InputError, match=r'24 values of the maps are not numbers .* mark such pixels as missing'):
        MapSeries(data, ANGLES, ('A', 'B'))
    maps = MapSeries(data, ANGLES, ('A', 'B'), missing=missing)
    assert (maps.data[missing] == 0).all()
    assert maps.select(('B',)).missing.sum() == 24
    assert not outlier_pixels(maps).any()
    missing[:, 3] = True
    with pytest.raises(InputError, match='All data at -10° are missing; leave this tilt out'):
        MapSeries(data, ANGLES, ('A', 'B'), missing=missing)
    with pytest.raises(InputError, match='mask of missing data'):
        MapSeries(np.ones((2, 9, 8, 8)), ANGLES, ('A', 'B'), missing=missing[:1])
