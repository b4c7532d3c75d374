"""Opening is not executing: files that would run code, reach for other files or swallow the memory."""

from __future__ import annotations

import json
import os
import sys
import zipfile

import h5py
import numpy as np
import pytest
from hostile_files import axis_as_expression, creates, write_hspy, write_zspy, zipped

from napari_diptomo.series import InputError, load, load_tilt_series
from napari_diptomo.series.reading import hyperspy_adapter as door
from napari_diptomo.series.reading.inspection import check_unpacks, inspect


def refused(path, text):
    """Every way in refuses the file, with its name."""
    for way in (inspect, door.open_signals, door.read_whole, load_tilt_series):
        with pytest.raises(InputError, match=text) as error:
            way(path)
        assert path.name in str(error.value)
        assert '\n' not in str(error.value)


def change(path, how):
    with h5py.File(path, 'r+') as file:
        how(file['Experiments/series'], file)
    return path


def test_the_files_of_these_tests_are_good_as_long_as_nobody_changes_them(tmp_path):
    for path in (
        write_hspy(tmp_path / 'a.hspy'),
        write_zspy(tmp_path / 'b.zspy'),
        zipped(tmp_path / 'b.zspy', tmp_path / 'c.zspy'),
    ):
        series = load_tilt_series(path)
        assert series.counts.shape == (3, 4, 5, 16)
        assert series.counts.sum().compute() == 3 * 4 * 5 * 16
        np.testing.assert_allclose(series.angles, [0, 10, 20])


# Expressions


def test_an_axis_in_hspy_that_is_an_expression_is_not_evaluated(tmp_path):
    marker = tmp_path / 'executed'
    path = change(
        write_hspy(tmp_path / 'a.hspy'), lambda group, _: axis_as_expression(group['axis-3'], creates(marker))
    )
    refused(path, 'axis given as an expression')
    assert not marker.exists()


@pytest.mark.parametrize('where', ['_list_4_axes/3', 'metadata/_sig_old/axis-0', 'original_metadata/_sig_old/axis-0'])
def test_nor_where_older_files_and_nested_signals_have_their_axes(tmp_path, where):
    marker = tmp_path / 'executed'

    def hide(group, _):
        place = group.require_group(where)
        axis_as_expression(place, creates(marker))

    refused(change(write_hspy(tmp_path / 'a.hspy'), hide), 'axis given as an expression')
    assert not marker.exists()


def test_nor_where_the_type_of_the_axis_is_not_given(tmp_path):
    marker = tmp_path / 'executed'

    def disguise(group, _):
        axis_as_expression(group['axis-3'], creates(marker))
        del group['axis-3'].attrs['_type']

    refused(change(write_hspy(tmp_path / 'a.hspy'), disguise), 'axis given as an expression')
    assert not marker.exists()


@pytest.mark.parametrize('packed', [False, True])
def test_nor_one_in_zspy(tmp_path, packed):
    marker = tmp_path / 'executed'
    path = write_zspy(
        tmp_path / 'a.zspy',
        extra={
            'Experiments/series/axis-3/.zattrs': {'expression': creates(marker), 'name': 'Energy', 'navigate': False},
            'Experiments/series/axis-3/x/.zgroup': {'zarr_format': 2},
            'Experiments/series/axis-3/x/.zattrs': {'_type': 'UniformDataAxis', 'size': 16, 'navigate': False},
        },
    )
    refused(zipped(path, tmp_path / 'b.zspy') if packed else path, 'axis given as an expression')
    assert not marker.exists()


def test_nor_one_that_only_the_consolidated_metadata_of_zspy_name(tmp_path):
    marker = tmp_path / 'executed'
    path = write_zspy(tmp_path / 'a.zspy')
    nodes = {
        file.relative_to(path).as_posix(): json.loads(file.read_text())
        for file in path.rglob('.z*')
        if file.name != '.zmetadata'
    }
    nodes['Experiments/series/axis-3/.zattrs'] = {'expression': creates(marker), 'size': 16, 'navigate': False}
    (path / '.zmetadata').write_text(json.dumps({'zarr_consolidated_format': 1, 'metadata': nodes}))
    refused(path, 'axis given as an expression')
    assert not marker.exists()


def test_the_last_door_before_hyperspy_refuses_expressions_of_any_format(tmp_path, monkeypatch):
    """Readers make axes from text of a file too: what reaches HyperSpy is looked at whatever its origin."""
    marker = tmp_path / 'executed'
    path = write_hspy(tmp_path / 'a.hspy')
    change(path, lambda group, _: axis_as_expression(group['axis-3'], creates(marker)))
    monkeypatch.setattr(door, 'inspect', lambda path: 0)
    with pytest.raises(InputError, match='axis given as an expression'):
        door.open_signals(path)
    assert not marker.exists()


@pytest.mark.parametrize('where', ['metadata', 'original_metadata'])
def test_signals_within_metadata_are_not_built(tmp_path, monkeypatch, where):
    marker = tmp_path / 'executed'

    def hide(group, _):
        nested = group.create_group(f'{where}/_sig_old')
        nested.create_dataset('data', data=np.ones(16), chunks=True)
        for part in ('metadata', 'original_metadata'):
            nested.create_group(part)
        axis_as_expression(nested.create_group('axis-0'), creates(marker))

    path = change(write_hspy(tmp_path / 'a.hspy'), hide)
    monkeypatch.setattr(door, 'inspect', lambda path: 0)
    (signal,) = door.open_signals(path)
    assert signal.shape == (3, 4, 5, 16)
    assert not marker.exists()


# Imports


def test_the_package_that_a_file_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / 'helpful_package.py').write_text('import pathlib; pathlib.Path("executed").touch()')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = write_hspy(tmp_path / 'a.hspy', package='helpful_package')
    assert load_tilt_series(path).counts.shape == (3, 4, 5, 16)
    assert 'helpful_package' not in sys.modules
    assert not (tmp_path / 'executed').exists()


def test_a_format_whose_reader_evaluates_text_is_refused(tmp_path):
    path = tmp_path / 'old.nc'
    path.write_bytes(b'CDF\x01')
    with pytest.raises(InputError, match=r'old\.nc is of no format that is read here'):
        door.open_signals(path)


# Pickles


def test_a_codec_that_unpickles_is_refused(tmp_path):
    plain = write_zspy(tmp_path / 'a.zspy', dtype='|O', filters=[{'id': 'pickle', 'protocol': 5}])
    refused(plain, 'pickled Python objects')
    other = write_zspy(tmp_path / 'b.zspy', compressor={'id': 'from_elsewhere'})
    refused(other, "packed with 'from_elsewhere'")


def test_a_codec_that_unpickles_is_refused_in_zarr_of_version_3_within_others(tmp_path):
    path = write_zspy(tmp_path / 'a.zspy')
    array = {
        'zarr_format': 3,
        'node_type': 'array',
        'shape': [2],
        'data_type': 'uint8',
        'chunk_grid': {'name': 'regular', 'configuration': {'chunk_shape': [2]}},
        'codecs': [
            {
                'name': 'sharding_indexed',
                'configuration': {'chunk_shape': [1], 'codecs': [{'name': 'numcodecs.pickle'}], 'index_codecs': []},
            }
        ],
    }
    (path / 'Experiments/series/metadata/zarr.json').write_text(json.dumps(array))
    refused(path, 'pickled Python objects')


class Executes:
    """A pickle of somebody else's, which runs code when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_pickles_in_npz_and_prz_and_npy_are_not_loaded(tmp_path):
    from napari_diptomo.jobs import transfer
    from napari_diptomo.spectra.eels.standards.stored import Standards

    marker = tmp_path / 'executed'
    thing = np.array([Executes(marker)], dtype=object)
    for name in ('a.npz', 'a.prz'):
        with open(tmp_path / name, 'wb') as file:
            np.savez(file, reported=thing, data=thing, meta_data=thing, _values=thing)
    np.save(tmp_path / 'a.npy', thing, allow_pickle=True)
    for read, name in (
        (transfer.read, 'a.npz'),
        (Standards.load, 'a.npz'),
        (door.open_signals, 'a.prz'),
        (door.open_signals, 'a.npy'),
    ):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    assert not marker.exists()


# Other files


def test_links_to_other_files_are_not_followed(tmp_path):
    other = write_hspy(tmp_path / 'secret.hspy')

    def link(group, _):
        del group['data']
        group['data'] = h5py.ExternalLink(str(other), '/Experiments/series/data')

    refused(change(write_hspy(tmp_path / 'a.hspy'), link), 'a link .* outside of it')


def test_nor_through_a_link_within_the_file(tmp_path):
    other = write_hspy(tmp_path / 'secret.hspy')

    def link(group, file):
        del group['data']
        group['data'] = h5py.SoftLink('/elsewhere/data')
        file['elsewhere'] = h5py.SoftLink('/there')
        file['there'] = h5py.ExternalLink(str(other), '/Experiments/series')

    refused(change(write_hspy(tmp_path / 'a.hspy'), link), 'a link .* outside of it')


def test_raw_data_in_other_files_are_not_read(tmp_path):
    secret = tmp_path / 'secret.txt'
    secret.write_bytes(b'0123456789' * 200)

    def store(group, _):
        del group['data']
        group.create_dataset('data', (3, 4, 5, 16), np.uint8, external=[(str(secret), 0, 960)])

    refused(change(write_hspy(tmp_path / 'a.hspy'), store), 'raw data outside of it')


def test_virtual_data_of_other_files_are_not_read(tmp_path):
    other = write_hspy(tmp_path / 'secret.hspy')

    def virtual(group, _):
        del group['data']
        layout = h5py.VirtualLayout((3, 4, 5, 16), np.uint8)
        layout[...] = h5py.VirtualSource(str(other), '/Experiments/series/data', (3, 4, 5, 16))
        group.create_virtual_dataset('data', layout)

    refused(change(write_hspy(tmp_path / 'a.hspy'), virtual), 'virtual data outside of it')


def test_references_are_refused_and_dimension_scales_are_not(tmp_path):
    def scale(group, _):
        group['steps'] = np.arange(3.0)
        group['steps'].make_scale('tilt')
        group['data'].dims[0].attach_scale(group['steps'])

    path = change(write_hspy(tmp_path / 'a.hspy'), scale)
    assert load_tilt_series(path).counts.shape == (3, 4, 5, 16)

    def refer(group, _):
        group['metadata'].attrs['points at'] = group['data'].ref

    refused(change(path, refer), "references between its objects .'points at'")
    parts = write_hspy(tmp_path / 'b.hspy')

    def refer_to_a_region(group, _):
        group['metadata'].create_dataset('part', data=group['data'].regionref[0], dtype=h5py.regionref_dtype)

    refused(change(parts, refer_to_a_region), 'references between its objects')


def test_links_in_a_zspy_folder_and_names_that_leave_it_are_refused(tmp_path):
    secret = tmp_path / 'secret'
    secret.write_bytes(bytes(960))
    path = write_zspy(tmp_path / 'a.zspy')
    chunk = path / 'Experiments/series/data/0.0.0.0'
    chunk.unlink()
    chunk.symlink_to(secret)
    refused(path, 'a link .* outside of it')
    path = write_zspy(tmp_path / 'b.zspy')
    nodes = {'../../secret/.zarray': {'zarr_format': 2}}
    (path / '.zmetadata').write_text(json.dumps({'zarr_consolidated_format': 1, 'metadata': nodes}))
    refused(path, 'a name .* outside of it')
    with zipfile.ZipFile(tmp_path / 'c.zspy', 'w') as archive:
        archive.writestr('../executed', 'x')
    refused(tmp_path / 'c.zspy', 'a name .* outside of it')
    assert not (tmp_path.parent / 'executed').exists()


def test_a_list_of_files_that_leads_out_of_its_folder_is_refused(tmp_path):
    def text(keyword, value):
        key, value = keyword + b'\0', value + b'\0'
        return (
            b'\x01'
            + len(key).to_bytes(4, 'little')
            + key
            + (10).to_bytes(4, 'little')
            + (len(value).to_bytes(4, 'little') + value)
        )

    for name in (b'..\\..\\secret.pts', b'\\etc\\secret.pts', b'C:\\secret.pts'):
        path = tmp_path / 'list.asw'
        path.write_bytes(bytes(12) + text(b'Filename', b'fine.img') + text(b'Filename', name))
        with pytest.raises(InputError, match=r'list\.asw holds a name .* outside of it'):
            inspect(path)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes here')
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / 'a.hspy')
    refused(tmp_path / 'a.hspy', 'no file but a pipe')


# Loops, depth and size


def test_groups_that_contain_themselves_are_refused(tmp_path):
    def hard(group, file):
        group['metadata/again'] = group['metadata']

    refused(change(write_hspy(tmp_path / 'a.hspy'), hard), 'contain themselves')

    def soft(group, file):
        group['metadata/again'] = h5py.SoftLink('/Experiments')

    refused(change(write_hspy(tmp_path / 'b.hspy'), soft), 'contain themselves')

    def nowhere(group, file):
        group['original_metadata/one'] = h5py.SoftLink('two')
        group['original_metadata/two'] = h5py.SoftLink('one')

    inspect(change(write_hspy(tmp_path / 'c.hspy'), nowhere))


def test_groups_that_multiply_are_refused(tmp_path):
    """Thirty groups, each twice in the one before: a thousand million ways."""

    def multiply(group, _):
        place = group['metadata']
        for _ in range(30):
            inner = place.create_group('one')
            place['two'] = inner
            place = inner

    refused(change(write_hspy(tmp_path / 'a.hspy'), multiply), 'leads to more than 100000 objects')


def test_groups_too_deep_for_the_readers_are_refused(tmp_path):
    def nest(group, _):
        group['metadata'].create_group('/'.join(['in'] * 2000))

    refused(change(write_hspy(tmp_path / 'a.hspy'), nest), 'more than 100 deep')
    path = write_zspy(tmp_path / 'b.zspy')
    (path / 'Experiments/series/metadata' / '/'.join(['in'] * 120)).mkdir(parents=True)
    refused(path, 'more than 100 deep')


def test_a_gigabyte_from_a_megabyte_is_refused(tmp_path):
    def bomb(group, _):
        del group['data']
        # The chunks are written as they are stored: zeros need not be packed a gigabyte long.
        import zlib

        data = group.create_dataset('data', (1024, 1024, 1024), np.uint8, chunks=(1, 1024, 1024), compression='gzip')
        packed = zlib.compress(bytes(2**20))
        for tilt in range(1024):
            data.id.write_direct_chunk((tilt, 0, 0), packed)

    path = change(write_hspy(tmp_path / 'a.hspy'), bomb)
    assert path.stat().st_size < 2**21
    refused(path, r'would unpack 1\.\d* MiB to 1 GiB')


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / 'a.zspy'
    with (
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive,
        archive.open('Experiments/data/0', 'w', force_zip64=True) as entry,
    ):
        for _ in range(300):
            entry.write(bytes(2**20))
    with pytest.raises(InputError, match=r'a\.zspy would unpack .* MiB to'):
        inspect(path)


def test_sparse_counts_are_no_bomb():
    check_unpacks('a.hspy', 2**32, 2**32 / 700)
    with pytest.raises(InputError, match=r'a\.hspy would unpack 5\.12 MiB to 4 GiB'):
        check_unpacks('a.hspy', 2**32, 2**32 / 800 - 1)
    check_unpacks('a.hspy', 2**20, 1)


def test_a_size_that_no_memory_holds_is_refused_before_it_is_read(tmp_path):
    from napari_diptomo.series import DiptomoError

    def boast(group, _):
        del group['data']
        group.create_dataset('data', (4, 2**15, 2**15, 2**10), np.float32, chunks=(1, 2**11, 2**11, 2**7))

    path = change(write_hspy(tmp_path / 'a.hspy'), boast)
    for way in (door.read_whole, lambda path: door.read(door.open_signals(path)[0])):
        with pytest.raises(DiptomoError, match=r'Reading a\.hspy needs .* GB of memory'):
            way(path)


def test_an_array_in_too_many_pieces_is_refused(tmp_path):
    """dask would write a list of them, for hours."""

    def shatter(group, _):
        del group['data']
        group.create_dataset('data', (4, 2**20, 2**20, 2**10), np.float32, chunks=(1, 64, 64, 64))

    refused(change(write_hspy(tmp_path / 'a.hspy'), shatter), 'more than 100000 pieces')
    refused(write_zspy(tmp_path / 'b.zspy', shape=[1, 1, 1, 10**9], chunks=[1, 1, 1, 1]), 'more than 100000 pieces')


def test_a_volume_is_inspected_too(tmp_path):
    from napari_diptomo.series import Volume

    path = Volume(np.ones((1, 2, 2, 2), np.float32), ('Fe',)).save(tmp_path / 'v.hspy')
    with h5py.File(path, 'r+') as file:
        (experiment,) = file['Experiments'].values()
        experiment['metadata/other'] = h5py.ExternalLink('elsewhere.h5', '/')
    with pytest.raises(InputError, match=r'a link .* outside of it'):
        load(path)


# Other files by name, and what is no file


def ome_tiff(path, names):
    """One page of ones that says that its other pages are in files of these names."""
    import tifffile

    data = ''.join(
        f'<TiffData IFD="{z}" FirstZ="{z}" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
        f'ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" SizeZ="{len(names)}" SizeC="1" SizeT="1">'
        f'<Channel ID="Channel:0:0"/>{data}</Pixels></Image></OME>'
    )
    tifffile.imwrite(
        path, np.ones((8, 8), np.uint8), description=xml, metadata=None, compression='zlib', rowsperstrip=4
    )
    return path


def test_a_tiff_does_not_bring_pages_of_other_files(tmp_path):
    import tifffile

    from napari_diptomo.reconstruct.support import read_mask
    from napari_diptomo.series.reading.pictures import pictures_in

    (tmp_path / 'secret').mkdir()
    tifffile.imwrite(
        tmp_path / 'secret' / 'z.tif', np.full((3, 8, 8), 77, np.uint8), compression='zlib', rowsperstrip=4
    )
    (tmp_path / 'f').mkdir()
    path = ome_tiff(tmp_path / 'f' / 'Fe.tif', ['../secret/z.tif'] * 3)
    with tifffile.TiffFile(path) as file:
        assert file.asarray().max() == 77, 'the trap is set'
    for way in (
        lambda: load_tilt_series(path, angles=(-10, 0, 10), pixel_size=1.0),
        lambda: read_mask(str(path), (3, 8, 8)),
        lambda: pictures_in(path),
    ):
        try:
            found = way()
        except InputError as error:
            assert '\n' not in str(error)
        else:
            assert 77 not in np.asarray(getattr(found, 'data', found[0].data if isinstance(found, tuple) else found))
    with pytest.raises(InputError, match=r"Fe\.tif holds a name \('\.\./secret/z\.tif'\) that leads"):
        inspect(path)


def test_an_ome_tiff_of_its_own_pages_is_read(tmp_path):
    import tifffile

    path = tmp_path / 'Fe.ome.tif'
    stack = np.arange(3 * 8 * 8, dtype=np.uint16).reshape(3, 8, 8)
    tifffile.imwrite(path, stack, ome=True, metadata={'axes': 'ZYX'})
    inspect(path)
    found = load_tilt_series(path, angles=(-10, 0, 10), pixel_size=1.0)
    np.testing.assert_array_equal(found.data[0], stack)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes')
def test_nothing_waits_for_a_pipe(tmp_path):
    from napari_diptomo.jobs.project import read_project
    from napari_diptomo.series import Recipe
    from napari_diptomo.spectra.edx.factor_tables import read_factors
    from napari_diptomo.spectra.eels.standards.stored import read_references

    pipe = tmp_path / 'project.json'
    os.mkfifo(pipe)
    for way in (Recipe.load, read_project, read_factors, lambda path: read_references(path, ('FeO', 'Fe3O4'))):
        with pytest.raises(InputError, match=r'project\.json is no file but a pipe or device; choose a file'):
            way(pipe)


def test_data_that_are_linked_many_times_count_each_time(tmp_path):
    path = tmp_path / 'v.hspy'
    write_hspy(path)

    def link(group, file):
        once = group.create_dataset('metadata/b0', (2**20,), 'u1', chunks=(2**16,), compression='gzip')
        once[: 2**16] = 1
        for number in range(1, 40):
            group[f'metadata/b{number}'] = once

    change(path, link)
    assert inspect(path) == 40 * 2**20 + 3 * 4 * 5 * 16


def test_an_axis_longer_than_its_data_is_refused_before_it_is_made(tmp_path):
    path = change(write_hspy(tmp_path / 'a.hspy'), lambda group, _: group['axis-3'].attrs.update(size=3 * 10**8))
    with pytest.raises(InputError, match=r'a\.hspy has an axis of 300000000 values for data of the shape'):
        load_tilt_series(path)
