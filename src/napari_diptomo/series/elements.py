"""Symbols of the elements in the order of their atomic numbers."""

from __future__ import annotations

import re

_IN_ORDER = (
    'H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo '
    'Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl '
    'Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm'
)
ATOMIC_NUMBERS = {symbol: number for number, symbol in enumerate(_IN_ORDER.split(), start=1)}


def atomic_number(channel: str) -> int | None:
    """Atomic number of the element that a channel is named after, as in ``'Ge'``, ``'Fe_L'``, ``'Fe2+'``; None without one."""
    found = re.match(r'[A-Z][a-z]?(?=$|[^a-z])', channel)
    return ATOMIC_NUMBERS.get(found.group()) if found else None
