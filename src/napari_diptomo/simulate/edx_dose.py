"""From an electron dose to counts: what a tilt series can hold.

A film of thickness t with N atoms per volume emits into a detector, for D
electrons per area on a pixel of edge a,

    n = D a^2 * N t * sigma * (Omega / 4 pi) * efficiency

photons of a family with emission cross section sigma. A dose "of 2e5 e-/A^2"
may be meant for every tilt or for the whole series: the counts differ by the
number of tilts, the two readings are both simulated.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.simulate.edx_tables import ELEMENTS, SB_L_CROSS_SECTION, mass_absorption

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
