r"""Density of voxels by zeta-factors, and the density that the elements of a specimen make expect.

With D electrons per pixel and voxels of edge d the counts I_c of the channels give

    rho = sum_c zeta_c I_c / (D d)

(Watanabe and Williams, J. Microsc. 221 (2006) 89).

Where no density is known it is estimated: volumes of pure elements add up, 1 / rho = sum_c w_c / rho_c, and in compounds
with elements that are gases by themselves (oxides, nitrides) every atom takes 0.010 nm^3, which holds within 25 % for MgO,
Al2O3, SiO2, FeO, Fe3O4, TiO2, CuO, GaN and Si3N4.

Formulas: density by zeta-factors (`densities`); density of a mixture of elements (`estimated_density`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights, element_densities
from napari_diptomo.spectra.edx.k_factors import AVOGADRO

#: g/cm^3; an element below it is a gas.
_GAS = 0.1
#: Atoms of gases from which on a specimen counts as a compound of them; volume of an atom in these, cm^3.
_COMPOUND, _ATOM_VOLUME = 0.1, 0.010e-21
_UNKNOWN = 5.0
_ELEMENTARY_CHARGE = 1.602176634e-19  # C


@dataclass(frozen=True)
class Dose:
    """Electrons that the counts were made with.

    Attributes
    ----------
    electrons : float, optional
        Per pixel and tilt; None: from current and live time.
    beam_current : float, optional
        nA.
    live_time : float, optional
        Per pixel and tilt, s.
    """

    electrons: float | None = None
    beam_current: float | None = None
    live_time: float | None = None

    def per_pixel(self) -> float:
        """Electrons per pixel and tilt.

        Raises
        ------
        InputError
            Neither they nor current and live time are given.
        """
        if self.electrons is not None:
            return self.electrons
        if self.beam_current is None or self.live_time is None:
            raise InputError('The method zeta needs the dose; give electrons per pixel, or beam current and live time.')
        return self.beam_current * 1e-9 * self.live_time / _ELEMENTARY_CHARGE


def columns(values: np.ndarray) -> np.ndarray:
    """One value per channel, shaped to multiply (channel, z, y, x)."""
    return np.asarray(values, float)[:, None, None, None]


def densities(
    zeta: np.ndarray, dose: Dose, voxel_size: float, counts: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Density of every voxel and its error.

    Parameters
    ----------
    zeta : ndarray (channel,)
        kg/m^2.
    dose : Dose
    voxel_size : float
        nm.
    counts, errors : ndarray (channel, z, y, x)
        Per tilt, as emitted.

    Returns
    -------
    density, error : ndarray (z, y, x)
        g/cm^3.

    Examples
    --------
    A zeta-factor of 1000 kg/m^2, 1e9 electrons, voxels of 2 nm and 10 counts:

    >>> counts = np.full((1, 1, 1, 1), 10.0)
    >>> density, _ = densities(np.array([1000.0]), Dose(electrons=1e9), 2.0, counts, 0 * counts)
    >>> print(f'{density.item():.1f} g/cm^3')
    5.0 g/cm^3
    """
    scale = columns(zeta / (dose.per_pixel() * voxel_size * 1e-9) * 1e-3)
    return (scale * counts).sum(axis=0), np.sqrt(((scale * errors) ** 2).sum(axis=0))


def estimated_density(masses: Mapping[str, float]) -> float:
    """Density that the elements of a specimen without pores make expect; see the module.

    Parameters
    ----------
    masses : mapping of str to float
        By element, in any unit, not negative.

    Returns
    -------
    float
        g/cm^3; 5 where nothing is known.

    Examples
    --------
    Magnesia has 3.58 g/cm^3, and Al50Ni50 as a mixture of the metals 5.2:

    >>> round(estimated_density({'Mg': 24.3, 'O': 16.0}), 2)
    3.35
    >>> round(estimated_density({'Al': 26.98, 'Ni': 58.69}), 1)
    5.2
    """
    weights, pure = atomic_weights(), element_densities()
    known = {element: mass for element, mass in masses.items() if mass > 0 and element in weights}
    if not known:
        return _UNKNOWN
    total = sum(known.values())
    atoms = {element: mass / weights[element] for element, mass in known.items()}
    gases = sum(n for element, n in atoms.items() if pure.get(element, 0.0) < _GAS)
    if gases > _COMPOUND * sum(atoms.values()):
        return total / (sum(atoms.values()) * AVOGADRO * _ATOM_VOLUME)
    return total / sum(mass / pure[element] for element, mass in known.items() if pure.get(element, 0.0) >= _GAS)
