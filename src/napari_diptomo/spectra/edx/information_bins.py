r"""Bins of channels that tell as much as the channels.

Neighbouring channels that tell the amounts nearly the same are summed
first. Two Poisson channels with means m_1, m_2 and rows c_1, c_2 of C lose,
when summed, the information

    m_1 m_2 / (m_1 + m_2) d d^T,    d = c_1 / m_1 - c_2 / m_2.

Measured by the whole information I, tr(I^-1 d d^T), the loss of a bin is the
scatter of the points I^-1/2 c / m in it, weighted by m; the sum over the bins
bounds the relative loss of every amount and of every combination of amounts.
Bins are as long as they may be with a given sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LONGEST = 256


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
    """Running sums of mass, moment and square of the channels' points: they tell the scatter of any bin."""

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
