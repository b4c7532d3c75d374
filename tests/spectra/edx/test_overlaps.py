"""Overlaps: the Cramer-Rao bound in closed form, and which pairs are warned of."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.spectra import Detector, families_for
from napari_diptomo.spectra.edx.fit_range import FitRange
from napari_diptomo.spectra.edx.overlaps import coefficient_covariance, overlaps
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel
from napari_diptomo.spectra.edx.sum_fit import background_shapes, line_shapes

ENERGY = np.arange(0.2, 20.0, 0.01)


def model_of(*names, resolution=130.0):
    detector = Detector(resolution)
    window = FitRange(slice(0, len(ENERGY)), ENERGY, detector, 200.0)
    families = families_for(names, 0.2, 20.0)
    shapes = line_shapes(ENERGY, families, detector)
    return SpectrumModel(window, detector, families, len(families), shapes, background_shapes(ENERGY, detector, 200.0))


def test_a_free_family_without_background_is_known_to_the_root_of_its_counts():
    report = overlaps(model_of('Fe', 'Ge'), (25.0, 100.0), background=0.0)
    np.testing.assert_allclose(report.relative_error, [0.2, 0.1], rtol=0.01)
    assert report.condition == pytest.approx(1.0, abs=0.01)
    assert report.sentences == report.warnings == ()


def test_two_peaks_that_share_a_channel_have_the_covariance_of_the_closed_form():
    # Counts a + b/2, b/2: information [[1/m1, 1/2m1], [1/2m1, 1/4m1 + 1/4m2]] with m1 = a + b/2, m2 = b/2.
    shapes = np.array([[1.0, 0.5], [0.0, 0.5]])
    a, b = 10.0, 40.0
    covariance, _ = coefficient_covariance(shapes, np.array([0.5, 0.5]), np.array([a, b]), 0.0)
    m1, m2 = a + b / 2, b / 2
    np.testing.assert_allclose(covariance, [[m1 + m2, -2 * m2], [-2 * m2, 4 * m2]], rtol=1e-6)


def test_the_bound_is_what_many_fits_scatter_by():
    model = model_of('Sb', 'Te')
    truth = np.array([400.0, 600.0])
    report = overlaps(model, truth, background=0.0)
    mean = model.shapes @ truth
    sampled = np.random.default_rng(0).poisson(mean, (2000, len(mean)))
    weights = 1 / np.maximum(mean, 1e-6 * mean.mean())
    operator = np.linalg.solve((model.shapes.T * weights) @ model.shapes, model.shapes.T * weights)
    found = sampled @ operator.T
    np.testing.assert_allclose(found.std(axis=0) / truth, report.relative_error, rtol=0.06)
    assert np.corrcoef(found.T)[0, 1] == pytest.approx(report.correlation[0, 1], abs=0.05)


def test_antimony_and_tellurium_overlap_and_are_resolved():
    report = overlaps(model_of('Ge', 'Sb', 'Te'), (0.4, 0.4, 0.4), background=1.0)
    assert -0.5 < report.correlation[1, 2] < -0.3
    assert report.sentences[0].startswith('Sb-L and Te-L overlap (correlation -0.3')
    assert abs(report.correlation[0, 1:]).max() < 0.05
    # At a thousand times the counts the same overlap does no harm.
    assert overlaps(model_of('Sb', 'Te'), (400.0, 400.0)).warnings == ()


def test_titanium_under_barium_overlaps_and_iron_hides_little_cobalt():
    report = overlaps(model_of('Ti_K', 'Ba_L'), (1.0, 1.0))
    assert report.correlation[0, 1] < -0.5
    assert len(report.sentences) == 1
    # A coarser detector resolves them worse.
    assert overlaps(model_of('Ti_K', 'Ba_L', resolution=170.0)).condition > 1.3 * report.condition
    # Fe-Kb lies on Co-Ka, but Fe-Ka fixes the iron.
    cobalt = overlaps(model_of('Fe', 'Co'), (1.0, 1.0))
    assert abs(cobalt.correlation[0, 1]) < 0.3
    assert cobalt.warnings == ()


def test_what_cannot_be_resolved_is_warned_of():
    report = overlaps(model_of('Ti_K', 'Ba_L'), (0.3, 0.3), background=3.0)
    assert len(report.warnings) == 1
    assert 'Ti-K and Ba-L cannot be resolved at these counts' in report.warnings[0]
    # However many counts: S-K and Mo-L are one peak for a coarse detector.
    assert len(overlaps(model_of('S_K', 'Mo_L', resolution=160.0), (1000.0, 1000.0)).warnings) == 1


def test_the_bound_falls_with_the_root_of_the_counts():
    few, many = (overlaps(model_of('Sb', 'Te'), n * np.ones(2)) for n in (1.0, 100.0))
    np.testing.assert_allclose(few.relative_error / many.relative_error, 10, rtol=1e-6)
    np.testing.assert_allclose(few.correlation, many.correlation, atol=1e-9)


def test_wrong_counts_are_reported():
    with pytest.raises(InputError, match='3 expected counts for 2 wanted families'):
        overlaps(model_of('Sb', 'Te'), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match='zero or more'):
        overlaps(model_of('Sb', 'Te'), (1.0, -1.0))
