"""What detector and holder make of the photons of a simulated specimen.

The line shape is a Gaussian whose width follows
FWHM(E)^2 = FWHM(Mn-Ka)^2 + 2.5 (E - E(Mn-Ka)), in eV, the relation of eXSpy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import fftconvolve
from scipy.special import erf

_E_MN = 5.8987
#: Si-K line and edge, keV; the escape fraction falls with energy about as fast as that of Reed and Ware (1972).
_SI_K, _SI_EDGE, _ESCAPE_POWER = 1.7397, 1.8389, 1.1
#: Width of the dip where the holder hides a detector, degrees.
_DIP_WIDTH = 6.0


def line_shape(energy: np.ndarray, lines: Sequence[tuple[float, float]], resolution: float = 130.0) -> np.ndarray:
    """Probability of each channel for one photon of a family.

    Parameters
    ----------
    energy : ndarray (energy,)
        Channel centres, keV, equally spaced.
    lines : sequence of (energy in keV, weight)
        The family.
    resolution : float
        FWHM at Mn-Ka, eV.

    Returns
    -------
    ndarray (energy,)
        Sums to one where the axis holds the whole family.
    """
    step = energy[1] - energy[0]
    edges = np.append(energy - step / 2, energy[-1] + step / 2)
    total = sum(weight for _, weight in lines)
    shape = np.zeros(len(energy))
    for centre, weight in lines:
        fwhm = np.sqrt(resolution**2 + 2.5e3 * (centre - _E_MN)) * 1e-3
        sigma = fwhm / np.sqrt(8 * np.log(2))
        shape += weight / total * np.diff(erf((edges - centre) / (np.sqrt(2) * sigma))) / 2
    return shape


def bremsstrahlung(energy: np.ndarray, beam_energy: float = 200.0) -> np.ndarray:
    """Kramers' shape behind a thin window, normalised to one count, (energy,)."""
    e = np.maximum(energy, 0.05)
    shape = np.where(energy > 0.05, (beam_energy - e) / e * np.exp(-((0.45 / e) ** 3)), 0.0)
    return shape / shape.sum()


def with_escape(lines: Sequence[tuple[float, float]], share: float) -> tuple[tuple[float, float], ...]:
    """A family with its escape peaks, 1.74 keV below the lines that lie above the Si-K edge.

    Parameters
    ----------
    lines : sequence of (energy in keV, weight)
    share : float
        Of the photons of 2 keV; some 0.018 in silicon. The photons that escape are missing in their line.
    """
    found = []
    for energy, weight in lines:
        lost = share * (2.0 / energy) ** _ESCAPE_POWER if energy > _SI_EDGE else 0.0
        found.append((energy, weight * (1 - lost)))
        if lost:
            found.append((energy - _SI_K, weight * lost))
    return tuple(found)


def pile_up(spectrum: np.ndarray, zero: int) -> np.ndarray:
    """Shape of the photons counted two at a time, normalised to one count.

    Parameters
    ----------
    spectrum : ndarray (energy,)
        What arrives, without the zero-strobe peak.
    zero : int
        Channel of 0 keV.
    """
    twice = np.maximum(fftconvolve(spectrum, spectrum), 0)[zero : zero + len(spectrum)]
    return twice / max(twice.sum(), 1e-300)


def shadowing(angles: np.ndarray, depth: float, take_off: float = 18.0) -> np.ndarray:
    """Share of the specimen's photons that the detectors count at each tilt, (tilt,).

    A holder hides two of four detectors most where the specimen is edge on to
    them: at a tilt of plus and minus the take-off angle.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.
    depth : float
        Share that is lost in the dip.
    take_off : float
        Degrees.
    """
    dips = [np.exp(-(((angles - side * take_off) / _DIP_WIDTH) ** 2)) for side in (-1, 1)]
    return 1 - depth * np.maximum(*dips)


def stray(angles: np.ndarray, at_zero: float, rise: float) -> np.ndarray:
    """Counts per pixel and tilt of an element of grid or holder, at_zero * (1 + rise * (t / 40 deg)^2)."""
    return at_zero * (1 + rise * (angles / 40) ** 2)
