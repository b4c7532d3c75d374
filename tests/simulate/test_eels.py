"""Simulated EELS: the counts that were asked for, the shapes and the scattering, and the truth that goes with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo._sample_data import nanocube_spectra
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError
from napari_diptomo.simulate import edx_phantom, eels_phantom, eels_tilt_series, oxide_nanocube, project
from napari_diptomo.simulate.eels_scattering import LossGrid, Scattering, single_plasmon, zero_loss
from napari_diptomo.simulate.eels_shapes import OXIDES, ShapeVariation, counts_per_iron, white_lines
from napari_diptomo.widgets.layers.image_layers import KEY

THEORY = Path(__file__).parents[2].parent / 'shared' / 'data' / 'spectra'
ANGLES = np.array([-60.0, 0.0, 60.0])
QUIET = {'read_noise': 0.0, 'jitter_ev': 0.0}


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.fixture(scope='module')
def cube():
    return oxide_nanocube(20, film=1.0, ligand=1.0)


@pytest.fixture(scope='module')
def made(cube):
    return eels_tilt_series(cube, ANGLES, seed=3)


# Shapes


@pytest.mark.skipif(not THEORY.is_dir(), reason='the calculated multiplets are not here')
@pytest.mark.parametrize('edge', ['M', 'L'])
def test_shapes_are_those_of_the_multiplets(edge):
    table = np.loadtxt(THEORY / f'theory_Fe{edge}23.csv', delimiter=',').T
    for oxide, column in (('FeO', 1), ('Fe3O4', 4)):
        ours = white_lines(table[0], oxide, edge, gaussian=0.8)
        assert cosine(ours, table[column]) > 0.999
        assert ours.sum() == pytest.approx(table[column].sum(), rel=0.015)


@pytest.mark.parametrize(('edge', 'low', 'high', 'known'), [('M', 45, 75, 0.955), ('L', 700, 735, 0.794)])
def test_the_oxides_differ_as_calculated(edge, low, high, known):
    energy = np.arange(low, high, 0.05)
    feo, fe3o4 = (white_lines(energy, oxide, edge, gaussian=0.8) for oxide in OXIDES)
    assert cosine(feo, fe3o4) == pytest.approx(known, abs=0.003)


@pytest.mark.parametrize('edge', ['M', 'L'])
@pytest.mark.parametrize(('oxide', 'holes'), [('FeO', 4), ('Fe3O4', 14 / 3)])
def test_white_lines_obey_the_sum_rule(edge, oxide, holes):
    energy = np.arange(-3000, 4000, 0.1)
    variation = ShapeVariation.random(np.random.default_rng(1))
    for shapes in (None, variation):
        assert white_lines(energy, oxide, edge, shapes).sum() * 0.1 == pytest.approx(0.4 * holes, rel=1e-3)


def test_stretching_the_multiplet_moves_the_pre_peak():
    """Fe2+: 2.6 eV below the maximum as calculated, 3.5 eV with Slater integrals of 0.8."""
    energy = np.arange(45, 75, 0.01)
    for scale, distance in ((0.6, 2.6), (0.8, 3.5)):
        shape = white_lines(energy, 'FeO', 'M', ShapeVariation(scale=scale), gaussian=0.8)
        maxima = energy[1:-1][(shape[1:-1] > shape[:-2]) & (shape[1:-1] > shape[2:])]
        main = energy[shape.argmax()]
        assert main == pytest.approx(57.0, abs=0.15)
        assert np.abs(main - maxima - distance).min() < 0.25


def test_every_seed_has_its_own_shapes(cube):
    first, second = (eels_tilt_series(cube, [0.0], seed=seed).standards['FeO'] for seed in (1, 2))
    assert 0.9 < cosine(first, second) < 0.9995


# Scattering


@pytest.fixture(scope='module')
def grid():
    return LossGrid.behind(np.arange(-10, 100, 0.25))


def test_zero_loss_has_its_width_and_area(grid):
    fine = np.fft.irfft(zero_loss(grid.frequency, 0.8) * np.exp(-2j * np.pi * grid.frequency * 10), grid.bins)
    energy = grid.losses - 10
    assert fine.sum() == pytest.approx(1)
    above = energy[fine > fine.max() / 2]
    assert above[-1] - above[0] + grid.step == pytest.approx(0.8, abs=0.2)
    assert energy[fine.argmax()] == pytest.approx(0, abs=0.13)
    # The tail lies on the loss side.
    assert fine[(energy > 2) & (energy < 6)].sum() > 3 * fine[(energy < -2) & (energy > -6)].sum()


def test_plasmon_has_its_maximum_and_width():
    losses = np.arange(0, 300, 0.05)
    plasmon = single_plasmon(losses)
    assert plasmon.sum() * 0.05 == pytest.approx(1)
    # A Drude peak lies a little under its plasma energy: sqrt(22^2 - 10^2 / 4) to first order.
    assert losses[plasmon.argmax()] == pytest.approx(np.sqrt(22**2 - 10**2 / 4), abs=0.5)
    above = losses[(plasmon > plasmon.max() / 2) & (losses > 12)]
    assert above[-1] - above[0] == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize('tau', [0.0, 0.4, 1.0])
def test_plural_scattering_has_the_moments_of_a_poisson_law(grid, tau):
    """Unit area, e^-tau at zero loss, mean tau <P>, variance tau <P^2>."""
    kernel = np.fft.irfft(Scattering(grid).kernel(np.array([tau]), np.zeros(1))[0], grid.bins)
    single = np.fft.irfft(np.log(Scattering(grid).kernel(np.ones(1), np.zeros(1))[0]) + 1, grid.bins)
    losses = grid.losses
    assert kernel.sum() == pytest.approx(1)
    assert kernel[0] == pytest.approx(np.exp(-tau), abs=2e-3)
    mean = kernel @ losses
    assert mean == pytest.approx(tau * (single @ losses), abs=0.02)
    assert kernel @ (losses - mean) ** 2 == pytest.approx(tau * (single @ losses**2), rel=0.01, abs=1e-6)


def test_carbon_and_oxide_scatter_independently(grid):
    one = np.array([0.3])
    both = Scattering(grid).kernel(one, one)
    np.testing.assert_allclose(
        both, Scattering(grid).kernel(one, 0 * one) * Scattering(grid).kernel(0 * one, one), rtol=1e-12
    )


def test_thickness_follows_from_the_log_ratio(made):
    background = made.background(1)
    zero_losses = background[..., made.series.energy < 3].sum(-1)
    electrons = background.sum(-1)
    thickness = np.log(electrons / zero_losses)
    # 1-2 % of the zero loss tails past 3 eV, some single losses lie below it.
    np.testing.assert_allclose(thickness, made.thickness[1], atol=0.03)


@pytest.mark.parametrize('law', ['power law', 'exponential'])
def test_background_obeys_its_law(cube, law):
    made = eels_tilt_series(cube, [0.0], background=law, seed=5, **QUIET)
    energy = made.series.energy
    part = (energy > 36) & (energy < 95)
    x = np.log(energy[part]) if law == 'power law' else energy[part]
    logs = np.log(made.background(0)[made.iron[0]][:, part].astype(float))
    slope = np.polyfit(x, logs.T, 1)
    np.testing.assert_allclose(logs, slope[1][:, None] + slope[0][:, None] * x, atol=0.006)
    expected = (-2.65, -2.4) if law == 'power law' else (-1 / 15.5, -1 / 17.0)
    assert min(expected) - 0.01 < slope[0].mean() < max(expected) + 0.01


def test_plasmon_background_has_its_second_plasmon(cube):
    made = eels_tilt_series(cube, [0.0], background='plasmon', seed=5, **QUIET)
    energy, spectrum = made.series.energy, made.background(0)[made.iron[0]].mean(0)
    bump = spectrum * np.maximum(energy, 1) ** 3
    assert 40 < energy[30 * 4 + 40 :][bump[30 * 4 + 40 :].argmax()] < 52


# Counts and truth


def test_mean_iron_pixel_has_the_counts_asked_for(made):
    assert made.clean.sum(0)[made.iron].mean() == pytest.approx(2000, rel=1e-4)
    assert made.thickness[made.iron].mean() == pytest.approx(0.4, rel=1e-4)
    window = (made.series.energy >= 47) & (made.series.energy < 62)
    background, edges = (
        np.concatenate([made.expected(t)[i][made.iron[t]] for t in range(3)])[:, window].sum() for i in (0, 1)
    )
    assert edges / background == pytest.approx(0.3, rel=0.06)


def test_truth_projects_to_the_expected_counts(made):
    projected = ParallelBeam(ANGLES, (20, 20, 20)).project(made.truth.data)
    assert made.truth.channels == OXIDES
    np.testing.assert_allclose(projected[:, 1], made.clean[:, 1], rtol=1e-3, atol=0.1)
    np.testing.assert_allclose(projected.sum((2, 3)), made.clean.sum((2, 3)), rtol=0.01)
    assert made.truth.data.sum() == pytest.approx(made.clean[:, 1].sum(), rel=1e-3)


def test_thin_edges_are_counts_times_standards(cube):
    made = eels_tilt_series(cube, [0.0], t_over_lambda=1e-6, **QUIET)
    edges = made.expected(0)[1]
    shapes = np.stack([made.standards[name] for name in OXIDES])
    np.testing.assert_allclose(edges, np.tensordot(made.clean[:, 0], shapes, axes=(0, 0)), rtol=1e-4, atol=1e-3)
    window = (made.series.energy >= 47) & (made.series.energy < 62)
    np.testing.assert_allclose(shapes[:, window].sum(1), 1)


def test_plasmons_take_their_share_of_the_edge_out_of_the_window(made):
    edges = made.expected(1)[1]
    window = (made.series.energy >= 47) & (made.series.energy < 62)
    iron = made.iron[1]
    left = edges[iron][:, window].sum(1) / made.clean[:, 1].sum(0)[iron]
    # A few interband losses stay inside.
    np.testing.assert_allclose(left, np.exp(-0.94 * made.thickness[1][iron]), rtol=0.06)


def test_standards_behind_a_thickness_are_the_edges_seen_there(made):
    iron = made.iron[1] & (np.abs(made.shifts[1]) < 0.02)
    y, x = np.argwhere(iron)[0]
    shapes = made.standards_behind(made.thickness[1, y, x])
    seen = sum(made.clean[i, 1, y, x] * shapes[name] for i, name in enumerate(OXIDES))
    assert cosine(seen, made.expected(1)[1][y, x]) > 0.998
    for core, thin in ((False, made.standards), (True, made.core_standards)):
        same = made.standards_behind(0.0, core)
        for name in OXIDES:
            np.testing.assert_allclose(same[name], thin[name], atol=1e-9)


def test_iron_per_count_follows_the_sum_rule(made):
    assert made.per_iron['FeO'] == 1
    # White lines 14/12, on a continuum that is equal.
    assert 1.08 < made.per_iron['Fe3O4'] < 14 / 12
    assert counts_per_iron('Fe3O4') / counts_per_iron('FeO') == pytest.approx(made.per_iron['Fe3O4'], rel=0.03)


def test_core_loss_counts_follow_from_the_dose(cube):
    equal, more = (eels_tilt_series(cube, ANGLES, core_dose=dose) for dose in (1.0, 12.0))
    assert equal.series.core_loss.tilts == (1,)
    assert equal.clean[:, 1].sum() / equal.core_clean.sum() == pytest.approx(24, rel=0.02)
    np.testing.assert_allclose(more.core_clean, 12 * equal.core_clean, rtol=1e-5)
    window = (more.series.core_loss.energy >= 704) & (more.series.core_loss.energy < 729)
    background, edges = (part[more.iron[1]][:, window].sum() for part in more.core_expected(1))
    assert edges / background == pytest.approx(1.7, rel=0.05)


def test_core_loss_at_the_tilts_asked_for(cube):
    made = eels_tilt_series(cube, ANGLES, core_tilts=(0, 2), energy_offset=1.5, core_range=(680.0, 760.0))
    core = made.series.core_loss
    assert core.tilts == (0, 2)
    assert core.counts.shape == (2, 20, 20, 320)
    assert core.energy[0] == pytest.approx(681.5)
    # FeO has its L3 at 707.8 eV, here written 1.5 eV too high.
    assert core.energy[made.core_standards['FeO'].argmax()] == pytest.approx(709.3, abs=0.5)


# Noise


def test_counts_are_poisson_with_read_out_noise(made):
    expected = np.add(*made.expected(1))
    residual = made.series.counts[1] - expected
    variance = expected + 1
    assert residual.mean() == pytest.approx(0, abs=4 * float(np.sqrt(variance.mean() / residual.size)))
    for part in (expected < 5, (expected > 20) & (expected < 200), expected > 1e3):
        assert (residual[part] ** 2 / variance[part]).mean() == pytest.approx(1, abs=0.05)


def test_without_read_out_noise_counts_are_whole(cube):
    counts = eels_tilt_series(cube, [0.0], read_noise=0.0).series.counts
    np.testing.assert_array_equal(counts, np.round(counts))
    assert counts.dtype == np.float32
    assert counts.min() == 0


def test_dark_level_and_gain_pattern(cube):
    made = eels_tilt_series(cube, [0.0], dark=7.0, gain_error=0.05, seed=4)
    vacuum = ~made.iron[0] & (made.thickness[0] == 0)
    mean = made.series.counts[0][vacuum].mean(0)
    assert mean[made.series.energy > 90].mean() == pytest.approx(7.0, abs=0.2)
    expected = np.add(*made.expected(0)).sum((0, 1))
    ratio = (made.series.counts[0] - 7.0).sum((0, 1)) / expected
    assert ratio[expected > 1e5].std() == pytest.approx(0.05, rel=0.35)


def test_zero_loss_is_displaced_as_stated(cube):
    made = eels_tilt_series(cube, [0.0, 30.0], jitter_ev=0.4, read_noise=0.0, seed=6)
    energy, counts = made.series.energy, made.series.counts
    near = np.abs(energy) < 1.5
    centres = (counts[..., near] * energy[near]).sum(-1) / counts[..., near].sum(-1)
    errors = centres - made.shifts
    assert errors.std() < 0.06
    assert made.shifts.shape == (2, 20, 20)
    # Uniform over +-0.4 eV.
    assert np.abs(made.shifts).max() <= 0.4
    assert made.shifts.std() == pytest.approx(0.8 / np.sqrt(12), rel=0.05)


def test_core_loss_moves_with_the_zero_loss(cube):
    made = eels_tilt_series(cube, [0.0], jitter_ev=0.5, seed=7)
    edges, iron = made.core_expected(0)[1], made.iron[0]
    energy = made.series.core_loss.energy
    still = eels_tilt_series(cube, [0.0], jitter_ev=0.0, seed=7).core_expected(0)[1]
    before = energy < 716
    centres, at_rest = (
        part[iron][:, before] @ energy[before] / part[iron][:, before].sum(1) for part in (edges, still)
    )
    np.testing.assert_allclose(centres - at_rest, made.shifts[0][iron], atol=0.2)


def test_same_seed_same_counts(cube):
    one, same, other = (eels_tilt_series(cube, [0.0], seed=seed).series for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.counts, same.counts)
    np.testing.assert_array_equal(one.core_loss.counts, same.core_loss.counts)
    assert (one.counts != other.counts).any()


# Specimens


def test_nanocube_has_film_void_and_ligands():
    cube = oxide_nanocube(40)
    feo, fe3o4, carbon = cube.truth.data
    # Half edges from outside in; the film lies outside, the void in the shell.
    ligand = (20 - 2) / 1.52
    film, shell = ligand - 1.5, ligand - 3.5
    core, void = 0.55 * shell, 4 / 3 * np.pi * (0.18 * shell) ** 3
    assert feo.sum() == pytest.approx(8 * (core**3 + film**3 - shell**3), rel=0.02)
    assert fe3o4.sum() / fe3o4.max() == pytest.approx(8 * (shell**3 - core**3) - void, rel=0.02)
    assert carbon.sum() == pytest.approx(8 * (ligand**3 - film**3), rel=0.02)
    assert fe3o4.max() == pytest.approx(40.4 / 48.2 * counts_per_iron('Fe3O4') / counts_per_iron('FeO'), rel=1e-5)
    solid = oxide_nanocube(40, void=0).truth.data
    assert solid[1].sum() - fe3o4.sum() == pytest.approx(void * fe3o4.max(), rel=0.05)
    assert oxide_nanocube(40, ligand=0).truth.data[2].max() == 0
    with pytest.raises(InputError, match='no space'):
        oxide_nanocube(20, film=6)


def test_nanocube_stays_in_the_field_at_all_tilts():
    rim = np.ones((32, 32), bool)
    rim[1:-1, 1:-1] = False
    assert project(oxide_nanocube(32), np.arange(-90.0, 90.0, 15.0))[:, :, rim].max() < 1e-6


def test_the_published_phantom_and_others(cube):
    made = eels_tilt_series(eels_phantom(20), [0.0], jitter=1.5, seed=2)
    assert made.truth.data[0].max() / made.truth.data[1].max() == pytest.approx(2)
    assert 0 < np.abs(made.drift).max() <= 1.5
    with pytest.raises(InputError, match='FeO and Fe3O4'):
        eels_tilt_series(edx_phantom(20), [0.0])
    with pytest.raises(InputError, match='47-62 eV'):
        eels_tilt_series(cube, [0.0], low_range=(-10.0, 60.0))
    with pytest.raises(InputError, match='positive'):
        eels_tilt_series(cube, [0.0], edge_counts=0.0)


def test_the_sample_is_a_counted_dual_range_series():
    ((image, kwargs, kind),) = nanocube_spectra()
    assert (image.shape, kind) == ((9, 1, 32, 32), 'image')
    series = kwargs['metadata'][KEY]['maps']
    assert series.counts.shape == (9, 32, 32, 440)
    assert series.energy_unit == 'eV'
    assert series.core_loss.tilts == (4,)
    assert (series.counts == np.round(series.counts)).all()
    assert series.haadf.shape == (9, 32, 32)
