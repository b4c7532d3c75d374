"""Single scattering comes back from spectra with plural scattering of known strength."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_diptomo.series import Cancelled, CoreLoss, InputError, Observer, Request, SpectralTiltSeries
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.deconvolution import deconvolved, without_background
from napari_diptomo.spectra.eels.scattering import single_losses, without_plural, zero_losses_of_pixels

STEP, CHANNELS = 0.25, 480
ENERGY = -8 + STEP * np.arange(CHANNELS)
CORE = 640 + STEP * np.arange(560)
FWHM = 0.8
#: No loss below 3 eV, see `plasmon`.
END = 3.0


def plasmon(count: int) -> np.ndarray:
    """One loss: a Drude plasmon, from 3 eV on, unit sum."""
    loss = STEP * np.arange(count)
    shape = loss / ((loss**2 - 22.0**2) ** 2 + (8.0 * loss) ** 2) * (loss > 3)
    return shape / shape.sum()


def gaussian(energy: np.ndarray, centre: float = 0.0, fwhm: float = FWHM) -> np.ndarray:
    return np.exp(-4 * np.log(2) * ((energy - centre) / fwhm) ** 2)


def spread(shape: np.ndarray, tau: float, *, single: bool = False) -> np.ndarray:
    """A shape behind so much specimen: all losses by Poisson's law, or tau times one loss."""
    length = 16384
    one = np.fft.rfft(plasmon(length // 2), length)
    kernel = tau * one if single else np.exp(tau * (one - 1))
    return np.fft.irfft(np.fft.rfft(shape, length) * kernel, length)[: len(shape)]


def low_loss(tau: float, electrons: float = 1e6, centre: float = 0.0) -> np.ndarray:
    peak = gaussian(ENERGY, centre)
    return electrons * spread(peak / peak.sum(), tau)


def seen_edges(single: np.ndarray, tau: float) -> np.ndarray:
    """Edges as broad as the zero loss, behind so much specimen."""
    return spread(broadened(single), tau)


def broadened(single: np.ndarray) -> np.ndarray:
    length = 4096
    peak = np.fft.rfft(np.roll(gaussian(STEP * (np.arange(length) - length // 2)), -length // 2))
    return np.fft.irfft(np.fft.rfft(single, length) * peak / peak[0], length)[: len(single)]


def white_lines(energy: np.ndarray = CORE, centre: float = 708.0) -> np.ndarray:
    lines = gaussian(energy, centre, 3.0) + 0.5 * gaussian(energy, centre + 13, 3.5)
    return lines + 0.2 / (1 + np.exp(-(energy - centre)))


@pytest.mark.parametrize('tau', [0.2, 0.6, 1.2])
def test_fourier_log_gives_back_one_loss_of_all_electrons(tau):
    peak = gaussian(ENERGY)
    truth = 1e6 * spread(peak / peak.sum(), tau, single=True)
    found = single_losses(low_loss(tau)[None], ENERGY, END)[0]
    losses = (ENERGY > 8) & (ENERGY < 80)
    np.testing.assert_allclose(found[losses], truth[losses], atol=0.02 * truth.max())
    # The second plasmon, at 44 eV, is gone.
    second = np.abs(ENERGY - 44) < 2
    assert abs(found[second].mean() - truth[second].mean()) < 0.05 * (low_loss(tau) - truth)[second].mean() + 2.0


def test_fourier_log_follows_the_displacement_and_keeps_intensities_linear_in_the_path():
    spectra = np.stack([low_loss(tau, centre=centre) for tau in (0.2, 0.4, 0.8) for centre in (0.0, 0.1)])
    found = single_losses(spectra, ENERGY, END)
    plasmons = (ENERGY > 12) & (ENERGY < 40)
    areas = found[:, plasmons].sum(axis=1)
    np.testing.assert_allclose(areas / areas[0], [1, 1, 2, 2, 4, 4], rtol=0.02)
    shift = (found[1] * ENERGY)[plasmons].sum() / areas[1] - (found[0] * ENERGY)[plasmons].sum() / areas[0]
    assert 0 < shift < 0.15


def test_counting_noise_is_amplified_no_more_than_said():
    rng = np.random.default_rng(0)
    spectra = rng.poisson(low_loss(0.5, 1e5), (200, CHANNELS)).astype(float)
    found = single_losses(spectra, ENERGY, END)
    at = np.abs(ENERGY - 50) < 5
    noise = found[:, at].std(axis=0).mean()
    counting = spectra[:, at].std(axis=0).mean()
    assert counting * 0.5 < noise < counting * 1.3 * np.exp(0.5)


@pytest.mark.parametrize('tau', [0.3, 0.9])
def test_fourier_ratio_gives_back_the_edges_of_all_electrons(tau):
    single = 500 * white_lines()
    seen, truth = seen_edges(single, tau), broadened(single)
    found = without_plural(seen[None], CORE, low_loss(tau)[None], ENERGY, END, FWHM)[0]
    edge = (CORE > 690) & (CORE < 750)
    np.testing.assert_allclose(found[edge], truth[edge], atol=0.02 * truth.max())
    assert np.abs(seen - truth)[edge].max() > 0.1 * truth.max(), 'there was something to take out'


def test_pixels_without_a_zero_loss_stay_empty():
    spectra = np.stack([low_loss(0.4), np.zeros(CHANNELS)])
    assert not single_losses(spectra, ENERGY, END)[1].any()
    edges = np.stack([white_lines()] * 2)
    assert not without_plural(edges, CORE, spectra, ENERGY, END, FWHM)[1].any()


def test_the_zero_loss_of_a_pixel_is_its_counts_and_a_falling_tail():
    found = zero_losses_of_pixels(low_loss(0.5)[None], ENERGY, END)[0]
    np.testing.assert_array_equal(found[END >= ENERGY], low_loss(0.5)[END >= ENERGY])
    assert found.sum() == pytest.approx(1e6 * np.exp(-0.5), rel=0.01)


def test_a_power_law_in_front_of_an_edge_is_subtracted():
    law = 4e3 * (CORE / 640) ** -3.2
    found = without_background(np.stack([law + 300 * white_lines(), 2 * law]), CORE, (650, 695))
    window = CORE > 695
    np.testing.assert_allclose(found[0][window], 300 * white_lines()[window], atol=3)
    np.testing.assert_allclose(found[1], 0, atol=6)
    with pytest.raises(InputError, match='lies outside the core loss'):
        without_background(law[None], CORE, (500, 600))


# The series


@pytest.fixture(scope='module')
def calibrated():
    rng = np.random.default_rng(7)
    shape, taus = (2, 4, 5), np.linspace(0.2, 0.8, 5)
    shifts = rng.uniform(-0.4, 0.4, shape)
    counts = np.empty((*shape, CHANNELS))
    core = np.empty((1, 4, 5, len(CORE)))
    for t, y, x in np.ndindex(shape):
        counts[t, y, x] = low_loss(taus[x], 1e6, shifts[t, y, x])
        if t == 1:
            edges = seen_edges(5000 * white_lines(centre=708.0 + shifts[t, y, x]), taus[x])
            core[0, y, x] = edges + 2e3 * (CORE / 640) ** -3
    part = CoreLoss(rng.poisson(core), CORE, (1,))
    series = SpectralTiltSeries(
        da.from_array(rng.poisson(counts), chunks=(1, -1, -1, -1)), ENERGY, [-5, 5], 1.0, 'eV', core_loss=part
    )
    return calibrate(series)


def test_a_series_lazily_and_its_notes(calibrated):
    found = deconvolved(calibrated, core_background=(650, 695))
    counts, core = found.series.counts, found.series.core_loss
    assert isinstance(counts, da.Array) and counts.chunks[0] == (1, 1) and counts.dtype == np.float32
    assert 'Fourier-ratio (core loss) and Fourier-log (low loss)' in found.notes['deconvolved']
    assert found.series.metadata['calibration']['deconvolved'] == found.notes['deconvolved']
    plasmons = (found.series.energy > 12) & (found.series.energy < 40)
    areas = counts.compute()[..., plasmons].sum(axis=-1).mean(axis=(0, 1))
    np.testing.assert_allclose(areas / areas[0], np.linspace(0.2, 0.8, 5) / 0.2, rtol=0.03)
    lines = (core.energy > 700) & (core.energy < 714)
    heights = core.counts.compute()[0][..., lines].sum(axis=-1).mean(axis=0)
    np.testing.assert_allclose(heights / heights[0], 1, rtol=0.03)
    assert core.metadata['background_window'] == (650, 695)
    raw = calibrated.series.core_loss.counts.compute()[0]
    thin, thick = without_background(raw.reshape(-1, raw.shape[-1]), core.energy, (650, 695))[:, lines].sum(axis=1)[
        [0, 4]
    ]
    assert thick < 0.8 * thin, 'as it was seen'


def test_the_core_loss_is_where_its_remainder_says(calibrated):
    found = deconvolved(calibrated, low_loss=False, core_background=(650, 695))
    core = found.series.core_loss
    near = np.abs(core.energy - 708) < 1.3
    spectra = core.counts.compute()[0][..., near].reshape(20, -1)
    bend, slope, _ = np.polyfit(core.energy[near] - 708, spectra.T, 2)
    tops = -slope / (2 * bend)
    assert (tops - found.core_remainder.ravel()).std() < 0.03 < calibrated.core_remainder.std()
    assert found.series.counts is calibrated.series.counts


def test_what_cannot_be_deconvolved(calibrated):
    from dataclasses import replace

    def refused(match, **options):
        with pytest.raises(InputError, match=match) as caught:
            deconvolved(**{'calibrated': calibrated, **options})
        assert str(caught.value).endswith('.')

    alone = replace(calibrated, series=replace(calibrated.series, core_loss=None))
    refused('no core loss to deconvolve', calibrated=alone, core_background=(650, 695))
    refused('lies outside the core loss', core_background=(100, 200))
    refused('too thick', calibrated=replace(calibrated, t_over_lambda=calibrated.t_over_lambda + 4))
    refused('saturated', calibrated=replace(calibrated, t_over_lambda=calibrated.t_over_lambda * np.nan))
    with pytest.raises(InputError, match='needs one dispersion'):
        without_plural(np.ones((1, 50)), 600 + 0.5 * np.arange(50), np.ones((1, 50)), ENERGY[:50], 3.0, FWHM)


def test_cancelling_is_obeyed(calibrated):
    class Stop(Observer):
        def request(self):
            return Request.CANCEL

    with pytest.raises(Cancelled):
        deconvolved(calibrated, Stop())
