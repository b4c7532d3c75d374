r"""Non-negative least squares: min |C x - y| over x >= 0, of one spectrum, of a matrix, of all pixels together.

*One.* The Cholesky root R of the normal equations, R^T R = C^T C, has as many
rows as there are columns: |R x - R^-T C^T y| has its minimum at the same x, and
the active set method of Lawson and Hanson (scipy's `nnls`) runs on it tens of
times faster than on a spectrum of thousands of channels.

*Many.* For every pixel the minimum of x^T G x / 2 - b^T x over x >= 0, by exchange
of whole blocks between the coefficients that are free and those that are zero
(Portugal, Judice and Vicente, Math. Comp. 63, 1994, 625): what becomes negative
goes to zero, what is zero and has a negative gradient G x - b comes back. A
pixel whose count of wrong coefficients has not fallen for some rounds exchanges one
at a time, which cannot cycle. Most pixels need a round or two, and a
round solves all open ones at once.

Formulas: non-negative least squares (`non_negative`).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

#: Added to a unit diagonal: columns that are alike must not end a fit.
_RIDGE = 1e-9
_ROUNDS, _PATIENCE = 60, 3
#: Gradients and coefficients are wrong when they pass zero by more than this, in units of a unit diagonal.
_TOLERANCE = 1e-9
_TINY = 1e-300


def non_negative(columns: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Non-negative least squares of one spectrum.

    Parameters
    ----------
    columns : ndarray (energy, column)
        Weighted as ``target``.
    target : ndarray (energy,)
        To be fitted.

    Returns
    -------
    ndarray (column,)
        Coefficients, none negative.

    Raises
    ------
    RuntimeError
        No solution within 50 iterations per column.
    """
    scale = np.maximum(np.linalg.norm(columns, axis=0), _TINY)
    columns = columns / scale
    gram = columns.T @ columns + _RIDGE * np.eye(columns.shape[1])
    factor = cholesky(gram)
    right = solve_triangular(factor, columns.T @ target, trans='T')
    return nnls(factor, right, maxiter=50 * columns.shape[1])[0] / scale


def non_negative_of_matrix(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Non-negative least squares from normal equations that are known.

    Parameters
    ----------
    gram : ndarray (column, column)
        C^T W C, positive semidefinite.
    right : ndarray (column,)
        C^T W y.

    Returns
    -------
    ndarray (column,)
        Coefficients, none negative.

    Raises
    ------
    RuntimeError
        No solution within 20 iterations per column.
    """
    size = len(gram)
    scale = 1 / np.sqrt(np.maximum(np.diag(gram), _TINY))
    scaled = gram * np.outer(scale, scale) + _RIDGE * np.eye(size)
    factor = cholesky(scaled)
    found: np.ndarray = nnls(factor, solve_triangular(factor, right * scale, trans='T'), maxiter=20 * size)[0] * scale
    return found


def non_negative_of_pixels(gram: np.ndarray, right: np.ndarray, free_solution: np.ndarray | None = None) -> np.ndarray:
    """Non-negative least squares of many small problems at once, from their normal equations.

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
        Coefficients, none negative.

    Raises
    ------
    numpy.linalg.LinAlgError
        Columns of a pixel that are linearly dependent.
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
    """Pixels with a coefficient below zero, from their unconstrained solution ``found``; unit diagonals."""
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
    """Which coefficients change sides: all wrong ones while that helps, else only the last of them."""
    count = wrong.sum(axis=1)
    fewer = count < least[pixels]
    least[pixels[fewer]] = count[fewer]
    patience[pixels] = np.where(fewer, _PATIENCE, patience[pixels] - 1)
    last = np.zeros_like(wrong)
    last[np.arange(len(wrong)), wrong.shape[1] - 1 - wrong[:, ::-1].argmax(axis=1)] = True
    return np.where((patience[pixels] > 0)[:, None], wrong, last & wrong)


def _on_face(scaled: np.ndarray, target: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The least squares of the free coefficients, zero for the others."""
    matrices = scaled * free[:, :, None] * free[:, None, :]
    index = np.arange(scaled.shape[1])
    matrices[:, index, index] = np.where(free, scaled[:, index, index], 1.0)
    found: np.ndarray = np.linalg.solve(matrices, np.where(free, target, 0.0)[..., None])[..., 0]
    return found
