"""Totals per tilt: what a projection can do, what is stray, and the gain of the detectors."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.simulate import demo_series
from napari_diptomo.spectra import EDXMaps
from napari_diptomo.spectra.edx.totals import check_totals, measure_gain, with_gain

ANGLES = np.arange(-60.0, 61.0, 10.0)
SHADOW = 1 - 0.35 * np.exp(-(((np.abs(ANGLES) - 18) / 12) ** 2))
SLAB = 1 / np.cos(np.radians(ANGLES))


def totals_of(*rows, seed=0):
    return np.random.default_rng(seed).poisson(np.array(rows)).astype(float)


def maps_of(*rows, names=('Ge', 'Sb', 'Te', 'Cu'), seed=0):
    counts = np.array(rows)[:, :, None, None] * np.full((16, 16), 1 / 256)
    data = np.random.default_rng(seed).poisson(counts).astype(np.float32)
    return MapSeries(data, ANGLES, names[: len(rows)])


@pytest.mark.parametrize('path', [np.ones(13), SLAB])
@pytest.mark.parametrize('shadow', [np.ones(13), SHADOW])
def test_projections_behave_whatever_the_detectors_see(path, shadow):
    course = path * shadow
    found = check_totals(totals_of(2e4 * course, 6e4 * course, 1e4 * course), ANGLES, ('Ge', 'Sb', 'Te'))
    assert all(t.behaves for t in found)
    assert all(t.rise == pytest.approx(1, abs=0.08) for t in found)
    assert found[0].sentence == 'Ge behaves like a projection of the specimen.'


def test_what_rises_with_the_tilt_is_stray_and_its_rise_is_reported():
    rise = 1 + 4.6 * (np.abs(ANGLES) / 60) ** 2
    rows = totals_of(2e4 * SLAB, 6e4 * SLAB, 1e6 * rise, 3e4 * SLAB)
    found = check_totals(rows, ANGLES, ('Ge', 'Sb', 'Ti_K', 'Te'))
    assert [t.behaves for t in found] == [True, True, False, True]
    assert 'Ti-K rises 5.6 times from 0° to -60°' in found[2].sentence
    assert '°: a projection of the specimen cannot' in found[2].sentence
    np.testing.assert_allclose(found[0].expected, 2e4 * SLAB, rtol=0.06)


def test_stray_families_alone_do_not_pass_for_a_slab():
    found = check_totals(totals_of(1e4 * SLAB**3, 2e4 * SLAB**3), ANGLES, ('Ti', 'Cu'))
    assert not any(t.behaves for t in found)


def test_a_family_that_rises_on_one_side_only_is_stray():
    one_side = 1 + 3 * np.clip(-ANGLES / 60, 0, 1) ** 2
    found = check_totals(totals_of(2e4 * np.ones(13), 3e4 * np.ones(13), 1e4 * one_side), ANGLES, ('Ge', 'Sb', 'Cu'))
    assert [t.behaves for t in found] == [True, True, False]
    assert '-60°' in found[2].sentence


def test_noise_is_not_called_stray():
    rng = np.random.default_rng(3)
    rows = np.vstack([2e4 * np.ones((2, 13)), rng.normal(0, 40, (6, 13))])
    errors = np.vstack([np.full((2, 13), 150.0), np.full((6, 13), 40.0)])
    found = check_totals(rows, ANGLES, [f'E{i}' for i in range(8)], errors)
    assert all(t.behaves for t in found)


def test_a_family_that_takes_from_its_neighbours_is_too_weak_to_judge():
    # Sulphur beside the platinum of a strap: below nothing at some tilts, risen at others.
    sulphur = np.array([600, 200, -390, -500, -450, -310, -200, 500, 970, 1300, 1700, 2400, 2800], float)
    rows = np.vstack([totals_of(2e4 * SLAB, 6e4 * SLAB), sulphur])
    errors = np.vstack([np.full((2, 13), 250.0), np.full(13, 120.0)])
    found = check_totals(rows, ANGLES, ('O_K', 'Si_K', 'S_K'), errors)
    assert [t.behaves for t in found] == [True, True, True]
    assert [t.weak for t in found] == [False, False, True]
    assert found[2].sentence.startswith('S-K is too weak (5')
    assert 'to judge' in found[2].sentence


def test_totals_no_larger_than_their_errors_are_too_weak_to_judge():
    rows = np.vstack([totals_of(2e4 * SLAB, 6e4 * SLAB), 100 * SLAB**3])
    errors = np.vstack([np.full((2, 13), 250.0), np.full(13, 200.0)])
    found = check_totals(rows, ANGLES, ('O', 'Si', 'S'), errors)[2]
    assert found.weak
    assert 'rises' not in found.sentence


def test_what_is_nothing_at_low_tilt_and_strong_at_high_tilt_is_stray():
    holder = 5e3 * np.clip((np.abs(ANGLES) - 30) / 30, 0, 1)
    rows = np.vstack([totals_of(2e4 * SLAB, 6e4 * SLAB), holder + np.random.default_rng(5).normal(0, 40, 13)])
    errors = np.vstack([np.full((2, 13), 250.0), np.full(13, 40.0)])
    found = check_totals(rows, ANGLES, ('O', 'Si', 'Al'), errors)[2]
    assert not found.behaves
    assert not found.weak


def test_an_element_is_judged_by_its_best_family():
    rise = 1 + 6 * (np.abs(ANGLES) / 60) ** 2
    rows = totals_of(2e4 * SLAB, 3e3 * SLAB, 250 * rise, 9e4 * rise, 2e3 * SLAB)
    found = check_totals(rows, ANGLES, ('O_K', 'Co_K', 'Co_L', 'Ti_K', 'Ti_L'))
    assert [t.behaves for t in found] == [True, True, True, False, True]
    assert found[2].weak
    assert found[2].sentence.startswith('Co-L rises with the tilt, but Co-K')


@pytest.mark.parametrize(('specimen', 'path'), [('isolated', np.ones(13)), ('slab', SLAB)])
def test_simulated_shadowing_comes_back_within_two_per_cent(specimen, path):
    course = path * SHADOW
    stray = 5e4 * (1 + 5 * (np.abs(ANGLES) / 60) ** 2)
    maps = maps_of(2e4 * course, 6e4 * course, 3e4 * course, stray)
    assert [t.behaves for t in check_totals(maps)] == [True, True, True, False]
    gain = measure_gain(maps, specimen)
    assert gain.mean() == pytest.approx(1)
    np.testing.assert_allclose(gain, SHADOW / SHADOW.mean(), rtol=0.02)


def test_no_shadow_gives_no_gain():
    np.testing.assert_allclose(measure_gain(maps_of(4e4 * np.ones(13), 6e4 * np.ones(13))), 1, atol=0.012)


def test_stray_signal_alone_measures_no_gain():
    with pytest.raises(InputError, match='None of Ge, Sb behaves like a projection'):
        measure_gain(maps_of(1e4 * SLAB**3, 2e4 * SLAB**3))


def test_names_must_fit():
    with pytest.raises(InputError, match='do not fit 1 families at 13 tilts'):
        check_totals(np.ones((2, 13)), ANGLES, ('Ge',))


def test_the_gain_goes_with_the_maps_measured_or_by_hand():
    maps = maps_of(4e4 * SHADOW, 6e4 * SHADOW)
    assert with_gain(maps) is maps
    measured = with_gain(maps, 'isolated')
    np.testing.assert_allclose(measured.gain[1], SHADOW / SHADOW.mean(), rtol=0.02)
    np.testing.assert_array_equal(measured.data, maps.data)
    assert len(measured.notes['gain']) == 13
    given = with_gain(maps, 'isolated', tuple(2 * SHADOW))
    np.testing.assert_allclose(given.gain[0], SHADOW / SHADOW.mean(), rtol=1e-5)


def test_wrong_gains_are_reported():
    maps = maps_of(4e4 * SHADOW, 6e4 * SHADOW)
    with pytest.raises(InputError, match='2 gains for 13 tilts'):
        with_gain(maps, by_hand=(1.0, 1.0))
    with pytest.raises(InputError, match='positive'):
        with_gain(maps, by_hand=(0.0,) * 13)


def test_edx_maps_carry_the_gain_given_by_hand():
    simulated = demo_series(0, size=16).series
    gains = tuple(1.0 + 0.01 * t for t in range(len(simulated.angles)))
    maps = EDXMaps(elements=('Ge', 'Sb', 'Te'), holdout=0, gain=gains).run(simulated)
    np.testing.assert_allclose(maps.gain[2], np.array(gains) / np.mean(gains), rtol=1e-5)


def test_window_counts_carry_the_gain_too():
    simulated = demo_series(0, size=16).series
    gains = tuple(1.0 + 0.01 * t for t in range(len(simulated.angles)))
    windows = EDXMaps(elements=('Ge', 'Sb', 'Te'), deliver='window counts', gain=gains).run(simulated)
    np.testing.assert_allclose(windows.gain[0], np.array(gains) / np.mean(gains), rtol=1e-5)
