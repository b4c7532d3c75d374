"""Resolution: Fourier shell correlation, the missing wedge, elongation.

The correlation of two volumes in the shell |k| = q,

    FSC(q) = Re sum F_a conj(F_b) / sqrt(sum |F_a|^2 sum |F_b|^2),

is 1 where both agree and near 0 where they do not (van Heel & Schatz, J.
Struct. Biol. 151 (2005) 250). By the projection-slice theorem a projection at
tilt t measures the plane through ky and (kx, kz) ~ (cos t, sin t). Between the
largest tilts frequencies count as measured; the rest is the missing wedge,
about which the data say nothing at all. The correlation with a known truth in
there is the honest figure of what a prior has restored.

Cutting the wedge out of the Fourier transform lengthens a point along the
beam by e = sqrt((a + sin a cos a) / (a - sin a cos a)) with the largest tilt
a: the ratio of the curvatures of the point spread function along x and z
(Radermacher in "Electron Tomography" (1992); Midgley & Weyland,
Ultramicroscopy 96 (2003) 413).

Formulas: Fourier shell correlation (`fsc`); elongation by the missing wedge (`wedge_elongation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import fftfreq, fftn

from napari_diptomo.assess._arrays import as_channels, same_shape
from napari_diptomo.series.errors import InputError

#: Largest tilt to either side, or (smallest, largest), degrees.
TiltRange = float | tuple[float, float]


@dataclass(frozen=True, eq=False)
class FSC:
    """A Fourier shell correlation.

    Attributes
    ----------
    frequency : ndarray (shell,)
        Middle of each shell, cycles per voxel, up to 0.5.
    correlation : ndarray (shell,)
        Between -1 and 1; NaN in a shell where a volume has no power.
    """

    frequency: np.ndarray
    correlation: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over the shells that have power."""
        known = np.isfinite(self.correlation)
        return float(self.correlation[known].mean()) if known.any() else float('nan')

    def resolution(self, threshold: float = 0.143) -> float:
        """Voxels per period where the curve first falls below a threshold.

        Parameters
        ----------
        threshold : float
            0.143 for two halves of the data, 0.5 against a truth.

        Returns
        -------
        float
            Period in voxels; 2 (Nyquist) when the curve never falls.
        """
        below = np.flatnonzero(self.correlation < threshold)
        if not below.size:
            return 2.0
        last = int(below[0])
        if last == 0:
            return 1 / float(self.frequency[0])
        high, low = self.correlation[last - 1], self.correlation[last]
        share = (high - threshold) / (high - low) if np.isfinite(high) else 1.0
        return 1 / float(self.frequency[last - 1] + share * (self.frequency[last] - self.frequency[last - 1]))


@dataclass(frozen=True, eq=False)
class WedgeFSC:
    """Mean Fourier shell correlation of each channel, measured and missing frequencies apart.

    Attributes
    ----------
    measured : ndarray (channel,)
        Over the frequencies that the tilts reach.
    missing : ndarray (channel,)
        Over those inside the missing wedge.
    """

    measured: np.ndarray
    missing: np.ndarray


def fsc(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> FSC:
    """Fourier shell correlation of two volumes (van Heel & Schatz, J. Struct. Biol. 151 (2005) 250).

    Parameters
    ----------
    a, b : ndarray (z, y, x)
        One channel each, on the same grid.
    mask : ndarray of bool (z, y, x), optional
        Frequencies to count, in the order of an FFT.

    Returns
    -------
    FSC
        One shell for every period that fits the shortest axis.

    Raises
    ------
    InputError
        Shapes differ, or these are not single channels.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    same_shape('first volume', a.shape, 'second', b.shape)
    if a.ndim != 3:
        raise InputError(f'A shell correlation needs the axes (z, y, x), not {a.ndim} axes; pass one channel.')
    fa, fb = fftn(a), fftn(b)
    radius = np.sqrt(sum(k**2 for k in _frequencies(a.shape)))
    step = 1 / min(a.shape)
    shell = np.round(radius / step).astype(int)
    shells = min(a.shape) // 2
    # The zero frequency is the mean, no structure; the corners of the cube lie
    # beyond what all axes resolve.
    use = (shell > 0) & (shell <= shells)
    if mask is not None:
        use &= mask
    index = shell[use]
    cross = np.bincount(index, (fa[use] * fb[use].conj()).real, shells + 1)[1:]
    power_a = np.bincount(index, np.abs(fa[use]) ** 2, shells + 1)[1:]
    power_b = np.bincount(index, np.abs(fb[use]) ** 2, shells + 1)[1:]
    # Rounding leaves some 1e-32 of the power where there is none; correlating it means nothing.
    floor = 1e-24
    known = (power_a > floor * (np.abs(fa) ** 2).sum()) & (power_b > floor * (np.abs(fb) ** 2).sum())
    correlation = np.divide(cross, np.sqrt(power_a * power_b), out=np.full(shells, np.nan), where=known)
    return FSC(np.arange(1, shells + 1) * step, correlation)


def fsc_wedge(volume: np.ndarray, truth: np.ndarray, max_tilt: TiltRange) -> WedgeFSC:
    """Mean shell correlation with the truth outside and inside the missing wedge.

    Parameters
    ----------
    volume, truth : ndarray (channel, z, y, x) or (z, y, x)
        Tilt axis along y, beam at zero tilt along z.
    max_tilt : float or (float, float)
        Largest tilt to either side, degrees, above 0 and below 90; or the
        smallest and the largest, e.g. ``(-40, 35)``.

    Returns
    -------
    WedgeFSC
        Means over the shells. A channel without power where the truth has some
        correlates by 0.

    Raises
    ------
    InputError
        Shapes differ, or the tilt leaves no wedge.
    """
    volume, truth = as_channels(volume), as_channels(truth)
    same_shape('volume', volume.shape, 'truth', truth.shape)
    measured = measured_frequencies(truth.shape[1:], max_tilt)

    def mean(mask: np.ndarray) -> np.ndarray:
        return np.array([np.nan_to_num(fsc(v, t, mask).mean) for v, t in zip(volume, truth, strict=True)])

    return WedgeFSC(mean(measured), mean(~measured))


def measured_frequencies(shape: tuple[int, ...], max_tilt: TiltRange) -> np.ndarray:
    """Which frequencies of a volume lie between the outermost tilts.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x).
    max_tilt : float or (float, float)
        Largest tilt to either side, degrees, above 0 and below 90; or the
        smallest and the largest, e.g. ``(-40, 35)``.

    Returns
    -------
    ndarray of bool (z, y, x)
        In the order of an FFT; True along the ky axis, which every tilt sees.
    """
    smallest, largest = _tilt_range(max_tilt)
    kz, _, kx = _frequencies(shape)
    # k and -k are one frequency of a real volume; half a plane holds all directions.
    tilt = np.degrees(np.arctan2(np.where(kx < 0, -kz, kz), np.abs(kx)))
    both_signs = (np.abs(kz) == 0.5) | (np.abs(kx) == 0.5)  # Nyquist of an even length

    def between(tilt: np.ndarray) -> np.ndarray:
        return (smallest - 1e-9 <= tilt) & (tilt <= largest + 1e-9)

    measured = between(tilt) | (both_signs & between(-tilt)) | ((kx == 0) & (kz == 0))
    return np.broadcast_to(measured, shape).copy()


def wedge_elongation(max_tilt: float) -> float:
    """Elongation along the beam that a missing wedge causes, by Radermacher's formula.

    Parameters
    ----------
    max_tilt : float
        Largest tilt, degrees, above 0 and below 90.

    Returns
    -------
    float
        1.31 at 70, 1.55 at 60, 2.41 at 40 degrees; what a linear reconstruction
        without a prior shows.
    """
    _check_tilt(max_tilt)
    a = np.radians(max_tilt)
    half = np.sin(a) * np.cos(a)
    return float(np.sqrt((a + half) / (a - half)))


def elongation(volume: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """Length along the beam over width across it, of one blob, by second moments.

    Parameters
    ----------
    volume : ndarray (channel, z, y, x) or (z, y, x)
        Each channel holds one compact object, round in (x, z) in truth.
    threshold : float
        Voxels below this share of the maximum are left out.

    Returns
    -------
    ndarray (channel,)
        1 when the object is as long along z as along x.

    Raises
    ------
    InputError
        A channel holds nothing, or nothing but a line or point.
    """
    ratios = []
    for channel in as_channels(volume):
        mass = np.where(channel >= threshold * channel.max(), np.clip(channel, 0, None), 0)
        in_z, in_x = _variance(mass.sum(axis=(1, 2))), _variance(mass.sum(axis=(0, 1)))
        if not (in_x > 0 and in_z > 0):
            raise InputError('There is no object to measure the elongation of; lower the threshold or pick a channel.')
        ratios.append(np.sqrt(in_z / in_x))
    return np.array(ratios)


def _frequencies(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, y, x = (fftfreq(n) for n in shape)
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _variance(profile: np.ndarray) -> float:
    total = profile.sum()
    if total <= 0:
        return 0.0
    position = np.arange(len(profile))
    centre = (profile * position).sum() / total
    return float((profile * (position - centre) ** 2).sum() / total)


def _tilt_range(tilts: TiltRange) -> tuple[float, float]:
    """(smallest, largest), degrees."""
    if np.ndim(tilts) == 0:
        _check_tilt(float(np.asarray(tilts)))
        return -float(np.asarray(tilts)), float(np.asarray(tilts))
    smallest, largest = (float(tilt) for tilt in np.asarray(tilts).ravel()[[0, -1]])
    if not -90 < smallest < largest < 90:
        raise InputError(
            f'A tilt range goes from one angle up to another between -90° and 90°, not from {smallest:g}° to '
            f'{largest:g}°; give it as (smallest, largest).'
        )
    return smallest, largest


def _check_tilt(max_tilt: float) -> None:
    if not 0 < max_tilt < 90:
        raise InputError(f'The largest tilt must lie between 0° and 90°, not {max_tilt}; give it in degrees.')
