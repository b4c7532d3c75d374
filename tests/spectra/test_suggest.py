"""Suggested elements: what is there, and little else."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.simulate import demo_series, line_shape
from napari_diptomo.simulate.edx import LINES, bremsstrahlung
from napari_diptomo.spectra import find_elements, suggest_elements

ENERGY = np.arange(0.2, 12.0, 0.01)


def spectrum(seed=0, background=1e5, **amounts):
    shapes = sum(n * line_shape(ENERGY, LINES[name]) for name, n in amounts.items())
    return np.random.default_rng(seed).poisson(shapes + background * bremsstrahlung(ENERGY)).astype(float)


@pytest.mark.parametrize('seed', [0, 1])
def test_the_demo_shows_its_elements_and_the_stray_copper(seed):
    assert set(suggest_elements(demo_series(seed, size=24).series)) == {'Ge', 'Sb', 'Te', 'Cu'}


def test_bremsstrahlung_alone_shows_nothing():
    assert find_elements(ENERGY, spectrum()) == ()


def test_silicate_is_told_by_its_k_lines():
    found = find_elements(ENERGY, spectrum(O_K=30000, Si_K=20000, Fe_K=8000, Fe_L=6000))
    assert [f.element for f in found] == ['O', 'Si', 'Fe']
    assert found[0].family == 'O_K'
    np.testing.assert_allclose([f.counts for f in found], [30000, 20000, 8000], rtol=0.06)


def test_antimony_under_tellurium_is_found():
    found = {f.element: f.counts for f in find_elements(ENERGY, spectrum(Te_L=60000, Sb_L=15000))}
    assert set(found) == {'Te', 'Sb'}
    assert found['Sb'] == pytest.approx(15000, rel=0.1)


def test_a_soft_peak_without_its_hard_one_is_another_element():
    # Zn-L (1.012 keV) without Zn-K is not zinc: here it is the copper's own L lines.
    found = {f.element for f in find_elements(ENERGY, spectrum(Cu_K=20000, Cu_L=30000))}
    assert found == {'Cu'}


def test_an_empty_spectrum_shows_no_element_and_warns_of_nothing(recwarn):
    assert find_elements(np.linspace(0.2, 10, 500), np.zeros(500)) == ()
    assert not [w for w in recwarn if w.category is RuntimeWarning]
