"""Mean and variance of arrays that come one after the other (Welford 1962), in the memory of two.

Formulas: running mean and variance, Welford (`RunningVariance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class RunningVariance:
    """Running mean and sum of squared deviations of real or complex arrays of one shape."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())

    def add(self, x: np.ndarray) -> None:
        """Take in one more array."""
        self.count += 1
        before = x - self.mean
        self.mean = self.mean + before / self.count
        self._squares = self._squares + (before.conj() * (x - self.mean)).real

    @property
    def variance(self) -> np.ndarray:
        """Unbiased; not a number for fewer than two arrays."""
        if self.count < 2:
            return np.full_like(self._squares, np.nan)
        return self._squares / (self.count - 1)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {'count': self.count, 'mean': self.mean, 'squares': self._squares}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.count, self.mean, self._squares = int(state['count']), state['mean'], state['squares']
