"""Checks of the shapes of arrays that are scored."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError


def as_channels(volume: Any) -> np.ndarray:
    """float64 (channel, z, y, x); a single volume becomes one channel."""
    volume = np.asarray(volume, dtype=np.float64)
    if volume.ndim == 3:
        volume = volume[None]
    if volume.ndim != 4:
        raise InputError(f'A score needs the axes (channel, z, y, x), not {volume.ndim} axes; pass `volume.data`.')
    return volume


def same_shape(what: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> None:
    """InputError unless both shapes agree."""
    if tuple(shape) != tuple(expected):
        raise InputError(
            f'The {what} has the shape {tuple(shape)} and the {other} {tuple(expected)}; compare arrays on one grid.'
        )
