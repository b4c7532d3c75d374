r"""Energies put right by features whose energy is known.

The position of a feature is the maximum of the mean spectrum near its energy,
after a power law through what lies before it is taken off, smoothed by 1 eV
and refined by a parabola. One feature gives the offset of the axis, two or
more its dispersion too,

    E' = offset + gain E     through (E_found, E_known),  least squares.

The zero loss is such a feature of the low loss, at 0 eV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from napari_diptomo.series import InputError

#: A feature is looked for this far from its energy; the background is fitted before that, eV.
_REACH, _BEFORE = 12.0, 40.0
_SMOOTH = 1.0
_CERTAIN = 5.0
#: Dispersions that are farther off than this are mistakes.
_MOST_GAIN = 0.1


@dataclass(frozen=True)
class Feature:
    """A maximum of known energy: name, where it was found and where it is, eV."""

    name: str
    found: float
    known: float


def find_feature(energy: np.ndarray, spectrum: np.ndarray, name: str, known: float) -> Feature:
    """The maximum near a known energy.

    Parameters
    ----------
    energy, spectrum : ndarray (energy,)
        eV; summed counts.
    name : str
        E.g. ``'Fe-L3'``.
    known : float
        Energy of the maximum, eV.

    Raises
    ------
    InputError
        There is none.
    """
    step = float(energy[1] - energy[0])
    net = _net(energy, spectrum, known)
    smooth = gaussian_filter1d(net, max(_SMOOTH / step, 0.6))
    near = np.flatnonzero(np.abs(energy - known) <= _REACH)
    noise = np.sqrt(np.maximum(spectrum[near], 1).mean() / max(_SMOOTH / step * 3.5, 1))
    top = int(near[smooth[near].argmax()]) if near.size else 0
    if near.size < 5 or top in (near[0], near[-1]) or smooth[top] < _CERTAIN * noise:
        raise InputError(
            f'{name} is not seen within {_REACH:g} eV of {known:g} eV, so the energies cannot be put right by it; leave it '
            'out, or give the energy at which the spectra have its maximum.'
        )
    left, middle, right = smooth[top - 1 : top + 2]
    bend = left - 2 * middle + right
    part = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return Feature(name, float(energy[top] + np.clip(part, -0.5, 0.5) * step), float(known))


def corrected_axis(energy: np.ndarray, features: Sequence[Feature]) -> np.ndarray:
    """Energies (energy,) on which the features lie where they are known to be.

    Raises
    ------
    InputError
        The features contradict the axis or one another.
    """
    if not features:
        return energy
    found, known = np.array([[f.found, f.known] for f in features]).T
    if len(features) == 1 or np.ptp(found) < 10 * abs(energy[1] - energy[0]):
        return energy + float(np.mean(known - found))
    gain, offset = np.polyfit(found, known, 1)
    if abs(gain - 1) > _MOST_GAIN:
        names = ' and '.join(f.name for f in features)
        raise InputError(
            f'By {names} the dispersion would be {gain:.3g} times that of the files; check the energies that were given.'
        )
    corrected: np.ndarray = offset + gain * energy
    return corrected


def _net(energy: np.ndarray, spectrum: np.ndarray, known: float) -> np.ndarray:
    """The spectrum without a power law through what lies before the feature, where there is enough of that."""
    before = (energy < known - _REACH) & (energy > max(known - _REACH - _BEFORE, 2.0)) & (spectrum > 0)
    if before.sum() < 8:
        return spectrum - float(np.median(spectrum))
    slope, height = np.polyfit(np.log(energy[before]), np.log(spectrum[before]), 1)
    positive = np.maximum(energy, 1e-3)
    return spectrum - np.where(energy > 1, np.exp(height + slope * np.log(np.maximum(positive, 1.0))), 0.0)
