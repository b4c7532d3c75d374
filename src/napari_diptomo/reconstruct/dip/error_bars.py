r"""Error bars from the spread of an ensemble, and from the errors that all its members share.

The standard deviation of a voxel of the mean is the root of the sum of four squares,

    std^2 = (SHARE c s)^2 + (EDGE b)^2 + d^2 + p^2.

c s is the spread s of the members times the factor c that the held-out counts ask
for (`ensemble`). They see the projections, whose errors come from edges and small
features; inside a body the spread is texture, which the mean over the members
loses in part: `SHARE` of it is left, a compromise between needles (0.4) and lamellae (0.8).

The other three terms are in no spread, for the prior has the same effect on every member:

- b = |x - G x|, G a Gaussian of `WIDTH` voxels across the beam: faces lie a fraction of a
  voxel off, whichever way.
- d = |R x - x|, R x a Richardson-Lucy deconvolution along the beam (Richardson 1972, J. Opt. Soc. Am. 62, 55)
  by a Gaussian of `AXIAL` voxels times the elongation of the missing wedge, sqrt((a + sin a cos a) / (a - sin a cos a))
  for tilts up to a (Radermacher 1988): faces normal to the beam may be as much sharper as it says.
- p = HEIGHT x q^4, q = 1 - G3 x / x, G3 as G and along the beam with its width times the elongation: the more of
  a peak such a blur would take, the less of its height can have survived the fit. Of cubes of one voxel
  a quarter of the density was found, of two voxels two thirds.

The constants were chosen on a needle, a porous body and a lamella, class by class (docs/uncertainty.md has the first
two; docs/limits.md says what others gave). A head leaves no voxel at zero: below `FLOOR` of a channel's largest value nothing is claimed.

Formulas: error bars of an ensemble (`standard_deviation`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

#: Voxels; the variance of a few members is itself too uncertain voxel by voxel.
SMOOTHING = 1.0
#: Of c s, inside bodies.
SHARE = 0.55
#: Voxels, standard deviation, across the beam, and how much of what such a blur would take is error.
WIDTH, EDGE = 0.8, 0.8
#: Voxels along the beam, to be multiplied by the elongation, and steps of the deconvolution.
AXIAL, STEPS = 0.625, 10
#: Largest error of a peak that is no wider than a voxel, in its heights.
HEIGHT = 3.0
#: Of a channel's largest value.
FLOOR = 5e-5


def standard_deviation(mean: np.ndarray, variance: np.ndarray, factor: float, tilts: Sequence[float]) -> np.ndarray:
    """Error bars of the mean of an ensemble.

    Parameters
    ----------
    mean : ndarray (channel, z, y, x)
        Of the members, not negative but for noise.
    variance : ndarray (channel, z, y, x)
        Of the members.
    factor : float
        c of the module, from `SpreadCheck`.
    tilts : sequence of float
        Smallest and largest tilt, degrees.

    Returns
    -------
    ndarray (channel, z, y, x), float32
        In the unit of the mean.
    """
    longer = elongation(tilts)
    found = np.empty(mean.shape, np.float32)
    for channel, (x, spread) in enumerate(zip(mean, smooth_spread(variance), strict=True)):
        parts = (edge_error(x), axial_error(x, longer), peak_error(x, longer), FLOOR * np.abs(x).max())
        found[channel] = np.sqrt((SHARE * factor) ** 2 * spread + sum(part**2 for part in parts))
    return found


def smooth_spread(variance: np.ndarray) -> np.ndarray:
    """Variance (channel, z, y, x) averaged over the neighbourhood of each voxel."""
    return np.stack([gaussian_filter(channel, SMOOTHING, mode='nearest') for channel in variance])


def elongation(tilts: Sequence[float]) -> float:
    """How much longer than wide a point is that was seen over these tilts (smallest, largest; degrees) alone."""
    a = np.deg2rad(np.clip((tilts[1] - tilts[0]) / 2, 10.0, 90.0))
    return float(np.sqrt((a + np.sin(a) * np.cos(a)) / (a - np.sin(a) * np.cos(a))))


def edge_error(x: np.ndarray) -> np.ndarray:
    """EDGE b of the module, (z, y, x)."""
    return EDGE * np.abs(x - gaussian_filter(x, (0, WIDTH, WIDTH), mode='nearest'))


def axial_error(x: np.ndarray, longer: float) -> np.ndarray:
    """d of the module, (z, y, x); ``longer`` is the elongation."""
    width, least = AXIAL * longer, 1e-6 * max(float(np.abs(x).max()), 1e-30)
    given = np.maximum(x, 0)
    sharp = given.copy()
    for _ in range(STEPS):
        blurred = np.maximum(gaussian_filter1d(sharp, width, axis=0, mode='nearest'), least)
        sharp *= gaussian_filter1d(given / blurred, width, axis=0, mode='nearest')
    return np.abs(sharp - given)


def peak_error(x: np.ndarray, longer: float) -> np.ndarray:
    """p of the module, (z, y, x); ``longer`` is the elongation."""
    given = np.maximum(x, 0)
    blurred = gaussian_filter(given, (longer * WIDTH, WIDTH, WIDTH), mode='nearest')
    lost = np.clip(1 - blurred / np.maximum(given, 1e-6 * max(float(given.max()), 1e-30)), 0, 1)
    return HEIGHT * given * lost**4
