"""Mean of a pixel's neighbours without the pixel itself: its expected signal."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def neighbours(images: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Gaussian mean over the last two axes without the pixel itself, never negative.

    A variance estimated with the pixel's own counts makes low counts look
    precise and pulls every weighted mean down (Neyman's bias): at 0.2 counts
    per pixel by a tenth.
    """
    widths = (0,) * (images.ndim - 2) + (sigma, sigma)
    images = np.asarray(images, np.float64)
    centre = np.zeros((2 * int(4 * sigma) + 3,) * 2)
    centre[centre.shape[0] // 2, centre.shape[1] // 2] = 1.0
    own = ndimage.gaussian_filter(centre, sigma).max()
    smooth = ndimage.gaussian_filter(images, widths, mode='nearest')
    return np.maximum((smooth - own * images) / (1 - own), 0)
