"""The parts of an alignment with closed forms: band-pass, displacement, votes of neighbours, prediction of left-out tilts, tilt axis."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.align import Align
from napari_diptomo.align.alignment_findings import doubtful_tilts
from napari_diptomo.align.axis_rotation import rotation_in
from napari_diptomo.align.held_out_tilts import Comparison, Geometry, compared, depth_of, height_of, predicted
from napari_diptomo.align.image_correlation import displacement, normalised_correlation, prepared
from napari_diptomo.align.neighbour_votes import squeezed, voted_shifts
from napari_diptomo.align.overlap_correlation import overlap_correlation
from napari_diptomo.align.reference_images import binned
from napari_diptomo.align.refinement import best_start, refined
from napari_diptomo.align.specimen_motion import smallest_shifts, tilt_axis_in
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.series import InputError, MapSeries, Watch
from napari_diptomo.simulate import facetted

ANGLES = np.arange(-60.0, 61.0, 10.0)
T = np.deg2rad(ANGLES)


def watch(steps: int = 100) -> Watch:
    return Watch(None, 'Align', steps)


def blob(y: float, x: float, size: int = 48, width: float = 2.5) -> np.ndarray:
    """A Gaussian at (y, x) from the middle."""
    axis = np.arange(size) - (size - 1) / 2
    return 30 * np.exp(-((axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * width**2))


def column(values: np.ndarray) -> np.ndarray:
    """Shifts along x alone, (tilt, 2)."""
    return np.stack([np.zeros_like(values), values], axis=1)


# Images


@pytest.mark.parametrize(('shape', 'coarse'), [((65, 81), 12.0), ((33, 81), 33 / 4), ((81, 25), 25 / 4)])
def test_a_point_in_the_middle_is_the_difference_of_two_gaussians(shape: tuple[int, int], coarse: float) -> None:
    """Peaks of 1 / (2 pi sigma^2): of 1 pixel, and of 12 or a quarter of the smaller side."""
    image = np.zeros(shape)
    image[shape[0] // 2, shape[1] // 2] = 1.0
    expected = 1 / (2 * np.pi) - 1 / (2 * np.pi * coarse**2)
    assert prepared(image).max() == pytest.approx(expected, rel=1e-3)


def test_a_constant_and_the_border_carry_nothing() -> None:
    """The window is round: it falls off over the outer 0.3 of the radius."""
    np.testing.assert_allclose(prepared(np.full((40, 50), 7.0)), 0, atol=1e-12)
    image = np.random.default_rng(0).random((81, 81))
    band = ndimage.gaussian_filter(image, 1) - ndimage.gaussian_filter(image, 12)
    radius = np.hypot(*(np.indices(image.shape) - 40.0)) / 40
    inner, outer = radius < 0.68, radius > 0.98
    np.testing.assert_allclose(prepared(image)[inner], band[inner])
    assert np.abs(prepared(image)[outer]).max() < 0.02 * np.abs(band[outer]).max()
    falling = (radius > 0.84) & (radius < 0.86)
    np.testing.assert_allclose(prepared(image)[falling], 0.5 * band[falling], rtol=0.2)


def test_a_displacement_is_that_of_the_image_against_the_reference() -> None:
    reference, image = prepared(blob(0, 0)), prepared(blob(2.3, -1.6))
    np.testing.assert_allclose(displacement(image, reference, 20), (2.3, -1.6), atol=0.06)
    np.testing.assert_array_equal(displacement(image, reference, 1), (2, -2))


def test_the_normalised_correlation_is_a_cosine() -> None:
    first, second = np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]])
    assert normalised_correlation(first, second) == pytest.approx(24 / 25)
    assert normalised_correlation(first, -2 * first) == pytest.approx(-1)
    assert normalised_correlation(first, np.array([[-4.0, 3.0]])) == pytest.approx(0, abs=1e-15)
    assert normalised_correlation(first, 0 * first) == 0
    assert normalised_correlation(1e-6 * first, 1e-6 * second) == pytest.approx(24 / 25)


def test_binning_keeps_the_middle() -> None:
    rows, columns = np.indices((11, 14)).astype(float)
    found = binned(np.stack([100 * rows + columns, 200 * rows + 2 * columns]), 3)
    assert found.shape == (2, 3, 4)
    np.testing.assert_allclose(found[0], 100 * np.array([[2], [5], [8]]) + np.array([2, 5, 8, 11]))
    np.testing.assert_allclose(found[1], 2 * found[0])


def test_two_images_are_enough_for_shifts() -> None:
    images = np.array([blob(0, 0), blob(3, 0)])
    aligned = Align(rounds=0).run(MapSeries(images[None], [0.0, 10.0], ('Fe',), 1.0))
    assert aligned.shifts[1, 0] - aligned.shifts[0, 0] == pytest.approx(3, abs=0.1)
    assert aligned.axis_shift == 0


def test_the_axis_may_lie_anywhere_in_the_image() -> None:
    """A point on the middle of the volume, the axis 20 pixels beside it: u = 20 (1 - cos t)."""
    images = np.array([blob(0, 20 * (1 - np.cos(t)), 64) for t in T])
    aligned = Align(rounds=0).run(MapSeries(images[None], ANGLES, ('Fe',), 1.0))
    assert aligned.axis_shift == pytest.approx(20, abs=1)


@pytest.mark.parametrize(('fields', 'reached'), [({}, True), ({'max_shift': 0.4}, True), ({'max_shift': 0.3}, False)])
def test_half_of_the_image_is_the_largest_displacement_that_is_considered(fields: dict, reached: bool) -> None:
    """24 of 64 pixels are less than 0.4 and more than 0.3 of them."""
    images = np.array([blob(-12, 0, 64)] * (len(T) - 1) + [blob(12, 0, 64)])
    aligned = Align(rounds=0, **fields).run(MapSeries(images[None], ANGLES, ('Fe',), 1.0))
    jump = aligned.shifts[-1, 0] - aligned.shifts[-2, 0]
    assert (jump == pytest.approx(24, abs=0.3)) == reached
    assert (aligned.notes['align']['doubtful_angles'] == [60.0]) != reached


def test_eight_pixels_are_the_smallest_image() -> None:
    images = np.array([blob(0, np.sin(t), 8, 1.0) for t in T])
    maps = MapSeries(images[None], ANGLES, ('Fe',), 1.0)
    assert Align(rounds=0).run(maps).shifts.shape == (len(T), 2)
    for smaller in (images[:, :7], images[:, :, :7]):
        with pytest.raises(InputError, match='too small to be aligned'):
            Align(rounds=0).run(MapSeries(smaller[None], ANGLES, ('Fe',), 1.0))


def test_the_notes_give_the_shifts_that_were_found() -> None:
    images = np.array([blob(y, x) for y, x in np.random.default_rng(1).uniform(-4, 4, (len(T), 2))])
    aligned = Align(rounds=0, find_axis=False).run(MapSeries(images[None], ANGLES, ('Fe',), 1.0))
    notes = aligned.notes['align']
    assert notes['largest_shift'] == pytest.approx(np.abs(aligned.shifts).max())
    assert notes['rms_shift'] == pytest.approx(np.linalg.norm(aligned.shifts) / np.sqrt(2 * len(T)))
    assert notes['axis_shift'] == 0 and notes['axis_uncertainty'] is None and notes['rounds'] == 0


# Overlaps and votes


def everywhere(image: np.ndarray) -> np.ndarray:
    return np.ones(image.shape, bool)


@pytest.mark.parametrize('moved', [(9, -14), (-20, 3)])
def test_the_overlap_is_correlated_whatever_is_beside_it(moved: tuple[int, int]) -> None:
    """Two windows of one noise image: their overlap is the same to the bit, so its correlation is 1, times the root of its share."""
    whole = np.random.default_rng(2).normal(size=(120, 130))
    reference = whole[40:80, 40:90]
    image = whole[40 - moved[0] : 80 - moved[0], 40 - moved[1] : 90 - moved[1]]
    found = overlap_correlation(image + 5, 3 * reference, everywhere(image), everywhere(reference))
    share = (1 - abs(moved[0]) / 40) * (1 - abs(moved[1]) / 50)
    assert found.at(np.array(moved)) == pytest.approx(np.sqrt(share), rel=1e-9)
    np.testing.assert_allclose(found.peaks(1, np.array([30, 30]))[0], moved, atol=0.05)
    assert found.at(np.array([39, 0])) == -1


def test_what_is_masked_does_not_count() -> None:
    reference = np.random.default_rng(3).normal(size=(40, 50))
    image, seen = reference.copy(), everywhere(reference)
    image[:, :10], seen[:, :10] = 1e3, False
    found = overlap_correlation(image, reference, seen, everywhere(reference))
    assert found.at(np.zeros(2)) == pytest.approx(1, rel=1e-6)


def test_an_image_is_squeezed_about_its_middle() -> None:
    rows, columns = np.indices((5, 21)).astype(float)
    found, seen = squeezed(100 * rows + columns, 0.5)
    np.testing.assert_allclose(found[:, 6:15], (100 * rows + 10 + 2 * (columns - 10))[:, 6:15])
    np.testing.assert_array_equal(np.flatnonzero(seen[0]), np.arange(5, 16))


def test_a_flat_specimen_is_followed_by_the_votes() -> None:
    """A point of it at x is at x cos t + s_x; what one motion explains is gauge."""
    shifts = np.random.default_rng(4).uniform(-7, 7, (len(T), 2))
    points = [(-6.0, -5.0), (4.0, 7.0), (1.0, -1.0), (9.0, 3.0)]
    images = np.array(
        [sum(blob(y + sy, x * np.cos(t) + sx, 64) for y, x in points) for (sy, sx), t in zip(shifts, T, strict=True)]
    )
    votes = voted_shifts(images, ANGLES, np.array([32.0, 32.0]), [(1.5, 6.0)], watch())[0]
    np.testing.assert_allclose(without_rigid_motion(votes.shifts - shifts, ANGLES), 0, atol=0.4)
    assert votes.doubtful == ()


def test_next_neighbours_overrule_a_peak_that_repeats() -> None:
    """A grating of 12 rows under a blob: one image in which the blob is faint is placed by those on both sides of it."""
    y, x = np.indices((64, 64)) - 31.5
    grating = 10 * (1 + np.cos(2 * np.pi * y / 12)) * (np.abs(x) < 8)
    moved = np.array([0, 5, 10, 15, 20]) - 10
    images = [
        np.roll(grating, s, axis=0) * (np.abs(y - s) < 20) + weight * blob(s + 3, 3, 64)
        for s, weight in zip(moved, (1, 1, 0.2, 1, 1), strict=True)
    ]
    angles = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    votes = voted_shifts(np.array(images), angles, np.array([32.0, 32.0]), [(1.5, 6.0)], watch())[0]
    np.testing.assert_allclose(np.diff(votes.shifts[:, 0]), 5, atol=0.5)


# Prediction of tilts that were left out

FEW = np.arange(-40.0, 41.0, 10.0)


def solid(shifts: np.ndarray, seed: int = 0, peak: float = 30.0) -> np.ndarray:
    """Images of Gaussian blobs in a box, and of nothing else."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-9, 9, (12, 3))
    images = np.array(
        [
            sum(blob(y + sy, x * np.cos(t) + z * np.sin(t) + sx, 48) for x, y, z in points)
            for (sy, sx), t in zip(shifts, np.deg2rad(FEW), strict=True)
        ]
    )
    return images * peak / images.max()


def comparison_of(images: np.ndarray, shifts: np.ndarray, **more: float) -> Comparison:
    geometry = Geometry(FEW, shifts, depth_of(images, 0.75), **more)
    return compared(images, predicted(images, geometry), 20)


def test_an_image_has_no_part_in_its_own_prediction() -> None:
    still = np.zeros((len(FEW), 2))
    images = solid(still)
    spoilt = images.copy()
    spoilt[4] = np.random.default_rng(0).uniform(0, 30, images[4].shape)
    geometry = Geometry(FEW, still, 36)
    np.testing.assert_array_equal(predicted(images, geometry).images[4], predicted(spoilt, geometry).images[4])


def test_one_displaced_image_is_seen_with_its_sign_and_within_its_error() -> None:
    shifts = np.zeros((len(FEW), 2))
    shifts[4] = 1.5, -1.0
    noisy = np.random.default_rng(1).poisson(solid(shifts)).astype(float)
    found = comparison_of(noisy, np.zeros_like(shifts))
    np.testing.assert_allclose(found.moves[4], (1.5, -1.0), atol=0.5)
    assert 0.02 < found.errors[4].max() < 0.5
    assert comparison_of(noisy, shifts).better_than(found)
    assert not found.better_than(comparison_of(noisy, shifts))


@pytest.mark.parametrize('peak', [30.0, 5.0])
def test_the_errors_of_displacements_are_as_large_as_their_scatter(peak: float) -> None:
    shifts = np.zeros((len(FEW), 2))
    clean = solid(shifts, peak=peak)
    runs = [comparison_of(np.random.default_rng(seed).poisson(clean).astype(float), shifts) for seed in range(8)]
    inner = slice(1, -1)
    scatter = np.array([run.moves[inner] for run in runs]).std(axis=0, ddof=1)
    claimed = np.array([run.errors[inner] for run in runs]).mean(axis=0)
    assert 0.5 < np.sqrt((scatter**2).mean() / (claimed**2).mean()) < 1.5


@pytest.mark.parametrize(('height', 'x'), [(8.0, 0.0), (-5.0, 0.0), (6.0, 14.0), (6.0, -14.0)])
def test_the_height_of_a_blob_is_that_of_its_sine(height: float, x: float) -> None:
    """A blob at (x, z) is seen at x cos t + z sin t."""
    images = np.array([blob(0, x * np.cos(t) + height * np.sin(t)) for t in T])
    geometry = Geometry(ANGLES, np.zeros((len(T), 2)), depth_of(images, 0.75))
    assert height_of(images, geometry) == pytest.approx(height, abs=0.3)


def test_the_better_start_is_taken_and_no_round_moves_nothing() -> None:
    rng = np.random.default_rng(5)
    shifts = rng.uniform(-4, 4, (len(FEW), 2))
    images = rng.poisson(solid(shifts)).astype(float)
    name, start = best_start(images, FEW, {'none': 0 * shifts, 'true': shifts}, 0.0, 20)
    assert name == 'true'
    same = refined(images, start.geometry, 20, 0, watch(), 0)
    np.testing.assert_array_equal(same.geometry.shifts, start.geometry.shifts)
    assert same.rounds == 0


def test_true_shifts_are_left_within_their_noise_and_false_ones_improved() -> None:
    rng = np.random.default_rng(6)
    shifts = rng.uniform(-4, 4, (len(FEW), 2))
    images = rng.poisson(solid(shifts)).astype(float)
    depth = depth_of(images, 0.75)

    def error(start: np.ndarray) -> float:
        found = refined(images, Geometry(FEW, start, depth), 20, 8, watch(), 0).geometry.shifts
        return float(np.sqrt((without_rigid_motion(found - shifts, FEW) ** 2).sum(axis=1).mean()))

    assert error(shifts) < 0.25
    assert error(shifts + rng.normal(0, 1.0, shifts.shape)) < 0.4


def test_noise_alone_moves_nothing() -> None:
    images = np.random.default_rng(7).poisson(1.0, (len(FEW), 48, 48)).astype(float)
    start = Geometry(FEW, np.zeros((len(FEW), 2)), 24)
    assert np.abs(refined(images, start, 20, 8, watch(), 0).geometry.shifts).max() < 1.0


def turned_blobs(turn: float, angles: np.ndarray, seed: int) -> np.ndarray:
    """About an axis turned by r a point is at p cos r - q sin r, p sin r + q cos r; p = x cos t + z sin t."""
    rng = np.random.default_rng(seed)
    points, r = rng.uniform(-14, 14, (25, 3)), np.deg2rad(turn)
    found = []
    for t in np.deg2rad(angles):
        p, q = points[:, 0] * np.cos(t) + points[:, 2] * np.sin(t), points[:, 1]
        places = zip(p * np.sin(r) + q * np.cos(r), p * np.cos(r) - q * np.sin(r), strict=True)
        found.append(sum(blob(row, column, 48, 1.5) for row, column in places))
    clean = np.array(found)
    return rng.poisson(clean * 30 / clean.max()).astype(float)


@pytest.mark.parametrize('turn', [0.0, 3.0])
@pytest.mark.parametrize(('largest', 'error'), [(40.0, 0.6), (60.0, 0.4)])
def test_the_rotation_of_the_axis_is_found_within_its_error(turn: float, largest: float, error: float) -> None:
    """It came out as 2.2 +- 0.2 of 3 degrees and as -0.9 +- 0.2 of none."""
    angles = np.arange(-largest, largest + 1, 5.0)
    found = rotation_in(turned_blobs(turn, angles, 1), Geometry(angles, np.zeros((len(angles), 2)), 32))
    assert found.uncertainty < error
    assert abs(found.angle - turn) < 2 * found.uncertainty
    assert found.is_clear == (turn > 0)


def test_a_shallow_volume_does_not_turn_the_axis() -> None:
    """By predictions from volumes of this one depth facetted particles were turned by 1.2 degrees."""
    angles, phantom, still = np.arange(-40.0, 41.0, 5.0), facetted(32, 21), np.zeros((17, 2))
    fine = ParallelBeam(angles, phantom.fine.shape[1:]).project(phantom.fine).sum(axis=0)
    clean = fine.reshape(len(angles), 32, 2, 32, 2).sum(axis=(2, 4))
    counts = [np.random.default_rng(seed).poisson(clean * 30 / clean.max()).astype(float) for seed in range(3)]
    found = [rotation_in(images, Geometry(angles, still, 16)) for images in counts]
    assert np.sqrt(np.mean([one.angle**2 for one in found])) < 0.8
    assert all(abs(one.angle) < 2 * one.uncertainty < 2 for one in found)


def test_noise_and_what_is_alike_everywhere_show_no_rotation() -> None:
    angles = np.arange(-40.0, 41.0, 5.0)
    noise = np.random.default_rng(2).poisson(20.0, (len(angles), 40, 40)).astype(float)
    assert not rotation_in(noise, Geometry(angles, np.zeros((len(angles), 2)), 20)).is_clear


def test_where_most_tilts_are_undetermined_none_is_trusted() -> None:
    """Of a thick film at few counts tilts wrong by three pixels stood beside doubted ones without a word."""
    errors = np.full((9, 2), 0.3)
    errors[:5] = 1.2  # 1.7 pixels of both axes together
    scores, still = np.full(9, 0.5), np.zeros((9, 2))
    assert doubtful_tilts(Comparison(scores, still, errors)).all()
    errors[4] = 0.3
    np.testing.assert_array_equal(doubtful_tilts(Comparison(scores, still, errors)), np.arange(9) < 4)


# Motions of the specimen and the tilt axis


def test_the_smallest_shifts_hold_no_motion_along_x_and_y_and_bring_the_mass_to_the_middle() -> None:
    shifts = np.stack([np.full_like(T, 2.0) + T, 3 * np.cos(T) + 0.5 * np.sin(T)], axis=1)
    found = smallest_shifts(shifts, ANGLES, height=4.0)
    np.testing.assert_allclose(found[:, 0], T, atol=1e-12)
    np.testing.assert_allclose(found[:, 1], 4.5 * np.sin(T), atol=1e-12)
    np.testing.assert_allclose(smallest_shifts(shifts, ANGLES)[:, 1], 0.5 * np.sin(T), atol=1e-12)


def orthogonal(*patterns: np.ndarray) -> np.ndarray:
    """Some shifts that none of the patterns explains, of length 1."""
    basis, _ = np.linalg.qr(np.stack(patterns, axis=1))
    left = np.random.default_rng(3).normal(size=len(T))
    left -= basis @ (basis.T @ left)
    return left / np.linalg.norm(left)


def test_shifts_that_no_motion_explains_stay() -> None:
    left = orthogonal(np.cos(T), np.sin(T))
    moved = np.stack([np.full_like(T, 5.0), left + 2 * np.cos(T) - 7 * np.sin(T)], axis=1)
    np.testing.assert_allclose(without_rigid_motion(moved, ANGLES), column(left), atol=1e-12)


@pytest.mark.parametrize(('sigmas', 'seen'), [(2.9, False), (3.1, True), (-2.9, False), (-3.1, True)])
def test_the_axis_counts_from_three_standard_deviations_on(sigmas: float, seen: bool) -> None:
    """Linear regression with n - 3 degrees of freedom; 1 over the square of what cos and sin leave of the constant."""
    basis, _ = np.linalg.qr(np.stack([np.cos(T), np.sin(T)], axis=1))
    ones = np.ones_like(T)
    own = ones - basis @ (basis.T @ ones)
    std = np.sqrt(1 / (len(T) - 3) / (own @ own))
    shifts = column(sigmas * std * ones + orthogonal(ones, np.cos(T), np.sin(T)))
    found = tilt_axis_in(shifts, ANGLES, 100.0)
    assert found.uncertainty == pytest.approx(std, rel=1e-9)
    assert found.shift == pytest.approx(sigmas * std if seen else 0.0, abs=1e-9)


def test_the_axis_lies_in_the_image() -> None:
    shifts = column(5.0 * (1 - np.cos(T)) + 1e-3 * orthogonal(np.ones_like(T), np.cos(T), np.sin(T)))
    for sign in (1, -1):
        assert tilt_axis_in(sign * shifts, ANGLES, 5.1).shift == pytest.approx(sign * 5.0, rel=1e-6)
        assert tilt_axis_in(sign * shifts, ANGLES, 4.9).shift == 0.0


def test_four_tilts_do_not_determine_an_axis() -> None:
    angles = np.array([-60.0, -30.0, 0.0, 30.0, 60.0])
    shifts = column(5.0 * (1 - np.cos(np.deg2rad(angles))) + 1e-6 * np.array([1, -2, 0, 2, -1]))
    found = tilt_axis_in(shifts[:4], angles[:4], 32)
    assert found.shift == 0.0 and found.uncertainty == np.inf
    assert tilt_axis_in(shifts, angles, 32).shift == pytest.approx(5.0, rel=1e-3)
