"""Dead and hot channels of an EDX detector cost no counts and add none: maps and suggestions are those without them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.series import SpectralTiltSeries, load_tilt_series
from napari_diptomo.simulate import edx_tilt_series, lamella
from napari_diptomo.spectra import Denoise, EDXMaps, rank_elements, suggest_elements
from napari_diptomo.spectra.common import tilt_counts
from napari_diptomo.spectra.common.tilt_counts import counts_of, share_counts
from napari_diptomo.spectra.edx.explained_spectrum import explain

DATA = Path(__file__).parents[4] / 'shared' / 'data' / 'openncem-edx'
ANGLES = (-20.0, 0.0, 20.0)
FITS = {'linear': {}, 'poisson': {'fit': 'poisson'}, 'windows': {'deliver': 'window counts'}}


def spoilt(series, faults):
    """The series with each channel at an energy given counts that are computed from those there were."""
    counts = np.array(series.counts)
    for at, fault in faults.items():
        k = int(np.abs(series.energy - at).argmin())
        counts[..., k] = fault(counts[..., k])
    return replace(series, counts=counts)


def dead(counts):
    return 0 * counts


def one_more(counts):
    return counts + 1


def stuck(counts):
    return np.full_like(counts, 40)


@cache
def simulated(channel):
    channels = round(12.5 / channel)
    simulation = edx_tilt_series(
        lamella(24),
        ANGLES,
        peak_counts=250,
        seed=1,
        channels=channels,
        dispersion=channel,
        escape=0.018,
        sum_peaks=0.01,
    )
    return simulation.series, ('Ge', 'Sb', 'Te')


@cache
def gaussians():
    """Spectra of another make: plain Gaussians of another width, bremsstrahlung and pile-up, in channels of 20 eV."""
    rng, energy = np.random.default_rng(2), -0.2 + 0.02 * np.arange(700)
    y, x = np.mgrid[:20, :20] / 20
    lines = {
        'O': (40 + 20 * x, {0.5249: 1.0}),
        'Si': (20 + 0 * x, {1.7397: 0.98, 1.8359: 0.02}),
        'Ti': (5 + 30 * y, {4.5109: 0.88, 4.9318: 0.12}),
    }
    expected = 60 * np.where(energy > 0.1, np.exp(-((0.5 / np.maximum(energy, 0.1)) ** 3)) / np.maximum(energy, 0.1), 0)
    expected = expected / expected.sum() + 0 * x[..., None]
    for counts, places in lines.values():
        for place, share in places.items():
            sigma = np.hypot(0.065, np.sqrt(2.3e-3 * place)) / 2.3548
            peak = np.exp(-(((energy - place) / sigma) ** 2) / 2)
            expected = expected + share * counts[..., None] * peak / peak.sum()
    twice = np.convolve(expected.mean((0, 1)), expected.mean((0, 1)))[10 : 10 + len(energy)]
    counts = rng.poisson(np.stack([expected + twice / twice.sum()] * 3)).astype(np.uint16)
    known = {'beam_energy': 200.0, 'energy_resolution_MnKa': 133.0}
    return SpectralTiltSeries(counts, energy, np.array(ANGLES), 1.0, metadata=known), tuple(lines)


@cache
def measured():
    series = load_tilt_series([DATA / f'{angle}.bcf' for angle in (-40, 0, 35)], binning=8)
    return replace(series, counts=np.asarray(series.counts)), ('O', 'Si', 'Fe', 'Pt')


@cache
def clean_maps(source, fit):
    series, elements = source()
    return EDXMaps(elements=elements, **FITS[fit]).run(series)


def fine():
    return simulated(0.005)


def typical():
    return simulated(0.01)


def totals(maps):
    return (maps if maps.mixing is None else maps.unmixed()).data.sum(axis=(1, 2, 3))


def named(maps):
    return [finding for finding in maps.findings if finding.about == 'channels of the detector']


CASES = [
    (typical, {3.605: dead}),
    (typical, {3.77: one_more, 9.88: stuck}),
    (fine, {1.19: dead, 3.605: stuck, 9.88: dead, 9.885: dead}),
    (gaussians, {0.52: dead, 1.74: dead, 4.52: one_more}),
    pytest.param(
        measured,
        {0.525: dead, 1.74: one_more, 6.4: stuck, 9.44: dead},
        marks=pytest.mark.skipif(not DATA.is_dir(), reason='the openNCEM series is not here'),
    ),
]


@pytest.mark.parametrize('fit', FITS)
@pytest.mark.parametrize(('source', 'faults'), CASES)
def test_totals_are_those_of_the_sound_detector(source, faults, fit):
    series, elements = source()
    clean = clean_maps(source, fit)
    assert named(clean) == []
    maps = EDXMaps(elements=elements, **FITS[fit]).run(spoilt(series, faults))
    np.testing.assert_allclose(totals(maps), totals(clean), rtol=0.01)
    (finding,) = named(maps)
    assert finding.level == 'doubt'
    for at in faults:
        assert f'{series.energy[int(np.abs(series.energy - at).argmin())]:.3f}' in finding.sentence
    assert finding.evidence['dead channels'] == sum(fault is dead for fault in faults.values())
    assert finding.evidence['hot channels'] == sum(fault is not dead for fault in faults.values())


def test_the_sentence_names_the_channels_of_the_fit_and_what_was_done():
    series, elements = typical()
    maps = EDXMaps(elements=elements).run(spoilt(series, {0.17: stuck, 3.605: dead, 9.88: stuck}))
    (finding,) = named(maps)
    assert finding.sentence.startswith('1 channel is dead, or counts too little (3.600 keV: 0 counts, ')
    assert ' and 1 channel is hot, or counts too much (9.880 keV: 69120 counts, ' in finding.sentence
    assert 'they were left out of the fit' in finding.sentence


def test_spectra_of_a_sound_detector_are_not_copied():
    series = replace(typical()[0])
    counts = counts_of(series)
    before = [counts.tilt(t) for t in range(len(ANGLES))]
    sums = counts.read()
    assert counts.faulty == ()
    assert all(counts.tilt(t) is before[t] for t in range(len(ANGLES)))
    np.testing.assert_array_equal(sums, np.asarray(series.counts, float).sum(axis=(1, 2)))


def test_a_hot_channel_is_no_element_and_is_explained():
    series, _ = typical()
    hot = spoilt(series, {6.4: stuck, 4.0: one_more})
    assert suggest_elements(hot) == suggest_elements(series)
    assert [f.element for f in rank_elements(hot)] == [f.element for f in rank_elements(series)]
    assert explain(hot).chi2 == pytest.approx(explain(series).chi2, abs=0.05)


def test_tilts_that_are_read_again_leave_it_out_again(monkeypatch):
    monkeypatch.setattr(tilt_counts, '_BUDGET', 0)
    counts = counts_of(spoilt(typical()[0], {6.4: one_more}))
    counts.read()
    (fault,) = counts.faulty
    assert counts.tilt(1)[:, fault.channel].sum() == counts.sums[1, fault.channel] == 0


def test_tilts_in_use_leave_out_what_all_tilts_show():
    series, _ = typical()
    whole = spoilt(series, {3.605: dead, 6.4: one_more})
    part = replace(whole, counts=whole.counts[1:2], angles=whole.angles[1:2], haadf=None)
    shared = share_counts(whole, part, [(1,)])
    sums = shared.read()
    k = int(np.abs(series.energy - 6.4).argmin())
    assert [fault.channel for fault in shared.faulty] == [int(np.abs(series.energy - 3.605).argmin()), k]
    assert sums[0, k] == shared.tilt(0)[:, k].sum() == 0


def test_maps_of_denoised_spectra_leave_the_channel_out_too():
    series, elements = typical()
    hot = Denoise(components=4).run(spoilt(series, {3.605: stuck}))
    maps, clean = (EDXMaps(elements=elements, holdout=0).run(s) for s in (hot, Denoise(components=4).run(series)))
    np.testing.assert_allclose(totals(maps), totals(clean), rtol=0.015)
