"""Scores of a volume against a known truth: PSNR, SSIM, composition.

Nothing is stretched, clipped or fitted before it is compared: the truth alone
sets the range, so a volume of the wrong scale scores as badly as it should.

    PSNR = 20 log10(range(truth) / rms(volume - truth))

SSIM is that of Wang et al., IEEE TIP 13 (2004) 600, in three dimensions with
a cube of 7 voxels. Both blur over what an error looks like; read them with
the Fourier shell correlation inside the missing wedge
(`napari_diptomo.assess.fsc_wedge`), never alone.

Formulas: PSNR (`psnr`); SSIM (`ssim`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion
from skimage.metrics import structural_similarity

from napari_diptomo.assess._arrays import as_channels, same_shape
from napari_diptomo.assess.resolution import TiltRange, fsc_wedge
from napari_diptomo.series.errors import InputError


def psnr(volume: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each channel.

    Parameters
    ----------
    volume, truth : ndarray (channel, z, y, x) or (z, y, x)
        In the same units.

    Returns
    -------
    ndarray (channel,)
        20 log10(range(truth) / rms(volume - truth)), dB; infinite where both agree exactly. ``.mean()`` is the common
        summary.

    Raises
    ------
    InputError
        Shapes differ, or a channel of the truth is constant.
    """
    volume, truth = _pair(volume, truth)
    rms = np.sqrt(((volume - truth) ** 2).mean(axis=(1, 2, 3)))
    with np.errstate(divide='ignore'):
        return 20 * np.log10(_ranges(truth) / rms)


def ssim(volume: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity of each channel, in three dimensions (Wang et al., IEEE TIP 13 (2004) 600).

    Parameters
    ----------
    volume, truth : ndarray (channel, z, y, x) or (z, y, x)
        In the same units, at least 3 voxels along every axis.

    Returns
    -------
    ndarray (channel,)
        1 for identical channels.

    Raises
    ------
    InputError
        Shapes differ, a channel of the truth is constant, or an axis is too short.
    """
    volume, truth = _pair(volume, truth)
    shortest = min(truth.shape[1:])
    if shortest < 3:
        raise InputError(f'SSIM needs at least 3 voxels along every axis, not {shortest}; compare a larger volume.')
    window = min(7, shortest - (shortest + 1) % 2)
    ranges = _ranges(truth)
    return np.array(
        [
            structural_similarity(v, t, data_range=r, win_size=window)
            for v, t, r in zip(volume, truth, ranges, strict=True)
        ]
    )


@dataclass(frozen=True, eq=False)
class CompositionError:
    """How far the composition of a volume is from the true one.

    Attributes
    ----------
    mean_absolute : float
        Mean over all voxels of all phases and over the channels of
        ``|fraction - true fraction|``; 0 to 1.
    labels : tuple of int
        The phases.
    bias : ndarray (phase, channel)
        Mean of ``fraction - true fraction`` inside each phase, two voxels away
        from its border where the phase is thick enough.
    in_voids : float
        Mean sum of the channels outside every phase, over that inside:
        matter reconstructed where there is none. NaN without voids.
    """

    mean_absolute: float
    labels: tuple[int, ...]
    bias: np.ndarray
    in_voids: float


def composition_error(volume: np.ndarray, truth: np.ndarray, phases: np.ndarray) -> CompositionError:
    """Compare fractions of the channel sum with the true ones, phase by phase.

    Parameters
    ----------
    volume, truth : ndarray (channel, z, y, x)
        Non-negative concentrations in the same units, e.g. after division by k-factors.
    phases : ndarray of int (z, y, x)
        Label of the phase in each voxel, 0 where the specimen is not.

    Returns
    -------
    CompositionError

    Raises
    ------
    InputError
        Shapes differ, or there is no phase.
    """
    volume, truth = _pair(volume, truth)
    phases = np.asarray(phases)
    same_shape('phases', phases.shape, 'volume', truth.shape[1:])
    labels = tuple(int(label) for label in np.unique(phases) if label != 0)
    if not labels:
        raise InputError('There is no phase to judge: every label is 0; label the voxels of the specimen from 1 up.')
    error = _fractions(volume) - _fractions(truth)
    inside = phases != 0
    bias = np.stack([error[:, _core(phases == label)].mean(axis=1) for label in labels])
    total = volume.sum(axis=0)
    in_voids = total[~inside].mean() / max(total[inside].mean(), np.finfo(float).tiny) if (~inside).any() else np.nan
    return CompositionError(float(np.abs(error[:, inside]).mean()), labels, bias, float(in_voids))


def compare(volume: np.ndarray, truth: np.ndarray, max_tilt: TiltRange) -> dict[str, float]:
    """The four figures to report together, each the mean over the channels.

    Parameters
    ----------
    volume, truth : ndarray (channel, z, y, x)
        In the same units.
    max_tilt : float or (float, float)
        Largest tilt of the series to either side, degrees, or its smallest and largest.

    Returns
    -------
    dict
        ``psnr`` (dB), ``ssim``, ``fsc_measured`` and ``fsc_missing``: the Fourier
        shell correlation outside and inside the missing wedge.
    """
    wedge = fsc_wedge(volume, truth, max_tilt)
    return {
        'psnr': float(psnr(volume, truth).mean()),
        'ssim': float(ssim(volume, truth).mean()),
        'fsc_measured': float(wedge.measured.mean()),
        'fsc_missing': float(wedge.missing.mean()),
    }


def _pair(volume: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    volume, truth = as_channels(volume), as_channels(truth)
    same_shape('volume', volume.shape, 'truth', truth.shape)
    return volume, truth


def _ranges(truth: np.ndarray) -> np.ndarray:
    ranges = truth.max(axis=(1, 2, 3)) - truth.min(axis=(1, 2, 3))
    if (ranges <= 0).any():
        raise InputError(
            f'Channel {int(np.argmin(ranges))} of the truth is the same everywhere; leave it out of the comparison.'
        )
    return ranges


def _fractions(concentrations: np.ndarray) -> np.ndarray:
    total = concentrations.sum(axis=0)
    return np.divide(concentrations, total, out=np.zeros_like(concentrations), where=total > 0)


def _core(phase: np.ndarray) -> np.ndarray:
    # A border voxel mixes two phases by the blur of any reconstruction; a bias
    # there says nothing on the composition of either.
    core = binary_erosion(phase, iterations=2)
    return core if core.any() else phase
