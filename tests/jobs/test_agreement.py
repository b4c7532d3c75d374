from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.jobs.agreement import correlation_ceiling, with_agreement
from napari_diptomo.series import MapSeries, Volume

ANGLES = np.arange(-40.0, 41.0, 10.0)


@pytest.fixture
def volume():
    rng = np.random.default_rng(3)
    data = np.zeros((2, 24, 24, 24), np.float32)
    data[:, 8:16, 6:18, 6:18] = rng.uniform(0.2, 1.0, (2, 8, 12, 12))
    return Volume(data, ('Ge', 'Te'))


def maps_of(volume, shifts=None, axis_shift=0.0):
    beam = ParallelBeam(ANGLES, volume.data.shape[1:], shifts, axis_shift)
    return MapSeries(beam.project(volume.data), ANGLES, volume.channels, shifts=shifts, axis_shift=axis_shift)


def test_a_volume_agrees_perfectly_with_its_own_projections(volume):
    shifts = np.random.default_rng(1).uniform(-2, 2, (len(ANGLES), 2))
    notes = with_agreement(volume, maps_of(volume, shifts, 1.5)).notes
    assert notes['projection_correlation'] == {'Ge': pytest.approx(1, abs=1e-4), 'Te': pytest.approx(1, abs=1e-4)}


def test_the_truth_reaches_the_ceiling_with_noisy_counts_and_no_more(volume):
    clean = maps_of(volume)
    counts = np.random.default_rng(0).poisson(clean.data).astype(np.float32)
    notes = with_agreement(volume, replace(clean, data=counts)).notes
    for name in volume.channels:
        assert notes['correlation_ceiling'][name] == pytest.approx(notes['projection_correlation'][name], abs=0.02)
        assert notes['correlation_ceiling'][name] < 0.99


def test_the_held_out_part_gives_the_same_ceiling_as_the_halves(volume):
    clean = maps_of(volume)
    counts = np.random.default_rng(0).poisson(clean.data)
    held = np.random.default_rng(1).binomial(counts, 0.1)
    whole = replace(clean, data=counts)
    fitted = replace(whole, variance=np.maximum(counts, 1), held_out=held, held_out_share=0.1)
    np.testing.assert_allclose(correlation_ceiling(fitted), correlation_ceiling(whole), atol=0.03)


def test_maps_that_cannot_tell_have_no_ceiling(volume):
    maps = maps_of(volume)
    assert correlation_ceiling(replace(maps, variance=np.ones_like(maps.data))) is None


def test_a_volume_on_other_pixels_stays_as_it_is(volume):
    maps = maps_of(volume)
    other = Volume(volume.data[..., :-1], volume.channels)
    assert with_agreement(other, maps) is other
