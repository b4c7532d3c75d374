"""Opening series of spectra and of maps, and every way in which it can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from series_files import REAL, counts, write_maps, write_spectra

from napari_diptomo.series import (
    Cancelled,
    InputError,
    MapSeries,
    Observer,
    Recipe,
    Request,
    Source,
    SpectralTiltSeries,
    load_tilt_series,
    open_source,
    save,
)

OPENNCEM = REAL / 'openncem-edx'
needs_openncem = pytest.mark.skipif(not OPENNCEM.is_dir(), reason='the openNCEM series is not beside the repository')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three tilts, out of order, that differ."""
    for seed, tilt in enumerate((10, -20, 0)):
        write_spectra(tmp_path / f'GST_{tilt:+d}deg.hspy', counts(seed))
    return tmp_path


def test_folder_of_spectra_sorted_and_lazy(folder):
    series = load_tilt_series(folder)
    assert isinstance(series, SpectralTiltSeries)
    assert series.angles.tolist() == [-20, 0, 10]
    assert series.angle_source == 'from the file names'
    assert series.counts.chunks[0] == (1, 1, 1)
    np.testing.assert_array_equal(series.counts.compute(), np.stack([counts(1), counts(2), counts(0)]))
    assert series.counts.dtype == np.uint8
    np.testing.assert_allclose(series.energy, -0.1 + 0.01 * np.arange(16), atol=1e-12)
    assert (series.energy_unit, series.pixel_size) == ('keV', 2.0)
    assert series.metadata == {'beam_energy': 200.0, 'elevation': 18.0, 'elements': ['Ge', 'Te']}
    assert series.recipe == Recipe(Source(paths=(str(folder),)))


def test_the_recipe_opens_the_same(folder, tmp_path):
    first = load_tilt_series(folder, [5, 6, 7], binning=2, tilt_axis='x')
    again = open_source(Recipe.from_json(first.recipe.to_json()).source)
    assert again.angles.tolist() == [5, 6, 7]
    np.testing.assert_array_equal(again.counts.compute(), first.counts.compute())


def test_given_angles_follow_a_list_and_the_natural_order_of_a_folder(folder):
    files = [folder / 'GST_+10deg.hspy', folder / 'GST_-20deg.hspy']
    listed = load_tilt_series(files, [3.0, 1.0])
    np.testing.assert_array_equal(listed.counts[0].compute(), counts(1))
    in_folder = load_tilt_series(folder, [1, 2, 3])
    np.testing.assert_array_equal(in_folder.counts[2].compute(), counts(0))
    with pytest.raises(InputError, match='2 angles for 3 files'):
        load_tilt_series(folder, [1, 2])


def test_binning_sums_exactly_and_crops(tmp_path):
    full = np.full((7, 5, 4), 255, np.uint8)
    for tilt in (-1, 1):
        write_spectra(tmp_path / f'{tilt}.hspy', full)
    series = load_tilt_series(tmp_path, binning=2)
    assert series.counts.shape == (2, 3, 2, 4)
    assert series.counts.dtype == np.uint16
    assert (series.counts.compute() == 4 * 255).all()
    assert series.pixel_size == 4.0


@pytest.mark.parametrize('order', ['<f4', '>f4', '>f8', '>u2'])
def test_binning_of_either_byte_order(tmp_path, order):
    for tilt in (-1, 1):
        write_spectra(tmp_path / f'{tilt}.hspy', counts(tilt + 1).astype(order))
    sums = load_tilt_series(tmp_path, binning=2).counts.compute()
    np.testing.assert_array_equal(sums[1], counts(2).reshape(4, 2, 3, 2, 16).sum((1, 3)))


def test_tilt_axis_along_x_is_transposed(folder):
    plain, turned = load_tilt_series(folder), load_tilt_series(folder, tilt_axis='x')
    assert turned.transposed and turned.counts.shape == (3, 6, 8, 16)
    np.testing.assert_array_equal(turned.counts.compute(), plain.counts.compute().swapaxes(1, 2))


@pytest.mark.parametrize(
    ('pixel', 'expected'),
    [((0.013, 'µm'), 13.0), ((0.013, 'μm'), 13.0), ((12.0, 'Å'), 1.2), ((2e-9, 'm'), 2.0), ((900.0, 'pm'), 0.9)],
)
def test_units_of_length(tmp_path, pixel, expected):
    for tilt in (-1, 1):
        write_spectra(tmp_path / f'{tilt}.hspy', counts(), pixel=pixel)
    assert load_tilt_series(tmp_path).pixel_size == pytest.approx(expected)


def test_without_a_unit_the_pixel_size_is_asked_for(tmp_path):
    for tilt in (-1, 1):
        write_spectra(tmp_path / f'{tilt}.hspy', counts(), pixel=(1.0, ''))
    with pytest.raises(InputError, match='give the pixel size'):
        load_tilt_series(tmp_path)
    assert load_tilt_series(tmp_path, pixel_size=3.0, binning=2).pixel_size == 6.0


def test_metadata_angles(tmp_path):
    for name, tilt in (('a', 12.0), ('b', -7.5)):
        write_spectra(tmp_path / f'{name}.hspy', counts(), tilt=tilt)
    series = load_tilt_series(tmp_path)
    assert series.angles.tolist() == [-7.5, 12.0]
    assert series.angle_source == 'from the metadata of the files'


def test_a_list_may_name_the_table(folder, tmp_path_factory):
    table = tmp_path_factory.mktemp('elsewhere') / 'angles.csv'
    table.write_text('GST_+10deg.hspy,10.2\nGST_-20deg,-19.7\nGST_+0deg,0.3\n')
    series = load_tilt_series([*sorted(folder.glob('*.hspy')), table])
    assert series.angles.tolist() == [-19.7, 0.3, 10.2]
    table.write_text('GST_+10deg.hspy,1\nGST_-20deg,2\nGST_+0deg,3\n')
    with pytest.raises(
        InputError, match=r'file names \(.*\) and of the table angles.csv, by file name \(.*\) disagree'
    ):
        load_tilt_series([*sorted(folder.glob('*.hspy')), table])
    given = load_tilt_series(folder, table)
    assert given.angles.tolist() == [1, 2, 3]
    assert [finding.level for finding in given.findings] == ['doubt']


def stack(shape=(3, 8, 6, 16)):
    return counts(7, shape)


def test_one_stack_with_angles_on_its_axis(tmp_path):
    axis = {'name': 'tilt', 'units': 'deg', 'axis': np.array([-15.0, 2.0, 40.0])}
    path = write_spectra(tmp_path / 'stack.hspy', stack(), tilt_axis=axis)
    series = load_tilt_series(path)
    assert series.angles.tolist() == [-15, 2, 40]
    np.testing.assert_array_equal(series.counts.compute(), stack())
    given = load_tilt_series(path, [5, 3, 4])
    np.testing.assert_array_equal(given.counts.compute(), stack()[[1, 2, 0]])


def test_one_stack_as_hyperspy_stacks_it(tmp_path):
    import hyperspy.api as hs

    files = [
        write_spectra(tmp_path / f'{n}.hspy', counts(i), tilt=t) for i, (n, t) in enumerate([('p', 30), ('q', -3)])
    ]
    whole = hs.load([str(file) for file in files], stack=True, new_axis_name='tilt')
    whole.save(str(tmp_path / 'whole.hspy'))
    series = load_tilt_series(tmp_path / 'whole.hspy')
    assert series.angles.tolist() == [-3, 30]
    np.testing.assert_array_equal(series.counts[0].compute(), counts(1))


def test_spectra_in_ev_are_eels_unless_x_rays(tmp_path):
    for tilt in (-1, 1):
        write_spectra(tmp_path / f'{tilt}.hspy', counts(), energy={'scale': 10.0, 'offset': -100.0, 'units': 'eV'})
    assert load_tilt_series(tmp_path).energy_unit == 'keV'
    assert load_tilt_series(tmp_path).energy[1] == pytest.approx(-0.09)


class Recorder(Observer):
    def __init__(self, request=Request.GO):
        self.seen, self.wanted = [], request

    def report(self, progress):
        self.seen.append(progress)

    def request(self):
        return self.wanted


def test_progress_names_every_file_and_cancel_is_obeyed(folder):
    recorder = Recorder()
    load_tilt_series(folder, observer=recorder)
    assert [p.iteration for p in recorder.seen] == [1, 2, 3]
    assert {p.message for p in recorder.seen} == {path.name for path in folder.iterdir()}
    with pytest.raises(Cancelled):
        load_tilt_series(folder, observer=Recorder(Request.CANCEL))


# Ready maps


def maps(seed: int, shape=(4, 6, 8)) -> np.ndarray:
    return np.random.default_rng(seed).poisson(4, shape).astype(np.float32)


@pytest.mark.parametrize(
    ('names', 'table'),
    [
        (('GST225_Ge_proj.tif', 'GST225_Te_proj.tif'), 'angles_GST225.txt'),
        (('Ge_stack.tif', 'Te_stack.tif'), 'angles_deg.txt'),
        (('stacks/Ge_stack.tif', 'stacks/Te_stack.tif'), 'metadata/angles_deg.txt'),
    ],
)
def test_tiff_stacks_with_a_table(tmp_path, names, table):
    for seed, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_maps(tmp_path / name, maps(seed))
    (tmp_path / table).parent.mkdir(exist_ok=True)
    (tmp_path / table).write_text('# degrees\n40\n10\n-20\n-50\n')
    series = load_tilt_series((tmp_path / names[0]).parent)
    assert isinstance(series, MapSeries)
    assert series.channels == ('Ge', 'Te')
    assert series.angles.tolist() == [-50, -20, 10, 40]
    assert series.pixel_size == pytest.approx(1.07, rel=1e-5)
    assert series.notes['angle_source'].startswith('from the table angles_')
    np.testing.assert_array_equal(series.data, np.stack([maps(0)[::-1], maps(1)[::-1]]))


def test_a_haadf_stack_is_no_channel_and_binning_is_mean_there(tmp_path):
    for seed, name in enumerate(('Fe', 'HAADF')):
        write_maps(tmp_path / f'{name}_stack.tif', maps(seed))
    series = load_tilt_series(tmp_path, [-1, 0, 1, 2], binning=2, tilt_axis='x')
    assert series.channels == ('Fe',) and series.transposed
    blocks = maps(0).swapaxes(1, 2).reshape(4, 4, 2, 3, 2)
    np.testing.assert_allclose(series.data[0], blocks.sum((2, 4)))
    np.testing.assert_allclose(series.haadf, maps(1).swapaxes(1, 2).reshape(4, 4, 2, 3, 2).mean((2, 4)), rtol=1e-6)


def test_three_small_integer_pages_are_tilts_not_colours(tmp_path):
    import tifffile

    data = maps(0, (3, 6, 8)).astype(np.uint8)
    tifffile.imwrite(tmp_path / 'Fe.tif', data)
    series = load_tilt_series(tmp_path / 'Fe.tif', [-1, 0, 1], pixel_size=2)
    np.testing.assert_array_equal(series.data[0], data)
    assert series.channels == ('Fe',)


def test_mrc_and_hspy_stacks(tmp_path):
    import hyperspy.api as hs
    import mrcfile

    with mrcfile.new(tmp_path / 'Sb_map.mrc') as file:
        file.set_data(maps(3))
        file.voxel_size = 21.4
    series = load_tilt_series(tmp_path / 'Sb_map.mrc', [-1, 0, 1, 2])
    assert (series.channels, series.pixel_size) == (('Sb',), pytest.approx(2.14))
    np.testing.assert_array_equal(series.data[0], maps(3))
    for seed, line in enumerate(('Ge_Ka', 'Te_La')):
        signal = hs.signals.Signal2D(maps(seed))
        signal.metadata.set_item('Sample.xray_lines', [line])
        for axis, name in zip(signal.axes_manager._axes, ('tilt', 'y', 'x'), strict=True):
            axis.name, axis.units = name, 'deg' if name == 'tilt' else 'nm'
        signal.axes_manager['tilt'].scale, signal.axes_manager['tilt'].offset = 15, -20
        signal.save(str(tmp_path / f'map{seed}.hspy'))
    series = load_tilt_series(sorted(tmp_path.glob('*.hspy')))
    assert series.channels == ('Ge_Ka', 'Te_La')
    assert series.angles.tolist() == [-20, -5, 10, 25]


def test_an_axis_that_nobody_has_set_is_no_evidence(tmp_path):
    axis = {'name': 'tilt', 'units': 'deg', 'size': 3, 'scale': 1, 'offset': 0}
    path = write_spectra(tmp_path / 'stack.hspy', stack(), tilt_axis=axis)
    with pytest.raises(InputError, match='No tilt angles were found'):
        load_tilt_series(path)


def test_a_saved_series_opens_as_it_is(tmp_path):
    saved = MapSeries(maps(0)[None], [-3, -2, 1, 5], ('Fe',), 2.0, recipe=Recipe(Source(paths=('x',))))
    path = save(saved, tmp_path / 'maps.hspy')
    opened = load_tilt_series(path)
    assert opened.recipe == saved.recipe and opened.angles.tolist() == [-3, -2, 1, 5]
    with pytest.raises(InputError, match='was saved with its angles'):
        load_tilt_series(path, binning=2)


# What can be wrong


def check_fails(match: str, *args, **kwargs) -> None:
    with pytest.raises(InputError, match=match) as caught:
        series = load_tilt_series(*args, **kwargs)
        series.counts.compute()
    text = str(caught.value)
    assert text.count('\n') == 0 and text.endswith('.')


def test_paths_that_are_none(tmp_path):
    check_fails('There is no file or folder', tmp_path / 'gone')
    check_fails('No spectra and no maps were found', tmp_path)
    check_fails('No file was given', [])
    (tmp_path / 'notes.txt').write_text('words')
    check_fails('No spectra and no maps were found', tmp_path / 'notes.txt')


def test_shapes_that_differ_name_the_file(folder):
    write_spectra(folder / 'GST_+30deg.hspy', counts(0, (8, 5, 16)))
    check_fails(r'GST_\+30deg\.hspy has the shape \(8, 5, 16\)', folder)


def test_calibrations_that_differ_name_the_file(folder):
    write_spectra(folder / 'GST_+30deg.hspy', counts(), energy={'scale': 0.02, 'offset': -0.1, 'units': 'keV'})
    check_fails(r'GST_\+30deg\.hspy has another energy calibration', folder)
    write_spectra(folder / 'GST_+30deg.hspy', counts(), pixel=(3.0, 'nm'))
    check_fails(r'GST_\+30deg\.hspy has pixels of 3 nm', folder)


def test_missing_and_double_angles(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp('nameless')
    for name in 'ab':
        write_spectra(other / f'{name}.hspy', counts())
    check_fails('No tilt angles were found', other)
    (finding,) = load_tilt_series(other, angles=[5, 5]).findings
    assert (finding.level, finding.about) == ('doubt', 'repeated tilts')
    (other / 'angles.csv').write_text('a,1\nb,1\n')
    assert any('More than one recording at 1°' in finding.sentence for finding in load_tilt_series(other).findings)


@pytest.mark.parametrize('energy', [{'units': ''}, {'scale': 1.0, 'offset': 0.0, 'units': 'keV'}, {'units': 'nm'}])
def test_uncalibrated_spectra(tmp_path, energy):
    for tilt in (-1, 1):
        write_spectra(tmp_path / f'{tilt}.hspy', counts(), energy=energy)
    check_fails('no energy calibration', tmp_path)


def test_damaged_files_are_named(folder):
    whole = (folder / 'GST_+0deg.hspy').read_bytes()
    for content in (whole[: len(whole) // 2], b'', b'x' * 500):
        (folder / 'GST_+0deg.hspy').write_bytes(content)
        check_fails(r'GST_\+0deg\.hspy', folder)


def test_a_file_that_changes_after_opening(folder):
    series = load_tilt_series(folder)
    (folder / 'GST_+0deg.hspy').write_bytes(b'')
    with pytest.raises(InputError, match=r'GST_\+0deg\.hspy is empty'):
        series.counts.compute()


def test_nan_in_spectra(tmp_path):
    bad = counts().astype(np.float32)
    bad[0, 0, 0] = np.nan
    write_spectra(tmp_path / '0.hspy', bad)
    write_spectra(tmp_path / '-5.hspy', counts().astype(np.float32))
    check_fails(r'0\.hspy holds values that are not numbers', tmp_path)


def test_maps_of_different_shape_without_size_or_depth(tmp_path):
    import tifffile

    write_maps(tmp_path / 'Ge.tif', maps(0))
    write_maps(tmp_path / 'Te.tif', maps(0, (3, 6, 8)))
    check_fails(r'Te\.tif has the shape \(3, 6, 8\)', tmp_path, [0, 1, 2, 3])
    tifffile.imwrite(tmp_path / 'plain.tif', maps(0))
    check_fails('give the pixel size', tmp_path / 'plain.tif', [0, 1, 2, 3])
    tifffile.imwrite(tmp_path / 'deep.tif', maps(0).reshape(2, 2, 6, 8), imagej=True, metadata={'axes': 'TZYX'})
    load_tilt_series(tmp_path / 'deep.tif', [0, 1, 2, 3], pixel_size=1.0)
    (tmp_path / 'broken.tif').write_bytes((tmp_path / 'Ge.tif').read_bytes()[:100])
    check_fails(r'broken\.tif', tmp_path / 'broken.tif', [0, 1, 2, 3])


def test_binning_beyond_the_image(folder):
    check_fails('cannot be binned by 9', folder, binning=9)


def test_a_volume_is_no_series(tmp_path):
    from napari_diptomo.series import Volume

    path = save(Volume(np.ones((1, 2, 3, 4)), ('Fe',)), tmp_path / 'volume.hspy')
    check_fails('is a reconstructed volume', path)


def test_importing_the_package_is_light():
    code = (
        'import sys, napari_diptomo.series; '
        'print([m for m in ("hyperspy", "exspy", "torch", "dask.array", "tifffile", "h5py") if m in sys.modules])'
    )
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == '[]'


# Real files


@needs_openncem
def test_openncem_series():
    recorder = Recorder()
    series = load_tilt_series(OPENNCEM, binning=8, observer=recorder)
    assert series.angles.tolist() == list(range(-40, 40, 5))
    assert 'file names' in series.angle_source and '0° for every tilt and were not accepted' in series.angle_source
    assert series.counts.shape == (16, 32, 32, 2048)
    assert series.pixel_size == pytest.approx(8 * 13.08, rel=1e-3)
    assert series.energy[0] == pytest.approx(-0.471, abs=1e-3)
    assert series.haadf.shape == (16, 32, 32)
    assert series.metadata['detector'] == 'SuperX' and 'Fe' in series.metadata['elements']
    assert int(series.counts[8].sum().compute()) == 886553
    assert len(recorder.seen) == 16


@needs_openncem
@pytest.mark.parametrize('kept', [0.45, 0.999])
def test_a_cut_off_bruker_file_is_refused_before_its_reader_crashes(tmp_path, kept):
    for name in ('-5.bcf', '0.bcf'):
        data = (OPENNCEM / name).read_bytes()
        (tmp_path / name).write_bytes(data if name == '0.bcf' else data[: int(kept * len(data))])
    check_fails(r'-5\.bcf is cut off', tmp_path)


@pytest.mark.skipif(not (REAL / 'readers').is_dir(), reason='the reader fixtures are not beside the repository')
def test_reader_fixtures_give_one_sentence_each():
    for name in ('test_TEM.bcf', 'EELS_SI.dm4'):
        assert load_tilt_series(REAL / 'readers' / name).counts.shape[0] == 1
    check_fails('no spectrum image and no stack', REAL / 'readers' / 'EDS-STO.emd')
    check_fails('dark level cannot be determined', REAL / 'readers' / 'HAADFscan.mrc')
    assert load_tilt_series(REAL / 'readers' / 'HAADFscan.mrc', dark_level=0).data.shape[:2] == (1, 1)


def test_a_volume_saved_into_the_folder_is_no_tilt(folder):
    from napari_diptomo.series import Volume

    save(Volume(np.ones((1, 2, 3, 4)), ('Ge',)), folder / 'result.hspy')
    series = load_tilt_series(folder)
    assert series.angles.tolist() == [-20, 0, 10]
    (folder / 'alone').mkdir()
    save(Volume(np.ones((1, 2, 3, 4)), ('Ge',)), folder / 'alone' / 'result.hspy')
    with pytest.raises(InputError, match='is a reconstructed volume'):
        load_tilt_series(folder / 'alone')
