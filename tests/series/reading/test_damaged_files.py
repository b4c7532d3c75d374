"""Damaged files: whatever a library makes of them, the user gets a sentence with the name of the file."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from hostile_files import write_hspy
from series_files import write_maps

from napari_diptomo.reconstruct.support import read_mask
from napari_diptomo.series import (
    DiptomoError,
    InputError,
    MapSeries,
    Recipe,
    TooLargeError,
    Volume,
    load,
    load_tilt_series,
)
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.metadata import of_its_kind
from napari_diptomo.spectra.edx.factor_tables import read_factors
from napari_diptomo.spectra.eels.standards.stored import Standards, read_references

KINDS = [
    zipfile.BadZipFile('no zip'),
    zlib.error('Error -3'),
    struct.error('unpack requires 4 bytes'),
    UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid start byte'),
    AssertionError(),
    TypeError('no'),
    IndexError('list index out of range'),
    KeyError('data'),
    OverflowError('too large'),
    RecursionError('maximum recursion depth exceeded'),
    MemoryError(),
    RuntimeError('first\nsecond'),
    OSError(5, 'Input/output error'),
    OSError('read', 5),
    EOFError(),
]


@pytest.mark.parametrize('error', KINDS, ids=lambda error: type(error).__name__)
def test_every_kind_of_error_is_one_sentence_and_keeps_its_cause(error):
    with (
        pytest.raises(InputError, match=r'^a\.tif cannot be read \(.+\); it may be damaged') as caught,
        reading('a.tif'),
    ):
        raise error
    assert '\n' not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize('error', [InputError('known'), TooLargeError('known'), KeyboardInterrupt()], ids=repr)
def test_sentences_and_interruptions_pass(error):
    with pytest.raises(type(error)) as caught, reading('a.tif'):
        raise error
    assert caught.value is error


@pytest.mark.parametrize('share', [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize('flip', [False, True], ids=['cut off', 'a byte changed'])
def test_damaged_bytes_never_end_in_anything_but_a_sentence(tmp_path, share, flip):
    """A few of each format; what is still readable may be read."""
    maps = MapSeries(np.ones((1, 3, 4, 5)), [-9, 0, 9], ('Fe',))
    Volume(np.ones((1, 3, 4, 5)), ('Fe',)).save(tmp_path / 'v.hspy')
    maps.save(tmp_path / 'maps.hspy')
    write_hspy(tmp_path / 'spectra.hspy')
    write_maps(tmp_path / 'Fe.tif', np.ones((3, 4, 5), np.uint16))
    np.save(tmp_path / 'mask.npy', np.ones((3, 4, 5), bool))
    np.savez(tmp_path / 's.npz', reported=np.array(json.dumps({'names': ['a']})))
    (tmp_path / 'factors.json').write_text('{"Ge_K": 1.32, "Te_L": 2.0}')
    Recipe().save(tmp_path / 'r.json')
    readers = {
        'v.hspy': load,
        'maps.hspy': load,
        'spectra.hspy': load_tilt_series,
        'Fe.tif': lambda path: load_tilt_series(path, angles=[-9, 0, 9]),
        'mask.npy': lambda path: read_mask(path, (3, 4, 5)),
        's.npz': Standards.load,
        'factors.json': read_factors,
        'r.json': Recipe.load,
    }
    for name, read in readers.items():
        path = tmp_path / name
        content = bytearray(path.read_bytes())
        position = int(share * len(content))
        if flip:
            content[position] ^= 0xFF
        path.write_bytes(content if flip else content[:position])
        try:
            read(path)
        except DiptomoError as error:
            assert '\n' not in str(error)


WRONG = [3, 'text', np.zeros(2), [1, 2], None, np.nan]


@pytest.mark.parametrize('value', WRONG, ids=repr)
@pytest.mark.parametrize(
    'key',
    [
        'Sample',
        'Sample.elements',
        'Signal',
        'Signal.quantity',
        'Acquisition_instrument',
        'Acquisition_instrument.TEM',
        'Acquisition_instrument.TEM.beam_energy',
        'Acquisition_instrument.TEM.Detector',
        'Acquisition_instrument.TEM.Detector.EDS.live_time',
        'Acquisition_instrument.TEM.Stage',
    ],
)
def test_metadata_of_another_kind_count_as_absent(tmp_path, key, value):
    path = write_hspy(tmp_path / 'a.hspy')
    *parents, last = key.split('.')
    with h5py.File(path, 'r+') as file:
        place = file.require_group('/'.join(['Experiments/series/metadata', *parents]))
        if last in place:
            del place[last]
        if value is not None:
            place.attrs[last] = value
    series = load_tilt_series(path)
    assert series.counts.shape == (3, 4, 5, 16)
    number = isinstance(value, int) and last in ('beam_energy', 'live_time')
    assert {name: series.metadata[name] for name in series.metadata if name != 'title'} == ({last: 3} if number else {})


def test_metadata_of_their_kind_stay():
    tree = {
        'General': {'title': 'x', 'FileIO': {'0': {}}},
        'Sample': {'elements': ['Ge']},
        'Acquisition_instrument': {'SEM': {'beam_energy': np.float64(20.0), 'Stage': {'tilt_alpha': 3}}},
        'napari_diptomo': {'beam_energy': 'own'},
    }
    assert of_its_kind(tree) == tree


def test_a_file_that_could_not_be_opened_is_let_go(tmp_path):
    """HyperSpy refuses the axis after HDF5 has opened the file."""
    path = write_hspy(tmp_path / 'a.hspy')
    with h5py.File(path, 'r+') as file:
        file['Experiments/series/axis-3'].attrs['scale'] = 'wide'
    with pytest.raises(InputError, match=r'a\.hspy cannot be read'):
        load_tilt_series(path)
    with h5py.File(path, 'r+') as file:
        file['Experiments/series/axis-3'].attrs['scale'] = 0.01
    assert load_tilt_series(path).counts.shape == (3, 4, 5, 16)


def test_axes_of_another_size_than_the_data_or_not_of_numbers_are_said(tmp_path):
    path = write_hspy(tmp_path / 'a.hspy')
    with h5py.File(path, 'r+') as file:
        file['Experiments/series/axis-3'].attrs['offset'] = np.nan
    with pytest.raises(InputError, match=r'a\.hspy has an axis that is empty or not of numbers'):
        load_tilt_series(path)


def test_pages_of_a_tiff_that_lead_in_a_circle_come_to_an_end(tmp_path):
    """An iteration over the pages of such a file did not."""
    path = write_maps(tmp_path / 'Fe.tif', np.ones((3, 4, 5), np.uint16))
    content = bytearray(path.read_bytes())
    order = '<' if content[:2] == b'II' else '>'
    (first,) = struct.unpack_from(order + 'I', content, 4)
    (tags,) = struct.unpack_from(order + 'H', content, first)
    for target in (first, 16, 2):
        struct.pack_into(order + 'I', content, first + 2 + 12 * tags, target)
        path.write_bytes(content)
        try:
            load_tilt_series(path, angles=[-9, 0, 9])
        except DiptomoError as error:
            assert 'Fe.tif' in str(error)


def test_a_tiff_that_unpacks_to_a_gigabyte_is_refused(tmp_path):
    import tifffile

    def blank():
        for _ in range(300):
            yield zlib.compress(bytes(2**20))

    path = tmp_path / 'Fe.tif'
    tifffile.imwrite(path, blank(), shape=(300, 1024, 1024), dtype=np.uint8, compression='zlib', rowsperstrip=1024)
    assert path.stat().st_size < 2**20
    with pytest.raises(InputError, match=r'Fe\.tif would unpack .* MiB to'):
        load_tilt_series(path, angles=range(300))


def test_a_mask_that_is_packed_is_refused_before_it_is_unpacked(tmp_path):
    (tmp_path / 'mask.mrc').write_bytes(gzip.compress(bytes(2000)))
    with pytest.raises(InputError, match=r'mask\.mrc is packed'):
        read_mask(tmp_path / 'mask.mrc', (3, 4, 5))


def test_references_are_read_from_files_and_nowhere_else(tmp_path, monkeypatch):
    """NumPy fetches a name that is an address, and unpacks one that ends in .gz."""
    import urllib.request

    monkeypatch.setattr(urllib.request, 'urlopen', lambda *a, **k: pytest.fail('fetched'))
    with pytest.raises(InputError, match='cannot be read'):
        read_references('http://example.org/oxides.csv', ('FeO',))
    packed = tmp_path / 'oxides.csv.gz'
    packed.write_bytes(gzip.compress(b'energy,FeO\n700,1\n701,2\n'))
    with pytest.raises(InputError, match=r'oxides\.csv\.gz'):
        read_references(packed, ('FeO',))


def test_a_saved_file_that_was_changed_names_itself(tmp_path):
    path = Volume(np.ones((1, 3, 4, 5)), ('Fe',)).save(tmp_path / 'v.hspy')
    changes = {
        'kind': ['other', 3],
        'format': ['x', 99],
        'values': ['[]', '{}', 'null', '{"channels": 3}', '[' * 5000],
        'recipe': ['[]', '3', '{"source": 1}'],
    }
    for key, values in changes.items():
        for value in values:
            with h5py.File(path, 'r+') as file:
                attributes = next(iter(file['Experiments'].values()))['metadata/napari_diptomo'].attrs
                before, attributes[key] = attributes[key], value
            with pytest.raises(InputError, match=r'v\.hspy'):
                load(path)
            with h5py.File(path, 'r+') as file:
                next(iter(file['Experiments'].values()))['metadata/napari_diptomo'].attrs[key] = before
    assert load(path).channels == ('Fe',)


def test_an_mrc_file_that_says_it_is_larger_is_cut_off(tmp_path):
    """An image was planned for every one named, for a minute and more."""
    import mrcfile

    path = tmp_path / 'Fe.mrc'
    with mrcfile.new(path) as file:
        file.set_data(np.ones((3, 4, 5), np.int16))
        file.voxel_size = 10
    assert load_tilt_series(path, angles=[-9, 0, 9]).data.shape == (1, 3, 4, 5)
    content = bytearray(path.read_bytes())
    for position, value in ((0, 10**6), (8, 2**28), (0, -5), (12, 77)):
        damaged = content.copy()
        struct.pack_into('<i', damaged, position, value)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r'Fe\.mrc is cut off or damaged'):
            load_tilt_series(path, angles=[-9, 0, 9])
    path.write_bytes(content[:1000])
    with pytest.raises(InputError, match=r'Fe\.mrc is cut off or damaged'):
        load_tilt_series(path, angles=[-9, 0, 9])


def test_an_axis_longer_than_any_is_refused_whatever_the_format(tmp_path):
    path = write_hspy(tmp_path / 'a.hspy')
    with h5py.File(path, 'r+') as file:
        group = file['Experiments/series']
        del group['data']
        group.create_dataset('data', (3, 1, 1, 2**28), np.uint8, chunks=(1, 1, 1, 2**27))
    with pytest.raises(InputError, match=r'a\.hspy says that its data have the shape .* as no measurement has'):
        load_tilt_series(path)


def test_a_spread_that_is_a_single_number_is_one_sentence():
    with pytest.raises(InputError, match='1 values of the spread are not numbers'):
        Volume(np.ones((1, 2, 2, 2)), ('Fe',), 1.0, std=np.array(np.nan))
