"""Shifts by hand, their table, and the files of other programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import Recipe, run
from napari_diptomo.align import Align, read_shifts, tilt_shifts, write_shifts
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError, MapSeries

ANGLES = np.array([-40.0, -20.0, 0.0, 20.0, 40.0])
T = np.deg2rad(ANGLES)


def spot(y: float, x: float, size: int = 40, width: float = 2.5) -> np.ndarray:
    axis = np.arange(size) - (size - 1) / 2
    return 30 * np.exp(-((axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * width**2))


@pytest.fixture
def maps() -> MapSeries:
    shifts = np.random.default_rng(0).uniform(-3, 3, (5, 2))
    points = [(-5.0, -4.0), (6.0, 3.0), (1.0, 8.0)]
    images = [sum(spot(y + sy, x * np.cos(t) + sx) for y, x in points) for (sy, sx), t in zip(shifts, T, strict=True)]
    return MapSeries(np.array(images)[None], ANGLES, ('Fe',), 2.0)


# By hand


def test_a_correction_is_added_to_what_was_found_and_its_source_and_score_follow(maps: MapSeries) -> None:
    found = Align(rounds=1, axis_rotation=0).run(maps)
    nudged = Align(rounds=1, axis_rotation=0, by_hand=(20, 4.0, -3.0)).run(maps)
    np.testing.assert_allclose(nudged.shifts - found.shifts, np.array([[0, 0]] * 3 + [[-3, 4]] + [[0, 0]]), atol=1e-9)
    before, after = tilt_shifts(found), tilt_shifts(nudged)
    assert [row.source for row in after] == ['found', 'found', 'found', 'by hand', 'found']
    assert after[3].dx == pytest.approx(before[3].dx + 4) and after[3].dy == pytest.approx(before[3].dy - 3)
    assert after[3].score < before[3].score - 0.1
    assert all(0.5 < row.score <= 1 and row.error > 0 for row in before)


def test_the_recipe_repeats_a_correction(maps: MapSeries) -> None:
    nudged = Align(rounds=1, axis_rotation=0, by_hand=(-40, 1.0, 0.5)).run(maps)
    again = run(Recipe.from_dict(nudged.recipe.to_dict()), data=maps)
    np.testing.assert_array_equal(again.shifts, nudged.shifts)
    assert again.notes['align']['tilts'] == nudged.notes['align']['tilts']


def test_the_table_of_a_series_that_was_changed_since_has_no_scores(maps: MapSeries) -> None:
    found = Align(rounds=0).run(maps)
    moved = replace(found, shifts=found.shifts + [[0.5, 0.0]] * 5)
    assert all(row.score is None and row.source == 'as loaded' for row in tilt_shifts(moved))
    assert all(row.score is None for row in tilt_shifts(maps))


@pytest.mark.parametrize(
    ('numbers', 'sentence'),
    [((20.0, 1.0), 'in threes'), ((21.0, 1.0, 1.0), 'no such tilt'), ((20.0, float('nan'), 1.0), 'not a number')],
)
def test_corrections_that_fit_no_tilt(maps: MapSeries, numbers: tuple[float, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Align(by_hand=numbers).run(maps)


# Files


def aligned(maps: MapSeries) -> MapSeries:
    shifts = np.round(np.random.default_rng(1).uniform(-8, 8, (5, 2)), 2)
    return replace(maps, shifts=shifts, axis_shift=1.5, axis_rotation=2.0)


def test_an_xf_takes_an_off_centre_point_to_where_the_aligned_stack_has_it(maps: MapSeries, tmp_path: Path) -> None:
    """The projector and IMOD's formula, independently: x' is across the axis from its middle, y' along it."""
    series = aligned(maps)
    paths = write_shifts(series, tmp_path / 'stack.xf')
    assert [path.name for path in paths] == ['stack.xf', 'stack.tlt']
    rows = np.loadtxt(tmp_path / 'stack.xf')
    axes = [np.arange(n) - (n - 1) / 2 for n in (21, 60, 60)]
    z, y, x = np.meshgrid(*axes, indexing='ij')
    point = np.exp(-((z - 4) ** 2 + (y - 6) ** 2 + (x + 5) ** 2) / 8)[None]
    beam = ParallelBeam(ANGLES, (21, 60, 60), series.shifts, series.axis_shift, axis_rotation=series.axis_rotation)
    for image, row, t in zip(beam.project(point)[0], rows, T, strict=True):
        middle = np.array([(image.sum(0) * axes[2]).sum(), (image.sum(1) * axes[1]).sum()]) / image.sum()
        across, along = row[:4].reshape(2, 2) @ middle + row[4:]
        assert across == pytest.approx((-5 - 1.5) * np.cos(t) + 4 * np.sin(t), abs=0.02)
        assert along == pytest.approx(6, abs=0.02)


def test_an_xf_brings_back_shifts_and_rotation_in_whatever_order_its_tilts_are(maps: MapSeries, tmp_path: Path) -> None:
    series = replace(aligned(maps), axis_shift=0.0)
    write_shifts(series, tmp_path / 'a.xf')
    read = read_shifts(tmp_path / 'a.xf', ANGLES)
    np.testing.assert_allclose(read.shifts, series.shifts, atol=1e-3)
    assert read.rotation == pytest.approx(2.0, abs=1e-4)
    for name in ('a.xf', 'a.tlt'):
        lines = (tmp_path / name).read_text().splitlines()
        (tmp_path / name.replace('a', 'b')).write_text('\n'.join(reversed(lines)))
    np.testing.assert_allclose(read_shifts(tmp_path / 'b.xf', ANGLES).shifts, series.shifts, atol=1e-3)


def test_a_csv_keeps_the_table(maps: MapSeries, tmp_path: Path) -> None:
    found = Align(rounds=0).run(maps)
    write_shifts(found, tmp_path / 'shifts.csv')
    assert (tmp_path / 'shifts.csv').read_text().splitlines()[0] == 'angle,dx,dy,score,error,source'
    np.testing.assert_allclose(read_shifts(tmp_path / 'shifts.csv', ANGLES[::-1]).shifts, found.shifts[::-1])


def test_shifts_of_a_file_are_taken_as_they_are_without_rounds(maps: MapSeries, tmp_path: Path) -> None:
    series = replace(aligned(maps), axis_shift=0.0)
    write_shifts(series, tmp_path / 'a.xf')
    taken = Align(shifts_file=str(tmp_path / 'a.xf'), rounds=0).run(maps)
    np.testing.assert_allclose(taken.shifts, series.shifts, atol=1e-3)
    assert taken.axis_rotation == pytest.approx(2.0, abs=1e-4) and taken.axis_shift == 0
    assert {row.source for row in tilt_shifts(taken)} == {'import'}


def refused(tmp_path: Path, name: str, text: str, sentence: str, angles: np.ndarray = ANGLES) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_shifts(tmp_path / name, angles)


def test_files_that_belong_to_another_series_or_are_damaged(maps: MapSeries, tmp_path: Path) -> None:
    line = '1 0 0 1 2.0 -1.0\n'
    refused(tmp_path, 'a.xf', line * 4, '4 lines, but the series 5 tilts')
    refused(tmp_path, 'a.xf', line * 4 + '1 0 0 1 2.0\n', '6 numbers in every line')
    refused(tmp_path, 'a.xf', line * 4 + '1 0 0 1 2.0 nan\n', 'where a number is needed')
    refused(tmp_path, 'a.xf', line * 4 + '1.1 0 0 1.1 2.0 3.0\n', 'stretches the images')
    refused(tmp_path, 'a.xf', line * 4 + '0.9 0.436 -0.436 0.9 2.0 3.0\n', 'another angle')
    refused(tmp_path, 'a.csv', 'angle,dx\n0,1\n', 'no column dy')
    refused(tmp_path, 'a.csv', 'angle,dx,dy\n0,1,2\n', 'no shift for the tilt at -40°')
    refused(tmp_path, 'a.csv', 'angle,dx,dy\n1,1,2\n', 'no such tilt')
    refused(tmp_path, 'a.txt', line, 'no table of shifts')
    (tmp_path / 'b.tlt').write_text('\n'.join(str(angle) for angle in (-40, -20, 0, 20, 45)))
    refused(tmp_path, 'b.xf', line * 5, 'tilt at 45° where the series has 40°')
    with pytest.raises(InputError, match='There is no file'):
        read_shifts(tmp_path / 'none.xf', ANGLES)
    with pytest.raises(InputError, match='no known ending'):
        write_shifts(maps, tmp_path / 'a.dat')
    with pytest.raises(InputError, match=r'write a \.csv instead'):
        write_shifts(replace(maps, transposed=True), tmp_path / 'a.xf')
