"""A bad voxel of EDX spectra: left out and named; lines, strobe peaks and small bright particles are left alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import dask.array as da
import numpy as np
import pytest
from scipy import sparse

from napari_diptomo import EDXMaps
from napari_diptomo.series import InputError
from napari_diptomo.simulate import edx_tilt_series, lamella
from napari_diptomo.spectra.common import spikes
from napari_diptomo.spectra.common.spikes import Spike
from napari_diptomo.spectra.common.tilt_counts import counts_of

ELEMENTS = ('Ge', 'Sb', 'Te')
ANGLES = np.arange(-20, 21, 10.0)


def without_spikes(spectra, tilt):
    """Of spectra (y, x, energy)."""
    matrix = sparse.csr_matrix(spectra.reshape(-1, spectra.shape[-1]))
    corrected, found = spikes.without_spikes(matrix, spectra.shape[:2], tilt)
    return (corrected.toarray().reshape(spectra.shape) if found else spectra), found


@pytest.fixture(scope='module')
def simulated():
    return edx_tilt_series(lamella(size=16), ANGLES, peak_counts=40, seed=1, channels=1024)


@pytest.fixture(scope='module')
def counts(simulated) -> np.ndarray:
    return np.asarray(simulated.series.counts).astype(np.uint16)


def with_spikes(simulated, counts, spikes: dict):
    spoilt = counts.copy()
    for place, value in spikes.items():
        spoilt[place] = value
    return replace(simulated.series, counts=da.from_array(spoilt))


@pytest.fixture(scope='module')
def clean_maps(simulated, counts):
    """Gives the maps of the spectra as they were simulated."""
    return cache(lambda step: step.run(with_spikes(simulated, counts, {})))


@pytest.mark.parametrize('deliver', ['fitted maps', 'window counts'])
@pytest.mark.parametrize(
    'spikes',
    [
        {(2, 5, 5, 190): 60000},
        {(2, 5, 5, 360): 60000},
        {(0, 0, 0, 400): 5000, (4, 15, 15, 300): 800, (1, 0, 7, 120): 65535},
        {(3, 6, 2, 370): 30000, (3, 6, 2, 371): 20000},
        {(2, 8, 8, 400 + k): 3000 for k in range(3)},
        {(2, 8, 8, 350 + k): value for k, value in enumerate((400, 5000, 5000, 900))},
    ],
    ids=['beside the lines', 'in a line of Sb', 'borders', 'two channels wide', 'three channels wide', 'four'],
)
def test_totals_are_those_without_the_spike(simulated, counts, clean_maps, spikes, deliver):
    step = EDXMaps(elements=ELEMENTS, deliver=deliver)
    clean = clean_maps(step)
    spoilt = step.run(with_spikes(simulated, counts, spikes))
    np.testing.assert_allclose(spoilt.data.sum((1, 2, 3)), clean.data.sum((1, 2, 3)), rtol=0.02)
    np.testing.assert_allclose(spoilt.data, clean.data, atol=3)
    assert 'spikes in the spectra' not in [f.about for f in clean.findings]
    finding = next(f for f in spoilt.findings if f.about == 'spikes in the spectra')
    assert finding.evidence['spikes'] == len(spikes)
    (t, y, x, k), value = max(spikes.items(), key=lambda item: item[1])
    energy = simulated.series.energy[k]
    assert f'{ANGLES[t]:g}°, pixel y {y}, x {x}, {energy:.3f} keV: {value} counts' in finding.sentence


def test_the_data_of_the_user_stay_as_they_are(counts):
    spoilt = counts[0].copy()
    spoilt[4, 4, 500] = 9999
    before = spoilt.copy()
    corrected, found = without_spikes(spoilt, 7)
    assert found == [Spike(7, 4, 4, 500, 9999.0)]
    np.testing.assert_array_equal(spoilt, before)
    assert corrected[4, 4, 500] == np.sort(np.delete(before[3:6, 3:6, 500].ravel(), 4))[3]
    assert without_spikes(counts[0], 0)[0] is not corrected
    assert without_spikes(counts[0], 0)[1] == []


def test_a_line_in_one_pixel_and_a_strobe_peak_in_all_are_no_spikes():
    rng = np.random.default_rng(0)
    expected = np.full((8, 8, 512), 0.05)
    line = np.exp(-(((np.arange(512) - 200) / 4.0) ** 2) / 2)
    expected[3, 3] += 300 * line
    expected[..., 48] += 2000
    assert without_spikes(rng.poisson(expected), 0)[1] == []


def test_counts_of_wide_channels_are_left_alone(simulated, counts):
    """A line can lie in one channel of 50 eV."""
    series = with_spikes(simulated, counts, {(2, 5, 5, 190): 60000})
    wide = replace(series, energy=series.energy * 5)
    counts_of(wide).read()
    assert counts_of(wide).spikes == []
    counts_of(series).read()
    assert len(counts_of(series).spikes) == 1


@pytest.mark.parametrize('value', [np.nan, np.inf, -1.0, -60000.0])
@pytest.mark.parametrize('deliver', ['fitted maps', 'window counts'])
def test_one_value_that_is_no_count_costs_one_channel_of_one_pixel(simulated, counts, clean_maps, value, deliver):
    step = EDXMaps(elements=ELEMENTS, deliver=deliver)
    clean = clean_maps(step)
    found = step.run(with_spikes(simulated, counts.astype(float), {(2, 5, 6, 370): value}))
    np.testing.assert_allclose(found.data.sum(axis=(1, 2, 3)), clean.data.sum(axis=(1, 2, 3)), rtol=2e-3)
    (note,) = [finding for finding in found.findings if finding.about == 'values that are no counts']
    assert '1 value of the spectra is no count (0°, pixel y 5, x 6, 3.460 keV' in note.sentence


@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_a_pixel_that_is_full_in_all_channels_costs_one_pixel(simulated, counts, clean_maps, kind):
    """As a dropped packet leaves it; one refused the whole series, as if its photons had been cut off."""
    clean = clean_maps(EDXMaps(elements=ELEMENTS))
    spoilt = counts.astype(kind)
    spoilt[2, 5, 6, :] = np.iinfo(kind).max
    found = EDXMaps(elements=ELEMENTS).run(replace(simulated.series, counts=spoilt))
    others = np.ones(found.data.shape[1:], bool)
    others[2, 5, 6] = False
    np.testing.assert_allclose(found.data[:, others].sum(axis=1), clean.data[:, others].sum(axis=1), rtol=2e-3)
    assert found.data[:, 2, 5, 6].sum() < 10 * clean.data[:, 2, 4:7, 5:8].sum(axis=0).max()
    (note,) = [finding for finding in found.findings if finding.about == 'values that are no counts']
    assert f'pixel y 5, x 6, {simulated.series.energy[0]:.3f} keV: {np.iinfo(kind).max}' in note.sentence
    spoilt[2, 5:7, 4:8, :] = np.iinfo(kind).max
    with pytest.raises(InputError, match='photons are lost'):
        EDXMaps(elements=ELEMENTS).run(replace(simulated.series, counts=spoilt))


def test_more_than_a_few_negative_values_are_a_fault_of_the_file(simulated, counts):
    spoilt = counts.astype(float)
    spoilt[1, :2, :, 200] = -3.0
    with pytest.raises(InputError, match='Image 2 holds negative counts'):
        EDXMaps(elements=ELEMENTS).run(replace(simulated.series, counts=spoilt))
