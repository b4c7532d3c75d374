r"""Survey of the low loss of a tilt: zero loss, spikes, dark level, thickness.

t/lambda = ln(I_t / I_0): I_t are all counts, I_0 those of the zero loss, up to
the minimum behind it. Behind that the tail of the zero loss continues and before
it losses begin: the two are taken to be equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_diptomo.series import InputError
from napari_diptomo.spectra.eels.calibration.camera_artefacts import (
    check_finite,
    dark_level,
    level_to_take_off,
    without_spikes,
)
from napari_diptomo.spectra.eels.calibration.zero_loss import ZeroLoss, find_zero_loss

#: The zero loss ends between these losses, eV.
_ENDS = 1.0, 8.0
#: Where t/lambda, smoothed, exceeds its median by less than the first and is below the second, there is vacuum only.
_VACUUM = 0.03, 0.12
#: The zero loss, in which spikes are not looked for, in FWHM to the left and right of it.
_AROUND = 4.0
#: A negative level beyond this share of the counts behind the zero loss makes them worthless.
_WORTHLESS = 0.5


@dataclass(frozen=True, eq=False)
class TiltSurvey:
    """Zero loss, dark level and spikes found at a tilt.

    Attributes
    ----------
    zero : ZeroLoss
    dark : float
        Dark level to be subtracted, counts per channel.
    read_noise : float
        Counts.
    near_zero : slice
        Channels of the zero loss and its flanks.
    pixels_with_spikes : int
    total : ndarray (energy,)
        Sum of the spectra, dark level subtracted.
    zero_loss_end : float
        Loss at the minimum behind the zero loss, eV.
    """

    zero: ZeroLoss
    dark: float
    read_noise: float
    near_zero: slice
    pixels_with_spikes: int
    total: np.ndarray
    zero_loss_end: float
    _below: np.ndarray
    _all: np.ndarray

    @property
    def spikes(self) -> slice | None:
        """Where there are spikes: the channels in which they are not looked for."""
        return self.near_zero if self.pixels_with_spikes else None

    def log_ratio(self, end: float) -> np.ndarray:
        """t/lambda (y, x), never below zero, with the zero loss taken to end at a loss, eV."""
        ends = np.linspace(*_ENDS, self._below.shape[-1])
        at = int(np.clip(np.searchsorted(ends, end) - 1, 0, len(ends) - 2))
        share = np.clip((end - ends[at]) / (ends[at + 1] - ends[at]), 0, 1)
        zero = (1 - share) * self._below[..., at] + share * self._below[..., at + 1]
        found: np.ndarray = np.log(np.maximum(self._all / np.maximum(zero, 1e-9), 1.0))
        return np.where(zero > 0, found, 0.0)

    def shows_vacuum(self, thickness: np.ndarray) -> bool:
        """Whether a map of t/lambda (y, x) is that of no specimen."""
        smooth = ndimage.uniform_filter(thickness, 3, mode='nearest')
        noise = 4 / np.sqrt(9 * max(float(np.median(self._all)), 1.0))
        excess = float(smooth.max() - np.median(smooth))
        return excess < _VACUUM[0] + noise and float(smooth.max()) < _VACUUM[1] + noise


def survey_warnings(looks: Sequence[TiltSurvey], angles: np.ndarray) -> list[str]:
    """Sentences on what cannot be corrected."""
    found = []
    cut = [f'{angle:g}°' for look, angle in zip(looks, angles, strict=True) if look.zero.saturated.any()]
    if cut:
        share = max(float(look.zero.saturated.mean()) for look in looks)
        found.append(
            f'The zero loss is saturated at {", ".join(cut)}, in up to {100 * share:.0f} % of the pixels: their thickness is '
            'not known; record the low loss with a shorter exposure.'
        )
    negative = [(look.dark, f'{angle:g}°') for look, angle in zip(looks, angles, strict=True) if look.dark < 0]
    if negative:
        found.append(
            f'The dark level is negative at {", ".join(a for _, a in negative)} (down to '
            f'{min(level for level, _ in negative):.3g} counts per channel): it is corrected here; take a new dark '
            'reference for the next series.'
        )
    return found


def survey_tilt(
    counts: np.ndarray, energy: np.ndarray, name: str, remove_spikes: bool = True, remove_dark: bool = True
) -> TiltSurvey:
    """Find zero loss, spikes, dark level and the counts of zero loss and all losses of a tilt.

    Parameters
    ----------
    counts : ndarray (y, x, energy)
        Low loss as recorded.
    energy : ndarray (energy,)
        As the files have them, evenly spaced, eV.
    name : str
        The tilt, for messages.
    remove_spikes, remove_dark : bool

    Raises
    ------
    InputError
        No zero loss, or a dark level that leaves nothing of the signal.
    """
    check_finite(counts, name)
    zero = find_zero_loss(counts, energy, name)
    step = float(energy[1] - energy[0])
    around = int(np.ceil(_AROUND * zero.fwhm))
    near = slice(
        max(int(zero.position.min()) - around, 0), min(int(zero.position.max()) + around + 1, counts.shape[-1])
    )
    spikes = 0
    if remove_spikes:
        counts, spikes = without_spikes(counts, near)
    dark = dark_level(counts, zero.position, zero.fwhm)
    level = level_to_take_off(dark, counts) if remove_dark else 0.0
    total = counts.sum(axis=(0, 1), dtype=float) - level * counts.shape[0] * counts.shape[1]
    behind = round(float(zero.position.max()) + _ENDS[1] / step)
    _check_level(level, total[min(behind, len(total) - 1) :] / (counts.shape[0] * counts.shape[1]), name)
    below, everything = _counts_below(counts, level, zero.position, step)
    return TiltSurvey(
        zero,
        level,
        dark.read_noise,
        near,
        spikes,
        total,
        _minimum(total, float(zero.position.mean()), step),
        below,
        everything,
    )


def _counts_below(counts: np.ndarray, level: float, position: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts up to losses between `_ENDS`, (y, x, end), and all counts (y, x)."""
    running = np.cumsum(counts, axis=-1, dtype=float) - level * np.arange(1, counts.shape[-1] + 1)
    ends = np.linspace(*_ENDS, max(int((_ENDS[1] - _ENDS[0]) / step) + 1, 2))
    # The running sum at k holds the whole of channel k: its upper end lies half a channel higher.
    place = np.clip(position[..., None] + ends / step - 0.5, 0, counts.shape[-1] - 1.001)
    whole = place.astype(np.intp)
    part = place - whole
    below = (1 - part) * np.take_along_axis(running, whole, axis=-1)
    below += part * np.take_along_axis(running, whole + 1, axis=-1)
    return below, running[..., -1]


def _minimum(total: np.ndarray, position: float, step: float) -> float:
    """Loss of the minimum behind the zero loss, eV."""
    smooth = ndimage.gaussian_filter1d(total, max(0.5 / step, 0.5))
    first, last = (round(position + loss / step) for loss in _ENDS)
    part = smooth[first : min(last, len(smooth) - 1) + 1]
    if part.size == 0:
        raise InputError(
            f'The low loss ends at {(len(total) - 1 - position) * step:.3g} eV, within the zero loss; record more of it.'
        )
    return float((first + int(part.argmin()) - position) * step)


def _check_level(level: float, losses: np.ndarray, name: str) -> None:
    mean = float(losses.mean())
    if level < 0 and -level > _WORTHLESS * max(mean, 1e-9):
        raise InputError(
            f'The dark level {name} is {level:.3g} counts per channel, where the losses have {mean:.3g}: too large a dark '
            'reference was subtracted; subtract the right one from the raw spectra, or leave this tilt out.'
        )
