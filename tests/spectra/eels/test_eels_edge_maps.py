"""The step of edge maps: counts and atoms that are known come back, a moved zero loss does not matter, assumptions are said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_diptomo import EdgeMaps, Recipe, load
from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.series.data import CoreLoss
from napari_diptomo.simulate.eels import eels_tilt_series
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.spectra.eels.edge_counts import EdgeWindows, extrapolated, tabulated

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
