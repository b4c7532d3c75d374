"""Classes of voxels, on volumes made by hand and on the needle whose precipitates are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from napari_diptomo.assess import voxel_classes
from napari_diptomo.assess.voxel_classes import BULK, CLASSES, EMPTY, NORMAL_FACES, PARALLEL_FACES, SMALL
from napari_diptomo.simulate import lamella, needle


@pytest.fixture(scope='module')
def by_hand():
    """A slab across the beam, and beyond it a voxel, a cube of 2, a cube of 3 and a rod of 2 x 2."""
    volume = np.zeros((2, 40, 40, 40))
    volume[0, 6:20, :, 5:35] = 1.0
    volume[0, 30, 8, 8] = 0.6
    volume[0, 30:32, 16:18, 8:10] = 0.6
    volume[0, 30:33, 24:27, 8:11] = 0.6
    volume[0, 30:32, 4:36, 24:26] = 0.6
    return volume


def test_classes_of_a_slab_are_where_they_must_be(by_hand):
    found = {name: masks[0] for name, masks in voxel_classes(by_hand).items()}
    middle = np.s_[:24, 10, 20]
    assert np.flatnonzero(found[NORMAL_FACES][middle]).tolist() == [5, 6, 19, 20]
    # More than 2 voxels from the jumps between 5 and 6 and between 19 and 20.
    assert np.flatnonzero(found[BULK][middle]).tolist() == list(range(9, 17))
    across = np.s_[12, 10, :]
    assert np.flatnonzero(found[PARALLEL_FACES][across]).tolist() == [4, 5, 34, 35]
    assert np.flatnonzero(found[EMPTY][across]).tolist() == [0, 1, 2, 37, 38, 39]
    assert not found[NORMAL_FACES][across].any()


def test_small_features_are_those_of_one_and_two_voxels(by_hand):
    small = voxel_classes(by_hand)[SMALL][0]
    expected = np.zeros_like(small)
    expected[30, 8, 8] = True
    expected[30:32, 16:18, 8:10] = True
    expected[30:32, 4:36, 24:26] = True
    np.testing.assert_array_equal(small, expected)


@pytest.mark.parametrize('thickness', (1, 2))
def test_a_thin_sheet_has_faces_and_is_no_small_feature(thickness):
    volume = np.zeros((32, 32, 32))
    volume[14 : 14 + thickness, 4:28, 4:28] = 1
    found = voxel_classes(volume)
    assert not found[SMALL].any()
    assert found[NORMAL_FACES][0, 13, 10, 10]


def test_classes_do_not_overlap_and_an_absent_channel_has_only_bulk(by_hand):
    found = voxel_classes(by_hand)
    assert tuple(found) == CLASSES
    assert np.sum(list(found.values()), axis=0).max() == 1
    for name in (NORMAL_FACES, PARALLEL_FACES, SMALL):
        assert not found[name][1].any()
    # Inside the specimen, where the other channel is.
    np.testing.assert_array_equal(found[BULK][1], by_hand[0] > 0)


def test_a_gradient_is_no_face():
    z = np.arange(48) - 23.5
    profile = (1 + erf(z / 3.0)) / 2
    a = np.broadcast_to(profile[:, None, None], (48, 24, 24))
    found = voxel_classes(np.stack([a, 1 - a]))
    assert not found[NORMAL_FACES].any()
    assert found[BULK].all()
    sharp = voxel_classes(np.stack([a > 0.5, a <= 0.5]).astype(float))
    assert np.flatnonzero(sharp[NORMAL_FACES][0, :, 12, 12]).tolist() == [23, 24]


@pytest.mark.parametrize('degrees', (0, 20, 45, 70, 90))
def test_faces_are_sorted_by_the_angle_of_their_normal(degrees):
    z, _, x = np.indices((32, 32, 32)) - 15.5
    height = z * np.cos(np.deg2rad(degrees)) + x * np.sin(np.deg2rad(degrees))
    found = voxel_classes(np.clip(0.5 - height, 0, 1))
    inner = np.s_[0, 8:24, 8:24, 8:24]
    normal, parallel = found[NORMAL_FACES][inner].sum(), found[PARALLEL_FACES][inner].sum()
    assert (normal > 200) == (degrees < 30)
    assert (parallel > 200) == (degrees > 60)
    assert min(normal, parallel) == 0


def test_precipitates_of_the_needle_are_its_small_features():
    truth = needle(40, 20).truth.data
    found = voxel_classes(truth)
    np.testing.assert_array_equal(found[SMALL][2], truth[2] > 0)
    assert not found[SMALL][:2].any()
    # Its mantle is along the beam in part, and normal to it in part; precipitates are no faces.
    assert found[PARALLEL_FACES][0].sum() > 200 and found[NORMAL_FACES][0].sum() > 200
    assert not found[NORMAL_FACES][2].any()


def test_every_class_is_present_in_a_lamella():
    found = voxel_classes(lamella(48, 10).truth.data)
    assert {name: masks.sum() > 50 for name, masks in found.items()} == dict.fromkeys(CLASSES, True)
