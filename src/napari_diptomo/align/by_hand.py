"""Corrections by hand of an aligned series: at once, without aligning anew, and in the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from napari_diptomo.align.align import Align
from napari_diptomo.align.aligned_frame import series_table
from napari_diptomo.align.alignment_findings import alignment_findings, doubtful_tilts
from napari_diptomo.align.held_out_tilts import Comparison, Geometry, compared, predicted
from napari_diptomo.align.image_correlation import FINE
from napari_diptomo.align.on_haadf import following
from napari_diptomo.align.reference_images import compared_images
from napari_diptomo.align.tilt_shifts import (
    ShiftSource,
    TiltShift,
    as_triples,
    axis_correction,
    check_axis,
    check_within_images,
    corrections,
    nearest_tilt,
    tilt_shifts,
)
from napari_diptomo.series import Finding, InputError, MapSeries, Observer, Recipe, Watch
from napari_diptomo.series.haadf_of_series import own_images

#: Corrections are kept to this fraction of a pixel, so that a form and a recipe have the same.
_DECIMALS = 3
_STEP = 'Align'
#: What the doubt about a second series that was joined earlier is about.
_SECOND = 'second axis'
#: Mean of the corrections, pixels, by which the whole specimen is moved.
_COMMON = 0.25


def corrections_of(maps: MapSeries) -> np.ndarray:
    """Corrections by hand of an aligned series, ndarray (tilt, 2), pixels (y, x)."""
    return corrections(maps.notes.get('align', {}).get('by_hand', ()), maps.angles)


def corrected(maps: MapSeries, by_hand: np.ndarray) -> MapSeries:
    """An aligned series with these corrections in place of its earlier ones.

    Parameters
    ----------
    maps : MapSeries
        Aligned.
    by_hand : ndarray (tilt, 2)
        Pixels (y, x), added to what was found; rounded to thousandths.

    Returns
    -------
    MapSeries
        The same counts with other shifts; its recipe repeats them. Tilts that were moved have no score until it is `judged`.

    Raises
    ------
    InputError
        A shift wider than the images.
    """
    by_hand = np.round(np.asarray(by_hand, float), _DECIMALS) + 0.0
    before = corrections_of(maps)
    changed = (by_hand != before).any(axis=1)
    # What was not touched stays the same number to the last bit: its score is known by it.
    found = np.asarray(maps.shifts)
    shifts = np.where(changed[:, None], found - before + by_hand, found)
    check_within_images(shifts[changed], maps.angles[changed], maps.data.shape[2:])
    align = dict(maps.notes.get('align', {}))
    rows = [
        TiltShift(row.angle, float(dx), float(dy), source=_source(align, by_hand[i])) if changed[i] else row
        for i, (row, (dy, dx)) in enumerate(zip(tilt_shifts(maps), shifts, strict=True))
    ]
    triples = as_triples(by_hand, maps.angles)
    align |= {'by_hand': list(triples), 'tilts': [row.to_dict() for row in rows]}
    moved = replace(
        maps,
        shifts=shifts,
        notes={**maps.notes, 'align': align},
        recipe=_with_last_alignment(maps.recipe, by_hand=triples),
    )
    common = float(np.abs(by_hand.mean(axis=0)).max())
    return _second_axis_left_behind(_with_images_following(moved), common > _COMMON)


def _with_images_following(maps: MapSeries) -> MapSeries:
    """The maps with the HAADF images of their own scan where they are themselves."""
    which = own_images(maps)
    if which is None or maps.haadf_series is None:
        return maps
    return replace(maps, haadf_series=following(maps.haadf_series, maps, which))


def _second_axis_left_behind(maps: MapSeries, moved: bool) -> MapSeries:
    """The maps with a doubt where a second series was placed beside them as they were before."""
    if maps.second_axis is None or not moved or any(f.about == _SECOND for f in maps.findings):
        return maps
    sentence = 'The alignment was corrected by hand after the second axis was joined: the specimen lies elsewhere; join it again.'
    return replace(maps, findings=(*maps.findings, Finding('doubt', _SECOND, sentence)))


def with_axis(maps: MapSeries, shift: float, rotation: float) -> MapSeries:
    """An aligned series with its tilt axis elsewhere; the shifts stay.

    Parameters
    ----------
    maps : MapSeries
        Aligned.
    shift : float
        Of the axis from the middle of the images, pixels; rounded as corrections are.
    rotation : float
        Of the axis in the images, degrees, positive clockwise.

    Returns
    -------
    MapSeries
        Its recipe repeats it. No tilt has a score until it is `judged`.

    Raises
    ------
    InputError
        An axis outside the images.
    """
    check_axis(shift, rotation, maps.data.shape[3])
    align = dict(maps.notes.get('align', {}))
    before = axis_correction(align.get('axis_by_hand', ()))
    now = np.array([maps.axis_shift, maps.axis_rotation])
    correction = np.round(np.array([shift, rotation]) - (now - before), _DECIMALS) + 0.0
    moved_by = correction - before
    left_in = np.array(align.get('compared_at', np.zeros((len(maps.angles), 2))), float)
    left_in[:, 1] += moved_by[0] * (1 - np.cos(np.deg2rad(maps.angles)))
    rows = [replace(row, score=None, error=None).to_dict() for row in tilt_shifts(maps)]
    numbers = tuple(map(float, correction)) if correction.any() else ()
    axis_shift, axis_rotation = (float(value) for value in now + moved_by)
    align |= {
        'axis_by_hand': list(numbers),
        'axis_shift': axis_shift,
        'axis_rotation': axis_rotation,
        'compared_at': left_in.tolist(),
        'tilts': rows,
    }
    moved = replace(
        maps,
        axis_shift=axis_shift,
        axis_rotation=axis_rotation,
        notes={**maps.notes, 'align': align},
        recipe=_with_last_alignment(maps.recipe, axis_by_hand=numbers),
    )
    return _second_axis_left_behind(_with_images_following(moved), bool(moved_by[1]))


def judged(maps: MapSeries, observer: Observer | None = None) -> MapSeries:
    """An aligned series with scores, doubtful tilts and findings as its present shifts have them.

    Parameters
    ----------
    maps : MapSeries
        Aligned, perhaps corrected since.
    observer : Observer, optional
        May cancel.

    Returns
    -------
    MapSeries
        The same shifts.

    Raises
    ------
    InputError
        Images that cannot be compared, see `compared_images`.
    """
    watch = Watch(observer, _STEP, 1)
    align: dict[str, Any] = dict(maps.notes.get('align', {}))
    step = align_step(maps)
    images = compared_images(maps, step.reference)
    small, angles, order, n = images.small, images.angles, images.order, images.binning
    by_hand = corrections_of(maps)
    left_in = np.reshape(align.get('compared_at', np.zeros((len(maps.angles), 2))), (-1, 2))[order]
    shifts = np.asarray(maps.shifts)[order]
    depth = int(align['depth']) // n if 'depth' in align else small.shape[2]
    placed = Geometry(angles, (shifts + left_in) / n, depth, maps.axis_rotation)
    watch.step(0, message='comparing tilts')
    comparison = compared(small, predicted(small, placed), step.upsampling, FINE)
    in_pixels = Comparison(comparison.scores, comparison.moves * n, comparison.errors * n)
    # An image that was like no neighbour is doubted until somebody has looked at it.
    unlike = np.isin(angles, align.get('unlike_angles', ())) & ~by_hand[order].any(axis=1)
    doubtful = doubtful_tilts(comparison) | unlike
    rows = series_table(images, np.asarray(maps.shifts), in_pixels, by_hand, _source(align, np.zeros(2)))
    align |= {
        'correlation_after': comparison.score,
        'doubtful_angles': [float(angle) for angle in angles[doubtful]],
        'tilts': [row.to_dict() for row in rows],
    }
    new = tuple(replace(one, step=_STEP) for one in alignment_findings(angles, in_pixels, doubtful, None))
    replaced = {'tilts out of line', 'alignment'}
    kept = tuple(one for one in maps.findings if not (one.step == _STEP and one.about in replaced))
    return replace(maps, notes={**maps.notes, 'align': align}, findings=(*kept, *new))


def align_step(maps: MapSeries) -> Align:
    """The step that has aligned a series, as its recipe says; one with defaults where it says nothing."""
    steps = maps.recipe.steps if maps.recipe is not None else ()
    return next((step for step in reversed(steps) if isinstance(step, Align)), Align())


def at_these_tilts(step: Align, angles: np.ndarray) -> Align:
    """The step without corrections of tilts that a series does not have, as they are out of use."""
    if len(step.by_hand) % 3:
        return step
    known = [triple for triple in _triples(step.by_hand) if _has(angles, triple)]
    return step.model_copy(update={'by_hand': tuple(chain.from_iterable(known))})


def others_than(angles: np.ndarray, triples: Sequence[float]) -> tuple[float, ...]:
    """Corrections, as a recipe has them, of tilts that a series does not have."""
    if len(triples) % 3:
        return ()
    return tuple(chain.from_iterable(triple for triple in _triples(triples) if not _has(angles, triple)))


def _triples(numbers: Sequence[float]) -> list[tuple[float, float, float]]:
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))


def _has(angles: np.ndarray, triple: tuple[float, float, float]) -> bool:
    try:
        nearest_tilt(triple[0], angles)
    except InputError:
        return False
    return True


def _source(align: dict[str, Any], by_hand: np.ndarray) -> ShiftSource:
    if by_hand.any():
        return 'by hand'
    source: ShiftSource = align.get('source', 'found')
    return source


def _with_last_alignment(recipe: Recipe | None, **corrections: tuple[float, ...]) -> Recipe | None:
    """The recipe whose last alignment has these corrections."""
    if recipe is None:
        return None
    numbers = [number for number, step in enumerate(recipe.steps) if isinstance(step, Align)]
    if not numbers:
        return recipe
    steps = list(recipe.steps)
    last = steps[numbers[-1]]
    assert isinstance(last, Align), 'chosen as such'
    steps[numbers[-1]] = last.model_copy(update=corrections)
    return Recipe(recipe.source, tuple(steps))
