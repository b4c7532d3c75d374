"""Calibration of EELS series: known displacements, levels, spikes and thicknesses come back; bad input is reported."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from scipy.special import ndtr

from napari_diptomo.series import Cancelled, CoreLoss, InputError, Observer, Request, SpectralTiltSeries
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.calibration.camera_artefacts import (
    dark_level,
    gain_notes,
    gain_of,
    without_gain,
    without_spikes,
)
from napari_diptomo.spectra.eels.calibration.known_features import Feature, corrected_axis, find_feature
from napari_diptomo.spectra.eels.calibration.whole_channels import WholeChannelMoves
from napari_diptomo.spectra.eels.calibration.zero_loss import find_zero_loss, settle

FWHM = 0.8
SIGMA = FWHM / 2.3548
SHAPE = (3, 12, 10)


def zero_peak(energy: np.ndarray, centre: np.ndarray | float, fwhm: float = FWHM) -> np.ndarray:
    """Counts of a Gaussian of unit area in each channel."""
    half, sigma = (energy[1] - energy[0]) / 2, fwhm / 2.3548
    loss = energy - np.asarray(centre)[..., None]
    return ndtr((loss + half) / sigma) - ndtr((loss - half) / sigma)


def low_loss(
    energy: np.ndarray, shifts: np.ndarray, thickness: np.ndarray | float = 0.4, electrons: float = 1e5
) -> np.ndarray:
    """Expected low loss: zero loss, one and two plasmon losses, all displaced by ``shifts``."""
    tau = np.broadcast_to(thickness, shifts.shape)
    loss = energy - shifts[..., None]
    spectrum = np.exp(-tau)[..., None] * zero_peak(energy, shifts)
    step = energy[1] - energy[0]
    for number, centre, width in ((1, 22.0, 4.0), (2, 44.0, 5.7)):
        weight = np.exp(-tau) * tau**number / number
        spectrum += weight[..., None] * step * np.exp(-0.5 * ((loss - centre) / width) ** 2) / width / 2.5066
    return electrons * spectrum


def core_loss(energy: np.ndarray, shifts: np.ndarray, lines=((708.0, 1.0), (721.0, 0.5))) -> np.ndarray:
    loss = energy - shifts[..., None]
    edges = sum(height * np.exp(-0.5 * ((loss - centre) / 1.3) ** 2) for centre, height in lines)
    return 400 * (loss / 700) ** -3 + 300 * edges


def make_series(*, seed=0, jitter=1.0, thickness=None, electrons=1e5, dark=0.0, core_tilts=(1,), energy=None):
    """A series with its displacements and thicknesses."""
    rng = np.random.default_rng(seed)
    energy = -8 + 0.25 * np.arange(400) if energy is None else energy
    core_energy = 660 + 0.5 * np.arange(200)
    shifts = rng.uniform(-jitter, jitter, SHAPE)
    if thickness is None:
        thickness = np.broadcast_to(np.linspace(0.0, 0.8, SHAPE[2]), SHAPE)
    counts = rng.poisson(low_loss(energy, shifts, thickness, electrons) + max(dark, 0)).astype(np.int64)
    core = rng.poisson(core_loss(core_energy, shifts[list(core_tilts)])) if core_tilts else None
    series = SpectralTiltSeries(
        counts=da.from_array(counts, chunks=(1, -1, -1, -1)),
        energy=energy,
        angles=[-30.0, 0.0, 30.0],
        pixel_size=1.0,
        energy_unit='eV',
        core_loss=None if core is None else CoreLoss(core, core_energy, core_tilts),
    )
    return series, shifts, thickness


@pytest.fixture(scope='module')
def made():
    return make_series()


@pytest.fixture(scope='module')
def calibrated(made):
    return calibrate(made[0])


# The zero loss


@pytest.mark.parametrize('dispersion', [0.1, 0.25, 0.5])
@pytest.mark.parametrize('electrons', [300.0, 1e5])
def test_the_zero_loss_is_found_as_well_as_counting_allows(dispersion, electrons):
    energy = -10 + dispersion * np.arange(int(110 / dispersion))
    rng = np.random.default_rng(3)
    shifts = rng.uniform(-0.3, 0.3, (32, 32))
    counts = rng.poisson(electrons * zero_peak(energy, shifts))
    found = find_zero_loss(counts, energy, 'here')
    error = energy[0] + dispersion * found.position - shifts
    broadened = np.sqrt(SIGMA**2 + dispersion**2 / 12)
    limit = broadened / np.sqrt(electrons)
    assert error.std() < 1.15 * limit
    assert abs(error.mean()) < max(limit, 0.002)
    assert np.median(found.error) * dispersion == pytest.approx(limit, rel=0.2)


def test_a_zero_loss_without_jitter_is_found_too():
    energy = -10 + 0.25 * np.arange(440)
    counts = np.random.default_rng(0).poisson(1e4 * zero_peak(energy, np.full((8, 8), 0.1)))
    found = energy[0] + 0.25 * find_zero_loss(counts, energy, 'here').position
    np.testing.assert_allclose(found, 0.1, atol=0.01)


def test_doubtful_positions_take_those_around_them():
    rng = np.random.default_rng(1)
    truth = np.add.outer(np.linspace(0, 2, 24), np.linspace(0, 1, 24))
    error = np.full((24, 24), 0.3)
    noisy = truth + error * rng.standard_normal((24, 24))
    noisy[5, 5], error[9, 9], noisy[9, 9] = 40.0, np.inf, -60.0
    found = settle(noisy, error)
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.1
    assert abs(found[5, 5] - truth[5, 5]) < 0.3 and abs(found[9, 9] - truth[9, 9]) < 0.3


def test_positions_that_truly_jump_are_left_as_they_are():
    rng = np.random.default_rng(1)
    truth = rng.uniform(-2, 2, (24, 24))
    error = np.full((24, 24), 0.02)
    found = settle(truth + error * rng.standard_normal((24, 24)), error)
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.022


# The series


def test_displacements_come_back(made, calibrated):
    _, shifts, _ = made
    error = calibrated.zero_loss - shifts
    assert error.std() < 1.2 * np.median(calibrated.zero_loss_error) < 0.004
    of_channels = 2.3548 * 0.25 / np.sqrt(12)
    assert calibrated.zero_loss_fwhm == pytest.approx(np.hypot(FWHM, of_channels), rel=0.015)


def test_counts_are_moved_by_whole_channels_and_stay_those_counted(made, calibrated):
    series, _, _ = made
    counts = calibrated.series.counts
    assert isinstance(counts, da.Array) and counts.chunks[0] == (1, 1, 1)
    moved, raw = counts.compute(), series.counts.compute()
    assert moved.dtype == raw.dtype
    assert np.abs(calibrated.remainder).max() <= 0.125 + 1e-9
    assert calibrated.series.energy[np.abs(calibrated.series.energy).argmin()] == 0
    for place in ((0, 0, 0), (1, 5, 7), (2, 11, 9)):
        by = round((calibrated.zero_loss[place] - calibrated.remainder[place]) / 0.25)
        first = round((calibrated.series.energy[0] - series.energy[0]) / 0.25) + by
        np.testing.assert_array_equal(moved[place], raw[place][first : first + moved.shape[-1]])
    # A displacement of an energy by the remainder is what is left of the jitter.
    peak = calibrated.series.energy[moved.argmax(axis=-1)]
    assert np.abs(peak).max() <= 0.25


def test_the_core_loss_goes_with_the_low_loss_of_its_tilt(made, calibrated):
    series, shifts, _ = made
    core = calibrated.series.core_loss
    assert core.tilts == (1,) and core.counts.dtype == series.core_loss.counts.dtype
    left = shifts[1] - calibrated.core_remainder[0]
    by = np.rint(left / 0.5).astype(int)
    np.testing.assert_allclose(left, 0.5 * by, atol=0.02)
    raw, moved = series.core_loss.counts[0], core.counts[0].compute()
    first = round((core.energy[0] - series.core_loss.energy[0]) / 0.5)
    for y, x in ((0, 0), (7, 3)):
        start = first + by[y, x]
        np.testing.assert_array_equal(moved[y, x], raw[y, x, start : start + len(core.energy)])


def test_a_core_loss_of_a_scan_of_its_own_stays(made):
    found = calibrate(made[0], move_core_loss=False)
    assert not found.core_remainder.any()
    np.testing.assert_array_equal(found.series.core_loss.counts.compute(), made[0].core_loss.counts)


def test_thickness_by_the_log_ratio(made, calibrated):
    _, _, thickness = made
    two_losses = np.log(1 + thickness + thickness**2 / 2)
    np.testing.assert_allclose(calibrated.t_over_lambda, two_losses, atol=0.02)
    assert 1 < calibrated.zero_loss_end < 8


def test_exspy_finds_the_same_positions_and_thickness(made, calibrated):
    import exspy

    series, _, _ = made
    axes = [{'name': 'y', 'size': SHAPE[1]}, {'name': 'x', 'size': SHAPE[2]}]
    axes.append({'name': 'Energy loss', 'size': 400, 'scale': 0.25, 'offset': -8.0, 'units': 'eV'})
    signal = exspy.signals.EELSSpectrum(series.counts[1].compute().astype(float), axes=axes)
    whole = signal.estimate_zero_loss_peak_centre().data
    assert np.abs(whole - calibrated.zero_loss[1]).max() <= 0.26, 'eXSpy measures whole channels here'
    signal.align_zero_loss_peak(print_stats=False, show_progressbar=False)
    theirs = signal.estimate_thickness(threshold=calibrated.zero_loss_end).data
    np.testing.assert_allclose(theirs, calibrated.t_over_lambda[1], atol=0.01)
    # Interpolated counts are no counts any more: their noise is smaller than that of counting.
    moved, kept = signal.isig[18.0:26.0].data, calibrated.series.energy
    ours = calibrated.series.counts[1].compute()[..., (kept >= 18.0) & (kept < 26.0)]
    roughness = [np.var(np.diff(c, n=2, axis=-1)) / (6 * c.mean()) for c in (moved, ours)]
    assert roughness[0] < 0.85 < roughness[1] < 1.15


def test_axes_of_all_tilts_are_one_and_lost_channels_are_reported(calibrated, made):
    assert len(made[0].energy) - len(calibrated.series.energy) == calibrated.notes['channels_cut_off'] == 8
    np.testing.assert_allclose(np.diff(calibrated.series.energy), 0.25)
    assert calibrated.series.metadata['calibration'] == calibrated.notes
    assert calibrated.notes['warnings'] == []


def test_known_edges_put_offset_and_dispersion_right():
    series, _, _ = make_series(jitter=0.2)
    core = series.core_loss
    wrong = CoreLoss(core.counts, 3.0 + 660 + 0.505 * np.arange(200), core.tilts)
    series = SpectralTiltSeries(series.counts, series.energy * 1.02, series.angles, 1.0, 'eV', core_loss=wrong)
    found = calibrate(series, edges=[('Fe-L3', 708.0), ('Fe-L2', 721.0), ('plasmon', 22.0)])
    assert [f.name for f in found.features] == ['plasmon', 'Fe-L3', 'Fe-L2']
    assert found.features[1].found == pytest.approx(3 + 660 + 48 * 1.01, abs=0.1)
    energy = found.series.core_loss.energy
    total = found.series.core_loss.counts.compute().sum(axis=(0, 1, 2))
    assert find_feature(energy, total, 'L3', 708.0).found == pytest.approx(708.0, abs=0.05)
    assert energy[1] - energy[0] == pytest.approx(0.5, rel=0.01)
    assert found.notes['dispersion'] == pytest.approx(0.25, rel=0.003)
    assert found.notes['known_edges']['Fe-L3']['known'] == 708.0
    one = calibrate(series, edges=[('Fe-L3', 708.0)])
    assert one.series.core_loss.energy[1] - one.series.core_loss.energy[0] == pytest.approx(0.505)


def test_an_axis_through_known_features():
    energy = np.linspace(0, 100, 401)
    np.testing.assert_allclose(corrected_axis(energy, [Feature('a', 10, 12)]), energy + 2)
    two = corrected_axis(energy, [Feature('a', 0, 0), Feature('b', 50, 51)])
    np.testing.assert_allclose(two, 1.02 * energy, atol=1e-9)
    with pytest.raises(InputError, match='dispersion would be'):
        corrected_axis(energy, [Feature('a', 0, 0), Feature('b', 50, 61)])


# What cameras leave


def test_spikes_are_filled_and_edges_are_not():
    rng = np.random.default_rng(5)
    energy = 660 + 0.5 * np.arange(200)
    expected = core_loss(energy, np.zeros((16, 16)))
    expected[:, 8:] *= 3
    counts = rng.poisson(expected)
    clean = without_spikes(counts)
    assert clean[1] == 0 and clean[0] is counts
    spoilt = counts.copy()
    spoilt[3, 4, 50] += 1000
    spoilt[3, 5, 50] += 900
    spoilt[9, 12, 96:98] += 5000
    filled, number = without_spikes(spoilt)
    assert number == 3
    changed = np.argwhere(filled != spoilt)
    assert {tuple(p) for p in changed[:, :2]} == {(3, 4), (3, 5), (9, 12)}
    assert filled.dtype == counts.dtype
    sigma = np.sqrt(expected)
    assert (np.abs(filled - expected) < 6 * sigma).all()
    assert without_spikes(spoilt, slice(40, 60))[1] == 1


def test_spikes_of_the_series_are_reported():
    series, _, _ = make_series()
    counts = series.counts.compute()
    counts[1, 3, 3, 300] += 4000
    spoilt = SpectralTiltSeries(counts, series.energy, series.angles, 1.0, 'eV')
    found = calibrate(spoilt)
    assert found.notes['pixels_with_spikes'] == 1
    assert found.series.counts[1].compute()[3, 3, 250:].max() < 300
    assert calibrate(spoilt, remove_spikes=False).series.counts[1].compute()[3, 3, 250:].max() >= 4000


def test_the_dark_level_is_distinguished_from_the_tail_of_the_zero_loss():
    energy = -10 + 0.25 * np.arange(440)
    rng = np.random.default_rng(2)
    wing = 0.25 * 0.06 * 0.3 / np.pi / (energy**2 + 0.3**2)
    expected = np.broadcast_to(1e5 * (zero_peak(energy, 0.0) + wing) + 7.5, (16, 16, 440))
    counts = rng.poisson(expected) + 2.0 * rng.standard_normal(expected.shape)
    found = find_zero_loss(counts, energy, 'here')
    level = dark_level(counts, found.position, found.fwhm)
    assert level.level == pytest.approx(7.5, abs=0.3)
    assert level.read_noise == pytest.approx(np.sqrt(7.5 + 4), rel=0.15), 'counting noise of the dark level is in it'


@pytest.mark.parametrize('dark', [20.0, -5.0])
def test_a_dark_level_is_subtracted(dark):
    series, _, _ = make_series(dark=dark)
    counts = series.counts + (dark if dark < 0 else 0)
    found = calibrate(SpectralTiltSeries(counts, series.energy, series.angles, 1.0, 'eV'))
    assert found.notes['dark_level'] == pytest.approx([dark] * 3, abs=0.5)
    left = found.series.counts.compute()[..., :12]
    assert abs(left.mean()) < 0.5
    assert bool(found.notes['warnings']) == (dark < 0)
    if dark < 0:
        assert found.notes['warnings'][0].startswith('The dark level is negative at -30°, 0°, 30°')
    kept = calibrate(SpectralTiltSeries(counts, series.energy, series.angles, 1.0, 'eV'), remove_dark=False)
    assert kept.series.counts.compute()[..., :12].mean() == pytest.approx(dark, abs=0.5)


def test_steps_and_single_channels_of_wrong_gain_are_found_and_edges_are_not():
    energy = -10 + 0.25 * np.arange(440)
    rng = np.random.default_rng(4)
    smooth = 1e8 * np.exp(-energy / 20) + 3e7 / (1 + np.exp(-(energy - 54) / 0.8))
    assert gain_of(rng.poisson(smooth).astype(float), 3.3) is None
    sharp = 1e8 * (1 + ndtr((energy - 54) / 0.35) + 2 * np.exp(-0.5 * ((energy - 70) / 0.35) ** 2))
    assert gain_of(rng.poisson(sharp).astype(float), 3.3) is None, 'as sharp as the zero loss'
    gain = np.ones(440)
    gain[200:] *= 1.03
    gain[300] *= 0.9
    gain[350:] *= 0.98
    found = gain_of(rng.poisson(smooth * gain).astype(float), 3.3, slice(30, 50))
    np.testing.assert_allclose(found, gain, atol=0.004)
    assert gain_of(rng.poisson(smooth * gain).astype(float), 2.0) is None, 'an edge could be as steep'
    assert gain_notes(found).keys() == {'200', '300', '301', '350'}
    flat = gain_of(rng.poisson(np.full(440, 20.0)).astype(float), 3.3)
    assert flat is None


def test_the_gain_of_a_series_is_corrected():
    series, _, _ = make_series(electrons=1e6)
    gain = np.ones(400)
    gain[130:] = 1.05
    counts = np.random.default_rng(0).poisson(series.counts.compute() * gain)
    found = calibrate(changed(series, counts=counts))
    assert found.notes['gain'] == {'130': pytest.approx(1.05, abs=0.003)}
    assert found.series.counts.dtype == np.float32
    clean = calibrate(changed(series))
    assert clean.notes['gain'] == {} and clean.series.counts.dtype == series.counts.dtype
    ratio = found.series.counts.compute().sum((0, 1, 2)) / clean.series.counts.compute().sum((0, 1, 2))
    np.testing.assert_allclose(ratio[(clean.series.energy > 15) & (clean.series.energy < 35)], 1, atol=0.01)
    kept = calibrate(changed(series, counts=counts), correct_gain=False)
    assert kept.series.counts.dtype == counts.dtype


@pytest.mark.parametrize('fwhm', [3.3, 2.0])
def test_dead_channels_are_found_beside_others_of_wrong_gain_and_flanks_are_none(fwhm):
    energy = -10 + 0.25 * np.arange(440)
    # The zero loss, and an end without counts.
    clean = 1e9 * np.exp(-0.5 * (energy / 0.3) ** 2) + 1e6 * ndtr((energy - 3) / 0.5) * np.exp(-energy / 20)
    clean[430:] = 0
    counts = np.random.default_rng(4).poisson(clean).astype(float)
    near_zero = slice(32, 48)
    assert gain_of(counts, fwhm, near_zero) is None
    counts[[200, 300, 301]] = 0, 40, 0
    found = gain_of(counts, fwhm, near_zero)
    np.testing.assert_array_equal(np.flatnonzero(found == 0), [200, 300, 301])
    np.testing.assert_array_equal(np.delete(found, [200, 300, 301]), 1)
    filled = without_gain(counts[None, None], found)[0, 0]
    np.testing.assert_allclose(filled[[200, 300, 301]], clean[[200, 300, 301]], rtol=0.02)


def test_a_dead_channel_of_a_series_is_filled_and_named():
    series, _, _ = make_series(electrons=1e6)
    counts = series.counts.compute()
    alive = calibrate(changed(series))
    counts[..., 130] = 0
    found = calibrate(changed(series, counts=counts))
    (warning,) = found.notes['warnings']
    assert (
        warning
        == f'A channel of the low loss (at {series.energy[130]:.4g} eV) counted nothing: it is filled from those beside.'
    )
    ratio = (
        found.series.counts.compute().sum((0, 1, 2))[100:160] / alive.series.counts.compute().sum((0, 1, 2))[100:160]
    )
    np.testing.assert_allclose(ratio, 1, atol=0.01)


# What can be wrong


def refused(match: str, series: SpectralTiltSeries, **options) -> None:
    with pytest.raises(InputError, match=match) as caught:
        calibrate(series, **options)
    text = str(caught.value)
    assert text.count('\n') == 0 and text.endswith('.')


def changed(series: SpectralTiltSeries, **values) -> SpectralTiltSeries:
    kept = {'counts': series.counts, 'energy': series.energy, 'angles': series.angles, 'pixel_size': 1.0}
    return SpectralTiltSeries(**{'energy_unit': 'eV', **kept, **values})


def test_a_series_without_zero_loss(made):
    series = made[0]
    refused('no zero loss at -30°: the energies go from 20 ', changed(series, energy=series.energy + 28))
    plasmon = changed(series, counts=series.counts[..., 60:], energy=series.energy[60:] - 15)
    refused('no zero loss at -30°: the highest peak', plasmon)
    refused('X-rays', changed(series, energy=series.energy / 1000, energy_unit='keV'))
    refused('not evenly spaced', changed(series, energy=np.sort(series.energy**3)))
    empty = series.counts.compute()
    empty[2] = 0
    refused('hardly any counts near 0 eV at 30°', changed(series, counts=empty))
    refused('lies in neither range', series, edges=[('O-K', 532.0)])
    refused('Ti-L3 is not seen', series, edges=[('Ti-L3', 755.0)])


def test_a_zero_loss_at_the_end_of_the_range(made):
    series = made[0]
    refused('end of the range', changed(series, counts=series.counts[..., 31:], energy=series.energy[31:]))


def test_vacuum_only():
    thickness = np.broadcast_to(np.linspace(0.0, 0.8, SHAPE[2]), SHAPE).copy()
    thickness[2] = 0
    refused('tilt at 30° shows nothing but vacuum', make_series(thickness=thickness)[0])
    thickness[2, 4:7, 4:7] = 0.1
    assert calibrate(make_series(thickness=thickness)[0]).t_over_lambda[2].max() > 0.05


def test_a_saturated_zero_loss_leaves_the_thickness_unknown_and_a_broad_one_is_refused(made):
    series, shifts, _ = made
    cut = changed(series, counts=np.minimum(series.counts.compute(), 18000))
    found = calibrate(cut)
    saturated = np.isnan(found.t_over_lambda)
    assert saturated[:, :, :4].all() and not saturated[:, :, -1].any(), 'the thick side has fewer counts at zero'
    assert found.notes['warnings'][0].startswith('The zero loss is saturated at -30°, 0°, 30°')
    assert np.abs(found.zero_loss - shifts).max() < 0.1
    energy = series.energy
    broad = np.minimum(low_loss(energy, shifts, 0.4, 1e7), 500.0)
    refused('saturated over', changed(series, counts=np.rint(broad)))


def test_an_unsaturated_series_is_not_called_so():
    for electrons in (200.0, 1e4, 1e6):
        found = calibrate(make_series(electrons=electrons)[0])
        assert not np.isnan(found.t_over_lambda).any()


def test_negative_counts_beyond_correction(made):
    series = made[0]
    refused('too large a dark reference', changed(series, counts=series.counts - 200.0))


def test_a_zero_loss_that_drifts_too_far():
    energy = -2 + 0.05 * np.arange(400)
    places = np.array([0.0, 0.0, -1.5])[:, None, None] + np.zeros(SHAPE)
    counts = np.random.default_rng(0).poisson(1e5 * zero_peak(energy, places, fwhm=0.3) + 20)
    refused('drifts by 1.5 eV, to the end', SpectralTiltSeries(counts, energy, [-30, 0, 30], 1.0, 'eV'))
    with pytest.raises(InputError, match='drifts by 60 of the 100 channels of the core loss'):
        WholeChannelMoves.of(np.array([0.0, 59.6]), 100, 'core loss')


class Stop(Observer):
    def __init__(self):
        self.seen = []

    def report(self, progress):
        self.seen.append(progress.message)

    def request(self):
        return Request.CANCEL if len(self.seen) == 2 else Request.GO


def test_progress_is_reported_and_cancelling_obeyed(made):
    observer = Stop()
    with pytest.raises(Cancelled):
        calibrate(made[0], observer)
    assert observer.seen == ['zero loss at -30°', 'zero loss at 0°']


MEASURED = Path(__file__).parents[5] / 'shared' / 'data' / 'spectra'


@pytest.mark.skipif(not MEASURED.is_dir(), reason='the measured spectra are not beside the repository')
def test_a_measured_pair_of_a_manganese_oxide():
    """Its zero loss is broad and lies at 0.93 eV; Mn-L3 is 7 eV off."""
    import hyperspy.api as hs

    low, core = (hs.load(str(MEASURED / f'{name}loss_spectrum.msa'), signal_type='EELS') for name in ('low', 'core'))
    energy, core_energy = low.axes_manager[0].axis, core.axes_manager[0].axis
    counts = np.random.default_rng(0).poisson(np.maximum(low.data, 0), (2, 6, 6, len(energy)))
    core_counts = np.random.default_rng(1).poisson(np.maximum(core.data, 0), (1, 6, 6, len(core_energy)))
    part = CoreLoss(core_counts, core_energy, (0,))
    series = SpectralTiltSeries(counts, energy, [-1.0, 1.0], 1.0, 'eV', core_loss=part)
    found = calibrate(series, edges=[('Mn-L3', 641.0)])
    theirs = float(low.estimate_zero_loss_peak_centre().data[0])
    np.testing.assert_allclose(found.zero_loss, theirs, atol=0.2)
    assert found.zero_loss_fwhm == pytest.approx(3.15, abs=0.1)
    thickness = float(low.estimate_thickness(threshold=found.zero_loss_end).data[0])
    np.testing.assert_allclose(found.t_over_lambda, thickness, atol=0.02)
    assert found.features[0].found == pytest.approx(648.7 - theirs, abs=0.4)
    assert found.notes['gain'] == {} and found.notes['warnings'] == []


def test_the_simulated_particle():
    from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube

    made = eels_tilt_series(oxide_nanocube(20, film=1.0, ligand=1.0), [-60.0, 0.0, 60.0], seed=1)
    found = calibrate(made.series)
    error = found.zero_loss - made.shifts
    assert error.std() < 0.003
    assert found.read_noise == pytest.approx(1.0, abs=0.15)
    assert abs(error.mean()) < 0.02, 'an exponential tail to the loss side'
    iron = made.iron
    np.testing.assert_allclose(found.t_over_lambda[iron], made.thickness[iron], rtol=0.1, atol=0.01)
