"""Sources of tilt angles against each other: agreement, another order, contradiction, and what is questioned."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from series_files import counts, write_maps, write_spectra

from napari_diptomo.jobs import transfer
from napari_diptomo.jobs.messages import Failure, format_message, parse_message
from napari_diptomo.jobs.reading import shared_arrays
from napari_diptomo.jobs.reading.isolated import open_isolated
from napari_diptomo.series import Contradiction, Evidence, InputError, Source, load_tilt_series
from napari_diptomo.series.reading.angles.evidence import find_angles
from napari_diptomo.series.reading.angles.names import angles_from_names
from napari_diptomo.series.reading.angles.tables import read_table

NOMINAL = [-30, -20, 0, 20, 30]
MEASURED = [-29.4, -20.3, 0.6, 19.8, 30.5]


def files(angles=NOMINAL, pattern='si_{:+d}deg.emd'):
    return [Path(pattern.format(angle)) for angle in angles]


def table(folder: Path, text: str, name: str = 'angles.csv', encoding: str = 'utf-8') -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def test_rows_in_the_order_of_acquisition_are_given_to_the_files_of_their_angle(tmp_path):
    acquired = [0, 15, -15, 30, -30]
    for number, angle in enumerate(acquired):
        data = np.full((4, 4, 16), number, np.uint8)
        write_spectra(tmp_path / f'{number}_tilt_{angle:+d}deg.hspy', data, tilt=angle)
    table(tmp_path, '\n'.join(f'{angle + 0.25}' for angle in acquired), 'whole.tlt')
    series = load_tilt_series(tmp_path)
    assert series.angles.tolist() == [-29.75, -14.75, 0.25, 15.25, 30.25]
    assert [int(series.counts[i, 0, 0, 0].compute()) for i in range(5)] == [4, 2, 0, 1, 3]
    assert series.angle_source == 'from the table whole.tlt, each row by its value'
    assert len(series.evidence) == 3
    for one in series.evidence:
        np.testing.assert_allclose(one.values, series.angles, atol=0.3)


def test_metadata_alone_place_the_rows_too(tmp_path):
    path = table(tmp_path, '\n'.join(map(str, MEASURED[::-1])))
    found = find_angles(5, tables=[path], metadata=NOMINAL, files=[Path(f'{c}.emd') for c in 'abcde'])
    assert found.angles.tolist() == MEASURED


def test_a_contradiction_has_both_sources(tmp_path):
    path = table(tmp_path, '-30\n-20\n0\n20\n35')
    with pytest.raises(Contradiction) as caught:
        find_angles(5, tables=[path], files=files())
    assert str(caught.value).startswith(
        'The tilt angles of the table angles.csv (..., 0, 20, 35) and of the file names (..., 0, 20, 30) disagree; '
        'give the right ones in the order of the files'
    )
    assert [one.values[-1] for one in caught.value.evidence] == [35, 30]
    assert {one.kind for one in caught.value.evidence} == {'angles'}


def test_what_lies_apart_by_an_offset_is_said_so(tmp_path):
    path = table(tmp_path, '\n'.join(str(angle + 90) for angle in NOMINAL))
    with pytest.raises(Contradiction, match='90° apart throughout'):
        find_angles(5, tables=[path], files=files())


def test_metadata_of_some_files_are_compared_with_the_names():
    some = [None, -20.1, None, 19.9, None]
    assert find_angles(5, metadata=some, files=files()).angles.tolist() == NOMINAL
    with pytest.raises(Contradiction, match=r'metadata of the files \(none, 20, none'):
        find_angles(5, metadata=[None, 20, None, -20, None], files=files())


def test_the_sign_of_metadata_against_that_of_the_names():
    with pytest.raises(Contradiction):
        find_angles(5, metadata=[-angle for angle in NOMINAL], files=files())


def test_of_sources_that_agree_the_finest_is_taken():
    assert find_angles(5, metadata=MEASURED, files=files()).angles.tolist() == MEASURED


def test_two_tables_that_disagree(tmp_path):
    paths = [table(tmp_path, '-30\n0\n31', 'tilts.txt'), table(tmp_path, '-30\n0\n36', 'angles.csv')]
    with pytest.raises(Contradiction, match=r'tilts\.txt.*angles\.csv'):
        find_angles(3, tables=paths, noun='tilts')
    paths[1].write_text('0\n31\n-30')
    with pytest.raises(Contradiction):
        find_angles(3, tables=paths, noun='tilts')
    paths[1].write_text('-30.04\n0.11\n30.97')
    assert find_angles(3, tables=paths, noun='tilts').angles.tolist() == [-30.04, 0.11, 30.97]


@pytest.mark.parametrize('measured', [[-30.2, 9.7, 10.2, 30.1], [-30.2, 10.2, 9.7, 30.1]])
def test_tilts_recorded_twice_agree_with_what_the_stage_said(measured):
    found = find_angles(
        4, metadata=measured, files=[Path(f'{n}_{a:+d}deg.emd') for n, a in enumerate([-30, 10, 10, 30])]
    )
    assert found.angles.tolist() == measured


def test_a_list_in_another_order_than_the_files_is_refused_and_another_list_decides(tmp_path):
    with pytest.raises(
        Contradiction, match=r'given \(0, 20, -20, \.\.\.\) are those of the file names .* in another order'
    ):
        find_angles(5, given=[0, 20, -20, 30, -30], files=files())
    found = find_angles(5, given=[-33, -20, 0, 20, 30], files=files())
    assert found.angles[0] == -33 and found.findings[0].level == 'doubt'
    assert found.findings[0].evidence == {'largest difference, deg': 3.0}
    mirrored = find_angles(5, given=[-angle for angle in NOMINAL], files=files())
    assert mirrored.angles.tolist() == NOMINAL[::-1] and mirrored.findings[0].level == 'doubt'
    exchanged = find_angles(5, given=[-30, 0, -20, 20, 30], files=files())
    assert exchanged.angles.tolist() == [-30, 0, -20, 20, 30] and exchanged.findings[0].level == 'doubt'
    assert not find_angles(5, given=MEASURED, files=files()).findings
    path = table(tmp_path, '\n'.join(map(str, [0, 20, -20, 30, -30])))
    assert find_angles(5, given=str(path), files=files()).angles.tolist() == NOMINAL
    path = table(tmp_path, '\n'.join(f'{file.name};{-angle}' for file, angle in zip(files(), NOMINAL, strict=True)))
    by_name = find_angles(5, given=str(path), files=files())
    assert by_name.angles.tolist() == NOMINAL[::-1] and by_name.findings[0].level == 'doubt'


@pytest.mark.parametrize(
    ('text', 'name', 'encoding'),
    [
        ('-29,4\n-20,3\n0,6\n19,8\n30,5', 'angles.txt', 'utf-8'),
        ('Tilt angle, degrees\n-29,4\n-20,3\n0,6\n19,8\n30,5', 'angles.txt', 'utf-8'),
        ('Nr\tWinkel [Grad]\n1\t-29,4\n2\t-20,3\n3\t0,6\n4\t19,8\n5\t30,5', 'series.txt', 'latin-1'),
        ('Datei;Kippwinkel [°]\na;-29,4\nb;-20,3\nc;0,6\nd;19,8\ne;30,5\n', 'angles.csv', 'latin-1'),
        ('file,angle\n"a","-29,4"\n"b","-20,3"\n"c","0,6"\n"d","19,8"\n"e","30,5"\n', 'angles.csv', 'utf-8-sig'),
        ('file\tangle\r\na\t-29.4\r\nb\t-20.3\r\nc\t0.6\r\nd\t19.8\r\ne\t30.5\r\n', 'angles.txt', 'utf-16'),
        ('-29.4\r\n-20.3\r\n0.6\r\n19.8\r\n30.5\r\n', 'x.rawtlt', 'utf-16-le'),
        ('a -29,4°\nb -20,3°\nc 0,6°\nd 19,8°\ne 30,5°', 'angles.txt', 'utf-8'),
        ('# theta (rad)\n' + '\n'.join(f'{np.deg2rad(a):.7e}' for a in MEASURED), 'proj.txt', 'utf-8'),
        ('theta [mrad]\n' + '\n'.join(f'{1e3 * np.deg2rad(a):.5f}' for a in MEASURED), 'theta.csv', 'utf-8'),
        (
            'name,tilt_rad\n' + '\n'.join(f'{n},{np.deg2rad(a):.7f}' for n, a in zip('abcde', MEASURED, strict=True)),
            'angles.csv',
            'utf-8',
        ),
        ('image;nominal tilt;measured tilt\n1;-30;-29.4\n2;-20;-20.3\n3;0;0.6\n4;20;19.8\n5;30;30.5', 't.csv', 'utf-8'),
        ('image,tilt angle,dose\n3,0.6,1\n4,19.8,2\n2,-20.3,3\n5,30.5,4\n1,-29.4,5\n', 'list.csv', 'utf-8'),
        ('tilt axis angle,tilt\n84.1,-29.4\n84.1,-20.3\n84.1,0.6\n84.1,19.8\n84.1,30.5\n', 't.csv', 'utf-8'),
    ],
)
def test_tables_as_they_are_written(tmp_path, text, name, encoding):
    found = find_angles(5, tables=[table(tmp_path, text, name, encoding)], files=[Path(f'{c}.emd') for c in 'abcde'])
    np.testing.assert_allclose(found.angles, MEASURED, atol=1e-4)


def test_file_names_beside_other_words(tmp_path):
    text = '2026-01-01 10:00 b.emd -10\n2026-01-01 10:02 c.emd 0\n2026-01-01 10:03 a.emd 10\n'
    here = [Path('a.emd'), Path('b.emd'), Path('c.emd')]
    found = find_angles(3, tables=[table(tmp_path, text, 'angles.txt')], files=here)
    assert found.angles.tolist() == [10, -10, 0]
    other = find_angles(3, tables=[tmp_path / 'angles.txt'], files=[Path('x.emd'), Path('y.emd'), Path('z.emd')])
    assert [finding.level for finding in other.findings] == ['doubt']


@pytest.mark.parametrize('text', ['-10.5 0 10', '-10.5, 0, 10\n', '# deg\n-10.5\t0\t10'])
def test_all_angles_in_one_line(tmp_path, text):
    assert find_angles(3, tables=[table(tmp_path, text)], noun='images').angles.tolist() == [-10.5, 0, 10]


def test_two_columns_of_whole_numbers_are_no_decimals(tmp_path):
    found = read_table(table(tmp_path, '1,-10\n2,5\n3,20\n'))
    assert found is not None and found.angles == (-10, 5, 20)


def test_names_with_blanks_umlauts_and_commas(tmp_path):
    names = ['Kürbis 1, Teil a', 'Kürbis 2 😀', 'c']
    text = 'file;tilt\n' + '\n'.join(f'"{n}.emd";{a}' for n, a in zip(names, (-10, 0, 20), strict=True))
    found = find_angles(3, tables=[table(tmp_path, text)], files=[Path(f'{n}.emd') for n in names[::-1]])
    assert found.angles.tolist() == [20, 0, -10]
    # As a Mac writes them.
    decomposed = [Path('Ku\u0308rbis 2 😀.emd'), Path('c.emd')]
    assert find_angles(2, tables=[table(tmp_path, text)], files=decomposed).angles.tolist() == [0, 20]
    blank = table(tmp_path, 'my file 1.emd   -10.5\nmy file 2.emd   3.25\n', 'tilts.txt')
    found = find_angles(2, tables=[blank], files=[Path('my file 2.emd'), Path('my file 1.emd')])
    assert found.angles.tolist() == [3.25, -10.5]


@pytest.mark.parametrize(
    ('text', 'name', 'problem'),
    [
        ('', 'angles.txt', 'has no rows'),
        ('-30\n-20\nabc def\n20\n30', 'x.rawtlt', 'cells in the row "abc def"'),
        ('a;-30\nb;\nc;0\nd;20\ne;30', 'angles.csv', 'has no angle in the row "b"'),
        ('-30\n-20\n?\n20\n30', 'tilts.txt', 'has no angle in the row'),
        ('-30\n-20\n0\n20', 'tilts.txt', 'has 4 angles for 5 files'),
        ('tilt\n-30\n-20\n0\n20', 'numbers.csv', 'has 4 angles for 5 files'),
        ('-30 5\n-20 5.5\n0 -3\n20 2\n30 1', 'angles.txt', 'several columns of numbers and no heading'),
        ('5000\n6000\n7000\n8000\n9000', 'angles.txt', 'has the angle 9000°'),
        ('\x00\x01\x02\x03' * 20, 'x.tlt', 'is no text'),
        ('tilt,tilt angle\n-30,1\n-20,2\n0,3\n20,4\n30,5', 'a.csv', 'two columns of angles that differ'),
    ],
)
def test_a_table_that_is_meant_and_cannot_be_used_is_an_error(tmp_path, text, name, problem):
    path = table(tmp_path, text, name, 'latin-1')
    with pytest.raises(InputError) as caught:
        find_angles(5, tables=[path], files=files())
    assert name in str(caught.value) and problem in str(caught.value)


def test_numbers_in_another_order_than_the_rows_need_a_word(tmp_path):
    path = table(tmp_path, '2,-10\n1,0\n3,10\n')
    with pytest.raises(InputError, match='numbered in another order'):
        find_angles(3, tables=[path], noun='images')
    path.write_text('frame,tilt\n2,-10\n1,0\n3,10\n')
    assert find_angles(3, tables=[path], noun='images').angles.tolist() == [0, -10, 10]
    path.write_text('order,tilt\n2,-10\n1,0\n3,10\n')
    axis = {'the tilt axis of the stack': [10.0, 0.0, -10.0]}
    assert find_angles(3, tables=[path], stored=axis, noun='images').angles.tolist() == [10, 0, -10]


MDOC = 'PixelSpacing = 2.1\n[T = SerialEM: acquired\\]\n\n[ZValue = 0]\nTiltAngle = 0.01\n\n[ZValue = 2]\nTiltAngle = 30.02\n\n[ZValue = 1]\nTiltAngle = -29.98\n'


def test_mdoc_of_serialem(tmp_path):
    import mrcfile

    with mrcfile.new(tmp_path / 'Fe_map.mrc', np.arange(3 * 5 * 4, dtype=np.float32).reshape(3, 5, 4)) as file:
        file.voxel_size = 21.0
    table(tmp_path, MDOC, 'Fe_map.mrc.mdoc')
    series = load_tilt_series(tmp_path / 'Fe_map.mrc')
    assert series.angles.tolist() == [-29.98, 0.01, 30.02]
    assert series.data[0, :, 0, 0].tolist() == [20, 0, 40]
    assert 'by the numbers of the images' in series.notes['angle_source']
    table(tmp_path, '0\n-30\n36\n', 'Fe_map.rawtlt')
    with pytest.raises(Contradiction, match=r'Fe_map\.mrc\.mdoc'):
        load_tilt_series(tmp_path / 'Fe_map.mrc')
    (tmp_path / 'Fe_map.rawtlt').unlink()
    table(tmp_path, MDOC.replace('TiltAngle = -29.98', ''), 'Fe_map.mrc.mdoc')
    with pytest.raises(InputError, match=r'no TiltAngle in the section \[zvalue = 1\]'):
        load_tilt_series(tmp_path / 'Fe_map.mrc')


def test_an_mdoc_with_a_number_that_is_none(tmp_path):
    path = table(tmp_path, f'[ZValue = {"9" * 5000}]\nTiltAngle = 1\n[ZValue = 1]\nTiltAngle = nan\n', 'x.mdoc')
    with pytest.raises(InputError, match='the angle nan°'):
        find_angles(2, tables=[path], noun='images')


def test_mdoc_of_single_images(tmp_path):
    names = ['b.tif', 'a.tif']
    text = ''.join(f'[Image = D:\\data\\{n}]\nTiltAngle = {a}\n' for n, a in zip(names, (5.5, -5.5), strict=True))
    found = find_angles(2, tables=[table(tmp_path, text, 'session.mdoc')], files=[Path('a.tif'), Path('b.tif')])
    assert found.angles.tolist() == [-5.5, 5.5]


def test_a_table_belongs_to_the_stack_of_its_name(tmp_path):
    for name in ('SET_Ge.tif', 'Virgin_Ge.tif'):
        write_maps(tmp_path / name, counts(1, (3, 6, 5)))
    table(tmp_path, '-10\n0\n10', 'SET_Ge.rawtlt')
    table(tmp_path, '-20\n0\n20', 'Virgin_Ge.rawtlt')
    table(tmp_path, '-20\n0\n20', 'angles_Virgin.txt')
    assert load_tilt_series(tmp_path / 'SET_Ge.tif').angles.tolist() == [-10, 0, 10]
    assert load_tilt_series(tmp_path / 'Virgin_Ge.tif').angles.tolist() == [-20, 0, 20]
    # In their folder a specimen is chosen, and brings its table along.
    assert load_tilt_series(tmp_path, specimen='SET').angles.tolist() == [-10, 0, 10]
    with pytest.raises(InputError, match='holds 2 specimens'):
        load_tilt_series(tmp_path)


def test_ten_thousand_rows(tmp_path):
    names = [f'd{i:05d}' for i in range(10_000)]
    path = table(
        tmp_path, 'file;angle\n' + '\n'.join(f'C:\\data\\{n}.emd;{i / 100 - 50:.2f}' for i, n in enumerate(names))
    )
    found = find_angles(10_000, tables=[path], files=[Path(f'{n}.emd') for n in names[::-1]])
    assert found.angles[0] == pytest.approx(49.99) and found.angles[-1] == -50


@pytest.mark.parametrize(
    'names',
    [
        [f'Map {i}' for i in range(2, 11)],
        [f'map_{i}' for i in (1, 2, 5, 9)],
        [f'p{i}' for i in range(2, 8)],
        [f's_m{i}' for i in range(2, 8)],
        [f'tilt_{i:03d}' for i in range(61)],
        [f'tilt_{i}' for i in (3, 4, 7, 8)],
        ['10', '12', '14'],
        [f'Map {i}' for i in (10, 20, 30)],
        ['GST_-10C', 'GST_-20C', 'GST_-30C'],
        ['GST -10 \N{DEGREE SIGN}C', 'GST 0 \N{DEGREE SIGN}C', 'GST 10 \N{DEGREE SIGN}C'],
        ['x_-10nm', 'x_0nm', 'x_10nm'],
        ['a=-10 b=-2', 'a=0 b=3', 'a=10 b=1'],
    ],
)
def test_running_numbers_are_no_angles(names):
    assert angles_from_names([Path(f'{name}.emd') for name in names]) is None


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['tilt_10', 'tilt_20', 'tilt_40'], (10, 20, 40)),
        (['x_10deg', 'x_11deg', 'x_12deg'], (10, 11, 12)),
        (['map 3 +10', 'map 4 +11', 'map 5 -2'], (10, 11, -2)),
        (['s_m10', 's_p0', 's_p10'], (-10, 0, 10)),
        (['tilt_1.5', 'tilt_2.5', 'tilt_3.5'], (1.5, 2.5, 3.5)),
        (['a_5°', 'b_6°'], (5, 6)),
        (['0', '10', '25'], (0, 10, 25)),
        (['tilt_-35,5', 'tilt_0,5', 'tilt_30,25'], (-35.5, 0.5, 30.25)),
        (['x_\N{EN DASH}10', 'x_0', 'x_10'], (-10, 0, 10)),
        (['x_minus_10', 'x_plus_0', 'x_plus_10'], (-10, 0, 10)),
        (['-10_x_-9.98', '0_x_0.01', '10_x_10.02'], (-9.98, 0.01, 10.02)),
        (['alpha_-10_beta_-0.3', 'alpha_0_beta_0.2', 'alpha_10_beta_-0.1'], (-10, 0, 10)),
        (['tilt_-10_z_-3um', 'tilt_0_z_-4um', 'tilt_10_z_-5um'], (-10, 0, 10)),
        (['x_-10_-70C', 'x_0_-71C', 'x_10_-72C'], (-10, 0, 10)),
        (['0deg', '60deg', '120deg', '180deg'], (0, 60, 120, 180)),
        (['x_10deg_neg', 'x_0deg_pos', 'x_10deg_pos'], (-10, 0, 10)),
        (['x_10-', 'x_0', 'x_10+'], (-10, 0, 10)),
    ],
)
def test_marked_numbers_are_angles(names, expected):
    assert angles_from_names([Path(f'{name}.emd') for name in names]) == expected


def test_angles_of_computed_tomography_are_questioned(tmp_path):
    write_maps(tmp_path / 'HAADF.tif', 100 * counts(2, (13, 8, 9)).astype(np.uint16))
    table(tmp_path, '\n'.join(str(27 + 10 * k) for k in range(13)), 'angles.txt')
    series = load_tilt_series(tmp_path, dark_level=0.0)
    doubt = next(finding for finding in series.findings if finding.about == 'tilt angles')
    assert doubt.level == 'doubt' and 'no stage tilts to 147°' in doubt.sentence
    assert doubt.evidence['angle offset, deg'] == -87
    moved = load_tilt_series(tmp_path, dark_level=0.0, angle_offset=-87)
    assert moved.angles.tolist() == list(range(-60, 61, 10))
    assert moved.evidence[0].values.tolist() == moved.angles.tolist()
    assert not any(finding.about == 'tilt angles' for finding in moved.findings)
    assert moved.recipe.source.angle_offset == -87


@pytest.mark.parametrize(
    ('angles', 'offset'),
    [
        (range(0, 180, 2), -90),
        (range(40, 80, 5), -60),
        (range(-80, -30, 10), 60),
        (range(-30, 31, 5), None),
        (range(0, 71, 10), None),
        (range(-90, 91, 10), None),
    ],
)
def test_the_range_of_a_stage(angles, offset):
    found = find_angles(len(angles), given=list(angles), noun='tilts')
    assert [finding.evidence['angle offset, deg'] for finding in found.findings] == (
        [] if offset is None else [pytest.approx(offset, abs=3)]
    )


@pytest.mark.parametrize(
    ('names', 'doubted'),
    [
        (['0', '5', '10', '15', '20'], True),
        (['-10', '-5', '0', '5', '10'], False),
        (['tilt_0', 'tilt_5', 'tilt_10'], False),
        (['0deg', '5deg', '10deg'], False),
    ],
)
def test_names_that_may_number_the_files_are_doubted(names, doubted):
    found = find_angles(len(names), files=[Path(f'{name}.emd') for name in names])
    assert found.angles.min() == (-10 if '-10' in names else 0)
    assert [finding.about for finding in found.findings] == (['tilt angles'] if doubted else [])
    if doubted:
        confirmed = find_angles(5, files=[Path(f'{name}.emd') for name in names], metadata=[0.1, 5.0, 10.1, 14.9, 20.0])
        assert not confirmed.findings
        still = find_angles(5, files=[Path(f'{name}.emd') for name in names], metadata=[0.0] * 5)
        assert [finding.level for finding in still.findings] == ['doubt']


def test_a_full_turn_needs_its_offset(tmp_path):
    path = table(tmp_path, '\n'.join(str(10 * k) for k in range(36)), 'angles.txt')
    with pytest.raises(InputError, match='not between -180° and 180°; correct it, or give the offset'):
        find_angles(36, tables=[path], noun='tilts')
    assert find_angles(36, tables=[path], noun='tilts', offset=-175).angles[[0, -1]].tolist() == [-175, 175]


@st.composite
def sources(draw):
    """A series of which names, metadata and a table give the angles, or some of them; one row may be wrong."""
    truth = np.array(sorted(draw(st.lists(st.integers(-35, 35), min_size=3, max_size=9, unique=True)))) * 2.0
    off = st.floats(-0.6, 0.6).map(lambda value: round(value, 2))
    listed = truth + np.array(draw(st.lists(off, min_size=len(truth), max_size=len(truth))))
    if draw(st.booleans()):
        listed[draw(st.integers(0, len(truth) - 1))] += draw(st.sampled_from([7.0, -30.0]))
    orders = st.permutations(range(len(truth)))
    return SimpleNamespace(
        truth=truth,
        listed=listed,
        named=draw(st.booleans()),
        by_name=draw(st.booleans()),
        recorded=draw(st.booleans()),
        orders=draw(st.lists(st.tuples(orders, orders), min_size=2, max_size=5)),
    )


@settings(
    deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sources())
def test_any_order_of_files_and_rows_gives_one_result_or_a_refusal(tmp_path, case):
    """Which tilt a file has must not depend on what stands first."""
    names = [
        f's{i}_{angle:+.0f}deg.emd' if case.named else f'{"qwertyuio"[i]}.emd' for i, angle in enumerate(case.truth)
    ]
    results, refusals = set(), 0
    for order, rows in case.orders:
        lines = [f'{names[i]};{case.listed[i]:.2f}' if case.by_name else f'{case.listed[i]:.2f}' for i in rows]
        path = table(tmp_path, '\n'.join(lines))
        metadata = [float(case.truth[i]) for i in order] if case.recorded else []
        try:
            found = find_angles(len(names), tables=[path], metadata=metadata, files=[Path(names[i]) for i in order])
        except InputError:
            refusals += 1
            continue
        # With nothing but rows there is one order to take, and it is said that nothing confirms it.
        if case.named or case.by_name or case.recorded:
            results.add(tuple(sorted(zip((names[i] for i in order), found.angles.tolist(), strict=True))))
        else:
            assert 'note' in [finding.level for finding in found.findings]
            np.testing.assert_allclose(found.angles, [case.listed[i] for i in rows], atol=0.006)
    assert len(results) + (refusals > 0) <= 1
    if results:
        angles = dict(results.pop())
        np.testing.assert_allclose([angles[name] for name in names], case.listed, atol=0.006)


def test_evidence_and_contradictions_go_from_process_to_process(tmp_path):
    for angle in (-20, 0, 20):
        write_spectra(tmp_path / f'x_{angle:+d}deg.hspy', counts(angle + 30), tilt=angle + 0.25)
    here = load_tilt_series(tmp_path)
    opened = open_isolated(Source(paths=(str(tmp_path),)))
    assert [one.source for one in opened.evidence] == [one.source for one in here.evidence]
    np.testing.assert_array_equal(opened.evidence[0].values, here.evidence[0].values)
    table(tmp_path, '1\n2\n3\n')
    with pytest.raises(Contradiction) as caught:
        open_isolated(Source(paths=(str(tmp_path),)))
    assert [one.values.tolist() for one in caught.value.evidence] == [[1, 2, 3], [-19.75, 0.25, 20.25]]
    evidence = Evidence('the file names', np.array([1.0, np.nan]))
    back = parse_message(format_message(Failure('x', 'Contradiction', '', (evidence,))))
    assert isinstance(back.raised(), Contradiction) and np.isnan(back.evidence[0].values[1])
    assert json.loads(json.dumps(evidence.to_dict())) == {
        'source': 'the file names',
        'values': [1.0, None],
        'kind': 'angles',
    }


def test_evidence_of_maps_survives_the_hand_over(tmp_path):
    write_maps(tmp_path / 'Ge.tif', counts(1, (3, 6, 5)))
    table(tmp_path, '5\n0\n-5', 'angles.txt')
    maps = load_tilt_series(tmp_path)
    assert maps.evidence[0].values.tolist() == [-5, 0, 5]
    for back in (
        transfer.read(transfer.write(maps, tmp_path / 'x.npz')),
        shared_arrays.write(maps, tmp_path / 'y') or shared_arrays.read(tmp_path / 'y'),
    ):
        assert (
            back.evidence[0].source == 'the table angles.txt, line by line'
            or back.evidence[0].source == maps.evidence[0].source
        )
        assert back.evidence[0].values.tolist() == [-5, 0, 5]


def test_stacks_that_disagree(tmp_path):
    for name, offset in (('Ge', -20.0), ('Te', -20.0), ('Sb', 20.0)):
        axis = {'name': 'tilt', 'units': 'deg', 'size': 3, 'scale': -offset, 'offset': offset}
        import hyperspy.api as hs

        space = [{'name': n, 'size': s, 'scale': 2.0, 'units': 'nm'} for n, s in (('y', 6), ('x', 5))]
        hs.signals.Signal2D(counts(1, (3, 6, 5)), axes=[axis, *space]).save(str(tmp_path / f'{name}.hspy'))
    paths = [tmp_path / f'{name}.hspy' for name in ('Ge', 'Te', 'Sb')]
    assert load_tilt_series(paths[:2]).angles.tolist() == [-20, 0, 20]
    for order in itertools.permutations(paths):
        with pytest.raises(Contradiction, match=r'Sb\.hspy'):
            load_tilt_series(list(order))


def test_tilts_of_etspy_come_before_the_axis_it_leaves(tmp_path):
    import hyperspy.api as hs

    axes = [
        {'name': 'Projections', 'size': 3, 'scale': 1.0, 'offset': 0.0, 'units': 'degrees'},
        *({'name': n, 'size': s, 'scale': 2.0, 'units': 'nm'} for n, s in (('y', 6), ('x', 5))),
    ]
    signal = hs.signals.Signal2D(counts(1, (3, 6, 5)), axes=axes)
    signal.metadata.set_item('Tomography.tilts', np.array([[-14.0], [2.0], [18.5]]))
    signal.metadata.set_item('Acquisition_instrument.TEM.Stage.tilt_alpha', 0.0)
    signal.save(str(tmp_path / 'Fe.hspy'))
    assert load_tilt_series(tmp_path / 'Fe.hspy').angles.tolist() == [-14, 2, 18.5]


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('dose.csv', 'file,dose\na,0\nb,12.5\nc,25\nd,37.5\n'),
        ('quant.csv', 'file,Ge counts\na,10\nb,13\nc,16\nd,19\n'),
        ('log.csv', 'file,temperature (\N{DEGREE SIGN}C)\na,-10\nb,-13\nc,-16\nd,-19\n'),
        ('list.csv', 'file,bias\na,10\nb,20\nc,30\nd,40\n'),
        ('angles.csv', 'file,dose\na,0\nb,12.5\nc,25\nd,37.5\n'),
        ('shift_x.txt', '-3\n-1.5\n0\n1.5\n'),
        ('dose.txt', '0\n12.5\n25\n37.5\n'),
    ],
)
def test_tables_of_something_else_are_no_angles(tmp_path, name, text):
    path = table(tmp_path, text, name)
    files = [Path(f'{letter}.bcf') for letter in 'abcd']
    with pytest.raises(InputError, match=f'No tilt angles were found .*{name} was passed over'):
        find_angles(4, tables=[path], files=files)
    assert find_angles(4, tables=[path], metadata=[-10.0, 0.0, 10.0, 20.0], files=files).angles[0] == -10


def test_a_table_that_nothing_calls_angles_is_doubted_where_it_is_alone(tmp_path):
    path = table(tmp_path, '-10\n0\n10\n20\n', 'list.txt')
    alone = find_angles(4, tables=[path], noun='images')
    assert [finding.level for finding in alone.findings] == ['doubt']
    assert 'nothing calls them so' in alone.findings[0].sentence
    assert not find_angles(4, tables=[path], metadata=[-10.0, 0.0, 10.0, 20.0]).findings


def test_stage_positions_as_microscopes_head_them(tmp_path):
    text = 'Name,X (um),Y (um),Z (um),A (deg),B (deg)\na,1.2,-3.4,15,-10,0.1\nb,2.2,-4.4,15,0,0.2\n'
    path = table(tmp_path, text, 'stage.csv')
    assert find_angles(2, tables=[path], files=[Path('a.bcf'), Path('b.bcf')]).angles.tolist() == [-10, 0]


@pytest.mark.parametrize(
    'text',
    [
        # Names of files that were never recorded, or of others, without an angle.
        'file,tilt\na,0\nb,-10\nc,20\nx,NaN\n',
        'file;tilt\na;0\nb;-10\nc;20\nx;#NV\n',
        'file,tilt\na,0\nb,-10\nc,20\nx,\n',
        # Remarks on some rows, with commas in them or a column of their own.
        'file,tilt,remark\na,0,\nb,-10,drifted\nc,20,\n',
        'file,tilt\na,0\nb,-10,drifted, repeat it\nc,20\n',
        # More columns of words than of numbers.
        'no,Name,Nominal tilt,Actual tilt,Date,Time,Remark,By\n1,a,0,0,17.,10:01,ok,JD\n2,b,-10,-10,17.,10:05,ok,JD\n3,c,20,20,17.,10:09,ok,JD',
        # A block of facts above the table.
        'Tilt series GST,,\nDate,17.05.2024,\nHT (kV),300,\n,,\nfile,tilt,dose\na,0,1\nb,-10,2\nc,20,3\n,,\n,,\n',
        # A heading behind the sign of a comment.
        '#,File,Tilt,Dose\n1,a,0,1\n2,b,-10,2\n3,c,20,3\n',
        '# file  beta  alpha\na 0.1 0\nb 0.2 -10\nc 0.3 20\n',
        # An empty first column.
        ';Datei;Kippwinkel;\n;a;0,0;\n;b;-10,0;\n;c;20,0;\n',
        # Text that looks like a formula, and folders with blanks.
        'file,tilt\na,"=""0"""\nb,"=""-10"""\nc,"=""20"""\n',
        'file,tilt\n'
        + ''.join(f'D:\\My Data\\Doe Smith\\{n}.dm4,{a}\n' for n, a in zip('abc', (0, -10, 20), strict=True)),
    ],
)
def test_tables_with_more_in_them_than_names_and_angles(tmp_path, text):
    files = [Path(f'{letter}.bcf') for letter in 'abc']
    assert find_angles(3, tables=[table(tmp_path, text)], files=files).angles == pytest.approx([0, -10, 20], abs=0.05)


@pytest.mark.parametrize('text', ['[0, -10, 20]', 'angles = [0, -10, 20]', 'tilts = (0, -10, 20);'])
def test_all_angles_as_programs_list_them(tmp_path, text):
    assert find_angles(3, tables=[table(tmp_path, text, 'angles.txt')], noun='images').angles.tolist() == [0, -10, 20]


def test_an_angle_that_is_missing_for_a_file_is_asked_for(tmp_path):
    files = [Path(f'{letter}.bcf') for letter in 'abc']
    with pytest.raises(InputError, match=r'no angle for b\.bcf'):
        find_angles(3, tables=[table(tmp_path, 'file,tilt\na,0\nb,n/a\nc,20\nd,30\n')], files=files)
