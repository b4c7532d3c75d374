"""Angles from arguments, tables, metadata and names; and how each source is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.series.reading.angles.evidence import find_angles
from napari_diptomo.series.reading.angles.metadata import metadata_angle
from napari_diptomo.series.reading.angles.names import angles_from_names, in_natural_order
from napari_diptomo.series.reading.angles.tables import read_table

BCF = [Path(name) for name in ('-10.bcf', '-5.bcf', '0.bcf', '10.bcf')]


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['-40.bcf', '0.bcf', '35.bcf'], (-40, 0, 35)),
        (['tilt_+05deg.hspy', 'tilt_-05deg.hspy', 'tilt_00deg.hspy'], (5, -5, 0)),
        (['GST_m40.emd', 'GST_0.emd', 'GST_p35.emd'], (-40, 0, 35)),
        (['GST_neg40.emd', 'GST_pos35.emd'], (-40, 35)),
        (['GST-40.emd', 'GST0.emd', 'GST20.emd'], (-40, 0, 20)),
        (['20181129_200kV_-40.5.bcf', '20181129_200kV_3.bcf'], (-40.5, 3)),
        (['001_-40.0.emd', '002_-35.0.emd', '003_0.emd'], (-40, -35, 0)),
        (['map 1410 -40.emd', 'map 1432 10.emd'], (-40, 10)),
        (['run/-40/map.bcf', 'run/10/map.bcf'], (-40, 10)),
        (['GST -40p5.emd', 'GST 3p0.emd'], (-40.5, 3)),
        (['GST_-40d5.emd', 'GST_-37d25.emd', 'GST_3d0.emd'], (-40.5, -37.25, 3)),
        (['m40d5.emd', 'p3d0.emd'], (-40.5, 3)),
        (['stack3d-40.emd', 'stack3d5.emd', 'stack3d+10.emd'], (-40, 5, 10)),
    ],
)
def test_names_give_angles(names, expected):
    assert angles_from_names([Path(name) for name in names]) == expected


def test_a_hyphen_before_every_number_is_a_separator():
    assert angles_from_names([Path('GST-40.emd'), Path('GST-20.emd')]) is None
    assert angles_from_names([Path('GST-40deg.emd'), Path('GST-20deg.emd')]) == (40, 20)
    assert angles_from_names([Path('GST--40.emd'), Path('GST-05.emd')]) == (-40, 5)


@pytest.mark.parametrize('names', [['s1.emd', 's2.emd', 's3.emd'], ['a.emd', 'b.emd'], ['x_5_7.emd', 'x_9_12.emd']])
def test_names_without_one_clear_angle_give_none(names):
    assert angles_from_names([Path(name) for name in names]) is None


def test_natural_order_knows_signs_and_numbers():
    names = ['-10.bcf', '-5.bcf', '0.bcf', '10.bcf', '5.bcf']
    assert [p.stem for p in in_natural_order([Path(n) for n in names])] == ['-10', '-5', '0', '5', '10']
    assert [p.stem for p in in_natural_order([Path(n) for n in ('s10.emd', 's2.emd')])] == ['s2', 's10']


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('a.rawtlt', '-10.0\n-5\n0\n10\n'),
        ('a.tlt', '  -10.00\n  -5.00\n  0.00\n  10.00\n\n'),
        ('angles.txt', '# tilt angles\n# deg\n-10\n-5\n0\n10'),
        ('angles.txt', 'angle_deg\n-10 deg\n-5 deg\n0 deg\n10 deg'),
        ('angles.txt', '\N{MINUS SIGN}10\n\N{MINUS SIGN}5\n0\n10'),
        ('angles.csv', 'index,tilt\n0,-10\n1,-5\n2,0\n3,10\n'),
        ('angles.csv', '0;-10\n1;-5\n2;0\n3;10\n'),
        ('angles.csv', 'file,angle\n10.bcf,10\n0.bcf,0\n-5.bcf,-5\n-10.bcf,-10\n20.bcf,20\n'),
        ('angles.csv', '"/data/10",10,3.2\n"/data/0",0,3.1\n"/data/-5",-5,3\n"/data/-10",-10,3\n'),
        ('angles.txt', 'dose alpha\n1.5 -10\n2.5 -5\n3.5 0\n4.5 10\n'),
    ],
)
def test_tables(tmp_path, name, text):
    table = tmp_path / name
    table.write_text(text, encoding='utf-8')
    found = find_angles(4, tables=[table], files=BCF)
    assert found.angles.tolist() == [-10, -5, 0, 10]
    assert name in found.source


def test_prose_and_other_numbers_are_no_table(tmp_path):
    prose = tmp_path / 'about_dataset.txt'
    prose.write_text('Sample name: L2083-K-4-1.\n\nData was acquired from -50 to +50 degrees in 5 degree steps.\n')
    large = tmp_path / 'counts.csv'
    large.write_text('5000\n6000\n7000\n8000\n')
    assert read_table(prose) is None
    assert read_table(large) is None
    found = find_angles(4, tables=[prose, large], metadata=[0.0] * 4, files=BCF)
    assert found.angles.tolist() == [-10, -5, 0, 10]


def test_sources_are_compared_and_what_is_given_decides(tmp_path):
    table = tmp_path / 'angles.csv'
    table.write_text('1\n2\n3\n4\n')
    metadata = [11.0, 12.0, 13.0, 14.0]
    everything = {'tables': [table], 'metadata': metadata, 'files': BCF}
    found = find_angles(4, given=[21, 22, 23, 24], **everything)
    assert found.source == 'as given' and found.angles.tolist() == [21, 22, 23, 24]
    assert 'disagree' in found.findings[0].sentence and found.findings[0].level == 'doubt'
    with pytest.raises(
        InputError, match=r'metadata of the files \(11, 12, 13, \.\.\.\) and of the file names \(-10, -5, 0,'
    ):
        find_angles(4, metadata=metadata, files=BCF)
    assert find_angles(4, files=BCF).source == 'from the file names'


def test_one_angle_in_all_metadata_is_distrusted_and_said_so():
    found = find_angles(4, metadata=[0.0, 0.01, 0.0, 0.0], files=BCF)
    assert found.angles.tolist() == [-10, -5, 0, 10]
    assert found.source == 'from the file names (the metadata say 0° for every tilt and were not accepted)'
    with pytest.raises(InputError, match='not accepted'):
        find_angles(2, metadata=[0.0, 0.0], files=[Path('a.emd'), Path('b.emd')])


def test_wrong_counts_name_both():
    with pytest.raises(InputError, match='3 angles for 4 files'):
        find_angles(4, given=[1, 2, 3], files=BCF)


def test_a_table_meant_for_the_data_must_fit(tmp_path):
    table = tmp_path / 'tilt_angles.txt'
    table.write_text('1\n2\n3\n')
    with pytest.raises(InputError, match=r'tilt_angles.txt has 3 angles for 4 files'):
        find_angles(4, tables=[table], files=BCF)
    table.write_text('-10.bcf,1\n-5.bcf,2\n0.bcf,3\n')
    with pytest.raises(InputError, match=r'no angle for 10\.bcf'):
        find_angles(4, tables=[table], files=BCF)


def test_a_table_that_is_none(tmp_path):
    prose = tmp_path / 'about.txt'
    prose.write_text('some words\nand more of them\n')
    with pytest.raises(InputError, match=r'about.txt is not a table'):
        find_angles(4, given=str(prose), files=BCF)
    with pytest.raises(InputError, match='no table of angles'):
        find_angles(4, given=str(tmp_path / 'gone.csv'), files=BCF)


def test_repeated_angles_are_taken():
    assert list(find_angles(4, given=[-10, 5, 0, 5], files=BCF).angles) == [-10, 5, 0, 5]


def test_no_angles():
    with pytest.raises(InputError, match='No tilt angles were found for the 2 files'):
        find_angles(2, files=[Path('a.emd'), Path('b.emd')])


@pytest.mark.parametrize('value', [float('nan'), 1000.0])
def test_angles_that_are_none(value):
    with pytest.raises(InputError, match='not a number between'):
        find_angles(2, given=[0.0, value])


def test_metadata_keys():
    assert metadata_angle({'Acquisition_instrument': {'SEM': {'Stage': {'tilt_alpha': 3}}}}).tolist() == [3]
    assert metadata_angle({'Tomography': {'tilts': np.array([[-5.0], [5.0]])}}).tolist() == [-5, 5]
    assert metadata_angle({'Acquisition_instrument': {'TEM': {}}}) is None
    assert metadata_angle({'Stage': {'tilt_alpha': 'unknown'}}) is None
