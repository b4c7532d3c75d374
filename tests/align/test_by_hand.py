"""Corrections by hand of what is aligned already: the same as those of a recipe, without aligning anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import run
from napari_diptomo.align import Align, read_shifts, tilt_shifts, write_shifts
from napari_diptomo.align.by_hand import at_these_tilts, corrected, corrections_of, judged, others_than, with_axis
from napari_diptomo.align.reference_images import placed_image
from napari_diptomo.align.tilt_shifts import as_triples, corrections
from napari_diptomo.series import InputError, MapSeries, Recipe

ANGLES = np.array([-40.0, -20.0, 0.0, 20.0, 40.0])


def spot(y: float, x: float) -> np.ndarray:
    rows, columns = np.mgrid[:40, :40] - 19.5
    return 30 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 12.5)


@pytest.fixture(scope='module')
def maps() -> MapSeries:
    shifts = np.random.default_rng(0).uniform(-3, 3, (5, 2))
    points = [(-5.0, -4.0), (6.0, 3.0), (1.0, 8.0)]
    images = [
        sum(spot(y + sy, x * np.cos(t) + sx) for y, x in points)
        for (sy, sx), t in zip(shifts, np.deg2rad(ANGLES), strict=True)
    ]
    return MapSeries(np.array(images)[None], ANGLES, ('Fe',), 2.0)


@pytest.fixture(scope='module')
def found(maps: MapSeries) -> MapSeries:
    return Align(rounds=1, axis_rotation=0).run(maps)


def moved(dy: float, dx: float, tilt: int = 3) -> np.ndarray:
    by_hand = np.zeros((5, 2))
    by_hand[tilt] = dy, dx
    return by_hand


def test_a_correction_is_judged_as_the_recipe_that_has_it_is(maps: MapSeries, found: MapSeries) -> None:
    at_once = judged(corrected(found, moved(-3.0, 4.0)))
    anew = Align(rounds=1, axis_rotation=0, by_hand=(20, 4.0, -3.0)).run(maps)
    assert at_once.data is found.data
    assert at_once.recipe == anew.recipe
    np.testing.assert_allclose(at_once.shifts, anew.shifts, atol=1e-9)
    for one, other in zip(tilt_shifts(at_once), tilt_shifts(anew), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-6) and one.source == other.source
    assert at_once.notes['align']['doubtful_angles'] == anew.notes['align']['doubtful_angles'] == [20.0]
    assert [f.sentence for f in at_once.findings] == [f.sentence for f in anew.findings]
    back = judged(corrected(at_once, np.zeros((5, 2))))
    np.testing.assert_allclose(back.shifts, found.shifts, atol=1e-9)
    assert [row.source for row in tilt_shifts(back)] == ['found'] * 5 and back.findings == found.findings


def test_scores_of_what_was_not_moved_stay_until_all_are_judged(found: MapSeries) -> None:
    rows = tilt_shifts(corrected(found, moved(0.0, 1.0)))
    assert rows[3].score is None and rows[3].source == 'by hand'
    assert [row for i, row in enumerate(rows) if i != 3] == [row for i, row in enumerate(tilt_shifts(found)) if i != 3]


def test_corrections_replace_the_earlier_ones(found: MapSeries) -> None:
    twice = corrected(corrected(found, moved(0.5, 1.0)), moved(0.5, 2.0))
    np.testing.assert_allclose(twice.shifts - found.shifts, moved(0.5, 2.0), atol=1e-12)
    np.testing.assert_array_equal(corrections_of(twice), moved(0.5, 2.0))
    assert twice.recipe is not None
    assert Recipe.from_dict(twice.recipe.to_dict()).steps[-1].by_hand == (20.0, 2.0, 0.5)


def test_a_shift_wider_than_the_images_is_refused(maps: MapSeries, found: MapSeries, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'shift at 20°, .* is wider than the images of 40 x 40 pixels'):
        corrected(found, moved(0.0, -60.0))
    with pytest.raises(InputError, match='wider than the images'):
        Align(rounds=0, by_hand=(20.0, 0.0, 60.0)).run(maps)
    far = write_shifts(replace(found, shifts=found.shifts + moved(0.0, 80.0)), tmp_path / 'far.csv')[0]
    with pytest.raises(InputError, match='wider than the images'):
        Align(rounds=0, shifts_file=str(far)).run(maps)


def test_tilts_at_one_angle_are_corrected_each_for_itself(tmp_path: Path) -> None:
    angles = np.array([-10.0, 0.0, 0.0, 10.0])
    by_hand = np.array([[0, 0], [0, 0], [1.5, -2.0], [0.5, 0.0]])
    triples = as_triples(by_hand, angles)
    assert triples == (0.0, 0.0, 0.0, 0.0, -2.0, 1.5, 10.0, 0.0, 0.5)
    np.testing.assert_array_equal(corrections(triples, angles), by_hand)
    series = MapSeries(np.ones((1, 4, 8, 8)), angles, ('Fe',), shifts=by_hand)
    np.testing.assert_array_equal(read_shifts(write_shifts(series, tmp_path / 'a.csv')[0], angles).shifts, by_hand)


def test_corrections_of_tilts_out_of_use_are_kept_apart() -> None:
    step = Align(by_hand=(-20.0, 1.0, 0.0, 20.0, 2.0, 0.0))
    used = np.array([-40.0, -20.0, 0.0])
    assert at_these_tilts(step, used).by_hand == (-20.0, 1.0, 0.0)
    assert others_than(used, step.by_hand) == (20.0, 2.0, 0.0)


def test_the_axis_is_in_the_middle_of_the_aligned_stack() -> None:
    """A point on the axis, turned by 30 degrees and 4 pixels off, comes to the middle from wherever it is seen."""
    turn = np.deg2rad(30.0)
    image = placed_image(spot(4 * np.sin(turn) + 1.5, 4 * np.cos(turn) - 2.5), np.array([1.5, -2.5]), 4.0, 30.0)
    rows, columns = np.mgrid[:40, :40] - 19.5
    assert abs((rows * image).sum() / image.sum()) < 1e-3 and abs((columns * image).sum() / image.sum()) < 1e-3


def test_an_axis_moved_by_hand_is_repeated_by_the_recipe_and_judged_alike(maps: MapSeries, found: MapSeries) -> None:
    other = with_axis(found, found.axis_shift + 2.5, 1.25)
    np.testing.assert_array_equal(other.shifts, found.shifts)
    assert other.axis_shift == pytest.approx(found.axis_shift + 2.5)
    assert other.axis_rotation == 1.25
    assert all(row.score is None for row in tilt_shifts(other))
    again = run(Recipe.from_dict(other.recipe.to_dict()), data=maps)
    assert again.axis_shift == pytest.approx(other.axis_shift, abs=1e-9)
    assert again.axis_rotation == pytest.approx(1.25)
    np.testing.assert_allclose(again.shifts, other.shifts, atol=1e-9)
    now, then = judged(other), judged(found)
    for row, same, before in zip(tilt_shifts(now), tilt_shifts(again), tilt_shifts(then), strict=True):
        assert row.score == pytest.approx(same.score, abs=1e-5)
        assert abs(row.score - before.score) < 1
    back = with_axis(other, found.axis_shift, found.axis_rotation)
    assert back.recipe.steps[-1].axis_by_hand == ()
    assert back.axis_shift == pytest.approx(found.axis_shift)
    for row, before in zip(tilt_shifts(judged(back)), tilt_shifts(then), strict=True):
        assert row.score == pytest.approx(before.score, abs=1e-6)


def test_an_axis_outside_the_images_is_refused(found: MapSeries) -> None:
    with pytest.raises(InputError, match='lies outside the images'):
        with_axis(found, found.data.shape[3] / 2, 0.0)
    with pytest.raises(InputError, match='exchange x and y'):
        with_axis(found, 0.0, 50.0)
    with pytest.raises(InputError, match='by two numbers'):
        Align(axis_by_hand=(1.0,)).run(found)
