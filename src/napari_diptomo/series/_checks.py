"""What the classes that flow check of their arrays, one sentence each."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError


def set_values(instance: Any, **values: Any) -> None:
    """Set fields of a frozen instance while it is made."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def as_float32(array: Any, what: str) -> np.ndarray:
    """The array as float32, all finite."""
    array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise InputError(
            f'{bad} values of the {what} are not numbers (NaN or infinite); mend or leave out those images.'
        )
    return array


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
