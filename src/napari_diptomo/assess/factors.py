"""What a composition needs to know of every channel: its line family, its atomic weight, its factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series import InputError, Volume
from napari_diptomo.spectra.edx.absorption import absorption_coefficients, directions, mean_transmission
from napari_diptomo.spectra.edx.k_factors import (
    CALCULATED_ERROR,
    atomic_weights,
    chosen_factors,
    k_factors,
    read_factors,
    zeta_factors,
)

if TYPE_CHECKING:
    from napari_diptomo.assess.composition import Composition

_BEAM_ENERGY = 200.0
_ELEMENTARY_CHARGE = 1.602176634e-19


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

    @property
    def error(self) -> float:
        """The largest of the relative errors."""
        return float(self.errors.max())


def factors_of(step: Composition, volume: Volume) -> Factors:
    """The factors that a step uses for a volume.

    Raises
    ------
    InputError
        Fewer than two channels, a channel that is no element, or factors that do not fit the channels.
    """
    if 'composition' in volume.notes:
        raise InputError('This volume holds percentages already; take the volume of counts that they were made from.')
    if len(volume.channels) < 2:
        raise InputError(
            f'A composition needs at least two elements, this volume has {", ".join(volume.channels)} alone; '
            'map more elements.'
        )
    families = _families(step, volume)
    weights = _weights(families or volume.channels, volume.channels)
    name, given = ('zeta-factors', step.zeta_factors) if step.method == 'zeta' else ('k-factors', step.k_factors)
    origin = 'given'
    if given:
        if len(given) != len(volume.channels):
            raise InputError(
                f'There are {len(given)} {name} for the {len(volume.channels)} channels '
                f'{", ".join(volume.channels)}; give one for each, in this order.'
            )
    elif not families:
        raise InputError(
            f'The volume does not tell which lines its channels {", ".join(volume.channels)} were mapped with; name '
            f'them as lines, e.g. Ge_K, Sb_L, or give the {name}.'
        )
    elif step.factor_table:
        given, origin = chosen_factors(read_factors(step.factor_table), families), 'table'
    else:
        given, origin = _calculated(step, volume, families), 'calculated'
    errors = np.full(len(given), step.factor_error or 0.0)
    if step.factor_error is None and origin == 'calculated':
        errors = np.array([CALCULATED_ERROR[family.partition('_')[2][0]] for family in families])
    return Factors(np.array(given, float), weights, families, origin, errors)


def electrons_per_pixel(step: Composition) -> float:
    """Dose of the method zeta, electrons per pixel and tilt."""
    if step.electrons is not None:
        return step.electrons
    if step.beam_current is None or step.live_time is None:
        raise InputError('The method zeta needs the dose; give electrons per pixel, or beam current and live time.')
    return step.beam_current * 1e-9 * step.live_time / _ELEMENTARY_CHARGE


def transmissions(
    step: Composition,
    volume: Volume,
    families: Sequence[str],
    densities: np.ndarray,
    each: Callable[[], object] | None = None,
) -> np.ndarray:
    """Share of the photons of each channel that reach the detectors, (channel, z, y, x), mean over the tilts.

    ``densities`` (channel, z, y, x) of the elements, g/cm^3; ``each`` is called after every ray. Between the
    smallest and the largest tilt that the notes tell the tilts are taken as even.
    """
    low, high = volume.notes.get('max_tilt', (0.0, 0.0))
    angles = np.linspace(float(low), float(high), int(volume.notes.get('tilts', 1)))
    elements = [family.partition('_')[0] for family in families]
    coefficients = absorption_coefficients(families, elements)
    rays = directions(angles, step.elevation, step.azimuths)
    return mean_transmission(np.maximum(densities, 0), coefficients, rays, volume.voxel_size, each)


def _families(step: Composition, volume: Volume) -> tuple[str, ...]:
    if step.lines:
        if len(step.lines) != len(volume.channels):
            raise InputError(
                f'There are {len(step.lines)} line families for the {len(volume.channels)} channels '
                f'{", ".join(volume.channels)}; name one for each, in this order.'
            )
        return step.lines
    told: Any = volume.notes.get('lines', {})
    found = tuple(str(told.get(name, name)) for name in volume.channels)
    return found if all('_' in name for name in found) else ()


def _weights(names: Sequence[str], channels: Sequence[str]) -> np.ndarray:
    known = atomic_weights()
    elements = [name.partition('_')[0] for name in names]
    for element, channel in zip(elements, channels, strict=True):
        if element not in known:
            raise InputError(f'The channel {channel} is no element; name its line family in lines, e.g. Ge_K.')
    return np.array([known[element] for element in elements])


def _calculated(step: Composition, volume: Volume, families: Sequence[str]) -> tuple[float, ...]:
    energy = step.beam_energy or float(volume.notes.get('beam_energy_keV', _BEAM_ENERGY))
    if step.method == 'Cliff-Lorimer':
        return k_factors(families, energy, step.window)
    if step.solid_angle is None:
        raise InputError(
            'There are no zeta-factors; give them, name a table, or give the solid angle to calculate them.'
        )
    return zeta_factors(families, step.solid_angle, energy, step.window)
