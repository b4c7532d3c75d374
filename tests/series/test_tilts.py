"""Tilts out of use, and tilts recorded more than once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from series_files import counts, write_maps, write_spectra

from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import (
    CoreLoss,
    InputError,
    MapSeries,
    Recipe,
    Source,
    SpectralTiltSeries,
    load_tilt_series,
    open_source,
    save,
)
from napari_diptomo.series.tilts import angles_in_words, in_use, repeats_in
from napari_diptomo.spectra import EDXMaps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four tilts; in the order of their names -20, 0, 10, 20."""
    for seed, name in enumerate(('a_-20', 'b_0', 'c_+10', 'd_+20')):
        write_spectra(tmp_path / f'{name}deg.hspy', counts(seed))
    return tmp_path


def same(made: SpectralTiltSeries, expected: list[int]) -> None:
    np.testing.assert_array_equal(np.asarray(made.counts), np.stack([counts(seed) for seed in expected]))


def test_a_tilt_out_of_use_is_not_opened_with_the_others(folder):
    series = load_tilt_series(folder, unused=[1])
    assert series.angles.tolist() == [-20, 10, 20]
    assert series.positions == (0, 2, 3)
    same(series, [0, 2, 3])
    assert series.recipe.source.unused == (1,)
    again = open_source(Recipe.from_json(series.recipe.to_json()).source)
    assert again.angles.tolist() == [-20, 10, 20]


def test_other_angles_leave_the_same_tilts_out(folder):
    series = load_tilt_series(folder, angles=[20, 0, -10, -20], unused=[0])
    assert series.angles.tolist() == [-20, -10, 0]
    assert series.positions == (3, 2, 1)
    same(series, [3, 2, 1])


def test_a_file_out_of_use_may_be_damaged_or_unlike(folder):
    (folder / 'b_0deg.hspy').write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(200))
    write_spectra(folder / 'c_+10deg.hspy', counts(2, (3, 6, 16)))
    with pytest.raises(InputError, match='b_0deg'):
        load_tilt_series(folder, unused=[2])
    series = load_tilt_series(folder, unused=[1, 2])
    assert series.positions == (0, 3)
    same(series, [0, 3])


def test_angles_of_a_table_without_names_are_those_of_all_files(folder):
    (folder / 'b_0deg.hspy').write_bytes(b'no data')
    (folder / 'series.rawtlt').write_text('-21\n1\n11\n21\n')
    assert load_tilt_series(folder, unused=[1]).angles.tolist() == [-21, 11, 21]


def test_metadata_of_the_others_hold_when_a_damaged_file_is_left_out(tmp_path):
    for seed, tilt in enumerate((-5.0, 0.0, 5.0)):
        write_spectra(tmp_path / f'{"xyz"[seed]}.hspy', counts(seed), tilt=tilt)
    (tmp_path / 'y.hspy').write_bytes(b'no data')
    series = load_tilt_series(tmp_path, unused=[1])
    assert (series.angles.tolist(), series.positions) == ([-5, 5], (0, 2))


def test_a_stack_of_spectra_without_a_tilt(tmp_path):
    data = np.stack([counts(seed) for seed in range(4)])
    path = write_spectra(tmp_path / 'stack.hspy', data, tilt_axis={'name': 'tilt', 'size': 4, 'units': 'deg'})
    series = load_tilt_series(path, angles=[30, 0, 10, 20], unused=[2])
    assert (series.angles.tolist(), series.positions) == ([0, 20, 30], (1, 3, 0))
    same(series, [1, 3, 0])


def test_maps_of_which_one_image_is_no_number(tmp_path):
    data = np.random.default_rng(0).poisson(5, (4, 6, 8)).astype(np.float32)
    data[2, :4] = np.nan
    write_maps(tmp_path / 'Ge.tif', data)
    write_maps(tmp_path / 'Te.tif', np.nan_to_num(data) + 1)
    with pytest.raises(InputError, match='leave their tilts out'):
        load_tilt_series(tmp_path, angles=[-10, 0, 10, 20])
    maps = load_tilt_series(tmp_path, angles=[-10, 0, 10, 20], unused=[2])
    assert maps.channels == ('Ge', 'Te')
    assert (maps.angles.tolist(), maps.positions) == ([-10, 0, 20], (0, 1, 3))
    np.testing.assert_array_equal(maps.data[0], data[[0, 1, 3]])


@pytest.mark.parametrize('suffix', ['.mrc', '.hspy', '.tif'])
def test_an_image_that_is_no_number_is_named_and_can_be_left_out_of_any_format(tmp_path, suffix):
    import hyperspy.api as hs
    import mrcfile

    data = np.random.default_rng(0).poisson(5, (4, 6, 8)).astype(np.float32)
    data[2] = np.nan
    path = tmp_path / f'Ge{suffix}'
    if suffix == '.mrc':
        with mrcfile.new(path) as file:
            file.set_data(data)
    elif suffix == '.hspy':
        hs.signals.Signal2D(data).save(str(path))
    else:
        write_maps(path, data)
    opened = {'angles': [20, 10, 0, -10], 'pixel_size': 2.0}
    with pytest.raises(InputError, match=r'not numbers \(NaN or infinite\), in image 3 of 4; correct those'):
        load_tilt_series(path, **opened)
    np.testing.assert_array_equal(load_tilt_series(path, **opened, unused=[2]).data[0], data[[3, 1, 0]])


def test_maps_of_other_writers(tmp_path):
    import mrcfile

    data = np.random.default_rng(0).poisson(5, (5, 7, 6)).astype(np.int16)
    with mrcfile.new(tmp_path / 'Fe.mrc') as file:
        file.set_data(data)
        file.voxel_size = 20.0
    maps = load_tilt_series(tmp_path / 'Fe.mrc', angles=[2, 1, 0, -1, -2], pixel_size=2.0, unused=[0, 4])
    np.testing.assert_array_equal(maps.data[0], data[[3, 2, 1]])
    save(maps, tmp_path / 'saved.hspy')
    saved = load_tilt_series(tmp_path / 'saved.hspy', unused=[1])
    np.testing.assert_array_equal(saved.data[0], data[[3, 1]])
    assert saved.recipe == Recipe(Source(paths=(str(tmp_path / 'saved.hspy'),), unused=(1,)))
    assert open_source(saved.recipe.source).angles.tolist() == [-1, 1]


@pytest.mark.parametrize(
    ('unused', 'sentence'),
    [
        ([4], r'Tilt 4 is said to be out of use, and there are 4 tilts \(counted from 0'),
        ([-1], 'Tilt -1 is said to be out of use'),
        ([0, 1, 2, 3], 'All tilts are out of use; use at least one'),
    ],
)
def test_tilts_that_are_not_there(folder, tmp_path_factory, unused, sentence):
    with pytest.raises(InputError, match=sentence):
        load_tilt_series(folder, unused=unused)
    other = write_maps(tmp_path_factory.mktemp('maps') / 'Ge.tif', counts(0, (4, 8, 8)).astype(np.float32))
    with pytest.raises(InputError, match=sentence):
        load_tilt_series(other, angles=[0, 1, 2, 3], unused=unused)


def about(series, subject):
    return [finding for finding in series.findings if finding.about == subject]


def test_repeated_tilts_are_a_doubt_with_a_choice(folder):
    series = load_tilt_series(folder, angles=[0, 10, 10.02, 20])
    assert series.angles.tolist() == [0, 10, 10.02, 20]
    (finding,) = about(series, 'repeated tilts')
    assert finding.level == 'doubt'
    assert finding.sentence.startswith('More than one recording at 10°. Sum them if they show the same specimen')
    assert finding.evidence == {'angles recorded more than once': 1, 'tilts at these': 2}
    assert finding.remedy.changes == {'repeated': 'sum'}


def test_repeated_tilts_out_of_use_are_no_doubt(folder):
    assert not about(load_tilt_series(folder, angles=[0, 10, 10, 20], unused=[1]), 'repeated tilts')


def test_the_first_of_repeated_tilts_is_that_of_the_files(folder):
    series = load_tilt_series(folder, angles=[20, 10.02, 10, 0], repeated='first')
    assert series.positions == (3, 1, 0)
    same(series, [3, 1, 0])
    assert [finding.level for finding in about(series, 'repeated tilts')] == ['note']


def test_counts_of_repeated_tilts_are_summed(folder):
    for seed, name in enumerate(('b_0', 'c_+10')):
        write_spectra(folder / f'{name}deg.hspy', np.full((8, 6, 16), 200 + seed, np.uint8))
    series = load_tilt_series(folder, angles=[0, 10, 10, 20], repeated='sum')
    assert series.angles.tolist() == [0, 10, 20]
    assert series.recordings == (1, 2, 1)
    assert (np.asarray(series.counts[1]) == 401).all(), 'more than a byte holds'
    assert series.positions == (0, 1, 3)


def test_the_gain_of_a_sum_is_the_number_of_its_recordings():
    from napari_diptomo.simulate import edx_tilt_series, lamella

    twice = edx_tilt_series(lamella(16), [-20.0, 0.0, 0.0, 20.0], peak_counts=60, seed=1).series
    summed = in_use(twice, repeated='sum')
    maps = EDXMaps(elements=('Ge', 'Te')).run(summed)
    np.testing.assert_array_equal(maps.gain, [[1, 2, 1], [1, 2, 1]])
    one = EDXMaps(elements=('Ge', 'Te')).run(in_use(twice, repeated='first'))
    ratio = maps.data[:, 1].sum(axis=(1, 2)) / one.data[:, 1].sum(axis=(1, 2))
    np.testing.assert_allclose(ratio, 2, rtol=0.1)


def test_a_sum_reconstructs_to_the_volume_of_both():
    from napari_diptomo.simulate import lamella, tilt_series

    clean = tilt_series(lamella(16), [-40, -20, 0, 0, 20, 40], peak_counts=200).maps
    maps = replace(clean, findings=())
    volumes = [SIRT(iterations=10, holdout=0).run(in_use(maps, repeated=how)).data for how in ('keep', 'sum', 'first')]
    np.testing.assert_allclose(volumes[1].sum(), volumes[2].sum(), rtol=0.02)
    np.testing.assert_allclose(volumes[1].sum(), volumes[0].sum(), rtol=0.02)


def test_maps_with_all_that_goes_with_them():
    rng = np.random.default_rng(0)
    data = rng.poisson(9, (2, 3, 4, 5)).astype(np.float32)
    missing = np.zeros(data.shape, bool)
    missing[0, 2, 0, 0] = True
    maps = MapSeries(
        data,
        [0, 5, 5],
        ('Ge', 'Te'),
        variance=data + 1,
        held_out=data / 2,
        held_out_share=0.5,
        background=data / 3,
        mixing=np.eye(2),
        gain=np.array([[1, 1, 2], [1, 1, 2]]),
        residual=data[0],
        haadf=data[1],
        missing=missing,
    )
    summed = in_use(maps, repeated='sum')
    for name in ('data', 'variance', 'held_out', 'background', 'gain'):
        whole = getattr(maps, name)
        np.testing.assert_allclose(getattr(summed, name)[:, 1], whole[:, 1] + whole[:, 2], rtol=1e-6)
    np.testing.assert_allclose(summed.haadf[1], maps.haadf[1:].mean(axis=0))
    assert summed.missing.sum() == 1 and summed.missing[0, 1, 0, 0]
    left = in_use(maps, unused=[2])
    assert left.missing is None
    np.testing.assert_array_equal(left.variance, maps.variance[:, :2])


def test_what_cannot_be_summed_is_said():
    maps = MapSeries(np.ones((1, 2, 4, 4)), [5, 5], ('Ge',), shifts=[[0, 0], [0, 1.5]])
    with pytest.raises(InputError, match='recordings at 5° are shifted against each other'):
        in_use(maps, repeated='sum')
    losses = SpectralTiltSeries(np.ones((2, 4, 4, 8)), np.arange(8.0), [5, 5], 1.0, 'eV')
    with pytest.raises(InputError, match='are not summed, for each has a zero loss of its own'):
        in_use(losses, repeated='sum')
    assert in_use(losses).findings[0].remedy is None


def test_the_core_loss_goes_with_its_tilts():
    core = CoreLoss(np.arange(2.0)[:, None, None, None] * np.ones((2, 4, 4, 3)), np.arange(500.0, 503.0), (0, 2))
    series = SpectralTiltSeries(np.ones((3, 4, 4, 8)), np.arange(8.0), [0, 5, 9], 1.0, 'eV', core_loss=core)
    left = in_use(series, unused=[0])
    assert left.core_loss.tilts == (1,)
    assert (left.core_loss.counts == 1).all()
    none = in_use(series, unused=[0, 2])
    assert none.core_loss is None
    assert none.findings[0].sentence.startswith('The core loss was recorded at tilts that are out of use only')


def test_what_changes_nothing_is_the_same_object():
    maps = MapSeries(np.ones((1, 2, 4, 4)), [5, 7], ('Ge',))
    assert in_use(maps) is maps
    assert in_use(maps, unused=[1]).recipe.source.unused == (1,)


def test_angles_within_a_twentieth_of_a_degree_are_one():
    assert repeats_in(np.array([10.0, 0.0, 10.049, 10.06])) == ((1,), (0, 2), (3,))
    assert repeats_in(np.array([1.0])) == ((0,),)


def test_recipes_of_the_first_edition_use_all_tilts():
    recipe = Recipe.from_dict({'napari-diptomo': 1, 'source': {'paths': ['x'], 'binning': 4}, 'steps': []})
    assert (recipe.source.unused, recipe.source.repeated) == ((), 'keep')
    other = Recipe(Source(unused=(2,), repeated='sum'))
    assert other.to_dict()['source']['unused'] == [2]
    assert Recipe.from_json(other.to_json()) == other


@pytest.mark.parametrize(
    ('angles', 'most', 'shown'),
    [
        ([-40, -4.5], None, '-40°, -4.5°'),
        ([100 / 3, -0.0], None, '33.33°, 0°'),
        ([1, 2, 3], 2, '1°, 2°, ...'),
        ([1, 2], 2, '1°, 2°'),
        ([], 2, ''),
    ],
)
def test_angles_are_listed_each_with_its_sign_of_degrees(angles, most, shown):
    assert angles_in_words(angles, most) == shown
