"""Families of X-ray lines and the shape a detector makes of them.

A family is all lines of one shell of one element: their relative weights are
fixed by atomic physics, so a family is one unknown in a fit. The detector
broadens a line to a Gaussian of

    FWHM(E)^2 = FWHM(Mn-Ka)^2 + 2.5 eV (E - E(Mn-Ka)),

the relation that eXSpy uses. Lines, weights: eXSpy's tables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import erf, log_ndtr

from napari_diptomo.series import InputError
from napari_diptomo.spectra._exspy import line_table

_SHELLS = ('K', 'L', 'M')
_E_MN = 5.8987
_TAIL_LENGTH = 0.04
#: A shell is excited well when the beam has this many times its energy.
_OVERVOLTAGE = 1.5


@dataclass(frozen=True)
class LineFamily:
    """All lines of one shell of one element.

    Attributes
    ----------
    element : str
        Symbol.
    shell : {'K', 'L', 'M'}
        Of the vacancy.
    energies : tuple of float
        keV.
    weights : tuple of float
        Share of each line in the photons of the family; they sum to one.
    """

    element: str
    shell: str
    energies: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def name(self) -> str:
        """For example ``'Ge_K'``."""
        return f'{self.element}_{self.shell}'

    @property
    def main_energy(self) -> float:
        """Energy of the strongest line, keV."""
        return self.energies[int(np.argmax(self.weights))]

    def share_within(self, low: float, high: float) -> float:
        """Share of the family's photons between two energies, keV."""
        return sum(w for e, w in zip(self.energies, self.weights, strict=True) if low <= e <= high)


@dataclass(frozen=True)
class Detector:
    """What the detector makes of a line.

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
        Share of a line's photons that lose part of their charge: they form an
        exponential tail to lower energies, 4 % of the energy long.
    """

    resolution: float = 130.0
    offset: float = 0.0
    gain: float = 1.0
    bend: float = 0.0
    tail: float = 0.0

    def true_energy(self, energy: np.ndarray) -> np.ndarray:
        """The energy that a place on the axis stands for, keV."""
        return self.offset + self.gain * energy + self.bend * np.exp(-energy)

    def fwhm(self, energy: np.ndarray | float) -> np.ndarray:
        """Width of a line, keV; ``energy`` in keV."""
        squared = self.resolution**2 + 2.5e3 * (np.asarray(energy, float) - _E_MN)
        return np.sqrt(np.maximum(squared, 40.0**2)) * 1e-3

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
        edges = self.true_energy(channel_edges(energy))
        lines = np.asarray(family.energies)
        sigma = self.fwhm(lines) / np.sqrt(8 * np.log(2))
        place = (edges[:, None] - lines) / sigma
        cumulative = 0.5 * (1 + erf(place / np.sqrt(2)))
        if self.tail > 0:
            ratio = sigma / (_TAIL_LENGTH * lines)
            cumulative += self.tail * np.exp(ratio * place + ratio**2 / 2 + log_ndtr(-place - ratio))
        return np.diff(cumulative, axis=0) @ np.asarray(family.weights)


def channel_edges(energy: np.ndarray) -> np.ndarray:
    """Borders of the channels, (energy + 1,), from their centres."""
    middle = (energy[1:] + energy[:-1]) / 2
    return np.concatenate([[2 * energy[0] - middle[0]], middle, [2 * energy[-1] - middle[-1]]])


def families_of(element: str, low: float, high: float, beam_energy: float = 200.0) -> tuple[LineFamily, ...]:
    """Every family of an element with its main line in range and excited by the beam, K first.

    Parameters
    ----------
    element : str
        Symbol.
    low, high : float
        Energy range, keV.
    beam_energy : float
        keV.

    Raises
    ------
    InputError
        No such element.
    """
    families = (_family(element, shell) for shell in _SHELLS)
    return tuple(
        family
        for family in families
        if family is not None and low <= family.main_energy <= high and max(family.energies) < beam_energy
    )


def families_for(
    elements: Sequence[str], low: float, high: float, beam_energy: float = 200.0
) -> tuple[LineFamily, ...]:
    """The family to map of each element: K where it is in range and well excited, else L, else M.

    Parameters
    ----------
    elements : sequence of str
        Symbols (``'Ge'``) or names of families (``'Ge_L'``, ``'Ge_La'``), which are taken as they are.
    low, high : float
        Energy range, keV.
    beam_energy : float
        keV.

    Raises
    ------
    InputError
        No such element, or none of its lines in range.
    """
    return tuple(_best_family(name, low, high, beam_energy) for name in elements)


def _best_family(name: str, low: float, high: float, beam_energy: float) -> LineFamily:
    element, _, line = name.strip().partition('_')
    found = families_of(element, low, high, beam_energy)
    if line:
        if not re.fullmatch(r'[KLM]\w*', line):
            raise InputError(f'{name} is not the name of a line family; write it as Ge_K, Sb_L or Pt_M.')
        found = tuple(family for family in found if family.shell == line[0])
    well = [family for family in found if _OVERVOLTAGE * max(family.energies) < beam_energy]
    if not found:
        raise InputError(
            f'{name} has no X-ray line between {low:.2f} and {high:.2f} keV that a beam of {beam_energy:g} keV '
            'excites; leave it out or widen the energy range.'
        )
    return well[0] if well else found[-1]


def _family(element: str, shell: str) -> LineFamily | None:
    if element not in line_table():
        raise InputError(f'There is no element {element!r}; write its symbol, e.g. Ge.')
    lines = {name: line for name, line in line_table()[element].items() if name.startswith(shell)}
    total = sum(weight for _, weight in lines.values())
    if not total > 0:
        return None
    return LineFamily(
        element,
        shell,
        tuple(float(energy) for energy, _ in lines.values()),
        tuple(float(weight / total) for _, weight in lines.values()),
    )
