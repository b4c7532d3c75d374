r"""From several starts to one alignment, every choice judged by the tilts that it has not seen.

1. The start, of several, from which left-out tilts are predicted best.
2. The height of the specimen and the depth of the volume, likewise (see `held_out_tilts`).
3. Rounds of projection matching (Dengler 1989, Ultramicroscopy 30, 337) against these predictions, with details
   below two pixels smoothed away first, and in the end against predictions in all detail. A displacement d with the
   standard error sigma is not followed where it is smaller than that, else by d^3 / (d^2 + sigma^2). A round that does not
   predict the left-out tilts better, by more than the standard error of the difference and in the end by two, is not made,
   and ends its stage.
4. Of a specimen within the field, the mean of these displacements and those of the moments (see `moment_conditions`) by
   their precision. What is left to decide lies below what the correlation with predictions shows: that each of the two
   has not seen the other, and that they agree, is the judge.

Formulas: moves shrunk by their noise (`refined`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from napari_diptomo.align.held_out_tilts import (
    DEPTHS,
    Comparison,
    Geometry,
    Prediction,
    compared,
    depth_of,
    height_of,
    predicted,
)
from napari_diptomo.align.image_correlation import FINE
from napari_diptomo.align.moment_conditions import Moves, moment_moves, weighed
from napari_diptomo.align.specimen_motion import smallest_shifts
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.series import Watch

#: Smoothing in which starts are judged and the first rounds made, pixels: at few counts finer detail is noise.
JUDGING = 2.0
#: Smoothing of the images, whether they are predicted in all detail, and standard errors by which a round must be better: more
#: where the noise is predicted in all detail too.
_STAGES = ((JUDGING, False, 1.0), (FINE, False, 1.0), (FINE, True, 2.0))
_DEPTH_OF_STARTS = 0.75
_LARGEST_STEP = 3.0  # pixels per round
#: Standard error of a displacement, pixels, from which on the image is left where its neighbours placed it.
_UNDETERMINED = 1.5
#: Of weighing with the moments: after each, the predictions are better too.
_WEIGHINGS = 3


@dataclass(frozen=True)
class Refined:
    """A geometry and how well left-out tilts are predicted from it.

    Attributes
    ----------
    geometry : Geometry
    comparison : Comparison
    rounds : int
        That were tried.
    stopped : bool
        By the user.
    errors : ndarray (tilt, 2), optional
        Standard errors of the shifts where the moments of the images had a say, pixels (y, x).
    prediction : Prediction, optional
        Of the images in this geometry, without their finest detail: it need not be made again.
    """

    geometry: Geometry
    comparison: Comparison
    rounds: int = 0
    stopped: bool = False
    errors: np.ndarray | None = None
    prediction: Prediction | None = None


def best_start(
    images: np.ndarray, angles: np.ndarray, starts: Mapping[str, np.ndarray], rotation: float, upsampling: int
) -> tuple[str, Refined]:
    """The start that predicts left-out tilts best, with the height and the depth that do.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Not negative, ascending tilts.
    angles : ndarray (tilt,)
        Degrees.
    starts : mapping of str to ndarray (tilt, 2)
        Shifts in pixels by the name of where they come from; the first wins a draw.
    rotation : float
        Of the tilt axis, degrees.

    Returns
    -------
    str, Refined
        Name of the start, and where it begins.
    """
    deep = {
        name: Geometry(angles, smallest_shifts(shifts, angles), depth_of(images, _DEPTH_OF_STARTS), rotation)
        for name, shifts in starts.items()
    }
    judged = {name: _judged(images, start, upsampling) for name, start in deep.items()}
    name = max(judged, key=lambda key: judged[key].comparison.score)
    start = deep[name]
    depths = list(dict.fromkeys(depth_of(images, share) for share in DEPTHS))
    tried = [
        judged[name] if depth == start.depth else _judged(images, replace(start, depth=depth), upsampling)
        for depth in depths
    ]
    best = max(range(len(depths)), key=lambda k: tried[k].comparison.score)
    # Mass in the middle needs less depth, but the detail of a thick body need not be in its middle.
    level = replace(start, shifts=smallest_shifts(start.shifts, angles, height_of(images, start)))
    tried += [_judged(images, replace(level, depth=depth), upsampling) for depth in depths[best : best + 2]]
    return name, max(tried, key=lambda one: one.comparison.score)


def refined(
    images: np.ndarray,
    start: Geometry,
    upsampling: int,
    rounds: int,
    watch: Watch,
    done: int,
    prediction: Prediction | None = None,
) -> Refined:
    """Improve shifts by projection matching.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Not negative, zero where there is no mass, ascending tilts.
    start : Geometry
    upsampling : int
        Displacements are found to 1 / upsampling pixel.
    rounds : int
        At most.
    watch : Watch
        Steps once per round.
    done : int
        Steps of ``watch`` that lie behind.
    prediction : Prediction, optional
        Of the images at the start, without their finest detail, where it is known.

    Returns
    -------
    Refined
        Its comparison is that of the finest smoothing, by predictions without their finest detail: in that a misplaced tilt
        shows in its neighbours too.
    """
    geometry, taken, stopped = start, 0, False
    for fine, finely, surer in _STAGES:
        if taken >= rounds:
            break
        here = _judged(images, geometry, upsampling, fine, finely, None if finely else prediction)
        while taken < rounds:
            taken += 1
            tried = _judged(images, _moved(here), upsampling, fine, finely)
            better = tried.comparison.better_than(here.comparison, surer)
            here = tried if better else here
            if watch.step(done + taken, {'correlation': here.comparison.score}, message='matching projections'):
                rounds, stopped = taken, True
            if not better:
                break
        # In all detail no prediction is kept, so one of the same geometry without it stays in use.
        if here.geometry is not geometry or not finely:
            geometry, prediction = here.geometry, here.prediction
    return replace(_judged(images, geometry, upsampling, FINE, prediction=prediction), rounds=taken, stopped=stopped)


def weighed_with_moments(images: np.ndarray, found: Refined, upsampling: int) -> Refined:
    """The shifts found by matching, weighed with what the moments of the images say.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Of a specimen within the field across the axis; not negative, ascending tilts.
    found : Refined
    upsampling : int
        Displacements are found to 1 / upsampling pixel.

    Returns
    -------
    Refined
        The same where the matches determine too little to say whether the moments hold.
    """
    if not found.comparison.standard_error <= _UNDETERMINED:
        return found
    for _ in range(_WEIGHINGS):
        geometry, matched = found.geometry, Moves(found.comparison.moves, found.comparison.errors)
        moments = moment_moves(images, geometry.angles, geometry.shifts, geometry.rotation)
        both, _beyond = weighed(matched, moments, geometry.angles)
        here = _judged(images, replace(geometry, shifts=geometry.shifts + both.moves), upsampling, FINE)
        found = replace(here, rounds=found.rounds, stopped=found.stopped, errors=both.errors)
    return found


def _judged(
    images: np.ndarray,
    geometry: Geometry,
    upsampling: int,
    fine: float = JUDGING,
    finely: bool = False,
    prediction: Prediction | None = None,
) -> Refined:
    """Geometry and comparison, with a prediction that is known already or made now."""
    if prediction is None:
        prediction = predicted(images, geometry, finely=finely)
    comparison = compared(images, prediction, upsampling, fine)
    return Refined(geometry, comparison, prediction=None if finely else prediction)


def _moved(here: Refined) -> Geometry:
    moves, errors = here.comparison.moves, here.comparison.errors
    determined = (np.abs(moves) > errors) & (errors < _UNDETERMINED)
    shrunk = moves**3 / np.maximum(moves**2 + np.minimum(errors, _UNDETERMINED) ** 2, 1e-12)
    moves = np.clip(np.where(determined, shrunk, 0.0), -_LARGEST_STEP, _LARGEST_STEP)
    angles = here.geometry.angles
    return replace(here.geometry, shifts=here.geometry.shifts + without_rigid_motion(moves, angles))
