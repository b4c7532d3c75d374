"""A third phase under L2,3: metallic iron in a corner is found, two phases alone are not mistaken for three."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.standards.phase_maps import map_phases
from napari_diptomo.spectra.eels.standards.third_phase import ONCE_IN_A_HUNDRED, _edge_of_noise, _strength


def mapped(seed, share, gain_error=0.0):
    """A nanocube whose corner is metallic iron to a share."""
    simulated = eels_tilt_series(
        oxide_nanocube(32, film=2.0, ligand=1.0), [0.0], seed=seed, read_noise=0.0, gain_error=gain_error
    )
    series = simulated.series
    if share:
        core = series.core_loss
        oxide = simulated.core_standards['FeO']
        step = core.energy[1] - core.energy[0]
        metal = ndimage.gaussian_filter1d(np.interp(core.energy + 0.9, core.energy, oxide), 1.2 / step)
        there = np.zeros((32, 32, 1))
        there[:16, :16] = share
        background, edges = simulated.core_expected(0)
        atoms = simulated.core_clean[:, 0].sum(axis=0)[..., None]
        counts = np.random.default_rng(seed).poisson(background + edges * (1 - there) + there * atoms * metal)
        series = replace(series, core_loss=replace(core, counts=counts[None].astype(np.float32)))
    return map_phases(calibrate(series)).notes['third_phase']


@pytest.mark.parametrize('seed', [51, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(52, 55))])
def test_metallic_iron_in_a_corner_is_found_and_two_oxides_are_two(seed):
    assert mapped(seed, 0.0)['excess'] < ONCE_IN_A_HUNDRED
    assert mapped(seed, 0.4)['excess'] > ONCE_IN_A_HUNDRED


def test_channels_of_unequal_gain_are_no_third_phase():
    assert mapped(51, 0.0, gain_error=0.01)['excess'] < ONCE_IN_A_HUNDRED


def test_the_edge_of_noise_is_that_of_random_matrices():
    rng = np.random.default_rng(0)
    n, p = 30, 80
    middle, spread = _edge_of_noise(n, p)
    largest = [np.linalg.norm(rng.standard_normal((n, p)), 2) ** 2 for _ in range(400)]
    # Mean and deviation of the law of Tracy and Widom are -1.21 and 1.27.
    reduced = (np.array(largest) - middle) / spread
    assert abs(reduced.mean() + 1.21) < 0.2
    assert abs(reduced.std() - 1.27) < 0.15


def test_a_strength_gives_back_itself_from_the_singular_value_it_makes():
    n, p, strength = 30, 80, 15.0
    square = (strength**2 + n) * (strength**2 + p) / strength**2
    assert abs(_strength(square, n, p) - strength) < 1e-6
    rng = np.random.default_rng(1)
    left, right = rng.standard_normal(n), rng.standard_normal(p)
    one = strength * np.outer(left / np.linalg.norm(left), right / np.linalg.norm(right))
    seen = np.mean([np.linalg.norm(one + rng.standard_normal((n, p)), 2) ** 2 for _ in range(40)])
    assert abs(seen / square - 1) < 0.05
