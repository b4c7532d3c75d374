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
_LATIN = {'\N{GREEK SMALL LETTER ALPHA}': 'a', '\N{GREEK SMALL LETTER BETA}': 'b', '\N{GREEK SMALL LETTER GAMMA}': 'g'}
#: Words behind a shell that mean all of its lines.
_WHOLE = {'series', 'family', 'lines'}
#: Lines that the tables of eXSpy hold as one, and the weaker part of each.
_DOUBLETS = {'Ka': ('Ka', 'Ka2'), 'La': ('La', 'La2'), 'Lg3': ('Lg3', 'Lg2')}
_HIDDEN = ('Ka2', 'La2', 'Lg2')
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
    lines : tuple of str
        Name of each line within the element, e.g. ``'Ka'``; empty where they have none.
    """

    element: str
    shell: str
    energies: tuple[float, ...]
    weights: tuple[float, ...]
    lines: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For example ``'Ge_K'``."""
        return f'{self.element}_{self.shell}'

    @property
    def main_energy(self) -> float:
        """Energy of the strongest line, keV."""
        return self.energies[int(np.argmax(self.weights))]

    def share(self, line: str) -> float:
        """Share of a line in the photons of the family, unresolved doublets as one line.

        Parameters
        ----------
        line : str
            Within the element, e.g. ``'Ka'``, ``'Lb1'``. The alpha line is the doublet of alpha 1 and alpha 2, which
            no EDX detector resolves, as in the tables of eXSpy and of vendors.

        Returns
        -------
        float
            0 to 1; 0 where the family has no such line.
        """
        parts = _DOUBLETS.get(line, (line,))
        return float(sum(w for name, w in zip(self.lines, self.weights, strict=False) if name in parts))


def spoken_name(name: str) -> str:
    """The name of a family or line as sentences have it: ``'Ge-K'`` of ``'Ge_K'``, ``'Ge-Ka'`` of ``'Ge_Ka'``."""
    return name.replace('_', '-')


def split_name(name: str) -> tuple[str, str] | None:
    """Family and line that a name stands for.

    Parameters
    ----------
    name : str
        A family (``'Ge_K'``, ``'Ge K series'``) or a line after Siegbahn (``'Ge_Ka'``, ``'GeKa'``, ``'Ge-KA1'``, ``'Ge(K alpha)'``, or
        with Greek letters). Alpha 1 and alpha 1,2 are the alpha line, which is not resolved, and so is beta 1 of a K family the
        beta line.

    Returns
    -------
    family, line : str
        ``('Ge_K', 'Ka')``; the line is empty for a family. None where it is no such name.

    Examples
    --------
    >>> split_name('Ge_K'), split_name('Ge_Ka'), split_name('Pt-LA1'), split_name('Sb Lb2')
    (('Ge_K', ''), ('Ge_K', 'Ka'), ('Pt_L', 'La'), ('Sb_L', 'Lb2'))
    """
    plain = re.sub(r'[()]', ' ', name).strip()
    found = re.fullmatch(r'([A-Z][a-z]?)[_\s-]*([KLM])[\s_-]*(alpha|beta|gamma|series|family|lines|\w?)([\d,]*)', plain)
    if not found:
        return None
    element, shell = found[1], found[2]
    rest = ('' if found[3] in _WHOLE else found[3].lower()[:1]) + found[4]
    rest = _LATIN.get(rest[:1], rest[:1]) + rest[1:]
    if rest in ('a1', 'a1,2', 'a12', 'a1,'):
        rest = 'a'
    if shell == 'K' and rest in ('b1', 'b1,3', 'b13'):
        rest = 'b'
    return f'{element}_{shell}', f'{shell}{rest}' if rest else ''


def table_family(name: str) -> LineFamily:
    """A family as the tables have it, wherever its lines are.

    Parameters
    ----------
    name : str
        For example ``'Ge_K'``.

    Raises
    ------
    InputError
        No such element, or it has no such family.
    """
    element, _, shell = name.partition('_')
    family = _family(element, shell) if shell in _SHELLS else None
    if family is None:
        raise InputError(f'{name} is not the name of a line family; write it as Ge_K, Sb_L or Pt_M.')
    return family


def line_share(family: str, line: str) -> float:
    """Share of a line in its family by the tables.

    Parameters
    ----------
    family, line : str
        As `split_name` returns them; an empty line stands for the whole family.

    Returns
    -------
    float
        1 for the whole family.

    Raises
    ------
    InputError
        No such family, or it has no such line.
    """
    known = table_family(family)
    share = known.share(line) if line else 1.0
    if not share > 0:
        element = known.element
        names = ', '.join(f'{element}_{name}' for name in known.lines if name not in _HIDDEN)
        raise InputError(f'There is no line {element}_{line}; the family {family} has {names}.')
    return share


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
        tuple(lines),
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
