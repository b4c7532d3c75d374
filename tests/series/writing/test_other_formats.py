"""Volumes for other programs: what they hold by their specifications, and what is left when writing fails."""

from __future__ import annotations

import errno
import json
import os
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_diptomo.series import Finding, InputError, Recipe, Source, Volume, load, save
from napari_diptomo.series.writing import ome_zarr
from napari_diptomo.series.writing.stacks import write_labels

FOUND = Finding('doubt', 'angles', 'They disagree.', {'deg': 2.0})


@pytest.fixture
def volume() -> Volume:
    rng = np.random.default_rng(0)
    data, std = rng.random((2, 66, 5, 130)), rng.random((2, 66, 5, 130))
    return Volume(data, ('Ge', 'Te <La>'), 1.07, std=std, recipe=Recipe(Source(paths=('a.bcf',))), findings=(FOUND,))


def described(path: Path) -> dict:
    return json.loads((path / 'zarr.json').read_text())['attributes']['ome']


@pytest.mark.parametrize('transposed', [False, True])
def test_ome_zarr_brings_values_errors_recipe_and_findings_back(volume, tmp_path, transposed):
    given = replace(volume, transposed=transposed)
    again = load(save(given, tmp_path / 'v.ome.zarr'))
    np.testing.assert_array_equal(again.data, given.data)
    np.testing.assert_array_equal(again.std, given.std)
    assert (again.channels, again.voxel_size, again.transposed) == (given.channels, 1.07, transposed)
    assert (again.recipe, again.findings) == (given.recipe, given.findings)


def test_ome_zarr_says_what_the_specification_asks_for(volume, tmp_path):
    path = save(volume, tmp_path / 'v.ome.zarr')
    image = described(path)
    assert image['version'] == '0.5'
    multiscale = image['multiscales'][0]
    assert multiscale['name'] == 'v'
    assert [(axis['name'], axis['type'], axis.get('unit')) for axis in multiscale['axes']] == [
        ('c', 'channel', None),
        *((name, 'space', 'nanometer') for name in 'zyx'),
    ]
    scales = [one['coordinateTransformations'][0]['scale'] for one in multiscale['datasets']]
    np.testing.assert_allclose(scales[:2], [[1, 1.07, 1.07, 1.07], [1, 2.14, 2.14, 2.14]])
    channels = image['omero']['channels']
    assert [channel['label'] for channel in channels] == ['Ge', 'Te <La>']
    assert channels[0]['color'] == '2AB0FF'
    assert described(path / 'std')['multiscales'][0]['name'] == 'v, standard deviation'


def test_smaller_sizes_lie_where_the_large_one_does(tmp_path):
    # A ramp is the same ramp in every size when scale and translation are right.
    z, y, x = np.meshgrid(np.arange(4), np.arange(8), np.arange(256), indexing='ij')
    path = save(Volume((z + 10 * y + 100 * x)[None].astype(float), ('Ge',), 2.0), tmp_path / 'v.ome.zarr')
    import zarr

    datasets = described(path)['multiscales'][0]['datasets']
    assert len(datasets) == 3
    for one in datasets:
        array = np.asarray(zarr.open_array(str(path / one['path']), mode='r')[0])
        scale, offset = (list(part.values())[1] for part in one['coordinateTransformations'])
        position = [offset[axis] + scale[axis] * np.arange(array.shape[axis - 1]) for axis in (1, 2, 3)]
        wz, wy, wx = np.meshgrid(*position, indexing='ij')
        np.testing.assert_allclose(array, (wz + 10 * wy + 100 * wx) / 2.0)


def test_vtk_reads_what_stands_behind_the_header(volume, tmp_path):
    path = save(volume, tmp_path / 'v.vti')
    content = path.read_bytes()
    start = content.index(b'encoding="raw">\n_') + len(b'encoding="raw">\n_')
    header = ElementTree.fromstring(content[:start] + b'</AppendedData></VTKFile>')
    image = header.find('ImageData')
    assert image.attrib['WholeExtent'] == '0 129 0 4 0 65' and image.attrib['Spacing'] == '1.07 1.07 1.07'
    arrays = {one.attrib['Name']: int(one.attrib['offset']) for one in header.iter('DataArray')}
    assert list(arrays) == ['Ge', 'Te <La>', 'Ge std', 'Te <La> std']
    for name, expected in (('Te <La>', volume.data[1]), ('Ge std', volume.std[0])):
        at = start + arrays[name]
        assert int.from_bytes(content[at : at + 8], 'little') == expected.nbytes
        found = np.frombuffer(content, '<f4', expected.size, at + 8).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected)


def test_tif_and_mrc_know_the_voxel(volume, tmp_path):
    import mrcfile

    with tifffile.TiffFile(save(volume, tmp_path / 'v.tif')) as file:
        assert (file.imagej_metadata['spacing'], file.imagej_metadata['unit']) == (1.07, 'nm')
        across, of = file.pages[0].tags['XResolution'].value
        assert across / of == pytest.approx(1 / 1.07)
        assert (file.series[0].axes, file.series[0].shape) == ('ZCYX', (66, 2, 5, 130))
    (first, second) = save(volume, tmp_path / 'v.mrc')
    assert second.name == 'v_Te -La-.mrc'
    with mrcfile.open(first) as file:
        assert file.is_volume() and file.voxel_size.x == pytest.approx(10.7)
        np.testing.assert_array_equal(file.data, volume.data[0])


def test_a_full_disk_leaves_the_earlier_folder_and_nothing_else(volume, tmp_path, monkeypatch):
    path = save(volume, tmp_path / 'v.ome.zarr')
    before = (path / 'zarr.json').read_bytes()
    real = ome_zarr._write_image

    def full(*arguments):
        real(*arguments)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ome_zarr, '_write_image', full)
    with pytest.raises(InputError, match=r'v\.ome\.zarr cannot be written \(No space left on device\): the disk of'):
        save(replace(volume, data=volume.data * 2), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ['v.ome.zarr']
    assert (path / 'zarr.json').read_bytes() == before
    np.testing.assert_array_equal(load(path).data, volume.data)


def test_a_folder_of_something_else_is_not_replaced(volume, tmp_path):
    (tmp_path / 'v.zarr').mkdir()
    (tmp_path / 'v.zarr' / 'thesis.txt').write_text('years')
    with pytest.raises(InputError, match=r'v\.zarr is there already and is no OME-Zarr'):
        save(volume, tmp_path / 'v.zarr')
    assert (tmp_path / 'v.zarr' / 'thesis.txt').read_text() == 'years'


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'unit': 'parsec'}, 'in the unit parsec'),
        ({'scale': [1, 2.0, 1.0, 1.0]}, r'voxels of 2 x 1 x 1 nm \(z, y, x\)'),
        ({'names': 'tzyc'}, 'has the axes t, z, y, c and is no volume'),
        ({'multiscales': []}, 'holds no OME-Zarr image'),
    ],
)
def test_images_of_others_that_are_no_volume(volume, tmp_path, change, said):
    path = save(volume, tmp_path / 'v.ome.zarr')
    document = json.loads((path / 'zarr.json').read_text())
    image = document['attributes']['ome']
    multiscale = image['multiscales'][0]
    for axis, name in zip(multiscale['axes'], change.get('names', 'czyx'), strict=True):
        axis['name'] = name
    multiscale['axes'][1]['unit'] = change.get('unit', 'nanometer')
    if 'scale' in change:
        multiscale['datasets'][0]['coordinateTransformations'][0]['scale'] = change['scale']
    image['multiscales'] = change.get('multiscales', image['multiscales'])
    (path / 'zarr.json').write_text(json.dumps(document))
    with pytest.raises(InputError, match=said):
        load(path)


def test_an_image_of_another_program_without_names_and_in_micrometres(tmp_path):
    import zarr

    group = zarr.create_group(str(tmp_path / 'o.zarr'), zarr_format=2)
    stored = group.create_array('a', shape=(3, 4, 5), chunks=(3, 4, 5), dtype='uint16')
    stored[...] = np.arange(60).reshape(3, 4, 5)
    axes = [{'name': name, 'type': 'space', 'unit': 'micrometer'} for name in 'zyx']
    transform = [{'type': 'scale', 'scale': [0.002] * 3}]
    group.attrs['multiscales'] = [
        {'version': '0.4', 'axes': axes, 'datasets': [{'path': 'a', 'coordinateTransformations': transform}]}
    ]
    again = load(tmp_path / 'o.zarr')
    assert (again.channels, again.voxel_size) == (('channel 1',), pytest.approx(2.0))
    np.testing.assert_array_equal(again.data[0], np.arange(60).reshape(3, 4, 5))


@pytest.mark.parametrize('transposed', [False, True])
def test_labels_lie_on_the_voxels_of_the_tiff_of_their_volume(tmp_path: Path, transposed: bool) -> None:
    volume = Volume(np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5), ('Ge', 'Te'), 2.5, transposed=transposed)
    labels = np.zeros((3, 4, 5), int)
    labels[1, 2, 3] = 300
    with tifffile.TiffFile(write_labels(labels, volume, tmp_path / 'labels.tif')) as file:
        found, notes = file.asarray(), file.imagej_metadata
    save(volume, tmp_path / 'volume.tif')
    counts = tifffile.imread(tmp_path / 'volume.tif')
    assert found.dtype == np.uint16 and found.shape == counts[:, 0].shape
    assert counts[:, 0][found == 300].tolist() == [volume.data[0, 1, 2, 3]]
    assert notes is not None and notes['spacing'] == 2.5 and notes['unit'] == 'nm'


def test_labels_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    volume = Volume(np.ones((1, 3, 4, 5)), ('Ge',), 1.0)
    with pytest.raises(InputError, match='take labels of it'):
        write_labels(np.zeros((3, 4, 4), int), volume, tmp_path / 'labels.tif')
    with pytest.raises(InputError, match='from 0 to 65535'):
        write_labels(np.full((3, 4, 5), 70_000), volume, tmp_path / 'labels.tif')
    assert not list(tmp_path.iterdir())
