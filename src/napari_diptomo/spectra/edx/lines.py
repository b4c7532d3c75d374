"""Families of X-ray lines, and which family of an element is mapped.

A family is all lines of one shell of one element: their relative weights are
fixed by atomic physics, so a family is one unknown in a fit. Lines, weights:
eXSpy's tables, completed by `fine_lines`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.exspy_adapter import atomic_numbers, line_table
from napari_diptomo.spectra.edx.detector import Detector, channel_edges
from napari_diptomo.spectra.edx.fine_lines import with_fine_lines

__all__ = ['Detector', 'LineFamily', 'channel_edges', 'families_for', 'families_of']

_SHELLS = ('K', 'L', 'M')
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
    lines = with_fine_lines(lines, atomic_numbers()[element])
    total = sum(weight for _, weight in lines.values())
    if not total > 0:
        return None
    return LineFamily(
        element,
        shell,
        tuple(float(energy) for energy, _ in lines.values()),
        tuple(float(weight / total) for _, weight in lines.values()),
    )
