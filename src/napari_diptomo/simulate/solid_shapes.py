"""Solid shapes as smooth occupancies on a grid, for painting phantoms.

A shape is a signed distance d (negative inside, in units of coarse voxels);
its occupancy falls linearly from 1 to 0 over one fine voxel across the
surface, so that edges carry no staircase of the grid they are painted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial.transform import Rotation

Point: TypeAlias = np.ndarray | tuple[float, float, float]


class Grid:
    """Centres of the fine voxels of a cube, in coarse voxels from its middle.

    Parameters
    ----------
    size : int
        Edge in coarse voxels.
    supersample : int
        Fine voxels per coarse voxel along each axis.

    Attributes
    ----------
    z, y, x : ndarray
        Coordinates, shaped to broadcast to (z, y, x).
    step : float
        Edge of a fine voxel.
    """

    def __init__(self, size: int, supersample: int) -> None:
        self.size = size
        self.step = 1.0 / supersample
        fine = size * supersample
        axis = ((np.arange(fine) - (fine - 1) / 2) * self.step).astype(np.float32)
        self.z, self.y, self.x = axis[:, None, None], axis[None, :, None], axis[None, None, :]
        self.shape = (fine, fine, fine)

    def occupancy(self, distance: np.ndarray) -> np.ndarray:
        """1 inside, 0 outside, a linear ramp one fine voxel wide between."""
        return np.clip(0.5 - distance / self.step, 0.0, 1.0).astype(np.float32)

    def coordinates(
        self, centre: Point, rotation: Rotation | None = None, part: Sequence[slice] = (slice(None),) * 3
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates (z, y, x) in the frame of a shape at ``centre`` turned by ``rotation``, of all voxels or of a part."""
        z = self.z[part[0]] - centre[0]
        y = self.y[:, part[1]] - centre[1]
        x = self.x[:, :, part[2]] - centre[2]
        if rotation is None:
            return z, y, x
        rows = rotation.as_matrix().T.astype(np.float32)
        return tuple(row[0] * z + row[1] * y + row[2] * x for row in rows)

    def box(self, centre: Point, half: Point, rotation: Rotation | None = None) -> np.ndarray:
        """Occupancy of a box with half edges ``half`` (z, y, x)."""
        axes = self.coordinates(centre, rotation)
        distance = np.maximum.reduce(np.broadcast_arrays(*[np.abs(a) - h for a, h in zip(axes, half, strict=True)]))
        return self.occupancy(distance)

    def ellipsoid(self, centre: Point, radii: Point, rotation: Rotation | None = None) -> np.ndarray:
        """Occupancy of an ellipsoid with semi-axes ``radii`` (z, y, x)."""
        shape = np.zeros(self.shape, np.float32)
        part = self._around_ellipsoid(centre, np.asarray(radii, float), rotation)
        axes = self.coordinates(centre, rotation, part)
        k0 = np.sqrt(sum(((a / r) ** 2 for a, r in zip(axes, radii, strict=True)), np.float32(0)))
        k1 = np.sqrt(sum(((a / r**2) ** 2 for a, r in zip(axes, radii, strict=True)), np.float32(0)))
        shape[part] = self.occupancy(k0 * (k0 - 1) / np.maximum(k1, 1e-6))
        return shape

    def _around_ellipsoid(self, centre: Point, radii: np.ndarray, rotation: Rotation | None) -> tuple[slice, ...]:
        """The voxels outside of which its occupancy is 0."""
        matrix = np.eye(3) if rotation is None else rotation.as_matrix()
        # The distance is at least (k0 - 1) times the smallest semi-axis, and the ramp ends half a fine voxel outside.
        reach = np.sqrt(((matrix * radii) ** 2).sum(axis=1)) * (1 + self.step / (2 * radii.min()))
        ends = [np.searchsorted(self.x.ravel(), (c - r, c + r)) for c, r in zip(centre, reach, strict=True)]
        return tuple(slice(max(low - 1, 0), high + 1) for low, high in ends)

    def cylinder(self, centre: Point, radius: float, axis: int) -> np.ndarray:
        """Occupancy of an endless cylinder along ``axis`` (0 z, 1 y, 2 x)."""
        across = [a for i, a in enumerate(self.coordinates(centre)) if i != axis]
        distance = np.sqrt(across[0] ** 2 + across[1] ** 2) - radius
        return np.broadcast_to(self.occupancy(distance), self.shape)

    def smooth_noise(self, rng: np.random.Generator, sigma: float) -> np.ndarray:
        """A smooth random field of zero mean and unit deviation; ``sigma`` in coarse voxels."""
        # Sampled on a coarser lattice: the field has no detail there to lose, and the random
        # numbers, hence the specimen, do not depend on the supersampling.
        coarse = max(self.size // 2, 4)
        field = gaussian_filter(rng.standard_normal((coarse,) * 3), sigma * coarse / self.size, mode='nearest')
        field = zoom(field, self.shape[0] / coarse, order=1, mode='nearest', grid_mode=True)
        return ((field - field.mean()) / field.std()).astype(np.float32)
