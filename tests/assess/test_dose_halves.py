"""Two halves of a dose: reduction under the beam is found and extrapolated, none is no alarm, drift is distinguished from it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo import EELSOxidationMaps, simulate
from napari_diptomo.assess import dose_halves
from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.standards import find_standards

CHANNELS = ('FeO', 'Fe3O4')


def half(reduced, seed, moved=(0, 0), dose=1.0, size=40):
    """Counts of a disc of Fe3O4 with a core of FeO, a share of it reduced in its upper part."""
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    y, x = y - moved[0], x - moved[1]
    disc = 1 / (1 + np.exp((np.hypot(y, x) - 14) / 0.7))
    core = disc / (1 + np.exp((np.hypot(y, x) - 7) / 0.7))
    fe3o4 = disc - 0.6 * core
    lost = reduced * fe3o4 * (y < 0)
    clean = dose * 60 * np.stack([0.6 * core + lost, fe3o4 - lost])[:, None] + 1e-3
    counts = np.random.default_rng(seed).poisson(np.repeat(clean, 2, axis=1)).astype(float)
    return MapSeries(counts, [0.0, 10.0], CHANNELS), clean


def test_reduction_is_found_where_it_is_and_extrapolated_to_no_dose():
    # Proportional to the dose: 5 % in the middle of the first half, 15 % in the middle of the second.
    (first, before), (second, after) = half(0.05, 0), half(0.15, 1, dose=1.3)
    found = dose_halves(first, second)
    undamaged = half(0.0, 0)[1]
    shares = [float(one[0].sum() / one.sum()) for one in (before, after, undamaged)]
    np.testing.assert_allclose(found.shares[0], shares, atol=0.012)
    assert [finding.level for finding in found.findings] == ['doubt']
    assert 'FeO' in found.findings[0].sentence or 'Fe3O4' in found.findings[0].sentence
    assert found.total == pytest.approx(1.3, abs=0.03)
    upper, lower = found.change[0, :, 8:18, 12:28], found.change[0, :, 22:32, 12:28]
    assert np.nanmean(upper) > 0.05
    assert abs(np.nanmean(lower)) < 0.01


def test_without_damage_the_change_is_noise_of_the_error_that_is_named():
    z, pixels = [], []
    for seed in range(12):
        found = dose_halves(half(0.0, 2 * seed)[0], half(0.0, 2 * seed + 1)[0])
        assert [finding.level for finding in found.findings] == ['note']
        z.append((found.shares[0, 1] - found.shares[0, 0]) / found.share_error[0])
        # Of the core: where a channel has no counts at all, half a count is taken for its variance.
        pixels.append((found.change / found.error)[0, :, 16:24, 16:24].ravel())
    assert np.std(z) < 1.6
    assert 0.8 < np.std(np.concatenate(pixels)) < 1.1


def test_drift_is_no_damage():
    found = dose_halves(half(0.0, 0)[0], half(0.0, 1, moved=(1.5, -2.0))[0])
    assert [(finding.level, finding.about) for finding in found.findings] == [
        ('note', 'damage by the beam'),
        ('doubt', 'drift within a tilt'),
    ]
    np.testing.assert_allclose(found.displacement, [[1.5, -2.0]] * 2, atol=0.25)


def test_oxidation_maps_of_a_simulated_stack_show_reduction():
    step = EELSOxidationMaps(background='power law', deliver='maps')

    def calibrated(film):
        cube = simulate.oxide_nanocube(26, film=film, ligand=1.0)
        return calibrate(simulate.eels_tilt_series(cube, [0.0], edge_counts=1e4, read_noise=0.0, seed=5).series)

    variation, grown = calibrated(1.0), calibrated(2.0)
    standards = find_standards(variation)
    found = dose_halves(step.maps(variation, standards), step.maps(grown, standards))
    assert found.findings[0].level == 'doubt'
    assert found.shares[0, 1] - found.shares[0, 0] > 0.05


def test_maps_that_do_not_go_together_are_refused():
    first, _ = half(0.0, 0)
    with pytest.raises(InputError, match='same channels'):
        dose_halves(first, half(0.0, 1, size=32)[0])
    with pytest.raises(InputError, match='other tilts'):
        dose_halves(first, MapSeries(first.data, [0.0, 20.0], CHANNELS))
    with pytest.raises(InputError, match='no share'):
        dose_halves(*[MapSeries(first.data[:1], first.angles, CHANNELS[:1])] * 2)
    with pytest.raises(InputError, match='no pixels'):
        dose_halves(*[MapSeries(0 * first.data, first.angles, CHANNELS)] * 2)
