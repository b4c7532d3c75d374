r"""Tilts whose images differ from what the others predict in more than a displacement.

Where a crystal lights up, an image pulls its match and its moments along, and the median over the tilts, which the errors of
the alignment rest on, does not show it. With the correlation s of a tilt with its prediction, 1 - s grows with the tilt; its
trend is the robust line of log(1 - s) over t^2 (A. F. Siegel, Biometrika 69 (1982) 242). A tilt that is a multiple above it is
unlike the others, and

    e = 2 (s_trend - s)

about the share of its image that no other tilt holds. A displacement d along an axis changes the share (d |i'| / |i|)^2 of an
image i, with i' its slope, so e may hide one of sqrt(e) |i| / |i'|: a part of that is added to its standard error.

Formulas: error of a tilt that is unlike the others (`misfit_errors`).
"""

from __future__ import annotations

import numpy as np

from napari_diptomo.align.image_correlation import FINE, prepared
from napari_diptomo.series import Finding
from napari_diptomo.series.tilts import angles_in_words

#: Misfit over its trend from which on a tilt is unlike the others: simulated images without diffraction had 2.8 at most.
_UNLIKE = 3.0
#: Displacement over the largest that a misfit may hide, root mean square over simulated images of diffracting grains (on others of
#: these the error over the standard error is then 0.9, from 2.9).
_HIDDEN = 0.2
_LEAST_TILTS = 7
#: Pixels that such a tilt may be off from which on it is reported.
_REPORTED = 0.15


def misfit_errors(images: np.ndarray, angles: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Standard errors (tilt, 2), pixels (y, x), that come on top of tilts that are unlike the others; 0 of the others.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
    angles : ndarray (tilt,)
        Degrees.
    scores : ndarray (tilt,)
        Correlation with what the other tilts predict.
    """
    found = np.zeros((len(images), 2))
    misfit = 1 - scores
    steepness = np.asarray(angles, float) ** 2
    if len(images) < _LEAST_TILTS or not misfit.min() > 0 or not np.ptp(steepness) > 0:
        return found
    from scipy.stats import siegelslopes

    slope = max(float(siegelslopes(np.log(misfit), steepness)[0]), 0.0)
    level = np.median(np.log(misfit) - slope * steepness)
    trend = np.exp(level + slope * steepness)
    for tilt in np.flatnonzero(misfit > _UNLIKE * trend):
        image = prepared(images[tilt], FINE)
        slopes = np.array([np.linalg.norm(np.gradient(image, axis=axis)) for axis in (0, 1)])
        share = 2 * (misfit[tilt] - trend[tilt])
        found[tilt] = _HIDDEN * np.sqrt(share) * np.linalg.norm(image) / np.maximum(slopes, 1e-12)
    return found


def unlike_findings(angles: np.ndarray, extra: np.ndarray, errors: np.ndarray) -> tuple[Finding, ...]:
    """The doubt about tilts that are unlike the others.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.
    extra : ndarray (tilt, 2)
        Of `misfit_errors`, in pixels of the images.
    errors : ndarray (tilt, 2)
        Standard errors of the shifts with them, likewise.
    """
    seen = np.hypot(*extra.T) > _REPORTED
    if not seen.any():
        return ()
    error = float(np.hypot(*errors[seen].T).max())
    others = float(np.median(np.hypot(*errors[~extra.any(axis=1)].T)))
    named = angles_in_words(angles[seen])
    several = seen.sum() > 1
    sentence = (
        f'The image{"s" if several else ""} at {named} differ{"" if several else "s"} from what the other tilts predict in more '
        f'than a displacement, as where a crystal lights up: {"their shifts are" if several else "its shift is"} known to about '
        f'{error:.1f} pixels, those of the others to {others:.2g}. Look at {"them" if several else "it"}, or leave '
        f'{"them" if several else "it"} out.'
    )
    numbers = {'tilts': float(seen.sum()), 'standard error, pixels': error, 'of the others, pixels': others}
    return (Finding('doubt', 'tilts unlike the others', sentence, numbers),)
