"""Occupancies of solid shapes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_diptomo.simulate.solid_shapes import Grid


@pytest.mark.parametrize(
    ('centre', 'radii'),
    [((1.0, -2.0, 0.5), (2.0, 3.0, 7.0)), ((7.5, 7.0, -8.0), (4.0, 0.8, 2.5)), ((0, 0, 0), (1, 1, 1))],
)
@pytest.mark.parametrize('rotation', [None, Rotation.from_euler('zyx', [20, 35, -70], degrees=True)])
def test_an_ellipsoid_is_whole_though_computed_around_itself_alone(centre, radii, rotation):
    grid = Grid(16, 2)
    z, y, x = np.broadcast_arrays(grid.z, grid.y, grid.x)
    points = np.stack([z, y, x], -1) - np.array(centre)
    if rotation is not None:
        points = rotation.inv().apply(points.reshape(-1, 3)).reshape(points.shape)
    k0 = np.sqrt(np.square(points / np.array(radii)).sum(-1))
    k1 = np.sqrt(np.square(points / np.square(radii)).sum(-1))
    distance = k0 * (k0 - 1) / np.maximum(k1, 1e-6)
    expected = np.clip(0.5 - distance / grid.step, 0, 1)
    np.testing.assert_allclose(grid.ellipsoid(centre, radii, rotation), expected, atol=1e-4)
