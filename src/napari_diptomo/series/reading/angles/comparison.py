"""Comparing two lists of tilt angles: the same, the same in another order, or others."""

from __future__ import annotations

import numpy as np

#: A stage stops this far from the tilt that was asked for, degrees.
STAGE = 1.0


def agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two lists are of the same tilts in the same order; what is not a number in one says nothing.

    Neighbouring tilts may lie closer together than a stage is exact; then the order decides.
    """
    known = np.isfinite(first) & np.isfinite(second)
    a, b = first[known], second[known]
    if not a.size:
        return True
    largest = float(np.abs(a - b).max())
    if largest > STAGE:
        return False
    if largest <= _half_step(a, b):
        return True
    # Tilts that have one angle in one list may stand either way round in the other.
    return bool((np.diff(b[np.lexsort((b, a))]) >= 0).all() or (np.diff(a[np.lexsort((a, b))]) >= 0).all())


def order_in(rows: np.ndarray, known: np.ndarray) -> np.ndarray | None:
    """For each known angle the row that is of the same tilt; None where the two are not of the same tilts."""
    if len(rows) != len(known) or not np.isfinite(known).all():
        return None
    if agree(rows, known):
        return np.arange(len(rows))
    found = np.argsort(rows, kind='stable')[rank(known)]
    return found if np.abs(rows[found] - known).max() <= STAGE else None


def rank(values: np.ndarray) -> np.ndarray:
    """The place of each value among all, from the lowest."""
    order = np.argsort(values, kind='stable')
    places = np.empty(len(values), int)
    places[order] = np.arange(len(values))
    return places


def constant_offset(first: np.ndarray, second: np.ndarray) -> float | None:
    """By how much all of the second lie above the first, None where that differs from tilt to tilt."""
    difference = second - first
    difference = difference[np.isfinite(difference)]
    if difference.size < 2 or np.ptp(difference) > STAGE:
        return None
    return float(np.median(difference))


def _half_step(a: np.ndarray, b: np.ndarray) -> float:
    steps = [np.diff(np.sort(values)).min() for values in (a, b) if len(values) > 1]
    return float(min(steps)) / 2 if steps else STAGE
