"""The support: where it lies, that every method keeps to it, and what a slab fitted from the counts is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT, DIPmTV, TotalVariation
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.slab_fit import fit_slab, reduced
from napari_diptomo.reconstruct.support import Slab, Support, box, read_mask, slab_angles
from napari_diptomo.series import InputError, MapSeries, step_from_dict
from napari_diptomo.simulate import lamella, lamella_frame, tilt_series

FAST_DIP = {'widths': (8, 16), 'skips': (4, 4), 'iterations': 3}
LEVEL = {'slab_tilt': 0.0, 'slab_tip': 0.0, 'slab_offset': 0.0}


def test_a_slab_holds_as_many_voxels_as_its_thickness_says():
    """Soft faces: the sum along z of a level slab is its thickness exactly, whatever the grid."""
    for thickness in (4.0, 5.3, 6.8):
        inside = Slab(thickness, offset=0.37).inside((16, 3, 4))
        np.testing.assert_allclose(inside.sum(0), thickness, rtol=1e-5)


@pytest.mark.parametrize(('tilt', 'tip'), [(12.0, 0.0), (-7.0, 0.0), (0.0, 9.0)])
def test_a_tilted_slab_has_the_path_of_its_thickness_and_the_pole_where_the_tilt_says(tilt, tip):
    """Path through a slab of thickness h at stage tilt t: h / cos(t - tilt), and / cos(tip) along y."""
    inside = Slab(6.0, tilt, tip, 0.5).inside((33, 9, 33))
    angles = np.array([-20.0, 0.0, tilt, 20.0])
    path = ParallelBeam(angles, inside.shape).project(inside[None])[0][:, 4, 16]
    known = 6.0 / np.cos(np.deg2rad(angles - tilt)) / np.cos(np.deg2rad(tip))
    np.testing.assert_allclose(path, known, rtol=0.03)
    assert path[2] == pytest.approx(path.min(), rel=1e-3)


def test_a_tipped_slab_lies_lower_where_y_is_larger():
    inside = Slab(4.0, tip=10.0).inside((33, 21, 3))[:, :, 1]
    centre = (inside * np.arange(33)[:, None]).sum(0) / inside.sum(0) - 16
    assert centre[20] == pytest.approx(-10 * np.tan(np.deg2rad(10)), abs=0.1)


def test_a_box_fills_its_edges_and_nothing_else():
    inside = box((12, 10, 8), (-3, 2, -5, 5, 1, 3.5))
    assert inside.sum() == pytest.approx(5 * 10 * 2.5)
    place = np.arange(12) - 5.5
    np.testing.assert_array_equal(inside[:, 5, 6] > 0, (place > -3) & (place < 2))
    with pytest.raises(InputError, match='along y'):
        box((12, 10, 8), (-3, 2, 5, -5, 1, 3))


@pytest.mark.parametrize('step', [SIRT(iterations=8), TotalVariation(iterations=8), DIPmTV(**FAST_DIP)])
def test_every_method_is_zero_outside_the_support_and_in_the_users_frame(maps, step):
    known = Slab(6.0, tilt=5.0, offset=1.0).inside((16, 16, 16))
    fields = {'support': 'slab', 'slab_thickness': 12.0, 'slab_tilt': 5.0, 'slab_tip': 0.0, 'slab_offset': 2.0}
    volume = step.model_copy(update=fields).run(maps)
    assert volume.data.shape == (2, 16, 16, 16)
    assert np.abs(volume.data[:, known == 0]).max() == 0
    assert volume.data[:, known == 1].max() > 0.5
    assert volume.notes['support']['thickness_nm'] == 12.0
    assert volume.notes['support']['fitted'] == []


def test_the_forward_model_with_a_support_is_that_of_the_masked_volume_on_the_whole_grid(maps, truth):
    """A S on the cut grid equals A on the whole one, and the adjoint is its adjoint."""
    inside = Slab(3.0, tilt=4.0, offset=-1.2).inside((16, 16, 16)) * box((16, 16, 16), (-8, 8, -8, 8, -3, 2))
    problem = Problem(maps, support=Support(inside))
    assert problem.beam.shape[0] < 16 and problem.beam.shape[2] < 16
    cut = [(16 - n) // 2 for n in problem.beam.shape]
    x = torch.as_tensor(truth[:, cut[0] : 16 - cut[0], :, cut[2] : 16 - cut[2]])
    known = ParallelBeam(maps.angles, (16, 16, 16)).project(truth * inside)
    np.testing.assert_allclose(problem.forward(x).numpy(), known, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(problem.frame(x), truth * inside, atol=1e-6)
    y = torch.rand(problem.fit.shape, generator=torch.Generator().manual_seed(0))
    assert float((problem.forward(x) * y).sum()) == pytest.approx(float((x * problem.adjoint(y)).sum()), rel=1e-4)


def test_the_true_support_brings_sirt_nearer_the_truth(maps, truth, tmp_path):
    np.save(tmp_path / 'ball.npy', truth.sum(0) > 0)

    def rms(step):
        return float(np.sqrt(((step.run(maps).data - truth) ** 2).mean()))

    with_mask = SIRT(iterations=40, support='mask', support_file=str(tmp_path / 'ball.npy'))
    assert rms(with_mask) < 0.92 * rms(SIRT(iterations=40))


def test_counts_that_miss_the_support_are_reported(maps):
    narrow = SIRT(iterations=2, support='box', support_box=(-16, 16, -16, 16, 0, 4)).run(maps)
    wide = SIRT(iterations=2, support='box', support_box=(-14, 14, -16, 16, -16, 16)).run(maps)
    assert narrow.notes['support']['counts_outside'] > 0.1
    assert wide.notes['support']['counts_outside'] < 0.005


@pytest.mark.parametrize('suffix', ['.npy', '.tif', '.mrc', '.hspy'])
def test_masks_are_read_from_files(tmp_path, suffix):
    mask = np.random.default_rng(0).random((5, 6, 7)) < 0.3
    path = tmp_path / f'mask{suffix}'
    _write(path, mask.astype(np.uint8) * 3)
    np.testing.assert_array_equal(read_mask(path, (5, 6, 7)), mask)
    np.testing.assert_array_equal(read_mask(path, (5, 7, 6), transposed=True), mask.swapaxes(1, 2))
    with pytest.raises(InputError, match=r'shape \(5, 6, 7\) where the volume has \(5, 6, 8\) voxels'):
        read_mask(path, (5, 6, 8))


def _write(path, data):
    if path.suffix == '.npy':
        np.save(path, data)
    elif path.suffix == '.tif':
        import tifffile

        tifffile.imwrite(path, data)
    elif path.suffix == '.mrc':
        import mrcfile

        with mrcfile.new(path) as file:
            file.set_data(data.astype(np.int8))
    else:
        import hyperspy.api as hs

        hs.signals.Signal2D(data).save(path)


def test_unusable_supports_are_one_sentence(maps, tmp_path):
    (tmp_path / 'damaged.tif').write_bytes(b'II*\0nothing')
    np.save(tmp_path / 'empty.npy', np.zeros((16, 16, 16)))
    for fields, sentence in (
        ({'support': 'box'}, 'six edges'),
        ({'support': 'mask'}, 'needs a file'),
        ({'support': 'mask', 'support_file': str(tmp_path / 'none.npy')}, 'There is no file'),
        ({'support': 'mask', 'support_file': str(tmp_path / 'damaged.tif')}, 'cannot be read as a mask'),
        ({'support': 'mask', 'support_file': str(tmp_path / 'empty.npy')}, 'is empty'),
        ({'support': 'mask', 'support_file': __file__}, 'of no kind'),
        ({'support': 'slab', 'slab_thickness': 4.0, **LEVEL, 'slab_offset': 500.0}, 'outside the volume'),
    ):
        with pytest.raises(InputError, match=sentence):
            SIRT(iterations=1, **fields).run(maps)


def test_a_support_extends_beyond_the_field_of_view():
    """A layer wider than the images under its own slab keeps its density to the edge of the field."""
    angles = np.arange(-40, 41, 5.0)
    wide = np.zeros((1, 20, 4, 80), np.float32)
    wide[:, 6:14] = 5.0
    series = MapSeries(ParallelBeam(angles, (20, 4, 80), columns=24).project(wide), angles, ('A',))
    slab = {'support': 'slab', 'slab_thickness': 8.0, **LEVEL}
    found = SIRT(iterations=100, thickness=20.0, beyond_field=True, **slab).run(series)
    assert found.data.shape == (1, 20, 4, 24)
    np.testing.assert_allclose(found.data[0, 7:13], 5.0, rtol=0.05)
    assert found.data[0, :6].max() == 0


@pytest.mark.parametrize(('seed', 'turn'), [(1, 0.0), (10, 0.0), (1, 6.0)])
def test_a_slab_fitted_from_the_counts_is_not_too_thin_and_little_too_thick(seed, turn):
    """True thickness, tilt and tip are those that `lamella` draws; turned on the stage, the tilt follows."""
    size = 32
    known, tilt, tip = _true_slab(size, seed)
    sample = tilt_series(lamella(size, seed), np.arange(-40, 41, 5.0) + turn, 30, seed=seed)
    maps = replace(sample.maps, angles=sample.maps.angles - turn)
    unknown = dict.fromkeys(('thickness', 'tilt', 'tip', 'offset'))
    slab = fit_slab(maps, None, False, unknown, torch.device('cpu'))
    assert 1.0 < slab.thickness / known < 1.25
    assert slab.tilt == pytest.approx(tilt - turn, abs=3)
    assert slab.tip == pytest.approx(tip, abs=4)
    assert slab.offset == pytest.approx(0, abs=0.7)


def _true_slab(size, seed):
    half, normal = lamella_frame(size, seed)
    return 2 * half[0], *slab_angles(normal)


def test_known_parts_of_a_slab_stay_and_the_margin_is_added_to_what_was_fitted(maps):
    fields = {'support': 'slab', 'slab_tip': 1.5, 'slab_margin': 2.0}
    notes = SIRT(iterations=1, **fields).run(maps).notes['support']
    bare = SIRT(iterations=1, **{**fields, 'slab_margin': 0.0}).run(maps).notes['support']
    assert notes['tip_deg'] == bare['tip_deg'] == 1.5
    assert notes['fitted'] == ['thickness', 'tilt', 'offset']
    assert notes['thickness_nm'] - bare['thickness_nm'] == pytest.approx(4 * maps.pixel_size)


def test_binned_maps_see_the_specimen_in_the_same_place():
    """A point in a 33-pixel image, binned by 2 to 16: rows and columns of the middle move by half a pixel."""
    angles = np.arange(-40, 41, 20.0)
    body = np.zeros((1, 33, 33, 33), np.float32)
    body[0, 14:22, 12:18, 18:26] = 1.0
    maps = MapSeries(ParallelBeam(angles, (33, 33, 33)).project(body), angles, ('A',), axis_shift=0.0)
    small = reduced(maps, 2)
    coarse = body[0, 1:, 1:, 1:].reshape(16, 2, 16, 2, 16, 2).mean((1, 3, 5))
    model = Problem(replace(small, shifts=None)).forward(torch.as_tensor(coarse)[None]).numpy()[0]
    there, here = (_centre(images) for images in (model, small.data[0]))
    moved = _centre(Problem(small).forward(torch.as_tensor(coarse)[None]).numpy()[0])
    # coarse begins one voxel later: its points lie half a coarse voxel nearer the middle along each axis.
    assert np.abs(moved - here).max() < 0.6
    assert np.abs(there + small.shifts - moved).max() < 0.05


def _centre(images):
    v, u = np.indices(images.shape[1:]) - (images.shape[1] - 1) / 2
    total = images.sum((1, 2))
    return np.stack([(images * v).sum((1, 2)) / total, (images * u).sum((1, 2)) / total], axis=1)


def test_the_support_is_part_of_the_recipe():
    step = DIPmTV(support='slab', slab_thickness=40.0)
    assert step_from_dict(step.to_dict()) == step
    assert DIPmTV().support == 'none'


def test_total_variation_with_a_support_does_not_depend_on_how_the_grid_was_cut(maps, truth, monkeypatch):
    """The same objective on the whole grid and on the one cut to the support, so the same volume."""
    fields = {'support': 'box', 'support_box': (-9, 9, -16, 16, -11, 11), 'iterations': 150, 'tolerance': 0.0}
    cut = TotalVariation(**fields).run(maps).data
    monkeypatch.setattr(Support, 'cropped', lambda support: support.inside)
    whole = TotalVariation(**fields).run(maps).data
    assert np.abs(cut - whole).max() < 0.03 * whole.max()
