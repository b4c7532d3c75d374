r"""Families of X-ray lines, and which family of an element is mapped.

A family is all lines of one shell of one element: their relative weights are
fixed by atomic physics, so a family is one unknown in a fit. Lines and weights are
those of eXSpy's tables, completed by what these leave out and a spectrum of many
counts shows:

*Doublets.* Spin-orbit coupling splits a shell (n, l) by Sommerfeld's

    dE = Ry alpha^2 (Z - s)^4 / (n^3 l (l + 1)),

for n = 2 times 1 + 5/8 alpha^2 (Z - s)^2; s is the screening, 3.5 for 2p, 13
for 3d, 15 for 4p. So Ka2, La2 and Lg2 lie that far below Ka1, La1 and Lg3. Of
the photons of Ka a third belong to Ka2, of those of La a tenth to La2.

*Lines from the outermost shells* of heavy elements, Lb5 and Lg6, end at the
edges of L3 and L2: above Lb2 and Lg1 by the binding energy of 4d.

Their strengths are those of Pt; `detector_calibration.refine_weights` corrects them
where the spectrum determines them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.exspy_adapter import atomic_numbers, line_table

_Lines = dict[str, tuple[float, float]]

_RYDBERG, _ALPHA = 13.6057e-3, 1 / 137.036

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


def spoken_name(name: str) -> str:
    """The name of a family as sentences have it: ``'Ge-K'`` of ``'Ge_K'``."""
    return name.replace('_', '-')


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

    Returns
    -------
    tuple of LineFamily
        None to three of K, L, M.

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

    Returns
    -------
    tuple of LineFamily
        One for each element, in their order.

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


def splitting(number: int, n: int, orbital: int, screening: float) -> float:
    """Spin-orbit splitting of a shell, keV."""
    charge = number - screening
    energy = _RYDBERG * _ALPHA**2 * charge**4 / (n**3 * orbital * (orbital + 1))
    return energy * (1 + 0.625 * (_ALPHA * charge) ** 2) if n == 2 else energy


def with_fine_lines(lines: _Lines, number: int) -> _Lines:
    """The lines of one family, energy in keV and weight by name, with those that the table leaves out.

    Parameters
    ----------
    lines : dict of str to (float, float)
        From eXSpy.
    number : int
        Atomic number.
    """
    lines = dict(lines)
    if 'Ka' in lines and number >= 20:
        _split(lines, 'Ka', 'Ka2', 1 / 3, splitting(number, 2, 1, 3.5))
    if 'La' in lines and number >= 40:
        _split(lines, 'La', 'La2', 0.1, splitting(number, 3, 2, 13.0))
    if 'Lg3' in lines and number >= 40:
        _split(lines, 'Lg3', 'Lg2', 0.4, splitting(number, 4, 1, 15.0))
    if number >= 72 and {'La', 'Lb2', 'Lb1', 'Lg1'} <= set(lines):
        bound = 0.243 + 0.0144 * (number - 74) + 0.00084 * (number - 74) ** 2
        lines['Lb5'] = (lines['Lb2'][0] + bound, 0.03 * lines['La'][1])
        lines['Lg6'] = (lines['Lg1'][0] + bound, 0.04 * lines['Lb1'][1])
    return lines


def _split(lines: _Lines, strong: str, weak: str, share: float, distance: float) -> None:
    energy, weight = lines[strong]
    lines[strong] = (energy, (1 - share) * weight)
    lines[weak] = (energy - distance, share * weight)
