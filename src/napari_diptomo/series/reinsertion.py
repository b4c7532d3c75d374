r"""How a specimen lies in a second tilt series: it was taken out of the holder, turned, and put back.

A point p of the specimen, (x, y, z) in nm from the middle of the volume of the first series, is found at

    p' = R p + d

in the frame of the second, whose tilt axis runs along y' as that of the first does along y. R follows from a rotation
vector: its direction is the axis of the rotation, its length the angle. Turned about the beam by an angle c in its plane,
positive clockwise where rows run downwards, R has the rotation vector (0, 0, -c).

Formulas: frame of a second tilt series (`Reinsertion`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from napari_diptomo.series.errors import InputError

#: Beyond it no specimen lies: degrees about each axis, and a metre in nm.
_FARTHEST = {'rotation': 360.0, 'offset': 1e9}


@dataclass(frozen=True)
class Reinsertion:
    """The motion from the frame of the first series to that of the second.

    Attributes
    ----------
    rotation : tuple of float
        Rotation vector about x, y and z, degrees.
    offset : tuple of float
        d of the module's formula: x, y and z, nm.

    Raises
    ------
    InputError
        Not three finite numbers each, or some that no specimen lies at.

    Examples
    --------
    >>> Reinsertion.turned(90).matrix.round(3) + 0.0
    array([[ 0.,  1.,  0.],
           [-1.,  0.,  0.],
           [ 0.,  0.,  1.]])
    """

    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ('rotation', 'offset'):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) != 3 or not np.isfinite(values).all():
                raise InputError(
                    f'The {name} of the specimen between two series needs three numbers (x, y, z), not {values}.'
                )
            if max(map(abs, values)) > _FARTHEST[name]:
                raise InputError(
                    f'The {name} of the specimen between two series cannot be {values}; join the two series again.'
                )
            object.__setattr__(self, name, values)

    @classmethod
    def turned(cls, turn: float, upside_down: bool = False) -> Self:
        """A specimen turned in its plane.

        Parameters
        ----------
        turn : float
            Degrees, positive clockwise in images whose rows run downwards.
        upside_down : bool
            Turned over about the tilt axis of the second series afterwards.

        Returns
        -------
        Reinsertion
        """
        from scipy.spatial.transform import Rotation

        rotation = Rotation.from_rotvec([0, 0, -turn], degrees=True)
        if upside_down:
            rotation = Rotation.from_rotvec([0, 180, 0], degrees=True) * rotation
        return cls.of(rotation.as_matrix(), np.zeros(3))

    @classmethod
    def of(cls, matrix: np.ndarray, offset: np.ndarray) -> Self:
        """From a rotation matrix (3, 3) and an offset (3,) in nm."""
        from scipy.spatial.transform import Rotation

        x, y, z = Rotation.from_matrix(matrix).as_rotvec(degrees=True)
        dx, dy, dz = offset
        return cls((x, y, z), (dx, dy, dz))

    @property
    def matrix(self) -> np.ndarray:
        """R, (3, 3), of points (x, y, z)."""
        from scipy.spatial.transform import Rotation

        return np.asarray(Rotation.from_rotvec(self.rotation, degrees=True).as_matrix())

    @property
    def upside_down(self) -> bool:
        """Whether the face that was up is down."""
        return bool(self.matrix[2, 2] < 0)

    @property
    def turn(self) -> float:
        """Angle in the plane of the specimen, degrees, positive clockwise where rows run downwards, -180 to 180."""
        matrix = self.matrix
        sign = -1.0 if self.upside_down else 1.0
        return float(np.rad2deg(np.arctan2(sign * matrix[0, 1], sign * matrix[0, 0])))

    def described(self, angles: np.ndarray) -> str:
        """A second series in words, by its tilts (tilt,) in degrees."""
        return (
            f'{len(angles)} tilts from {angles.min():g}° to {angles.max():g}°, the specimen turned by {self.turn:.1f}°'
        )

    @property
    def out_of_plane(self) -> float:
        """Angle between the planes of the specimen in both series, degrees, 0 to 90."""
        return float(np.rad2deg(np.arccos(np.clip(abs(self.matrix[2, 2]), 0, 1))))

    def then(self, matrix: np.ndarray, offset: np.ndarray) -> Reinsertion:
        """This motion followed by a small one of the second frame.

        Parameters
        ----------
        matrix : ndarray (3, 3)
            Rotation of the second frame.
        offset : ndarray (3,)
            nm.

        Returns
        -------
        Reinsertion
        """
        return Reinsertion.of(matrix @ self.matrix, matrix @ np.array(self.offset) + offset)


def reinserted_shape(
    shape: tuple[int, int, int], reinsertion: Reinsertion, images: tuple[int, int], magnification: float = 1.0
) -> tuple[int, int, int]:
    """Shape of the volume in the second frame that holds all of the first.

    Parameters
    ----------
    shape : tuple of int
        Of the first volume (z, y, x).
    reinsertion : Reinsertion
    images : tuple of int
        Shape of the images of the second series (y, u); rows beyond them are of no use.
    magnification : float
        Voxels of the second volume along one of the first.

    Returns
    -------
    tuple of int
        (z, y, x); x of the parity of the images.
    """
    reach = np.abs(reinsertion.matrix) @ (np.array(shape[::-1]) * magnification)
    wide = 2 * int(np.ceil(max(reach[0] - images[1], 0) / 2)) + images[1]
    return max(int(np.ceil(reach[2] - 1e-6)), 1), images[0], wide
