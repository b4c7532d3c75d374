"""Line family, atomic weight and k- or zeta-factor of every channel of a volume.

Factors are those given, else those of a table, else calculated from cross sections (`napari_diptomo.spectra`). Each is of
a whole line family or of one line, as its name says; so are the counts of a channel. What counts of families need of the
factor of a line is that factor times the line's share of its family.

The method of cross sections (MacArthur et al., Microsc. Microanal. 22 (2016) 71) is that of zeta-factors in another unit:
zeta = A / (N_A sigma).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_diptomo.series import Finding, InputError, Remedy
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights
from napari_diptomo.spectra.edx.factor_tables import FactorTable, chosen_factors, of_family, read_factors
from napari_diptomo.spectra.edx.k_factors import AVOGADRO, CALCULATED_ERROR, k_factors, zeta_factors
from napari_diptomo.spectra.edx.lines import line_share, split_name, spoken_name

Method = Literal['Cliff-Lorimer', 'zeta', 'cross section']
FactorsOf = Literal['as named', 'family', 'alpha line']
#: What the factors of each method are.
QUANTITY: dict[str, str] = {
    'Cliff-Lorimer': 'k-factors',
    'zeta': 'zeta-factors',
    'cross section': 'cross sections',
}
_BEAM_ENERGY = 200.0
#: keV by which the beam of a table and that of the maps may differ.
_SAME_BEAM = 1.0
#: zeta in kg/m^2 of a cross section in barn, times A in g/mol: 1 barn is 1e-28 m^2, 1 g is 1e-3 kg.
ZETA_BARN = 1e25 / AVOGADRO


@dataclass(frozen=True)
class FactorSettings:
    """Where the factors of the channels come from.

    Attributes
    ----------
    method : {'Cliff-Lorimer', 'zeta', 'cross section'}
        k-factors, zeta-factors or cross sections.
    given : tuple of float
        The factors, one per channel; empty: of the table, else calculated.
    table : str
        Path of a table of factors, '' for none.
    error : float, optional
        Relative error of all factors; None: that of the calculation or of the table, 0 for those given.
    lines : tuple of str
        Line families or lines of the channels; empty: as the notes of the volume have them.
    beam_energy : float, optional
        keV; None: as the notes have it.
    window : {'windowless', 'polymer', 'beryllium'}
        Of the detector.
    solid_angle : float, optional
        sr, for zeta-factors.
    of : {'as named', 'family', 'alpha line'}
        What factors given or of a table belong to; as named: those of a table as it names them, those given as ``lines``
        name them, else to whole families.
    """

    method: Method = 'Cliff-Lorimer'
    given: tuple[float, ...] = ()
    table: str = ''
    error: float | None = None
    lines: tuple[str, ...] = ()
    beam_energy: float | None = None
    window: Literal['windowless', 'polymer', 'beryllium'] = 'windowless'
    solid_angle: float | None = None
    of: FactorsOf = 'as named'


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of the channels of one volume.

    Attributes
    ----------
    values : ndarray (channel,)
        As the counts need them: k-factors by mass, relative, or zeta-factors in kg/m^2.
    atomic_weights : ndarray (channel,)
        g/mol.
    families : tuple of str
        Line families, empty where they are not known and not needed.
    origin : {'given', 'table', 'calculated'}
        Where the values come from.
    errors : ndarray (channel,)
        Relative.
    named : ndarray (channel,)
        In the unit of the method, of what ``names`` say.
    names : tuple of str
        The family (``'Ge_K'``) or line (``'Ge_Ka'``) that each of ``named`` belongs to.
    table_origin : mapping of str to str
        The comments of the table.
    findings : tuple of Finding
        What was converted or assumed.
    """

    values: np.ndarray
    atomic_weights: np.ndarray
    families: tuple[str, ...]
    origin: str
    errors: np.ndarray
    named: np.ndarray
    names: tuple[str, ...] = ()
    table_origin: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Counted:
    """The family or line that the counts of a channel are of.

    Attributes
    ----------
    family, line : str
        See `split_name`; the line is empty for the whole family.
    """

    family: str
    line: str

    @property
    def alpha(self) -> str:
        """The alpha line of the family, e.g. ``'Ka'``."""
        return f'{self.family[-1]}a'

    def share(self, line: str) -> float:
        """Of a line in the family; 1 for the empty name."""
        # By the tables: with weights refined on the spectrum the NIST particles come out 1 at.% from eXSpy's model.
        return line_share(self.family, line)


def channel_factors(channels: Sequence[str], notes: Mapping[str, Any], settings: FactorSettings) -> Factors:
    """The factors of the channels of a volume.

    Parameters
    ----------
    channels : sequence of str
        Names.
    notes : mapping
        Of the volume: ``lines`` and ``beam_energy_keV`` are used.
    settings : FactorSettings

    Returns
    -------
    Factors

    Raises
    ------
    InputError
        Fewer than two channels, a channel that is no element, or factors that do not fit the channels.
    """
    if 'composition' in notes:
        raise InputError('This volume holds percentages already; take the volume of counts that they were made from.')
    if len(channels) < 2:
        raise InputError(
            f'A composition needs at least two elements, this volume has {", ".join(channels)} alone; map more elements.'
        )
    lines = _lines(channels, notes, settings.lines)
    weights = _weights(lines or channels, channels)
    counted = _counted(channels, notes, lines, settings)
    quantity = QUANTITY[settings.method]
    if settings.given and len(settings.given) != len(channels):
        raise InputError(
            f'There are {len(settings.given)} {quantity} for the {len(channels)} channels {", ".join(channels)}; '
            'give one for each, in this order.'
        )
    if not settings.given and not counted:
        raise InputError(
            f'The volume does not record which lines its channels {", ".join(channels)} were mapped with; name '
            f'them as lines, e.g. Ge_K, Sb_L, or give the {quantity}.'
        )
    families = tuple(each.family for each in counted)
    if settings.given:
        found = _given(channels, settings, lines, counted)
    elif settings.table:
        found = _of_table(notes, settings, counted, weights)
    else:
        found = _calculated(notes, settings, counted, weights)
    errors = found.errors if settings.error is None else np.full(len(channels), settings.error)
    values = np.array(found.named, float)
    if counted:
        values = values * np.array(
            [_factor_of_counts(c, n, quantity) for c, n in zip(counted, found.names, strict=True)]
        )
    if settings.method == 'cross section':
        values = ZETA_BARN * weights / values
    findings = (*found.findings, *_converted(counted, found, quantity, settings.of))
    return Factors(
        values,
        weights,
        families,
        found.origin,
        errors,
        np.array(found.named, float),
        found.names,
        found.table_origin,
        findings,
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """Factors as they were found: their values, what they are of, relative errors."""

    named: tuple[float, ...]
    names: tuple[str, ...]
    origin: str
    errors: np.ndarray
    table_origin: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def _given(
    channels: Sequence[str], settings: FactorSettings, lines: tuple[str, ...], counted: tuple[_Counted, ...]
) -> _Found:
    errors = np.zeros(len(settings.given))
    if not counted:
        if settings.of == 'alpha line':
            raise InputError(
                f'The volume does not record which lines its channels {", ".join(channels)} were mapped with, so factors '
                'of alpha lines cannot be converted; name the families as lines, e.g. Ge_K, Sb_L.'
            )
        return _Found(settings.given, (), 'given', errors)
    spoken = [split_name(name) or (c.family, '') for name, c in zip(lines, counted, strict=True)]
    own = [line for _, line in spoken]
    names = tuple(_name(c, _line_of(settings.of, c, line)) for c, line in zip(counted, own, strict=True))
    plain = settings.of == 'as named' and not any(own)
    return _Found(
        settings.given, names, 'given', errors, findings=_taken_for_families(counted, settings) if plain else ()
    )


def _of_table(
    notes: Mapping[str, Any], settings: FactorSettings, counted: tuple[_Counted, ...], weights: np.ndarray
) -> _Found:
    table = read_factors(settings.table)
    families = tuple(c.family for c in counted)
    chosen_factors(table, families)
    rows = [table.rows[family] for family in families]
    names = tuple(_name(c, _line_of(settings.of, c, row.line)) for c, row in zip(counted, rows, strict=True))
    values = _in_the_unit_of(np.array([row.value for row in rows]), table, settings, weights)
    errors = np.array([row.error for row in rows])
    findings = _other_beam(table, notes, settings)
    if table.converted:
        findings += (Finding('note', 'unit of the factors', table.converted),)
    if settings.of == 'as named' and not table.origin and not any(row.line for row in rows):
        findings += _taken_for_families(counted, settings)
    return _Found(tuple(values.tolist()), names, 'table', errors, table.origin, findings)


def _in_the_unit_of(
    values: np.ndarray, table: FactorTable, settings: FactorSettings, weights: np.ndarray
) -> np.ndarray:
    """Values of a table in the unit of the method: zeta-factors and cross sections serve all methods, k-factors their own."""
    wanted, name = QUANTITY[settings.method], Path(settings.table).name
    if table.quantity in ('', wanted):
        return values
    if table.quantity == 'k-factors':
        raise InputError(
            f'{name} holds k-factors, and the method {settings.method} needs {wanted}; give a table of them.'
        )
    if table.quantity == 'zeta-factors' and settings.method == 'Cliff-Lorimer':
        return values
    # One is the other's inverse, but for the atomic weight.
    return ZETA_BARN * weights / values


def _calculated(
    notes: Mapping[str, Any], settings: FactorSettings, counted: tuple[_Counted, ...], weights: np.ndarray
) -> _Found:
    energy = settings.beam_energy or float(notes.get('beam_energy_keV', _BEAM_ENERGY))
    families = tuple(c.family for c in counted)
    names = tuple(_name(c, _line_of(settings.of, c, '')) for c in counted)
    errors = np.array([CALCULATED_ERROR[family[-1]] for family in families])
    if settings.method == 'Cliff-Lorimer':
        values = np.array(k_factors(families, energy, settings.window))
    elif settings.solid_angle is None:
        raise InputError(
            f'There are no {QUANTITY[settings.method]}; give them, name a table, or give the solid angle to calculate them.'
        )
    else:
        values = np.array(zeta_factors(families, settings.solid_angle, energy, settings.window))
    if settings.method == 'cross section':
        values = ZETA_BARN * weights / values
    quantity = QUANTITY[settings.method]
    shares = [c.share(_line_of(settings.of, c, '')) for c in counted]
    named = [v / of_family(1.0, share, quantity) for v, share in zip(values, shares, strict=True)]
    return _Found(tuple(named), names, 'calculated', errors)


def _line_of(of: FactorsOf, counted: _Counted, named: str) -> str:
    """The line that a factor is of; empty for the whole family."""
    return {'as named': named, 'family': '', 'alpha line': counted.alpha}[of]


def _name(counted: _Counted, line: str) -> str:
    return f'{counted.family}{line[1:]}'


def _factor_of_counts(counted: _Counted, name: str, quantity: str) -> float:
    """A factor for the counts of a channel over the factor of what ``name`` says."""
    _, line = split_name(name) or ('', '')
    return of_family(1.0, counted.share(line) / counted.share(counted.line), quantity)


def _converted(counted: tuple[_Counted, ...], found: _Found, quantity: str, of: FactorsOf) -> tuple[Finding, ...]:
    """A note on factors of lines that met counts of families."""
    pairs = [(c, n) for c, n in zip(counted, found.names, strict=False) if n != _name(c, c.line)]
    if not pairs or found.origin == 'calculated':
        return ()
    shares = {spoken_name(n): c.share((split_name(n) or ('', ''))[1]) / c.share(c.line) for c, n in pairs}
    each = ', '.join(f'{name} {share:.2f}' for name, share in shares.items())
    sentence = (
        f'These {quantity} are of single lines, and the maps count whole families: they were converted by the share of the '
        f'line in its family ({each}).'
    )
    if found.origin == 'table' and of == 'as named':
        sentence += ' Earlier versions applied such a table to families as it stands.'
    return (Finding('note', 'factors of lines', sentence, {f'share {n}': s for n, s in shares.items()}),)


def _taken_for_families(counted: tuple[_Counted, ...], settings: FactorSettings) -> tuple[Finding, ...]:
    """A note on factors of which nothing says whether they are of lines or of families."""
    shares = {spoken_name(_name(c, c.alpha)): c.share(c.alpha) for c in counted}
    if max(shares.values()) < 1.02 * min(shares.values()):
        return ()
    each = ', '.join(f'{name} {share:.2f}' for name, share in shares.items())
    sentence = (
        f'The {QUANTITY[settings.method]} were taken for those of whole line families. Those of vendors and of eXSpy are of '
        f'the alpha line (shares of it: {each}); if yours are, set "factors of" to alpha line.'
    )
    remedy = Remedy('Take them for alpha lines', 'Composition', {'factors_of': 'alpha line'})
    evidence = {f'share {name}': share for name, share in shares.items()}
    return (Finding('note', 'factors of families', sentence, evidence, remedy),)


def _other_beam(table: FactorTable, notes: Mapping[str, Any], settings: FactorSettings) -> tuple[Finding, ...]:
    energy = settings.beam_energy or notes.get('beam_energy_keV')
    try:
        measured = float(table.origin.get('beam energy, kev', 'nan'))
    except ValueError:
        measured = float('nan')
    if energy is None or not abs(measured - float(energy)) > _SAME_BEAM:
        return ()
    sentence = (
        f'The table of factors was measured at {measured:g} keV, and these maps at {float(energy):g} keV: factors of hard and '
        'soft lines change differently with the beam. Take a table of the same energy.'
    )
    evidence = {'beam of the table, keV': measured, 'beam of the maps, keV': float(energy)}
    return (Finding('doubt', 'beam energy of the factors', sentence, evidence),)


def _lines(channels: Sequence[str], notes: Mapping[str, Any], lines: tuple[str, ...]) -> tuple[str, ...]:
    """Names of families or lines of the channels: given, else recorded, else the names of the channels; else none."""
    if lines:
        if len(lines) != len(channels):
            raise InputError(
                f'There are {len(lines)} line families for the {len(channels)} channels {", ".join(channels)}; '
                'name one for each, in this order.'
            )
        return lines
    recorded: Any = notes.get('lines', {})
    found = tuple(str(recorded.get(name, name)) for name in channels)
    return found if all('_' in name for name in found) else ()


def _counted(
    channels: Sequence[str], notes: Mapping[str, Any], lines: tuple[str, ...], settings: FactorSettings
) -> tuple[_Counted, ...]:
    """The family or line of each channel: the family that the maps record where it is the one named, else what is named.

    None where channels have no X-ray lines and the factors are given, to be applied as they are.
    """
    recorded: Any = notes.get('lines', {})
    found = []
    try:
        for channel, name in zip(channels, lines, strict=False):
            family, line = split_name(name) or (name, '')
            known = split_name(str(recorded.get(channel, '')))
            line = known[1] if known and known[0] == family else line
            line_share(family, line)
            found.append(_Counted(family, line))
    except InputError:
        if not settings.given or settings.lines:
            raise
        return ()
    return tuple(found)


def _weights(names: Sequence[str], channels: Sequence[str]) -> np.ndarray:
    known = atomic_weights()
    elements = [name.partition('_')[0] for name in names]
    for element, channel in zip(elements, channels, strict=True):
        if element not in known:
            raise InputError(f'The channel {channel} is no element; name its line family in lines, e.g. Ge_K.')
    return np.array([known[element] for element in elements])
