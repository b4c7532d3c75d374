"""A series of one tilt opens, whatever it is stored in; of an image that nobody gives a tilt it is said that none is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from series_files import counts, write_maps, write_spectra

from napari_diptomo import SIRT, Align, DIPmTV, EDXMaps, PoissonEM, TotalVariation, load_tilt_series, simulate
from napari_diptomo.series import InputError, SpectralTiltSeries, Volume, save
from napari_diptomo.series.evidence import Contradiction
from napari_diptomo.series.reading.one_tilt import angles_of, findings_of_one

ASSUMED = 'taken as 0°'


def note_of(series) -> str:
    (note,) = [finding for finding in series.findings if finding.about == 'one tilt']
    assert note.level == 'note'
    return note.sentence


@pytest.mark.parametrize(
    ('name', 'tilt', 'angles', 'expected', 'source'),
    [
        ('GST_+30deg', None, None, 30.0, 'from the file name'),
        ('-12.5', None, None, -12.5, 'from the file name'),
        ('map 7', None, None, 0.0, 'assumed: no source gives the tilt of the one image'),
        ('Probe Ü 🔬', None, None, 0.0, 'assumed: no source gives the tilt of the one image'),
        ('map', 21.0, None, 21.0, 'from the metadata of the files'),
        ('map', None, [17.0], 17.0, 'as given'),
    ],
)
def test_one_spectrum_image(tmp_path, name, tilt, angles, expected, source):
    path = write_spectra(tmp_path / f'{name}.hspy', counts(), tilt=tilt)
    series = load_tilt_series(path, angles)
    assert isinstance(series, SpectralTiltSeries)
    assert (series.angles.tolist(), series.angle_source) == ([expected], source)
    np.testing.assert_array_equal(series.counts.compute(), counts()[None])
    assert (ASSUMED in note_of(series)) == source.startswith('assumed')
    assert load_tilt_series(tmp_path, angles).angles.tolist() == [expected]


def test_a_table_names_the_one_file_and_one_of_other_files_is_not_guessed_from(tmp_path):
    path = write_spectra(tmp_path / 'map.hspy', counts())
    table = tmp_path / 'angles.csv'
    table.write_text('other.hspy,1\nmap.hspy,-33\n')
    assert load_tilt_series(path).angles.tolist() == [-33]
    table.write_text('1\n2\n3\n')
    with pytest.raises(InputError, match=r'3 angles for map\.hspy'):
        load_tilt_series(path)
    assert load_tilt_series(path, [2.0]).angles.tolist() == [2]


def test_one_map_per_element_from_three_writers(tmp_path):
    import hyperspy.api as hs
    import mrcfile
    import tifffile

    image = np.random.default_rng(0).poisson(4, (6, 8)).astype(np.float32)
    tif = tmp_path / 'tif'
    tif.mkdir()
    write_maps(tif / 'Ge.tif', image[None])
    tifffile.imwrite(tif / 'Te.tif', image[::-1].astype('>u2'), byteorder='>')
    (tmp_path / 'Fe.mrc').touch()
    with mrcfile.new(tmp_path / 'Fe.mrc', overwrite=True) as file:
        file.set_data(image)
        file.voxel_size = 20
    signal = hs.signals.Signal2D(image)
    for axis in signal.axes_manager._axes:
        axis.units, axis.scale = 'nm', 2.0
    signal.metadata.set_item('Sample.elements', ['Sb'])
    signal.save(str(tmp_path / 'map.hspy'))
    both = load_tilt_series(tif)
    assert both.channels == ('Ge', 'Te') and both.pixel_size == pytest.approx(1.07, rel=1e-5)
    np.testing.assert_array_equal(both.data[:, 0], [image, image[::-1]])
    for path, channel in ((tmp_path / 'Fe.mrc', 'Fe'), (tmp_path / 'map.hspy', 'Sb')):
        series = load_tilt_series(path)
        assert (series.channels, series.angles.tolist()) == ((channel,), [0]) and ASSUMED in note_of(series)
        np.testing.assert_array_equal(series.data[0, 0], image)
        assert series.pixel_size == pytest.approx(2)


def test_a_stack_of_one_and_saved_maps_of_one(tmp_path):
    path = write_spectra(tmp_path / 'stack.hspy', counts(3, (1, 8, 6, 16)), tilt_axis={'name': 'tilt', 'size': 1})
    stack = load_tilt_series(path)
    np.testing.assert_array_equal(stack.counts.compute(), counts(3, (1, 8, 6, 16)))
    assert ASSUMED in note_of(stack)
    series = load_tilt_series(write_maps(tmp_path / 'Fe_stack.tif', np.ones((1, 6, 8), np.float32)), [5.0])
    again = load_tilt_series(save(series, tmp_path / 'maps.hspy'))
    assert again.angles.tolist() == [5] and note_of(again) == note_of(series)


@pytest.fixture(scope='module')
def maps():
    series = simulate.demo_series().series
    one = replace(series, counts=series.counts[8:9], angles=series.angles[8:9], haadf=None)
    return EDXMaps(elements=('Ge', 'Sb', 'Te')).run(one), EDXMaps(elements=('Ge', 'Sb', 'Te')).run(series)


def test_maps_of_one_tilt_are_those_of_the_series(maps):
    one, many = maps
    assert one.data.shape == (3, 1, *many.data.shape[2:])
    for channel in range(3):
        alone, among = one.data[channel, 0], many.data[channel, 8]
        assert alone.sum() == pytest.approx(among.sum(), rel=0.05)
        assert np.corrcoef(alone.ravel(), among.ravel())[0, 1] > 0.97


@pytest.mark.parametrize('step', [Align, SIRT, PoissonEM, TotalVariation, DIPmTV])
def test_what_needs_more_tilts_says_so(maps, step):
    with pytest.raises(InputError, match='There is one tilt only'):
        step().run(maps[0])


# Results beside the data


def volume() -> Volume:
    return Volume(np.ones((1, 2, 3, 4)), ('Ge',))


def test_saved_results_beside_spectra_are_passed_over_and_named(tmp_path):
    for seed, tilt in enumerate((-20, 10)):
        write_spectra(tmp_path / f'GST_{tilt:+d}deg.hspy', counts(seed))
    before = load_tilt_series(tmp_path)
    save(volume(), tmp_path / 'result.hspy')
    save(load_maps(tmp_path / 'elsewhere'), tmp_path / 'maps.hspy')
    (tmp_path / 'recipe.json').write_text(before.recipe.to_json())
    (tmp_path / 'project').mkdir()
    (tmp_path / 'project' / 'project.json').write_text('{}')
    series = load_tilt_series(tmp_path)
    np.testing.assert_array_equal(series.counts.compute(), before.counts.compute())
    (note,) = series.findings
    assert (note.level, note.about) == ('note', 'files passed over')
    assert note.sentence.startswith('maps.hspy, result.hspy in the folder were saved by this program')


def load_maps(folder: Path):
    folder.mkdir()
    return load_tilt_series(write_maps(folder / 'Fe.tif', np.ones((3, 6, 8), np.float32)), [-1, 0, 1])


def test_a_saved_volume_does_not_hide_stacks_of_maps(tmp_path):
    for element in ('Ge', 'Te'):
        write_maps(tmp_path / f'{element}_stack.tif', np.ones((3, 6, 8), np.float32))
    save(volume(), tmp_path / 'volume.hspy')
    series = load_tilt_series(tmp_path, [-1, 0, 1])
    assert series.channels == ('Ge', 'Te')
    assert [finding.about for finding in series.findings] == ['files passed over']


def test_saved_maps_beside_the_volume_that_was_made_of_them(tmp_path):
    maps = load_maps(tmp_path / 'elsewhere')
    (tmp_path / 'results').mkdir()
    save(maps, tmp_path / 'results' / 'maps.hspy')
    save(volume(), tmp_path / 'results' / 'volume.hspy')
    series = load_tilt_series(tmp_path / 'results')
    np.testing.assert_array_equal(series.data, maps.data)
    assert series.findings[0].sentence.startswith('volume.hspy in the folder was saved')


@pytest.mark.parametrize(
    ('recorded', 'name', 'expected', 'source'),
    [
        (0.0, 'GST_-40deg.bcf', -40.0, 'from the file name'),
        (-40.4, 'GST_-40deg.bcf', -40.4, 'from the metadata of the files'),
        (12.0, 'spot.bcf', 12.0, 'from the metadata of the files'),
        (0.0, 'spot.bcf', 0.0, 'from the metadata of the files'),
    ],
)
def test_a_stage_that_was_not_read_out_does_not_overrule_the_name(recorded, name, expected, source):
    found = angles_of(1, given=None, tables=(), metadata=(recorded,), files=(Path(name),))
    assert (found.angles.tolist(), found.source) == ([expected], source)
    (finding,) = findings_of_one(found.angles, found.source)
    assert ('not read out' in finding.sentence) == (expected == 0)


def test_a_tilt_that_name_and_metadata_contradict_is_refused_with_both():
    with pytest.raises(Contradiction, match=r'\(12°\) and of the file name \(-40°\) disagree') as refused:
        angles_of(1, given=None, tables=(), metadata=(12.0,), files=(Path('GST_-40deg.bcf'),))
    assert [one.values.tolist() for one in refused.value.evidence] == [[12.0], [-40.0]]
