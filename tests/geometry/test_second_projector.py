"""Projections of a specimen that was turned between two series: closed forms, and the adjoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.second_projector import JoinedProjector, ReinsertedProjector, resample
from napari_diptomo.geometry.torch_projector import TorchProjector
from napari_diptomo.series import InputError
from napari_diptomo.series.reinsertion import Reinsertion, reinserted_shape

ANGLES = np.array([-30.0, 0.0, 45.0])


def _projector(placed: Reinsertion, shape=(6, 8, 10), images=(10, 8), voxel=1.0, pixel=1.0) -> ReinsertedProjector:
    there = reinserted_shape(shape, placed, images, voxel / pixel)
    beam = ParallelBeam(ANGLES, there, columns=images[1])
    return ReinsertedProjector(beam, placed, shape, voxel, pixel)


def test_a_quarter_turn_exchanges_rows_and_columns_exactly():
    """x' = y and y' = -x: the image of an untilted specimen is turned by 90 degrees anticlockwise."""
    volume = torch.as_tensor(np.random.default_rng(0).random((2, 6, 8, 10)).astype(np.float32))
    found = _projector(Reinsertion.turned(90)).project(volume)[:, 1].numpy()
    flat = volume.sum(dim=1).numpy()
    np.testing.assert_allclose(found, flat.transpose(0, 2, 1)[:, ::-1], rtol=1e-5)


def test_a_specimen_that_was_not_turned_gives_the_projections_of_the_first_series():
    volume = torch.as_tensor(np.random.default_rng(1).random((2, 6, 8, 10)).astype(np.float32))
    found = _projector(Reinsertion(), images=(8, 10)).project(volume)
    known = TorchProjector(ParallelBeam(ANGLES, (6, 8, 10))).project(volume)
    np.testing.assert_allclose(found.numpy(), known.numpy(), rtol=1e-5, atol=1e-5)


def test_upside_down_reverses_the_sign_of_the_tilts():
    """A specimen turned over about the tilt axis, x' = -x and z' = -z, shows at t the mirror image of what it shows at t."""
    volume = torch.zeros((1, 7, 3, 9))
    volume[0, 5, 1, 6] = 1
    over = _projector(Reinsertion.turned(0, upside_down=True), (7, 3, 9), (3, 9)).project(volume)[0, :, 1].numpy()
    straight = _projector(Reinsertion(), (7, 3, 9), (3, 9)).project(volume)[0, :, 1].numpy()
    np.testing.assert_allclose(over, straight[:, ::-1], atol=1e-5)


def test_an_offset_moves_the_image_as_far():
    """d = (2, 1, 3) nm with pixels of half a nm: 4 columns at zero tilt, 2 rows, and z sin t at a tilt."""
    volume = torch.zeros((1, 15, 15, 15))
    volume[0, 7, 7, 7] = 1
    beam = ParallelBeam(np.array([0.0, 30.0]), (31, 31, 31))
    placed = Reinsertion(offset=(2.0, 1.0, 3.0))
    found = ReinsertedProjector(beam, placed, (15, 15, 15), 0.5, 0.5).project(volume)[0].numpy()
    columns, rows = np.arange(31) - 15, np.arange(31) - 15
    for image, t in zip(found, np.deg2rad([0.0, 30.0]), strict=True):
        assert float((image.sum(axis=0) * columns).sum() / image.sum()) == pytest.approx(
            4 * np.cos(t) + 6 * np.sin(t), abs=0.02
        )
        assert float((image.sum(axis=1) * rows).sum() / image.sum()) == pytest.approx(2.0, abs=1e-4)


def test_finer_pixels_count_the_same_path():
    """Counts per voxel of path: a slab of 6 voxels of 1 nm is 6 voxels thick in pixels of half a nm too."""
    volume = torch.ones((1, 6, 9, 9))
    placed = Reinsertion()
    there = reinserted_shape((6, 9, 9), placed, (18, 18), 2.0)
    assert there == (12, 18, 18)
    beam = ParallelBeam(np.array([0.0]), there)
    image = ReinsertedProjector(beam, placed, (6, 9, 9), 1.0, 0.5).project(volume)[0, 0].numpy()
    # Half a voxel at either face is read beyond the middle of the outermost one.
    assert image[9, 9] == pytest.approx(6.0, abs=0.3)


@pytest.mark.parametrize('shape', [(6, 8, 10), (5, 1, 9)])
def test_the_back_projection_is_the_adjoint(shape):
    rng = np.random.default_rng(2)
    placed = Reinsertion(rotation=(3.0, -4.0, 80.0), offset=(0.7, -0.4, 0.2))
    projector = _projector(placed, shape, (9, 7))
    x = torch.as_tensor(rng.random((2, *shape)).astype(np.float32))
    images = projector.project(x)
    y = torch.as_tensor(rng.random(images.shape).astype(np.float32))
    left, right = float((images * y).double().sum()), float((x * projector.backproject(y)).double().sum())
    assert left > 0
    assert left == pytest.approx(right, rel=1e-5)


def test_joined_images_are_padded_and_come_apart_again():
    rng = np.random.default_rng(3)
    volume = torch.as_tensor(rng.random((2, 6, 8, 10)).astype(np.float32))
    first = TorchProjector(ParallelBeam(ANGLES, (6, 8, 10)))
    second = _projector(Reinsertion.turned(90))
    joined = JoinedProjector((first, second), ((3, 8, 10), (3, 10, 8)))
    images = joined.project(volume)
    assert images.shape == (2, 6, 10, 10)
    one, other = joined.parted(images)
    np.testing.assert_array_equal(one.numpy(), first.project(volume).numpy())
    np.testing.assert_array_equal(other.numpy(), second.project(volume).numpy())
    y = torch.as_tensor(rng.random(images.shape).astype(np.float32))
    left, right = float((images * y).double().sum()), float((volume * joined.backproject(y)).double().sum())
    assert left == pytest.approx(right, rel=1e-5)


def test_a_volume_read_in_a_turned_frame_has_its_mass_where_the_motion_takes_it():
    axis = np.arange(21) - 10
    z, y, x = np.meshgrid(axis, axis, axis, indexing='ij')
    blob = np.exp(-((x - 5) ** 2 + y**2 + (z - 3) ** 2) / (2 * 1.5**2)).astype(np.float32)
    volume = torch.as_tensor(blob[None])
    placed = Reinsertion.turned(30)
    moved = resample(volume, placed, (21, 21, 21), 1.0, (21, 21, 21), 1.0)[0].numpy()
    mass = moved.sum()
    x, y, z = (float((moved.sum(axis=sums) * axis).sum() / mass) for sums in ((0, 1), (0, 2), (1, 2)))
    turn = np.deg2rad(30)
    np.testing.assert_allclose([x, y, z], [5 * np.cos(turn), -5 * np.sin(turn), 3], atol=0.01)


def test_a_turn_is_read_back():
    for turn, over in ((90, False), (-35, False), (120, True), (-90, True)):
        placed = Reinsertion.turned(turn, over)
        assert placed.turn == pytest.approx(turn, abs=1e-6)
        assert placed.upside_down is over
        assert placed.out_of_plane == pytest.approx(0, abs=1e-5)
    assert Reinsertion(rotation=(2.0, 0.0, 0.0)).out_of_plane == pytest.approx(2.0, abs=1e-6)


def test_a_motion_followed_by_its_inverse_is_none():
    placed = Reinsertion(rotation=(10.0, -20.0, 70.0), offset=(1.0, 2.0, 3.0))
    back = placed.matrix.T
    none = placed.then(back, -back @ np.array(placed.offset))
    np.testing.assert_allclose([*none.rotation, *none.offset], 0, atol=1e-9)


@pytest.mark.parametrize('values', [{'offset': (1.0, 2.0)}, {'rotation': (float('nan'), 0.0, 0.0)}])
def test_a_motion_needs_three_numbers(values):
    with pytest.raises(InputError, match='three numbers'):
        Reinsertion(**values)
