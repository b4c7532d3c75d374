"""EDX maps: known counts come back, their scatter is as predicted, nothing leaks."""

from __future__ import annotations

import json
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest

from napari_diptomo.series import Cancelled, InputError, Observer, Recipe, Request, SpectralTiltSeries
from napari_diptomo.simulate import edx_tilt_series, lamella, line_shape
from napari_diptomo.simulate.edx import LINES, bremsstrahlung
from napari_diptomo.spectra import EDXMaps, sum_spectrum
from napari_diptomo.spectra.edx.fit_range import FitRange, without_overflow

ENERGY = (np.arange(1280) - 24) * 0.01
GST = ('Ge', 'Sb', 'Te')


def series_of(counts, **values):
    angles = np.linspace(-20, 20, counts.shape[0])
    return SpectralTiltSeries(counts, ENERGY, angles, 1.0, recipe=Recipe(), **values)


def spectra_of(intensities, background=0.0, poisson=None):
    """Spectra (1, y, x, energy) with these counts (y, x) of each family."""
    counts = sum(n[..., None] * line_shape(ENERGY, LINES[name]) for name, n in intensities.items())
    counts = counts + background * bremsstrahlung(ENERGY)
    if poisson is not None:
        counts = np.random.default_rng(poisson).poisson(counts).astype(np.uint16)
    return counts[None]


def ramps(scale, n=24):
    y, x = np.mgrid[0:n, 0:n] / n
    return {'Sb_L': scale * (0.2 + x), 'Te_L': scale * (1.5 - y), 'Ge_K': scale * (0.3 + x * y)}


@pytest.fixture(scope='module')
def lamella_series():
    return edx_tilt_series(lamella(32, 0), np.arange(-40.0, 41.0, 20.0), seed=3)


@pytest.fixture(scope='module')
def lamella_maps(lamella_series):
    return EDXMaps(elements=GST).run(lamella_series.series)


def test_overlapping_families_come_back_from_clean_spectra():
    intensities = ramps(1000.0)
    maps = EDXMaps(elements=GST, holdout=0).run(series_of(spectra_of(intensities, background=1500.0)))
    for name, found in zip(('Ge_K', 'Sb_L', 'Te_L'), maps.data[:, 0], strict=True):
        np.testing.assert_allclose(found, intensities[name], rtol=0.01, atol=3)


def test_a_wrong_energy_axis_is_corrected():
    intensities = ramps(300.0)
    series = series_of(spectra_of(intensities, background=300.0, poisson=0))
    moved = replace(series, energy=series.energy * 1.0015 + 0.012)
    found = EDXMaps(elements=GST).run(moved)
    left = EDXMaps(elements=GST, calibrate=False).run(moved)
    truth = sum(n.sum() for n in intensities.values())
    assert found.data.sum() == pytest.approx(truth, rel=0.01)
    assert max(found.notes['chi2']) < 1.3 < 3 < max(left.notes['chi2'])
    assert found.notes['calibration']['gain'] == pytest.approx(1 / 1.0015, abs=5e-4)


def test_poisson_pulls_are_unbiased_and_of_unit_width():
    intensities = ramps(6.0, n=64)
    maps = EDXMaps(elements=GST).run(series_of(spectra_of(intensities, background=12.0, poisson=1)))
    for c, name in enumerate(('Ge_K', 'Sb_L', 'Te_L')):
        pulls = (maps.data[c, 0] - intensities[name]) / np.sqrt(maps.variance[c, 0])
        assert abs(pulls.mean()) < 3.5 / np.sqrt(pulls.size)
        assert pulls.std() == pytest.approx(1, abs=0.04)


def test_maps_of_a_lamella_are_its_counts(lamella_series, lamella_maps):
    truth = lamella_series.clean
    total = truth.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(lamella_maps.data.sum(axis=(1, 2, 3)), total, rtol=0.015)
    inside = truth.sum(axis=0) > 5
    for found, known, variance in zip(lamella_maps.data, truth, lamella_maps.variance, strict=True):
        pulls = (found - known)[inside] / np.sqrt(variance[inside])
        assert abs(pulls.mean()) < 0.1
        assert pulls.std() == pytest.approx(1, abs=0.12)
    assert (lamella_maps.variance > 0).all()
    assert not lamella_maps.are_counts


def test_held_out_photons_are_an_unbiased_share(lamella_maps):
    share = lamella_maps.held_out.sum(axis=(1, 2, 3)) / lamella_maps.data.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(share, 0.1, atol=0.01)
    assert lamella_maps.held_out_share == 0.1


def test_held_out_photons_are_independent_of_the_rest():
    flat = {'Ge_K': np.full((64, 64), 20.0), 'Te_L': np.full((64, 64), 30.0)}
    maps = EDXMaps(elements=('Ge', 'Te'), holdout=0.3).run(series_of(spectra_of(flat, poisson=2)))
    rest = maps.data - maps.held_out
    for a, b in zip(maps.held_out[:, 0], rest[:, 0], strict=True):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / 64


def test_same_seed_same_photons(lamella_series, lamella_maps):
    again = EDXMaps(elements=GST).run(lamella_series.series)
    other = EDXMaps(elements=GST, seed=1).run(lamella_series.series)
    np.testing.assert_array_equal(again.held_out, lamella_maps.held_out)
    np.testing.assert_array_equal(other.data, lamella_maps.data)
    assert not np.array_equal(other.held_out, lamella_maps.held_out)


def test_stray_copper_is_fitted_along_and_does_not_leak(lamella_series, lamella_maps):
    assert 'Cu_K' in lamella_maps.notes['also_fitted']
    zinc = EDXMaps(elements=('Zn',)).run(lamella_series.series)
    pulls = zinc.data / np.sqrt(zinc.variance)
    # Zn-Ka lies between Cu-Ka and Cu-Kb, and 20 keV of copper counts stand beside it.
    copper = 0.3 * 32 * 32 * 5
    assert abs(zinc.data.sum()) < 0.03 * copper
    assert abs(pulls.mean()) < 0.05


def test_lines_win_over_elements_and_name_the_channels(lamella_series):
    maps = EDXMaps(elements=('Te',), lines=('Ge_L', 'Sb_L')).run(lamella_series.series)
    assert maps.channels == ('Ge_L', 'Sb_L')
    # Ge-L is 2.1 times Ge-K less what the film absorbs.
    ratio = maps.data[0].sum() / lamella_series.clean[0].sum()
    assert 2.1 * 0.7 < ratio < 2.1 * 0.8


def test_result_carries_what_the_next_stages_need(lamella_series, lamella_maps):
    series = lamella_series.series
    np.testing.assert_array_equal(lamella_maps.angles, series.angles)
    np.testing.assert_array_equal(lamella_maps.haadf, series.haadf)
    assert lamella_maps.pixel_size == series.pixel_size
    assert lamella_maps.notes['lines'] == {'Ge': 'Ge_K', 'Sb': 'Sb_L', 'Te': 'Te_L'}
    assert len(json.loads(json.dumps(lamella_maps.notes))['chi2']) == 5
    recipe = EDXMaps(elements=GST).run(replace(series, recipe=Recipe())).recipe
    assert Recipe.from_json(recipe.to_json()).steps == (EDXMaps(elements=GST),)


def test_lazy_spectra_are_read_once():
    reads = []

    def read(block, block_info=None):
        reads.append(block_info[0]['chunk-location'])
        return block

    counts = spectra_of(ramps(5.0, n=16), background=5.0, poisson=0).repeat(3, axis=0)
    lazy = da.from_array(counts, chunks=(1, -1, -1, -1)).map_blocks(read, dtype=counts.dtype, meta=counts[:0])
    series = series_of(lazy)
    np.testing.assert_array_equal(sum_spectrum(series), counts.sum(axis=(0, 1, 2)))
    EDXMaps(elements=('Te',)).run(series)
    assert len(reads) == 3


class Stopper(Observer):
    def __init__(self, at):
        self.seen, self.at = [], at

    def report(self, progress):
        self.seen.append(progress.iteration)

    def request(self):
        return Request.CANCEL if len(self.seen) >= self.at else Request.GO


@pytest.mark.parametrize('at', [2, 7])
def test_cancel_is_obeyed_at_the_next_tilt(lamella_series, at):
    observer = Stopper(at)
    with pytest.raises(Cancelled):
        EDXMaps(elements=GST).run(lamella_series.series, observer)
    assert observer.seen == list(range(1, at + 1))


STROBE = np.zeros((1, 8, 8, 1280), np.uint16)
STROBE[..., 18:31] = 50
CUT_OFF = np.minimum(spectra_of(ramps(6000.0, n=8), poisson=0), 255).astype(np.uint8)


def small(**values):
    return replace(series_of(spectra_of(ramps(20.0, n=8), background=5.0, poisson=0)), **values)


@pytest.mark.parametrize(
    ('step', 'series', 'sentence'),
    [
        (EDXMaps(), small(), 'the spectra show Te, Sb, Ge|No elements are chosen'),
        (EDXMaps(elements=('Quartz',)), small(), "no element 'Quartz'"),
        (EDXMaps(elements=('Li',)), small(), 'between 0.20 and 12.5'),
        (EDXMaps(lines=('Ge',)), small(), 'write it as Ge_K'),
        (EDXMaps(lines=('Ge_Ka', 'Ge_K')), small(), 'a second time'),
        (EDXMaps(elements=GST), small(energy_unit='eV'), 'need spectra in keV'),
        (EDXMaps(elements=GST), small(energy=np.arange(1280.0)), 'not calibrated'),
        (EDXMaps(elements=GST, energy_min=15.0), small(), 'widen the energy range'),
        (EDXMaps(elements=GST), small(counts=np.zeros((1, 8, 8, 1280), np.uint8)), 'no counts'),
        (EDXMaps(elements=GST), small(counts=np.full((1, 8, 8, 1280), -1)), 'negative'),
        (EDXMaps(elements=GST), small(counts=np.full((1, 8, 8, 1280), np.nan)), 'not numbers'),
        (EDXMaps(elements=GST), small(counts=np.full((1, 8, 8, 1280), 0.5)), 'held-out fraction to 0'),
        (EDXMaps(elements=GST), small(counts=STROBE), 'All counts lie below 0.20 keV, in the zero-strobe peak'),
        (EDXMaps(elements=GST), small(counts=CUT_OFF), r'\d+ channels at 255, the largest number that its uint8'),
        (EDXMaps(elements=GST), small(metadata={'beam_energy': 2e5}), r'\(as eV it would be 200 keV\); give it in keV'),
        (EDXMaps(elements=GST), small(metadata={'beam_energy': 0.2}), '0.2 keV cannot be right; give it'),
        (EDXMaps(elements=('Te',)), small(metadata={'beam_energy': 8.0}), r'\d+ % of the X-rays have more energy'),
    ],
)
def test_what_cannot_be_mapped_is_reported_in_one_sentence(step, series, sentence):
    with pytest.raises(InputError, match=sentence):
        step.run(series)


def test_saturation_outside_the_fit_is_of_no_matter():
    counts = spectra_of(ramps(20.0, n=8), background=5.0, poisson=0).astype(np.uint8)
    counts[..., 24] = 255
    EDXMaps(elements=GST).run(small(counts=counts))


def test_an_empty_tilt_is_named():
    counts = spectra_of(ramps(5.0, n=8), poisson=0).repeat(3, axis=0)
    counts[2] = 0
    with pytest.raises(InputError, match='at 20°'):
        EDXMaps(elements=GST).run(series_of(counts))


def test_a_last_channel_that_collects_what_lies_beyond_is_left_out():
    """A few counts in every pixel there, beside the flank of Ge-Ka, take much of the germanium."""
    end = int(np.searchsorted(ENERGY, 9.99)) + 1
    counts = spectra_of(ramps(30.0), background=30.0, poisson=1)[..., :end]
    spoilt = counts.copy()
    spoilt[..., -1] += np.random.default_rng(2).poisson(10.0, counts.shape[:-1]).astype(np.uint16)
    totals = []
    for one in (counts, spoilt):
        series = replace(series_of(spectra_of(ramps(1.0))), counts=one, energy=ENERGY[:end])
        maps = EDXMaps(elements=GST, holdout=0).run(series)
        totals.append(maps.data.sum(axis=(1, 2, 3)))
        assert [f.about for f in maps.findings if f.about == 'last channel'] == ['last channel'] * (one is spoilt)
    np.testing.assert_allclose(totals[1], totals[0], rtol=0.01)


@pytest.mark.parametrize('step', [0.005, 0.01, 0.02, 0.04])
@pytest.mark.parametrize('before', [0.0, 0.1, 0.2, 0.25])
def test_a_line_that_the_end_of_the_range_cuts_off_is_no_overflow(step, before):
    """A million photons of Ge-K, the axis ending so far before Ka, keV."""
    energy = np.arange(0.5, 9.876 - before, step)
    counts = 1e6 * line_shape(energy, LINES['Ge_K'])[None, None, None]
    series = SpectralTiltSeries(counts, energy, np.zeros(1), 1.0, recipe=Recipe())
    whole = FitRange.of(series)
    assert without_overflow(whole, series, counts.sum(axis=(1, 2))) == (whole, ())
