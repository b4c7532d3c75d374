"""X-rays that a simulated specimen emits: lines, yields and absorption of the elements, and counts from a dose.

The tables are the simulator's own: a fit that is tested on its spectra
brings its own tables.

Line energies are those of the X-ray Data Booklet (Kortright and Thompson).
Yields are emission cross sections at 200 kV, relative to the L family of Sb:
those of Ge, Sb and Te follow the counts expected of Ge2Sb2Te5; the others are
ionisation cross sections of Bethe's form (b 0.9 and c 0.65 for K, 0.7 and 0.9
for L, relativistic) times the fluorescence yields of Krause (1979), good to
some 15 %; that of Pt-M is a guess.

A film of thickness t with N atoms per volume emits into a detector, for D
electrons per area on a pixel of edge a,

    n = D a^2 * N t * sigma * (Omega / 4 pi) * efficiency

photons of a family with emission cross section sigma. A dose "of 2e5 e-/A^2"
may be meant for every tilt or for the whole series: the counts differ by the
number of tilts, the two readings are both simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError

#: Emission cross section of the L family of Sb at 200 kV, cm^2 per atom.
SB_L_CROSS_SECTION = 1.93e-22
#: Atoms per nm^3 of Ge2Sb2Te5 (5.87 g/cm^3), the unit of density of `GST_PHASES`.
GST_ATOMS_PER_NM3 = 31.0

#: Lines of each family: energy in keV and relative weight.
LINES: dict[str, tuple[tuple[float, float], ...]] = {
    'C_K': ((0.2774, 1.0),),
    'N_K': ((0.3924, 1.0),),
    'O_K': ((0.5249, 1.0),),
    'Mg_K': ((1.2536, 1.0), (1.3022, 0.01)),
    'Al_K': ((1.4866, 1.0), (1.5574, 0.0132)),
    'Si_K': ((1.7397, 1.0), (1.8389, 0.0278)),
    'S_K': ((2.3075, 1.0), (2.4640, 0.0650)),
    'Ti_K': ((4.5089, 1.0), (4.9318, 0.1170)),
    'Ti_L': ((0.4522, 1.0), (0.4584, 0.25), (0.3953, 0.40)),
    'Mn_K': ((5.8951, 1.0), (6.4904, 0.1252)),
    'Mn_L': ((0.6374, 1.0), (0.6488, 0.15), (0.5563, 0.30)),
    'Fe_K': ((6.4038, 1.0), (6.3908, 0.50), (7.0580, 0.19)),
    'Fe_L': ((0.7045, 1.0), (0.6282, 0.1253), (0.6152, 0.3086), (0.7921, 0.0245)),
    'Co_K': ((6.9254, 1.0), (7.6494, 0.1277)),
    'Co_L': ((0.7762, 1.0), (0.7914, 0.12), (0.6778, 0.21)),
    'Ni_K': ((7.4724, 1.0), (8.2647, 0.1277)),
    'Ni_L': ((0.8515, 1.0), (0.8688, 0.10), (0.7427, 0.14)),
    'Cu_K': ((8.0478, 1.0), (8.0278, 0.51), (8.9053, 0.199)),
    'Cu_L': ((0.9295, 1.0), (0.9494, 0.0320), (0.8312, 0.0198), (0.8113, 0.0840), (1.0225, 0.0011)),
    'Ga_K': ((9.2430, 1.0), (10.2642, 0.1313)),
    'Ga_L': ((1.0979, 1.0), (1.1248, 0.17), (0.9572, 0.06)),
    'Ge_K': ((9.8864, 1.0), (9.8553, 0.51), (10.9823, 0.1996)),
    'Ge_L': ((1.1880, 1.0), (1.2191, 0.1670), (1.0678, 0.02), (1.0367, 0.0511), (1.2935, 0.0443)),
    'Sr_K': ((14.1408, 1.0), (15.8357, 0.1360)),
    'Sr_L': ((1.8066, 1.0), (1.8717, 0.38), (1.5824, 0.04)),
    'Sb_L': (
        (3.6047, 0.9),
        (3.5953, 0.1),
        (3.8435, 0.4276),
        (4.1008, 0.1556),
        (3.8864, 0.0932),
        (3.4367, 0.0155),
        (3.1885, 0.0419),
        (3.9327, 0.1510),
        (4.5999, 0.0321),
        (4.3490, 0.0606),
    ),
    'Te_L': (
        (3.7693, 0.9),
        (3.7588, 0.1),
        (4.0295, 0.4318),
        (4.3016, 0.1627),
        (4.0695, 0.0906),
        (3.6060, 0.0154),
        (3.3354, 0.0419),
        (4.1205, 0.1458),
        (4.8290, 0.0317),
        (4.5722, 0.0638),
    ),
    'Ba_L': (
        (4.4663, 1.0),
        (4.8275, 0.4320),
        (5.1565, 0.1988),
        (4.9266, 0.1360),
        (4.8519, 0.0850),
        (5.5311, 0.0760),
        (5.8091, 0.0330),
        (3.9541, 0.0430),
        (4.3309, 0.0150),
    ),
    'Pt_L': (
        (9.4423, 1.0),
        (9.3618, 0.11),
        (11.0707, 0.4060),
        (11.2505, 0.2440),
        (11.2308, 0.10),
        (12.9420, 0.08),
        (8.2680, 0.055),
    ),
    'Pt_M': ((2.0505, 1.0), (2.1273, 0.5944), (2.3321, 0.0858), (1.6021, 0.0130)),
}


@dataclass(frozen=True)
class Element:
    """An element of the simulator.

    Attributes
    ----------
    number : int
        Atomic number.
    weight : float
        g/mol.
    families : dict of str to float
        Counts per atom relative to the L family of Sb; the first family is the
        one that is mapped.
    """

    number: int
    weight: float
    families: dict[str, float]

    @property
    def mapped(self) -> str:
        """Name of the mapped family."""
        return next(iter(self.families))


ELEMENTS: dict[str, Element] = {
    'C': Element(6, 12.011, {'C_K': 0.25}),
    'N': Element(7, 14.007, {'N_K': 0.31}),
    'O': Element(8, 15.999, {'O_K': 0.35}),
    'Mg': Element(12, 24.305, {'Mg_K': 0.44}),
    'Al': Element(13, 26.982, {'Al_K': 0.455}),
    'Si': Element(14, 28.086, {'Si_K': 0.45}),
    'S': Element(16, 32.06, {'S_K': 0.51}),
    'Ti': Element(22, 47.867, {'Ti_K': 0.56, 'Ti_L': 0.29}),
    'Mn': Element(25, 54.938, {'Mn_K': 0.56, 'Mn_L': 0.64}),
    'Fe': Element(26, 55.845, {'Fe_K': 0.55, 'Fe_L': 0.71}),
    'Co': Element(27, 58.933, {'Co_K': 0.54, 'Co_L': 0.78}),
    'Ni': Element(28, 58.693, {'Ni_K': 0.53, 'Ni_L': 0.84}),
    'Cu': Element(29, 63.546, {'Cu_K': 0.51, 'Cu_L': 0.89}),
    'Ga': Element(31, 69.723, {'Ga_K': 0.48, 'Ga_L': 0.85}),
    'Ge': Element(32, 72.630, {'Ge_K': 0.42, 'Ge_L': 0.882}),
    'Sr': Element(38, 87.62, {'Sr_L': 0.95, 'Sr_K': 0.34}),
    'Sb': Element(51, 121.76, {'Sb_L': 1.0}),
    'Te': Element(52, 127.60, {'Te_L': 0.87}),
    'Ba': Element(56, 137.327, {'Ba_L': 1.0}),
    'Pt': Element(78, 195.084, {'Pt_L': 0.99, 'Pt_M': 1.4}),
}

#: Mass absorption of Ge2Sb2Te5: energy in keV, cm^2/g.
_ABSORPTION = np.array(
    [(0.20, 12000.0), (0.5249, 3670.0), (1.0, 7200.0), (1.1880, 5065.0), (3.605, 416.0), (3.769, 369.0), (9.886, 132.0)]
)


def mass_absorption(energy: float) -> float:
    """Of Ge2Sb2Te5 in cm^2/g, between tabulated energies (keV) by straight lines in the logarithms.

    It stands for whatever the phantom is made of: soft lines lose, hard ones do not.
    """
    return float(np.exp(np.interp(np.log(energy), np.log(_ABSORPTION[:, 0]), np.log(_ABSORPTION[:, 1]))))


def line_energy(family: str) -> float:
    """Energy of the strongest line of a family, keV."""
    return LINES[family][0][0]


#: Four detectors of a Super-X together, sr; the share of photons behind a window that is counted.
SOLID_ANGLE, EFFICIENCY = 0.7, 0.9
_AVOGADRO = 6.02214e23


def counts_from_dose(
    composition: Mapping[str, float],
    *,
    density: float,
    thickness: float,
    dose: float,
    pixel_size: float,
    tilts: int = 1,
    solid_angle: float = SOLID_ANGLE,
    efficiency: float = EFFICIENCY,
) -> dict[str, float]:
    """Expected counts of every family, per pixel and tilt, of a film at 200 kV.

    Parameters
    ----------
    composition : mapping of str to float
        Atoms of each element, in any unit: ``{'Ge': 2, 'Sb': 2, 'Te': 5}``.
    density : float
        g/cm^3.
    thickness : float
        nm, along the beam.
    dose : float
        e-/A^2.
    pixel_size : float
        nm.
    tilts : int
        Number of tilts over which the dose is spread; 1 where it is the dose of one tilt.
    solid_angle : float
        sr.
    efficiency : float
        Counted share of the photons that reach the detector.

    Returns
    -------
    dict of str to float
        By family, e.g. ``'Ge_K'``; absorption in the film is not counted in.

    Raises
    ------
    InputError
        An element that the simulator does not know.
    """
    known(composition)
    weight = sum(atoms * ELEMENTS[name].weight for name, atoms in composition.items())
    areal = density * thickness * 1e-7 * _AVOGADRO / weight
    per_atom = counts_per_areal_atom(dose / tilts, pixel_size, solid_angle, efficiency)
    return {
        family: atoms * areal * per_atom * relative
        for name, atoms in composition.items()
        for family, relative in ELEMENTS[name].families.items()
    }


def counts_per_areal_atom(
    dose: float, pixel_size: float, solid_angle: float = SOLID_ANGLE, efficiency: float = EFFICIENCY
) -> float:
    """Counts of a pixel (edge in nm) per atom/cm^2, for a family that emits as Sb-L, at a dose in e-/A^2."""
    electrons = dose * (10 * pixel_size) ** 2
    return electrons * SB_L_CROSS_SECTION * solid_angle / (4 * np.pi) * efficiency


def transmission(energy: float, mass_thickness: np.ndarray, take_off: float) -> np.ndarray:
    """Share of the photons of one energy that leaves the specimen.

    As if all were made half way through it: exp(-mu/rho * (rho t / 2) / sin(take-off)).

    Parameters
    ----------
    energy : float
        keV.
    mass_thickness : ndarray
        Along the beam, g/cm^2; in a tilted film the 1/cos is in it already.
    take_off : float
        Degrees.
    """
    return np.exp(-mass_absorption(energy) * mass_thickness / 2 / np.sin(np.deg2rad(take_off)))


def mass_per_area(atoms: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """g/cm^2 of areal densities in atoms/nm^2, (channel, ...) to (...)."""
    weights = np.array([ELEMENTS[name].weight for name in names])
    return np.tensordot(weights, atoms, axes=1) * 1e14 / _AVOGADRO


def true_k_factors(channels: tuple[str, ...]) -> tuple[float, ...]:
    """k-factors by mass of the mapped families as the simulator counts them, relative to the first channel.

    Parameters
    ----------
    channels : tuple of str
        Elements.

    Returns
    -------
    tuple of float
        One for each channel, 1 for the first.

    Raises
    ------
    InputError
        An element that the simulator does not have.
    """
    known(channels)
    entries = [ELEMENTS[name] for name in channels]
    factors = [entry.weight / entry.families[entry.mapped] for entry in entries]
    return tuple(factor / factors[0] for factor in factors)


def known(names: Mapping[str, float] | tuple[str, ...]) -> None:
    """Refuse elements without an entry in the simulator's tables."""
    unknown = [name for name in names if name not in ELEMENTS]
    if unknown:
        raise InputError(f'The simulator has no lines of {unknown[0]}; it knows {", ".join(ELEMENTS)}.')
