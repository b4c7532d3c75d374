"""Quality of error bars against a known truth: their size, and whether they show where a volume is wrong.

Coverage: the share of voxels whose truth lies in the interval that a normal
law with the stated standard deviation gives; for honest error bars it is the
nominal probability. Rank correlation (Spearman 1904) of standard deviation and
absolute error: 1 when the error bars put the voxels in the order of their
errors.

The data vouch only for the frequencies that the tilts measure: `band` cuts a
volume to them or to the missing wedge, so that both can be judged apart. The
spread of a filtered ensemble is that of its filtered members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import fftn, ifftn
from scipy.ndimage import maximum_filter, minimum_filter

from napari_diptomo.assess._arrays import as_channels, same_shape
from napari_diptomo.assess.resolution import TiltRange, measured_frequencies
from napari_diptomo.series.errors import InputError

LEVELS = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class SpreadQuality:
    """How good error bars are.

    Attributes
    ----------
    coverage : dict of float to float
        Share of voxels that hold the truth, by nominal probability.
    rank_correlation : float
        Spearman's, of standard deviation and absolute error; NaN where one of them is the same everywhere.
    error_over_std : float
        Root mean square error over root mean square standard deviation: 1 when the size is right on the whole.
    voxels : int
        Voxels judged, all channels together.
    """

    coverage: dict[float, float]
    rank_correlation: float
    error_over_std: float
    voxels: int


def judge_spread(
    volume: np.ndarray,
    std: np.ndarray,
    truth: np.ndarray,
    where: np.ndarray | None = None,
    levels: Sequence[float] = LEVELS,
) -> SpreadQuality:
    """Judge a standard deviation by the truth.

    Parameters
    ----------
    volume, std, truth : ndarray (channel, z, y, x) or (z, y, x)
        On one grid, in one unit.
    where : ndarray of bool (z, y, x) or (channel, z, y, x), optional
        Voxels to judge, e.g. `away_from_edges` or one of `voxel_classes`; default: all.
    levels : sequence of float
        Nominal probabilities, in (0, 1).

    Returns
    -------
    SpreadQuality
        Over the voxels of all channels together.

    Raises
    ------
    InputError
        Shapes differ, or no voxel is left.
    """
    volume, std, truth = as_channels(volume), as_channels(std), as_channels(truth)
    same_shape('volume', volume.shape, 'truth', truth.shape)
    same_shape('standard deviation', std.shape, 'truth', truth.shape)
    where = np.ones(truth.shape[1:], bool) if where is None else np.asarray(where, bool)
    same_shape('choice of voxels', where.shape, 'truth', truth.shape[-where.ndim :])
    where = np.broadcast_to(where, truth.shape)
    if not where.any():
        raise InputError('No voxel is left to judge the error bars by; choose a larger part of the volume.')
    error, spread = np.abs(volume - truth)[where], std[where]
    # Half a second to import, in every computing process.
    from scipy.stats import norm, spearmanr

    # Quantiles of the two-sided interval; rounding shall not push an exact volume out of an empty one.
    coverage = {q: float((error <= norm.ppf((1 + q) / 2) * spread + 1e-12).mean()) for q in levels}
    ranked = float(np.ptp(error)) > 0 and float(np.ptp(spread)) > 0
    rank = float(spearmanr(spread, error).statistic) if ranked else float('nan')
    size = float(np.sqrt((error**2).sum() / max(float((spread**2).sum()), 1e-300)))
    return SpreadQuality(coverage, rank, size, int(error.size))


def reliability(
    volume: np.ndarray, std: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None, bins: int = 10
) -> list[tuple[float, float]]:
    """Stated standard deviation against the error found, in bins of equally many voxels.

    Parameters
    ----------
    volume, std, truth : ndarray (channel, z, y, x) or (z, y, x)
        On one grid, in one unit.
    where : ndarray of bool (z, y, x) or (channel, z, y, x), optional
        Voxels to judge; default: all.
    bins : int
        From the smallest to the largest standard deviation.

    Returns
    -------
    list of (float, float)
        Root mean square of the standard deviation and of the error in each bin.
    """
    volume, std, truth = as_channels(volume), as_channels(std), as_channels(truth)
    where = np.ones(truth.shape[1:], bool) if where is None else np.asarray(where, bool)
    error, spread = (volume - truth)[:, where].ravel(), std[:, where].ravel()
    groups = np.array_split(np.argsort(spread, kind='stable'), bins)
    return [(float(np.sqrt((spread[g] ** 2).mean())), float(np.sqrt((error[g] ** 2).mean()))) for g in groups if g.size]


def band(volume: np.ndarray, max_tilt: TiltRange, missing: bool = False) -> np.ndarray:
    """The part of a volume that the tilts measure, or that inside the missing wedge.

    Parameters
    ----------
    volume : ndarray (..., z, y, x)
        Tilt axis along y, beam at zero tilt along z.
    max_tilt : float or (float, float)
        Largest tilt to either side, degrees, or the smallest and the largest.
    missing : bool
        The frequencies inside the wedge instead; both parts add up to the volume.

    Returns
    -------
    ndarray like volume
    """
    volume = np.asarray(volume, float)
    axes = (-3, -2, -1)
    z, y, x = volume.shape[-3:]
    kept = measured_frequencies((z, y, x), max_tilt)
    return np.asarray(ifftn(fftn(volume, axes=axes) * (~kept if missing else kept), axes=axes).real)


def away_from_edges(phases: np.ndarray, voxels: int = 1) -> np.ndarray:
    """Voxels with no other phase nearby.

    Parameters
    ----------
    phases : ndarray of int (z, y, x)
        Phase of each voxel of the truth.
    voxels : int
        How far other phases must be, diagonals included.

    Returns
    -------
    ndarray of bool (z, y, x)
    """
    size = 2 * voxels + 1
    return maximum_filter(phases, size, mode='nearest') == minimum_filter(phases, size, mode='nearest')
