"""Counts of a volume as they were emitted, their errors, and the densities that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.assess.channel_factors import Factors, electrons_per_pixel, transmissions
from napari_diptomo.assess.fractions import counting_error, pooled, pooled_voxels, usual
from napari_diptomo.series import InputError, Volume, Watch

if TYPE_CHECKING:
    from napari_diptomo.assess.composition import Composition

#: Name of the channel that holds the density.
DENSITY = 'density'
#: Composition and absorption depend on one another: so many rounds settle both.
ABSORPTION_ROUNDS = 3


def columns(values: np.ndarray) -> np.ndarray:
    """One value per channel, shaped to multiply (channel, z, y, x)."""
    return np.asarray(values, float)[:, None, None, None]


def absorption_gain(
    step: Composition, volume: Volume, factors: Factors, watch: Watch | None = None
) -> tuple[np.ndarray, str]:
    """Counts emitted over counts that arrived, broadcastable to (channel, z, y, x), and in words what was done."""
    gain = np.ones((len(volume.channels), 1, 1, 1))
    if not step.absorption:
        return gain, 'not corrected'
    if not factors.families:
        raise InputError('The absorption needs the line families of the channels; name them as lines, e.g. Ge_L, Te_L.')
    if step.density is None and step.method != 'zeta':
        raise InputError('The absorption needs the density of the specimen; give it, or use the method zeta.')
    obey = watch.obey if watch is not None else None
    for turn in range(ABSORPTION_ROUNDS):
        absorbers = _absorbers(step, volume, factors, pooled(volume.data * gain, step.smooth))
        gain = 1 / transmissions(step, volume, factors.families, absorbers, obey)
        if watch is not None:
            watch.step(turn + 2, message=f'absorption, round {turn + 1} of {ABSORPTION_ROUNDS}')
    lost = 1 - volume.data.sum(axis=(1, 2, 3)) / np.maximum((volume.data * gain).sum(axis=(1, 2, 3)), 1e-300)
    each = ', '.join(f'{name} {100 * part:.1f} %' for name, part in zip(volume.channels, lost, strict=True))
    return gain, f'corrected; of the counts emitted, absorbed: {each}'


def count_errors(step: Composition, volume: Volume, gain: np.ndarray) -> tuple[np.ndarray, str]:
    """Standard deviations of the pooled counts times ``gain``, (channel, z, y, x), and in words where they come from."""
    if volume.std is not None:
        # Errors of a reconstruction are alike over the width of its resolution:
        # pooling as if they were independent would promise too much.
        return pooled(volume.std * gain, step.smooth), 'spread of the volume, taken as common to the pooled voxels'
    tilts = int(volume.notes.get('tilts', 1))
    errors = counting_error(pooled(volume.data, step.smooth), tilts * pooled_voxels(step.smooth)) * gain
    return errors, f'counting statistics of {tilts} tilts alone: a lower bound, the volume has no spread'


def densities(
    step: Composition, volume: Volume, factors: Factors, counts: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Density of every voxel by zeta-factors and its error, (z, y, x), g/cm^3."""
    scale = columns(factors.values / (electrons_per_pixel(step) * volume.voxel_size * 1e-9) * 1e-3)
    return (scale * counts).sum(axis=0), np.sqrt(((scale * errors) ** 2).sum(axis=0))


def _absorbers(step: Composition, volume: Volume, factors: Factors, counts: np.ndarray) -> np.ndarray:
    """Densities of the elements, (channel, z, y, x), g/cm^3."""
    amounts = columns(factors.values) * counts
    if step.density is None:
        return amounts / (electrons_per_pixel(step) * volume.voxel_size * 1e-9) * 1e-3
    # A given density is that of the usual voxel; a brighter one holds more mass.
    return amounts * (step.density / max(usual(amounts.sum(axis=0)), 1e-300))
