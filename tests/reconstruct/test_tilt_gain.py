"""Gains of the tilts: recovered from the mass that all tilts share, refused where they cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.reconstruct.tilt_gain import fitted_gain
from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.simulate import lamella, tilt_series


def _drifting(seed=0, drift=0.1):
    """A lamella whose dose goes down by a tenth and scatters by a few percent."""
    sample = tilt_series(lamella(32, 10), np.arange(-40, 41, 5.0), 30, seed=1)
    rng = np.random.default_rng(seed)
    gain = 1 - drift * np.linspace(0, 1, 17) + 0.03 * rng.standard_normal(17)
    gain /= np.exp(np.log(gain).mean())
    counts = rng.poisson(sample.clean * gain[None, :, None, None])
    return replace(sample.maps, data=counts), gain, sample


def test_a_drift_of_the_dose_is_recovered_within_two_percent():
    maps, gain, _ = _drifting()
    np.testing.assert_allclose(fitted_gain(maps), gain, rtol=0.02)


def test_no_drift_gives_no_gain():
    maps, _, sample = _drifting()
    np.testing.assert_allclose(fitted_gain(sample.maps), 1, rtol=0.02)
    assert maps.gain is None


def test_shifted_images_lose_rows_not_gain():
    """Rows that leave the field with the shift are no missing dose."""
    body = np.zeros((1, 24, 24, 24), np.float32)
    body[:, 8:16, 2:22, 7:17] = 20.0
    angles = np.arange(-40, 41, 10.0)
    shifts = np.stack([np.linspace(-6, 6, 9), np.linspace(2, -2, 9)], axis=1)
    gain = np.linspace(0.95, 1.05, 9)
    data = ParallelBeam(angles, (24, 24, 24), shifts).project(body) * gain[None, :, None, None]
    maps = MapSeries(np.random.default_rng(0).poisson(data), angles, ('A',), shifts=shifts)
    np.testing.assert_allclose(fitted_gain(maps), gain / np.exp(np.log(gain).mean()), rtol=0.02)


def test_background_is_not_taken_for_signal():
    maps, gain, sample = _drifting()
    background = np.full_like(sample.clean, 3.0)
    counts = np.random.default_rng(2).poisson(sample.clean * gain[None, :, None, None] + background)
    maps = replace(maps, data=counts, background=background)
    np.testing.assert_allclose(fitted_gain(maps), gain, rtol=0.02)


def test_the_fitted_gain_brings_sirt_nearer_the_truth_and_is_recorded():
    maps, gain, sample = _drifting(drift=0.4)
    plain, fitted = (SIRT(iterations=30, fit_gain=fit).run(maps) for fit in (False, True))
    error = [np.square(volume.data - sample.truth.data).mean() for volume in (plain, fitted)]
    assert error[1] < error[0]
    np.testing.assert_allclose(fitted.notes['gain'], gain, rtol=0.02)
    assert 'gain' not in plain.notes


def test_a_specimen_that_extends_outside_is_refused(maps):
    film = 10 / np.cos(np.deg2rad(maps.angles))[None, :, None, None] + np.zeros_like(maps.data)
    wide = replace(maps, data=np.random.default_rng(0).poisson(film))
    with pytest.raises(InputError, match='extends beyond the images'):
        SIRT(iterations=1, fit_gain=True).run(wide)
    with pytest.raises(InputError, match='beyond the field'):
        SIRT(fit_gain=True, beyond_field=True)


def test_a_gain_that_the_maps_bring_is_kept():
    maps, gain, _ = _drifting()
    known = replace(maps, gain=np.tile(gain, (3, 1)))
    np.testing.assert_allclose(fitted_gain(known), 1, rtol=0.02)
    estimated = SIRT(iterations=1, fit_gain=True).run(known).notes['gain']
    np.testing.assert_allclose(estimated, gain, rtol=0.02)


def test_a_tilt_without_counts_is_named(maps):
    data = maps.data.copy()
    data[:, 3] = 0
    with pytest.raises(InputError, match='tilt at -10°'):
        SIRT(iterations=1, fit_gain=True).run(replace(maps, data=data))
