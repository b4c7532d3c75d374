"""Simulated EDX spectra: the counts that were asked for, where they belong, and the truth that goes with them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError
from napari_diptomo.simulate import demo_series, edx_tilt_series, eels_phantom, lamella, line_shape

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


def test_elements_without_lines_are_told():
    with pytest.raises(InputError, match='Fe3O4'):
        edx_tilt_series(eels_phantom(16), ANGLES)
