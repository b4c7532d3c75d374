"""How far one image of a tilt series is displaced against another.

Cross-correlation by FFT (scikit-image), refined to a fraction of a pixel by
an upsampled transform (Guizar-Sicairos, Thurman and Fienup 2008, Opt. Lett.
33, 156). The images are band-passed first: the noise of single pixels and the
slow change of brightness over the field say nothing about a displacement. A
soft window keeps the edges, where other mass comes into view at each tilt, out
of it. Full phase normalisation would weigh all frequencies alike, and at a few
counts per pixel most of them hold noise alone.

Formulas: displacement by phase correlation (`displacement`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

#: Standard deviations of the two Gaussians of the band-pass, pixels.
FINE, COARSE = 1.0, 12.0
#: Share of the window that falls off to the edges.
TAPER = 0.3


def prepared(image: np.ndarray, fine: float = FINE) -> np.ndarray:
    """Band-passed and faded out to the edges, (y, x); details below ``fine`` pixels are smoothed away."""
    coarse = min(COARSE, min(image.shape) / 4)
    band = ndimage.gaussian_filter(image, fine) - ndimage.gaussian_filter(image, coarse)
    return band * _window(image.shape)


@lru_cache(maxsize=8)
def _window(shape: tuple[int, int]) -> np.ndarray:
    from skimage.filters import window

    return np.asarray(window(('tukey', TAPER), shape))


def displacement(image: np.ndarray, reference: np.ndarray, upsampling: int) -> np.ndarray:
    """Where the content of ``image`` sits relative to ``reference``, pixels (y, x); both `prepared`."""
    from skimage.registration import phase_cross_correlation

    found, _, _ = phase_cross_correlation(image, reference, upsample_factor=upsampling, normalization=None)
    return np.asarray(found, float)


def normalised_correlation(image: np.ndarray, reference: np.ndarray) -> float:
    """Normalised correlation of two `prepared` images, 1 where they are alike."""
    norm = np.linalg.norm(image) * np.linalg.norm(reference)
    return float((image * reference).sum() / norm) if norm > 0 else 0.0
