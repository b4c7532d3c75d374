"""Denoised spectra: nearer to the truth than the counts, and never without their warning."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import InputError, Recipe, SpectralTiltSeries
from napari_diptomo.simulate import edx_tilt_series, lamella
from napari_diptomo.spectra import EDXMaps
from napari_diptomo.spectra.edx import denoise
from napari_diptomo.spectra.edx.denoise import Denoise

RNG = np.random.default_rng(0)


def of_two_spectra(n=40, total=20.0, tilts=2):
    """Pixels that mix two spectra with 96 channels each: expected counts and counts."""
    energy = np.linspace(0.3, 9.8, 96)
    first = np.exp(-(((energy - 2) / 0.3) ** 2)) + 0.02
    second = np.exp(-(((energy - 6) / 0.4) ** 2)) + 0.05 / energy
    y, x = np.mgrid[:n, :n] / n
    share = np.stack([0.5 + 0.5 * np.sin((3 + t) * x + 2 * y) for t in range(tilts)])[..., None]
    expected = total * (share * first / first.sum() + (1 - share) * second / second.sum())
    counts = np.random.default_rng(1).poisson(expected).astype(np.uint8)
    return SpectralTiltSeries(counts, energy, np.arange(tilts) * 10.0, 1.0, metadata={'beam_energy': 200.0}), expected


def test_two_phases_are_found_again_at_a_fraction_of_the_noise():
    series, expected = of_two_spectra()
    result = Denoise(components=2).run(series)
    error = np.asarray(result.counts) - expected
    noise = series.counts - expected
    # Two coefficients of 96 are estimated: the weighted noise that stays is 2 / 96 of what was.
    left = (error**2 / expected).mean() / (noise**2 / expected).mean()
    assert left == pytest.approx(2 / 96, rel=0.35)
    assert abs(error.mean()) < 0.01 * expected.mean()
    np.testing.assert_array_equal(result.energy, series.energy)
    assert sum(result.metadata['denoised']['explained']) <= 1


def test_blocks_of_pixels_find_the_same_components(monkeypatch):
    series, expected = of_two_spectra()
    monkeypatch.setattr(denoise, '_TABLE', 2 * 40 * 40 * 96 // 20)
    result = Denoise(components=2).run(series)
    assert result.metadata['denoised']['blocks_of_pixels'] == 5
    left = ((np.asarray(result.counts) - expected) ** 2 / expected).mean()
    assert left / ((series.counts - expected) ** 2 / expected).mean() == pytest.approx(2 / 96, rel=0.35)


def test_series_stays_lazy_and_keeps_its_counts_and_calibration():
    made = edx_tilt_series(lamella(16, 0), [-20.0, 0.0, 20.0], seed=2)
    result = Denoise(components=4, energy_binning=2).run(made.series)
    assert result.counts.chunks[0] == (1, 1, 1)
    assert result.energy[0] == pytest.approx(0.205)
    assert np.diff(result.energy) == pytest.approx(0.02)
    inside = (made.series.energy >= 0.2) & (made.series.energy < result.energy[-1] + 0.01)
    before = made.series.counts[..., inside].sum(axis=(1, 2, 3), dtype=float)
    np.testing.assert_allclose(result.counts.sum(axis=(1, 2, 3)), before, rtol=0.02)
    assert result.counts.min() >= 0


def test_the_recipe_records_that_spectra_were_denoised():
    made = edx_tilt_series(lamella(16, 0), [-20.0, 0.0, 20.0], seed=2).series
    series = SpectralTiltSeries(
        made.counts, made.energy, made.angles, made.pixel_size, metadata=made.metadata, recipe=Recipe()
    )
    result = Denoise(components=3).run(series)
    assert result.metadata['denoised']['components'] == 3
    assert Recipe.from_json(result.recipe.to_json()).steps == (Denoise(components=3),)


def test_maps_and_volumes_of_denoised_spectra_carry_the_warning():
    series = edx_tilt_series(lamella(16, 0), [-20.0, 0.0, 20.0], seed=2, peak_counts=60).series
    step = EDXMaps(elements=('Ge', 'Te'), holdout=0.0)
    plain, maps = step.run(series), step.run(Denoise(components=4).run(series))
    assert 'denoised' not in plain.notes
    assert 'errors and residuals are not those of counts' in maps.notes['denoised']
    np.testing.assert_allclose(maps.data.sum(axis=(1, 2, 3)), plain.data.sum(axis=(1, 2, 3)), rtol=0.05)
    assert SIRT(iterations=2).run(maps).notes['denoised'] == maps.notes['denoised']


@pytest.mark.parametrize(
    'counts', [np.zeros((2, 4, 4, 64), np.uint8), np.eye(64, dtype=np.uint8)[:32].reshape(2, 4, 4, 64)]
)
def test_too_few_counts_are_reported(counts):
    series = SpectralTiltSeries(counts, 0.3 + 0.1 * np.arange(64), [0.0, 1.0], 1.0)
    with pytest.raises(InputError, match='components cannot be found'):
        Denoise(components=40).run(series)
