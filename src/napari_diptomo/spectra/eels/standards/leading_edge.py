r"""White lines of the core-loss edge: the background under them, and how much Fe2+ their leading edge shows.

*Background.* In front of the edge the sum of the iron pixels is a power law
and the far tail of the white lines,

    A E^-r + c (E0 - E)^-2,

because lines with a lifetime are Lorentzian: a power law alone takes their
tail for background and comes out too flat. The exponent is common to all
pixels, the height is every pixel's own (`factorisation`).

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
and Slater integrals chosen at random the share of Fe2+ in pure Fe3O4 comes out
as 0.346 +- 0.004, where the formula says 1/3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.spectra.common.power_law import exponent_of_counts
from napari_diptomo.spectra.eels.metal_edges import IRON, CoreLossEdge, l3_maximum

#: The leading edge ends so far below the maximum of L3 of the reduced phase, and the fit begins so far in front of it, eV.
_LEAD_END, _LEAD_WIDTH = 1.2, 6.0
#: Shifts of the Fe2+ of Fe3O4 against that of FeO that are tried, and their spread beforehand, eV.
_SHIFTS, _SHIFT_SPREAD = np.arange(-0.5, 0.501, 0.02), 0.2
#: L3 maxima of the pure phases lie typically so far apart, and those that lie closer than this are of one ion, eV. It is the oxidised one where
#: the spectrum is higher so far below the maximum, where the reduced one would have its own, than so far above it.
_DISTANCE, _ONE_ION = 1.7, 0.6


def power_law(total: np.ndarray, energy: np.ndarray, edge: CoreLossEdge = IRON) -> tuple[np.ndarray, float]:
    """Background under the core-loss edge.

    Parameters
    ----------
    total : ndarray (energy,)
        Counts of all iron pixels together.
    energy : ndarray (energy,)
        eV.
    edge : CoreLossEdge
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


@dataclass(frozen=True)
class LeadingEdge:
    """Share and shift found at the leading edge of a mixture.

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
    edge: CoreLossEdge = IRON,
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
    edge : CoreLossEdge
        The edge.
    """
    highest = l3_maximum(mixture, energy, edge)
    end = _reduced_maximum(reduced, energy, highest, edge) - _LEAD_END
    lead = (energy > end - _LEAD_WIDTH) & (energy < end)
    tail = (highest - energy[lead]) ** -2.0
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


def _reduced_maximum(reduced: np.ndarray, energy: np.ndarray, highest: float, edge: CoreLossEdge) -> float:
    """Where the reduced ion has its L3, eV: at the maximum of the first mixture, unless that is mostly the oxidised phase itself."""
    maximum = l3_maximum(reduced, energy, edge)
    below, above = np.interp([maximum - _DISTANCE, maximum + _DISTANCE], energy, reduced)
    oxidised = highest - maximum < _ONE_ION and below > above
    return maximum - _DISTANCE if oxidised else maximum
