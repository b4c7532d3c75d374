"""Tilt angles that no stage reaches, or without a low tilt: not counted from the untilted specimen."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series.findings import Finding

#: No stage of a transmission electron microscope tilts further, degrees.
_STAGE_LIMIT = 90.0
#: A series on one side that does not come closer to the untilted specimen than this is questioned, degrees.
_LOW_TILT = 20.0


def doubtful_range(angles: np.ndarray) -> Finding | None:
    """A doubt where the angles are unlikely to be counted from the untilted specimen, with the offset that may be missing.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.

    Returns
    -------
    Finding or None
        None for angles as a stage has them.
    """
    low, high = float(angles.min()), float(angles.max())
    beyond = max(abs(low), abs(high)) > _STAGE_LIMIT
    if not beyond and not (len(angles) > 1 and (low > _LOW_TILT or high < -_LOW_TILT)):
        return None
    centre = (low + high) / 2
    # The untilted image is one of those recorded, where one lies near the middle.
    nearest = float(angles[np.abs(angles - centre).argmin()])
    if abs(nearest - centre) <= 1.0:
        centre = nearest
    what = (
        f'no stage tilts to {low if -low > high else high:g}°'
        if beyond
        else f'none is below {min(abs(low), abs(high)):g}°'
    )
    evidence = {'lowest, deg': low, 'highest, deg': high}
    if abs(centre) < 1.0:
        return Finding(
            'doubt',
            'tilt angles',
            f'The angles go from {low:g}° to {high:g}°, and {what}; check that they are tilts in degrees.',
            evidence,
        )
    return Finding(
        'doubt',
        'tilt angles',
        f'The angles go from {low:g}° to {high:g}°, and {what}: they seem to be counted from one end, as in computed '
        f'tomography, and the volume will be turned about its axis. If {centre:g}° is the untilted specimen, open with '
        f'an angle offset of {-centre:g}° ({low - centre:g}° to {high - centre:g}°).',
        evidence | {'angle offset, deg': -centre},
    )
