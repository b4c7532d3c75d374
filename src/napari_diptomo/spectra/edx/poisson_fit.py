r"""Poisson maximum likelihood of non-negative coefficients, all pixels together.

The counts n of a pixel are Poisson with the mean m = C x: the columns of C are
line families and smooth background shapes, the coefficients x are not negative.
Maximum likelihood is the minimum of

    f(x) = sum_b m_b - n_b log m_b,    grad f = C^T (1 - n / m),

which is convex. It is found from a few multiplicative (expectation
maximisation, Richardson-Lucy) steps, x <- x C^T (n / m) / C^T 1, and then by
projected Newton (Bertsekas, SIAM J. Control Optim. 20, 1982, 221): coefficients
that are zero and whose gradient is positive stay, the others take the step
x <- max(x - a H^-1 grad f, 0), with a halved until f falls. The Hessians of
all pixels, C^T diag(n / m^2) C, are ONE matrix product of n / m^2 (pixel, bin)
and the products of all pairs of columns (bin, pair).

To m belongs a floor of a thousandth of the pixel's mean counts per bin: a
photon where no column is must not bring the fit to a stand.

The variance is the diagonal of the inverse Fisher information C^T diag(1/m) C
at an expected m that the caller gives.

Channels are summed over bins first (`information_bins`), those that carry nearly
the same information about the coefficients. Two Poisson channels with means m_1, m_2
and rows c_1, c_2 of C lose, when summed, the information

    m_1 m_2 / (m_1 + m_2) d d^T,    d = c_1 / m_1 - c_2 / m_2.

Measured by the whole information I, tr(I^-1 d d^T), the loss of a bin is the
scatter of the points I^-1/2 c / m in it, weighted by m; the sum over the bins
bounds the relative loss of every coefficient and of every combination of them.
Bins are as long as they may be with a given sum.

Formulas: Poisson maximum likelihood of spectra (`fit_pixels`); Fisher information of a pixel (`fisher_variance`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse
from scipy.special import gammaln

#: Pixels that are solved together.
_CHUNK = 2048
_EM_STEPS, _NEWTON_STEPS, _PINNINGS, _HALVINGS = 3, 16, 4, 4
#: A pixel is done once a Newton step promises less than this: coefficients then hold to some 0.02 sigma.
_LEAST_GAIN = 3e-4
#: Share of the expected information in the Hessian, without which few photons leave it singular.
_EXPECTED_SHARE = 0.02
#: Counts per bin that are always expected, as a share of the pixel's mean.
_FLOOR = 1e-3
_RIDGE = 1e-6
_TINY = 1e-12
#: Channels of a bin at most.
_LONGEST = 256


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns that pixels are fitted with, on bins of channels.

    Attributes
    ----------
    bins : ndarray (energy,) of int
        The bin of each channel.
    values : ndarray (bin, column), float32
        Expected counts of each bin for one count of each column.
    products : ndarray (bin, pair), float32
        Products of all pairs of columns, i <= j.
    pairs : ndarray (column, column) of int
        Where a pair is found in ``products``.
    """

    bins: np.ndarray
    values: np.ndarray
    products: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, bins: np.ndarray) -> Columns:
        """Sum columns (energy, column), not negative, over bins (energy,), see `information_bins`."""
        n = columns.shape[1]
        values = np.zeros((int(bins[-1]) + 1, n))
        np.add.at(values, bins, columns)
        first, second = np.triu_indices(n)
        pairs = np.empty((n, n), np.intp)
        pairs[first, second] = pairs[second, first] = np.arange(len(first))
        return cls(bins, values.astype(np.float32), (values[:, first] * values[:, second]).astype(np.float32), pairs)

    def counts(self, spectra: sparse.csr_matrix) -> np.ndarray:
        """Spectra (pixel, energy) summed over the bins, (pixel, bin) float32."""
        data = spectra.data.astype(np.float32)
        shape = (spectra.shape[0], len(self.values))
        # Channels of one bin become repeated entries, which toarray adds.
        return sparse.csr_matrix((data, self.bins[spectra.indices], spectra.indptr), shape=shape).toarray()

    def hessian(self, weights: np.ndarray) -> np.ndarray:
        """C^T diag(weights) C of every pixel, (pixel, column, column); ``weights`` (pixel, bin)."""
        return (weights @ self.products)[:, self.pairs]


def fit_pixels(
    spectra: sparse.csr_matrix, columns: Columns, between: Callable[[], object] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of largest likelihood at every pixel.

    Parameters
    ----------
    spectra : sparse matrix (pixel, energy)
        Counts.
    columns : Columns
        What they are made of.
    between : callable, optional
        Called every few thousand pixels; it may raise to end the work.

    Returns
    -------
    coefficients : ndarray (pixel, column), float32
        Counts of each column, not negative.
    residual : ndarray (pixel,), float32
        Deviance relative to what Poisson noise makes expect; 1 where the
        columns explain the pixel.
    """
    n_pixels = spectra.shape[0]
    coefficients = np.empty((n_pixels, columns.values.shape[1]), np.float32)
    residual = np.empty(n_pixels, np.float32)
    for first in range(0, n_pixels, _CHUNK):
        if between is not None:
            between()
        part = slice(first, first + _CHUNK)
        counts = columns.counts(spectra[part])
        coefficients[part] = _maximise(counts, columns)
        residual[part] = _residual(counts, coefficients[part], columns)
    return coefficients, residual


def unexplained(spectra: sparse.csr_matrix, columns: Columns) -> np.ndarray:
    """The residual of `fit_pixels` without its fit, (pixel,), from coefficients good enough for that."""
    weights = 1 / np.maximum(columns.counts(spectra).mean(axis=0), _TINY)
    inverse = np.linalg.pinv(columns.values * np.sqrt(weights)[:, None], rcond=1e-5) * np.sqrt(weights)
    residual = np.empty(spectra.shape[0], np.float32)
    for first in range(0, len(residual), _CHUNK):
        part = slice(first, first + _CHUNK)
        counts = columns.counts(spectra[part])
        least = 0.01 * counts.sum(axis=1, keepdims=True) / columns.values.shape[1]
        coefficients = _multiplied(np.maximum(counts @ inverse.T, least), counts, columns)
        residual[part] = _residual(counts, coefficients, columns)
    return residual


def fisher_variance(columns: Columns, expected: np.ndarray, wanted: int) -> np.ndarray:
    """Variance of the first coefficients, (pixel, wanted), from the Fisher information at expected coefficients.

    Parameters
    ----------
    columns : Columns
        What pixels are fitted with.
    expected : ndarray (pixel, column)
        Expected coefficients, every pixel with some background.
    wanted : int
        How many coefficients, from the first on.
    """
    found = np.empty((len(expected), wanted), np.float32)
    for first in range(0, len(expected), _CHUNK):
        part = slice(first, first + _CHUNK)
        model = np.maximum(expected[part].astype(np.float32) @ columns.values.T, _TINY)
        scaled, scale = _scaled(columns.hessian(1 / model))
        inverse = np.linalg.inv(scaled)
        found[part] = (np.diagonal(inverse, axis1=1, axis2=2) * scale**2)[:, :wanted]
    return found


def _maximise(counts: np.ndarray, columns: Columns) -> np.ndarray:
    n = columns.values.shape[1]
    floor = _floor(counts)
    coefficients = _multiplied(np.repeat(counts.sum(axis=1, keepdims=True) / n, n, axis=1), counts, columns)
    live = np.flatnonzero(counts.any(axis=1))
    for _ in range(_NEWTON_STEPS):
        if not len(live):
            break
        coefficients[live], done = _newton(coefficients[live], counts[live], floor[live], columns)
        live = live[~done]
    return coefficients


def _multiplied(coefficients: np.ndarray, counts: np.ndarray, columns: Columns) -> np.ndarray:
    """A few multiplicative steps."""
    total = columns.values.sum(axis=0)
    for _ in range(_EM_STEPS):
        coefficients = coefficients * (
            (counts / (coefficients @ columns.values.T + _floor(counts))) @ columns.values / total
        )
    return coefficients


def _floor(counts: np.ndarray) -> np.ndarray:
    return np.maximum(_FLOOR * counts.mean(axis=1, keepdims=True), _TINY)


def _newton(x: np.ndarray, counts: np.ndarray, floor: np.ndarray, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """One projected Newton step; the new coefficients and which pixels need no other."""
    values, total = columns.values, columns.values.sum(axis=0)
    model = x @ values.T + floor
    ratio = counts / model
    gradient = total - ratio @ values
    weights = ((1 - _EXPECTED_SHARE) * ratio + _EXPECTED_SHARE) / model
    step = _face_step(x, gradient, columns.hessian(weights))
    gain = (gradient * step).sum(axis=1)
    before = _objective(x, model, counts, total)
    after = x.copy()
    open_ = np.arange(len(x))
    for halving in range(_HALVINGS):
        trial = np.maximum(x[open_] - 0.5**halving * step[open_], 0)
        value = _objective(trial, trial @ values.T + floor[open_], counts[open_], total)
        better = value <= before[open_]
        after[open_[better]] = trial[better]
        open_ = open_[~better]
        if not len(open_):
            break
    # Where no step along the arc helps, the multiplicative one does.
    after[open_] = x[open_] * (ratio[open_] @ values) / total
    done = gain < _LEAST_GAIN
    done[open_] = np.abs(gain[open_]) < _LEAST_GAIN
    return after, done


def _face_step(x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """The step to subtract from x: that of Newton on the face of non-negative coefficients that it ends on.

    Coefficients that the step takes below zero are sent to zero and the others
    solved for again: a step that is only cut off zigzags.
    """
    step = np.where(x > 0, x, 0)
    free = (x > 0) | (gradient < 0)
    open_ = np.arange(len(x))
    for _ in range(_PINNINGS):
        here, given = free[open_], np.where(free[open_], 0, step[open_])
        matrices = hessian[open_]
        scaled, scale = _scaled(matrices, here)
        right = gradient[open_] - np.matmul(matrices, given[..., None])[..., 0]
        found = scale * np.linalg.solve(scaled, np.where(here, scale * right, 0)[..., None])[..., 0]
        step[open_] = np.where(here, found, given)
        below = here & (found > x[open_])
        again = below.any(axis=1)
        open_, below = open_[again], below[again]
        if not len(open_):
            break
        free[open_] &= ~below
        step[open_] = np.where(free[open_], step[open_], x[open_])
    return step


def _scaled(matrices: np.ndarray, free: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Matrices scaled to a unit diagonal, rows and columns that are not free cut out, and the scale."""
    diagonal = np.maximum(np.diagonal(matrices, axis1=1, axis2=2), 1e-30)
    scale = 1 / np.sqrt(diagonal)
    kept = scale if free is None else np.where(free, scale, 0)
    scaled = matrices * kept[:, :, None] * kept[:, None, :]
    index = np.arange(matrices.shape[1])
    scaled[:, index, index] = 1 + _RIDGE
    return scaled, scale


def _objective(x: np.ndarray, model: np.ndarray, counts: np.ndarray, total: np.ndarray) -> np.ndarray:
    return (x @ total).astype(float) - np.einsum('pb,pb->p', counts, np.log(model)).astype(float)


def _residual(counts: np.ndarray, coefficients: np.ndarray, columns: Columns) -> np.ndarray:
    # In single precision throughout, with the logarithm of the model taken once: the step spends a third of its time here.
    lowest, step = np.float32(_MEANS[0]), np.float32(np.log(_MEANS[1] / _MEANS[0]))
    model = np.maximum(coefficients @ columns.values.T, lowest, dtype=np.float32)
    logs = np.log(model)
    filled = np.nonzero(counts)
    seen = counts[filled]
    terms = np.bincount(filled[0], seen * (np.log(seen) - logs[filled]), minlength=len(counts))
    deviance = 2 * (model.sum(axis=1) - counts.sum(axis=1) + terms)
    logs -= np.log(lowest)
    logs /= step
    place = np.minimum(logs, np.float32(len(_MEANS) - 1), out=logs).astype(np.int32)
    expected = _expected_deviance()[place].sum(axis=1)
    # As many degrees of freedom as coefficients are at work are used up.
    degrees = 1 - np.minimum((coefficients > 0).sum(axis=1) / len(columns.values), 0.5)
    return deviance / (np.maximum(expected, _TINY) * degrees)


#: Means, equally spaced in their logarithm, for which the expected deviance is tabulated.
_MEANS = np.geomspace(1e-6, 100, 2000)


@cache
def _expected_deviance() -> np.ndarray:
    """Mean deviance of a Poisson number by its mean: 1 for large ones, not for small ones."""
    k = np.arange(1, 300)
    log_p = k * np.log(_MEANS[:, None]) - _MEANS[:, None] - gammaln(k + 1)
    deviance = 2 * (_MEANS[:, None] - k + k * np.log(k / _MEANS[:, None]))
    return ((np.exp(log_p) * deviance).sum(axis=1) + 2 * _MEANS * np.exp(-_MEANS)).astype(np.float32)


def information_bins(columns: np.ndarray, expected: np.ndarray, loss: float = 0.01) -> np.ndarray:
    """The longest bins that keep the Fisher information, see the module.

    Parameters
    ----------
    columns : ndarray (energy, column)
        Non-negative.
    expected : ndarray (energy,) or (spectrum, energy)
        Spectra, of any scale, at which the information is to be kept.
    loss : float
        Share of the Fisher information that the bins may cost.

    Returns
    -------
    ndarray (energy,) of int
        The bin of each channel, from 0 upwards.
    """
    scatters = [_Scatter.of(columns, spectrum) for spectrum in np.atleast_2d(expected)]
    low, high = loss / len(columns), loss
    for _ in range(12):
        middle = float(np.sqrt(low * high))
        _, lost = _bins_within(middle, scatters)
        low, high = (middle, high) if lost <= loss else (low, middle)
    starts, _ = _bins_within(low, scatters)
    bins = np.zeros(len(columns), np.int32)
    bins[starts[1:]] = 1
    return np.cumsum(bins, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class _Scatter:
    """Running sums of mass, moment and square of the channels' points: they give the scatter of any bin."""

    mass: np.ndarray
    moment: np.ndarray
    square: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, expected: np.ndarray) -> _Scatter:
        mass = np.maximum(expected, 1e-4 * expected.mean())
        points = columns / mass[:, None]
        information = columns.T @ points
        scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
        values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
        points = (points * scale) @ (vectors / np.sqrt(np.maximum(values, 1e-6)))
        parts = (mass, points * mass[:, None], (points**2).sum(axis=1) * mass)
        return cls(*(np.cumsum(np.concatenate([np.zeros_like(part[:1]), part]), axis=0) for part in parts))

    def within(self, start: int, stops: np.ndarray) -> np.ndarray:
        moment = self.moment[stops] - self.moment[start]
        scatter = self.square[stops] - self.square[start]
        return np.maximum(scatter - (moment**2).sum(axis=1) / (self.mass[stops] - self.mass[start]), 0)


def _bins_within(each: float, scatters: list[_Scatter]) -> tuple[list[int], float]:
    """Starts of the bins that lose at most ``each``, taken from the left, and what all lose together."""
    starts, total, start, n = [0], 0.0, 0, len(scatters[0].mass) - 1
    while start < n:
        stops = np.arange(start + 1, min(start + _LONGEST, n) + 1)
        scatter = np.max([one.within(start, stops) for one in scatters], axis=0)
        too_far = scatter > each
        # Rounding may make the scatter of a single channel exceed a small allowance.
        length = max(int(np.argmax(too_far)) if too_far.any() else len(stops), 1)
        total += float(scatter[length - 1])
        start += length
        if start < n:
            starts.append(start)
    return starts, total
