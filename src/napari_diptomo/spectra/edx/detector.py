r"""The response of a silicon drift detector to an X-ray line.

*Width.* A Gaussian of the FWHM of `napari_diptomo.spectra.common.resolution`.

*Tail.* Some photons lose part of their charge and form an exponential tail to
lower energies. Charge is lost near the surface of the crystal, so the share
grows with the absorption coefficient mu(E) of silicon: it is largest just
above the edge of silicon, 1.84 keV, and for soft lines.

*Escape peak.* A photon above the edge makes Si-Ka, which leaves the crystal:
its peak lies 1.74 keV below the line and holds (Reed & Ware, J. Phys. E 5
(1972) 582)

    e(E) = w/2 (1 - 1/r) [1 - (mu_K / mu) ln(1 + mu / mu_K)]

of the line's photons, with w = 0.047 the K yield of silicon, r = 10.3 its jump
at the edge and mu_K the absorption of its own Ka. mu(E) is a power law on
either side of the edge through the values that NIST tabulates.

Formulas: line shape of the detector (`Detector`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf, log_ndtr

from napari_diptomo.spectra.common.resolution import line_width
from napari_diptomo.spectra.edx.lines import LineFamily

#: Length of the tail as a share of the line's energy.
_TAIL_LENGTH = 0.04
#: Silicon: Ka and edge, keV; K yield; jump; absorption of its Ka and just above its edge, cm^2/g.
SI_KA, SI_EDGE = 1.7397, 1.8389
_SI_YIELD, _SI_JUMP, _SI_MU_KA, _SI_MU_EDGE = 0.047, 10.3, 355.0, 3192.0


@dataclass(frozen=True)
class Detector:
    """Response of the detector to a line.

    Attributes
    ----------
    resolution : float
        FWHM at Mn-Ka, eV.
    offset : float
        True energy minus that of the axis at 0 keV, keV.
    gain : float
        True energy per energy of the axis.
    bend : float
        Further shift at 0 keV that dies away over 1 keV: soft photons are
        absorbed near the surface of the crystal, where charge is lost. keV.
    tail : float
        Share of a line's photons in its tail, at every energy.
    surface : float
        Share in the tail just above the edge of silicon, beyond ``tail``; at
        other energies in proportion to the absorption in silicon.
    escape : float
        Escape peaks relative to theory: 0 none, 1 as Reed and Ware have them.
    left_out : tuple of float
        Channels that count nothing, dead ones and hot ones that are left out: where they are on the axis, keV.
    """

    resolution: float = 130.0
    offset: float = 0.0
    gain: float = 1.0
    bend: float = 0.0
    tail: float = 0.0
    surface: float = 0.0
    escape: float = 0.0
    left_out: tuple[float, ...] = ()

    def true_energy(self, energy: np.ndarray) -> np.ndarray:
        """The energy that a position on the axis stands for.

        Parameters
        ----------
        energy : ndarray
            Of the axis, keV.

        Returns
        -------
        ndarray like energy
            keV.
        """
        return self.offset + self.gain * energy + self.bend * np.exp(-energy)

    def fwhm(self, energy: np.ndarray | float) -> np.ndarray:
        """Width of a line; its square is that of the electronics plus a term in proportion to the energy.

        Parameters
        ----------
        energy : ndarray or float
            Of the line, keV.

        Returns
        -------
        ndarray like energy
            FWHM, keV; `resolution` at Mn-Ka.
        """
        return line_width(energy, self.resolution)

    def counted(self, energy: np.ndarray, shapes: np.ndarray) -> np.ndarray:
        """Shapes without what falls into channels that are left out.

        Parameters
        ----------
        energy : ndarray (energy,)
            Channel centres of the axis, keV.
        shapes : ndarray (energy, ...)
            Of lines or background.

        Returns
        -------
        ndarray like shapes
            Zero in these channels; the array given where no channel is left out.
        """
        if not self.left_out:
            return shapes
        shapes = shapes.copy()
        shapes[np.isin(energy, self.left_out)] = 0
        return shapes

    def shape(self, energy: np.ndarray, family: LineFamily) -> np.ndarray:
        """Probability of each channel for one photon of a family.

        Parameters
        ----------
        energy : ndarray (energy,)
            Channel centres of the axis, keV.
        family : LineFamily
            The lines.

        Returns
        -------
        ndarray (energy,)
            Sums to the share of the family that the axis holds, so that a
            coefficient always counts the WHOLE family.
        """
        return self.line_shapes(energy, np.asarray(family.energies)) @ np.asarray(family.weights)

    def line_shapes(self, energy: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """Probability of each channel for one photon of each line.

        Parameters
        ----------
        energy : ndarray (energy,)
            Channel centres of the axis, keV.
        lines : ndarray (line,)
            Energies, keV.

        Returns
        -------
        ndarray (energy, line)
            A column sums to the share of the line that the axis holds.
        """
        edges = self.true_energy(channel_edges(energy))
        shapes = np.diff(self._cumulative(edges, lines), axis=0)
        lost = np.clip(self.escape * escape_share(lines), 0.0, 0.5)
        if lost.any():
            shapes *= 1 - lost
            escaping = lost > 0
            # Below zero there is no axis; the charge that stays is that of a photon of the difference.
            shapes[:, escaping] += lost[escaping] * np.diff(
                self._cumulative(edges, lines[escaping] - SI_KA, tails=False), axis=0
            )
        return self.counted(energy, shapes)

    def _cumulative(self, edges: np.ndarray, lines: np.ndarray, tails: bool = True) -> np.ndarray:
        sigma = self.fwhm(lines) / np.sqrt(8 * np.log(2))
        place = (edges[:, None] - lines) / sigma
        cumulative = 0.5 * (1 + erf(place / np.sqrt(2)))
        if tails and (self.tail > 0 or self.surface > 0):
            share = np.minimum(self.tail + self.surface * silicon_absorption(lines) / _SI_MU_EDGE, 0.5)
            ratio = sigma / (_TAIL_LENGTH * lines)
            cumulative += share * np.exp(ratio * place + ratio**2 / 2 + log_ndtr(-place - ratio))
        return cumulative


def silicon_absorption(energy: np.ndarray) -> np.ndarray:
    """Mass absorption coefficient of silicon, cm^2/g, within some 10 % of NIST's between 0.2 and 40 keV."""
    energy = np.asarray(energy, float)
    below, above = _SI_MU_KA * (SI_KA / energy) ** 2.66, _SI_MU_EDGE * (SI_EDGE / energy) ** 2.62
    return np.where(energy < SI_EDGE, below, above)


def escape_share(energy: np.ndarray) -> np.ndarray:
    """Share of the photons of a line, keV, that its escape peak holds; zero below the edge of silicon."""
    ratio = silicon_absorption(energy) / _SI_MU_KA
    share = _SI_YIELD / 2 * (1 - 1 / _SI_JUMP) * (1 - np.log1p(ratio) / ratio)
    return np.where(np.asarray(energy) > SI_EDGE, share, 0.0)


def channel_edges(energy: np.ndarray) -> np.ndarray:
    """Borders of the channels, (energy + 1,), from their centres."""
    middle = (energy[1:] + energy[:-1]) / 2
    return np.concatenate([[2 * energy[0] - middle[0]], middle, [2 * energy[-1] - middle[-1]]])
