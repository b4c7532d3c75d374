"""Channels: limits, widths, the maximum of a parabola."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.spectra.common.energy_axis import between, channel_width, parabola_offset


def test_the_lower_limit_belongs_to_the_range_and_the_upper_one_does_not():
    assert between(np.arange(5.0), (1.0, 3.0)).tolist() == [False, True, True, False, False]


def test_width_of_channels():
    assert channel_width(10 + 0.25 * np.arange(9)) == pytest.approx(0.25)


@pytest.mark.parametrize('place', [-0.4, 0.0, 0.3])
def test_a_parabola_has_its_maximum_where_it_was_put(place):
    left, middle, right = (5 - (k - place) ** 2 for k in (-1, 0, 1))
    assert parabola_offset(left, middle, right) == pytest.approx(place, abs=1e-12)


def test_three_channels_without_a_maximum():
    assert parabola_offset(1.0, 1.0, 1.0) == 0.0
    assert parabola_offset(0.0, 0.1, 5.0) == 0.0
    assert parabola_offset(0.0, 1.0, 1.9) == 0.5
