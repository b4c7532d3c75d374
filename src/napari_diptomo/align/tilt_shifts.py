"""The shift of every tilt with its score and where it comes from: what a table of tilts shows and a file keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from napari_diptomo.series import InputError, MapSeries

#: Determined from the images; the same with a correction by hand; read from a file; as the series came, not yet aligned.
ShiftSource = Literal['found', 'by hand', 'import', 'as loaded']
_SAME_ANGLE = 0.05  # degrees
_LARGEST_ROTATION = 45.0  # degrees
#: Tilts whose angles a recipe does not distinguish, degrees.
_ONE_ANGLE = 1e-3


@dataclass(frozen=True)
class TiltShift:
    """Shift of one tilt.

    Attributes
    ----------
    angle : float
        Degrees.
    dx, dy : float
        Where the specimen sits in the image relative to the common frame, pixels.
    score : float, optional
        Normalised correlation of the image with what the other tilts predict, 1 where they are alike.
    error : float, optional
        Standard error of the shift, pixels: of a displacement against that prediction, and of the moments where they are weighed in.
    source : {'found', 'by hand', 'import', 'as loaded'}
        Where the shift comes from.
    """

    angle: float
    dx: float
    dy: float
    score: float | None = None
    error: float | None = None
    source: ShiftSource = 'as loaded'

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON has them.

        Returns
        -------
        dict
            The attributes by name.
        """
        return asdict(self)


def tilt_shifts(maps: MapSeries) -> tuple[TiltShift, ...]:
    """The table of shifts of a series.

    Parameters
    ----------
    maps : MapSeries
        Aligned or not.

    Returns
    -------
    tuple of TiltShift
        In the order of the tilts. Scores and sources are those that `Align` left in the notes; a shift that was changed
        since has none.
    """
    known = {}
    for row in maps.notes.get('align', {}).get('tilts', ()):
        if row.get('source') in get_args(ShiftSource):
            known[row['angle'], row['dx'], row['dy']] = TiltShift(**row)
    found = []
    for angle, (dy, dx) in zip(maps.angles, np.asarray(maps.shifts), strict=True):
        plain = TiltShift(float(angle), float(dx), float(dy))
        found.append(known.get((plain.angle, plain.dx, plain.dy), plain))
    return tuple(found)


def corrections(triples: Sequence[float], angles: np.ndarray) -> np.ndarray:
    """Shifts by hand as ndarray (tilt, 2), pixels (y, x).

    Parameters
    ----------
    triples : sequence of float
        Tilt angle in degrees, dx and dy in pixels of every tilt that is corrected, one after the other.
    angles : ndarray (tilt,)
        Degrees, of the series.

    Raises
    ------
    InputError
        No triples, or an angle that the series does not have.
    """
    if len(triples) % 3:
        raise InputError(
            f'Shifts by hand come in threes, tilt angle, dx and dy, not as {len(triples)} numbers; complete the last.'
        )
    rows = np.reshape(np.asarray(triples, float), (-1, 3))
    for angle, *shift in rows:
        if not np.isfinite(shift).all():
            raise InputError(f'The shift by hand at {angle:g}° is not a number; correct it.')
    found = np.zeros((len(angles), 2))
    for tilt, (_, dx, dy) in zip(tilts_at(rows[:, 0], angles), rows, strict=True):
        found[tilt] += (dy, dx)
    return found


def as_triples(by_hand: np.ndarray, angles: np.ndarray) -> tuple[float, ...]:
    """Shifts by hand as a recipe has them: what `corrections` reads back.

    Parameters
    ----------
    by_hand : ndarray (tilt, 2)
        Pixels (y, x).
    angles : ndarray (tilt,)
        Degrees.

    Returns
    -------
    tuple of float
        Tilt angle, dx and dy of every tilt that is corrected; with a tilt all others at its angle.
    """
    moved = by_hand.any(axis=1)
    found: list[float] = []
    for angle, (dy, dx) in zip(angles, by_hand, strict=True):
        if (moved & (np.abs(angles - angle) < _ONE_ANGLE)).any():
            found += [float(angle), float(dx), float(dy)]
    return tuple(found)


def axis_correction(numbers: Sequence[float]) -> tuple[float, float]:
    """Correction of the tilt axis by hand: pixels across the axis, degrees; nothing is none.

    Raises
    ------
    InputError
        Other than two numbers.
    """
    if not len(numbers):
        return 0.0, 0.0
    if len(numbers) != 2 or not np.isfinite(numbers).all():
        raise InputError(
            f'The tilt axis is corrected by two numbers, pixels across it and degrees, not by {list(numbers)}; give both.'
        )
    return float(numbers[0]), float(numbers[1])


def check_axis(shift: float, rotation: float, width: int) -> None:
    """The tilt axis must cross the images.

    Parameters
    ----------
    shift : float
        Of the axis from the middle of the images, pixels.
    rotation : float
        Degrees.
    width : int
        Of the images, pixels.

    Raises
    ------
    InputError
        An axis outside the images, or one that runs along x rather than y.
    """
    if abs(shift) >= width / 2:
        raise InputError(
            f'The tilt axis at {shift:+.4g} pixels from the middle lies outside the images of {width} pixels; move it back.'
        )
    if abs(rotation) > _LARGEST_ROTATION:
        raise InputError(
            f'The tilt axis is turned by {rotation:.4g}°; beyond {_LARGEST_ROTATION:g}° exchange x and y instead.'
        )


def check_within_images(shifts: np.ndarray, angles: np.ndarray, shape: tuple[int, ...]) -> None:
    """Some of each image must be left where it is placed.

    Parameters
    ----------
    shifts : ndarray (tilt, 2)
        Pixels (y, x).
    angles : ndarray (tilt,)
        Degrees.
    shape : tuple of int
        Rows and columns of the images.

    Raises
    ------
    InputError
        A shift as wide as the images or wider.
    """
    beyond = np.any(np.abs(shifts) >= shape, axis=1)
    if beyond.any():
        dy, dx = shifts[beyond][0]
        raise InputError(
            f'The shift at {angles[beyond][0]:g}°, {dx:.4g} and {dy:.4g} pixels in x and y, is wider than the images of '
            f'{shape[1]} x {shape[0]} pixels; give a smaller one, or leave the tilt out.'
        )


def tilts_at(given: np.ndarray, angles: np.ndarray) -> list[int]:
    """Numbers of the tilts that shifts given for angles in degrees belong to.

    Of tilts recorded at one angle the first takes the shift that is given first.

    Raises
    ------
    InputError
        An angle that the series does not have.
    """
    seen: dict[int, int] = {}
    found = []
    for angle in given:
        first = nearest_tilt(float(angle), angles)
        alike = np.flatnonzero(np.abs(angles - angles[first]) < _ONE_ANGLE)
        found.append(int(alike[seen.get(first, 0) % len(alike)]))
        seen[first] = seen.get(first, 0) + 1
    return found


def nearest_tilt(angle: float, angles: np.ndarray) -> int:
    """Number of the tilt at an angle in degrees; an `InputError` where there is none."""
    i = int(np.abs(angles - angle).argmin())
    if not abs(angles[i] - angle) <= _SAME_ANGLE:
        raise InputError(
            f'A shift is given for {angle:g}°, but the series has no such tilt (the nearest is {angles[i]:g}°); '
            'correct the angle, or leave the shift out.'
        )
    return i
