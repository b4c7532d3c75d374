"""From expected electrons to the counts of a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detector:
    """What the camera adds to the electrons.

    Attributes
    ----------
    read_noise : float
        Standard deviation of a channel, counts.
    dark : float
        Dark level left in the counts, per channel.
    gain_error : float
        Standard deviation of the gain of the channels, the same in all spectra.
    """

    read_noise: float = 1.0
    dark: float = 0.0
    gain_error: float = 0.0

    def gain(self, channels: int, rng: np.random.Generator) -> np.ndarray:
        """Of each channel, (energy,)."""
        return np.maximum(1 + self.gain_error * rng.standard_normal(channels), 0)

    def record(self, expected: np.ndarray, gain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Counts of expected electrons, (..., energy), float32."""
        counts = (gain * rng.poisson(expected)).astype(np.float32)
        if self.read_noise:
            counts += np.float32(self.read_noise) * rng.standard_normal(counts.shape, np.float32)
        return counts + np.float32(self.dark)
