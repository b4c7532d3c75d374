"""The parts of an alignment with closed forms: band-pass, displacement, stretch, chain of neighbours, tilt axis."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.align import Align
from napari_diptomo.align.align import _binned
from napari_diptomo.align.image_correlation import at_zero_tilt, displacement, normalised_correlation, prepared
from napari_diptomo.align.neighbour_shifts import chained_shifts
from napari_diptomo.align.projection_matching import matched_shifts
from napari_diptomo.align.specimen_motion import smallest_shifts, tilt_axis_in, without_rigid_motion
from napari_diptomo.series import InputError, MapSeries, Watch

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


@pytest.mark.parametrize(('angle', 'stretch'), [(0.0, 1.0), (60.0, 0.5), (-60.0, 0.5)])
def test_a_ramp_is_stretched_about_the_middle_and_moved_back(angle: float, stretch: float) -> None:
    """A point at x is found at x cos t + s_x in the image, a row y at y + s_y."""
    rows, columns = np.indices((9, 21)).astype(float)
    found = at_zero_tilt(100 * rows + columns, angle, np.array([2.0, 1.5]))
    inner = np.s_[:7, 4:-4]
    expected = 100 * (rows + 2.0) + 10 + (columns - 10) * stretch + 1.5
    np.testing.assert_allclose(found[inner], expected[inner])


def test_binning_keeps_the_middle() -> None:
    rows, columns = np.indices((11, 14)).astype(float)
    found = _binned(np.stack([100 * rows + columns, 200 * rows + 2 * columns]), 3)
    assert found.shape == (2, 3, 4)
    np.testing.assert_allclose(found[0], 100 * np.array([[2], [5], [8]]) + np.array([2, 5, 8, 11]))
    np.testing.assert_allclose(found[1], 2 * found[0])


# The chain of neighbours


def test_a_flat_specimen_is_followed_from_the_lowest_tilt_outward() -> None:
    """Shifts against the image at zero tilt; along x a flat picture is narrowed to cos t, so no shift is added to it."""
    angles = np.array([-40.0, -20.0, 2.0, 20.0, 40.0])
    shifts = np.array([[3.0, -4.0], [1.0, -2.0], [0.0, 0.0], [-1.5, 2.5], [-3.0, 1.0]])
    cosines = np.cos(np.deg2rad(angles))
    images = np.array(
        [
            sum(blob(y + sy, x * c + sx) for y, x in ((-6.0, -5.0), (4.0, 7.0), (1.0, -1.0)))
            for (sy, sx), c in zip(shifts, cosines, strict=True)
        ]
    )
    found = chained_shifts(images, angles, 20, 8.0, watch())
    np.testing.assert_allclose(found.shifts, shifts, atol=0.25)
    np.testing.assert_array_equal(found.shifts[2], 0)
    assert found.doubtful == ()


def test_an_image_too_far_off_is_put_where_its_neighbour_is() -> None:
    """The neighbour's shift as a rigid motion along x would have it: in proportion to cos t."""
    angles = np.array([0.0, 30.0, 60.0])
    images = np.array([blob(0, 0), blob(2.0, 4.0), blob(-9.0, 3.0)])
    found = chained_shifts(images, angles, 20, 6.0, watch())
    assert found.doubtful == (2,)
    np.testing.assert_allclose(found.shifts[1], (2.0, 4.0), atol=0.25)
    np.testing.assert_allclose(found.shifts[2], found.shifts[1] * (1.0, 0.5 / np.cos(np.pi / 6)), rtol=1e-9)
    further = chained_shifts(images, angles, 20, 14.0, watch())
    assert further.doubtful == () and further.shifts[2, 0] == pytest.approx(-9.0, abs=0.3)


def test_a_drift_may_add_up_to_more_than_one_displacement_may_be() -> None:
    angles = np.array([0.0, 5.0, 10.0, 15.0])
    drift = np.array([[0.0, 0.0], [4.0, 0.0], [8.0, 0.0], [12.0, 0.0]])
    found = chained_shifts(np.array([blob(*shift) for shift in drift]), angles, 20, 5.0, watch())
    assert found.doubtful == ()
    np.testing.assert_allclose(found.shifts, drift, atol=0.3)


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


@pytest.mark.parametrize(('fields', 'doubtful'), [({}, [60.0]), ({'max_shift': 0.4}, []), ({'max_shift': 0.3}, [60.0])])
def test_a_third_of_the_image_is_the_largest_displacement_that_is_accepted(fields: dict, doubtful: list) -> None:
    """0.35 of the larger side: 22.4 of 64 pixels."""
    images = np.array([blob(-12, 0, 64)] * (len(T) - 1) + [blob(12, 0, 64)])
    maps = MapSeries(images[None], ANGLES, ('Fe',), 1.0)
    notes = Align(rounds=0, **fields).run(maps).notes['align']
    assert notes['doubtful_angles'] == doubtful


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


def test_matching_in_no_round_scores_the_shifts_as_they_are() -> None:
    images = np.array([blob(0, 8 * s) for s in np.sin(T)])
    shifts = column(np.linspace(-1, 1, len(T)))
    found = matched_shifts(images, ANGLES, shifts, 20, 0, watch(), 0)
    np.testing.assert_array_equal(found.shifts, shifts)
    assert found.rounds == 0 and found.before == found.after
    improved = matched_shifts(images, ANGLES, shifts, 20, 3, watch(), 0)
    assert improved.before == found.before and improved.after > found.after > 0.5


@pytest.mark.parametrize(('height', 'x'), [(8.0, 0.0), (-5.0, 0.0), (6.0, 14.0), (6.0, -14.0)])
def test_the_height_of_a_blob_is_that_of_its_sine(height: float, x: float) -> None:
    """A blob at (x, z) is seen at x cos t + z sin t."""
    images = np.array([blob(0, x * np.cos(t) + height * np.sin(t)) for t in T])
    found = matched_shifts(images, ANGLES, np.zeros((len(T), 2)), 20, 0, watch(), 0)
    assert found.height == pytest.approx(height, abs=0.3)
    assert found.after > 0.9


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
