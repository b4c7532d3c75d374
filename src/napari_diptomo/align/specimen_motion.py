r"""Gauge freedom of an alignment: motions of the specimen, and the tilt axis, that images do not determine.

Image t shows the point (x, y, z) at

    u = a + (x - a) cos t + z sin t + s_x(t),    v = y + s_y(t).

Moving the whole specimen by (dx, dy, dz) changes s_x by dx cos t + dz sin t and
s_y by dy: no image shows the difference. This gauge freedom (`geometry.rigid_motion`) is used so that
the mass lies at middle height and the shifts are as small as they can be, which
keeps most of every image in the volume.

The position a of the tilt axis adds a (1 - cos t): the shifts contain it
already. It is separated from them only as that smooth part which leaves the
remaining shifts smallest; the sum of both, and so the volume, stays the same.
Over +-40 degrees the pattern is weak, hence the uncertainty that goes with it.

Formulas: tilt axis (`tilt_axis_in`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CLEAR = 3.0  # standard deviations


@dataclass(frozen=True)
class Axis:
    """Position of the tilt axis from the middle of the images and its standard deviation, pixels."""

    shift: float
    uncertainty: float


def smallest_shifts(shifts: np.ndarray, angles: np.ndarray, height: float = 0.0) -> np.ndarray:
    """The same shifts, as small as motions along y and x make them, with mass from ``height`` brought to the middle."""
    t = np.deg2rad(angles)
    along_x = shifts[:, 1] + height * np.sin(t)
    along_x = along_x - (along_x @ np.cos(t)) / (np.cos(t) @ np.cos(t)) * np.cos(t)
    return np.stack([shifts[:, 0] - shifts[:, 0].mean(), along_x], axis=1)


def tilt_axis_in(shifts: np.ndarray, angles: np.ndarray, largest: float) -> Axis:
    """The tilt axis that leaves the smallest shifts; 0 where they show none clearly within ``largest`` pixels."""
    t = np.deg2rad(angles)
    if len(t) < 5:
        return Axis(0.0, float('inf'))
    # Motions of the specimen are fitted too: they must not pass for an axis.
    patterns = np.stack([np.ones_like(t), np.cos(t), np.sin(t)], axis=1)
    fitted, *_ = np.linalg.lstsq(patterns, shifts[:, 1], rcond=None)
    left = shifts[:, 1] - patterns @ fitted
    variance = (left**2).sum() / (len(t) - 3) * np.linalg.inv(patterns.T @ patterns)[0, 0]
    uncertainty = float(np.sqrt(variance))
    clear = abs(fitted[0]) > _CLEAR * uncertainty and abs(fitted[0]) < largest
    return Axis(float(fitted[0]) if clear else 0.0, uncertainty)
