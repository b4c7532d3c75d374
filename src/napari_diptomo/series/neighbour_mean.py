"""Mean of a pixel's neighbours without the pixel itself: its expected signal.

Formulas: mean of the neighbours without the pixel itself (`neighbours`).
"""

from __future__ import annotations

import numpy as np


def neighbours(images: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Gaussian mean over the last two axes without the pixel itself, never negative.

    A variance estimated with the pixel's own counts makes low counts look
    precise and pulls every weighted mean down (Neyman's bias): at 0.2 counts
    per pixel by a tenth.

    Parameters
    ----------
    images : ndarray (..., y, x)
        Beyond their borders the outermost pixels are repeated.
    sigma : float
        Standard deviation of the Gaussian, pixels.

    Returns
    -------
    ndarray (..., y, x), float64
    """
    images = np.asarray(images, np.float64)
    return np.maximum(neighbour_sums(images, sigma, 'nearest') / (1 - _own_weight(sigma)), 0)


def neighbour_sums(images: np.ndarray, sigma: float, mode: str = 'constant') -> np.ndarray:
    """Gaussian sum over the last two axes without the pixel itself; the weights with the pixel's own add up to one.

    Parameters
    ----------
    images : ndarray (..., y, x)
        Floating point.
    sigma : float
        Standard deviation of the Gaussian, pixels.
    mode : str
        What lies beyond the borders, as `scipy.ndimage` has it; ``'constant'``: nothing.

    Returns
    -------
    ndarray (..., y, x)
    """
    from scipy import ndimage

    widths = (0,) * (images.ndim - 2) + (sigma, sigma)
    return ndimage.gaussian_filter(images, widths, mode=mode) - _own_weight(sigma) * images


def _own_weight(sigma: float) -> float:
    """Weight of the middle pixel of the Gaussian."""
    from scipy import ndimage

    centre = np.zeros((2 * int(4 * sigma) + 3,) * 2)
    centre[centre.shape[0] // 2, centre.shape[1] // 2] = 1.0
    return float(ndimage.gaussian_filter(centre, sigma).max())
