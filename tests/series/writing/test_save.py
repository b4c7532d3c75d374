"""Saved data come back bit by bit, and other programs see the right axes."""

from __future__ import annotations

from dataclasses import fields

import h5py
import numpy as np
import pytest

from napari_diptomo.series import InputError, MapSeries, Recipe, Source, Volume, load, save
from napari_diptomo.series.reading.saved import KEY

RECIPE = Recipe(Source(paths=('a.bcf', 'b.bcf'), angles=(-1.0, 2.0), pixel_size=1.07, binning=2))


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def full_maps(**changes) -> MapSeries:
    values = {
        'data': random(3, 4, 5, 6),
        'angles': np.array([-40.0, -1.03, 1 / 3, 35.5]),
        'channels': ('Sb', 'Te_La'),
        'pixel_size': 1.07,
        'shifts': np.random.default_rng(1).normal(size=(4, 2)),
        'axis_shift': -0.7,
        'variance': random(3, 4, 5, 6, seed=2),
        'held_out': random(3, 4, 5, 6, seed=3),
        'held_out_share': 0.1,
        'background': random(3, 4, 5, 6, seed=4),
        'mixing': random(3, 2, seed=5),
        'gain': random(3, 4, seed=6),
        'haadf': random(4, 5, 6, seed=7),
        'transposed': True,
        'notes': {'align': {'method': 'phase', 'rms': 0.1 + 0.2, 'shifts': [[1, 2.5]]}, 'text': 'µ, Å', 'none': None},
        'recipe': RECIPE,
    }
    return MapSeries(**(values | changes))


def full_volume(**changes) -> Volume:
    values = {
        'data': random(2, 3, 4, 5),
        'channels': ('Ge', 'Te'),
        'voxel_size': 0.9,
        'std': random(2, 3, 4, 5, seed=1),
        'scores': {'iteration': [0.0, 10.0], 'validation': [1 / 3, 0.1]},
        'notes': {'device': 'cpu', 'seconds': 1.5, 'stopped': True},
        'transposed': True,
        'recipe': RECIPE,
    }
    return Volume(**(values | changes))


def assert_same(a, b) -> None:
    assert type(a) is type(b)
    for name in (field.name for field in fields(a)):
        one, other = getattr(a, name), getattr(b, name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype and one.tobytes() == other.tobytes() and one.shape == other.shape, name
        else:
            assert one == other and type(one) is type(other), name


@pytest.mark.parametrize(
    'obj',
    [
        full_maps(),
        full_maps(transposed=False, recipe=None),
        full_maps(angles=[5.0, -3.0, 2.0, 7.0]),
        MapSeries(random(1, 2, 3, 4), [0.0, 1.0], ('Fe',)),
        full_volume(),
        full_volume(transposed=False, std=None),
        Volume(random(1, 2, 3, 4), ('Fe',)),
    ],
)
def test_round_trip_is_bit_identical(tmp_path, obj):
    path = obj.save(tmp_path / 'saved.hspy')
    assert path == tmp_path / 'saved.hspy'
    assert_same(load(path), obj)
    assert [p.name for p in tmp_path.iterdir()] == ['saved.hspy']


def test_steps_in_the_recipe_come_back(tmp_path):
    from napari_diptomo import Align

    maps = full_maps(recipe=RECIPE.then(Align(upsampling=7)))
    assert load(save(maps, tmp_path / 'm.hspy')).recipe == maps.recipe


def test_hyperspy_opens_maps_with_calibrated_axes(tmp_path):
    import hyperspy.api as hs

    signal = hs.load(str(save(full_maps(), tmp_path / 'm.hspy')))
    axes = signal.axes_manager
    assert [axis.name for axis in axes._axes] == ['channel', 'tilt', 'y', 'x']
    assert (axes['x'].scale, axes['x'].units, axes['tilt'].units) == (1.07, 'nm', 'deg')
    np.testing.assert_array_equal(axes['tilt'].axis, full_maps().angles)
    np.testing.assert_array_equal(signal.data, full_maps().data)


def test_hyperspy_opens_volumes_in_the_orientation_of_the_images(tmp_path):
    import hyperspy.api as hs

    signal = hs.load(str(save(full_volume(), tmp_path / 'v.hspy')))
    axes = signal.axes_manager
    assert [axis.name for axis in axes._axes] == ['channel', 'z', 'y', 'x']
    assert [axis.scale for axis in axes._axes][1:] == [0.9] * 3
    np.testing.assert_array_equal(signal.data, full_volume().data.swapaxes(2, 3))


def test_volume_to_mrc(tmp_path):
    import mrcfile

    paths = save(full_volume(transposed=False), tmp_path / 'v.mrc')
    assert [path.name for path in paths] == ['v_Ge.mrc', 'v_Te.mrc']
    with mrcfile.open(paths[1]) as file:
        np.testing.assert_array_equal(file.data, full_volume().data[1])
        assert float(file.voxel_size.z) == pytest.approx(9.0)
    assert mrcfile.validate(str(paths[0]))


def test_volume_to_tiff(tmp_path):
    import tifffile

    path = save(full_volume(transposed=False), tmp_path / 'v.tif')
    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal(file.asarray().swapaxes(0, 1), full_volume().data)
        assert (file.imagej_metadata['unit'], file.imagej_metadata['spacing']) == ('nm', pytest.approx(0.9))
        numerator, denominator = file.pages[0].tags['XResolution'].value
        assert denominator / numerator == pytest.approx(0.9, rel=1e-5)


def test_the_old_file_stays_when_writing_fails(tmp_path, monkeypatch):
    path = save(full_volume(), tmp_path / 'v.hspy')
    before = path.read_bytes()

    def half_written(partial, *args):
        partial.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('napari_diptomo.series.reading.hyperspy_adapter.write', half_written)
    with pytest.raises(InputError, match=r'v\.hspy cannot be written \(No space left'):
        save(full_maps(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['v.hspy']


def test_what_cannot_be_saved_or_loaded(tmp_path):
    with pytest.raises(InputError, match=r'ends in \.hspy\.'):
        save(full_maps(), tmp_path / 'm.mrc')
    with pytest.raises(InputError, match=r'\.hspy, \.ome\.zarr, \.mrc, \.tif or \.vti'):
        save(full_volume(), tmp_path / 'v.png')
    with pytest.raises(InputError, match='cannot be written'):
        save(full_volume(), tmp_path / 'gone' / 'v.tif')
    with pytest.raises(InputError, match='There is no file'):
        load(tmp_path / 'gone.hspy')
    (tmp_path / 'junk.hspy').write_bytes(b'junk')
    with pytest.raises(InputError, match=r'junk\.hspy'):
        load(tmp_path / 'junk.hspy')


def test_files_of_others_are_distinguished(tmp_path):
    import hyperspy.api as hs

    hs.signals.Signal2D(random(3, 4, 5)).save(str(tmp_path / 'other.hspy'))
    with pytest.raises(InputError, match='was not saved by napari-diptomo'):
        load(tmp_path / 'other.hspy')


def test_a_step_that_nobody_knows_is_named(tmp_path):
    import h5py

    path = save(full_volume(), tmp_path / 'v.hspy')
    with h5py.File(path, 'r+') as file:
        branch = next(iter(file['Experiments'].values()))['metadata/napari_diptomo']
        recipe = dict(branch.attrs)['recipe'].replace('"steps": []', '"steps": [{"step": "Unheard"}]')
        branch.attrs['recipe'] = recipe
    volume = load(path)
    np.testing.assert_array_equal(volume.data, full_volume().data)
    with pytest.raises(InputError, match="'Unheard'"):
        volume.recipe.resolved()


def test_a_name_without_suffix_becomes_hspy(tmp_path):
    assert save(full_volume(), tmp_path / 'v').name == 'v.hspy'


def test_channels_are_no_paths(tmp_path):
    volume = Volume(np.ones((2, 2, 2, 2)), ('Ge/x', '../../gone'), 1.0)
    written = volume.save(tmp_path / 'v.mrc')
    assert [path.name for path in written] == ['v_Ge-x.mrc', 'v_..-..-gone.mrc']
    assert sorted(tmp_path.iterdir()) == sorted(written)


@pytest.mark.parametrize('kind', [np.arange(3), np.zeros((2, 2)), 3, 2.5, 'something'], ids=repr)
def test_a_kind_that_is_none_is_one_sentence(tmp_path, kind):
    path = save(full_volume(), tmp_path / 'v.hspy')
    with h5py.File(path, 'a') as file:
        holders = []
        file.visititems(lambda name, item: holders.append(item) if item.name.endswith(KEY) else None)
        (holder,) = holders
        holder.attrs['kind'] = kind
    with pytest.raises(InputError, match='does not say what it holds'):
        load(path)
