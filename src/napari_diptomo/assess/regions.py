"""Composition of a region: the ratio of its summed counts, with a standard error.

The mean of the voxels' percentages would be biased where counts are few; the
ratio of the sums is not. Its standard error is the larger of two:

- counting statistics of the summed counts, a lower bound, and
- the scatter between some 30 cubes of the region, by leaving out one after the
  other (delete-a-group jackknife, Kott, J. Off. Stat. 17 (2001) 521): it holds
  the noise of the reconstruction, as far as it is alike over less than a cube,
  and the true unevenness of the region.

Artefacts that are alike in the whole region, of the missing wedge above all,
are in neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.assess._arrays import same_shape
from napari_diptomo.assess.channel_factors import Factors
from napari_diptomo.assess.composition import Composition, factors_of, gain_of_absorption
from napari_diptomo.assess.fractions import counting_error, fractions
from napari_diptomo.assess.mass_density import densities
from napari_diptomo.series import InputError, Volume

_CUBES, _LEAST_CUBES, _LEAST_EDGE = 30, 4, 4


@dataclass(frozen=True, eq=False)
class RegionComposition:
    """Mean composition of a region.

    Attributes
    ----------
    channels : tuple of str
        Names.
    percent : ndarray (channel,)
        In ``unit``; adds up to 100.
    standard_error : ndarray (channel,)
        Statistical, in ``unit``.
    factor_error : ndarray (channel,)
        What the error of the k- or zeta-factors adds, in ``unit``; alike for all regions.
    unit : {'at.%', 'wt.%'}
        Of the numbers.
    voxels : int
        Of the region.
    density : float, optional
        g/cm^3, with zeta-factors.
    """

    channels: tuple[str, ...]
    percent: np.ndarray
    standard_error: np.ndarray
    factor_error: np.ndarray
    unit: str
    voxels: int
    density: float | None = None

    def __str__(self) -> str:
        parts = [
            f'{name} {value:.1f} ± {error:.1f}'
            for name, value, error in zip(self.channels, self.percent, self.standard_error, strict=True)
        ]
        return f'{", ".join(parts)} {self.unit}'


def region_composition(volume: Volume, region: np.ndarray, step: Composition | None = None) -> RegionComposition:
    """Composition of the voxels of a region taken together.

    Parameters
    ----------
    volume : Volume
        Counts, as the reconstruction made them (not what `Composition` returned).
    region : ndarray of bool (z, y, x)
        The voxels.
    step : Composition, optional
        Method, factors and unit; its smoothing and mask are not used.

    Returns
    -------
    RegionComposition

    Raises
    ------
    InputError
        The region is empty, of another shape, or holds no counts; or the factors do not fit.
    """
    step = step if step is not None else Composition()
    return _composition(volume, np.asarray(region, bool), step, *_prepared(volume, step))


def region_compositions(
    volume: Volume, labels: np.ndarray, step: Composition | None = None
) -> dict[int, RegionComposition]:
    """Composition of every labelled region.

    Parameters
    ----------
    volume : Volume
        Counts, as the reconstruction made them (not what `Composition` returned).
    labels : ndarray of int (z, y, x)
        Number of the region of each voxel, 0 where there is none.
    step : Composition, optional
        Method, factors and unit; its smoothing and mask are not used.

    Returns
    -------
    dict of int to RegionComposition
        By label, ascending.

    Raises
    ------
    InputError
        A region of another shape or without counts; or the factors do not fit.
    """
    step = step if step is not None else Composition()
    labels = np.asarray(labels)
    prepared = _prepared(volume, step)
    found = [int(label) for label in np.unique(labels) if label != 0]
    return {label: _composition(volume, labels == label, step, *prepared) for label in found}


def _prepared(volume: Volume, step: Composition) -> tuple[Factors, np.ndarray]:
    factors = factors_of(step, volume)
    return factors, volume.data * gain_of_absorption(step, volume, factors).gain


def _composition(
    volume: Volume, region: np.ndarray, step: Composition, factors: Factors, counts: np.ndarray
) -> RegionComposition:
    same_shape('region', region.shape, 'volume', counts.shape[1:])
    if not region.any():
        raise InputError('The region is empty; paint or choose at least one voxel.')
    sums = counts[:, region].sum(axis=1)
    if not sums.sum() > 0:
        raise InputError('The region holds no counts; choose one inside the specimen.')
    scale = factors.values / (factors.atomic_weights if step.unit == 'at.%' else 1.0)
    photons = float(volume.notes.get('tilts', 1))
    shares, counting = fractions(scale * sums, scale * counting_error(sums, photons))
    _, systematic = fractions(scale * sums, factors.errors * scale * sums)
    error = np.maximum(counting, _scatter(counts, region, scale))
    density = None
    if step.absolute:
        mean = (sums / region.sum())[:, None, None, None]
        density = float(densities(factors.values, step.dose(), volume.voxel_size, mean, 0 * mean)[0].item())
    return RegionComposition(
        volume.channels, 100 * shares, 100 * error, 100 * systematic, step.unit, int(region.sum()), density
    )


def _scatter(counts: np.ndarray, region: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Jackknife error of the shares over the cubes of a region; 0 where there are too few of them."""
    edge = max(round((region.sum() / _CUBES) ** (1 / 3)), _LEAST_EDGE)
    cubes = np.argwhere(region) // edge
    _, cube = np.unique(cubes, axis=0, return_inverse=True)
    inside = counts[:, region]
    sums = scale[:, None] * np.stack([np.bincount(cube.ravel(), weights=channel) for channel in inside])
    n = sums.shape[1]
    without = sums.sum(axis=1, keepdims=True) - sums
    total = without.sum(axis=0)
    if n < _LEAST_CUBES or not (total > 0).all():
        return np.zeros(len(sums))
    shares = without / total
    return np.sqrt((n - 1) / n * ((shares - shares.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))
