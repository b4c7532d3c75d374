"""Suggested elements: what is there, and little else."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series import SpectralTiltSeries
from napari_diptomo.simulate import demo_series, line_shape
from napari_diptomo.simulate.edx import LINES, bremsstrahlung
from napari_diptomo.spectra import find_elements, suggest_elements
from napari_diptomo.spectra.edx.element_ranking import rank_elements
from napari_diptomo.spectra.edx.element_search import survey

ENERGY = np.arange(0.2, 12.0, 0.01)


def spectrum(seed=0, background=1e5, **intensities):
    shapes = sum(n * line_shape(ENERGY, LINES[name]) for name, n in intensities.items())
    return np.random.default_rng(seed).poisson(shapes + background * bremsstrahlung(ENERGY)).astype(float)


@pytest.mark.parametrize('seed', [0, 1])
def test_the_demo_shows_its_elements_and_the_stray_copper(seed):
    assert set(suggest_elements(demo_series(seed, size=24).series)) == {'Ge', 'Sb', 'Te', 'Cu'}


def test_bremsstrahlung_alone_shows_nothing():
    assert find_elements(ENERGY, spectrum()) == ()


def test_silicate_is_identified_by_its_k_lines():
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


def test_a_minor_element_beside_strong_peaks_is_found_once_the_model_is_refined():
    intensities = {'O_K': 300000, 'Si_K': 200000, 'Fe_K': 200000, 'Fe_L': 150000, 'Cu_K': 300000, 'Cu_L': 200000}
    counts = spectrum(background=5e5, Ni_K=6000, Ni_L=6000, **intensities)
    found = {f.element: f for f in survey(ENERGY, counts)[1]}
    assert set(elements := {'O', 'Si', 'Fe', 'Cu'}) | {'Ni'} <= set(found)
    assert len(found) <= len(elements) + 2
    assert found['Ni'].counts == pytest.approx(6000, rel=0.3)


def test_weak_evidence_is_listed_as_doubtful_and_not_hidden():
    counts = spectrum(background=2e5, O_K=100000, Si_K=60000, Ti_K=420)
    sure = {f.element for f in survey(ENERGY, counts)[1]}
    listed = {f.element: f for f in survey(ENERGY, counts, least=3.0)[1]}
    assert sure == {'O', 'Si'}
    assert listed['Ti'].doubtful
    assert 3 < listed['Ti'].significance < 6
    assert not listed['Si'].doubtful


def test_a_rare_particle_and_a_stray_element_are_reported():
    rng = np.random.default_rng(0)
    angles = np.linspace(-60, 60, 7)
    silicate = {'O_K': 12.0, 'Si_K': 8.0}
    base = sum(n * line_shape(ENERGY, LINES[name]) for name, n in silicate.items()) + 12 * bremsstrahlung(ENERGY)
    copper = line_shape(ENERGY, LINES['Cu_K']) * (1 + 4 * (angles[:, None] / 60) ** 2)
    mean = np.broadcast_to((base + copper)[:, None, None], (7, 32, 32, len(ENERGY))).copy()
    mean[3, 8:16, 16:24] += 1.5 * line_shape(ENERGY, LINES['Ni_K'])
    counts = rng.poisson(mean).astype(np.uint16)
    found = {f.element: f for f in rank_elements(SpectralTiltSeries(counts, ENERGY, angles, 1.0))}
    assert list(found)[:2] in (['O', 'Si'], ['Si', 'O'])
    assert found['Ni'].where == 'maximum'
    assert not found['Ni'].doubtful
    assert found['Ni'].counts == pytest.approx(1.5 * 64, rel=0.35)
    assert found['Cu'].stray
    assert not found['O'].stray
    assert [name for name, f in found.items() if not f.doubtful and name not in {'O', 'Si', 'Cu', 'Ni'}] == []
