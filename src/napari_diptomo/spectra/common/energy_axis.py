"""Channels of an energy axis: which lie within limits, how wide they are, where a maximum lies between them."""

from __future__ import annotations

import numpy as np


def between(energy: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Channels from the lower limit on and below the upper one, (energy,), bool."""
    inside: np.ndarray = (energy >= limits[0]) & (energy < limits[1])
    return inside


def channel_width(energy: np.ndarray) -> float:
    """Mean width of the channels of an evenly spaced axis, in its unit."""
    return float(energy[-1] - energy[0]) / (len(energy) - 1)


def parabola_offset(left: float, middle: float, right: float) -> float:
    """Where a parabola through three channels has its maximum, relative to the middle one, in channels.

    Parameters
    ----------
    left, middle, right : float
        Values of neighbouring channels, the middle one the largest.

    Returns
    -------
    float
        -1/2 to 1/2; 0 where the three are no maximum.
    """
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend if bend < 0 else 0.0, -0.5, 0.5))
