"""Scores against a truth: known errors give known figures."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.assess import compare, composition_error, psnr, ssim
from napari_diptomo.series import InputError


@pytest.fixture
def truth():
    volume = np.zeros((2, 16, 16, 16))
    volume[0, 4:12, 4:12, 4:12] = 10
    volume[1, 2:9, 5:11, 3:14] = 4
    return volume


def test_psnr_of_a_constant_error_is_range_over_error(truth):
    # Errors of a tenth and a hundredth of the range: 20 and 40 dB.
    volume = truth + np.array([1.0, 0.04])[:, None, None, None]
    assert psnr(volume, truth) == pytest.approx([20, 40])


def test_psnr_takes_the_range_from_the_truth_alone(truth):
    assert psnr(2 * truth, truth)[0] == pytest.approx(20 * np.log10(10 / np.sqrt(100 * 8**3 / 16**3)))


def test_psnr_of_the_truth_is_infinite(truth):
    assert np.isinf(psnr(truth, truth)).all()


def test_ssim_of_the_truth_is_one_and_of_a_scaled_one_is_not(truth):
    assert ssim(truth, truth) == pytest.approx([1, 1])
    assert (ssim(0.5 * truth, truth) < 0.95).all()


def test_ssim_of_constants_is_the_luminance_term():
    # Of two constants m and n only (2 m n + c1) / (m^2 + n^2 + c1) is left. The
    # corner voxel of the truth sets the range; one window in 162 sees it.
    truth = np.full((1, 24, 9, 9), 2.0)
    truth[0, 0, 0, 0] = 3.0
    c1 = (0.01 * 1.0) ** 2
    expected = (2 * 2 * 1 + c1) / (2**2 + 1**2 + c1)
    assert ssim(np.ones_like(truth), truth)[0] == pytest.approx(expected, abs=1 / 162)


def test_single_channels_and_small_volumes_are_taken():
    truth = np.arange(5 * 6 * 7, dtype=float).reshape(5, 6, 7)
    assert psnr(truth, truth).shape == (1,)
    assert ssim(truth, truth) == pytest.approx([1])


def test_composition_error_of_a_swapped_tenth():
    # Truth: pure A in phase 1, half A half B in phase 2; the volume moves a
    # tenth of phase 1 from A to B and gets phase 2 right at twice the density.
    phases = np.zeros((12, 12, 12), int)
    phases[:, :, 1:7] = 1
    phases[:, :, 7:11] = 2
    truth = np.zeros((2, 12, 12, 12))
    truth[0, phases == 1] = 10
    truth[:, phases == 2] = 5
    volume = truth.copy()
    volume[0, phases == 1] = 9
    volume[1, phases == 1] = 1
    volume[:, phases == 2] = 10
    error = composition_error(volume, truth, phases)
    assert error.labels == (1, 2)
    assert error.bias == pytest.approx(np.array([[-0.1, 0.1], [0, 0]]))
    assert error.mean_absolute == pytest.approx(0.1 * 6 / 10)
    assert error.in_voids == 0


def test_matter_in_voids_is_counted_relative_to_the_specimen():
    phases = np.zeros((8, 8, 8), int)
    phases[:, :, :4] = 1
    truth = (phases == 1).astype(float)[None] * 8
    volume = truth + (phases == 0)[None] * 2
    assert composition_error(volume, truth, phases).in_voids == pytest.approx(0.25)


def test_compare_distinguishes_a_blur_along_the_beam_from_the_truth(truth):
    blurred = (np.roll(truth, 2, 1) + truth + np.roll(truth, -2, 1)) / 3
    perfect, worse = compare(truth, truth, 40), compare(blurred, truth, 40)
    assert perfect['ssim'] == pytest.approx(1)
    assert perfect['fsc_missing'] == pytest.approx(1)
    assert worse['fsc_missing'] < worse['fsc_measured'] - 0.1


@pytest.mark.parametrize('score', [psnr, ssim])
def test_bad_input_is_one_sentence(score, truth):
    with pytest.raises(InputError, match='shape'):
        score(truth[:, 1:], truth)
    with pytest.raises(InputError, match='Channel 1 of the truth is the same everywhere'):
        score(truth, truth * np.array([1, 0])[:, None, None, None])


def test_ssim_of_a_sheet_is_refused():
    sheet = np.random.default_rng(0).random((1, 2, 8, 8))
    with pytest.raises(InputError, match='at least 3 voxels'):
        ssim(sheet, sheet)


def test_composition_without_phases_is_refused(truth):
    with pytest.raises(InputError, match='no phase'):
        composition_error(truth, truth, np.zeros(truth.shape[1:], int))
