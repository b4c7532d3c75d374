"""The curves of a spectrum: parts add up, a region is its own, what cannot be shown is reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.series import InputError, Observer, SpectralTiltSeries
from napari_diptomo.simulate import line_shape
from napari_diptomo.simulate.edx import LINES, bremsstrahlung
from napari_diptomo.spectra import explain

ENERGY = (np.arange(1280) - 24) * 0.01
HALF = np.zeros((16, 16), bool)
HALF[:, :8] = True


@pytest.fixture(scope='module')
def series():
    """Two tilts; germanium on the left, tellurium on the right, twice as much in the second tilt."""
    left, right = HALF.astype(float), 1.0 - HALF
    intensities = {'Ge_K': 20 * left, 'Te_L': 30 * right}
    counts = sum(n[..., None] * line_shape(ENERGY, LINES[name]) for name, n in intensities.items())
    counts = counts + 20 * bremsstrahlung(ENERGY)
    counts = np.random.default_rng(0).poisson(np.stack([counts, 2 * counts]))
    return SpectralTiltSeries(counts.astype(np.uint16), ENERGY, np.array([0.0, 10.0]), 1.0)


def test_the_parts_add_up_to_the_model_and_the_model_to_the_counts(series):
    seen = explain(series, ('Ge', 'Te'))
    assert seen.wanted == ('Ge_K', 'Te_L')
    np.testing.assert_allclose(sum(seen.families.values()) + seen.background, seen.model)
    np.testing.assert_array_equal(seen.counts, series.counts.sum(axis=(0, 1, 2))[(ENERGY >= 0.2)])
    assert seen.model.sum() == pytest.approx(seen.counts.sum(), rel=0.01)
    assert seen.chi2 == pytest.approx(1, abs=0.2)
    assert seen.residual.std() == pytest.approx(1, abs=0.15)
    assert seen.families['Te_L'].sum() == pytest.approx(3 * 128 * 30, rel=0.04)


@pytest.mark.parametrize(('tilt', 'scale'), [(0, 1), (1, 2), (None, 3)])
def test_a_region_shows_what_lies_in_it(series, tilt, scale):
    seen = explain(series, ('Ge', 'Te'), tilt=tilt, region=HALF)
    assert seen.families['Ge_K'].sum() == pytest.approx(scale * 128 * 20, rel=0.06)
    assert seen.families['Te_L'].sum() < 0.03 * scale * 128 * 20
    np.testing.assert_array_equal(seen.region, HALF)
    assert seen.tilt == tilt


def test_one_tilt_is_its_own(series):
    one, two = (explain(series, ('Ge', 'Te'), tilt=t) for t in (0, 1))
    assert two.families['Ge_K'].sum() / one.families['Ge_K'].sum() == pytest.approx(2, rel=0.05)


def test_what_is_present_is_fitted_along_without_being_wanted(series):
    seen = explain(series)
    assert seen.wanted == ()
    assert {'Ge_K', 'Te_L'} <= set(seen.families)


def test_the_first_call_reports_the_reading(series):
    class Listener(Observer):
        seen = 0

        def report(self, progress):
            self.seen += 1

    listener = Listener()
    explain(replace(series), ('Ge',), observer=listener)
    assert listener.seen == 2


@pytest.mark.parametrize(
    ('values', 'sentence'),
    [
        ({'region': np.zeros((16, 16), bool)}, 'holds no pixel; draw a larger one'),
        ({'region': np.ones((8, 8), bool)}, r'shape \(8, 8\)'),
        ({'tilt': 2}, 'from 0 to 1'),
        ({'families_or_elements': ('Xx',)}, "no element 'Xx'"),
    ],
)
def test_what_cannot_be_shown_is_reported(series, values, sentence):
    with pytest.raises(InputError, match=sentence):
        explain(series, **{'families_or_elements': (), **values})


def test_a_region_without_counts_is_reported(series):
    counts = series.counts.copy()
    counts[:, :4] = 0
    region = np.zeros((16, 16), bool)
    region[:2] = True
    with pytest.raises(InputError, match='no counts in the region'):
        explain(replace(series, counts=counts), region=region)
