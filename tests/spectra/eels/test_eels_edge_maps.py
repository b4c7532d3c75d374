"""The step of edge maps: counts and atoms that are known come back, a moved zero loss does not matter, assumptions are said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo import EdgeMaps, Recipe, load
from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.series.data import CoreLoss
from napari_diptomo.simulate.core_loss import dual_range
from napari_diptomo.simulate.eels import eels_tilt_series
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.spectra.common.exspy_adapter import edge_cross_section
from napari_diptomo.spectra.eels.edge_counts import extrapolated
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows, tabulated

ENERGY = np.arange(450.0, 800.0, 0.5)
OXYGEN = EdgeWindows.of('O_K')


def oxygen(background: np.ndarray) -> np.ndarray:
    """300 counts of O-K in its window above a background, (energy,)."""
    inside = (ENERGY >= 532) & (OXYGEN.signal[1] > ENERGY)
    return background + 300 * (ENERGY >= 532) / inside.sum()


def series(counts: np.ndarray) -> SpectralTiltSeries:
    """A series of one tilt whose core loss is (y, x, energy); the low loss is empty."""
    low = np.ones((1, *counts.shape[:2], 40))
    core = CoreLoss(counts[None], ENERGY, (0,))
    return SpectralTiltSeries(low, np.arange(-10.0, 10.0, 0.5), [0.0], 1.0, energy_unit='eV', core_loss=core)


def test_counts_come_back_without_bias_and_with_their_error():
    expected = oxygen(20 * (ENERGY / 500) ** -3.0)
    counts = np.random.default_rng(0).poisson(np.broadcast_to(expected, (40, 40, len(ENERGY))))
    maps = EdgeMaps(edges=('O_K',), calibrate=False).run(series(counts))
    assert maps.channels == ('O_K',) and maps.notes['unit'] == 'counts' and maps.held_out is None
    error = float(np.sqrt(maps.variance.mean()))
    assert maps.data.mean() == pytest.approx(300, abs=4 * error / 40 + 3)
    assert maps.data.std() == pytest.approx(error, rel=0.07)
    assert maps.variance.std() < 0.1 * maps.variance.mean(), 'the noise of the very pixel is not in its weight'


def test_an_exponential_background_needs_its_model():
    counts = np.broadcast_to(oxygen(2e4 * np.exp(-(ENERGY - 500) / 60)), (4, len(ENERGY)))
    right, _ = extrapolated(counts, ENERGY, OXYGEN, 'exponential')
    wrong, _ = extrapolated(counts, ENERGY, OXYGEN, 'power law')
    np.testing.assert_allclose(right, 300, rtol=0.05)
    assert (np.abs(wrong - 300) > 300).all()


def test_widths_are_those_that_are_given():
    counts = np.broadcast_to(oxygen(20 * (ENERGY / 500) ** -3.0), (3, 3, len(ENERGY)))
    step = EdgeMaps(edges=('O_K',), background='exponential', background_width=30, signal_width=20, calibrate=False)
    maps = step.run(series(counts))
    assert maps.notes['edges'] == {'O_K': [496.0, 526.0, 526.0, 552.0]}
    assert maps.notes['background'] == 'exponential'
    (said,) = maps.findings
    assert said.level == 'note' and 'O_K (496-526 eV)' in said.sentence and 'exponential' in said.sentence


def test_a_shell_is_its_edge_of_lowest_energy():
    assert tabulated('Fe_L') == 'Fe_L3' and tabulated('Ag_M') == 'Ag_M5' and tabulated('O_K') == 'O_K'
    assert EdgeWindows.of('Fe_L').signal == EdgeWindows.of('Fe_L3').signal
    for name in ('Fe', 'Fe_', 'F', 'Fe_Q', 'e_L'):
        with pytest.raises(InputError, match='no edge'):
            EdgeMaps(edges=(name,)).run(series(np.ones((2, 2, len(ENERGY)))))


@pytest.mark.parametrize('jitter', [0.0, 0.6])
def test_a_zero_loss_that_moves_does_not_matter(jitter):
    made = eels_tilt_series(
        oxide_nanocube(24),
        [-40.0, 0.0, 40.0],
        edge_counts=4000,
        jitter_ev=jitter,
        read_noise=0.0,
        core_dose=400,
        seed=4,
    )
    maps = EdgeMaps(edges=('Fe_L',), background_width=34, signal_width=21).run(made.series)
    assert maps.angles.tolist() == [0.0]
    inside = made.iron[1]
    shown = made.core_expected(1)[1][..., made.model.core.window].sum(-1)
    assert maps.data[0, 0][inside].sum() == pytest.approx(shown[inside].sum(), rel=0.05)
    assert 'zero_loss' in maps.notes['calibration']


def test_maps_are_saved_with_their_recipe(tmp_path):
    counts = np.broadcast_to(oxygen(20 * (ENERGY / 500) ** -3.0), (3, 3, len(ENERGY)))
    step = EdgeMaps(edges=('O_K',), calibrate=False)
    data = series(counts)
    again = load(step.run(data).save(tmp_path / 'oxygen.hspy'))
    assert again.notes['edges'] == {'O_K': pytest.approx([466.0, 526.0, 526.0, 574.56], abs=3)}
    recipe = Recipe.from_json(json.dumps({'napari-diptomo': 1, 'source': {'paths': ['a']}, 'steps': [step.to_dict()]}))
    assert recipe.steps[0] == step


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({}, 'No edges'),
        ({'edges': ('Fe_L', 'C_K'), 'calibrate': False}, 'do not hold'),
        ({'edges': ('O_K',), 'unit': 'atoms/nm2', 'calibrate': False}, 'core loss does not hold'),
        ({'edges': ('O_K',)}, 'hardly any counts near 0 eV'),
    ],
)
def test_what_cannot_be_mapped(options, words):
    with pytest.raises(InputError, match=words):
        EdgeMaps(**options).run(series(np.ones((2, 2, len(ENERGY)))))


BEAM = {'beam_energy': 200.0, 'convergence_angle': 20.0, 'collection_angle': 30.0}


def hydrogenic(atoms: dict[str, float], energy: np.ndarray, background: float = 5e3) -> np.ndarray:
    """Cross sections of edges (all shells) on a power law, (energy,)."""
    found = background * (energy / 500) ** -3.0
    for edge, number in atoms.items():
        name = tabulated(edge)
        found = found + number * edge_cross_section(name, energy, beam_energy=200.0, convergence=20.0, collection=30.0)
    return found


def alone(counts: np.ndarray, energy: np.ndarray, **metadata: float) -> SpectralTiltSeries:
    """A core loss alone at one tilt; counts are (y, x, energy)."""
    return SpectralTiltSeries(counts[None], energy, [0.0], 1.0, energy_unit='eV', metadata=metadata)


WIDE = np.arange(380.0, 900.0, 1.0)
ATOMS = {'Ti_L': 150.0, 'O_K': 900.0, 'Mn_L': 300.0}


@pytest.mark.parametrize('method', ['extrapolated background', 'fitted together'])
def test_the_composition_of_overlapping_edges(method: str) -> None:
    counts = np.random.default_rng(1).poisson(np.broadcast_to(hydrogenic(ATOMS, WIDE), (16, 16, len(WIDE))))
    step = EdgeMaps(edges=('Ti_L', 'O_K', 'Mn_L'), method=method, unit='relative atoms')
    maps = step.run(alone(counts, WIDE, **BEAM))
    for edge, number in ATOMS.items():
        share = maps.notes['composition'][edge]
        # Extrapolation takes the edge in front for a power law; fitted together it is what it is.
        tolerance = 4 * share['counting'] + (0.5 if method == 'fitted together' else 4.0)
        assert share['percent'] == pytest.approx(100 * number / sum(ATOMS.values()), abs=tolerance)
        assert share['cross_section'] > share['counting']
    (said,) = [finding for finding in maps.findings if finding.about == 'composition']
    assert 'at.%' in said.sentence and said.evidence['O_K, at.%'] > 50


def test_errors_of_edges_fitted_together_hold() -> None:
    counts = np.random.default_rng(5).poisson(np.broadcast_to(hydrogenic(ATOMS, WIDE, 800.0) / 4, (24, 24, len(WIDE))))
    maps = EdgeMaps(edges=('Ti_L', 'O_K', 'Mn_L'), method='fitted together').run(alone(counts, WIDE, **BEAM))
    scatter = maps.data.std(axis=(1, 2, 3)) / np.sqrt(maps.variance.mean(axis=(1, 2, 3)))
    assert scatter == pytest.approx([1, 1, 1], abs=0.12)
    assert maps.residual is not None and np.median(maps.residual) == pytest.approx(1, abs=0.1)


def test_noise_beyond_counting_is_in_the_errors() -> None:
    expected = oxygen(400 * (ENERGY / 500) ** -3.0)
    counts = 6.0 * np.random.default_rng(0).poisson(np.broadcast_to(expected, (20, 20, len(ENERGY))))
    maps = EdgeMaps(edges=('O_K',)).run(alone(counts, ENERGY))
    assert maps.data.std() == pytest.approx(float(np.sqrt(maps.variance.mean())), rel=0.12)
    assert any(finding.about == 'noise' for finding in maps.findings)


def test_windows_by_hand() -> None:
    counts = np.broadcast_to(oxygen(20 * (ENERGY / 500) ** -3.0), (3, 3, len(ENERGY)))
    maps = EdgeMaps(edges=('O_K 470-520 530-560', 'pre-peak 528-534', '540-550')).run(alone(counts, ENERGY))
    assert maps.channels == ('O_K', 'pre-peak', '540-550 eV')
    assert maps.notes['edges']['O_K'] == [470.0, 520.0, 530.0, 560.0]
    inside = (ENERGY >= 530) & (ENERGY < 560) & (ENERGY >= 532)
    per_channel = 300 / ((ENERGY >= 532) & (OXYGEN.signal[1] > ENERGY)).sum()
    assert maps.data[0] == pytest.approx(per_channel * inside.sum(), rel=0.01)
    with pytest.raises(InputError, match='must rise'):
        EdgeMaps(edges=('O_K 530-560 470-520',)).run(alone(counts, ENERGY))


def test_a_core_loss_alone_says_what_it_lacks() -> None:
    counts = np.broadcast_to(oxygen(20 * (ENERGY / 500) ** -3.0), (3, 3, len(ENERGY)))
    maps = EdgeMaps(edges=('O_K',)).run(alone(counts, ENERGY))
    assert maps.data.mean() == pytest.approx(300, rel=0.02)
    (said,) = [finding for finding in maps.findings if finding.about == 'no zero loss']
    assert said.level == 'note' and '450 eV' in said.sentence
    for options, words in (
        ({'thickness': True}, 'zero loss'),
        ({'deconvolve': 'Fourier-ratio'}, 'low loss'),
        ({'unit': 'atoms/nm2'}, 'core loss does not hold'),
        ({'unit': 'relative atoms'}, 'beam energy'),
        ({'method': 'fitted together'}, 'beam energy'),
    ):
        with pytest.raises(InputError, match=words):
            EdgeMaps(edges=('O_K',), **options).run(alone(counts, ENERGY))


def test_a_wrong_power_law_under_an_edge_is_a_stop_or_a_doubt() -> None:
    made = eels_tilt_series(oxide_nanocube(24), [0.0], background='plasmon', jitter_ev=0.0, read_noise=0.0, seed=4)
    maps = EdgeMaps(edges=('Fe_M 36-46 47-62',)).run(made.series)
    assert maps.data.sum() < 0
    (stop,) = [finding for finding in maps.findings if finding.level == 'stop']
    assert stop.about == 'negative counts' and stop.evidence['Fe_M'] < -1e4
    shown = made.expected(0)[1][..., made.model.low.window].sum()
    other = eels_tilt_series(oxide_nanocube(24), [0.0], background='exponential', jitter_ev=0.0, read_noise=0.0, seed=4)
    wrong = EdgeMaps(edges=('Fe_M 36-46 47-62',)).run(other.series)
    assert abs(wrong.data.sum() / shown - 1) > 0.2
    assert [finding for finding in wrong.findings if finding.level == 'doubt' and 'background' in finding.about]


def test_the_right_power_law_is_no_doubt() -> None:
    expected = oxygen(200 * (ENERGY / 500) ** -3.0)
    counts = np.random.default_rng(0).poisson(np.broadcast_to(expected, (20, 20, len(ENERGY))))
    maps = EdgeMaps(edges=('O_K',)).run(alone(counts, ENERGY))
    assert {finding.level for finding in maps.findings} == {'note'}


@pytest.mark.parametrize('offset', [-9.0, 8.0])
def test_an_onset_off_the_table_is_a_doubt_with_the_offset_that_corrects_it(offset: float) -> None:
    counts = np.random.default_rng(0).poisson(
        np.broadcast_to(oxygen(40 * (ENERGY / 500) ** -3.0), (20, 20, len(ENERGY)))
    )
    maps = EdgeMaps(edges=('O_K',)).run(alone(counts, ENERGY + offset))
    (doubt,) = [finding for finding in maps.findings if finding.about == 'energy axis']
    assert doubt.remedy is not None
    corrected = EdgeMaps(edges=('O_K',), **doubt.remedy.changes).run(alone(counts, ENERGY + offset))
    assert not [finding for finding in corrected.findings if finding.level == 'doubt']
    assert corrected.data.mean() == pytest.approx(300, rel=0.1)


def test_m23_of_a_metal_begins_before_the_maximum_of_the_table() -> None:
    window = EdgeWindows.of('Fe_M')
    assert window.signal[0] < 52.7 and window.before[1] < 52.7


@pytest.mark.parametrize('step', [0.02, 0.1, 1.0])
def test_dispersions(step: float) -> None:
    energy = np.arange(464.0, 600.0, step)
    expected = step * (100 * (energy / 500) ** -3.0 + 8.0 * (energy >= 532))
    maps = EdgeMaps(edges=('O_K',)).run(alone(np.broadcast_to(expected, (2, 2, len(energy))), energy))
    window = EdgeWindows.of('O_K')
    assert maps.data.mean() == pytest.approx(8.0 * (window.signal[1] - 532), rel=0.03)


def test_one_pixel_and_vacuum() -> None:
    pixel = np.random.default_rng(0).poisson(oxygen(200 * (ENERGY / 500) ** -3.0))[None, None]
    maps = EdgeMaps(edges=('O_K',)).run(alone(pixel, ENERGY))
    assert maps.data.item() == pytest.approx(300, abs=5 * float(np.sqrt(maps.variance.item())))
    empty = EdgeMaps(edges=('O_K',)).run(alone(np.zeros((4, 4, len(ENERGY))), ENERGY))
    assert not empty.data.any() and (empty.variance > 0).all()


@pytest.mark.parametrize('tau', [0.5, 1.2])
def test_deconvolution_and_thickness_with_a_low_loss(tau: float) -> None:
    energy = np.arange(450.0, 700.0, 0.5)
    edge = 400.0 * (energy >= 532) * (532 / energy) ** 3
    made = dual_range(np.broadcast_to(edge, (2, 2, len(energy))), 3e3 * (energy / 500) ** -3.0, energy, tau)
    window = EdgeWindows.of('O_K')
    single = edge[(energy >= window.signal[0]) & (energy < window.signal[1])].sum()
    plain = EdgeMaps(edges=('O_K',), thickness=True).run(made)
    assert plain.channels == ('O_K', 't/λ')
    assert plain.data[1] == pytest.approx(tau, abs=0.06)
    sharp = EdgeMaps(edges=('O_K',), deconvolve='Fourier-ratio').run(made)
    assert plain.data[0].mean() < 0.9 * single
    assert sharp.data[0].mean() == pytest.approx(single, rel=0.06)


def test_a_thick_specimen_is_one_sentence() -> None:
    energy = np.arange(450.0, 700.0, 0.5)
    edge = np.broadcast_to(400.0 * (energy >= 532), (2, 2, len(energy)))
    made = dual_range(edge, 3e3 * (energy / 500) ** -3.0, energy, 3.4)
    with pytest.raises(InputError, match='too thick'):
        EdgeMaps(edges=('O_K',), deconvolve='Fourier-ratio').run(made)
    assert EdgeMaps(edges=('O_K',)).run(made).data.shape == (1, 1, 2, 2)


def test_atoms_of_a_core_loss_by_the_dwell_times() -> None:
    energy = np.arange(400.0, 700.0, 0.5)
    sigma = edge_cross_section('O_K', energy, beam_energy=200.0, convergence=20.0, collection=30.0)
    electrons, atoms, times = 1e6, 60.0, 50.0
    edge = np.broadcast_to(times * electrons * atoms * 1e-10 * sigma, (2, 2, len(energy)))
    made = dual_range(edge, 3e3 * (energy / 500) ** -3.0, energy, 0.3, electrons, **BEAM)
    with pytest.raises(InputError, match='dwell times'):
        EdgeMaps(edges=('O_K',), unit='atoms/nm2').run(made)
    core = replace(made.core_loss, metadata={'dwell_time': 0.05})
    known = replace(made, core_loss=core, metadata={**made.metadata, 'dwell_time': 0.001})
    maps = EdgeMaps(edges=('O_K',), unit='atoms/nm2', deconvolve='Fourier-ratio').run(known)
    assert maps.data.mean() == pytest.approx(atoms, rel=0.05)


def test_tails_left_of_the_zero_loss_are_no_dark_level() -> None:
    """As measured on a line scan: more counts per channel left of the zero loss than at the end of the losses."""
    energy = np.arange(450.0, 700.0, 0.5)
    edge = np.broadcast_to(400.0 * (energy >= 532), (2, 2, len(energy)))
    made = dual_range(edge, 3e3 * (energy / 500) ** -3.0, energy, 0.5)
    tails = 170.0 * np.exp(-np.abs(made.energy) / 60)
    tailed = replace(made, counts=np.asarray(made.counts) + tails)
    maps = EdgeMaps(edges=('O_K',), thickness=True).run(tailed)
    zero = np.asarray(tailed.counts)[0, 0, 0]
    end = float(maps.notes['calibration']['zero_loss_end'])
    assert maps.data[1] == pytest.approx(np.log(zero.sum() / zero[made.energy <= end].sum()), abs=0.02)
