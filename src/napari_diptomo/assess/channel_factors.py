"""Line family, atomic weight and k- or zeta-factor of every channel of a volume.

Factors are those given, else those of a table, else calculated from cross sections (`napari_diptomo.spectra`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.edx.k_factors import (
    CALCULATED_ERROR,
    atomic_weights,
    chosen_factors,
    k_factors,
    read_factors,
    zeta_factors,
)

_BEAM_ENERGY = 200.0


@dataclass(frozen=True)
class FactorSettings:
    """Where the factors of the channels come from.

    Attributes
    ----------
    method : {'Cliff-Lorimer', 'zeta'}
        k-factors, or zeta-factors.
    given : tuple of float
        The factors, one per channel; empty: of the table, else calculated.
    table : str
        Path of a table of factors, '' for none.
    error : float, optional
        Relative error of all factors; None: that of the calculation, 0 for those given or of a table.
    lines : tuple of str
        Line families of the channels; empty: as the notes of the volume have them.
    beam_energy : float, optional
        keV; None: as the notes have it.
    window : {'windowless', 'polymer', 'beryllium'}
        Of the detector.
    solid_angle : float, optional
        sr, for zeta-factors.
    """

    method: Literal['Cliff-Lorimer', 'zeta'] = 'Cliff-Lorimer'
    given: tuple[float, ...] = ()
    table: str = ''
    error: float | None = None
    lines: tuple[str, ...] = ()
    beam_energy: float | None = None
    window: Literal['windowless', 'polymer', 'beryllium'] = 'windowless'
    solid_angle: float | None = None


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of the channels of one volume.

    Attributes
    ----------
    values : ndarray (channel,)
        k-factors by mass, relative, or zeta-factors in kg/m^2.
    atomic_weights : ndarray (channel,)
        g/mol.
    families : tuple of str
        Line families, empty where they are not known and not needed.
    origin : {'given', 'table', 'calculated'}
        Where the values come from.
    errors : ndarray (channel,)
        Relative.
    """

    values: np.ndarray
    atomic_weights: np.ndarray
    families: tuple[str, ...]
    origin: str
    errors: np.ndarray


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
    families = _families(channels, notes, settings.lines)
    weights = _weights(families or channels, channels)
    name = 'zeta-factors' if settings.method == 'zeta' else 'k-factors'
    given, origin = settings.given, 'given'
    if given:
        if len(given) != len(channels):
            raise InputError(
                f'There are {len(given)} {name} for the {len(channels)} channels {", ".join(channels)}; '
                'give one for each, in this order.'
            )
    elif not families:
        raise InputError(
            f'The volume does not record which lines its channels {", ".join(channels)} were mapped with; name '
            f'them as lines, e.g. Ge_K, Sb_L, or give the {name}.'
        )
    elif settings.table:
        given, origin = chosen_factors(read_factors(settings.table), families), 'table'
    else:
        given, origin = _calculated(families, notes, settings), 'calculated'
    errors = np.full(len(given), settings.error or 0.0)
    if settings.error is None and origin == 'calculated':
        errors = np.array([CALCULATED_ERROR[family.partition('_')[2][0]] for family in families])
    return Factors(np.array(given, float), weights, families, origin, errors)


def _families(channels: Sequence[str], notes: Mapping[str, Any], lines: tuple[str, ...]) -> tuple[str, ...]:
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


def _weights(names: Sequence[str], channels: Sequence[str]) -> np.ndarray:
    known = atomic_weights()
    elements = [name.partition('_')[0] for name in names]
    for element, channel in zip(elements, channels, strict=True):
        if element not in known:
            raise InputError(f'The channel {channel} is no element; name its line family in lines, e.g. Ge_K.')
    return np.array([known[element] for element in elements])


def _calculated(families: Sequence[str], notes: Mapping[str, Any], settings: FactorSettings) -> tuple[float, ...]:
    energy = settings.beam_energy or float(notes.get('beam_energy_keV', _BEAM_ENERGY))
    if settings.method == 'Cliff-Lorimer':
        return k_factors(families, energy, settings.window)
    if settings.solid_angle is None:
        raise InputError(
            'There are no zeta-factors; give them, name a table, or give the solid angle to calculate them.'
        )
    return zeta_factors(families, settings.solid_angle, energy, settings.window)
