r"""k-factors and zeta-factors of whole line families: calculated, or from the user's own table.

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

A user's own table holds a line family and its factor, as CSV or JSON:

    Ge_K, 1.32              {"Ge_K": 1.32,
    Sb_L, 1.00               "Sb_L": 1.00}

In a CSV file element and lines may stand in columns of their own (``Ge, K,
1.32``); a heading and lines that begin with # are passed over. Lines named
after Siegbahn (``Ge_Ka``) stand for their family.

Formulas: ionisation cross section (`ionisation_cross_section`); calculated k-factors (`k_factors`); calculated
zeta-factors (`zeta_factors`); table of k-factors of the user (`read_factors`); efficiency of the detector
(`efficiency`).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.reading.inspection import check_is_file
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights, mass_absorption
from napari_diptomo.spectra.edx.lines import LineFamily, families_of

DetectorWindow = Literal['windowless', 'polymer', 'beryllium']
#: Relative error of a calculated factor by shell.
CALCULATED_ERROR = {'K': 0.1, 'L': 0.15, 'M': 0.3}

_BOHR, _RYDBERG, _REST = 5.29177e-9, 0.0136057, 510.999  # cm, keV, keV
_AVOGADRO = 6.02214076e23
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
    scale = 10 * 4 * np.pi / (solid_angle * _AVOGADRO)
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


def chosen_factors(table: Mapping[str, float], families: Sequence[str]) -> tuple[float, ...]:
    """The factors of a user's table in the order of ``families``.

    Parameters
    ----------
    table : mapping of str to float
        Factor by line family, for example ``{'Ge_K': 1.32}``; see `read_factors`.
    families : sequence of str
        Names.

    Raises
    ------
    InputError
        One is missing.
    """
    for family in families:
        if family not in table:
            raise InputError(
                f'The table of factors has none for {family}, only for {", ".join(sorted(table)) or "nothing"}; '
                'add it, or map another line family.'
            )
    return tuple(float(table[family]) for family in families)


def read_factors(path: str | Path) -> dict[str, float]:
    """Factors by line family.

    Parameters
    ----------
    path : path
        A ``.json`` file, or text with commas, semicolons or tabs.

    Returns
    -------
    dict of str to float
        For example ``{'Ge_K': 1.32}``.

    Raises
    ------
    InputError
        No such file, or a line of it is no factor.
    """
    path = Path(path)
    if path.exists():
        check_is_file(path)
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError):
        raise InputError(f'The table of factors {path} cannot be read as text; check its path.') from None
    if path.suffix.lower() == '.json':
        rows = _json_rows(text, path)
    else:
        with reading(path, 'write one line family a line, e.g. Ge_K, 1.32'):
            rows = _text_rows(text)
    found: dict[str, float] = {}
    for i, (name, value) in enumerate(rows):
        family = _family_name(name)
        factor = _number(value)
        if factor is None and i == 0 and family is None:
            continue
        if family is None or factor is None:
            raise InputError(
                f'"{name[:40]}, {value[:40]}" in {path.name} is not a line family with a positive factor; write Ge_K, 1.32.'
            )
        if family in found:
            raise InputError(f'{path.name} gives two factors for {family}; keep one.')
        found[family] = factor
    if not found:
        raise InputError(f'{path.name} holds no factors; write one line family a line, e.g. Ge_K, 1.32.')
    return found


def _json_rows(text: str, path: Path) -> list[tuple[str, str]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f'{path.name} is not a JSON table of factors; write {{"Ge_K": 1.32}}.')
    return [(str(name), str(value)) for name, value in values.items()]


def _text_rows(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith('#')]
    separator = next((s for s in ('\t', ';', ',') if lines and s in lines[-1]), ',')
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    return [('_'.join(cell for cell in row[:-1] if cell), row[-1]) for row in rows if row]


def _family_name(text: str) -> str | None:
    found = re.fullmatch(r'([A-Z][a-z]?)[_\s-]+([KLM])[\w-]*', text.strip())
    return f'{found[1]}_{found[2]}' if found else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float('inf') else None
