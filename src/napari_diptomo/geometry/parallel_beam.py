r"""Parallel-beam projection about one tilt axis.

The tilt axis runs along y, z along the beam at zero tilt. With x and z counted
in pixels from the middle of the volume, the point (x, y, z) falls at tilt t on

    column  u = a + (x - a) cos t + z sin t + s_x(t)
    row     v = y + s_y(t)

counted from the middle of image t; a is the position of the tilt axis in the
image, s(t) the shift of image t. At zero tilt without shift a column of the
image is a column of the volume.

Where the axis is turned in the image plane by an angle r, the volume keeps its y along the axis, and (u, v) above is a
point of a frame turned with it. The image has it at

    column  u cos r - v sin r,    row  u sin r + v cos r,

so a positive angle turns the axis clockwise in an image whose rows run downwards. a is then the distance of the axis
from the middle of the image, and the shifts are turned into that frame.

Every row of the images is a slice of its own, so the whole projection is one
sparse matrix A, (tilt, u) by (z, x), shared by all slices and channels, and
one small matrix per tilt that moves rows by linear interpolation. With a turned
axis a sparse matrix of bilinear weights takes the place of the latter. They act
on the model: the counts are never interpolated. A holds the weights of Joseph's
projector (see `napari_diptomo.geometry.joseph`): the length of the ray in
units of the pixel, so a volume in counts per voxel of path projects to counts.

Formulas: sign of the tilt, x' = x cos t + z sin t (`ParallelBeam`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse

from napari_diptomo.geometry.joseph import joseph_matrix
from napari_diptomo.series import InputError


class ParallelBeam:
    """The geometry of a tilt series and its projector.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.
    shape : tuple of int
        Shape of the volume (z, y, x).
    shifts : ndarray (tilt, 2), optional
        Shift of each image (y, x), pixels.
    axis_shift : float
        Position of the tilt axis from the middle of the image along x, pixels.
    columns : int, optional
        Columns of the images; the volume may be wider than they are. Default:
        as many as the volume has.
    axis_rotation : float
        Angle from the y axis of the images to the tilt axis, degrees, positive clockwise with rows downwards.

    Raises
    ------
    InputError
        The shape is none of a volume.

    Notes
    -----
    The weights are those of Joseph, IEEE Trans. Med. Imaging 1 (1982) 192; the convention of signs stands at the top of
    the module.
    """

    def __init__(
        self,
        angles: np.ndarray,
        shape: tuple[int, int, int],
        shifts: np.ndarray | None = None,
        axis_shift: float = 0.0,
        columns: int | None = None,
        axis_rotation: float = 0.0,
    ) -> None:
        self.angles = np.atleast_1d(np.asarray(angles, float))
        self.shape = tuple(int(n) for n in shape)
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f'A volume needs three lengths (z, y, x) of at least 1 voxel, not {shape}.')
        self.shifts = np.zeros((len(self.angles), 2)) if shifts is None else np.asarray(shifts, float)
        self.axis_shift = float(axis_shift)
        self.columns = int(columns or self.shape[2])
        self.axis_rotation = float(axis_rotation)

    def with_shifts(self, shifts: np.ndarray) -> ParallelBeam:
        """The same volume and images, the images shifted by ``shifts`` (tilt, 2) pixels."""
        nz, ny, nx = self.shape
        return ParallelBeam(self.angles, (nz, ny, nx), shifts, self.axis_shift, self.columns, self.axis_rotation)

    @property
    def sinogram_shape(self) -> tuple[int, int, int]:
        """Shape of the images of one channel, (tilt, y, u)."""
        return len(self.angles), self.shape[1], self.columns

    @property
    def slice_columns(self) -> int:
        """Columns to which slices are projected: those of the images, and with a turned axis all that their corners reach."""
        if not self.axis_rotation:
            return self.columns
        turn = np.deg2rad(self.axis_rotation)
        reach = self.columns * abs(np.cos(turn)) + self.shape[1] * abs(np.sin(turn))
        return self.columns + 2 * max(int(np.ceil((reach - self.columns) / 2)) + 1, 0)

    @property
    def _turned_shifts(self) -> np.ndarray:
        """Shifts (tilt, 2) along the axis and across it, pixels."""
        if not self.axis_rotation:
            return self.shifts
        turn = np.deg2rad(self.axis_rotation)
        y, x = self.shifts.T
        return np.stack([y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)], axis=1)

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """A, float32 (tilt * u, z * x), u over `slice_columns`."""
        nz, _, nx = self.shape
        offsets = self.axis_shift * (1 - np.cos(np.deg2rad(self.angles))) + self._turned_shifts[:, 1]
        return joseph_matrix(self.angles, offsets, self.slice_columns, (nz, nx))

    @cached_property
    def adjoint_matrix(self) -> sparse.csr_matrix:
        """The transpose of `matrix` in rows, float32 (z * x, tilt * u)."""
        return sparse.csr_matrix(self.matrix.T)

    @cached_property
    def row_matrices(self) -> np.ndarray | None:
        """(tilt, y of the image, y of the volume), None when no row moves or `turn_matrix` moves them."""
        if self.axis_rotation or not np.any(self.shifts[:, 0]):
            return None
        ny = self.shape[1]
        rows = np.arange(ny)
        matrices = np.zeros((len(self.angles), ny, ny), np.float32)
        for matrix, shift in zip(matrices, self.shifts[:, 0], strict=True):
            position = rows - shift
            low = np.floor(position).astype(int)
            for index, weight in ((low, 1 - (position - low)), (low + 1, position - low)):
                inside = (index >= 0) & (index < ny)
                matrix[rows[inside], index[inside]] += weight[inside]
        return matrices

    @cached_property
    def turn_matrix(self) -> sparse.csr_matrix | None:
        """Bilinear weights (tilt * y * x of the images, tilt * y * u of the projected slices), None when the axis is not turned."""
        if not self.axis_rotation:
            return None
        turn = np.deg2rad(self.axis_rotation)
        nt, ny, nu, wide = len(self.angles), self.shape[1], self.columns, self.slice_columns
        v, u = np.meshgrid(np.arange(ny) - (ny - 1) / 2, np.arange(nu) - (nu - 1) / 2, indexing='ij')
        column = u * np.cos(turn) + v * np.sin(turn) + (wide - 1) / 2
        along = v * np.cos(turn) - u * np.sin(turn) + (ny - 1) / 2
        row = along - self._turned_shifts[:, 0, None, None]
        low_row, low_column = np.floor(row), np.floor(column)
        parts = []
        for down in (0, 1):
            for right in (0, 1):
                r, c = low_row + down, np.broadcast_to(low_column + right, row.shape)
                weight = (1 - np.abs(row - r)) * (1 - np.abs(column - c))
                inside = (r >= 0) & (r < ny) & (c >= 0) & (c < wide) & (weight > 0)
                tilt = np.nonzero(inside)[0]
                source = (tilt * ny + r[inside].astype(np.int64)) * wide + c[inside].astype(np.int64)
                parts.append((weight[inside], np.flatnonzero(inside), source))
        weights, targets, sources = (np.concatenate(part) for part in zip(*parts, strict=True))
        size = (nt * ny * nu, nt * ny * wide)
        return sparse.csr_matrix((weights.astype(np.float32), (targets, sources)), size)

    @cached_property
    def covered(self) -> np.ndarray:
        """Rows of each image that the volume accounts for where the axis is not turned, bool (tilt, y)."""
        if self.row_matrices is None:
            return np.ones((len(self.angles), self.shape[1]), bool)
        return self.row_matrices.sum(2) > 1 - 1e-4

    @cached_property
    def covered_pixels(self) -> np.ndarray:
        """Pixels of each image that rows of the volume account for, bool (tilt, y, 1), with a turned axis (tilt, y, u)."""
        if self.turn_matrix is None:
            return self.covered[:, :, None]
        return np.asarray(self.turn_matrix.sum(1) > 1 - 1e-4).reshape(self.sinogram_shape)

    def project(self, volume: np.ndarray) -> np.ndarray:
        """Project a volume.

        Parameters
        ----------
        volume : ndarray (channel, z, y, x)
            Counts per voxel of path.

        Returns
        -------
        ndarray (channel, tilt, y, u), float32
            Counts.
        """
        nc, nz, ny, nx = volume.shape
        flat = np.ascontiguousarray(volume.transpose(1, 3, 0, 2), np.float32).reshape(nz * nx, nc * ny)
        found = (self.matrix @ flat).reshape(len(self.angles), self.slice_columns, nc, ny)
        if self.turn_matrix is not None:
            turned = self.turn_matrix @ np.ascontiguousarray(found.transpose(0, 3, 1, 2)).reshape(-1, nc)
            return np.ascontiguousarray(turned.T).reshape(nc, *self.sinogram_shape)
        found = found.transpose(2, 0, 3, 1)
        if self.row_matrices is not None:
            found = np.einsum('tvy,ctyu->ctvu', self.row_matrices, found, optimize=True)
        return np.ascontiguousarray(found, np.float32)

    def backproject(self, sinograms: np.ndarray) -> np.ndarray:
        """Apply the adjoint of `project`.

        Parameters
        ----------
        sinograms : ndarray (channel, tilt, y, u)
            On the pixels of the images.

        Returns
        -------
        ndarray (channel, z, y, x), float32
            A^T of them, not normalised.
        """
        nc, nt, ny, nu = sinograms.shape
        nz, _, nx = self.shape
        if self.turn_matrix is not None:
            turned = self.turn_matrix.T @ np.asarray(sinograms, np.float32).reshape(nc, -1).T
            nu = self.slice_columns
            sinograms = turned.T.reshape(nc, nt, ny, nu)
        if self.row_matrices is not None:
            sinograms = np.einsum('tvy,ctvu->ctyu', self.row_matrices, sinograms, optimize=True)
        flat = np.ascontiguousarray(sinograms.transpose(1, 3, 0, 2), np.float32).reshape(nt * nu, nc * ny)
        found = (self.adjoint_matrix @ flat).reshape(nz, nx, nc, ny)
        return np.ascontiguousarray(found.transpose(2, 0, 3, 1))
