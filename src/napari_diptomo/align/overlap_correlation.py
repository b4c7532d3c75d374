r"""Normalised correlation of two images over whatever they share, for every displacement.

At a displacement d the images a(x + d) and b(x) overlap in some pixels only. Over these, means and variances included,

    c(d) = sum (a - <a>)(b - <b>) / sqrt(sum (a - <a>)^2 sum (b - <b>)^2),

all sums by FFT of images and masks (D. Padfield, IEEE Trans. Image Process. 21 (2012) 2706, 10.1109/TIP.2011.2181402;
scikit-image has it, but returns the one highest peak). No window is needed, so a specimen at the edge of its image
is seen as well as one in the middle, and displacements up to more than half the field are found. Few pixels correlate
well by chance: the correlation is multiplied by the root of the share that overlaps.

Formulas: correlation over the overlap (`overlap_correlation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

#: Displacements at which less of the images overlaps are not looked at.
LEAST_OVERLAP = 0.35
#: Variance of one overlap, relative to the largest, below which it shows nothing.
_FLAT = 1e-3


@dataclass(frozen=True)
class OverlapCorrelation:
    """Correlation for every displacement in whole pixels, (y, x), with zero displacement at ``origin``.

    ``values`` are weighted by the overlap, which would draw maxima towards zero displacement; ``unweighted`` are not.
    """

    values: np.ndarray
    unweighted: np.ndarray
    origin: np.ndarray

    def at(self, displacement: np.ndarray) -> float:
        """Interpolated at a displacement (y, x) in pixels; -1 beyond the map."""
        where = (np.asarray(displacement) + self.origin)[:, None]
        return float(ndimage.map_coordinates(self.values, where, order=1, cval=-1.0)[0])

    def peaks(self, number: int, largest: np.ndarray) -> list[np.ndarray]:
        """The highest maxima within ``largest`` (y, x) pixels, to a fraction of a pixel, highest first; one at least."""
        from skimage.feature import peak_local_max

        low = np.maximum(np.ceil(self.origin - largest).astype(int), 0)
        high = np.floor(self.origin + largest).astype(int) + 1
        part = self.values[low[0] : high[0], low[1] : high[1]]
        found = peak_local_max(part, min_distance=2, num_peaks=number, exclude_border=False)
        if not len(found):
            found = np.array(np.unravel_index(part.argmax(), part.shape))[None]
        return [self._refined(peak + low) - self.origin for peak in found]

    def _refined(self, peak: np.ndarray) -> np.ndarray:
        """Vertex of the parabola through a maximum and its neighbours along each axis."""
        refined = peak.astype(float)
        for axis in (0, 1):
            if not 0 < peak[axis] < self.values.shape[axis] - 1:
                continue
            step = np.eye(2, dtype=int)[axis]
            before, here, after = (self.unweighted[tuple(peak + k * step)] for k in (-1, 0, 1))
            bend = before - 2 * here + after
            if bend < 0:
                refined[axis] += np.clip(0.5 * (before - after) / bend, -1, 1)
        return refined


def overlap_correlation(
    image: np.ndarray, reference: np.ndarray, seen: np.ndarray, reference_seen: np.ndarray
) -> OverlapCorrelation:
    """Correlate an image with a reference of the same shape.

    Parameters
    ----------
    image, reference : ndarray (y, x)
    seen, reference_seen : ndarray of bool (y, x)
        The pixels of each that count.

    Returns
    -------
    OverlapCorrelation
        Highest where ``image`` displaced back by it looks like ``reference``.
    """
    size = [fft.next_fast_len(2 * n - 1, True) for n in image.shape]

    def spectrum(a: np.ndarray) -> np.ndarray:
        return np.asarray(fft.rfft2(a.astype(float), size))

    def summed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(fft.irfft2(a * np.conj(b), size))

    a, b = image * seen, reference * reference_seen
    fa, fb, ma, mb = spectrum(a), spectrum(b), spectrum(seen), spectrum(reference_seen)
    number = np.maximum(np.round(summed(ma, mb)), 1)
    sum_a, sum_b = summed(fa, mb), summed(ma, fb)
    spread_a = np.maximum(summed(spectrum(a * a), mb) - sum_a**2 / number, 0)
    spread_b = np.maximum(summed(ma, spectrum(b * b)) - sum_b**2 / number, 0)
    spread = np.sqrt(spread_a * spread_b)
    floor = _FLAT * max(float(spread.max()), np.finfo(float).tiny)
    found = np.where(spread > floor, (summed(fa, fb) - sum_a * sum_b / number) / np.maximum(spread, floor), 0.0)
    overlap = number / max(min(seen.sum(), reference_seen.sum()), 1)
    weighted = np.where(found > 0, found * np.sqrt(overlap), found)
    values = np.fft.fftshift(np.where(overlap >= LEAST_OVERLAP, weighted, -1.0))
    return OverlapCorrelation(values, np.fft.fftshift(found), np.array(values.shape) // 2)
