"""Sentences of the page Align."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.pages.align_page import describe_shifts


def test_where_the_axis_is(maps: MapSeries) -> None:
    shifts = np.zeros((7, 2))
    shifts[2, 1] = -1.5
    moved = replace(maps, shifts=shifts)
    assert describe_shifts(moved) == 'Largest shift 3 nm (1.5 pixels); tilt axis in the middle of the images.'
    moved = replace(maps, shifts=shifts, axis_shift=-0.5, axis_rotation=1.0)
    assert describe_shifts(moved).endswith('tilt axis -1 nm (-0.5 pixels) from the middle of the images, turned by 1°.')
