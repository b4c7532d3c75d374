"""Pixels of ready maps that hold no number: no weight, a note, and the rest as it was."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo import load_tilt_series, simulate
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import InputError

ANGLES = [-20, -10, 0, 10]


def written(path, data):
    import hyperspy.api as hs

    signal = hs.signals.Signal2D(data)
    for axis in signal.axes_manager.signal_axes:
        axis.scale, axis.units = 2.0, 'nm'
    signal.save(str(path))
    return path


def moved_by_hyperspy(data, shifts):
    """Images after an alignment in HyperSpy: borders without a number."""
    import hyperspy.api as hs

    signal = hs.signals.Signal2D(data.astype(np.float32))
    signal.align2D(shifts=np.array(shifts, float), crop=False, fill_value=np.nan)
    return signal.data


def test_borders_of_an_alignment_by_hyperspy_carry_no_weight(tmp_path):
    data = np.random.default_rng(0).poisson(6, (4, 12, 10)).astype(np.float32)
    moved = moved_by_hyperspy(data, [(0, 0), (2, 0), (0, 3), (0, -1)])
    lost = ~np.isfinite(moved)
    assert lost[1:].any(axis=(1, 2)).all() and not lost[0].any()
    maps = load_tilt_series(
        [written(tmp_path / 'Fe.hspy', moved), written(tmp_path / 'O.hspy', data)], angles=ANGLES, pixel_size=2.0
    )
    np.testing.assert_array_equal(maps.missing[0], lost)
    assert not maps.missing[1].any()
    np.testing.assert_array_equal(maps.data[0][~lost], moved[~lost])
    (note,) = [finding for finding in maps.findings if finding.about == 'pixels without a number']
    assert note.level == 'note' and 'pixels of Fe hold no number' in note.sentence
    assert note.evidence['largest share'] == pytest.approx(lost.mean())


def test_a_binned_pixel_without_one_of_its_pixels_is_missing(tmp_path):
    data = np.ones((4, 8, 8), np.float32)
    data[1, 5, 2] = np.inf
    maps = load_tilt_series(written(tmp_path / 'Fe.hspy', data), angles=ANGLES, pixel_size=2.0, binning=2)
    assert np.argwhere(maps.missing).tolist() == [[0, 1, 2, 1]]
    assert maps.data[0, 0].tolist() == [[4.0] * 4] * 4


def test_images_of_a_detector_keep_their_level_beside_lost_pixels(tmp_path):
    specimen = simulate.facetted(24, seed=1)
    images = simulate.tilt_series(specimen, ANGLES, peak_counts=400, seed=0).maps.data.sum(axis=0) + 50
    images = images.astype(np.float32)
    whole = load_tilt_series(written(tmp_path / 'HAADF whole.hspy', images), angles=ANGLES, pixel_size=2.0)
    images[:, :2] = np.nan
    maps = load_tilt_series(written(tmp_path / 'HAADF.hspy', images), angles=ANGLES, pixel_size=2.0)
    assert maps.missing[0, :, :2].all() and not maps.missing[0, :, 2:].any()
    np.testing.assert_allclose(maps.data[0, :, 2:], whole.data[0, :, 2:], atol=8)


def test_a_picture_beside_maps_has_no_lost_pixels(tmp_path):
    # In the fit of a HAADF series made of it they would be intensities like others.
    data = np.random.default_rng(0).poisson(6, (4, 12, 10)).astype(np.float32)
    picture = data.copy()
    picture[1, 0, :3] = np.nan
    files = [written(tmp_path / 'Fe.hspy', data), written(tmp_path / 'HAADF.hspy', picture)]
    with pytest.raises(InputError, match=r'HAADF.hspy holds values that are not numbers .*, in image 2 of 4'):
        load_tilt_series(files, angles=ANGLES, pixel_size=2.0)
    assert load_tilt_series(files, angles=ANGLES, pixel_size=2.0, unused=[1]).haadf is not None


def test_the_volume_is_that_of_the_other_pixels(tmp_path):
    specimen = simulate.lamella(16)
    counts = simulate.tilt_series(specimen, ANGLES, peak_counts=50, seed=1).maps
    data = counts.data[0].copy()
    whole = SIRT(iterations=20).run(counts.select(counts.channels[:1])).data
    data[1, :3, :2] = np.nan
    path = written(tmp_path / f'{counts.channels[0]}.hspy', data)
    maps = load_tilt_series(path, angles=ANGLES, pixel_size=counts.pixel_size)
    found = SIRT(iterations=20).run(maps).data
    # Rows are slices of their own: those that lack nothing are the same.
    np.testing.assert_allclose(found[:, :, 4:], whole[:, :, 4:], rtol=1e-4, atol=1e-4)


def test_an_image_that_is_mostly_lost_is_refused_by_its_number(tmp_path):
    data = np.ones((4, 8, 8), np.float32)
    data[2, :5] = np.nan
    path = written(tmp_path / 'Fe.hspy', data)
    with pytest.raises(InputError, match=r'in image 3 of 4; correct those images, or leave their tilts out'):
        load_tilt_series(path, angles=ANGLES, pixel_size=2.0)
    assert load_tilt_series(path, angles=ANGLES, pixel_size=2.0, unused=[2]).missing is None
