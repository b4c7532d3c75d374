"""Findings of an alignment: tilts that leave the others, and how well all of them are determined."""

from __future__ import annotations

import numpy as np

from napari_diptomo.align.axis_rotation import Rotation
from napari_diptomo.align.held_out_tilts import Comparison
from napari_diptomo.series import Finding
from napari_diptomo.series.tilts import angles_in_words

#: A tilt is doubted when it is displaced against the prediction by so many pixels and standard errors,
_DISPLACED, _SIGMAS = 1.0, 4.0
#: when its standard error is so many pixels,
_UNCERTAIN = 1.5
#: or when it is predicted worse than the median tilt by so many standard deviations (from the median deviation), and by this at least.
_OUTLYING, _LEAST_LOSS = 5.0, 0.15
#: Standard error over all tilts, pixels, from which on that is a finding.
_POORLY_DETERMINED = 0.75


def doubtful_tilts(comparison: Comparison) -> np.ndarray:
    """Which tilts (tilt,) do not belong where they are; all, where most are not determined: what predicts the others is wrong too."""
    if not comparison.standard_error <= _UNCERTAIN:
        return np.ones(len(comparison.scores), bool)
    distance = np.hypot(*comparison.moves.T)
    error = np.hypot(*comparison.errors.T)
    displaced = (distance > _DISPLACED) & (distance > _SIGMAS * error)
    loss = np.median(comparison.scores) - comparison.scores
    spread = 1.4826 * np.median(np.abs(loss))
    unlike = (loss > _OUTLYING * spread) & (loss > _LEAST_LOSS)
    return np.asarray(displaced | (error > _UNCERTAIN) | unlike)


def alignment_findings(
    angles: np.ndarray, comparison: Comparison, doubtful: np.ndarray, rotation: Rotation | None
) -> tuple[Finding, ...]:
    """Findings of an alignment.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.
    comparison : Comparison
        Of the final shifts, in pixels of the images.
    doubtful : ndarray of bool (tilt,)
    rotation : Rotation, optional
        Of the axis, where it was looked for and is used.
    """
    found = []
    if doubtful.any() and not doubtful.all():
        named = angles_in_words(angles[doubtful])
        several = doubtful.sum() > 1
        found.append(
            Finding(
                'doubt',
                'tilts out of line',
                f'The tilt{"s" if several else ""} at {named} {"do" if several else "does"} not fit what the other tilts '
                'predict: look at the image, correct its shift, or leave it out.',
                {
                    'tilts': float(doubtful.sum()),
                    'lowest correlation': float(comparison.scores[doubtful].min()),
                    'median correlation': float(np.median(comparison.scores)),
                },
            )
        )
    error = comparison.standard_error
    if not error < _POORLY_DETERMINED:
        found.append(
            Finding(
                'doubt',
                'alignment',
                f'The images determine their shifts {_how_well(error)} (too few counts, or too little that '
                'stands out): bin them more, add the channels up, or align by HAADF images.',
                {'standard error, pixels': error, 'correlation with left-out tilts': comparison.score},
            )
        )
    if rotation is not None:
        found.append(
            Finding(
                'note',
                'tilt axis',
                f'The tilt axis is turned by {rotation.angle:.2f}° ± {rotation.uncertainty:.2f}° in the images; the volume '
                'has its y along the axis. Where the microscope knows the angle better, give it (axis_rotation).',
                {'rotation, deg': rotation.angle, 'standard error, deg': rotation.uncertainty},
            )
        )
    return tuple(found)


def _how_well(error: float) -> str:
    return f'to about {error:.1f} pixels only' if error < 100 else 'hardly at all'
