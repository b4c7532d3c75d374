"""Elements in the names of files of maps: ``SET_Ge_proj`` is Ge, and of the specimen SET."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Names of images that are no maps.
PICTURES = frozenset({'haadf', 'adf', 'maadf', 'laadf', 'df', 'abf', 'bf'})
#: Those that are darkest where the specimen is thickest.
BRIGHT_FIELD = frozenset({'abf', 'bf'})
_SYMBOLS = (
    'H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb '
    'Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au '
    'Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm'
)
ELEMENTS = frozenset(_SYMBOLS.split())
#: Families and lines behind an element.
_LINE = re.compile(r'[KLM](a|b|alpha|beta|\N{GREEK SMALL LETTER ALPHA}|\N{GREEK SMALL LETTER BETA})?\d?')
_SEPARATORS = re.compile(r'[_\-\s.]+')


@dataclass(frozen=True)
class Labelled:
    """A name taken apart: its element, line or kind of image, and the other parts.

    Attributes
    ----------
    label : str
        Empty where the name has none.
    rest : tuple of str
        The other parts.
    """

    label: str
    rest: tuple[str, ...]


def parts_of(stem: str) -> list[str]:
    """The parts of a name between separators."""
    return [part for part in _SEPARATORS.split(stem) if part]


def element_in(parts: Sequence[str]) -> str | None:
    """A kind of image among the parts of a name, else the last element: pictures are named after specimens too."""
    found = [part for part in parts if part.casefold() in PICTURES] or [part for part in parts if part in ELEMENTS]
    return found[-1] if found else None


def labelled(stems: Sequence[str]) -> list[Labelled]:
    """Each name taken apart, by the part that is an element or a kind of image in all names built alike."""
    rows = [parts_of(stem) for stem in stems]
    alike: dict[int, list[list[str]]] = {}
    for row in rows:
        alike.setdefault(len(row), []).append(row)
    columns = {length: _columns(built) for length, built in alike.items()}
    return [_labelled(row, columns[len(row)]) for row in rows]


def _columns(rows: Sequence[Sequence[str]]) -> set[int]:
    """Where all rows have a label: among several the places where it varies."""
    columns = {i: {row[i] for row in rows} for i in range(len(rows[0]))}
    whole = {i: values for i, values in columns.items() if all(_is_label(value) for value in values)}
    return {i for i, values in whole.items() if len(values) > 1} or set(whole)


def _is_label(part: str) -> bool:
    return part in ELEMENTS or part.casefold() in PICTURES


def _labelled(parts: Sequence[str], columns: set[int]) -> Labelled:
    # K is potassium by itself, and a family of lines behind another element.
    lines = {i for i in range(1, len(parts)) if _LINE.fullmatch(parts[i]) and parts[i - 1] in ELEMENTS}
    found = [i for i, part in enumerate(parts) if _is_label(part) and i not in lines]
    found = [i for i in found if i in columns] or found
    found = [i for i in found if parts[i].casefold() in PICTURES] or found
    if not found:
        return Labelled('', tuple(parts))
    place = found[-1]
    taken = {place} | ({place + 1} & lines)
    return Labelled('_'.join(parts[i] for i in sorted(taken)), tuple(p for i, p in enumerate(parts) if i not in taken))
