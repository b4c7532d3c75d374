"""Maps and a HAADF series aligned into one frame."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from napari_diptomo import Align, HAADFSeries, MapSeries, simulate
from napari_diptomo.align.by_hand import corrected, judged
from napari_diptomo.align.on_haadf import as_maps, with_alignment
from napari_diptomo.geometry.rigid_motion import rigid_motion
from napari_diptomo.series import Finding, with_haadf, with_own_haadf
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series
from napari_diptomo.simulate.specimens import porous

ANGLES, TILTS = np.arange(-40.0, 41.0, 10.0), np.arange(-70.0, 71.0, 10.0)
SHIFTS = np.random.default_rng(2).normal(0, 1.5, (len(ANGLES), 2))
MODEL = HAADFModel(damping=0.1, misregistration=1.5, unmapped=0.05)


@lru_cache
def lamella(size: int = 24, finer: int = 2) -> tuple[MapSeries, HAADFSeries, np.ndarray]:
    """Maps displaced by SHIFTS, images of half the pixel size, and the displacements of these in pixels of the maps."""
    phantom = simulate.lamella(size)
    maps = simulate.tilt_series(phantom, ANGLES, peak_counts=20, shifts=SHIFTS).maps
    made = haadf_series(phantom, TILTS, MODEL, seed=1)
    fine = np.repeat(np.repeat(made.images, finer, axis=1), finer, axis=2)
    return maps, HAADFSeries(fine, TILTS, maps.pixel_size / finer), made.shifts


@lru_cache
def aligned() -> MapSeries:
    maps, haadf, _ = lamella()
    return Align().run(with_haadf(maps, haadf))


def whole_shifts(series: MapSeries | HAADFSeries) -> np.ndarray:
    """With what the position of the axis adds."""
    assert series.shifts is not None
    axis = series.axis_shift * (1 - np.cos(np.deg2rad(series.angles)))
    return series.shifts + np.stack([0 * axis, axis], axis=1)


def test_both_are_in_one_frame() -> None:
    maps, haadf = aligned(), aligned().haadf_series
    assert haadf is not None
    true = np.concatenate([SHIFTS, lamella()[2]])
    angles = np.concatenate([ANGLES, TILTS])
    found = np.concatenate([whole_shifts(maps), whole_shifts(haadf) / 2])
    # No image shows where the specimen is: one motion for all. Each in a frame of its own, they are off by 0.20 and 0.13.
    off = found - true - rigid_motion(found - true, angles)
    assert np.sqrt((off[: len(ANGLES)] ** 2).mean()) < 0.12
    assert np.sqrt((off[len(ANGLES) :] ** 2).mean()) < 0.08
    assert maps.axis_shift == pytest.approx(haadf.axis_shift / 2)
    assert maps.axis_rotation == haadf.axis_rotation


def test_what_is_found_of_the_images_is_said_of_them_once() -> None:
    haadf, turned = lamella()[1], Finding('note', 'tilt axis', 'The tilt axis is turned by 3°.')
    shifts = np.zeros((len(TILTS), 2))
    (found,) = with_alignment(
        haadf, replace(as_maps(haadf), shifts=shifts, findings=(turned,), notes={'align': {}})
    ).findings
    assert str(found) == 'note (HAADF series): The tilt axis is turned by 3°.'


def test_the_numbers_are_a_finding_and_notes() -> None:
    maps = aligned()
    (finding,) = [finding for finding in maps.findings if finding.about == 'HAADF series']
    assert finding.level == 'note'
    assert finding.sentence.startswith('The 15 images of the HAADF series are aligned')
    assert 'the 9 tilts of the maps are placed on it' in finding.sentence
    assert finding.evidence['correlation'] > 0.9
    assert maps.notes['align']['haadf']['placed'] is True
    assert len(maps.haadf_series.notes['align']['tilts']) == len(TILTS)
    assert len(maps.notes['align']['tilts']) == len(ANGLES)


def test_the_same_step_again_gives_the_same() -> None:
    maps, haadf, _ = lamella(finer=1)
    one, again = (Align(rounds=1).run(with_haadf(maps, haadf)) for _ in range(2))
    np.testing.assert_array_equal(again.shifts, one.shifts)
    np.testing.assert_array_equal(again.haadf_series.shifts, one.haadf_series.shifts)


def test_few_counts_are_placed_as_well_as_by_themselves() -> None:
    """At one count in the brightest pixel: what the maps say of themselves is not spoilt by the placing."""
    _, haadf, _ = lamella(32, finer=1)
    maps = simulate.tilt_series(simulate.lamella(32), ANGLES, peak_counts=1, shifts=SHIFTS).maps

    def error(series: MapSeries) -> float:
        off = whole_shifts(series) - SHIFTS
        return float(np.sqrt(((off - rigid_motion(off, ANGLES)) ** 2).mean()))

    by_both = error(Align().run(with_haadf(maps, haadf)))
    assert by_both < 0.2
    assert by_both < 1.1 * error(Align().run(maps))


def test_corrections_by_hand_are_in_that_frame() -> None:
    maps = aligned()
    by_hand = np.zeros((len(ANGLES), 2))
    by_hand[3] = 1.0, -2.0
    moved = corrected(maps, by_hand)
    np.testing.assert_allclose(moved.shifts - maps.shifts, by_hand, atol=1e-12)
    np.testing.assert_array_equal(moved.haadf_series.shifts, maps.haadf_series.shifts)
    unmoved = judged(corrected(moved, np.zeros_like(by_hand)))
    scores = [row['score'] for row in unmoved.notes['align']['tilts']]
    np.testing.assert_allclose(scores, [row['score'] for row in maps.notes['align']['tilts']], atol=0.01)
    base, haadf, _ = lamella()
    triple = (ANGLES[3], -2.0, 1.0)
    with_hand = Align(by_hand=triple, axis_rotation=maps.axis_rotation).run(with_haadf(base, haadf))
    np.testing.assert_allclose(with_hand.shifts, moved.shifts, atol=1e-6)


def test_images_of_another_specimen_leave_the_maps_alone() -> None:
    maps, _, _ = lamella(32, finer=1)
    other = haadf_series(porous(32), TILTS, HAADFModel(), seed=3)
    found = Align().run(with_haadf(maps, HAADFSeries(other.images, TILTS, maps.pixel_size)))
    np.testing.assert_allclose(found.shifts, Align(axis_rotation=found.axis_rotation).run(maps).shifts)
    (finding,) = [finding for finding in found.findings if finding.about == 'HAADF series']
    assert finding.level == 'doubt'
    assert 'aligned by themselves' in finding.sentence


def test_images_of_the_same_scan_go_with_their_maps() -> None:
    maps, _, _ = lamella()
    maps = with_own_haadf(replace(maps, haadf=maps.data.sum(axis=0)))
    found = Align().run(maps)
    np.testing.assert_array_equal(found.haadf_series.shifts, found.shifts)
    assert found.haadf_series.axis_shift == found.axis_shift
    by_hand = np.zeros((len(ANGLES), 2))
    by_hand[0] = 0.5
    moved = corrected(found, by_hand)
    np.testing.assert_array_equal(moved.haadf_series.shifts, moved.shifts)


def test_more_images_of_the_same_scan_than_maps() -> None:
    """Maps of an edge that was recorded at some tilts only: their shifts are those of their images."""
    maps, _, _ = lamella()
    images = maps.data.sum(axis=0)
    some = [0, 2, 4, 6, 8]
    fewer = replace(maps, data=maps.data[:, some], angles=ANGLES[some], shifts=None, haadf=images[some])
    found = Align(axis_rotation=0.0).run(with_haadf(fewer, HAADFSeries(images, ANGLES, maps.pixel_size)))
    np.testing.assert_allclose(whole_shifts(found), whole_shifts(found.haadf_series)[some], atol=0.05)


def test_missing_pixels_are_no_structure() -> None:
    maps, haadf, _ = lamella()
    missing = np.zeros(haadf.images.shape, bool)
    missing[:, 4:9, 30:45] = True
    images = np.where(missing, np.nan, haadf.images)
    found = Align(axis_rotation=aligned().axis_rotation).run(
        with_haadf(maps, replace(haadf, images=images, missing=missing))
    )
    off = found.haadf_series.shifts - aligned().haadf_series.shifts
    assert np.abs(off - rigid_motion(off, TILTS)).max() < 0.6


def test_shifts_of_a_file_are_taken_as_they_are(tmp_path) -> None:  # type: ignore[no-untyped-def]
    maps, haadf, _ = lamella()
    table = tmp_path / 'shifts.csv'
    rows = [f'{angle},{dx},{dy}' for angle, (dy, dx) in zip(ANGLES, SHIFTS, strict=True)]
    table.write_text('angle,dx,dy\n' + '\n'.join(rows))
    found = Align(shifts_file=str(table), rounds=0).run(with_haadf(maps, haadf))
    np.testing.assert_allclose(found.shifts, SHIFTS, atol=1e-6)
    assert np.any(found.haadf_series.shifts)
    # Without rounds a tilt of the images may be off by a pixel, which is a doubt of its own.
    (finding,) = [finding for finding in found.findings if finding.about == 'HAADF series' and finding.level == 'note']
    assert 'their shifts were given' in finding.sentence


def test_another_field_is_a_doubt() -> None:
    maps, haadf, _ = lamella()
    found = Align(rounds=0).run(with_haadf(maps, replace(haadf, pixel_size=maps.pixel_size / 20)))
    assert any('cover' in finding.sentence and finding.step == 'Align' for finding in found.findings)
