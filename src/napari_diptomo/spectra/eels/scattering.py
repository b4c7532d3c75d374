r"""Plural scattering: the zero loss, the loss of a single event, and what both do to spectra.

With J the low loss, Z its zero loss, tau = t/lambda and P the distribution of a
single loss (Egerton, EELS in the Electron Microscope, ch. 4; Johnson and Spence,
J. Phys. D 7 (1974) 771)

    F[J] = F[Z] exp(tau (F[P] - 1)).

*Zero loss.* The counts up to their minimum behind the peak, and from there on a tail
that falls as E^-3 from half of the counts at the minimum: there, tail and first losses
cannot be distinguished.

*Fourier-log of a sum* (`SingleLoss`): tau P = F^-1[log(F[J] / F[Z])], smoothed by a
Gaussian as wide as a zero loss, the phase of the logarithm unwrapped so that the
thickness may exceed pi. eXSpy's, which does neither, serves the pixels
(`single_losses`): S = F^-1[F[Z] log(F[J] / F[Z])], as broad as the zero loss.
Up to the edge P is what was measured; from there on the tail of a plasmon, E^-r, is
extrapolated, so that no edge is in it.

*Without the edge* (`without_edges`): a low loss put together again from what was
measured of tau P up to the edge and, behind it, the tail

    P(E) = a E^-3 / (1 - b E^-2),    E > onset,

of an oscillator far below E (Drude, damping and all, to the order E^-5), fitted
to 10 eV in front of the onset.

*An edge behind more specimen* (`SingleLoss.scattered`), thicker by d than where its
standard S comes from, is F^-1[F[S] exp(d (F[P] - 1))]: electrons leave the edge for
higher losses. Fitted with standards of each pixel's own thickness, intensities are
proportional to the path through the oxide, as a projection must be; with one
standard for all they saturate as exp(-t/lambda).

*Fourier-ratio* (`without_plural`; Swift, Egerton): with G a Gaussian in place of the
zero loss, I_0 its area, and K the edges without their background,

    S = F^-1[ I_0 F[G] F[K] / F[J] ].

Results for pixels are multiplied by I_t / I_0: counts are then those of all electrons,
and proportional to the path through what made them, as projections must be.

Transforms are periodic: each spectrum is continued beyond its end, falling as
E^-3, and cut back afterwards.

Formulas: Fourier-log deconvolution of sums (`without_plural`); tail of the zero loss (`zero_loss_of_sum`); single
scattering (`single_losses`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.energy_axis import channel_width
from napari_diptomo.spectra.common.exspy_adapter import fourier_log, fourier_ratio
from napari_diptomo.spectra.common.power_law import falling_tail, log_log_line
from napari_diptomo.spectra.eels.calibration.zero_loss import peak_width

#: The zero loss is looked for within this of zero; behind its tail losses begin, eV.
_ZERO, _LEAST_LOSS = 5.0, 2.0
#: FWHM of the smoothing where the zero loss is narrower, eV.
_SMOOTH = 1.2
#: Length of the part in front of the edge from which the tail is extrapolated, eV, and the powers it may have.
_TAIL_FIT, _TAIL_POWERS = 10.0, (1.5, 5.0)
#: b relative to the square of the onset: the pole stays in front of it.
_LARGEST_BEND = 0.8
#: Channels that determine how high a spectrum is at its end.
_LAST = 20
#: t/lambda that is no measurement any more: a zero loss that is lost in noise.
_THICKEST = 20.0
#: Steps of the two ranges may differ by this share.
_SAME_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class SingleLoss:
    """Distribution of a single loss.

    Attributes
    ----------
    values : ndarray (loss,)
        Probability per channel, unit sum.
    step : float
        eV per channel; the first is the loss 0.
    thickness : float
        t/lambda of the spectrum it was found in.
    """

    values: np.ndarray
    step: float
    thickness: float

    @classmethod
    def of(cls, energy: np.ndarray, spectrum: np.ndarray, onset: float) -> SingleLoss:
        """Fourier-log of a summed low loss.

        Parameters
        ----------
        energy : ndarray (energy,)
            eV, evenly spaced, the zero loss at zero and in range.
        spectrum : ndarray (energy,)
            Counts, of pixels of much the same thickness.
        onset : float
            Energy up to which nothing but plasmons is measured, eV.

        Raises
        ------
        InputError
            No zero loss in the range.
        """
        zero = zero_loss_of_sum(energy, spectrum)
        losses, single = _fourier_log(energy, spectrum, zero)
        step = float(losses[1])
        single = _with_tail(losses, single, onset)
        return cls(single / single.sum(), step, float(np.log(spectrum.sum() / zero.sum())))

    def transform(self, length: int) -> np.ndarray:
        """Fourier transform on a grid of ``length`` channels."""
        found: np.ndarray = fft.rfft(self.values, length)
        return found

    def multiples(self, number: int) -> np.ndarray:
        """P, P * P, ... up to ``number`` losses in a row, (number, loss), unit sums."""
        length = fft.next_fast_len((number + 1) * len(self.values), real=True)
        transform = self.transform(length)
        return np.stack([fft.irfft(transform**n, length)[: len(self.values)] for n in range(1, number + 1)])

    def scattered(self, shapes: np.ndarray, thickness: np.ndarray) -> np.ndarray:
        """Shapes of edges behind so much more specimen.

        Parameters
        ----------
        shapes : ndarray (energy, shape)
            Edges; channels as wide as ``step``.
        thickness : ndarray (n,)
            t/lambda more than the shapes have already; may be negative.

        Returns
        -------
        ndarray (n, energy, shape)
        """
        length = fft.next_fast_len(2 * len(shapes) + len(self.values), real=True)
        kernel = np.exp(np.asarray(thickness)[:, None] * (self.transform(length) - 1))
        transforms = fft.rfft(shapes, length, axis=0)
        found: np.ndarray = fft.irfft(transforms * kernel[:, :, None], length, axis=1)[:, : len(shapes)]
        return found


def without_edges(energy: np.ndarray, spectrum: np.ndarray, onset: float) -> np.ndarray:
    """A low loss as it would be without the edges from ``onset`` on, see the module.

    Parameters
    ----------
    energy : ndarray (energy,)
        eV, evenly spaced, the zero loss at zero and in range.
    spectrum : ndarray (energy,)
        Counts, of many pixels.
    onset : float
        Energy up to which nothing but plasmons is measured, eV.

    Returns
    -------
    ndarray (energy,)
        Zero loss, plasmons and their multiples.

    Raises
    ------
    InputError
        No zero loss in the range, no plasmons in front of the onset.
    """
    zero = zero_loss_of_sum(energy, spectrum)
    losses, single = _fourier_log(energy, spectrum, zero)
    single = _with_oscillator_tail(losses, single, onset)
    length = _length(energy)
    exponent = fft.rfft(single, length)
    if exponent.real.max() > _THICKEST:
        raise InputError(
            f'The specimen is {exponent.real.max():.0f} mean free paths thick by its low loss: plural scattering cannot be followed so far; '
            'map thinner parts, or check the zero loss.'
        )
    found: np.ndarray = fft.irfft(fft.rfft(zero, length) * np.exp(exponent), length)[: len(energy)]
    return found


def _length(energy: np.ndarray) -> int:
    return int(fft.next_fast_len(3 * len(energy), real=True))


def _fourier_log(energy: np.ndarray, spectrum: np.ndarray, zero: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses from 0 on, eV, and tau P per channel there, not negative, (energy,) each."""
    step = channel_width(energy)
    length = _length(energy)
    frequency = fft.rfftfreq(length, step)
    continued = np.concatenate([spectrum, _faded_tail(energy, spectrum, step)])
    ratio = fft.rfft(continued, length) / fft.rfft(zero, length)
    # Above these frequencies the smoothing leaves nothing, and the ratio is noise.
    width = max(_SMOOTH, step * _fwhm(zero))
    smooth = np.exp(-((np.pi * frequency * width) ** 2) / (4 * np.log(2)))
    kept = smooth > 1e-4
    log = np.zeros_like(ratio)
    log[kept] = np.log(np.abs(ratio[kept])) + 1j * np.unwrap(np.angle(ratio[kept]))
    single = fft.irfft(log * smooth, length)[: len(energy)]
    losses = step * np.arange(len(energy))
    single[losses < _LEAST_LOSS] = 0
    return losses, np.maximum(single, 0)


def _fwhm(peak: np.ndarray) -> float:
    """Channels between the flanks of a peak at half of its height; 0 where it has one flank only."""
    top, low = int(peak.argmax()), peak < 0.5 * peak.max()
    return peak_width(peak, 0.5) if low[:top].any() and low[top:].any() else 0.0


def zero_loss_of_sum(energy: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """Zero loss of a summed low loss, (energy,): the counts up to their minimum behind it, then a falling tail.

    Parameters
    ----------
    energy : ndarray (energy,)
        eV, the zero loss near zero.
    spectrum : ndarray (energy,)
        Counts.

    Raises
    ------
    InputError
        No maximum near zero.
    """
    near = np.abs(energy) <= _ZERO
    if not near.any() or energy[0] > -1:
        raise InputError(
            'The spectra hold no zero loss, from which thickness and plasmons are determined; record the low loss from below 0 eV.'
        )
    peak = int(np.flatnonzero(near)[np.argmax(spectrum[near])])
    behind = (energy > energy[peak] + 1) & (energy < energy[peak] + _ZERO)
    end = int(np.flatnonzero(behind)[np.argmin(spectrum[behind])])
    zero = np.maximum(spectrum.astype(float), 0)
    loss = energy[end:] - energy[peak]
    zero[end:] = _half_tail(zero[end], loss, loss[0])
    return zero


def _half_tail(height: np.ndarray, losses: np.ndarray, start: float) -> np.ndarray:
    """Tail (..., loss) of a zero loss behind its end, where the counts are ``height`` (...)."""
    return 0.5 * np.asarray(height)[..., None] * falling_tail(np.maximum(losses, start), start)


def _faded_tail(energy: np.ndarray, spectrum: np.ndarray, step: float) -> np.ndarray:
    """Continuation behind the last channel, falling to nothing, so that the transform sees no step."""
    last = np.median(spectrum[-8:])
    beyond = energy[-1] + step * np.arange(1, len(energy) + 1)
    fade = 0.5 * (1 + np.cos(np.linspace(0, np.pi, len(beyond))))
    return last * falling_tail(beyond, energy[-1]) * fade


def _in_front(losses: np.ndarray, single: np.ndarray, onset: float) -> np.ndarray:
    """Where a tail is fitted, (loss,), bool."""
    part: np.ndarray = (losses >= onset - _TAIL_FIT) & (losses <= onset) & (single > 0)
    if part.sum() < 3:
        raise InputError(
            f'The low loss does not show the plasmons up to {onset:g} eV; choose a background other than plasmon.'
        )
    return part


def _with_oscillator_tail(losses: np.ndarray, single: np.ndarray, onset: float) -> np.ndarray:
    part = _in_front(losses, single, onset)
    square = (onset / np.maximum(losses, onset - _TAIL_FIT)) ** 2
    # 1 / (E^3 P) is a straight line over E^-2; weights are those of counts.
    inverse = square[part] ** 1.5 / single[part]
    root = np.sqrt(single[part]) / inverse
    columns = np.stack([np.ones_like(inverse), -square[part]], axis=1) * root[:, None]
    height, bend = np.linalg.lstsq(columns, inverse * root, rcond=None)[0]
    bend = min(bend, _LARGEST_BEND * height)
    return np.where(losses > onset, square**1.5 / np.maximum(height - bend * square, 1e-300), single)


def _with_tail(losses: np.ndarray, single: np.ndarray, onset: float) -> np.ndarray:
    part = _in_front(losses, single, onset)
    slope, _ = log_log_line(losses[part] / onset, single[part], np.sqrt(single[part]))
    slope = -float(np.clip(-slope, *_TAIL_POWERS))
    height = float(np.log(single[part]).mean() - slope * np.log(losses[part] / onset).mean())
    tail = np.exp(height) * (np.maximum(losses, onset) / onset) ** slope
    return np.where(losses > onset, tail, single)


def single_losses(spectra: np.ndarray, energy: np.ndarray, end: float) -> np.ndarray:
    """Fourier-log deconvolution of low losses.

    Parameters
    ----------
    spectra : ndarray (pixel, energy)
        Counts, the zero loss at 0 eV.
    energy : ndarray (energy,)
        eV, evenly spaced.
    end : float
        Where the zero loss ends, eV.

    Returns
    -------
    ndarray (pixel, energy), float32
        t/lambda P of all electrons, as broad as the zero loss; zero where a pixel has no zero loss.
    """
    zero = zero_losses_of_pixels(spectra, energy, end)
    there = zero.sum(axis=1) > 0
    longer, beyond = _extended_axis(energy), len(energy)
    found = np.zeros(spectra.shape)
    if there.any():
        whole = _extended(spectra[there], energy, longer)
        peak = _extended(zero[there], energy, longer)
        single = fourier_log(whole, peak, longer)[:, :beyond]
        found[there] = single * (whole[:, :beyond].sum(axis=1) / peak.sum(axis=1))[:, None]
    return found.astype(np.float32)


def without_plural(
    edges: np.ndarray, core_energy: np.ndarray, spectra: np.ndarray, energy: np.ndarray, end: float, fwhm: float
) -> np.ndarray:
    """Fourier-ratio deconvolution of edges.

    Parameters
    ----------
    edges : ndarray (pixel, core energy)
        Core loss without its background.
    core_energy, energy : ndarray
        eV, evenly spaced by the same step.
    spectra : ndarray (pixel, energy)
        Low loss of the same pixels.
    end : float
        Where the zero loss ends, eV.
    fwhm : float
        Of the peak that takes the place of the zero loss, eV.

    Returns
    -------
    ndarray (pixel, core energy), float32
        Edges of all electrons, zero where a pixel has no zero loss.

    Raises
    ------
    InputError
        The steps of the two ranges differ.
    """
    step, core_step = channel_width(energy), channel_width(core_energy)
    if abs(core_step / step - 1) > _SAME_STEP:
        raise InputError(
            f'Fourier-ratio deconvolution needs one dispersion, and the low loss has {step:.4g}, the core loss '
            f'{core_step:.4g} eV per channel; resample one of them, or go without.'
        )
    zero = zero_losses_of_pixels(spectra, energy, end).sum(axis=1)
    there = zero > 0
    found = np.zeros(edges.shape)
    if there.any():
        longer, core_longer = _extended_axis(energy), _extended_axis(core_energy)
        whole = _extended(spectra[there], energy, longer)
        core = _extended(edges[there], core_energy, core_longer)
        single = fourier_ratio(core, whole, core_longer, longer, end, fwhm)[:, : len(core_energy)]
        # Its own I_0 is within I_t already; the share of the zero loss is put back.
        elastic = whole[:, longer <= end].sum(axis=1)
        found[there] = single * (whole.sum(axis=1) / elastic)[:, None]
    return found.astype(np.float32)


def zero_losses_of_pixels(spectra: np.ndarray, energy: np.ndarray, end: float) -> np.ndarray:
    """Zero loss of each pixel, (pixel, energy): its counts up to ``end``, eV, then a falling tail."""
    behind = energy > end
    zero = np.array(spectra, float)
    last = zero[:, ~behind][:, -3:].mean(axis=1)
    zero[:, behind] = _half_tail(np.maximum(last, 0), energy[behind], end)
    return zero


def _extended_axis(energy: np.ndarray) -> np.ndarray:
    return float(energy[0]) + channel_width(energy) * np.arange(3 * len(energy))


def _extended(spectra: np.ndarray, energy: np.ndarray, longer: np.ndarray) -> np.ndarray:
    """Spectra (pixel, energy) on a longer axis, falling as E^-3 behind their end."""
    found = np.empty((len(spectra), len(longer)))
    found[:, : len(energy)] = spectra
    last = spectra[:, -_LAST:].mean(axis=1, dtype=float)
    found[:, len(energy) :] = last[:, None] * falling_tail(longer[len(energy) :], energy[-1])
    return found
