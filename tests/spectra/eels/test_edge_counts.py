"""Conventional routes: closed forms on spectra that are what these routes take them for, and their limits on those that are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.series.data import CoreLoss
from napari_diptomo.simulate.eels import eels_tilt_series
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights, edge_cross_section, edge_onsets, mass_absorption
from napari_diptomo.spectra.eels.edge_counts import edge_maps, extrapolated, mlls
from napari_diptomo.spectra.eels.edge_cross_sections import CrossSections
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows
from napari_diptomo.spectra.eels.white_line_ratio import white_line_maps

ENERGY = np.arange(450.0, 800.0, 0.5)
OXYGEN = EdgeWindows.of('O_K')


def law(height=1.0, exponent=3.0):
    return height * (ENERGY / 500) ** -exponent


def step_edge(counts, onset):
    """An edge with these counts between its onset and the end of the default window."""
    inside = (onset <= ENERGY) & (OXYGEN.signal[1] > ENERGY)
    return counts * (onset <= ENERGY) / inside.sum()


def core_series(counts, energy=ENERGY):
    """A series of one tilt whose core loss is (y, x, energy)."""
    low = np.ones((1, *counts.shape[:2], 40))
    core = CoreLoss(counts[None], energy, (0,))
    return SpectralTiltSeries(low, np.arange(-10.0, 10.0, 0.5), [0.0], 1.0, energy_unit='eV', core_loss=core)


@pytest.fixture(scope='module')
def nanocube():
    return eels_tilt_series(
        oxide_nanocube(24), [-40.0, 0.0, 40.0], edge_counts=4000, jitter_ev=0.0, read_noise=0.0, core_dose=400, seed=4
    )


def test_an_edge_on_a_power_law_is_counted():
    counts = law(200.0) + np.array([0.0, 500.0, 5000.0])[:, None] * step_edge(1.0, 532.0)
    signal, _ = extrapolated(counts, ENERGY, OXYGEN)
    np.testing.assert_allclose(signal, [0, 500, 5000], rtol=0.01, atol=8)


def test_edge_maps_are_unbiased_and_their_variance_holds():
    rng = np.random.default_rng(0)
    expected = law(20.0) + step_edge(300.0, 532.0)
    counts = rng.poisson(np.broadcast_to(expected, (40, 40, len(ENERGY)))).astype(np.float32)
    maps = edge_maps(core_series(counts), ['O_K'])
    pulls = (maps.data[0, 0] - 300) / np.sqrt(maps.variance[0, 0])
    assert abs(pulls.mean()) < 4 / 40 + 0.05
    assert pulls.std() == pytest.approx(1, abs=0.07)
    assert maps.channels == ('O_K',) and maps.notes['unit'] == 'counts'


def test_edges_of_the_core_loss_have_its_tilts(nanocube):
    maps = edge_maps(nanocube.series, [EdgeWindows('Fe_L3', (664.0, 698.0), (704.0, 729.0))])
    assert maps.angles.tolist() == [0.0]
    truth = nanocube.core_clean.sum(axis=0)[0]
    inside = nanocube.iron[1]
    # Plasmons behind the edge carry a part of its counts away, as the simulator says.
    shown = nanocube.core_expected(1)[1][..., nanocube.model.core.window].sum(-1)
    assert maps.data[0, 0][inside].sum() == pytest.approx(shown[inside].sum(), rel=0.04)
    assert maps.data[0, 0][inside].sum() < truth[inside].sum()


def test_a_power_law_is_wrong_on_the_tail_of_a_plasmon():
    sim = eels_tilt_series(oxide_nanocube(24), [0.0], background='plasmon', jitter_ev=0.0, read_noise=0.0, seed=4)
    maps = edge_maps(sim.series, [EdgeWindows('Fe_M3', (36.0, 46.0), (47.0, 62.0))])
    shown = sim.expected(0)[1][..., sim.model.low.window].sum(-1)
    inside = sim.iron[0]
    # The reason for the fit of background and standards together.
    assert abs(maps.data[0, 0][inside].sum() / shown[inside].sum() - 1) > 0.3


def test_atoms_from_the_cross_section():
    energy = np.arange(-5.0, 400.0, 0.5)
    beam = {'beam_energy': 200.0, 'convergence_angle': 35.0, 'collection_angle': 27.8}
    window = EdgeWindows.of('C_K')
    inside = (energy >= window.signal[0]) & (energy < window.signal[1])
    sigma = edge_cross_section('C_K', energy, beam_energy=200.0, convergence=35.0, collection=27.8)
    atoms, electrons = 50.0, 1e6
    background = 50 * (np.maximum(energy, 5.0) / 200) ** -3.0 * (energy > 20)
    zero = np.where(np.abs(energy) < 1, 1.0, 0.0)
    spectrum = background + electrons * atoms * 1e-10 * sigma
    spectrum = spectrum + zero / zero.sum() * (electrons - spectrum.sum())
    series = SpectralTiltSeries(spectrum[None, None, None], energy, [0.0], 1.0, energy_unit='eV', metadata=beam)
    maps = edge_maps(series, ['C_K'], atoms=True)
    assert maps.data.item() == pytest.approx(atoms, rel=0.03)
    assert sigma[inside].sum() > 0


@pytest.mark.parametrize(('edge', 'energy'), [('Fe_L3', 1000.0), ('Mn_L3', 850.0), ('Cu_L3', 1200.0), ('O_K', 620.0)])
def test_the_cross_section_is_that_of_x_ray_absorption(edge, energy):
    """At small angles electrons see the oscillator strength that X-rays do; eXSpy's hydrogenic L3 is that of the whole shell."""
    axis = np.arange(edge_onsets()[edge] - 20, energy + 20)
    sigma = edge_cross_section(edge, axis, beam_energy=200.0, convergence=0.01, collection=1.0)
    element, below = edge.split('_')[0], edge_onsets()[edge] - 12
    absorbed = mass_absorption(element, np.array([energy, below]) / 1e3)
    barn = (absorbed[0] - absorbed[1] * (below / energy) ** 2.7) * atomic_weights()[element] / 0.60221
    strength = barn / 1.0975e8  # per eV; 109.75 Mb eV is 1
    gamma = 1 + 200 / 511.0
    travelled = 511e3 * (1 - gamma**-2) / 2
    spread = np.log(1 + (1e-3 / (energy / (2 * gamma * travelled))) ** 2)
    expected = 4 * np.pi * 0.0529177**2 * 13.606**2 / (energy * travelled) * strength * spread * 1e10
    assert np.interp(energy, axis, sigma) == pytest.approx(expected, rel=0.12)


def test_atoms_of_an_l_edge_count_its_shell_once():
    energy = np.arange(600.0, 800.0, 1.0)
    sections = CrossSections(200.0, 20.0, 30.0)
    window = EdgeWindows.of('Fe_L')
    alone = edge_cross_section('Fe_L3', energy, beam_energy=200.0, convergence=20.0, collection=30.0)
    inside = (energy >= window.signal[0]) & (energy < window.signal[1])
    assert sections.in_window(window, energy) == pytest.approx(alone[inside].sum(), rel=0.03)


def test_an_m_edge_needs_a_file(tmp_path):
    series = SpectralTiltSeries(
        np.ones((1, 2, 2, 400)),
        np.arange(-10.0, 90.0, 0.25),
        [0.0],
        1.0,
        energy_unit='eV',
        metadata={'beam_energy': 200.0, 'convergence_angle': 35.0, 'collection_angle': 27.8},
    )
    with pytest.raises(InputError, match='oscillator strengths'):
        edge_maps(series, ['Fe_M3'], atoms=True)
    with pytest.raises(InputError, match='oscillator strengths'):
        edge_maps(series, ['Fe_M3'], atoms=True, gos_file=str(tmp_path / 'none.gosh'))


def test_white_lines_distinguish_the_core_from_the_shell(nanocube):
    core = nanocube.series.core_loss
    found = white_line_maps(np.asarray(core.counts[0]), core.energy, 'Fe', smooth=1.0)
    counts = nanocube.clean[:, 1]
    share = counts[0] / np.maximum(counts.sum(axis=0), 1e-9)
    inside = nanocube.iron[1] & np.isfinite(found.energy) & (counts.sum(axis=0) > 0.3 * counts.sum(axis=0).max())
    # The maximum of L3 moves by 1.7 eV between the oxides, its centre of gravity less.
    slope, at_magnetite = np.polyfit(share[inside], found.energy[inside], 1, w=1 / found.energy_std[inside])
    assert -1.8 < slope < -0.5
    assert at_magnetite == pytest.approx(709.3, abs=0.6)
    assert np.corrcoef(share[inside], found.energy[inside])[0, 1] < -0.8
    assert np.isnan(found.ratio[~nanocube.iron[1]]).mean() > 0.9


def test_errors_of_the_white_lines_hold():
    rng = np.random.default_rng(3)
    energy = np.arange(650.0, 780.0, 0.25)

    def line(place, counts, width):
        return counts * 0.25 * np.exp(-0.5 * ((energy - place) / width) ** 2) / (width * np.sqrt(2 * np.pi))

    expected = 100 * (energy / 700) ** -3.0 + line(708.5, 3000, 1.2) + line(721.5, 1000, 1.2)
    counts = rng.poisson(np.broadcast_to(expected, (32, 32, len(energy))))
    found = white_line_maps(counts, energy, smooth=0)
    assert np.nanmean(found.ratio) == pytest.approx(3, rel=0.06)
    assert np.nanstd(found.ratio) == pytest.approx(np.nanmean(found.ratio_std), rel=0.15)
    assert np.nanmean(found.energy) == pytest.approx(708.5, abs=0.05)
    assert np.nanstd(found.energy) == pytest.approx(np.nanmean(found.energy_std), rel=0.15)


def test_mlls_with_the_right_standards_and_background():
    rng = np.random.default_rng(5)
    shapes = np.stack([np.exp(-0.5 * ((ENERGY - place) / 4) ** 2) for place in (560.0, 566.0)], axis=1)
    intensities = rng.uniform(50, 200, (200, 2))
    expected = law(100.0) + intensities @ shapes.T
    found, variance = mlls(rng.poisson(expected), ENERGY, shapes, (500.0, 650.0), (500.0, 540.0))
    pulls = (found - intensities) / np.sqrt(variance)
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=0.3)
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=0.15)


@pytest.mark.parametrize(
    ('series', 'edges', 'words'),
    [
        (core_series(np.ones((2, 2, 140)), ENERGY[:140]), ['Fe_L3'], 'do not hold'),
        (core_series(np.ones((2, 2, 180)), ENERGY[:180]), ['O_K'], 'end of the spectra'),
        (core_series(np.ones((2, 2, 600)), ENERGY[100:]), ['O_K'], 'no background in front'),
        (core_series(np.ones((2, 2, 700))), ['Xx_K'], 'no edge'),
        (core_series(np.ones((2, 2, 700))), [], 'No edges'),
        (replace(core_series(np.ones((2, 2, 700))), energy_unit='keV', core_loss=None), ['O_K'], 'EELS'),
    ],
)
def test_what_cannot_be_mapped_is_reported(series, edges, words):
    with pytest.raises(InputError, match=words):
        edge_maps(series, edges)
