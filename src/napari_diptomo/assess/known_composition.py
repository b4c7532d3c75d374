"""A composition that a user writes down: a formula, or percent by atoms or by mass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights

_PART = re.compile(r'([A-Z][a-z]?)[\s:=]*(\d+(?:\.\d*)?|\.\d+)?[\s,;%]*')
_UNIT = re.compile(r'[\s,;]*\(?(at|wt|mol)\.?[\s-]*(?:%|percent)\)?\s*$', re.IGNORECASE)


@dataclass(frozen=True)
class KnownComposition:
    """Fractions of the elements of a specimen.

    Attributes
    ----------
    masses : mapping of str to float
        Fraction by mass of each element; they sum to one.
    words : str
        As it was given.
    """

    masses: Mapping[str, float]
    words: str

    @classmethod
    def of(cls, composition: str | Mapping[str, float]) -> KnownComposition:
        """Read what a user writes.

        Parameters
        ----------
        composition : str or mapping of str to float
            ``'Ge2Sb2Te5'``, ``'Fe 70, Pt 30'`` in at.%, ``'Fe 70, Pt 30 wt.%'``, or numbers of atoms by element.

        Raises
        ------
        InputError
            It is no composition, or has an element that there is not.

        Examples
        --------
        >>> print(KnownComposition.of('Ge2Sb2Te5'))
        Ge2Sb2Te5 (Ge 22.22, Sb 22.22, Te 55.56 at.%)
        """
        by_mass = False
        if isinstance(composition, str):
            words = ' '.join(composition.split())
            unit = _UNIT.search(words)
            by_mass = unit is not None and unit[1].lower() == 'wt'
            parts = _parts(words[: unit.start()] if unit else words, words)
        else:
            words = ' '.join(f'{name} {value:g}' for name, value in composition.items())
            parts = {str(name): float(value) for name, value in composition.items()}
        known = atomic_weights()
        for name in parts:
            if name not in known:
                raise InputError(
                    f'There is no element {name!r} (in the composition "{words[:60]}"); write its symbol, e.g. Ge.'
                )
        masses = {name: value * (1.0 if by_mass else known[name]) for name, value in parts.items() if value > 0}
        if not masses or any(not 0 <= value < float('inf') for value in parts.values()):
            raise _no_composition(words)
        total = sum(masses.values())
        return cls({name: mass / total for name, mass in masses.items()}, words)

    def __str__(self) -> str:
        known = atomic_weights()
        atoms = {name: mass / known[name] for name, mass in self.masses.items()}
        total = sum(atoms.values())
        return f'{self.words} ({", ".join(f"{name} {100 * n / total:.2f}" for name, n in atoms.items())} at.%)'


def _parts(text: str, words: str) -> dict[str, float]:
    """Numbers by element; an element without one counts once."""
    found: dict[str, float] = {}
    end = 0
    for match in _PART.finditer(text.strip()):
        if match.start() != end:
            raise _no_composition(words)
        end = match.end()
        found[match[1]] = found.get(match[1], 0.0) + (1.0 if match[2] is None else float(match[2]))
    if end != len(text.strip()):
        raise _no_composition(words)
    return found


def _no_composition(words: str) -> InputError:
    return InputError(
        f'"{words[:60]}" is no composition; write a formula without brackets (Ge2Sb2Te5) or percent (Fe 70, Pt 30 wt.%).'
    )
