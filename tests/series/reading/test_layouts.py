"""Layouts in which series are published and recorded: folders, tables elsewhere, several specimens in one folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from series_files import counts, write_maps, write_spectra

from napari_diptomo.series import InputError, MapSeries, Recipe, load_tilt_series, open_source
from napari_diptomo.series.reading.specimens import specimens_in

TILTS = [-60.0, -25.0, 10.0, 55.0]


def maps(level: float) -> np.ndarray:
    return np.full((4, 6, 8), level, np.float32)


def write_table(path: Path, angles=TILTS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(f'{angle:.2f}' for angle in angles))
    return path


def write_stack(path: Path, level: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.mrc':
        import mrcfile

        with mrcfile.new(path) as file:
            file.set_data(maps(level))
            file.voxel_size = 10.7
        return path
    return write_maps(path, maps(level))


# A folder of a publication: stacks deep in it, the table in a folder of its own


@pytest.mark.parametrize('suffix', ['.tif', '.mrc'])
@pytest.mark.parametrize('table', ['metadata/angles_deg.txt', 'derived/edx/angles/series.tlt', 'Metadata/tilt.csv'])
@pytest.mark.parametrize('chosen', ['.', 'derived/edx/elemental_tilt_series'])
def test_the_root_and_the_folder_of_the_stacks_open_alike(tmp_path, suffix, table, chosen):
    for level, element in enumerate(('Ge', 'Sb', 'Te'), start=1):
        write_stack(tmp_path / f'derived/edx/elemental_tilt_series/{element}_stack{suffix}', level)
    write_table(tmp_path / table)
    series = load_tilt_series(tmp_path / chosen)
    assert series.channels == ('Ge', 'Sb', 'Te')
    assert series.angles.tolist() == TILTS
    assert series.data[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert series.pixel_size == pytest.approx(1.07, rel=1e-5)


def test_one_folder_per_element_names_the_channels(tmp_path):
    for level, element in enumerate(('Fe', 'O'), start=1):
        write_stack(tmp_path / f'elements/{element}/stack.tif', level)
    write_table(tmp_path / 'metadata' / 'angles.txt')
    series = load_tilt_series(tmp_path)
    assert series.channels == ('Fe', 'O') and series.data[:, 0, 0, 0].tolist() == [1, 2]


def test_several_folders_with_data_are_asked_about(tmp_path):
    for folder in ('lamella 1', 'lamella 2'):
        write_stack(tmp_path / folder / 'Ge.tif')
    with pytest.raises(InputError, match=r'holds data in 2 folders \(lamella 1, lamella 2\); choose one of them'):
        load_tilt_series(tmp_path, TILTS)


def test_a_nearer_table_is_taken_and_a_far_one_without_angles_in_its_name_is_not(tmp_path):
    write_stack(tmp_path / 'a' / 'b' / 'Ge.tif')
    write_table(tmp_path / 'a' / 'metadata' / 'angles.txt')
    write_table(tmp_path / 'metadata' / 'angles.txt', [1, 2, 3, 4])
    assert load_tilt_series(tmp_path / 'a' / 'b').angles.tolist() == TILTS
    (tmp_path / 'a' / 'metadata' / 'angles.txt').unlink()
    (tmp_path / 'metadata' / 'angles.txt').rename(tmp_path / 'metadata' / 'doses.txt')
    with pytest.raises(InputError, match='No tilt angles were found'):
        load_tilt_series(tmp_path / 'a' / 'b')


# Several specimens in one folder


def write_two_specimens(folder: Path, suffix: str = '.tif') -> None:
    for level, element in enumerate(('Ge', 'Sb', 'Te', 'Ti'), start=1):
        write_stack(folder / f'SET_{element}_proj{suffix}', level)
        write_stack(folder / f'Virgin_{element}_proj{suffix}', 10 * level)
    write_table(folder / 'angles.txt')


@pytest.mark.parametrize('suffix', ['.tif', '.mrc'])
def test_two_specimens_are_never_merged(tmp_path, suffix):
    write_two_specimens(tmp_path, suffix)
    with pytest.raises(InputError) as caught:
        load_tilt_series(tmp_path)
    assert 'holds 2 specimens, SET (Ge, Sb, Te, Ti) and Virgin (Ge, Sb, Te, Ti)' in str(caught.value)
    assert str(caught.value).endswith("choose one: specimen='SET'.")
    for name, level in (('SET', 1), ('virgin', 10)):
        series = load_tilt_series(tmp_path, specimen=name)
        assert isinstance(series, MapSeries) and series.channels == ('Ge', 'Sb', 'Te', 'Ti')
        assert (series.data[:, 0, 0, 0] / level).tolist() == [1, 2, 3, 4]
        assert series.angles.tolist() == TILTS
    again = open_source(Recipe.from_json(series.recipe.to_json()).source)
    np.testing.assert_array_equal(again.data, series.data)
    with pytest.raises(InputError, match='There is no specimen GST; choose among SET'):
        load_tilt_series(tmp_path, specimen='GST')


def test_each_specimen_has_its_own_table(tmp_path):
    write_two_specimens(tmp_path)
    (tmp_path / 'angles.txt').unlink()
    write_table(tmp_path / 'angles_SET.txt')
    write_table(tmp_path / 'angles_Virgin.txt', [-40, -10, 20, 50])
    assert load_tilt_series(tmp_path, specimen='SET').angles.tolist() == TILTS
    assert load_tilt_series(tmp_path, specimen='Virgin').angles.tolist() == [-40, -10, 20, 50]


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        # A specimen behind the element, with images of its own and one of nobody's
        (['Ge_A', 'Te_A', 'HAADF_A', 'Ge_B', 'Te_B', 'HAADF'], {'A': 'Ge, Te, HAADF', 'B': 'Ge, Te'}),
        (['1_Ge', '1_Te', '2_Ge', '2_Te'], {'1': 'Ge, Te', '2': 'Ge, Te'}),
        (['Ge', 'Te', 'annealed_Ge', 'annealed_Te'], {'unnamed': 'Ge, Te', 'annealed': 'Ge, Te'}),
        # No element twice, and yet two pairs
        (['SET_Ge', 'SET_Sb', 'Virgin_Te', 'Virgin_Ti'], {'SET': 'Ge, Sb', 'Virgin': 'Te, Ti'}),
        (['SET_Ge_K', 'SET_Te_L', 'Virgin_Ge_K', 'Virgin_Te_L'], {'SET': 'Ge_K, Te_L', 'Virgin': 'Ge_K, Te_L'}),
        (['größe 1_Fe', 'größe 1_O', 'größe 2_Fe', 'größe 2_O'], {'1': 'Fe, O', '2': 'Fe, O'}),
    ],
)
def test_specimens_of_stacks(names, expected):
    found = specimens_in([Path(f'{name}.tif') for name in names])
    assert {one.name: one.holds for one in found} == expected


@pytest.mark.parametrize(
    'names',
    [
        ['GST_Ge_proj', 'GST_Te_proj', 'GST_HAADF_proj'],
        ['Ge_stack', 'Te_stack', 'HAADF'],
        ['01_Ge', '02_Te', '03_Sb'],
        ['Ge_K', 'Te_L', 'Sb_L'],
        ['K', 'Ca', 'O'],
        ['GeTe_Ge', 'GeTe_Te'],
        ['Ge_on_Si_Ge', 'Ge_on_Si_O'],
    ],
)
def test_one_specimen_stays_one(names):
    assert specimens_in([Path(f'{name}.tif') for name in names]) == ()


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['A_-40', 'A_0', 'A_40', 'B_-30', 'B_10'], {'A': '3 files', 'B': '2 files'}),
        (['Fe_-40', 'Fe_0', 'Co_-40', 'Co_0'], {'Fe': '2 files', 'Co': '2 files'}),
        (['s1_m40', 's1_p40', 's2_m40', 's2_p35'], {'s1': '2 files', 's2': '2 files'}),
        (
            ['as grown +10deg', 'as grown -10deg', 'annealed +10deg', 'annealed -10deg'],
            {'as_grown': '2 files', 'annealed': '2 files'},
        ),
        (['-40', '0', '40', 'tilt-40', 'tilt+40deg', 'tilt_0'], {'unnamed': '3 files', 'tilt': '3 files'}),
        (['GST_+10deg', 'GST_-20deg', 'overview'], {}),
        (['-40_a', '0_b', '40_c'], {}),
        (['img1_-40', 'img2_-35', 'img3_-30'], {}),
        (['GST_Ge_-40', 'GST_Ge_0', 'GST_Ge_40'], {}),
        (['x_-40_frame1', 'x_-40_frame2', 'x_0_frame1', 'x_0_frame2'], {}),
    ],
)
def test_specimens_of_spectra(names, expected):
    found = specimens_in([Path(f'{name}.dm4') for name in names])
    assert {one.name: one.holds for one in found} == expected


def test_spectra_of_two_specimens_are_never_merged(tmp_path):
    for seed, name in enumerate(('A_-40', 'A_0', 'A_40', 'B_-30', 'B_10')):
        write_spectra(tmp_path / f'{name}.hspy', counts(seed))
    with pytest.raises(InputError, match=r'2 specimens, A \(3 files\) and B \(2 files\)'):
        load_tilt_series(tmp_path)
    series = load_tilt_series(tmp_path, specimen='B')
    assert series.angles.tolist() == [-30, 10]
    np.testing.assert_array_equal(series.counts[1].compute(), counts(4))


def test_a_specimen_where_there_is_one_has_to_be_in_the_names(tmp_path):
    for element in ('Ge', 'Te'):
        write_stack(tmp_path / f'GST_{element}.tif')
    assert load_tilt_series(tmp_path, TILTS, specimen='gst').channels == ('Ge', 'Te')
    with pytest.raises(InputError, match='There is no specimen SET: the names show one specimen only'):
        load_tilt_series(tmp_path, TILTS, specimen='SET')


def test_stacks_that_are_named_differently_are_doubted(tmp_path):
    for name in ('SET_Ge', 'SET_Sb', 'Virgin_Ti'):
        write_stack(tmp_path / f'{name}.tif')
    series = load_tilt_series(tmp_path, TILTS)
    (doubt,) = series.findings
    assert (doubt.level, doubt.about) == ('doubt', 'specimens')
    assert 'SET_Sb.tif and Virgin_Ti.tif' in doubt.sentence


def test_images_beside_spectra_are_named(tmp_path):
    for tilt in (-10, 0, 10):
        write_spectra(tmp_path / f'si_{tilt:+d}deg.hspy', counts(tilt + 10))
    for name in 'ABCDE':
        write_maps(tmp_path / f'{name}_survey.tif', np.ones((3, 6, 8), np.float32))
    (finding,) = [one for one in load_tilt_series(tmp_path).findings if one.about == 'files passed over']
    assert finding.sentence.startswith(
        'A_survey.tif, B_survey.tif, C_survey.tif and 2 more beside the spectra were not'
    )


def test_images_of_another_shape_beside_maps_are_passed_over_by_name(tmp_path):
    for element in ('Ge', 'Te'):
        write_maps(tmp_path / f'{element}.tif', counts(1, (3, 8, 6)))
    expected = load_tilt_series(tmp_path, angles=[-10, 0, 10]).data
    write_maps(tmp_path / 'HAADF.tif', counts(2, (7, 8, 6)))
    write_maps(tmp_path / 'preview.tif', counts(3, (1, 16, 12)))
    tifffile.imwrite(tmp_path / 'overlay.tif', np.zeros((40, 60, 3), np.uint8), photometric='rgb')
    series = load_tilt_series(tmp_path, angles=[-10, 0, 10])
    assert series.channels == ('Ge', 'Te') and np.array_equal(series.data, expected)
    (note,) = [finding.sentence for finding in series.findings if finding.about == 'files passed over']
    assert all(name in note for name in ('HAADF.tif', 'preview.tif', 'overlay.tif'))
    write_maps(tmp_path / 'Sb.tif', counts(2, (7, 8, 6)))
    with pytest.raises(InputError, match='bring the maps to one shape'):
        load_tilt_series(tmp_path, angles=[-10, 0, 10])


def test_a_picture_in_colours_is_no_series(tmp_path):
    tifffile.imwrite(tmp_path / 'Ge.tif', np.zeros((40, 60, 3), np.uint8), photometric='rgb')
    with pytest.raises(InputError, match=r'Ge\.tif is a picture in colours'):
        load_tilt_series(tmp_path, angles=range(40), pixel_size=1)


def test_images_of_a_dark_field_beside_spectra_in_their_format(tmp_path):
    import hyperspy.api as hs

    for angle in (-20, 0, 20):
        write_spectra(tmp_path / f'GST_EDX_{angle}deg.hspy', counts(angle + 20))
    for angle in range(-60, 70, 20):
        hs.signals.Signal2D(counts(1)[..., 0]).save(tmp_path / f'GST_HAADF_{angle}deg.hspy')
    series = load_tilt_series(tmp_path)
    assert series.angles.tolist() == [-20, 0, 20]
    assert any('GST_HAADF_0deg.hspy' in finding.sentence for finding in series.findings)


@pytest.mark.parametrize('inside', ['SI.hspy', 'STEM SI/EDS Spectrum Image.hspy'])
def test_a_folder_for_each_tilt(tmp_path, inside):
    for angle in (-20, 0, 20):
        path = tmp_path / f'tilt_{angle}' / inside
        path.parent.mkdir(parents=True)
        write_spectra(path, counts(angle + 20))
    series = load_tilt_series(tmp_path)
    assert series.angles.tolist() == [-20, 0, 20]
    assert np.array_equal(np.asarray(series.counts[0]), counts(0))


@pytest.mark.parametrize('name', ['{angle}deg/{element}.tif', '{element}/{angle}deg.tif'])
def test_a_folder_for_each_tilt_or_element_of_maps(tmp_path, name):
    data = {element: counts(seed, (3, 8, 6)) for seed, element in enumerate(('Ge', 'Te'))}
    for element, stack in data.items():
        for angle, image in zip((-20, 0, 20), stack, strict=True):
            path = tmp_path / name.format(angle=angle, element=element)
            path.parent.mkdir(exist_ok=True)
            write_maps(path, image[None])
    series = load_tilt_series(tmp_path)
    assert series.channels == ('Ge', 'Te') and series.angles.tolist() == [-20, 0, 20]
    assert np.array_equal(series.data, [data['Ge'], data['Te']])


def write_losses(path: Path, data: np.ndarray, start: float) -> None:
    import hyperspy.api as hs

    signal = hs.signals.Signal1D(data)
    for axis, (scale, units) in zip(signal.axes_manager._axes, ((2, 'nm'), (2, 'nm'), (0.5, 'eV')), strict=True):
        axis.scale, axis.units = scale, units
    signal.axes_manager[-1].offset = start
    signal.set_signal_type('EELS')
    signal.save(path)


@pytest.mark.parametrize(('low', 'core'), [('LL', 'HL'), ('low-loss', 'core-loss')])
def test_low_and_core_loss_in_files_of_their_own(tmp_path, low, core):
    for angle in (-20, 0, 20):
        for name, start in ((low, -4.0), (core, 400.0)):
            write_losses(tmp_path / f'{angle}deg_{name}.hspy', counts(angle + 20), start)
    series = load_tilt_series(tmp_path)
    assert series.angles.tolist() == [-20, 0, 20] and series.energy[0] == -4
    assert series.core_loss is not None and series.core_loss.energy[0] == 400
    again = load_tilt_series(series.recipe.source.paths, core_loss=series.recipe.source.core_loss)
    assert np.array_equal(np.asarray(again.core_loss.counts), np.asarray(series.core_loss.counts))


def test_two_kinds_of_spectra_are_called_so(tmp_path):
    for angle in (-20, 0, 20):
        write_spectra(tmp_path / f'{angle}deg_EDX.hspy', counts(angle + 20))
        write_losses(tmp_path / f'{angle}deg_EELS.hspy', counts(angle + 20), 400.0)
    with pytest.raises(InputError, match=r'2 kinds of spectra, EDX \(3 files\) and EELS \(3 files\)'):
        load_tilt_series(tmp_path)


def test_signs_behind_the_numbers_are_no_specimens(tmp_path):
    files = [tmp_path / f'SI_{name}.hspy' for name in ('10deg_neg', '5deg_neg', '0deg_pos', '5deg_pos', '10deg_pos')]
    assert specimens_in(files) == ()


@pytest.mark.parametrize('folders', [('Fe', 'Co'), ('+20C', '-20C'), ('run +1', 'run -1')])
def test_folders_of_whole_series_are_asked_about(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir()
        for angle in (-20, 0, 20):
            write_spectra(tmp_path / folder / f'{angle}deg.hspy', counts(angle + 20))
    with pytest.raises(InputError, match='holds data in 2 folders'):
        load_tilt_series(tmp_path)


@pytest.mark.parametrize('pattern', ['{}_{:04d}.tif', '{}_{}.tif', 'tilt{1:02d}_{0}_map.tif'])
def test_numbered_images_of_every_element_are_tilts(tmp_path, pattern):
    """Twelve of them, so that 10 comes behind 2 where they are not padded."""
    angles = list(range(-55, 65, 10))
    for number in range(len(angles)):
        for level, element in enumerate(('Ge', 'Te')):
            image = np.full((6, 8), 100 * level + number, np.float32)
            tifffile.imwrite(tmp_path / pattern.format(element, number), image)
    write_table(tmp_path / 'angles.txt', angles)
    series = load_tilt_series(tmp_path, pixel_size=1.0)
    assert (series.channels, series.angles.tolist()) == (('Ge', 'Te'), angles)
    assert series.data[1, :, 0, 0].tolist() == [100 + number for number in range(12)]


def test_numbered_stacks_stay_specimens(tmp_path):
    for number in range(3):
        for element in ('Ge', 'Te'):
            write_maps(tmp_path / f'{element}_{number}.tif', maps(1.0))
    with pytest.raises(InputError, match='holds 3 specimens'):
        load_tilt_series(tmp_path)


def test_symbols_in_other_capitals(tmp_path):
    """Counts of ten thousand are no intensities of a detector when the files are called after elements."""
    for name in ('GE.TIF', 'te.tif', 'HAADF.tif'):
        write_maps(tmp_path / name, maps(10_000.0))
    write_table(tmp_path / 'ANGLES.TXT')
    series = load_tilt_series(tmp_path)
    assert series.channels == ('Ge', 'Te')
    assert series.haadf is not None and series.data.min() == 10_000
