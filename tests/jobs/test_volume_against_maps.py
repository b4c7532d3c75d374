from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.jobs.volume_against_maps import compared_with_maps, correlation_ceiling
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.reconstruct.grid import volume_shape
from napari_diptomo.series import MapSeries, Recipe, Volume

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
    notes = compared_with_maps(volume, maps_of(volume, shifts, 1.5)).notes
    assert notes['projection_correlation'] == {'Ge': pytest.approx(1, abs=1e-4), 'Te': pytest.approx(1, abs=1e-4)}


def test_the_truth_reaches_the_ceiling_with_noisy_counts_and_no_more(volume):
    clean = maps_of(volume)
    counts = np.random.default_rng(0).poisson(clean.data).astype(np.float32)
    notes = compared_with_maps(volume, replace(clean, data=counts)).notes
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


def test_maps_without_a_noise_estimate_have_no_ceiling(volume):
    maps = maps_of(volume)
    assert correlation_ceiling(replace(maps, variance=np.ones_like(maps.data))) is None


def test_a_volume_on_other_pixels_stays_as_it_is(volume):
    maps = maps_of(volume)
    other = Volume(volume.data[..., :-1], volume.channels)
    assert compared_with_maps(other, maps) is other


def windows_of(volume, level=1.0):
    mixing = np.array([[0.7, 0.1], [0.2, 0.5], [0.0, 0.3]], np.float32)
    clean = maps_of(volume)
    data = level * np.einsum('wc,ctyx->wtyx', mixing, clean.data) + 0.1
    return replace(clean, data=data, mixing=mixing, background=np.full(data.shape, 0.1, np.float32))


def test_windows_agree_as_the_elements_they_stand_for(volume):
    notes = compared_with_maps(volume, windows_of(volume)).notes
    assert notes['projection_correlation'] == {'Ge': pytest.approx(1, abs=1e-4), 'Te': pytest.approx(1, abs=1e-4)}


@pytest.mark.parametrize('share', [0.0, 0.2])
def test_windows_of_counts_have_the_ceiling_that_the_truth_reaches(volume, share):
    clean = windows_of(volume)
    counts = np.random.default_rng(0).poisson(clean.data)
    held = np.random.default_rng(1).binomial(counts, share) if share else None
    notes = compared_with_maps(volume, replace(clean, data=counts, held_out=held, held_out_share=share)).notes
    for name in volume.channels:
        assert notes['correlation_ceiling'][name] == pytest.approx(notes['projection_correlation'][name], abs=0.03)
        assert notes['correlation_ceiling'][name] < 0.97


@pytest.fixture
def lamella():
    """A film wider than the images: what is kept of it, and the maps of all of it."""
    rng = np.random.default_rng(5)
    step = SIRT(thickness=8.0, beyond_field=True)
    blank = MapSeries(np.ones((2, len(ANGLES), 24, 32)), ANGLES, ('Ge', 'Te'), pixel_size=1.0)
    nz, ny, nx = volume_shape(blank, step.thickness, step.beyond_field)
    whole = ndimage.gaussian_filter(rng.uniform(0, 6, (2, nz, ny, nx)), (0, 2, 2, 2)).astype(np.float32)
    # Much more matter outside the field than inside.
    spare = (nx - 32) // 2
    whole[..., :spare] *= 5
    shifts = rng.uniform(-2, 2, (len(ANGLES), 2))
    beam = ParallelBeam(ANGLES, (nz, ny, nx), shifts, 1.0, columns=32)
    maps = replace(blank, data=beam.project(whole), shifts=shifts, axis_shift=1.0)
    kept = Volume(whole[..., spare : spare + 32].copy(), maps.channels, recipe=Recipe().then(step))
    return kept, maps


def test_matter_beyond_the_field_does_not_spoil_the_agreement_of_the_truth(lamella):
    kept, maps = lamella
    notes = compared_with_maps(kept, maps).notes
    assert notes['projection_correlation'] == {'Ge': pytest.approx(1, abs=1e-3), 'Te': pytest.approx(1, abs=1e-3)}
    assert 0.5 < notes['compared_pixels'] < 0.95
    blind = compared_with_maps(replace(kept, recipe=None), maps).notes
    assert blind['projection_correlation']['Ge'] < 0.9


def test_the_ceiling_beyond_the_field_is_that_of_the_compared_pixels(lamella):
    kept, maps = lamella
    counts = np.random.default_rng(0).poisson(maps.data)
    notes = compared_with_maps(kept, replace(maps, data=counts)).notes
    for name in kept.channels:
        assert notes['correlation_ceiling'][name] == pytest.approx(notes['projection_correlation'][name], abs=0.03)


def test_multiples_of_counts_have_the_ceiling_of_the_counts(volume):
    clean = maps_of(volume)
    counts = np.random.default_rng(0).poisson(5 * clean.data).astype(np.float32)
    one, ten = (compared_with_maps(volume, replace(clean, data=counts * factor)).notes for factor in (1, 10))
    assert one['correlation_ceiling'] == ten['correlation_ceiling']


def test_the_truth_is_not_accused_of_fitted_noise_and_a_fit_of_the_counts_is(volume):
    clean = maps_of(volume)
    for seed in range(4):
        maps = replace(clean, data=np.random.default_rng(seed).poisson(5 * clean.data).astype(np.float32))
        assert not compared_with_maps(volume, maps).findings
    fitted = compared_with_maps(SIRT(iterations=200).run(maps), maps)
    (doubt,) = [f for f in fitted.findings if f.about == 'fitted noise']
    assert doubt.level == 'doubt'
    assert doubt.evidence['above the ceiling'] > 3 * doubt.evidence['standard error']


def test_a_fit_that_held_out_counts_chose_gets_a_note_on_noise_and_no_doubt(volume):
    clean = maps_of(volume)
    maps = replace(clean, data=np.random.default_rng(5).poisson(5 * clean.data).astype(np.float32))
    fitted = compared_with_maps(SIRT(iterations=100, holdout=0.1).run(maps), maps)
    assert {f.level for f in fitted.findings if f.about == 'fitted noise'} <= {'note'}


def test_outlier_pixels_are_not_compared(volume):
    clean = maps_of(volume)
    counts = np.random.default_rng(0).poisson(clean.data).astype(np.float32)
    spoilt = counts.copy()
    spoilt[0, 4, 11, 12] = 1e6
    expected, found = (compared_with_maps(volume, replace(clean, data=data)).notes for data in (counts, spoilt))
    for key in ('projection_correlation', 'correlation_ceiling'):
        for name in volume.channels:
            assert found[key][name] == pytest.approx(expected[key][name], abs=0.01)
    assert found['compared_pixels'] < expected['compared_pixels']
