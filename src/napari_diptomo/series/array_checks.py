"""Checks of arrays by the classes that flow, one sentence each."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError

_HALF_TURN = 180.0
#: A series of more tilts than these whose largest angle lies within these bounds spans no range that a volume needs.
_LEAST_TILTS, _LEAST_RADIANS, _MOST_RADIANS = 3, 0.15, 3.15


def set_values(instance: Any, **values: Any) -> None:
    """Set fields of a frozen instance while it is made."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def as_float32(array: Any, what: str) -> np.ndarray:
    """The array as float32, all finite."""
    given = np.atleast_1d(array)
    with np.errstate(over='ignore'):
        array = np.ascontiguousarray(given, dtype=np.float32)
    if not np.isfinite(array).all():
        bad = ~np.isfinite(array)
        if np.isfinite(given[bad]).all():
            raise InputError(
                f'{int(bad.sum())} values of the {what} are larger than the {np.finfo(np.float32).max:.1e} that can be '
                'computed with; divide the data by a constant.'
            )
        raise InputError(
            f'{int(bad.sum())} values of the {what} are not numbers (NaN or infinite); correct or leave out those images, '
            'or mark such pixels as missing.'
        )
    return array


def check_angles(angles: np.ndarray) -> None:
    """Tilt angles are numbers of degrees."""
    if not np.isfinite(angles).all():
        raise InputError('A tilt angle is not a number; give one angle in degrees for every image.')
    if angles.size and np.abs(angles).max() > _HALF_TURN:
        raise InputError(
            f'The tilt angle {angles[np.abs(angles).argmax()]:g}° is not between -180° and 180°; correct the angles.'
        )


def check_degrees(angles: np.ndarray) -> None:
    """Angles of a few degrees in all that are no whole numbers are radians."""
    angles = np.asarray(angles, float)
    largest = float(np.abs(angles).max(initial=0))
    if len(angles) > _LEAST_TILTS and _LEAST_RADIANS < largest <= _MOST_RADIANS and (angles != np.round(angles)).any():
        low, high = np.rad2deg(angles.min()), np.rad2deg(angles.max())
        raise InputError(
            f'The tilt angles lie between {angles.min():.4g}° and {angles.max():.4g}°, which is too little for a volume; '
            f'if they are radians, give them in degrees ({low:.4g} to {high:.4g}), e.g. with numpy.rad2deg.'
        )


def check_shifts(shifts: np.ndarray, angles: np.ndarray) -> None:
    """Shifts are numbers of pixels."""
    bad = ~np.isfinite(shifts).all(axis=1)
    if bad.any():
        raise InputError(
            f'The shift of the image at {angles[bad.argmax()]:g}° is not a number; give it in pixels (y, x), or run Align.'
        )


def check_variance(variance: np.ndarray, missing: np.ndarray | None) -> None:
    """Variances are not negative, and not all zero."""
    used = np.ones(variance.shape, bool) if missing is None else ~missing
    negative = int((variance[used] < 0).sum())
    if negative:
        raise InputError(
            f'{negative} of {int(used.sum())} variances are negative, which none can be; give the square of the standard '
            'deviation of each datum.'
        )
    if not variance[used].any():
        raise InputError('All variances are zero; give those of the data, or none for counts.')


def check_length(what: str, values: Any, of: str, expected: int) -> None:
    """As many values as there are things they belong to."""
    if len(values) != expected:
        raise InputError(f'There are {len(values)} {what} for {expected} {of}; give one for each.')


def check_shape(what: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """The shape that is needed."""
    if tuple(shape) != tuple(expected):
        raise InputError(f'{what} have the shape {tuple(shape)} where {tuple(expected)} is needed; check the axes.')


def check_positive(what: str, value: float) -> None:
    """A length."""
    if not (np.isfinite(value) and value > 0):
        raise InputError(f'The {what} must be a positive length in nm, not {value}; give it when loading.')
