"""Energy that electrons lose on the way: zero loss, plasmons one after another, the background under the edges.

Of electrons that see a relative thickness tau = t/lambda the share

    K = e^-tau sum_n tau^n / n! P^n* = F^-1[exp(tau (F[P] - 1))]

has made n plasmon losses P (the Poisson law of plural scattering, Egerton,
EELS in the Electron Microscope, ch. 4): a delta at zero loss of weight e^-tau
and a background. An edge of probability e comes as e * K, the detector shows
everything convolved with its zero loss Z. All convolutions are products of
Fourier transforms on a grid of at most 0.125 eV, one per pixel.

P is a Drude plasmon and an interband band below it; carbon has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import fft

Background = Literal['power law', 'exponential', 'plasmon']

#: Energy and FWHM / eV of the plasmons, then interband energy, FWHM and share.
_PLASMON = {'oxide': (22.0, 10.0, 8.0, 4.0, 0.06), 'carbon': (24.0, 14.0, 6.0, 2.5, 0.05)}
#: Lorentzian tail of the zero loss (share, FWHM / eV), exponential tail to the loss side (share, 1/e / eV).
_TAILS = (0.06, 0.6), (0.08, 1.2)
#: Between these losses the plasmons give way to the law that was asked for, eV.
_HANDOVER = 26.0, 34.0
#: Margin behind the last channel, eV: 30 to fade out, 100 for the plasmons that follow.
_MARGIN = 130.0


@dataclass(frozen=True)
class LossGrid:
    """Fine energy-loss grid behind the channels of a spectrometer.

    Attributes
    ----------
    start : float
        Centre of the first fine bin, eV.
    step : float
        eV.
    bins : int
        Length of the transforms.
    oversample : int
        Bins per channel.
    channels : int
        Channels that are recorded.
    """

    start: float
    step: float
    bins: int
    oversample: int
    channels: int

    @classmethod
    def behind(cls, energy: np.ndarray) -> LossGrid:
        """The grid for channels centred at ``energy`` (energy,), with a margin for what must not wrap around."""
        dispersion = (energy[-1] - energy[0]) / (len(energy) - 1)
        oversample = max(2, int(np.ceil(dispersion / 0.125)))
        step = dispersion / oversample
        bins = fft.next_fast_len(len(energy) * oversample + int(np.ceil(_MARGIN / step)), real=True)
        start = energy[0] - dispersion / 2 + step / 2
        return cls(start, step, bins, oversample, len(energy))

    @property
    def losses(self) -> np.ndarray:
        """Losses 0, step, ... that kernels and plasmons are sampled at, (bins,)."""
        return np.arange(self.bins) * self.step

    @property
    def frequency(self) -> np.ndarray:
        """Of the transforms, 1/eV."""
        return fft.rfftfreq(self.bins, self.step)

    def transform(self, density: np.ndarray) -> np.ndarray:
        """Fourier transform of what a density per eV, (..., bins), puts into each bin."""
        return fft.rfft(density * self.step, axis=-1)

    def taper(self, values: np.ndarray, origin: float = 0.0) -> np.ndarray:
        """Fade a density, sampled from ``origin``, out behind the last channel, so that nothing wraps around."""
        end = self.start + self.channels * self.oversample * self.step
        return values * _fade(self.losses + origin, end + 5.0, end + 30.0)

    def to_channels(self, transform: np.ndarray, origin: float = 0.0) -> np.ndarray:
        """Counts per channel, (..., energy), of a transform whose bin 0 lies at ``origin`` eV."""
        phase = np.exp(-2j * np.pi * self.frequency * (origin - self.start))
        fine = fft.irfft(transform * phase, self.bins, axis=-1)[..., : self.channels * self.oversample]
        return fine.reshape(*fine.shape[:-1], self.channels, self.oversample).sum(-1)


def zero_loss(frequency: np.ndarray, fwhm: float, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """Fourier transform of the zero loss, unit area, maximum near ``shift``.

    A Gaussian with a Lorentzian tail to both sides and an exponential one to the loss side.

    Parameters
    ----------
    frequency : ndarray (frequency,)
        1/eV.
    fwhm : float
        Of the Gaussian, eV.
    shift : ndarray (pixel,) or float
        eV.

    Returns
    -------
    ndarray (pixel, frequency) or (frequency,), complex
    """
    sigma = fwhm / np.sqrt(8 * np.log(2))
    (wide, gamma), (late, decay) = _TAILS
    tails = 1 - wide - late + wide * np.exp(-np.pi * gamma * frequency) + late / (1 + 2j * np.pi * frequency * decay)
    centred = np.exp(-2 * (np.pi * sigma * frequency) ** 2) * tails
    return centred * np.exp(-2j * np.pi * frequency * np.asarray(shift)[..., None])


def single_plasmon(losses: np.ndarray, material: str = 'oxide') -> np.ndarray:
    """Energy distribution of one plasmon or interband loss, (energy,), unit sum times step.

    Parameters
    ----------
    losses : ndarray (energy,)
        Even steps, eV.
    material : {'oxide', 'carbon'}
        FeO and Fe3O4 together, or the ligand shell.
    """
    energy, width, band, band_width, share = _PLASMON[material]
    drude = losses * width * energy**2 / ((losses**2 - energy**2) ** 2 + (losses * width) ** 2)
    interband = np.exp(-4 * np.log(2) * ((losses - band) / band_width) ** 2) * (losses > 0)
    step = losses[1] - losses[0]
    density: np.ndarray = (1 - share) * drude / (drude.sum() * step) + share * interband / (interband.sum() * step)
    return density


@dataclass(frozen=True, eq=False)
class Scattering:
    """Plural scattering and background on one grid.

    Attributes
    ----------
    grid : LossGrid
        Of the low or the core loss.
    reach : float
        Loss up to which plasmons are followed, eV.
    background : {'power law', 'exponential', 'plasmon'}
        What lies under 40-80 eV.
    exponent : float
        r of E^-r.
    decay : float
        1/e length of the exponential, eV.
    """

    grid: LossGrid
    reach: float = 100.0
    background: Background = 'plasmon'
    exponent: float = 2.5
    decay: float = 16.0

    def kernel(self, oxide: np.ndarray, carbon: np.ndarray) -> np.ndarray:
        """Transform of K for relative thicknesses t/lambda, (pixel,) each, to (pixel, frequency)."""
        total = np.zeros((len(oxide), len(self.grid.frequency)), complex)
        for thickness, material in ((oxide, 'oxide'), (carbon, 'carbon')):
            if np.any(thickness):
                single = single_plasmon(self.grid.losses, material)
                single *= _fade(self.grid.losses, self.reach + 5.0, self.reach + 30.0)
                single /= single.sum() * self.grid.step
                total += thickness[:, None] * (self.grid.transform(single) - 1)
        return np.exp(total)

    def low_loss(self, kernel: np.ndarray) -> np.ndarray:
        """Transform of all but the edges per electron: zero loss, plasmons and the law asked for.

        Parameters
        ----------
        kernel : ndarray (pixel, frequency)
            From `kernel`.
        """
        if self.background == 'plasmon':
            return kernel
        losses, middle = self.grid.losses, np.mean(_HANDOVER)
        spectra = fft.irfft(kernel, self.grid.bins, axis=-1)
        with np.errstate(divide='ignore'):
            powers = np.maximum(losses, self.grid.step) ** -self.exponent * middle**self.exponent
        law = powers if self.background == 'power law' else np.exp((middle - losses) / self.decay)
        old = _fade(losses, *_HANDOVER)
        at_middle = spectra[:, round(float(middle) / self.grid.step), None]
        return fft.rfft(spectra * old + at_middle * self.grid.taper(law) * (1 - old), axis=-1)


def _fade(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """1 below ``low``, 0 above ``high``, half a cosine between."""
    return 0.5 * (1 + np.cos(np.pi * np.clip((values - low) / (high - low), 0, 1)))
