"""White lines and continuum of iron oxides, M2,3 and L2,3, for the simulator only.

Per iron atom an edge of an oxide is

    e(E) = 0.4 n W(E) + c C(E)

with n the 3d holes per iron atom (FeO 4, Fe3O4 14/3: the sum rule), W white
lines of unit area and C the smooth continuum behind them, the same for every
iron atom. W is a sum of Voigt profiles whose positions, weights and widths
were fitted to full multiplet calculations (3p6 3d^n -> 3p5 3d^(n+1) and 2p
likewise, cubic field, Slater integrals of 3p-3d at 0.6 of the free ion's) of
Fe2+ in an octahedron and Fe3+ in an octahedron and a tetrahedron; FeO is the
first, Fe3O4 one third of each. Near the maxima of M2,3, 52.7-57 eV, this
agrees with van Aken et al., Am. Mineral. 84 (1999).

No calculation is right to better than some tenths of an eV. `ShapeVariation`
therefore stretches the multiplet, moves one oxide against the other and
broadens both, differently for every seed: a fit that has learnt one set of
shapes by heart fails here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.special import voigt_profile

Edge = Literal['M', 'L']

#: Peaks of each species: energy / eV, share of the area, Lorentzian FWHM / eV.
_PEAKS: dict[Edge, dict[str, tuple[tuple[float, float, float], ...]]] = {
    'M': {
        'Fe2+ Oh': (
            (52.23, 0.071, 1.70),
            (53.93, 0.145, 1.26),
            (54.79, 0.142, 1.51),
            (56.84, 0.426, 2.39),
            (58.00, 0.216, 2.62),
        ),
        'Fe3+ Oh': ((52.52, 0.032, 0.71), (54.29, 0.025, 1.72), (56.59, 0.225, 2.22), (57.16, 0.718, 2.53)),
        'Fe3+ Td': ((52.25, 0.003, 0.30), (53.98, 0.019, 1.50), (56.77, 0.396, 2.28), (57.22, 0.581, 2.47)),
    },
    'L': {
        'Fe2+ Oh': (
            (706.02, 0.072, 0.60),
            (707.81, 0.476, 1.10),
            (709.20, 0.135, 0.60),
            (710.97, 0.081, 1.36),
            (719.64, 0.060, 1.59),
            (720.86, 0.121, 1.56),
            (722.89, 0.055, 2.21),
        ),
        'Fe3+ Oh': (
            (707.63, 0.084, 0.49),
            (709.50, 0.460, 0.76),
            (710.84, 0.141, 1.08),
            (713.59, 0.066, 1.73),
            (716.30, 0.003, 0.36),
            (721.37, 0.080, 1.87),
            (723.53, 0.166, 2.09),
        ),
        'Fe3+ Td': (
            (708.16, 0.013, 0.87),
            (709.48, 0.517, 0.72),
            (710.94, 0.152, 0.62),
            (713.83, 0.072, 1.23),
            (716.58, 0.005, 0.50),
            (721.89, 0.096, 1.60),
            (723.83, 0.145, 1.56),
        ),
    },
}
#: Species of each oxide and their shares of its iron.
_SPECIES = {
    'FeO': {'Fe2+ Oh': 1.0},
    'Fe3O4': {'Fe2+ Oh': 1 / 3, 'Fe3+ Oh': 1 / 3, 'Fe3+ Td': 1 / 3},
}
#: 3d holes per iron atom of each species, and the area of an edge per hole.
_HOLES = {'Fe2+ Oh': 4.0, 'Fe3+ Oh': 5.0, 'Fe3+ Td': 5.0}
_AREA_PER_HOLE = 0.4
#: Maxima that stay in place when the multiplet is stretched, by edge and species; L3 and L2 each have one.
_ANCHORS: dict[Edge, dict[str, tuple[float, ...]]] = {
    'M': {'Fe2+ Oh': (57.0,), 'Fe3+ Oh': (57.0,), 'Fe3+ Td': (57.0,)},
    'L': {'Fe2+ Oh': (707.8, 720.7), 'Fe3+ Oh': (709.5, 723.2), 'Fe3+ Td': (709.5, 723.7)},
}
#: Steps of the continuum (energy / eV, share), its height per iron atom and eV, its decay E^-r.
_CONTINUUM: dict[Edge, tuple[tuple[tuple[float, float], ...], float, float]] = {
    'M': (((58.0, 1.0),), 0.020, 2.0),
    'L': (((711.5, 2 / 3), (724.5, 1 / 3)), 0.045, 3.0),
}
#: Slater integrals of the calculation, relative to the free ion.
_CALCULATED_SCALE = 0.6
#: Iron atoms per nm^3.
IRON_DENSITY: Mapping[str, float] = {'FeO': 48.2, 'Fe3O4': 40.4}
OXIDES = tuple(_SPECIES)
#: Where the counts of an edge are counted, eV.
WINDOWS: Mapping[Edge, tuple[float, float]] = {'M': (47.0, 62.0), 'L': (704.0, 729.0)}


@dataclass(frozen=True)
class ShapeVariation:
    """How the shapes of one simulated experiment differ from the calculated ones.

    Attributes
    ----------
    scale : float
        Slater integrals 3p-3d relative to the free ion's; 0.6 is the
        calculation, 0.8 puts the pre-peaks of M2,3 at -3.5 (Fe2+) and -5.8 eV (Fe3+).
    shift : mapping of str to float
        eV by which the edges of an oxide are moved.
    lorentzian : float
        Factor on the natural widths.
    gaussian : float
        Gaussian FWHM in the specimen itself, eV; the zero loss comes on top of it.
    """

    scale: float = _CALCULATED_SCALE
    shift: Mapping[str, float] = field(default_factory=dict)
    lorentzian: float = 1.0
    gaussian: float = 0.2

    @classmethod
    def random(cls, rng: np.random.Generator) -> ShapeVariation:
        """One of the possible experiments: scale 0.55-0.75, shifts within 0.25 eV, widths within 20 %."""
        return cls(
            scale=float(rng.uniform(0.55, 0.75)),
            shift={oxide: float(rng.uniform(-0.25, 0.25)) for oxide in OXIDES},
            lorentzian=float(rng.uniform(0.9, 1.2)),
            gaussian=float(rng.uniform(0.1, 0.5)),
        )


def white_lines(
    energy: np.ndarray, oxide: str, edge: Edge, variation: ShapeVariation | None = None, gaussian: float | None = None
) -> np.ndarray:
    """White lines per iron atom, (energy,), per eV; their area is 0.4 per 3d hole.

    Parameters
    ----------
    energy : ndarray (energy,)
        eV.
    oxide : {'FeO', 'Fe3O4'}
        Which.
    edge : {'M', 'L'}
        M2,3 or L2,3.
    variation : ShapeVariation, optional
        The calculated shapes where not given.
    gaussian : float, optional
        Gaussian FWHM in eV in place of the variation's own.
    """
    variation = variation or ShapeVariation()
    sigma = max(variation.gaussian if gaussian is None else gaussian, 1e-3) / np.sqrt(8 * np.log(2))
    stretch = variation.scale / _CALCULATED_SCALE
    if edge == 'L':
        # 2p-3d integrals are screened less, and with them the L2,3 multiplet is known better.
        stretch = 1 + 0.3 * (stretch - 1)
    lines = np.zeros(len(energy))
    for species, share in _SPECIES[oxide].items():
        anchors = np.array(_ANCHORS[edge][species])
        area = share * _HOLES[species] * _AREA_PER_HOLE
        weights = sum(weight for _, weight, _ in _PEAKS[edge][species])
        for position, weight, width in _PEAKS[edge][species]:
            anchor = anchors[np.abs(anchors - position).argmin()]
            centre = anchor + stretch * (position - anchor) + variation.shift.get(oxide, 0.0)
            half_width = width * variation.lorentzian / 2
            lines += area * weight / weights * voigt_profile(energy - centre, sigma, half_width)
    return lines


def edge_shape(energy: np.ndarray, oxide: str, edge: Edge, variation: ShapeVariation | None = None) -> np.ndarray:
    """White lines and continuum per iron atom before the zero loss broadens them, (energy,), per eV.

    Parameters
    ----------
    energy : ndarray (energy,)
        eV.
    oxide : {'FeO', 'Fe3O4'}
        Which.
    edge : {'M', 'L'}
        M2,3 or L2,3.
    variation : ShapeVariation, optional
        The calculated shapes where not given.
    """
    variation = variation or ShapeVariation()
    steps, height, decay = _CONTINUUM[edge]
    moved = energy - variation.shift.get(oxide, 0.0)
    continuum = np.zeros(len(energy))
    for onset, share in steps:
        # A logistic step dies out in front of the edge, where an arctangent would add counts to the background.
        continuum += share * 0.5 * (1 + np.tanh((moved - onset) / 2.0))
    continuum *= height * (np.maximum(moved, 1.0) / steps[0][0]) ** -decay
    return white_lines(energy, oxide, edge, variation) + continuum


def counts_per_iron(oxide: str, edge: Edge = 'M', variation: ShapeVariation | None = None) -> float:
    """Counts of an edge in its window per iron atom, in the units of the sum rule."""
    low, high = WINDOWS[edge]
    energy = np.arange(low, high, 0.05) + 0.025
    return float(edge_shape(energy, oxide, edge, variation).sum() * 0.05)
