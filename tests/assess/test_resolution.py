"""Shell correlation, missing wedge and elongation against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.fft import fftfreq, fftn, ifftn

from napari_diptomo.assess import elongation, fsc, fsc_wedge, measured_frequencies, wedge_elongation
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError


def noise(seed, shape=(24, 24, 24)):
    return np.random.default_rng(seed).normal(size=shape)


def test_fsc_of_equal_volumes_is_one_and_ignores_scale_and_offset():
    a = noise(0)
    assert fsc(a, 3 * a + 5).correlation == pytest.approx(np.ones(12))
    assert fsc(a, -a).correlation == pytest.approx(-np.ones(12))


def test_fsc_of_signal_plus_equal_noise_is_one_half():
    # Two noisy copies, signal and noise both white: S / (S + N) = 1/2 in every shell.
    signal = noise(0, (48, 48, 48))
    curve = fsc(signal + noise(1, signal.shape), signal + noise(2, signal.shape))
    assert curve.correlation[8:] == pytest.approx(0.5, abs=0.05)
    assert curve.mean == pytest.approx(0.5, abs=0.05)


def test_resolution_is_where_a_low_pass_cuts():
    a, b = noise(0, (40, 40, 40)), noise(1, (40, 40, 40))
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*[fftfreq(40)] * 3, indexing='ij')))
    mixed = ifftn(np.where(radius < 0.25, fftn(a), fftn(b))).real
    assert fsc(a, mixed).resolution(0.5) == pytest.approx(4, abs=0.2)
    assert fsc(a, a).resolution() == 2


def test_frequencies_reach_nyquist_of_an_oblong_volume():
    curve = fsc(noise(0, (10, 16, 20)), noise(1, (10, 16, 20)))
    assert curve.frequency[-1] == pytest.approx(0.5)
    assert len(curve.frequency) == 5


def test_an_empty_shell_is_unknown_not_zero():
    curve = fsc(np.ones((8, 8, 8)), noise(0, (8, 8, 8)))
    assert np.isnan(curve.correlation).all()
    assert np.isnan(curve.mean)


def test_the_wedge_opens_along_the_beam_and_spares_the_tilt_axis():
    mask = measured_frequencies((16, 16, 16), 40)
    assert mask[0, :, :].all()  # kz = 0: measured, the whole ky axis too
    assert not mask[5, 0, 0] and not mask[5, 3, 0]  # along kz: missing
    assert mask[4, 0, 5] and not mask[5, 0, 4] and mask[-4, 0, 5]  # 38.7 and 51.3 degrees
    assert measured_frequencies((16, 16, 16), 45)[5, 0, 5]


def test_wedge_share_is_the_share_of_the_angle():
    # Of a disc, an angle of 40 degrees either side of kx is 40/90.
    k = fftfreq(128)
    disc = k[:, None] ** 2 + k[None] ** 2 < 0.25
    mask = measured_frequencies((128, 1, 128), 40)[:, 0]
    assert mask[disc].mean() == pytest.approx(40 / 90, abs=0.005)


def test_an_unequal_tilt_range_moves_the_wedge():
    mask = measured_frequencies((16, 16, 16), (-60, 10))
    assert mask[-5, 0, 5] and mask[5, 0, -5], 'k and -k at -45 degrees'
    assert not mask[5, 0, 5] and not mask[-5, 0, -5], 'at +45 degrees'
    assert mask[:1].all()
    k = fftfreq(127)
    disc = k[:, None] ** 2 + k[None] ** 2 < 0.25
    assert measured_frequencies((127, 1, 127), (-60, 10))[:, 0][disc].mean() == pytest.approx(70 / 180, abs=0.005)
    assert (measured_frequencies((16, 9, 16), (-40, 40)) == measured_frequencies((16, 9, 16), 40)).all()


def test_the_sign_of_the_tilt_range_is_that_of_the_projector():
    beam = ParallelBeam([30.0], (64, 4, 64))
    spread = beam.backproject(ndimage.gaussian_filter(noise(0, (1, 1, 4, 64)), (0, 0, 0, 2)))[0]
    power = np.abs(fftn(spread - spread.mean())) ** 2
    share = {t: power[measured_frequencies(spread.shape, (t - 8, t + 8))].sum() / power.sum() for t in (30, -30)}
    # Some leaks along the axes, where the box cuts the rays.
    assert share[30] > 0.5
    assert share[-30] < 0.1


def test_a_volume_of_an_unequal_range_keeps_the_measured_and_loses_the_missing():
    truth = noise(0)
    tilts = (-40, 35)
    volume = ifftn(np.where(measured_frequencies(truth.shape, tilts), fftn(truth), 0)).real
    result = fsc_wedge(volume, truth, tilts)
    assert result.measured == pytest.approx([1])
    assert result.missing == pytest.approx([0], abs=1e-6)


def test_a_volume_without_its_wedge_keeps_the_measured_and_loses_the_missing():
    truth = noise(0)
    mask = measured_frequencies(truth.shape, 40)
    volume = ifftn(np.where(mask, fftn(truth), 0)).real
    result = fsc_wedge(volume, truth, 40)
    assert result.measured == pytest.approx([1])
    assert result.missing == pytest.approx([0], abs=1e-6)


def test_each_channel_is_judged_by_itself():
    truth = np.stack([noise(0), noise(1)])
    result = fsc_wedge(np.stack([truth[0], noise(2)]), truth, 60)
    assert result.measured[0] == pytest.approx(1)
    assert abs(result.measured[1]) < 0.2


@pytest.mark.parametrize(('tilt', 'expected'), [(70, 1.31), (60, 1.55), (45, 2.12), (40, 2.41), (30, 3.25)])
def test_elongation_in_theory(tilt, expected):
    assert wedge_elongation(tilt) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize('tilt', [60, 40])
def test_elongation_in_theory_is_the_curvature_of_the_point_spread(tilt):
    k = fftfreq(256)
    disc = k[:, None] ** 2 + k[None] ** 2 < 0.25
    mask = measured_frequencies((256, 1, 256), tilt)[:, 0] & disc
    kz, kx = k[:, None] * mask, k[None] * mask
    assert np.sqrt((kx**2).sum() / (kz**2).sum()) == pytest.approx(wedge_elongation(tilt), rel=0.01)


def test_elongation_of_ellipsoids_is_the_ratio_of_their_axes():
    z, y, x = np.ogrid[-24:25, -24:25, -24:25]
    sphere = x**2 + y**2 + z**2 <= 12**2
    long = (x / 10) ** 2 + (y / 10) ** 2 + (z / 20) ** 2 <= 1
    assert elongation(np.stack([sphere, long])) == pytest.approx([1, 2], abs=0.02)


def test_elongation_leaves_out_what_is_below_the_threshold():
    z, y, x = np.ogrid[-16:17, -16:17, -16:17]
    blob = (x**2 + y**2 + z**2 <= 64).astype(float)
    blob[0] += 0.1
    assert elongation(blob)[0] > 1.1
    assert elongation(blob, threshold=0.5) == pytest.approx([1])


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match='between 0° and 90°'):
        wedge_elongation(90)
    with pytest.raises(InputError, match='from 40° to -40°'):
        measured_frequencies((4, 4, 4), (40, -40))
    with pytest.raises(InputError, match='no object'):
        elongation(np.zeros((4, 4, 4)))
    with pytest.raises(InputError, match='one channel'):
        fsc(np.zeros((2, 4, 4, 4)), np.zeros((2, 4, 4, 4)))
    with pytest.raises(InputError, match='shape'):
        fsc(np.zeros((4, 4, 4)), np.zeros((4, 4, 5)))
