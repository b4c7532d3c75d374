"""Shifts of ETSpy and tomviz: both move images, so every sign is tested by moving one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.align import Align, read_shifts, write_shifts
from napari_diptomo.align.reference_images import placed_image
from napari_diptomo.series import InputError, MapSeries

ANGLES = np.array([-40.0, -15.0, 5.0, 20.0, 45.0])
SHIFTS = np.array([[1.0, -3.0], [2.0, 4.0], [0.0, 0.0], [-2.0, 5.0], [3.0, -1.0]])


def spot(y, x, shape=(40, 48), width=2.5):
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in shape)
    return 30 * np.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / (2 * width**2))


def images_of(shifts=SHIFTS):
    """A point on the tilt axis, displaced: (tilt, y, x) with the axis along y, as here."""
    return np.array([spot(4 + dy, dx) for dy, dx in shifts])


def maps_of(**more):
    return MapSeries(images_of()[None], ANGLES, ('Fe',), 2.0, **more)


def etspy_file(path, shifts, tilts=ANGLES, **whole):
    """A stack as ETSpy saves it, made by HyperSpy alone."""
    import hyperspy.api as hs

    signal = hs.signals.Signal2D(np.zeros((len(shifts), 48, 40), np.float32))
    signal.metadata.add_dictionary({'Tomography': {'tiltaxis': 0, 'xshift': 0, 'yshift': 0, 'cropped': False, **whole}})
    signal.metadata.set_item('Tomography.tilts', hs.signals.Signal1D(np.asarray(tilts, float)[:, None]))
    signal.metadata.set_item('Tomography.shifts', hs.signals.Signal1D(np.asarray(shifts, float)))
    signal.save(str(path), overwrite=True)
    return path


def test_shifts_of_etspy_move_images_in_its_own_frame(tmp_path):
    """Its images have the axis along x: these transposed. What it moved by its shifts is at rest."""
    theirs = images_of().transpose(0, 2, 1)
    applied = -SHIFTS[:, ::-1]
    still = np.array([ndimage.shift(image, shift) for image, shift in zip(theirs, applied, strict=True)])
    np.testing.assert_allclose(still - still[2], 0, atol=0.05)
    read = read_shifts(etspy_file(tmp_path / 'a.hspy', applied), ANGLES)
    np.testing.assert_allclose(read.shifts, SHIFTS)
    assert read.rotation == 0
    here = np.array([placed_image(image, shift) for image, shift in zip(images_of(), read.shifts, strict=True)])
    np.testing.assert_allclose(here, still.transpose(0, 2, 1), atol=1)


def test_tilts_of_etspy_are_matched_and_its_whole_shift_is_kept(tmp_path):
    order = [3, 0, 4, 2, 1]
    path = etspy_file(tmp_path / 'a.hspy', -SHIFTS[order][:, ::-1], ANGLES[order])
    np.testing.assert_allclose(read_shifts(path, ANGLES).shifts, SHIFTS)
    path = etspy_file(tmp_path / 'b.hspy', -SHIFTS[:, ::-1], xshift=2.0, yshift=5.0)
    np.testing.assert_allclose(read_shifts(path, ANGLES).shifts, SHIFTS + np.array([-2.0, 5.0]))


def test_etspy_itself_moves_as_is_read(tmp_path):
    base = pytest.importorskip('etspy.base')
    stack = base.TomoStack(images_of().transpose(0, 2, 1).astype(np.float32), tilts=ANGLES)
    from etspy.align import apply_shifts

    moved = apply_shifts(stack, -SHIFTS[:, ::-1]).trans_stack(xshift=1, yshift=3, angle=0)
    moved.save(str(tmp_path / 'a.hspy'))
    read = read_shifts(tmp_path / 'a.hspy', ANGLES).shifts
    here = np.array([placed_image(image, shift) for image, shift in zip(images_of(), read, strict=True)])
    np.testing.assert_allclose(here, moved.data.transpose(0, 2, 1), atol=1)


def test_etspy_takes_what_is_written(tmp_path):
    pytest.importorskip('etspy.base')
    import etspy.io

    maps = maps_of(shifts=SHIFTS - [0.0, 1.5] * (1 - np.cos(np.deg2rad(ANGLES)))[:, None], axis_shift=1.5)
    (path,) = write_shifts(maps, tmp_path / 'a.hspy')
    stack = etspy.io.load(str(path))
    np.testing.assert_allclose(np.asarray(stack.tilts.data).ravel(), ANGLES)
    np.testing.assert_allclose(stack.shifts.data, -SHIFTS[:, ::-1], atol=1e-9)
    np.testing.assert_allclose(stack.data - stack.data[2], 0, atol=1)
    raw = etspy.base.TomoStack(images_of().transpose(0, 2, 1).astype(np.float32), tilts=ANGLES)
    together = stack.align_other(raw)
    np.testing.assert_allclose(together.data, stack.data, atol=1)


def test_offsets_of_tomviz_move_its_arrays(tmp_path):
    """Its arrays are (x, y, tilt) with the axis along x; it moves by the offsets."""
    theirs = images_of().transpose(1, 2, 0)
    offsets = -SHIFTS
    still = np.stack([ndimage.shift(theirs[:, :, t], offsets[t], order=1, mode='wrap') for t in range(5)], axis=2)
    np.testing.assert_allclose(still - still[:, :, 2:3], 0, atol=0.05)
    np.savez(tmp_path / 'a.npz', offsets=offsets, spacing=[2.0, 2.0, 1.0])
    np.testing.assert_allclose(read_shifts(tmp_path / 'a.npz', ANGLES).shifts, SHIFTS)


def test_matrices_of_pystackreg_as_tomviz_saves_them(tmp_path):
    stackreg = pytest.importorskip('pystackreg').StackReg
    register = stackreg(stackreg.TRANSLATION)
    matrices = register.register_stack(images_of().transpose(1, 2, 0), axis=2, reference='previous')
    np.savez_compressed(tmp_path / 'a.npz', transform_type='translation', transform_matrices=matrices, padding=0)
    read = read_shifts(tmp_path / 'a.npz', ANGLES).shifts
    np.testing.assert_allclose(read - read[0], SHIFTS - SHIFTS[0], atol=0.1)
    matrices[1, 0, 1] = 0.1
    np.savez(tmp_path / 'b.npz', transform_matrices=matrices)
    with pytest.raises(InputError, match='turn or stretch'):
        read_shifts(tmp_path / 'b.npz', ANGLES)


@pytest.mark.parametrize('name', ['a.npz', 'a.hspy'])
def test_written_and_read_again(tmp_path, name):
    maps = maps_of(shifts=SHIFTS, axis_shift=2.0)
    (path,) = write_shifts(maps, tmp_path / name)
    aligned = Align(shifts_file=str(path), rounds=0).run(maps_of())
    whole = SHIFTS + np.stack([np.zeros(5), 2.0 * (1 - np.cos(np.deg2rad(ANGLES)))], axis=1)
    np.testing.assert_allclose(aligned.shifts, whole, atol=1e-6)
    with pytest.raises(InputError, match='turned by 2°'):
        write_shifts(maps_of(axis_rotation=2.0), tmp_path / name)


def test_what_is_no_alignment_is_one_sentence(tmp_path):
    def refused(name, words):
        with pytest.raises(InputError, match=words):
            read_shifts(tmp_path / name, ANGLES)

    etspy_file(tmp_path / 'turned.hspy', SHIFTS, tiltaxis=3.0)
    refused('turned.hspy', 'has turned the images of turned.hspy by 3°')
    etspy_file(tmp_path / 'few.hspy', SHIFTS[:3], ANGLES[:3])
    refused('few.hspy', 'shifts of 3 images, but the series 5 tilts')
    etspy_file(tmp_path / 'other.hspy', SHIFTS, ANGLES + 1)
    refused('other.hspy', 'shifts of another series')
    etspy_file(tmp_path / 'nan.hspy', SHIFTS * np.nan)
    refused('nan.hspy', 'no numbers')
    maps_of().save(tmp_path / 'ours.hspy')
    refused('ours.hspy', 'no shifts of ETSpy')
    np.savez(tmp_path / 'empty.npz', other=np.ones(3))
    refused('empty.npz', 'no offsets')
    np.savez(tmp_path / 'object.npz', offsets=np.array([{}], object))
    refused('object.npz', 'cannot be read as shifts of tomviz')
    (tmp_path / 'text.npz').write_text('no archive')
    refused('text.npz', 'cannot be read as shifts of tomviz')
    refused('gone.npz', 'There is no file')
    refused('gone.hspy', r'gone\.hspy')
