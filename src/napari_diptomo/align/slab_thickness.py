r"""Thickness of a slab that extends beyond the field of view, from the parallax of its structure.

At the tilt t a slab shows the point (x, z) at x cos t + z sin t. Stretched by 1 / cos t and transformed along x, its image is

    D_t(k) = integral of F(k, z) exp(-i k z tan t) dz,

F being the structure at the depth z. With structure of the coherence g along the beam, alike at all depths of a slab of
the thickness T at the height h,

    <D_t D*_t'> = P(k) int int g(z - z') exp(-i k ((z + h) tan t - (z' + h) tan t')) dz dz' + N_t delta_tt':

images of tilts that lie far apart agree the less the thicker it is, and structure that runs through the slab is blurred
by tilting it. Noise enters the diagonal alone, with the known N_t, so that few counts bias nothing. The likelihood of
Gaussian fields (Whittle 1953, Ark. Mat. 2, 423) is taken at each k, with P(k) for bands along the tilt axis profiled
out; height and tilt of the slab are fitted, the coherence length of g is marginalised. Windows in x and y keep the edges of
the field out; theirs is the smoothing over neighbouring k.

Faces without structure show no parallax. So the error has a part that is proportional to the thickness (`_SYSTEMATIC`), measured on films of
spheres, layers and soft structure.

Formulas: thickness of a slab from parallax (`slab_thickness`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Planes of the slab, bands along the tilt axis, finest structure in radians per pixel.
_PLANES, _BANDS, _FINEST = 16, 3, 1.6
#: Coherence lengths along the beam, pixels: from grains to structure that runs through.
_COHERENCE = (0.5, 2.0, 5.0, 15.0, 200.0)
_THICKNESSES = 18
#: Heights that are tried, of the width of the images, and what is expected of them, one standard deviation.
_HEIGHTS, _HEIGHT = np.linspace(-0.15, 0.15, 7), 0.07
#: Cells that the windows make of one, and the excess of real structure over a Gaussian field.
_CORRELATED = 2.25 * 1.5
#: Thickness over that of what shows structure, and the part of it that unlike structures are wrong by.
_FACES, _SYSTEMATIC = 1.2, 0.22
_THINNEST = 1.0


@dataclass(frozen=True)
class SlabThickness:
    """A slab as its parallax shows it.

    Attributes
    ----------
    thickness, error : float
        Along the beam, and its standard error, pixels; the error includes what unlike structures are wrong by.
    height : float
        Of its middle plane above the tilt axis, pixels.
    """

    thickness: float
    error: float
    height: float


def slab_thickness(
    images: np.ndarray, variance: np.ndarray, angles: np.ndarray, shifts: np.ndarray, errors: np.ndarray
) -> SlabThickness:
    """Thickness of a slab that fills the images.

    Parameters
    ----------
    images, variance : ndarray (tilt, y, x)
        Proportional to mass, and the variance of their noise.
    angles : ndarray (tilt,)
        Degrees.
    shifts : ndarray (tilt, 2)
        Where the specimen sits in each image, pixels (y, x).
    errors : ndarray (tilt,)
        Standard errors of the shifts, pixels.

    Returns
    -------
    SlabThickness
    """
    width = images.shape[2]
    spectra = _spectra(images, variance, angles, shifts, errors)
    tried = np.geomspace(_THINNEST, 1.2 * width, _THICKNESSES)
    heights = width * _HEIGHTS
    misfit = np.array([[spectra.misfits(t, c, heights) for c in _COHERENCE] for t in tried])
    misfit += (_HEIGHTS / _HEIGHT) ** 2 / 2
    weight = np.exp(misfit.min() - misfit)
    weight /= weight.sum()
    of_thickness, of_height = weight.sum(axis=(1, 2)), weight.sum(axis=(0, 1))
    mean = float(of_thickness @ tried)
    step = mean * (tried[1] / tried[0] - 1)
    spread = np.sqrt(of_thickness @ (tried - mean) ** 2 + step**2 / 12)
    return SlabThickness(
        _FACES * mean, _FACES * float(np.hypot(spread, _SYSTEMATIC * mean)), float(of_height @ heights)
    )


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Cross-spectra (k, band, tilt, tilt) whitened by the noise, their degrees of freedom (band,), and what they depend on."""

    cross: np.ndarray
    degrees: np.ndarray
    whitening: np.ndarray
    k: np.ndarray
    tangents: np.ndarray
    errors: np.ndarray

    def misfits(self, thickness: float, coherence: float, heights: np.ndarray) -> np.ndarray:
        """Minus the logarithm of the likelihood at each height, the power of the structure profiled out."""
        model = self._model(thickness, coherence) * self.whitening[:, None] * self.whitening
        values, vectors = np.linalg.eigh(model)
        strength = np.geomspace(1e-2, 1e5, 30)[:, None, None, None] / np.abs(values).sum(-1).mean()
        expected = 1 + strength * np.maximum(values, 0)[None, :, None]
        constant = np.log(expected).sum(axis=-1)
        found = []
        for height in heights:
            # A slab at another height has the same structure, displaced in each image.
            here = vectors * np.exp(-1j * height * self.k[:, None] * self.tangents)[:, :, None]
            power = np.real((here.conj()[:, None] * (self.cross @ here[:, None])).sum(axis=2))
            each = constant + (power / expected).sum(axis=-1)
            found.append(float((each.min(axis=0) * self.degrees).sum() / _CORRELATED))
        return np.array(found)

    def _model(self, thickness: float, coherence: float) -> np.ndarray:
        z = ((np.arange(_PLANES) + 0.5) / _PLANES - 0.5) * thickness
        k = np.concatenate([[2 * self.k[0] - self.k[1]], self.k, [2 * self.k[-1] - self.k[-2]]])
        wave = np.exp(-1j * k[:, None, None] * self.tangents[:, None] * z)
        alike = np.exp(-((z[:, None] - z) ** 2) / (2 * coherence**2))
        found = (wave @ alike) @ wave.conj().swapaxes(1, 2) / _PLANES**2
        found = (found[:-2] + 4 * found[1:-1] + found[2:]) / 6
        # Of an image that is displaced by chance the structure is displaced, not its power.
        loss = np.exp(-((self.k[:, None] * self.errors) ** 2) / 2)
        kept = loss[:, :, None] * loss[:, None]
        kept[:, np.arange(len(self.errors)), np.arange(len(self.errors))] = 1
        return np.asarray(found * kept)


def _spectra(
    images: np.ndarray, variance: np.ndarray, angles: np.ndarray, shifts: np.ndarray, errors: np.ndarray
) -> _Spectra:
    tilts, ny, nx = images.shape
    cosines = np.cos(np.deg2rad(angles))
    k = 2 * np.pi / nx * np.arange(1, max(int(_FINEST * nx / (2 * np.pi)), 3) + 1)
    rows = 2 * np.pi / ny * np.arange(-(ny // 4), ny // 4 + 1)
    found = np.empty((tilts, len(rows), len(k)), complex)
    noise = np.empty(tilts)
    for t, (image, of_noise) in enumerate(zip(images, variance, strict=True)):
        x = (np.arange(nx) - (nx - 1) / 2 - shifts[t, 1]) / cosines[t]
        y = np.arange(ny) - (ny - 1) / 2 - shifts[t, 0]
        window = _hann(y, ny)[:, None] * _hann(x, nx)
        mean = (image * window).sum() / window.sum()
        found[t] = np.exp(-1j * np.outer(rows, y)) @ ((image / mean - 1) * window) @ np.exp(-1j * np.outer(x, k))
        found[t] /= window.sum()
        noise[t] = (of_noise * window**2).sum() / (mean * window.sum()) ** 2
    whitening = 1 / np.sqrt(noise)
    found *= whitening[:, None, None]
    bands = np.array_split(np.argsort(np.abs(rows), kind='stable'), _BANDS)
    cross = np.stack([np.einsum('tyk,syk->kts', found[:, b], found[:, b].conj()) / len(b) for b in bands], axis=1)
    degrees = np.array([len(b) for b in bands], float)
    return _Spectra(cross, degrees, whitening, k, np.tan(np.deg2rad(angles)), errors)


def _hann(positions: np.ndarray, width: int) -> np.ndarray:
    return np.where(np.abs(positions) < width / 2, np.cos(np.pi * positions / width) ** 2, 0.0)
