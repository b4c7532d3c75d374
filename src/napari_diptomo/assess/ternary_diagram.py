r"""Where the voxels of a composition lie in a ternary diagram, and which lie in a region of it.

Of the percent p_c of three channels a voxel has the fractions f_c = max(p_c, 0) / sum_d max(p_d, 0), d over the three. In a
triangle whose sides are one long, first channel at the top, second lower left, third lower right, it is at

    x = f_3 + f_1 / 2,    y = sqrt(3) / 2 f_1,

so that two compositions are sqrt(sum_c (f_c - g_c)^2 / 2) apart: where atoms of one element replace a fraction d of another,
a voxel moves by d. The error of a voxel moves it by sqrt(sum_c sigma_c^2 / 2) in the root mean square, however the sigma_c are
correlated.

Voxels are counted in small triangles: lines of constant f_c cut the whole into n^2 of them, all alike.

Formulas: position, distance and bins in a ternary diagram (`on_plane`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_diptomo.assess.composition_values import carried_voxels, percent_channels, place_among, these_of, units_of
from napari_diptomo.assess.fractions import fractions
from napari_diptomo.series import InputError, Volume

_HEIGHT = np.sqrt(3) / 2
#: Percent of a voxel that the three channels need to have together: of less their fractions say nothing.
LEAST_TOGETHER = 10.0


@dataclass(frozen=True, eq=False)
class TernaryPoints:
    """The voxels of a composition in a ternary diagram.

    Attributes
    ----------
    channels : tuple of str
        At the top, lower left and lower right.
    unit : str
        ``'at.%'`` or ``'wt.%'``.
    inside : ndarray of bool (z, y, x)
        The voxels that lie in the diagram.
    fractions : ndarray (3, voxel)
        Of the three channels, adding up to one; voxels in the order of ``inside``.
    error : ndarray (voxel,)
        By how much the error of a voxel moves it (root mean square), as a fraction; NaN where the composition has no errors.
    moved : int
        Voxels with a negative percentage, which counts as none: they lie on a side of the triangle.
    left_out : int
        Voxels of the composition that have less than a tenth of their atoms in the three channels.
    """

    channels: tuple[str, ...]
    unit: str
    inside: np.ndarray
    fractions: np.ndarray
    error: np.ndarray
    moved: int
    left_out: int

    def histogram(self, divisions: int = 40) -> np.ndarray:
        """Voxels in each small triangle.

        Parameters
        ----------
        divisions : int
            Of each side.

        Returns
        -------
        ndarray of int (divisions, divisions, 2)
            As `triangle_of` numbers them; 0 where there is no triangle.

        Raises
        ------
        InputError
            No division.
        """
        if divisions < 1:
            raise InputError(f'A triangle cannot be divided into {divisions} parts; give 1 or more.')
        shape = (divisions, divisions, 2)
        number = np.ravel_multi_index(triangle_of(self.fractions, divisions), shape)
        return np.bincount(number, minlength=int(np.prod(shape))).reshape(shape)

    def of_voxel(self, voxel: tuple[int, int, int]) -> np.ndarray | None:
        """Where a voxel lies.

        Parameters
        ----------
        voxel : tuple of int
            (z, y, x).

        Returns
        -------
        ndarray (3,) or None
            Its fractions; None where it is not in the diagram.
        """
        number = place_among(self.inside, voxel)
        return None if number is None else self.fractions[:, number]

    def in_circle(self, centre: Sequence[float], radius: float) -> np.ndarray:
        """The voxels that are no farther than a distance from a composition.

        Parameters
        ----------
        centre : sequence of float
            Fractions of the three channels; only their ratios count.
        radius : float
            As a fraction: 0.05 replaces 5 at.% of one element by another.

        Returns
        -------
        ndarray of bool (z, y, x)

        Raises
        ------
        InputError
            Not three fractions, or no radius.
        """
        middle = np.asarray(centre, float)
        if middle.shape != (3,) or not (middle >= 0).all() or not middle.sum() > 0:
            raise InputError('The middle of a circle is three fractions, none negative and not all 0; give these.')
        if not radius > 0:
            raise InputError(f'A circle of the radius {radius:g} holds nothing; give a fraction above 0.')
        middle = middle / middle.sum()
        return these_of(self.inside, ((self.fractions - middle[:, None]) ** 2).sum(axis=0) / 2 <= radius**2)

    def in_outline(self, corners: np.ndarray) -> np.ndarray:
        """The voxels within an outline.

        Parameters
        ----------
        corners : ndarray (corner, 3)
            Fractions of the three channels; they may lie outside of the triangle, and the last is joined to the first.

        Returns
        -------
        ndarray of bool (z, y, x)

        Raises
        ------
        InputError
            Fewer than three corners.
        """
        from skimage.measure import points_in_poly

        outline = np.asarray(corners, float)
        if outline.ndim != 2 or outline.shape[1] != 3 or len(outline) < 3:
            raise InputError('An outline has at least three corners, each of three fractions; draw it around voxels.')
        edge = on_plane(outline.T).T
        points = on_plane(self.fractions).T
        near = ((points >= edge.min(axis=0)) & (points <= edge.max(axis=0))).all(axis=1)
        near[near] = points_in_poly(points[near], edge)
        return these_of(self.inside, near)


def ternary_points(composition: Volume, channels: Sequence[str] | None = None) -> TernaryPoints:
    """The voxels of a composition in the ternary diagram of three of its channels.

    Parameters
    ----------
    composition : Volume
        What `Composition` returned: percent, 0 where masked.
    channels : sequence of str, optional
        At the top, lower left and lower right; default: the first three.

    Returns
    -------
    TernaryPoints

    Raises
    ------
    InputError
        Counts in place of percent, fewer than three channels of percent, channels that are not there or twice, or no voxel
        above the threshold of the composition.
    """
    there = percent_channels(composition)
    if len(there) < 3:
        raise InputError(
            f'A ternary diagram needs three elements, and the composition has {" and ".join(there)} alone; look at a histogram.'
        )
    chosen = tuple(there[:3] if channels is None else channels)
    if len(set(chosen)) != 3 or not set(chosen) <= set(there):
        raise InputError(
            f'A ternary diagram is of three different elements, not of {", ".join(chosen)}; choose among {", ".join(there)}.'
        )
    carried = carried_voxels(composition)
    index = [composition.channels.index(name) for name in chosen]
    percent = composition.data[index][:, carried].astype(float)
    parts = np.maximum(percent, 0)
    enough = parts.sum(axis=0) >= LEAST_TOGETHER
    if not enough.any():
        raise InputError(
            f'No voxel has a tenth of its composition in {", ".join(chosen)}; choose elements that the specimen consists of.'
        )
    inside = carried.copy()
    inside[carried] = enough
    kept = parts[:, enough]
    error = np.full(kept.shape[1], np.nan)
    std = np.zeros_like(kept) if composition.std is None else composition.std[index][:, inside].astype(float)
    # Of three channels that are all there are, the errors are those of the composition already.
    shares, spread = (kept / kept.sum(axis=0), std / 100) if len(there) == 3 else fractions(kept, std)
    if composition.std is not None:
        error = np.sqrt((spread**2).sum(axis=0) / 2)
    return TernaryPoints(
        channels=chosen,
        unit=units_of(composition)[chosen[0]],
        inside=inside,
        fractions=shares,
        error=error,
        moved=int((percent[:, enough] < 0).any(axis=0).sum()),
        left_out=int((~enough).sum()),
    )


def on_plane(shares: np.ndarray) -> np.ndarray:
    """Where fractions lie in the plane of the diagram.

    Parameters
    ----------
    shares : ndarray (3, ...)
        Adding up to one.

    Returns
    -------
    ndarray (2, ...)
        To the right and up from the lower left corner, in sides of the triangle.
    """
    return np.stack([shares[2] + shares[0] / 2, _HEIGHT * shares[0]])


def off_plane(points: np.ndarray) -> np.ndarray:
    """Fractions at points of the plane, the inverse of `on_plane`.

    Parameters
    ----------
    points : ndarray (2, ...)
        In sides of the triangle.

    Returns
    -------
    ndarray (3, ...)
        Adding up to one; one of them is negative outside of the triangle.
    """
    first = points[1] / _HEIGHT
    third = points[0] - first / 2
    return np.stack([first, 1 - first - third, third])


def triangle_of(shares: np.ndarray, divisions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The small triangle that fractions lie in.

    Parameters
    ----------
    shares : ndarray (3, ...)
        Adding up to one, none negative.
    divisions : int
        Of each side.

    Returns
    -------
    tuple of ndarray of int (...)
        Strip from the side opposite the first corner, strip from the side opposite the second, and 0 for a triangle that
        points up as the whole does, 1 for one that points down.
    """
    first, second = divisions * np.asarray(shares[0], float), divisions * np.asarray(shares[1], float)
    i = np.clip(first.astype(int), 0, divisions - 1)
    # Where the third is 0, up to rounding, a point lies on the side of the last strip.
    j = np.clip(second.astype(int), 0, divisions - 1 - i)
    down = (first - i + second - j > 1) & (i + j < divisions - 1)
    return i, j, down.astype(int)
