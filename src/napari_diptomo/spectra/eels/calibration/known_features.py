r"""Energies corrected by features whose energy is known.

The position of a feature is the maximum of the mean spectrum near its energy,
after a power law through what lies before it is subtracted, smoothed by 1 eV
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
from napari_diptomo.spectra.common.energy_axis import parabola_offset
from napari_diptomo.spectra.common.power_law import log_log_line

#: The first feature is looked for this far from its energy, the others this far from where the first puts them, eV.
_REACH, _NEXT = 12.0, 4.0
#: The background is taken this far in front of an edge, relative to its energy, and not from plasmons, eV.
_BEFORE, _PLASMONS = 0.18, 28.0
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


def find_features(energy: np.ndarray, spectrum: np.ndarray, edges: Sequence[tuple[str, float]]) -> tuple[Feature, ...]:
    """The maxima near known energies, the most prominent one first in ``edges``; see `find_feature`."""
    found: list[Feature] = []
    for name, known in edges:
        offset, reach = (found[0].found - found[0].known, _NEXT) if found else (0.0, _REACH)
        found.append(find_feature(energy, spectrum, name, known, offset, reach))
    return tuple(found)


def find_feature(
    energy: np.ndarray, spectrum: np.ndarray, name: str, known: float, offset: float = 0.0, reach: float = _REACH
) -> Feature:
    """The maximum near a known energy.

    Parameters
    ----------
    energy, spectrum : ndarray (energy,)
        eV; summed counts.
    name : str
        E.g. ``'Fe-L3'``.
    known : float
        Energy of the maximum, eV.
    offset, reach : float
        It is looked for within ``reach`` of ``known + offset``, eV.

    Raises
    ------
    InputError
        There is none.
    """
    step = float(energy[1] - energy[0])
    net = _net(energy, spectrum, known)
    smooth = gaussian_filter1d(net, max(_SMOOTH / step, 0.6))
    near = np.flatnonzero(np.abs(energy - known - offset) <= reach)
    noise = np.sqrt(np.maximum(spectrum[near], 1).mean() / max(_SMOOTH / step * 3.5, 1))
    top = int(near[smooth[near].argmax()]) if near.size else 0
    if near.size < 5 or top in (near[0], near[-1]) or smooth[top] < _CERTAIN * noise:
        raise InputError(
            f'{name} is not seen within {reach:g} eV of {known + offset:.4g} eV, so the energies cannot be corrected with it; leave it '
            'out, or give the energy at which the spectra have its maximum.'
        )
    return Feature(name, float(energy[top] + parabola_offset(*smooth[top - 1 : top + 2]) * step), float(known))


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
    start = max(known - _REACH - _BEFORE * known, _PLASMONS)
    before = (energy < known - _REACH) & (energy > start) & (spectrum > 0)
    if before.sum() < 8:
        return spectrum
    slope, height = log_log_line(energy[before], spectrum[before])
    net: np.ndarray = spectrum - np.exp(height + slope * np.log(np.maximum(energy, start)))
    return net
