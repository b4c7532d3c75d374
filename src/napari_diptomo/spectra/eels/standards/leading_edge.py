r"""White lines of the deep edge: where they lie, what is under them, and how much Fe2+ their leading edge tells.

*Background.* In front of the edge the sum of the iron pixels is a power law
and the far tail of the white lines,

    A E^-r + c (E0 - E)^-2,

because lines with a lifetime are Lorentzian: a power law alone takes their
tail for background and comes out too flat. The exponent is common to all
pixels, the height is every pixel's own (`unmixing`).

*Iron atoms.* The area of white lines goes with the 3d holes (sum rule; FeO 4,
Fe3O4 14/3 per iron atom), so h = 7/6 as many counts come from an iron atom of
Fe3O4. Counted are those of L3, 704-717 eV: behind it the continuum takes part,
and plasmons of L3, more of them where the specimen is thicker.

*Leading edge.* Up to 1.2 eV below its L3 maximum the spectrum of Fe2+ has a
shoulder, that of Fe3+ nothing but the smooth tail of the lines that follow. A
mixture s of which x of the iron atoms are FeO and the others stoichiometric
Fe3O4 is there, in units of one iron atom of FeO,

    [x + (1 - x) h] s(E) = x s_FeO(E) + (1 - x)/3 s_FeO(E - d) + c (E0 - E)^-2,

with h the counts per iron atom of Fe3O4, d a small shift that the
surroundings of Fe2+ may give it, and E0 the maximum of s; s and s_FeO have one
count. It is linear in x and c, and d is tried out. In multiplet calculations with shifts, widths
and Slater integrals drawn at random the share of Fe2+ in pure Fe3O4 comes out
as 0.346 +- 0.004, where the formula says 1/3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.oxides import holes, metal, valence
from napari_diptomo.spectra.common.energy_axis import parabola_offset
from napari_diptomo.spectra.common.exspy_adapter import edge_onsets
from napari_diptomo.spectra.common.power_law import exponent_of_counts

#: The leading edge ends so far below the maximum of L3 of the reduced phase, and the fit begins so far in front of it, eV.
_LEAD_END, _LEAD_WIDTH = 1.2, 6.0
#: Shifts of the Fe2+ of Fe3O4 against that of FeO that are tried, and their spread beforehand, eV.
_SHIFTS, _SHIFT_SPREAD = np.arange(-0.5, 0.501, 0.02), 0.2
#: O-K; what L3 moves by per unit of valence, eV.
_OXYGEN, _PER_VALENCE = 532.0, 1.7


@dataclass(frozen=True)
class DeepEdge:
    """A deep edge by which the phases are told apart.

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
        Share of the reduced ion in the oxidised phase, 1/3 in Fe3O4, where the leading edge is known to tell it; else NaN.
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
    def of(cls, oxides: Sequence[str]) -> DeepEdge:
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
                f'The core loss tells two oxides of one 3d metal apart, not {", ".join(oxides)}; name two, or give a file '
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
        """Whether it is known what the leading edge of L3 tells: calculated for iron alone."""
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
                f'{self.name} is cut off: the core loss ends at {last:.0f} eV and should go on to '
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
        return (energy >= self.window[0]) & (energy < self.window[1])


#: Fe-L2,3 of FeO and Fe3O4.
IRON = DeepEdge()


def power_law(total: np.ndarray, energy: np.ndarray, edge: DeepEdge = IRON) -> tuple[np.ndarray, float]:
    """Background under the deep edge.

    Parameters
    ----------
    total : ndarray (energy,)
        Counts of all iron pixels together.
    energy : ndarray (energy,)
        eV.
    edge : DeepEdge
        The edge.

    Returns
    -------
    shape : ndarray (energy,)
        Mean 1 over the spectrum.
    exponent : float
        r of E^-r.
    """
    before = (energy < edge.onset + 1) & (energy > edge.onset - 60)
    sd = np.sqrt(np.maximum(total[before], 1.0))
    tail = (edge.maxima[1] - energy[before]) ** -2.0
    exponent = exponent_of_counts(energy[before] / edge.onset, total[before], sd, (1.0, 6.0), tail)
    shape = (energy / edge.onset) ** -exponent
    return shape / shape.mean(), exponent


def l3_maximum(shape: np.ndarray, energy: np.ndarray, edge: DeepEdge = IRON) -> float:
    """Energy of the highest channel of L3, refined by a parabola, eV."""
    near = np.flatnonzero((energy > edge.maxima[0] - 4) & (energy < edge.maxima[1] + 4))
    top = int(near[shape[near].argmax()])
    if top in (0, len(energy) - 1):
        return float(energy[top])
    return float(energy[top] + parabola_offset(*shape[top - 1 : top + 2]) * (energy[1] - energy[0]))


@dataclass(frozen=True)
class LeadingEdge:
    """What the leading edge of a mixture tells.

    Attributes
    ----------
    share : float
        Of the metal atoms that belong to the reduced phase.
    shift : float
        Of the reduced ion in the oxidised phase against that in the reduced one, eV.
    """

    share: float
    shift: float


def leading_edge(
    reduced: np.ndarray,
    mixture: np.ndarray,
    deviation: np.ndarray,
    energy: np.ndarray,
    edge: DeepEdge = IRON,
) -> LeadingEdge:
    """How much of a mixture is the reduced phase, from the leading edge of L3.

    Parameters
    ----------
    reduced, mixture : ndarray (energy,)
        Edges with one count in the window.
    deviation : ndarray (energy,)
        Standard deviation of ``mixture``.
    energy : ndarray (energy,)
        eV.
    edge : DeepEdge
        The edge.
    """
    end = l3_maximum(reduced, energy, edge) - _LEAD_END
    lead = (energy > end - _LEAD_WIDTH) & (energy < end)
    tail = (l3_maximum(mixture, energy, edge) - energy[lead]) ** -2.0
    weight = 1 / np.maximum(deviation[lead], 1e-12)
    fits = []
    for shift in _SHIFTS:
        ion = edge.reduced * np.interp(energy[lead] - shift, energy, reduced)
        per_share = reduced[lead] - ion + (edge.per_atom - 1) * mixture[lead]
        target = (edge.per_atom * mixture[lead] - ion) * weight
        columns = np.stack([per_share, tail], axis=1) * weight[:, None]
        solution = np.linalg.lstsq(columns, target, rcond=None)[0]
        misfit = float(np.sum((target - columns @ solution) ** 2)) / edge.per_atom**2 + (shift / _SHIFT_SPREAD) ** 2
        fits.append((misfit, float(solution[0]), float(shift)))
    _, share, shift = min(fits)
    return LeadingEdge(share, shift)
