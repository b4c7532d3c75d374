"""Tables of angles and names of files as people of other countries and programs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.series.reading.angles.evidence import find_angles
from napari_diptomo.series.reading.angles.names import angles_from_names

ANGLES = [-40.5, -20.2, 0.7, 20.4, 40.6]
RADIANS = [f'{value:.6f}' for value in np.radians(ANGLES)]
FILES = [Path(f'{letter}.emd') for letter in 'abcde']
NAMED = [Path(f'si_{angle:+d}.emd') for angle in (-40, -20, 0, 20, 40)]


def found(folder: Path, text: str, name: str = 'angles.csv', encoding: str = 'utf-8', files=FILES, **keywords):
    (folder / name).write_bytes(text.encode(encoding))
    return find_angles(5, tables=[folder / name], files=files, **keywords)


def rows(minus: str = '-', point: str = '.', between: str = ';') -> str:
    written = [str(angle).replace('-', minus).replace('.', point) for angle in ANGLES]
    return '\n'.join(f'{file.name}{between}{angle}' for file, angle in zip(FILES, written, strict=True))


@pytest.mark.parametrize('minus', ['\u2010', '\u2011', '\u2012', '\u2013', '\u2212', '\ufe63', '\uff0d', '- '])
def test_every_dash_is_a_minus_sign(tmp_path, minus):
    assert found(tmp_path, 'file;angle\n' + rows(minus)).angles.tolist() == ANGLES
    alone = '\n'.join(str(angle).replace('-', minus) for angle in ANGLES)
    assert found(tmp_path, f'angle\n{alone}', 'tilts.txt', encoding='utf-16').angles.tolist() == ANGLES


@pytest.mark.parametrize(
    ('heading', 'encoding'),
    [
        ('\u30d5\u30a1\u30a4\u30eb;\u89d2\u5ea6', 'cp932'),
        ('\u6587\u4ef6;\u503e\u89d2', 'gb18030'),
        ('\ud30c\uc77c;\uac01\ub3c4', 'cp949'),
        ('\u0444\u0430\u0439\u043b;\u0443\u0433\u043e\u043b', 'cp1251'),
        ('\u03b1\u03c1\u03c7\u03b5\u03af\u03bf;\u03b3\u03c9\u03bd\u03af\u03b1', 'cp1253'),
        ('plik;k\u0105t', 'cp1250'),
        ('arquivo;\u00e2ngulo', 'cp1252'),
        ('bestand;hoek', 'ascii'),
    ],
)
def test_headings_in_other_languages_and_code_pages(tmp_path, heading, encoding):
    """Named so that nothing but the heading says what the numbers are."""
    series = found(tmp_path, f'{heading}\n{rows(point=",")}', 'list.csv', encoding)
    assert series.angles.tolist() == ANGLES
    assert not series.findings


def test_a_name_with_a_dash_of_its_own_is_found_in_the_table(tmp_path):
    names = ['si_\u221240.emd', 'si_0.emd']
    (tmp_path / 'angles.csv').write_text(f'file;angle\n{names[0]};-40.3\n{names[1]};0.2\n', encoding='utf-8')
    series = find_angles(2, tables=[tmp_path / 'angles.csv'], files=[Path(name) for name in names])
    assert series.angles.tolist() == [-40.3, 0.2]


def test_decimal_commas_between_commas(tmp_path):
    """The heading has one column less than the rows; without a heading nobody knows."""
    assert found(tmp_path, f'file,angle\n{rows(point=",", between=",")}').angles.tolist() == ANGLES
    bare = '\n'.join(f'{number},{angle}'.replace('.', ',') for number, angle in enumerate(ANGLES, 1))
    with pytest.raises(InputError, match=r'commas that may be decimal or stand between columns \("1,-40,5"\)'):
        found(tmp_path, bare)
    doses = '\n'.join(f'{number},{angle:.0f},{9 - number}' for number, angle in enumerate(ANGLES, 1))
    assert found(tmp_path, f'image,angle,dose\n{doses}').angles.tolist() == [-40, -20, 1, 20, 41]


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        ('\n'.join(RADIANS), 'angles_rad.txt'),
        ('winkel [Radiant]\n' + '\n'.join(RADIANS), 'winkel.txt'),
        ('\u00e1ngulo (radianes)\n' + '\n'.join(RADIANS), 'angles.txt'),
        ('Winkel (Bogenma\u00df)\n' + '\n'.join(RADIANS), 'angles.txt'),
        ('Winkel [gon]\n' + '\n'.join(f'{angle / 0.9:.6f}' for angle in ANGLES), 'angles.txt'),
        ('theta_rad;theta_deg\n' + '\n'.join(f'{np.radians(a):.2f};{a}' for a in ANGLES), 'angles.csv'),
    ],
)
def test_units_by_other_words_and_by_the_name_of_the_file(tmp_path, text, name):
    np.testing.assert_allclose(found(tmp_path, text, name).angles, ANGLES, atol=1e-3)


def test_radians_are_known_by_the_names_of_the_files(tmp_path):
    series = found(tmp_path, '\n'.join(RADIANS[::-1]), 'angles.txt', files=NAMED)
    np.testing.assert_allclose(series.angles, ANGLES, atol=1e-3)
    assert series.source == 'from the table angles.txt, in radians, each row by its value'
    with pytest.raises(InputError, match='disagree'):
        found(tmp_path, '\n'.join(['0.1', *RADIANS[1:]]), 'angles.txt', files=NAMED)


def test_a_number_that_is_none_is_no_heading(tmp_path):
    with pytest.raises(InputError, match=r'has no number in the row "\(40\.5\)"'):
        found(tmp_path, 'angle\n(40.5)\n(20.2)\n0.7\n20.4\n40.6')
    dated = 'recorded\n2026-11-30\n12:30\nangle\n' + '\n'.join(map(str, ANGLES))
    assert found(tmp_path, dated).angles.tolist() == ANGLES


def test_mdoc_names_the_frames_of_numbered_images(tmp_path):
    """Saved frame by frame, the sections number the tilts and name the file of each; the files sort otherwise."""
    text = ''.join(
        f'[ZValue = {number}]\nTiltAngle = {angle}\nSubFramePath = D:\\frames\\{letter}.tif\n'
        for number, (letter, angle) in enumerate(zip('badce', (-20.2, -40.5, 20.4, 0.7, 40.6), strict=True))
    )
    files = [Path(f'{letter}.tif') for letter in 'abcde']
    series = found(tmp_path, text, 'session.mdoc', files=files)
    assert (series.angles.tolist(), series.source) == (ANGLES, 'from the table session.mdoc, by file name')
    stack = find_angles(5, tables=[tmp_path / 'session.mdoc'], noun='images')
    assert stack.angles.tolist() == [-20.2, -40.5, 20.4, 0.7, 40.6]


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['s_m40p5', 's_m20p5', 's_p20p5'], (-40.5, -20.5, 20.5)),
        (['s_-40p5deg', 's_00p0deg', 's_20p5deg'], (-40.5, 0, 20.5)),
        (['winkel_10', 'winkel_20', 'winkel_40'], (10, 20, 40)),
        (['Kippung 10 Grad', 'Kippung 20 Grad', 'Kippung 41 Grad'], (10, 20, 41)),
        (['10\u5ea6', '-12\u5ea6', '1\u5ea6'], (10, -12, 1)),
        (['x_-10mV', 'x_0mV', 'x_10mV'], None),
        (['x_-1V', 'x_0V', 'x_1V'], None),
        (['sample2p1_-10', 'sample2p1_0', 'sample2p1_10'], (-10, 0, 10)),
    ],
)
def test_numbers_in_names_with_other_points_words_and_units(names, expected):
    assert angles_from_names([Path(f'{name}.emd') for name in names]) == expected


def test_a_hyphen_before_every_number_is_doubted():
    doubted = find_angles(3, files=[Path(f'tilt-{angle:02d}.emd') for angle in (0, 20, 40)])
    assert [finding.level for finding in doubted.findings] == ['doubt']
    assert 'mirror image' in doubted.findings[0].sentence
    signed = find_angles(3, files=[Path(f'tilt{angle:+d}.emd') for angle in (-20, 0, 20)])
    confirmed = find_angles(3, metadata=[0.1, 19.9, 40.0], files=[Path(f'tilt-{a:02d}.emd') for a in (0, 20, 40)])
    assert not signed.findings and not confirmed.findings
