"""The two edges of a 3d metal, M2,3 in the low loss and L2,3 in the core loss, and their channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.oxides import holes, metal, valence
from napari_diptomo.spectra.common.energy_axis import between, parabola_offset
from napari_diptomo.spectra.common.exspy_adapter import edge_onsets

#: Relative to the maximum of the edge, eV: where it begins, where its counts are counted, what standards are looked for in.
EDGE_ONSET, EDGE_RANGE, STANDARDS_RANGE = -9.0, (-10.0, 5.0), (-23.0, 38.0)
#: O-K; what L3 moves by per unit of valence, eV.
_OXYGEN, _PER_VALENCE = 532.0, 1.7


def low_loss_edge(element: str) -> float:
    """Maximum of the low-loss edge (M2,3) of a 3d metal, eV.

    Raises
    ------
    InputError
        An element without one.
    """
    found = edge_onsets().get(f'{element}_M3')
    if found is None or f'{element}_L3' not in edge_onsets():
        raise InputError(
            f'{element} has no M2,3 and L2,3 edges; oxidation states are mapped of 3d metals, e.g. Fe, Mn, Co.'
        )
    return found


def in_low_loss_edge(element: str, energy: np.ndarray) -> np.ndarray:
    """Channels in which edge counts are counted, (energy,), bool."""
    return between(energy, low_loss_edge_range(element))


def low_loss_edge_range(element: str) -> tuple[float, float]:
    """Where edge counts are counted, eV: 47-62 of iron."""
    edge = low_loss_edge(element)
    return edge + EDGE_RANGE[0], edge + EDGE_RANGE[1]


def low_loss_edge_name(oxides: tuple[str, ...]) -> str:
    """Of the edge of the metal of these oxides, e.g. Fe-M2,3."""
    return f'{metal(oxides[0])}-M2,3'


@dataclass(frozen=True)
class CoreLossEdge:
    """A core-loss edge by which the phases are distinguished.

    Attributes
    ----------
    name : str
        E.g. Fe-L2,3.
    phases : tuple of str
        The reduced phase, the oxidised one.
    maxima : tuple of float
        Where their L3 has its maximum, eV.
    holes : tuple of float
        3d holes per metal atom.
    reduced : float
        Share of the reduced ion in the oxidised phase, 1/3 in Fe3O4, where the leading edge is known to show it; else NaN.
    onset : float
        From here on there is an edge, eV.
    window : tuple of float
        Of L3, where its counts are counted, eV.
    """

    name: str = 'Fe-L2,3'
    phases: tuple[str, str] = ('FeO', 'Fe3O4')
    maxima: tuple[float, float] = (707.8, 709.5)
    holes: tuple[float, float] = (4.0, 14 / 3)
    reduced: float = 1 / 3
    onset: float = 702.0
    window: tuple[float, float] = (704.0, 717.0)

    @classmethod
    def of(cls, oxides: Sequence[str]) -> CoreLossEdge:
        """L2,3 of two oxides of a 3d metal.

        Of FeO and Fe3O4 energies are measured ones; of others L3 of the reduced oxide
        is taken to lie at the tabulated edge and that of the oxidised one 1.7 eV higher per
        unit of valence of its highest ion, which matters for the energy axis alone.

        Parameters
        ----------
        oxides : sequence of str
            Formulas, e.g. MnO, Mn3O4.

        Raises
        ------
        InputError
            Not two oxides of one 3d metal, or an edge that O-K lies on.
        """
        if set(oxides) == set(cls.phases):
            return cls()
        metals = {metal(oxide) for oxide in oxides}
        element = min(metals)
        found = edge_onsets().get(f'{element}_L3')
        if len(oxides) != 2 or len(metals) > 1 or found is None:
            raise InputError(
                f'The core loss distinguishes two oxides of one 3d metal, not {", ".join(oxides)}; name two, or give a file '
                'with their standards.'
            )
        if found - 60 < _OXYGEN < found + 30:
            raise InputError(
                f'{element}-L2,3 at {found:.0f} eV is mixed up with O-K at {_OXYGEN:.0f} eV, so the core loss cannot be read; '
                'give a file with standards.'
            )
        reduced, oxidised = sorted(oxides, key=valence)
        counts = [holes(oxide) for oxide in (reduced, oxidised)]
        if None in counts or valence(reduced) == valence(oxidised):
            raise InputError(
                f'{reduced} and {oxidised} do not differ in valence, or it is not known; name two oxides that do.'
            )
        if not min(counts[0] or 0, counts[1] or 0) > 0:
            raise InputError(
                f'The metal of {reduced} has a full d shell and no white lines, so the core loss cannot count its atoms; name '
                'oxides that have them, or give a file with standards.'
            )
        highest = math.ceil(valence(oxidised)) - valence(reduced)
        return cls(
            f'{element}-L2,3',
            (reduced, oxidised),
            (found, found + _PER_VALENCE * highest),
            (float(counts[0] or 0), float(counts[1] or 0)),
            math.nan,
            found - 6,
            (found - 4, found + 9),
        )

    @property
    def has_leading_edge(self) -> bool:
        """Whether it is known what the leading edge of L3 shows: calculated for iron alone."""
        return math.isfinite(self.reduced)

    def check_range(self, energy: np.ndarray) -> None:
        """Whether the edge and enough in front of it are in the spectrum.

        Raises
        ------
        InputError
            They are not.
        """
        first, last = float(energy[0]), float(energy[-1])
        if last < self.maxima[0] or first > self.maxima[1]:
            raise InputError(
                f'{self.name} at {self.maxima[0]:.0f} eV is not within the core loss, {first:.0f}-{last:.0f} eV; '
                'give the core loss that holds it, or standards that were stored before.'
            )
        if last < self.window[1]:
            raise InputError(
                f'{self.name} is cut off: the core loss ends at {last:.0f} eV and should extend to '
                f'{self.window[1] + 15:.0f} eV; record it further up, or give stored standards.'
            )
        if first > self.onset - 10:
            raise InputError(
                f'There is no background in front of {self.name}: the core loss begins at {first:.0f} eV and should '
                f'begin below {self.onset - 10:.0f} eV; record it from further down, or give stored standards.'
            )

    @property
    def per_atom(self) -> float:
        """Counts of L3 per metal atom of the oxidised phase relative to the reduced one, h."""
        return self.holes[1] / self.holes[0]

    def inside(self, energy: np.ndarray) -> np.ndarray:
        """Channels of the window, (energy,), bool."""
        return between(energy, self.window)


#: Fe-L2,3 of FeO and Fe3O4.
IRON = CoreLossEdge()


def l3_maximum(shape: np.ndarray, energy: np.ndarray, edge: CoreLossEdge = IRON) -> float:
    """Energy of the highest channel of L3, refined by a parabola, eV."""
    near = np.flatnonzero((energy > edge.maxima[0] - 4) & (energy < edge.maxima[1] + 4))
    top = int(near[shape[near].argmax()])
    if top in (0, len(energy) - 1):
        return float(energy[top])
    return float(energy[top] + parabola_offset(*shape[top - 1 : top + 2]) * (energy[1] - energy[0]))
