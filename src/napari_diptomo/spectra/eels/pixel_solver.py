r"""Weighted least squares of many pixels at once.

The weights of a pixel are 1 / (m' + r^2), m' the counts that are EXPECTED of
it: what one linear operator for all pixels, weighted by the mean spectrum of
the tilt, makes of its counts, and then twice what was fitted. This is Newton's
method of Poisson maximum likelihood where counts are many.

Where pixels share the standards, their normal equations C^T W C are ONE product
of the weights (pixel, energy) and the products of all pairs of columns
(energy, pair); where each has its own shift or thickness (`PixelEdges`) one
small product per pixel. Intensities that are not negative: `non_negative_of_pixels`. The
covariance is (C^T W C)^-1, whatever intensities are zero, with all of the
background in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.spectra.common.non_negative import non_negative_of_pixels

_REWEIGHTINGS = 2
#: What a channel is expected to hold is never taken to be less than this share of the tilt's mean.
_FLOOR = 0.02


@dataclass(frozen=True, eq=False)
class PixelSolver:
    """Solves pixels of one tilt.

    Attributes
    ----------
    background : ndarray (energy, column), float32
        Columns of the background of a pixel.
    first : ndarray (energy, unknown), float32
        Counts of a pixel to a first guess of its edges and background.
    mean : ndarray (energy,), float32
        Counts of the mean pixel.
    read_variance : float
        Of a channel, beside counting noise.
    allow_negative : bool
        Whether intensities may be negative.
    """

    background: np.ndarray
    first: np.ndarray
    mean: np.ndarray
    read_variance: float
    allow_negative: bool

    @classmethod
    def of(
        cls, edges: np.ndarray, background: np.ndarray, mean: np.ndarray, read_variance: float, allow_negative: bool
    ) -> PixelSolver:
        """Prepare; ``edges`` (energy, edge) are those of the mean pixel."""
        columns = np.hstack([edges, background])
        weighted = columns / (np.maximum(mean, _FLOOR * mean.mean()) + read_variance + 1e-12)[:, None]
        first = weighted @ _inverse((columns.T @ weighted)[None])[0]
        return cls(_single(background), _single(first), _single(mean), read_variance, allow_negative)

    def solve(self, counts: np.ndarray, edges: np.ndarray, held: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """Fit pixels.

        Parameters
        ----------
        counts, held : ndarray (pixel, energy)
            Counts, and those that were held out.
        edges : ndarray (energy, edge) or (pixel, energy, edge)
            Shapes.

        Returns
        -------
        intensities, background, covariance, chi2, held_out : ndarray (pixel, ...)
            As in `EdgeFit`; held-out intensities are zero where nothing is held out.
        """
        counts = counts.astype(np.float32)
        n = edges.shape[-1]
        columns = _Columns.of(_single(edges), self.background)
        weights = self._weights(columns.model(counts @ self.first))
        for _ in range(_REWEIGHTINGS):
            gram, right = columns.normal(counts, weights)
            inverse = _inverse(gram)
            solution = np.matmul(inverse, right[..., None])[..., 0]
            if not self.allow_negative:
                solution = non_negative_of_pixels(gram, right, solution)
            used, expected = weights, columns.model(solution)
            weights = self._weights(expected)
        chi2 = np.einsum('pe,pe->p', (counts - expected) ** 2, weights, dtype=float)
        chi2 /= max(counts.shape[1] - solution.shape[1], 1)
        held_out = np.zeros((len(counts), n))
        if held is not None:
            held_out = np.matmul(inverse[:, :n], columns.right(held.astype(np.float32), used)[..., None])[..., 0]
        return solution[:, :n], solution[:, n:], inverse[:, :n, :n], chi2, held_out

    def _weights(self, expected: np.ndarray) -> np.ndarray:
        weights = np.maximum(expected, _FLOOR * self.mean + np.float32(1e-12), out=expected.copy())
        weights += np.float32(self.read_variance)
        return np.reciprocal(weights, out=weights)


def _single(values: np.ndarray) -> np.ndarray:
    """float32 without the far ends of peaks, whose squares are numbers that processors are slow with."""
    found = values.astype(np.float32)
    found[np.abs(found) < 1e-12 * np.abs(found).max(initial=0)] = 0
    return found


def _inverse(gram: np.ndarray) -> np.ndarray:
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    # A column of zeros has no intensity and no error.
    scale = np.where(diagonal > 0, 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), 0.0)
    product = scale[:, :, None] * scale[:, None, :]
    # Alike columns must not end the fit of all pixels; the ridge is below the rounding of the weights.
    found: np.ndarray = np.linalg.inv(gram * product + 1e-9 * np.eye(gram.shape[1])) * product
    return found


@dataclass(frozen=True, eq=False)
class _Columns:
    """All columns: (energy, column) for all pixels, or (pixel, energy, column)."""

    values: np.ndarray
    products: np.ndarray | None
    pairs: np.ndarray | None

    @classmethod
    def of(cls, edges: np.ndarray, background: np.ndarray) -> _Columns:
        if edges.ndim == 3:
            shared = np.broadcast_to(background, (len(edges), *background.shape))
            return cls(np.concatenate([edges, shared], axis=2), None, None)
        values = np.hstack([edges, background])
        n = values.shape[1]
        first, second = np.triu_indices(n)
        pairs = np.empty((n, n), np.intp)
        pairs[first, second] = pairs[second, first] = np.arange(len(first))
        return cls(values, values[:, first] * values[:, second], pairs)

    def model(self, solution: np.ndarray) -> np.ndarray:
        """Expected counts, (pixel, energy)."""
        solution = solution.astype(np.float32)
        if self.products is not None:
            return solution @ self.values.T
        found: np.ndarray = np.matmul(self.values, solution[..., None])[..., 0]
        return found

    def right(self, counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """C^T W n, (pixel, column)."""
        weighted = weights * counts
        if self.products is not None:
            return (weighted @ self.values).astype(float)
        found: np.ndarray = np.matmul(weighted[:, None, :], self.values)[:, 0].astype(float)
        return found

    def normal(self, counts: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """C^T W C, (pixel, column, column), and C^T W n."""
        right = self.right(counts, weights)
        if self.products is not None:
            return (weights @ self.products).astype(float)[:, self.pairs], right
        weighted = np.swapaxes(self.values * weights[:, :, None], 1, 2)
        return np.matmul(weighted, self.values).astype(float), right
