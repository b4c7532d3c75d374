"""Tilt angles that no stage reaches, or without a low tilt: not counted from the untilted specimen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_diptomo.series.findings import Finding

#: No stage of a transmission electron microscope tilts further, degrees.
_STAGE_LIMIT = 90.0
#: A series on one side that does not come closer to the untilted specimen than this is questioned, degrees.
_LOW_TILT = 20.0


def doubtful_range(angles: np.ndarray, offset: float = 0.0) -> Finding | None:
    """A doubt where the angles are unlikely to be counted from the untilted specimen, with the offset that may be missing.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.
    offset : float
        That was added to them already.

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
    what = _what(low, high)
    evidence = {'lowest, deg': low, 'highest, deg': high}
    if abs(centre) < 1.0:
        sentence = f'{what}; check that they are tilts in degrees.'
        return Finding('doubt', 'tilt angles', sentence, evidence)
    return Finding(
        'doubt',
        'tilt angles',
        f'{what}: they seem to be counted from one end, as in computed tomography, and the volume will be turned about its '
        f'axis. If {centre:g}° is the untilted specimen, open with an angle offset of {offset - centre:g}° '
        f'({low - centre:g}° to {high - centre:g}°).',
        evidence | {'angle offset, deg': offset - centre},
    )


def range_beside_spectra(doubt: Finding, offset: float) -> Finding:
    """The doubt of `doubtful_range` about images beside spectra: an offset is added to the angles of both.

    Parameters
    ----------
    doubt : Finding
    offset : float
        That was added to the angles of both already.

    Returns
    -------
    Finding
        Another finding as it is.
    """
    if 'angle offset, deg' not in doubt.evidence:
        return doubt
    low, high, wanted = (float(doubt.evidence[f'{name}, deg']) for name in ('lowest', 'highest', 'angle offset'))
    what = _what(low, high)
    if offset:
        sentence = (
            f'{what}: the angle offset of {offset:g}° was added to them, as to those of the spectra. If they were counted '
            f'from the untilted specimen before, give angles that are {abs(offset):g}° {"higher" if offset < 0 else "lower"}.'
        )
    else:
        sentence = (
            f'{what}: they seem to be counted from one end, as in computed tomography. If the angles of the spectra are too, '
            f'open both with an angle offset of {wanted:g}°; else give the angles of these images from {low + wanted:g}° to '
            f'{high + wanted:g}°.'
        )
    return replace(doubt, sentence=sentence)


def _what(low: float, high: float) -> str:
    """Between which angles a series lies, and what is strange about them."""
    worst = low if -low > high else high
    beyond = abs(worst) > _STAGE_LIMIT
    strange = f'no stage tilts to {worst:g}°' if beyond else f'none is below {min(abs(low), abs(high)):g}°'
    return f'The angles go from {low:g}° to {high:g}°, and {strange}'
