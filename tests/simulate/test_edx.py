"""Simulated EDX spectra: the counts that were asked for, where they belong, and the truth that goes with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError
from napari_diptomo.simulate import (
    counts_from_dose,
    demo_series,
    edx_tilt_series,
    eels_phantom,
    lamella,
    line_shape,
    true_k_factors,
)
from napari_diptomo.simulate.edx_emission import transmission

ANGLES = np.array([-40.0, 0.0, 40.0])


@pytest.fixture(scope='module')
def simulated():
    return edx_tilt_series(lamella(24, 0), ANGLES, seed=1)


def window(simulated, low, high):
    """Counts between two energies (keV), per tilt."""
    energy = simulated.series.energy
    return simulated.series.counts[..., (energy >= low) & (energy < high)].sum(axis=(1, 2, 3), dtype=float)


def test_line_shape_has_the_width_of_the_detector():
    energy = np.arange(0, 12, 0.01)
    for centre, fwhm in ((1.19, 0.072), (3.60, 0.106), (9.89, 0.164)):
        shape = line_shape(energy, ((centre, 1.0),))
        assert shape.sum() == pytest.approx(1)
        spread = np.sqrt((shape * (energy - centre) ** 2).sum())
        assert 2.3548 * spread == pytest.approx(fwhm, rel=0.02)


def test_energies_hold_the_families_asked_for(simulated):
    clean = simulated.clean.sum(axis=(2, 3))
    # Ge-Kb stands alone: 0.1322 of 1.1322 of the family, on a thin background.
    beta = window(simulated, 10.75, 11.25) - window(simulated, 11.4, 11.9)
    expected = clean[0] * 0.1322 / 1.1322
    np.testing.assert_allclose(beta, expected, atol=5 * np.sqrt(expected.max() * 3))


def test_stray_copper_rises_with_tilt(simulated):
    copper = window(simulated, 7.85, 8.25) - window(simulated, 7.35, 7.75)
    assert copper[0] / copper[1] == pytest.approx(3, rel=0.35)


def test_zero_peak_has_its_counts(simulated):
    assert window(simulated, -0.1, 0.08)[0] == pytest.approx(2.0 * 24 * 24, rel=0.1)


def test_truth_projects_to_the_expected_counts(simulated):
    projected = ParallelBeam(ANGLES, (24, 24, 24)).project(simulated.truth.data)
    np.testing.assert_allclose(projected[:, 1], simulated.clean[:, 1], rtol=1e-3, atol=1e-3)
    assert simulated.clean.max() == pytest.approx(30, rel=1e-5)


def test_images_show_mass_thickness(simulated):
    atoms = simulated.clean / np.array([0.42, 1.0, 0.87])[:, None, None, None]
    mass = np.tensordot(np.array([32.0, 51.0, 52.0]) ** 1.7, atoms, axes=1)
    assert np.corrcoef(mass.ravel(), simulated.series.haadf.ravel())[0, 1] > 0.98


def test_demo_is_jittered_and_repeats():
    demo, again = demo_series(2, size=16), demo_series(2, size=16)
    np.testing.assert_array_equal(demo.series.counts, again.series.counts)
    assert demo.series.counts.shape == (17, 16, 16, 1280)
    assert 1.0 < np.abs(demo.shifts).max() <= 2.0
    assert demo.series.pixel_size == 2.0


@pytest.mark.parametrize(
    ('tilts', 'known'),
    [
        (1, {'Ge_K': 2.7, 'Ge_L': 5.7, 'Sb_L': 6.4, 'Te_L': 14}),
        (17, {'Ge_K': 0.16, 'Ge_L': 0.34, 'Sb_L': 0.38, 'Te_L': 0.83}),
    ],
)
def test_both_readings_of_the_published_dose(tilts, known):
    """50 nm of Ge2Sb2Te5, 2e5 e-/A^2 per tilt or over 17 tilts, pixels of 1 nm: counts calculated elsewhere."""
    counts = counts_from_dose(
        {'Ge': 2, 'Sb': 2, 'Te': 5}, density=5.87, thickness=50, dose=2e5, pixel_size=1.0, tilts=tilts
    )
    assert counts == pytest.approx(known, rel=0.05)


def test_a_dose_gives_the_counts_of_its_film():
    """A film of even Ge2Sb2Te5 in the phantom holds what the formula says, less what is absorbed."""
    film = lamella(16, 0, voxel_size=3.0)
    fine = np.zeros_like(film.fine)
    fine[:, 8:24] = np.array([2, 2, 5], np.float32)[:, None, None, None] / 9
    made = edx_tilt_series(replace(film, fine=fine), [0.0], dose=1e4, haadf_noise=0.0)
    expected = counts_from_dose({'Ge': 2, 'Sb': 2, 'Te': 5}, density=5.87, thickness=24, dose=1e4, pixel_size=3.0)
    kept = made.clean[:, 0, 8, 8] / [expected[name] for name in ('Ge_K', 'Sb_L', 'Te_L')]
    # Half of 24 nm at 18 degrees take-off, 5.87 g/cm^3, with 132, 416 and 369 cm^2/g.
    path = 5.87 * 12e-7 / np.sin(np.deg2rad(18))
    np.testing.assert_allclose(kept, np.exp(-np.array([132, 416, 369]) * path), rtol=0.01)
    np.testing.assert_allclose(
        made.truth.data[:, 8, 8, 8] * 8, [expected[n] for n in ('Ge_K', 'Sb_L', 'Te_L')], rtol=0.01
    )


@pytest.mark.parametrize(('energy', 'losses'), [(1.188, (0.22, 0.39)), (3.605, (0.02, 0.04)), (0.5249, (0.16, 0.29))])
def test_soft_lines_lose_as_calculated(energy, losses):
    """Losses of Ge-L, Sb-L and O-K from 50 and 100 nm of Ge2Sb2Te5 at 18 degrees take-off."""
    thickness = 5.87 * np.array([50e-7, 100e-7])
    np.testing.assert_allclose(1 - transmission(energy, thickness, 18.0), losses, atol=0.012)


def test_true_factors_give_the_composition_of_the_phantom():
    phantom = lamella(16, 0)
    counts = edx_tilt_series(phantom, [0.0]).truth.data.sum(axis=(1, 2, 3), dtype=float)
    weights = np.array([72.63, 121.76, 127.60])
    atoms = counts * true_k_factors(phantom.channels) / weights
    expected = phantom.truth.data.sum(axis=(1, 2, 3), dtype=float)
    np.testing.assert_allclose(atoms / atoms.sum(), expected / expected.sum(), rtol=1e-4)


def test_detectors_are_shadowed_at_the_take_off_angle():
    angles = np.arange(-36.0, 37.0, 6.0)
    made = edx_tilt_series(lamella(16, 0), angles, shadow=0.4, stray_copper=0.0, seed=2)
    assert set(angles[np.argsort(made.gain)[:2]]) == {-18.0, 18.0}
    assert made.gain.min() == pytest.approx(0.6)
    assert made.gain[[0, 6, 12]] == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(
        made.clean.sum(axis=(2, 3)) / made.gain, np.tile(made.clean.sum(axis=(2, 3))[:, 6:7], 13), rtol=2e-3
    )
    # The truth is the specimen itself, without the shadow.
    assert made.truth.data.sum() == pytest.approx(made.clean[:, 6].sum(), rel=2e-3)
    counted = window(made, 3.3, 5.0)
    expected = made.gain / made.gain[6] * counted[6]
    np.testing.assert_allclose(counted, expected, atol=5 * np.sqrt(counted.max()))


def test_stray_signal_is_that_of_the_measured_series():
    """openNCEM: Ti 18.0k, 101k, 65k and Cu 27k, 86k, 70k counts at 0, -40 and +35 degrees."""
    stray = edx_tilt_series(lamella(16, 0), [-40.0, 0.0, 35.0], stray_titanium=1.8, stray_copper=2.7).stray
    np.testing.assert_allclose(stray['Ti'] * 1e4, [101e3, 18.0e3, 65e3], rtol=0.17)
    np.testing.assert_allclose(stray['Cu'] * 1e4, [86e3, 27e3, 70e3], rtol=0.07)


def test_escape_and_sum_peaks_lie_where_they_must():
    only_sb = replace(lamella(16, 3), channels=('Sb', 'Te', 'Ge'))
    only_sb = replace(only_sb, fine=only_sb.fine * np.array([1, 0, 0], np.float32)[:, None, None, None])
    plain = {'background': 0.0, 'stray_copper': 0.0, 'zero_peak': 0.0, 'peak_counts': 400.0, 'seed': 4}
    made = edx_tilt_series(only_sb, [0.0], **plain, escape=0.02, sum_peaks=0.01)
    total = made.clean.sum()
    # Sb-La 3.605, Lb1 3.844 keV: escape below 2.9 keV, sums from twice 3.189 to twice 4.6 keV.
    escaped, doubled = window(made, 1.2, 2.95)[0], window(made, 6.0, 9.6)[0]
    assert escaped == pytest.approx(0.02 * (2.0 / 3.75) ** 1.1 * total, rel=0.12)
    assert doubled == pytest.approx(0.01 * total, rel=0.1)
    spectrum, energy = made.series.counts.sum(axis=(0, 1, 2), dtype=float), made.series.energy
    lines, sums = (energy > 2.95) & (energy < 4.8), energy > 6
    # The mean of the sums of two photons, not their peak: it holds whatever the noise.
    mean, mean_of_sums = (np.average(energy[part], weights=spectrum[part]) for part in (lines, sums))
    assert mean_of_sums == pytest.approx(2 * mean, abs=0.08)


@pytest.mark.parametrize('elements', [('Fe', 'Co', 'O'), ('Ti', 'Ba', 'O'), ('Si', 'Mg', 'Pt')])
def test_any_elements_with_their_overlaps(elements):
    made = edx_tilt_series(replace(lamella(16, 0), channels=elements), [0.0, 20.0], seed=5, peak_counts=60)
    assert made.truth.channels == elements
    mapped = {'Fe': 6.404, 'Co': 6.925, 'O': 0.525, 'Ti': 4.509, 'Ba': 4.466, 'Si': 1.740, 'Mg': 1.254, 'Pt': 9.442}
    expected = made.clean.sum(axis=(1, 2, 3))
    for element, counts in zip(elements, expected, strict=True):
        near = window(made, mapped[element] - 0.12, mapped[element] + 0.12).sum()
        assert near > 0.5 * counts


def test_a_dose_without_electrons_is_reported():
    with pytest.raises(InputError, match='dose'):
        edx_tilt_series(lamella(16), ANGLES, dose=0.0)


def test_elements_without_lines_are_reported():
    with pytest.raises(InputError, match='Fe3O4'):
        edx_tilt_series(eels_phantom(16), ANGLES)
