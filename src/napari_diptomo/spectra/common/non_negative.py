r"""Non-negative least squares of all pixels together, from their normal equations.

For every pixel the minimum of x^T G x / 2 - b^T x over x >= 0, by exchange of
whole blocks between the amounts that are free and those that are zero
(Portugal, Judice and Vicente, Math. Comp. 63, 1994, 625): what becomes negative
goes to zero, what is zero and has a negative gradient G x - b comes back. A
pixel whose count of wrong amounts has not fallen for some rounds exchanges one
amount at a time, which cannot cycle. Most pixels need a round or two, and a
round solves all open ones at once.
"""

from __future__ import annotations

import numpy as np

_ROUNDS, _PATIENCE = 60, 3
#: Gradients and amounts are wrong when they pass zero by more than this, in units of a unit diagonal.
_TOLERANCE = 1e-9
_TINY = 1e-300


def non_negative(gram: np.ndarray, right: np.ndarray, free_solution: np.ndarray | None = None) -> np.ndarray:
    """Amounts of the least squares, none negative.

    Parameters
    ----------
    gram : ndarray (pixel, column, column)
        C^T W C of each pixel, positive definite.
    right : ndarray (pixel, column)
        C^T W n.
    free_solution : ndarray (pixel, column), optional
        G^-1 b, where it is known.

    Returns
    -------
    ndarray (pixel, column)
    """
    scale = 1 / np.sqrt(np.maximum(np.diagonal(gram, axis1=1, axis2=2), _TINY))
    if free_solution is None:
        free_solution = np.linalg.solve(gram, right[..., None])[..., 0]
    found = np.array(free_solution)
    some = np.flatnonzero((found < 0).any(axis=1))
    if len(some):
        scaled = gram[some] * scale[some, :, None] * scale[some, None, :]
        found[some] = scale[some] * _exchange(scaled, right[some] * scale[some], found[some] / scale[some])
    return found


def _exchange(scaled: np.ndarray, target: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Pixels with an amount below zero, from their free solution ``found``; unit diagonals."""
    tolerance = _TOLERANCE * np.abs(target).max(axis=1, keepdims=True)
    free = np.ones(target.shape, bool)
    wrong = found < 0
    open_ = np.arange(len(target))
    least = np.full(len(target), target.shape[1] + 1)
    patience = np.full(len(target), _PATIENCE)
    for _ in range(_ROUNDS):
        if not len(open_):
            break
        free[open_] ^= _exchanged(wrong[open_], least, patience, open_)
        found[open_] = _on_face(scaled[open_], target[open_], free[open_])
        gradient = np.matmul(scaled[open_], found[open_][..., None])[..., 0] - target[open_]
        wrong[open_] = np.where(free[open_], found[open_] < -tolerance[open_], gradient < -tolerance[open_])
        open_ = open_[wrong[open_].any(axis=1)]
    clipped: np.ndarray = np.maximum(found, 0)
    return clipped


def _exchanged(wrong: np.ndarray, least: np.ndarray, patience: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Which amounts change sides: all wrong ones while that helps, else only the last of them."""
    count = wrong.sum(axis=1)
    fewer = count < least[pixels]
    least[pixels[fewer]] = count[fewer]
    patience[pixels] = np.where(fewer, _PATIENCE, patience[pixels] - 1)
    last = np.zeros_like(wrong)
    last[np.arange(len(wrong)), wrong.shape[1] - 1 - wrong[:, ::-1].argmax(axis=1)] = True
    return np.where((patience[pixels] > 0)[:, None], wrong, last & wrong)


def _on_face(scaled: np.ndarray, target: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The least squares of the free amounts, zero for the others."""
    matrices = scaled * free[:, :, None] * free[:, None, :]
    index = np.arange(scaled.shape[1])
    matrices[:, index, index] = np.where(free, scaled[:, index, index], 1.0)
    found: np.ndarray = np.linalg.solve(matrices, np.where(free, target, 0.0)[..., None])[..., 0]
    return found
