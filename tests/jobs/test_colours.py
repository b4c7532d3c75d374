"""Colours of many elements: all different, seen on dark and light."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.jobs.colours import HUES, colours


def lab(hue):
    """CIELAB of ``'#rrggbb'``, white D65."""
    rgb = np.array([int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_hues_can_be_distinguished():
    places = np.array([lab(hue) for hue in HUES])
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + 1e3 * np.eye(len(HUES))
    # A difference of 2 is just seen; the first eight are 39 apart.
    assert len(HUES) == 16
    assert apart.min() > 38


@pytest.mark.parametrize('hue', HUES)
def test_hues_are_seen_on_dark_and_light(hue):
    assert 50 < lab(hue)[0] < 90


def test_the_elements_of_a_measured_series_have_a_colour_each():
    elements = ('O', 'Mg', 'Al', 'Si', 'S', 'Ca', 'Ti', 'Fe', 'Co', 'Ni', 'Cu', 'Ga', 'Pt', 'C', 'Zr', 'Pb')
    found = colours(elements)
    assert len(set(found.values())) == 16
    assert found['Fe'] == HUES[5]
    assert found['O'] == HUES[0]


def test_more_elements_than_hues_still_have_one():
    assert set(colours(f'X{i}' for i in range(30)).values()) == set(HUES)
