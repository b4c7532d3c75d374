"""Counted tilt series of a phantom: projected on the fine grid, binned, then counted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError, MapSeries, Volume
from napari_diptomo.series.reinsertion import Reinsertion
from napari_diptomo.simulate.phantoms import Phantom


@dataclass(frozen=True, eq=False)
class Simulated:
    """A simulated tilt series with what it was made from.

    Attributes
    ----------
    maps : MapSeries
        The counts.
    truth : Volume
        The specimen in the units of the counts: its projection with unit
        pixels is ``clean`` up to what the coarse grid cannot show.
    clean : ndarray (channel, tilt, y, x), float32
        Expected counts.
    """

    maps: MapSeries
    truth: Volume
    clean: np.ndarray


def project(phantom: Phantom, angles: ArrayLike, shifts: np.ndarray | None = None) -> np.ndarray:
    """Project the fine grid and sum its detector pixels to coarse ones.

    Parameters
    ----------
    phantom : Phantom
        The specimen.
    angles : array-like (tilt,)
        Tilts, degrees.
    shifts : ndarray (tilt, 2), optional
        Where the specimen sits in each image, coarse pixels (y, x).

    Returns
    -------
    ndarray (channel, tilt, y, x), float32
        Density times path, in coarse voxels.
    """
    s = phantom.supersample
    fine_shifts = None if shifts is None else np.asarray(shifts, float) * s
    beam = ParallelBeam(np.asarray(angles, float), shape=phantom.fine.shape[1:], shifts=fine_shifts)
    fine = beam.project(phantom.fine)
    c, t, y, x = fine.shape
    binned = fine.reshape(c, t, y // s, s, x // s, s).sum(axis=(3, 5), dtype=np.float64)
    return (binned / s**3).astype(np.float32)


def tilt_series(
    phantom: Phantom,
    angles: ArrayLike,
    peak_counts: float = 30.0,
    seed: int = 0,
    shifts: np.ndarray | None = None,
) -> Simulated:
    """Maps of a phantom with counting noise.

    Parameters
    ----------
    phantom : Phantom
        The specimen.
    angles : array-like (tilt,)
        Tilts, degrees.
    peak_counts : float
        Largest expected count over all channels, tilts and pixels; the
        channels keep their strengths relative to one another.
    seed : int
        Of the counting noise.
    shifts : ndarray (tilt, 2), optional
        True displacements, pixels (y, x); they are NOT written into the maps,
        finding them is the alignment's work.

    Returns
    -------
    Simulated
        The counts, the truth in counts per voxel of path, the expected counts.

    Raises
    ------
    InputError
        ``peak_counts`` not positive.
    """
    if not peak_counts > 0:
        raise InputError(f'The peak must be a positive number of counts, not {peak_counts}; give e.g. 30.')
    clean = project(phantom, angles, shifts)
    scale = peak_counts / float(clean.max())
    clean = np.maximum(clean * np.float32(scale), 0)
    counts = np.random.default_rng(seed).poisson(clean).astype(np.float32)
    maps = MapSeries(counts, np.asarray(angles, float), phantom.channels, phantom.voxel_size)
    truth = phantom.truth
    return Simulated(maps, replace(truth, data=truth.data * np.float32(scale)), clean)


def second_tilt_series(
    phantom: Phantom, placed: Reinsertion, angles: ArrayLike, peak_counts: float = 30.0, seed: int = 0
) -> Simulated:
    """Maps of a phantom that was taken out after a first series, turned, and put back.

    Parameters
    ----------
    phantom : Phantom
        The specimen as it lay in the first series.
    placed : Reinsertion
        How it lies in this one; it is NOT written into the maps.
    angles : array-like (tilt,)
        Tilts, degrees.
    peak_counts : float
        See `tilt_series`.
    seed : int
        Of the counting noise.

    Returns
    -------
    Simulated
        In the frame of the second series.

    Raises
    ------
    InputError
        ``peak_counts`` not positive.
    """
    # Torch, and only here.
    import torch

    from napari_diptomo.geometry.second_projector import resample

    z, y, x = phantom.fine.shape[1:]
    voxel = phantom.voxel_size / phantom.supersample
    fine = torch.as_tensor(np.ascontiguousarray(phantom.fine))
    moved = resample(fine, placed, (z, y, x), voxel, (z, y, x), voxel).numpy()
    return tilt_series(replace(phantom, fine=moved), angles, peak_counts, seed)
