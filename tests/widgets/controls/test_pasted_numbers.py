from __future__ import annotations

import pytest

from napari_diptomo.series import InputError
from napari_diptomo.widgets.controls.pasted_numbers import angles_in, number_in, steps_between

NAMES = ['a.bcf', 'b.bcf', 'c.bcf']


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('-12,5', -12.5),
        ('\N{MINUS SIGN}12.5', -12.5),
        (' 7° ', 7),
        ('7 deg', 7),
        ('1e1', 10),
        ('"3"', 3),
        ('nan', None),
        ('1_0', None),
        ('1,2,3', None),
        ('', None),
        ('flat', None),
    ],
)
def test_numbers_in_cells(text, value):
    assert number_in(text) == value


@pytest.mark.parametrize(
    'text',
    [
        '-10\n0\n12.5',
        '-10\r\n0\r\n12,5\r\n',
        'Tilt (°)\n\N{MINUS SIGN}10\n0\n12,5',
        '1\t-10\n2\t0\n3\t12,5',
        '0;-10\n1;0\n2;12,5\n',
        'image,angle\n1,-10\n2,0\n3,12.5',
        '1 -10\n2 0\n3 12.5',
        'file\tangle\tremark\nc.bcf\t12,5\tdrifted\na.bcf\t-10\t\nb.bcf\t0\tfine',
        'c 12.5\nb 0\na -10',
        'c,12.5\nb,0\na,-10',
    ],
)
def test_columns_of_spreadsheets(text):
    assert angles_in(text, NAMES) == [-10, 0, 12.5]


def test_radians_by_their_heading():
    assert angles_in('tilt / mrad\n-100\n0\n100', NAMES) == pytest.approx([-5.7296, 0, 5.7296], abs=1e-4)
    assert angles_in('rad\n-0,1\n0\n0,1', NAMES) == pytest.approx([-5.7296, 0, 5.7296], abs=1e-4)


def test_tilts_that_are_not_listed_yet_are_as_many_as_numbers():
    assert angles_in('5\n6', []) == [5, 6]


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('', 'The clipboard holds no text'),
        ('1\n2', 'The clipboard holds 2 numbers for 3 tilts; copy one for each'),
        ('x\ny\nz', 'holds no column of numbers'),
        ('5\t6\n7\t8\n9\t1', 'holds 2 columns of numbers'),
        ('1\n' * 10_001, 'The clipboard holds 10001 lines'),
    ],
)
def test_what_is_no_column_is_one_sentence(text, sentence):
    with pytest.raises(InputError, match=sentence):
        angles_in(text, NAMES)


def test_first_last_step():
    assert steps_between(-10, 10, 10, 3) == [-10, 0, 10]
    assert steps_between(10, -10, 10) == [10, 0, -10]
    assert steps_between(-1, 1, 0.4) == [-1, -0.6, -0.2, 0.2, 0.6, 1]
    assert steps_between(4, 4, 1) == [4]


@pytest.mark.parametrize(
    ('numbers', 'sentence'),
    [
        ((-10, 10, 0, 3), 'The step is 0'),
        ((-10, 10, 3, 3), 'Steps of 3° from -10° do not end at 10°'),
        ((-10, 10, 5, 3), 'These are 5 angles for 3 tilts'),
        ((-180, 180, 0.001, None), 'These are 360000 steps'),
    ],
)
def test_steps_that_do_not_fit(numbers, sentence):
    with pytest.raises(InputError, match=sentence):
        steps_between(*numbers)
