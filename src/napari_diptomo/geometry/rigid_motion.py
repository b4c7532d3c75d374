r"""Gauge freedom of the shifts: motions of the specimen that no image shows.

Moving the whole specimen by (dx, dy, dz) changes the shifts across the tilt axis by dx cos t + dz sin t and those along it
by dy (see `ParallelBeam`): volume and shifts together explain the images as before.

Formulas: gauge freedom of an alignment (`rigid_motion`).
"""

from __future__ import annotations

import numpy as np


def rigid_motion(shifts: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The part of the shifts that a motion of the specimen explains, by least squares.

    Parameters
    ----------
    shifts : ndarray (tilt, 2)
        Pixels (y, x).
    angles : ndarray (tilt,)
        Degrees.

    Returns
    -------
    ndarray (tilt, 2)
        The mean along y, a cosine and a sine of the tilt along x.
    """
    t = np.deg2rad(angles)
    patterns = np.stack([np.cos(t), np.sin(t)], axis=1)
    along_x = patterns @ np.linalg.lstsq(patterns, shifts[:, 1], rcond=None)[0]
    return np.stack([np.full(len(t), shifts[:, 0].mean()), along_x], axis=1)


def without_rigid_motion(shifts: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The part of the shifts (tilt, 2) that no motion of the specimen explains."""
    return shifts - rigid_motion(shifts, angles)
