r"""k-factors and zeta-factors of whole line families, calculated.

An atom hit by one electron per area emits sigma photons of a family,

    sigma = sum over its subshells n of Q_n p_n,

p_n photons of the family per vacancy in n. The ionisation cross section Q_n of
fast electrons is the asymptote of Bethe with the relativistic terms (Inokuti,
Rev. Mod. Phys. 43 (1971) 297, eq. 4.55),

    Q_n = 4 pi a0^2 (R / T) (R s_n / E_n) [ln(c 2 m c^2 b^2 g^2 / E_n) - b^2],

with T = m v^2 / 2, b = v / c, g = 1 / sqrt(1 - b^2), E_n the edge and s_n its
dipole strength in electrons. ``shells.csv`` holds E, s and p, and
``tools/make_shell_table.py`` its sources. c = 1.7 is the one number that is
set: with it the K families agree with the distorted-wave cross sections of
Bote and Salvat, Phys. Rev. A 77 (2008) 042701, as the emtables package tables
them at 200 keV, within 6 % from C to Mo. The L families then agree from -17 to
+13 % from Ti to Bi, but for Sb (-21 %) and Re, which stand out from their
neighbours in those tables; the M families, whose yields and strengths are
known to 30 %, from -27 to +9 % from Nd to Bi.

Of the photons the crystal of the detector stops a share eps that its window
and dead layer let through. Then (Williams and Carter, Transmission Electron
Microscopy, ch. 35; Watanabe and Williams, J. Microsc. 221 (2006) 89)

    k = A / (sigma eps),    zeta = A / (N_A sigma eps Omega / 4 pi).

Vacancies that a deeper shell hands on are left out (some 3 % of an L family).

Formulas: ionisation cross section (`ionisation_cross_section`); calculated k-factors (`k_factors`); calculated
zeta-factors (`zeta_factors`); efficiency of the detector (`efficiency`).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights, mass_absorption
from napari_diptomo.spectra.edx.lines import LineFamily, families_of

DetectorWindow = Literal['windowless', 'polymer', 'beryllium']
#: Relative error of a calculated factor by shell.
CALCULATED_ERROR = {'K': 0.1, 'L': 0.15, 'M': 0.3}

_BOHR, _RYDBERG, _REST = 5.29177e-9, 0.0136057, 510.999  # cm, keV, keV
AVOGADRO = 6.02214076e23
_LOG_FACTOR = 1.7
#: Layers in front of the crystal, g/cm^2 of each element.
_SILICON = {'Si': 2.33 * 100e-7}
_LAYERS: dict[str, dict[str, float]] = {
    'windowless': _SILICON,
    # 340 nm of a polymer, 40 nm of aluminium; its silicon grid shades all lines alike up to some 10 keV.
    'polymer': {**_SILICON, 'C': 1.4 * 340e-7, 'Al': 2.7 * 40e-7},
    'beryllium': {**_SILICON, 'Be': 1.85 * 8e-4},
}
_CRYSTAL = 2.33 * 0.045


@cache
def _subshells() -> dict[str, tuple[tuple[float, float, float], ...]]:
    """Edge in keV, strength, photons per vacancy, of the subshells of ``'Ge_L'`` and all others."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    with files(__package__).joinpath('shells.csv').open(encoding='utf-8') as file:
        for row in csv.DictReader(file):
            values = (float(row['edge_keV']), float(row['strength']), float(row['photons']))
            found.setdefault(f'{row["element"]}_{row["shell"][0]}', []).append(values)
    return {name: tuple(shells) for name, shells in found.items()}


def ionisation_cross_section(edge: float, strength: float, beam_energy: float) -> float:
    """Q of the module's docstring in cm^2; ``edge`` and ``beam_energy`` in keV, ``strength`` in electrons."""
    gamma = 1 + beam_energy / _REST
    beta2 = 1 - gamma**-2
    bracket = np.log(_LOG_FACTOR * 2 * _REST * beta2 * gamma**2 / edge) - beta2
    kinetic = _REST * beta2 / 2
    return float(4 * np.pi * _BOHR**2 * _RYDBERG**2 / (kinetic * edge) * strength * max(bracket, 0.0))


def emission_cross_section(family: str, beam_energy: float = 200.0) -> float:
    """Photons of a family per atom and per electron per cm^2.

    Parameters
    ----------
    family : str
        For example ``'Ge_K'``.
    beam_energy : float
        keV.

    Returns
    -------
    float
        cm^2.

    Raises
    ------
    InputError
        The family is not one that can be calculated.
    """
    _excited_family(family, beam_energy)
    shells = _subshells()[family]
    return sum(p * ionisation_cross_section(edge, s, beam_energy) for edge, s, p in shells if edge < beam_energy)


def efficiency(energy: np.ndarray | float, window: DetectorWindow = 'windowless') -> np.ndarray:
    """Share of photons of ``energy`` (keV) that a silicon drift detector counts, 0 to 1.

    100 nm of dead silicon, a crystal of 0.45 mm, and the window: none, 340 nm
    of polymer with 40 nm of aluminium, or 8 um of beryllium.
    """
    energy = np.atleast_1d(np.asarray(energy, float))
    depth = sum(mass_absorption(element, energy) * layer for element, layer in _LAYERS[window].items())
    return np.exp(-depth) * -np.expm1(-mass_absorption('Si', energy) * _CRYSTAL)


def k_factors(
    families: Sequence[str], beam_energy: float = 200.0, window: DetectorWindow = 'windowless'
) -> tuple[float, ...]:
    """Calculated k-factors by mass, relative to the first family.

    Parameters
    ----------
    families : sequence of str
        For example ``('Ge_K', 'Sb_L', 'Te_L')``.
    beam_energy : float
        keV.
    window : {'windowless', 'polymer', 'beryllium'}
        Of the detector.

    Returns
    -------
    tuple of float

    Raises
    ------
    InputError
        A family cannot be calculated.
    """
    factors = [_mass_per_photon(family, beam_energy, window) for family in families]
    return tuple(factor / factors[0] for factor in factors)


def zeta_factors(
    families: Sequence[str],
    solid_angle: float,
    beam_energy: float = 200.0,
    window: DetectorWindow = 'windowless',
) -> tuple[float, ...]:
    """Calculated zeta-factors, kg/m^2; ``solid_angle`` of all detectors together in sr, the rest as for `k_factors`."""
    scale = 10 * 4 * np.pi / (solid_angle * AVOGADRO)
    return tuple(float(scale * _mass_per_photon(family, beam_energy, window)) for family in families)


def _mass_per_photon(name: str, beam_energy: float, window: DetectorWindow) -> float:
    family = _excited_family(name, beam_energy)
    counted = float(efficiency(np.array(family.energies), window) @ np.array(family.weights))
    return atomic_weights()[family.element] / (emission_cross_section(name, beam_energy) * counted)


def _excited_family(name: str, beam_energy: float) -> LineFamily:
    element, _, shell = name.partition('_')
    found = {family.shell: family for family in families_of(element, 0.0, beam_energy, beam_energy)}
    if shell not in found:
        raise InputError(
            f'{name} is not a line family that {beam_energy:g} keV excite; write it as Ge_K, Sb_L or Pt_M.'
        )
    if name not in _subshells():
        raise InputError(f'There are no atomic data to calculate a factor for {name}; give a measured one.')
    return found[shell]
