"""Displacements from the moments of the images."""

import numpy as np
import pytest

from napari_diptomo import Align, simulate
from napari_diptomo.align.moment_conditions import Moves, moment_moves, moment_rotation, weighed
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.series import MapSeries

ANGLES = np.arange(-40.0, 41.0, 5.0)
#: Gaussian spheres: x, y, z from the middle and weight.
SPHERES = np.array([[-9, -8, 3, 1.0], [6, -3, -5, 0.6], [-2, 5, 7, 0.8], [8, 9, -2, 1.2]])


def images_of(spheres: np.ndarray, shifts: np.ndarray, rotation: float = 0.0, size: int = 48) -> np.ndarray:
    """Projections of Gaussian spheres of 2 pixels in closed form, (tilt, y, x)."""
    v, u = np.meshgrid(np.arange(size) - (size - 1) / 2, np.arange(size) - (size - 1) / 2, indexing='ij')
    turn = np.deg2rad(rotation)
    found = np.zeros((len(ANGLES), size, size))
    for image, angle, (dy, dx) in zip(found, np.deg2rad(ANGLES), shifts, strict=True):
        for x, y, z, weight in spheres:
            across = x * np.cos(angle) + z * np.sin(angle)
            at_y = y * np.cos(turn) + across * np.sin(turn) + dy
            at_x = across * np.cos(turn) - y * np.sin(turn) + dx
            image += weight * np.exp(-((v - at_y) ** 2 + (u - at_x) ** 2) / 8)
    return found


def off(moves: np.ndarray, true: np.ndarray) -> float:
    return float(np.abs(without_rigid_motion(moves - true, ANGLES)).max())


@pytest.mark.parametrize('rotation', [0.0, 5.0, -8.0])
def test_displacements_of_spheres_are_found(rotation):
    true = np.random.default_rng(1).uniform(-0.8, 0.8, (17, 2))
    assert off(true, np.zeros((17, 2))) > 0.7
    found = moment_moves(images_of(SPHERES, true, rotation), ANGLES, np.zeros((17, 2)), rotation)
    assert off(found.moves, true) < 0.03


def test_errors_are_those_of_the_counts():
    """Many draws of few counts with a background: the errors have the size that is said."""
    true = np.zeros((17, 2))
    rng = np.random.default_rng(2)
    clean = 4 * images_of(SPHERES, true) + 0.2
    draws = [moment_moves(rng.poisson(clean).astype(float), ANGLES, true, 0.0) for _ in range(40)]
    errors = np.sqrt(np.mean([without_rigid_motion(d.moves, ANGLES) ** 2 for d in draws], axis=(0, 1)))
    said = np.sqrt(np.mean([np.median(d.errors**2, axis=0) for d in draws], axis=0))
    # Along x the counts of the background count with the square of their distance.
    assert errors[0] < 0.4 and errors[1] < 0.8
    assert np.all(np.abs(errors / said - 1) < 0.35)


def test_without_mass_nothing_is_determined():
    found = moment_moves(np.zeros((17, 48, 48)), ANGLES, np.zeros((17, 2)), 0.0)
    assert np.isinf(found.errors).all() and not found.moves.any()


@pytest.mark.parametrize('rotation', [0.0, 1.0, -2.0, 5.0, -8.0])
def test_the_profiles_show_the_rotation_of_the_axis(rotation):
    true = np.random.default_rng(3).uniform(-3, 3, (17, 2))
    angle, _ = moment_rotation(images_of(SPHERES, true, rotation), ANGLES, true)
    assert abs(angle - rotation) < 0.12


def test_the_error_of_the_rotation_is_that_of_the_counts():
    clean = 8 * images_of(SPHERES, np.zeros((17, 2)), 2.0) + 0.1
    rng = np.random.default_rng(5)
    found = np.array([moment_rotation(rng.poisson(clean).astype(float), ANGLES, np.zeros((17, 2))) for _ in range(60)])
    off = found[:, 0] - 2.0
    assert abs(off.mean()) < 0.25
    assert 0.75 < np.sqrt(np.mean((off / found[:, 1]) ** 2)) < 1.35


def test_one_height_shows_no_rotation():
    """Spheres of one row: a rotation displaces them alike, which the shifts take up."""
    row = SPHERES * [1, 0, 1, 1]
    assert np.isinf(moment_rotation(images_of(row, np.zeros((17, 2))), ANGLES, np.zeros((17, 2)))[1])


def test_two_measurements_are_weighed_by_their_precision():
    """Of two that agree, 0.3 and 0.1 pixels sure, the mean is that of 1 to 9 parts."""
    pattern = without_rigid_motion(np.tile([[1.0, -1.0], [-1.0, 1.0]], (9, 1))[:17] * 0.1, ANGLES)
    first = Moves(np.zeros((17, 2)), np.full((17, 2), 0.3))
    both, beyond = weighed(first, Moves(pattern, np.full((17, 2), 0.1)), ANGLES)
    np.testing.assert_allclose(both.moves, 0.9 * pattern, atol=1e-12)
    np.testing.assert_allclose(both.errors, 0.3 / np.sqrt(10))
    assert not beyond.any()


def test_moments_that_contradict_the_images_have_no_say():
    """Along x, where their own rows would not show it, they count no more than they agree; a single tilt keeps its match."""
    rng = np.random.default_rng(3)
    first = Moves(np.zeros((17, 2)), np.full((17, 2), 0.1))
    wrong = np.stack([np.zeros(17), rng.uniform(-5, 5, 17)], axis=1)
    both, beyond = weighed(first, Moves(wrong, np.full((17, 2), 0.05)), ANGLES)
    assert np.abs(both.moves[:, 1]).max() < 0.01 and beyond[1] > 1
    lit = np.zeros((17, 2))
    lit[8] = 3.0
    both, beyond = weighed(first, Moves(lit, np.full((17, 2), 0.05)), ANGLES)
    # The mean over the tilts takes up a part of the one.
    assert np.abs(both.moves[8]).max() < 0.01 and np.abs(both.moves).max() < 0.5


@pytest.mark.parametrize('specimen', ['needle', 'lamella', 'eels_phantom'])
def test_few_counts_align_to_a_third_of_a_pixel(specimen):
    """Matching alone leaves 0.30 to 0.36 pixels at 5 counts in the brightest pixel."""
    rng = np.random.default_rng(5)
    true = rng.uniform(-3, 3, (17, 2))
    phantom = {
        'needle': simulate.needle(32, 1),
        'lamella': simulate.lamella(32, 12),
        'eels_phantom': simulate.eels_phantom(32),
    }
    still = simulate.tilt_series(phantom[specimen], ANGLES, shifts=true).clean.sum(axis=0)
    counts = rng.poisson(still * 5 / still.max())
    maps = MapSeries(counts[None].astype(np.float32), ANGLES, ('all',))
    aligned = Align(axis_rotation=0.0).run(maps)
    shifts = np.array(aligned.shifts)
    shifts[:, 1] += aligned.axis_shift * (1 - np.cos(np.deg2rad(ANGLES)))
    left = without_rigid_motion(shifts - true, ANGLES)
    assert np.sqrt((left**2).sum(axis=1).mean()) < 0.22


def test_the_error_of_a_tilt_moved_by_hand_is_that_of_its_new_place():
    """Three pixels out of place its image says little of where it is; the moments spoke of another place."""
    maps = simulate.tilt_series(simulate.eels_phantom(32), ANGLES, peak_counts=10).maps
    found, moved = (
        Align(axis_rotation=0.0, by_hand=by_hand).run(maps).notes['align']['tilts'] for by_hand in ((), (20, 3, 3))
    )
    place = list(ANGLES).index(20)
    assert moved[place]['source'] == 'by hand'
    assert moved[place]['error'] > 1.5 * found[place]['error']
    others = [k for k in range(len(ANGLES)) if k != place]
    assert [moved[k]['error'] for k in others] == [found[k]['error'] for k in others]
