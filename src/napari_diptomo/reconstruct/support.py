r"""Where the specimen can be: a slab, a box or a mask; the volume is zero elsewhere.

What no tilt range short of 90 degrees measures has to come from what is known
otherwise, and the faces of a lamella are the first of it. With the support
S(z, y, x) in [0, 1] every method solves

    m = A (S v),   x = S v,   v >= 0

in place of m = A x, one change of variables in the forward model, so that the
weights (A 1 becomes A S, A^T 1 becomes S A^T 1), the data term, the held-out
counts and the returned volume all agree. Total variation is that of S v, and a
network pays for what it predicts outside: the specimen has to end by itself
inside the support. Where the support is exact, it is that of v: the faces are
given then, and cost nothing.

Lengths are in voxels here, counted from the middle of the volume. The normal
of a slab of tilt a and tip b is n = (cos a cos b, sin b, -sin a cos b) along
(z, y, x): at the stage tilt a the beam passes it straight, in the plane across
the tilt axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.reading.inspection import check_not_packed, check_unpacks
from napari_diptomo.series.reading.library_errors import reading

#: Empty voxels kept around a support that is a limit only: a network whose grid ends at the face fills it.
MARGIN = 3
_READABLE = '.npy, .tif, .mrc or .hspy'


@dataclass(frozen=True, eq=False)
class Support:
    """A support with its notes for the result.

    Attributes
    ----------
    inside : ndarray (z, y, x), float32
        1 inside, 0 outside, between across a face.
    notes : dict
        Kind and position, JSON-ready.
    exact : bool
        The specimen fills it to its faces; otherwise it may end anywhere inside.
    """

    inside: np.ndarray
    notes: dict[str, Any] = field(default_factory=dict)
    exact: bool = False

    def __post_init__(self) -> None:
        if not (self.inside > 0).any():
            raise InputError('The support is empty: it lies outside the volume; check its size and position.')

    def cropped(self) -> np.ndarray:
        """`inside` cut along z and x, alike on both sides of the middle, to a margin of `MARGIN` empty voxels or none."""
        found, margin = self.inside, 0 if self.exact else MARGIN
        for axis in (0, 2):
            filled = np.flatnonzero(found.any(axis=tuple(a for a in (0, 1, 2) if a != axis)))
            spare = max(min(filled[0], found.shape[axis] - 1 - filled[-1]) - margin, 0)
            found = np.take(found, range(spare, found.shape[axis] - spare), axis)
        return np.ascontiguousarray(found)


@dataclass(frozen=True)
class Slab:
    """A slab between two parallel faces; lengths in voxels, angles in degrees.

    Attributes
    ----------
    thickness : float
        Between the faces, along the normal.
    tilt : float
        Stage tilt at which the beam passes the slab straight.
    tip : float
        Tilt about the x axis; positive: the slab lies lower in z where y is larger.
    offset : float
        Position of its middle plane along the beam, from the middle of the volume.
    """

    thickness: float
    tilt: float = 0.0
    tip: float = 0.0
    offset: float = 0.0

    def inside(self, shape: tuple[int, ...]) -> np.ndarray:
        """1 inside, falling to 0 over one voxel across a face; (z, y, x), float32."""
        z, y, x = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in shape)
        a, b = np.deg2rad([self.tilt, self.tip])
        height = (
            np.cos(a) * np.cos(b) * (z[:, None, None] - self.offset)
            + np.sin(b) * y[None, :, None]
            - np.sin(a) * np.cos(b) * x[None, None, :]
        )
        return np.clip(0.5 + self.thickness / 2 - np.abs(height), 0, 1).astype(np.float32)


def slab_angles(normal: Sequence[float]) -> tuple[float, float]:
    """Tilt and tip, degrees, of the slab across the vector ``normal`` (z, y, x)."""
    z, y, x = np.asarray(normal, float) / np.linalg.norm(normal) * (1 if normal[0] >= 0 else -1)
    return float(np.rad2deg(np.arctan2(-x, z))), float(np.rad2deg(np.arcsin(y)))


def box(shape: tuple[int, ...], edges: Sequence[float]) -> np.ndarray:
    """1 inside a box, falling to 0 over one voxel across its faces; (z, y, x), float32.

    ``edges`` are from and to along z, y and x, voxels from the middle.
    """
    found = np.ones(shape, np.float32)
    for axis, n in enumerate(shape):
        position = np.arange(n) - (n - 1) / 2
        low, high = edges[2 * axis], edges[2 * axis + 1]
        if low >= high:
            raise InputError(f'The box goes from {low:g} to {high:g} along {"zyx"[axis]}; give the smaller edge first.')
        along = np.clip(0.5 + np.minimum(position - low, high - position), 0, 1)
        found *= along.reshape([-1 if a == axis else 1 for a in range(3)]).astype(np.float32)
    return found


def read_mask(path: str | Path, shape: tuple[int, int, int], transposed: bool = False) -> np.ndarray:
    """A mask from a file, 1 where its values are not zero; (z, y, x), float32.

    Parameters
    ----------
    path : str or Path
        ``.npy``, ``.tif`` (as napari saves labels), ``.mrc`` or ``.hspy``; with a fourth axis, a voxel
        is inside when it is inside along any of it.
    shape : tuple of int
        Of the volume (z, y, x) as it is solved.
    transposed : bool
        The mask was made on a volume whose x and y are those of the solved one swapped.

    Raises
    ------
    InputError
        No such file, not readable, or another shape.
    """
    path = Path(path)
    found = _read(path)
    if found.ndim == 4:
        found = np.asarray(found.any(axis=0))
    needed = (shape[0], shape[2], shape[1]) if transposed else tuple(shape)
    if found.shape != needed:
        raise InputError(
            f'The mask {path.name} has the shape {found.shape} where the volume has {needed} voxels along z, y, x; '
            'draw it on a volume of the same binning and thickness.'
        )
    if not found.any():
        raise InputError(f'The mask {path.name} is empty: all its values are zero; mark the specimen in it.')
    return np.ascontiguousarray(found.swapaxes(1, 2) if transposed else found).astype(np.float32)


def counts_outside(maps: MapSeries, path_length: np.ndarray) -> float:
    """Fraction of the signal on rays that never pass the support: much of it means that the support is wrong."""
    signal = maps.data if maps.background is None else maps.data - maps.background
    per_pixel = signal.sum(axis=0)
    missed = float(per_pixel[path_length <= 1e-6].sum())
    return max(missed, 0.0) / max(float(per_pixel.sum()), 1e-12)


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f'There is no file {path} with a mask; give the path of a {_READABLE} file.')
    suffix = path.suffix.lower()
    if suffix == '.hspy':
        from napari_diptomo.series.reading import hyperspy_adapter

        return hyperspy_adapter.read(hyperspy_adapter.open_signals(path)[0]) != 0
    readers = {'.npy': _npy, '.tif': _tiff, '.tiff': _tiff, '.mrc': _mrc}
    if suffix not in readers:
        raise InputError(f'{path.name} is of no kind that a mask is read from; save it as {_READABLE}.')
    check_not_packed(path)
    with reading(path, 'save it again', 'as a mask'):
        found = readers[suffix](path)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in 'buif' or not found.size:
        raise InputError(f'{path.name} cannot be read as a mask (no array of numbers); save it again as {_READABLE}.')
    return found != 0


def _npy(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


def _tiff(path: Path) -> Any:
    import tifffile

    # As OME-TIFF it could name other files, whose pages would be read in place of its own.
    with tifffile.TiffFile(path, is_ome=False) as file:
        check_unpacks(
            path.name, sum(file.pages[number].nbytes for number in range(len(file.pages))), path.stat().st_size
        )
        return file.asarray()


def _mrc(path: Path) -> Any:
    import mrcfile

    with mrcfile.open(path) as file:
        return np.asarray(file.data)
