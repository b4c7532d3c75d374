"""The projector against closed forms, its own adjoint, and ASTRA's projection."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.torch_projector import TorchProjector
from napari_diptomo.series import InputError

ANGLES = np.arange(-40, 41, 10.0)


def _beam(**changes):
    rng = np.random.default_rng(0)
    settings = {
        'angles': ANGLES,
        'shape': (14, 9, 18),
        'shifts': rng.normal(0, 1.5, (len(ANGLES), 2)),
        'axis_shift': 1.3,
        'columns': 16,
    }
    return ParallelBeam(**{**settings, **changes})


@pytest.mark.parametrize('shifts', [None, 'random'])
def test_backprojection_is_the_adjoint(shifts):
    beam = _beam() if shifts else _beam(shifts=None)
    rng = np.random.default_rng(1)
    x = rng.random((2, *beam.shape)).astype(np.float32)
    y = rng.random((2, *beam.sinogram_shape)).astype(np.float32)
    left = np.vdot(beam.project(x).astype(float), y)
    right = np.vdot(x.astype(float), beam.backproject(y))
    assert left == pytest.approx(right, rel=1e-5)


def test_torch_operator_is_the_numpy_one_with_the_adjoint_as_gradient():
    beam = _beam()
    torch_beam = TorchProjector(beam)
    rng = np.random.default_rng(2)
    x = rng.random((3, *beam.shape)).astype(np.float32)
    y = rng.random((3, *beam.sinogram_shape)).astype(np.float32)
    tensor = torch.tensor(x, requires_grad=True)
    projected = torch_beam.project(tensor)
    np.testing.assert_allclose(projected.detach().numpy(), beam.project(x), rtol=1e-5, atol=1e-5)
    (projected * torch.tensor(y)).sum().backward()
    np.testing.assert_allclose(tensor.grad.numpy(), beam.backproject(y), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        torch_beam.backproject(torch.tensor(y)).numpy(), beam.backproject(y), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize('ny', [1, 9])
def test_torch_operators_are_adjoint_to_the_last_digits(ny):
    """Both sum the same products, each in its own order."""
    beam = _beam(shape=(14, ny, 18), shifts=None)
    torch_beam = TorchProjector(beam)
    rng = np.random.default_rng(5)
    x = torch.tensor(rng.normal(size=(1, *beam.shape)), dtype=torch.float32)
    y = torch.tensor(rng.normal(size=(1, *beam.sinogram_shape)), dtype=torch.float32)
    products = torch_beam.project(x).double() * y
    left = float(products.sum())
    right = float((x.double() * torch_beam.backproject(y)).sum())
    assert abs(left - right) < 1e-6 * float(products.abs().sum())


def test_pixels_that_no_ray_reaches_project_to_nothing():
    beam = _beam(shape=(4, 3, 6), shifts=None, axis_shift=0.0, columns=16)
    found = TorchProjector(beam).project(torch.ones(1, *beam.shape))
    assert float(found[..., [0, 1, -2, -1]].abs().max()) == 0.0
    # At zero tilt every ray through the volume crosses four voxels.
    torch.testing.assert_close(found[0, 4, :, 5:11], torch.full((3, 6), 4.0))


@pytest.mark.parametrize('tilt', [0.0, 20.0, -35.0, 44.0])
def test_a_steep_ray_through_a_box_is_as_long_as_its_path(tilt):
    box = np.ones((1, 6, 2, 40), np.float32)
    projected = ParallelBeam([tilt], (6, 2, 40)).project(box)[0, 0]
    np.testing.assert_allclose(projected[:, 16:24], 6 / np.cos(np.deg2rad(tilt)), rtol=1e-6)


@pytest.mark.parametrize('tilt', [50.0, -75.0, 90.0, -90.0])
def test_a_flat_ray_through_a_box_is_as_long_as_its_path(tilt):
    box = np.ones((1, 40, 2, 6), np.float32)
    projected = ParallelBeam([tilt], (40, 2, 6), columns=8).project(box)[0, 0]
    np.testing.assert_allclose(projected, 6 / abs(np.sin(np.deg2rad(tilt))), rtol=1e-6)


@pytest.mark.parametrize('flat', [False, True])
def test_weights_of_a_ray_are_those_worked_out_by_hand(flat):
    """Where x = -z / 2, or z = -x / 2, a ray through the middle is half a voxel off in the rows beside it."""
    tilt = 90 - np.rad2deg(np.arctan(0.5)) if flat else np.rad2deg(np.arctan(0.5))
    shape = (5, 1, 3) if flat else (3, 1, 5)
    beam = ParallelBeam([tilt], shape, columns=1)
    weights = beam.matrix.toarray().reshape(shape[0], shape[2])
    expected = np.sqrt(1.25) * np.array([[0, 0, 0.5, 0.5, 0], [0, 0, 1, 0, 0], [0, 0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(weights, expected.T if flat else expected, atol=2e-6)


def test_a_ray_far_away_meets_nothing():
    beam = ParallelBeam([0.0, 60.0], (4, 1, 5), shifts=np.array([[0.0, 1e12], [0.0, -1e12]]))
    assert beam.matrix.nnz == 0


@pytest.fixture
def astra():
    return pytest.importorskip('astra', reason='compares with astra-toolbox, which has no build for every platform')


@pytest.mark.parametrize('axis_shift', [0.0, 3.0])
def test_projection_is_that_of_astra(astra, axis_shift):
    """ASTRA rotates the other way round with its y axis up: angle -t on slices with z downwards."""
    beam = _beam(shifts=None, axis_shift=0.0, columns=18)
    rng = np.random.default_rng(3)
    x = rng.random((1, *beam.shape)).astype(np.float32)
    nz, ny, nx = beam.shape
    geometry = astra.create_proj_geom('parallel', 1.0, 18, -np.deg2rad(ANGLES))
    if axis_shift:
        # A whole-image shift of all views is a shift of the detector the other way.
        beam = _beam(shifts=np.tile([0.0, axis_shift], (len(ANGLES), 1)), axis_shift=0.0, columns=18)
        geometry = astra.geom_postalignment(geometry, -axis_shift)
    projector = astra.create_projector('linear', geometry, astra.create_vol_geom(nz, nx))
    found = beam.project(x)[0]
    for row in range(ny):
        data, sinogram = astra.create_sino(np.ascontiguousarray(x[0, :, row]), projector)
        astra.data2d.delete(data)
        assert np.abs(found[:, row] - sinogram).max() < 1e-5 * np.abs(sinogram).max()
    astra.projector.delete(projector)


def _astra_matrix(astra, beam):
    """The matrix of a geometry as ASTRA has it, its vectors with y upwards, ours with z downwards."""
    nz, _, nx = beam.shape
    t = np.deg2rad(beam.angles)
    offset = beam.axis_shift * (1 - np.cos(t)) + beam.shifts[:, 1]
    along = np.stack([np.cos(t), -np.sin(t)], axis=1)
    ray = np.stack([np.sin(t), np.cos(t)], axis=1)
    vectors = np.hstack([ray, -offset[:, None] * along, along])
    geometry = astra.create_proj_geom('parallel_vec', beam.columns, vectors)
    projector = astra.create_projector('linear', geometry, astra.create_vol_geom(nz, nx))
    matrix = astra.projector.matrix(projector)
    found = astra.matrix.get(matrix).astype(np.float32)
    astra.matrix.delete(matrix)
    astra.projector.delete(projector)
    return found


@pytest.mark.parametrize('shape', [(14, 1, 18), (40, 1, 17), (1, 1, 9), (9, 1, 1), (64, 1, 64)])
@pytest.mark.parametrize('moved', [False, True])
def test_matrix_is_that_of_astra_to_the_bit(astra, shape, moved):
    """Results that were published with ASTRA's matrix stay reproducible."""
    rng = np.random.default_rng(6)
    angles = np.concatenate([np.arange(-80, 81, 5.0), [45.0, -45.0, 90.0, -90.0, 180.0], rng.uniform(-180, 180, 9)])
    shifts = rng.normal(0, 2, (len(angles), 2)) if moved else None
    beam = ParallelBeam(angles, shape, shifts, axis_shift=1.3 if moved else 0.0, columns=shape[2] + 2 * moved)
    expected, found = _astra_matrix(astra, beam), beam.matrix
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data, expected.data)


def _blob(shape, z, y, x, width=1.5):
    """A round Gaussian at (z, y, x) from the middle: smooth, so its centre projects exactly."""
    axes = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing='ij')
    square = sum((axis - place) ** 2 for axis, place in zip(axes, (z, y, x), strict=True))
    return np.exp(-square / (2 * width**2))[None].astype(np.float32)


def test_sign_of_the_angle():
    """A point at z > 0 moves to larger x' when tilted positively: x' = x cos t + z sin t."""
    volume = _blob((31, 3, 31), 7, 0, 4)
    angles = np.array([-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0])
    projected = ParallelBeam(angles, (31, 3, 31)).project(volume)[0, :, 1]
    place = (projected * (np.arange(31) - 15)).sum(1) / projected.sum(1)
    t = np.deg2rad(angles)
    np.testing.assert_allclose(place, 4 * np.cos(t) + 7 * np.sin(t), atol=0.01)


def test_shifts_and_axis_move_the_image():
    """column = a + (x - a) cos t + z sin t + s_x, row = y + s_y."""
    volume = _blob((31, 17, 31), 5, 0, -2)
    angles = np.array([-40.0, 0.0, 25.0])
    shifts = np.array([[2.0, -1.0], [0.0, 0.5], [-1.5, 2.25]])
    projected = ParallelBeam(angles, (31, 17, 31), shifts, axis_shift=2.0).project(volume)[0]
    t = np.deg2rad(angles)
    total = projected.sum((1, 2))
    columns = (projected.sum(1) * (np.arange(31) - 15)).sum(1) / total
    rows = (projected.sum(2) * (np.arange(17) - 8)).sum(1) / total
    np.testing.assert_allclose(columns, 2 + (-2 - 2) * np.cos(t) + 5 * np.sin(t) + shifts[:, 1], atol=0.01)
    np.testing.assert_allclose(rows, shifts[:, 0], atol=1e-3)


@pytest.mark.parametrize('tilt', [0.0, 17.0, -45.0, 70.0, 90.0])
def test_mass_of_a_smooth_body_is_kept(tilt):
    volume = _blob((41, 3, 41), 2, 0, -3, width=3)
    projected = ParallelBeam([tilt], (41, 3, 41)).project(volume)
    assert projected.sum() == pytest.approx(volume.sum(), rel=1e-4)


def test_mass_is_kept_at_every_tilt():
    volume = np.zeros((1, 16, 4, 16), np.float32)
    volume[0, 5:11, :, 5:11] = 2.0
    projected = ParallelBeam(ANGLES, (16, 4, 16)).project(volume)
    np.testing.assert_allclose(projected.sum((0, 2, 3)), volume.sum(), rtol=1e-2)


def test_rows_outside_the_volume_are_not_covered():
    beam = ParallelBeam([0.0, 10.0], (4, 6, 8), shifts=np.array([[0.0, 0.0], [1.5, 0.0]]))
    assert beam.covered.tolist() == [[True] * 6, [False, False, True, True, True, True]]


def test_without_shifts_along_the_axis_every_row_is_covered():
    beam = ParallelBeam([0.0, 10.0], (4, 6, 8), shifts=np.array([[0.0, 3.0], [0.0, -1.0]]))
    assert beam.row_matrices is None
    assert beam.covered.shape == (2, 6) and beam.covered.all()


@pytest.mark.parametrize('shape', [(4, 6), (4, 6, 8, 2), (4, 0, 8), (0, 6, 8), (4, 6, 0)])
def test_a_volume_has_three_lengths_of_a_voxel_at_least(shape):
    with pytest.raises(InputError, match='three lengths'):
        ParallelBeam([0.0], shape)


# A tilt axis that is turned in the image plane


@pytest.mark.parametrize('turn', [3.0, -20.0])
def test_a_turned_axis_keeps_the_projector_and_its_adjoint_together(turn):
    beam = _beam(axis_rotation=turn)
    rng = np.random.default_rng(1)
    x = rng.random((2, *beam.shape)).astype(np.float32)
    y = rng.random((2, *beam.sinogram_shape)).astype(np.float32)
    left = np.vdot(beam.project(x).astype(float), y)
    assert left == pytest.approx(np.vdot(x.astype(float), beam.backproject(y)), rel=1e-5)
    torch_beam = TorchProjector(beam)
    tensor = torch.tensor(x, requires_grad=True)
    projected = torch_beam.project(tensor)
    np.testing.assert_allclose(projected.detach().numpy(), beam.project(x), rtol=1e-4, atol=1e-4)
    (projected * torch.tensor(y)).sum().backward()
    np.testing.assert_allclose(tensor.grad.numpy(), beam.backproject(y), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        torch_beam.backproject(torch.tensor(y)).numpy(), beam.backproject(y), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize('turn', [10.0, -25.0])
def test_an_off_centre_point_shows_which_way_the_axis_is_turned(turn):
    """p = a + (x - a) cos t + z sin t across the axis, q = y along it; column p cos r - q sin r, row p sin r + q cos r."""
    shape = (31, 41, 41)
    volume = _blob(shape, 5, 7, -6)
    angles = np.array([-40.0, 0.0, 25.0])
    shifts = np.array([[2.0, -1.0], [0.0, 0.5], [-1.5, 2.25]])
    projected = ParallelBeam(angles, shape, shifts, axis_shift=2.0, axis_rotation=turn).project(volume)[0]
    total = projected.sum((1, 2))
    columns = (projected.sum(1) * (np.arange(41) - 20)).sum(1) / total
    rows = (projected.sum(2) * (np.arange(41) - 20)).sum(1) / total
    t, r = np.deg2rad(angles), np.deg2rad(turn)
    across = 2 + (-6 - 2) * np.cos(t) + 5 * np.sin(t)
    np.testing.assert_allclose(columns, across * np.cos(r) - 7 * np.sin(r) + shifts[:, 1], atol=0.02)
    np.testing.assert_allclose(rows, across * np.sin(r) + 7 * np.cos(r) + shifts[:, 0], atol=0.02)


def test_pixels_beyond_the_ends_of_a_turned_volume_are_not_covered():
    beam = ParallelBeam([0.0, 10.0], (4, 40, 40), axis_rotation=5.0)
    covered = beam.covered_pixels
    assert covered.shape == (2, 40, 40) and covered[:, 4:-4].all()
    # Column -19.5 is 1.7 rows beyond the end that the axis leans away from.
    assert not covered[0, -1, 0] and covered[0, -1, -1] and not covered[0, 0, -1] and covered[0, 0, 0]


def test_an_axis_along_the_rows_costs_nothing():
    beam = _beam(axis_rotation=0.0)
    assert beam.turn_matrix is None and beam.slice_columns == beam.columns
    x = np.random.default_rng(1).random((2, *beam.shape)).astype(np.float32)
    np.testing.assert_array_equal(beam.project(x), _beam().project(x))
    assert beam.covered_pixels.shape == (len(ANGLES), 9, 1)
