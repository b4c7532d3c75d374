"""The weight with the best score on a grid, by climbing: scores have one hill over the weight."""

from __future__ import annotations

from collections.abc import Callable


def climb(score: Callable[[int], float], start: int, count: int, steps: tuple[int, ...] = (2, 1)) -> int:
    """Index of the largest score.

    Parameters
    ----------
    score : callable
        Of an index; remembered by the caller, called more than once for the same.
    start : int
        Where to begin.
    count : int
        Indices run from 0 to ``count - 1``.
    steps : tuple of int
        Widths of the steps, one after the other.
    """
    best = start
    for step in steps:
        while True:
            better = max((i for i in (best - step, best, best + step) if 0 <= i < count), key=score)
            if score(better) <= score(best):
                break
            best = better
    return best
