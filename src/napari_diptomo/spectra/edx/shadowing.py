r"""The gain of every tilt: how much of the signal the detectors see past holder and grid.

Shadowing multiplies the totals T_f(t) of all families by the same g(t):

    T_f(t) = A_f g(t) p(t),    p = 1 for an isolated object, 1 / cos t for a slab.

g is the rank-one fit of A_f g(t) to T_f(t) / p(t), weighted by noise and model
error, over the families that behave like projections (`totals`); 1 on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.spectra.edx.totals import MODEL_ERROR, check_totals, read_totals

_SWEEPS = 50


def measure_gain(maps: MapSeries, specimen: Literal['isolated', 'slab'] = 'isolated') -> np.ndarray:
    """How much of the specimen's signal the detectors see at every tilt, relative to the mean.

    Parameters
    ----------
    maps : MapSeries
        Several families, the more the better; stray ones are left out.
    specimen : {'isolated', 'slab'}
        ``'isolated'``: the whole object is in every image; ``'slab'``: it goes on beyond the images.

    Returns
    -------
    ndarray (tilt,)
        Gain, 1 on average.

    Raises
    ------
    InputError
        No family behaves like a projection.
    """
    totals, noise, angles, names = read_totals(maps, None, ())
    good = np.array([t.behaves for t in check_totals(maps)]) & (totals.sum(axis=1) > 0)
    if not good.any():
        raise InputError(
            f'None of {", ".join(names)} behaves like a projection, so the gain of the tilts cannot be measured; '
            'map an element of the specimen or leave the gain off.'
        )
    path = 1 / np.cos(np.radians(angles)) if specimen == 'slab' else np.ones(len(angles))
    flat, sigma = totals[good] / path, noise[good] / path
    weights = 1 / (sigma**2 + (MODEL_ERROR * flat.mean(axis=1, keepdims=True)) ** 2)
    gain = np.ones(len(angles))
    for _ in range(_SWEEPS):
        amount = (weights * flat * gain).sum(axis=1) / (weights * gain**2).sum(axis=1)
        gain = (weights * flat * amount[:, None]).sum(axis=0) / (weights * amount[:, None] ** 2).sum(axis=0)
        gain /= gain.mean()
    return gain


def with_gain(
    maps: MapSeries, from_totals: Literal['off', 'isolated', 'slab'] = 'off', by_hand: Sequence[float] = ()
) -> MapSeries:
    """The same maps with the gain of the tilts, measured or given.

    Parameters
    ----------
    maps : MapSeries
        Maps or window counts; the counts stay as they are, the reconstruction takes the gain into account.
    from_totals : {'off', 'isolated', 'slab'}
        Measure it, see `measure_gain`.
    by_hand : sequence of float
        One per tilt, relative to each other; goes before what is measured.

    Raises
    ------
    InputError
        The number of gains is not that of the tilts, one is not positive, or none can be measured.
    """
    if not len(by_hand) and from_totals == 'off':
        return maps
    if len(by_hand):
        gain = np.asarray(by_hand, float)
        if len(gain) != len(maps.angles):
            raise InputError(f'There are {len(gain)} gains for {len(maps.angles)} tilts; give one for each or none.')
        if not (np.isfinite(gain).all() and (gain > 0).all()):
            raise InputError('The gain of a tilt must be a positive number; mend it or leave the gains empty.')
        gain = gain / gain.mean()
    else:
        gain = measure_gain(maps, 'slab' if from_totals == 'slab' else 'isolated')
    known = 1.0 if maps.gain is None else maps.gain
    notes = {**maps.notes, 'gain': [round(float(g), 4) for g in gain]}
    return replace(maps, gain=np.broadcast_to(gain, maps.data.shape[:2]) * known, notes=notes)
