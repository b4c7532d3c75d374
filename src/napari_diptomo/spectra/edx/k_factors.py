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

A user's own table holds a line family, or a line, and its factor, as CSV or JSON:

    Ge_K, 1.32              {"Ge_K": 1.32,
    Sb_La, 2.10              "Sb_La": 2.10}

In a CSV file element and lines may stand in columns of their own (``Ge, K,
1.32``), and an absolute error behind the factor. Lines that begin with # are
comments; those of the form ``# name: value`` are the table's origin, and what
stands behind ``# quantity:`` or in the heading says whether these are k-factors,
zeta-factors or cross sections. A factor is of what its name says: of all K lines
(``Ge_K``), or of the alpha line alone (``Ge_Ka``), as eXSpy and vendors have it.

Formulas: ionisation cross section (`ionisation_cross_section`); calculated k-factors (`k_factors`); calculated
zeta-factors (`zeta_factors`); table of k-factors of the user (`read_factors`); factor of a family from that of
a line (`of_family`); efficiency of the detector
(`efficiency`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.reading.inspection import check_is_file
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights, mass_absorption
from napari_diptomo.spectra.edx.lines import LineFamily, families_of, line_share, split_name

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


@dataclass(frozen=True)
class TableFactor:
    """A row of a user's table.

    Attributes
    ----------
    name : str
        The family or line that the factor is of, e.g. ``'Ge_K'`` or ``'Ge_Ka'``.
    family, line : str
        As `lines.split_name` returns them; the line is empty for the whole family.
    value : float
        The factor.
    error : float
        Relative; 0 where the table gives none.
    """

    name: str
    family: str
    line: str
    value: float
    error: float = 0.0


@dataclass(frozen=True, eq=False)
class FactorTable(Mapping[str, float]):
    """Factors of whole line families by name, and what the table says of them.

    As a mapping it holds what applies to counts of whole families: the factor of a line is converted by the line's share
    of its family (`of_family`), as the tables have it.

    Attributes
    ----------
    rows : mapping of str to TableFactor
        By family.
    quantity : {'k-factors', 'zeta-factors', 'cross sections', ''}
        Empty where the table does not say.
    origin : mapping of str to str
        Its comments of the form ``# beam energy, keV: 200``, by name.
    """

    rows: Mapping[str, TableFactor]
    quantity: str = ''
    origin: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, family: str) -> float:
        row = self.rows[family]
        return of_family(row.value, line_share(family, row.line) if row.line else 1.0, self.quantity)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def of_family(value: float, share: float, quantity: str = '') -> float:
    """The factor of a whole family from that of one of its lines.

    Mass is factor times counts, so k I_line = (k share) I_family; a cross section counts photons per atom, so that of the
    family is larger.

    Parameters
    ----------
    value : float
        Factor of the line.
    share : float
        Of the line in the photons of the family.
    quantity : str
        ``'cross sections'``, else a k- or zeta-factor.

    Examples
    --------
    >>> of_family(2.0, 0.8), of_family(2.0, 0.8, 'cross sections')
    (1.6, 2.5)
    """
    return value / share if quantity == 'cross sections' else value * share


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


def read_factors(path: str | Path) -> FactorTable:
    """The factors of a user's table.

    Parameters
    ----------
    path : path
        A ``.json`` file, or text with commas, semicolons or tabs.

    Returns
    -------
    FactorTable
        By line family, for example ``{'Ge_K': 1.32}``.

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
        rows, origin = _json_rows(text, path), {}
    else:
        with reading(path, 'write one line family a line, e.g. Ge_K, 1.32'):
            rows, origin = _text_rows(text), _origin(text)
    quantity = _quantity(origin.get('quantity', ''))
    found: dict[str, TableFactor] = {}
    for i, cells in enumerate(rows):
        name, numbers = _name_and_numbers(cells)
        if i == 0 and not numbers and split_name(name) is None:
            quantity = quantity or _quantity(' '.join(cells))
            continue
        row = _row(name, numbers, cells, path)
        if row.family in found:
            raise InputError(f'{path.name} gives two factors for {row.family}; keep one.')
        found[row.family] = row
    if not found:
        raise InputError(f'{path.name} holds no factors; write one line family a line, e.g. Ge_K, 1.32.')
    return FactorTable(found, quantity, origin)


def _row(name: str, numbers: Sequence[float], cells: Sequence[str], path: Path) -> TableFactor:
    names = split_name(name)
    if names is None or not numbers or not 0 < numbers[0] < float('inf'):
        shown = f'{"_".join(cells[:-1])[:40]}, {cells[-1][:40]}'
        raise InputError(f'"{shown}" in {path.name} is not a line family with a positive factor; write Ge_K, 1.32.')
    family, line = names
    if family.partition('_')[0] not in atomic_weights():
        raise InputError(f'{path.name} names {name[:40]}, and there is no such element; write Ge_K, 1.32.')
    if line:
        try:
            line_share(family, line)
        except InputError as reason:
            raise InputError(f'{path.name} cannot be used as it is: {reason}') from None
    error = numbers[1] / numbers[0] if len(numbers) > 1 else 0.0
    if not 0 <= error < 1:
        raise InputError(
            f'The error of {name} in {path.name} is {numbers[1]:g}, of a factor of {numbers[0]:g}; it stands behind the '
            'factor, in its unit.'
        )
    return TableFactor(f'{family}{line[1:]}', family, line, numbers[0], error)


def _json_rows(text: str, path: Path) -> list[list[str]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f'{path.name} is not a JSON table of factors; write {{"Ge_K": 1.32}}.')
    return [[str(name), str(value)] for name, value in values.items()]


def _text_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith('#')]
    separator = next((s for s in ('\t', ';', ',') if lines and s in lines[-1]), ',')
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    if separator != ',':
        rows = [[row[0], *(cell.replace(',', '.') for cell in row[1:])] for row in rows if row]
    return [[cell for cell in row if cell] for row in rows if any(row)]


def _origin(text: str) -> dict[str, str]:
    """Comments of the form ``# name: value``."""
    comments = (line.strip().lstrip('#').strip() for line in text.splitlines() if line.lstrip().startswith('#'))
    pairs = (comment.partition(':') for comment in comments)
    return {name.strip().casefold(): value.strip() for name, colon, value in pairs if colon and value.strip()}


def _quantity(text: str) -> str:
    text = text.casefold()
    for word, quantity in (('zeta', 'zeta-factors'), ('cross', 'cross sections')):
        if word in text:
            return quantity
    return 'k-factors' if 'k-factor' in text or 'k factor' in text else ''


def _name_and_numbers(cells: Sequence[str]) -> tuple[str, list[float]]:
    """Cells up to the first number make the name; the numbers behind it are factor and error."""
    values = [_number(cell) for cell in cells]
    first = next((i for i, value in enumerate(values) if i and value is not None), len(cells))
    numbers = [value for value in values[first:] if value is not None]
    return '_'.join(cells[:first]), numbers


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
