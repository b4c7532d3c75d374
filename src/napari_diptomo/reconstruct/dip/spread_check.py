"""How much larger the error of an ensemble's mean is than its spread, from counts held out; see `ensemble`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.fft import fft2, fftfreq

from napari_diptomo.reconstruct.dip.running_variance import RunningVariance
from napari_diptomo.reconstruct.problem import Problem

#: Largest relative standard error of c^2 at which the measured one is taken as it is.
_TRUSTED = 0.35


@dataclass(frozen=True)
class Calibration:
    """The factor by which the members' standard deviation is multiplied.

    Attributes
    ----------
    factor : float
        c of `ensemble`.
    error : float
        Standard error of the factor, 0 where it is not measured.
    source : str
        Where it comes from, in words.
    """

    factor: float
    error: float
    source: str


class SpreadCheck:
    """Gathers, member by member, the power of the held-out residuals beyond their noise, and that of the spread."""

    def __init__(self) -> None:
        self._spectra = RunningVariance()
        self._excess = self._noise = np.zeros(())
        self._poisson = True
        self._share = 0.0

    def add(self, problem: Problem, expected: torch.Tensor, poisson: bool) -> None:
        """Take in a member.

        Parameters
        ----------
        problem : Problem
            Its data, with something held out.
        expected : Tensor (window, tilt, y, u)
            Its projections, full exposure.
        poisson : bool
            Whether the data are counts, so that the power of their noise is known.
        """
        assert problem.held_out is not None
        mask, share = problem.mask.cpu().numpy(), problem.share
        self._poisson, self._share = poisson, share
        projected = mask * expected.detach().float().cpu().numpy()
        held_out = mask * problem.held_out.cpu().numpy()
        power = np.abs(fft2(held_out / share - projected)) ** 2
        # The noise of counts is white: each adds its own variance to every frequency.
        noise = np.broadcast_to((held_out / share**2).sum((2, 3), keepdims=True), power.shape)
        self._excess = self._excess + _by_shell(power - noise)
        self._noise = self._noise + _by_shell(noise)
        self._spectra.add(fft2(projected))

    def calibration(self) -> Calibration:
        """The factor, once all members are in."""
        members = self._spectra.count
        jackknife = (1 - self._share) / self._share + 1 / members
        if not self._poisson:
            return Calibration(jackknife**0.5, 0.0, 'jackknife over the data left out')
        squared, error = self._measured()
        if not squared > 0 or error > _TRUSTED * squared:
            # Rather too long a bar than too short, but the jackknife can be three times too long.
            bound = max(squared, 1 / members) + error
            if not bound < jackknife:
                why = 'jackknife over the counts left out; they are too few to measure it'
                return Calibration(jackknife**0.5, 0.0, why)
            return Calibration(
                bound**0.5, 0.0, 'upper bound (one standard error) from the held-out counts, which are few'
            )
        squared = max(squared, 1 / members)
        return Calibration(squared**0.5, 0.5 * error / squared**0.5, 'measured on the held-out counts')

    def _measured(self) -> tuple[float, float]:
        """c^2 and its standard error."""
        members = self._spectra.count
        spread = _by_shell(self._spectra.variance)
        noise, excess = self._noise / members, self._excess / members
        size = _by_shell(np.ones(self._spectra.mean.shape))
        spread, noise, excess = (values / np.maximum(size, 1) for values in (spread, noise, excess))
        with np.errstate(divide='ignore', invalid='ignore'):
            weight = np.where(noise > 0, size * spread / noise**2, 0.0)
            precision = np.where(noise > 0, size * (spread / noise) ** 2, 0.0).sum()
        if not precision > 0:
            return 0.0, float('inf')
        total = float((weight * excess).sum() / (weight * spread).sum())
        # Real data: the frequencies k and -k are one.
        error = float(np.sqrt(2 / (members * precision)))
        return total - (members - 1) / members, error

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            'spectra': self._spectra.state(),
            'excess': self._excess,
            'noise': self._noise,
            'poisson': self._poisson,
            'share': self._share,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self._spectra.restore(state['spectra'])
        self._excess, self._noise = state['excess'], state['noise']
        self._poisson, self._share = bool(state['poisson']), float(state['share'])


def _by_shell(power: np.ndarray) -> np.ndarray:
    """Sums over tilts and the rings of equal frequency, (window, ring); the zero frequency, the total mass, left out."""
    windows, _, ny, nu = power.shape
    radius = np.hypot(fftfreq(ny)[:, None], fftfreq(nu)[None, :])
    ring = np.round(radius * min(ny, nu)).astype(int).ravel()
    flat = power.sum(axis=1).reshape(windows, -1)
    return np.stack([np.bincount(ring, values, ring.max() + 1)[1:] for values in flat])
