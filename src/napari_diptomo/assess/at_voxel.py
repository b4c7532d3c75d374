"""Composition of all elements at a voxel, as read under the cursor: at.% where factors are known, else counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.assess.composition import Composition, factors_of
from napari_diptomo.assess.fractions import fractions, pooled, typical
from napari_diptomo.assess.mass_density import columns
from napari_diptomo.series import InputError, Volume

#: Half the edge of the cube of voxels that is pooled, and part of the counts of the specimen below which it is empty.
_HALF, _EMPTY = 1, 0.1


@dataclass(frozen=True, eq=False)
class Reading:
    """The composition around a voxel.

    Attributes
    ----------
    channels : tuple of str
    percent, error : ndarray (channel,)
        In ``unit``; the error of one standard deviation, NaN where nothing says how large it is.
    unit : str
        ``'at.%'``, or ``'% of the counts'`` where the line families are not recorded.
    empty : bool
        Whether there are fewer than a tenth of the counts of the specimen.
    """

    channels: tuple[str, ...]
    percent: np.ndarray
    error: np.ndarray
    unit: str
    empty: bool

    def __str__(self) -> str:
        if self.empty:
            return 'no specimen'
        parts = [
            f'{name} {value:.1f}' + (f' ± {error:.1f}' if np.isfinite(error) else '')
            for name, value, error in zip(self.channels, self.percent, self.error, strict=True)
        ]
        return f'{", ".join(parts)} {self.unit}'


def percent_of(volume: Volume, step: Composition | None = None) -> tuple[np.ndarray, str]:
    """Percent of every channel at every voxel, for a surface or a look; `Composition` has masks and errors.

    Parameters
    ----------
    volume : Volume
        Counts; percentages are given back as they are.
    step : Composition, optional
        Whose factors are used; default: calculated ones.

    Returns
    -------
    percent : ndarray (channel, z, y, x)
        Of counts pooled over a voxel's width; 0 where there are fewer than a tenth of the counts of the specimen.
    unit : str
    """
    reader = VoxelReader(volume, step)
    if 'composition' in volume.notes:
        return volume.data, reader.unit
    counts = pooled(volume.data, 1.0)
    shares, _ = fractions(columns(reader.scale) * counts, np.zeros_like(counts))
    total = counts.sum(axis=0)
    return 100 * shares * (total >= _EMPTY * typical(total)), reader.unit


class VoxelReader:
    """Reads the composition of a volume voxel by voxel.

    Parameters
    ----------
    volume : Volume
        Counts; percentages are read as they are.
    step : Composition, optional
        Whose factors are used; default: calculated ones.

    Attributes
    ----------
    scale : ndarray (channel,)
        By which counts are multiplied for atoms; 1 where no factors are known.
    unit : str
        As of a `Reading`.
    """

    def __init__(self, volume: Volume, step: Composition | None = None) -> None:
        self._volume = volume
        self._percent = 'composition' in volume.notes
        self.scale = np.ones(len(volume.channels))
        self.unit = '% of the counts'
        if self._percent:
            units = volume.notes['composition'].get('units', {})
            self.unit = str(units.get(volume.channels[0], 'at.%'))
            return
        try:
            factors = factors_of(step or Composition(), volume)
        except InputError:
            pass
        else:
            self.scale = factors.values / factors.atomic_weights
            self.unit = 'at.%'
        self._typical = typical(volume.data.sum(axis=0))

    def at(self, z: int, y: int, x: int) -> Reading | None:
        """The composition around a voxel.

        Parameters
        ----------
        z, y, x : int
            Of the volume's axes.

        Returns
        -------
        Reading or None
            Of the 27 voxels about it, taken together; of a composition that of the voxel. None outside.
        """
        volume = self._volume
        where = (z, y, x)
        if not all(0 <= at < n for at, n in zip(where, volume.data.shape[1:], strict=True)):
            return None
        if self._percent:
            values = volume.data[:, z, y, x].astype(float)
            error = np.full(len(values), np.nan) if volume.std is None else volume.std[:, z, y, x].astype(float)
            return Reading(volume.channels, values, error, self.unit, not values.any())
        box = (slice(None), *(slice(max(at - _HALF, 0), at + _HALF + 1) for at in where))
        counts = volume.data[box].reshape(len(volume.channels), -1).mean(axis=1, dtype=float)
        shares, _ = fractions(self.scale * counts, np.zeros_like(counts))
        error = np.full(len(counts), np.nan)
        if volume.std is not None:
            # The spread is common to the pooled voxels, as `pooled_count_errors` takes it.
            spread = volume.std[box].reshape(len(counts), -1).mean(axis=1, dtype=float)
            _, error = fractions(self.scale * counts, self.scale * spread)
        empty = counts.sum() < _EMPTY * self._typical
        return Reading(volume.channels, 100 * shares, 100 * error, self.unit, empty)
