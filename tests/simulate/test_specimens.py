"""Specimens of other generators: volumes and compositions that are known, the field, the grid, the precipitates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label
from scipy.spatial.transform import Rotation
from scipy.special import erfcinv

from napari_diptomo.series import InputError
from napari_diptomo.simulate import facetted, interdiffusion, needle, porous, project
from napari_diptomo.simulate.phantoms import block_mean
from napari_diptomo.simulate.solid_shapes import Grid
from napari_diptomo.simulate.specimens import _polyhedron

ANGLES = np.arange(-40.0, 41.0, 20.0)
BUILDERS = (porous, facetted, interdiffusion, needle)
TOUCHING = np.ones((3, 3, 3))


@pytest.mark.parametrize('build', BUILDERS)
@pytest.mark.parametrize('seed', (20, 21))
def test_no_matter_leaves_the_images_at_any_tilt(build, seed):
    phantom = build(32, seed)
    maps = project(phantom, ANGLES)
    totals = maps.sum(axis=(2, 3))
    np.testing.assert_allclose(totals, totals[:, 2:3] * np.ones(5), rtol=5e-3)
    assert maps[..., [0, -1]].max() == 0
    if build is not needle:
        assert maps[:, :, [0, -1]].max() == 0


@pytest.mark.parametrize('build', BUILDERS)
def test_same_seed_same_body(build):
    first, again, other = build(24, 20), build(24, 20), build(24, 22)
    np.testing.assert_array_equal(first.fine, again.fine)
    assert first.fine.shape == other.fine.shape
    assert not np.allclose(first.fine, other.fine)


@pytest.mark.parametrize('build', BUILDERS)
def test_truth_is_the_mean_over_the_fine_voxels(build):
    phantom = build(24, 20, voxel_size=2.5)
    truth = phantom.truth
    assert truth.data.shape == (3, 24, 24, 24)
    assert truth.voxel_size == 2.5
    z, y, x = 7, 11, 14
    block = phantom.fine[:, 2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
    np.testing.assert_allclose(truth.data[:, z, y, x], block.mean(axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(truth.data.sum(), phantom.fine.sum(dtype=float) / 8, rtol=1e-5)


@pytest.mark.parametrize('build', BUILDERS)
@pytest.mark.parametrize('seed', range(20, 24))
def test_no_channel_is_degenerate_and_c_is_rare(build, seed):
    phantom = build(40, seed)
    a, b, c = phantom.truth.data.sum(axis=(1, 2, 3), dtype=float)
    assert min(a, b, c) > 0.015 * (a + b + c)
    assert c < 0.12 * (a + b + c)
    assert phantom.fine.min() >= 0
    assert phantom.phases.max() < len(phantom.phase_names) == len(phantom.compositions)


def test_fractions_of_the_porous_body_are_those_of_a_gyroid():
    # Levels of a gyroid in infinitely many periods, from its formula.
    x, y, z = np.random.default_rng(0).uniform(0, 2 * np.pi, (3, 200_000))
    level = np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x)
    expected_a, expected_b = (level > 0.4).mean(), ((level > -0.5) & (level <= 0.4)).mean()
    found = []
    for seed in range(20, 26):
        phantom = porous(32, seed)
        occupied = phantom.truth.data.sum(axis=(1, 2, 3), dtype=float) / (1.0, 0.8, 1.2)
        ball = 4 / 3 * np.pi * (0.42 * 32) ** 3
        rods = occupied[2] / ball
        assert 0.01 < rods < 0.08
        # Rods replace what they cross, whatever it is.
        found.append(occupied[:2] / ball / (1 - rods))
    np.testing.assert_allclose(np.mean(found, axis=0), (expected_a, expected_b), atol=0.02)


def test_pores_are_open_and_rods_cross_them():
    phantom = porous(48, 20)
    z, y, x = np.indices((48, 48, 48)) - 23.5
    ball = np.sqrt(z**2 + y**2 + x**2) < 0.4 * 48
    pores, _ = label(phantom.phases == 0)
    assert (pores[ball & (phantom.phases == 0)] == pores[0, 0, 0]).mean() > 0.97
    rods = phantom.truth.data[2] > 0.6
    beside = np.zeros_like(rods)
    for axis in range(3):
        for step in (-2, 2):
            beside |= np.roll(rods, step, axis)
    assert (beside & ball & (phantom.phases == 0)).sum() > 50


@pytest.mark.parametrize(('is_cube', 'volume'), [(True, 8.0), (False, 4.0)])
def test_polyhedra_have_their_volumes(is_cube, volume):
    grid = Grid(24, 4)
    body = _polyhedron(grid, (0.3, -0.2, 0.1), 6.0, Rotation.from_euler('zyx', (10, 20, 30), degrees=True), is_cube)
    assert body.sum() * grid.step**3 == pytest.approx(volume * 6.0**3, rel=0.01)


@pytest.mark.parametrize('seed', range(20, 25))
def test_particles_are_several_of_different_sizes_with_cores_inside_shells(seed):
    phantom = facetted(48, seed)
    shell = phantom.phase_names.index('shell')
    core = phantom.phase_names.index('core')
    particles, _ = label(np.isin(phantom.phases, (shell, core)), TOUCHING)
    sizes = np.bincount(particles.ravel())[1:]
    sizes = np.sort(sizes[sizes > 20])
    assert len(sizes) >= 4
    assert sizes[-1] > 3 * sizes[0]
    # A core has its shell on all sides, but for what a small particle took.
    padded = np.pad(phantom.phases, 1)
    for axis in range(3):
        for step in (-1, 1):
            beside = np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
            assert (beside[phantom.phases == core] != 0).all()


@pytest.mark.parametrize('seed', (20, 21))
def test_interdiffusion_follows_an_error_function_along_one_oblique_direction(seed):
    phantom = interdiffusion(40, seed)
    a, b, _ = phantom.truth.data
    inside = a + b / 0.8 > 0.999
    np.testing.assert_allclose((a + b / 0.8)[inside], 1, atol=2e-3)
    clear = inside & (a > 0.02) & (a < 0.98)
    distance = erfcinv(2 * a[clear].astype(float))
    design = np.column_stack([*(np.argwhere(clear) - 19.5).T, np.ones(clear.sum())])
    slope, *_ = np.linalg.lstsq(design, distance, rcond=None)
    assert np.abs(design @ slope - distance).max() < 0.03
    normal = slope[:3] / np.linalg.norm(slope[:3])
    assert 30 <= np.degrees(np.arccos(abs(normal[0]))) <= 60
    assert 0.06 * 40 <= 1 / np.linalg.norm(slope[:3]) <= 0.11 * 40


def test_segregation_is_dilute_and_smooth():
    c = interdiffusion(40, 20).truth.data[2]
    assert 0.05 < c.max() < 0.25
    deep = c[17:23, 12:28, 17:23]
    assert max(np.abs(np.diff(deep, axis=axis)).max() for axis in range(3)) < 0.25 * c.max()


def test_needle_fills_half_of_the_field_and_keeps_its_matter_along_y():
    for seed in range(20, 26):
        phases = needle(40, seed).phases > 0
        width = phases.any(axis=0).sum(axis=1)
        assert 0.48 * 40 <= width[10] <= 0.64 * 40
        assert width[0] >= width[15] >= width[25]
        assert phases[:, 0].any()
    tips = [needle(24, seed, single=1, double=0).phases[:, -1].any() for seed in range(20, 40)]
    assert 4 <= sum(tips) <= 16


@pytest.mark.parametrize('seed', (20, 21))
def test_aligned_precipitates_are_whole_voxels_and_known_by_position(seed):
    phantom = needle(40, seed)
    truth = phantom.truth.data
    edges = np.diff(phantom.precipitates, axis=1)[:, 0]
    assert (edges == edges[:, :1]).all()
    assert np.bincount(edges[:, 0].astype(int)).tolist() == [0, 90, 40]
    assert set(np.unique(truth[2])) == {0.0, 2.0}
    parts, count = label(truth[2], TOUCHING)
    assert count == 130
    assert sorted(np.bincount(parts.ravel())[1:]) == [1] * 90 + [8] * 40
    known = np.zeros(truth.shape[1:])
    for low, high in phantom.precipitates.astype(int):
        known[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 2
    np.testing.assert_array_equal(known, truth[2])
    # They replace the matrix around them, and are all inside it.
    assert truth[:2, truth[2] > 0].max() == 0
    assert (phantom.phases[truth[2] > 0] == phantom.phase_names.index('precipitate')).all()


def test_precipitates_off_the_grid_keep_their_mass():
    phantom = needle(40, 20, aligned=False)
    assert (phantom.precipitates % 1 != 0).any()
    assert phantom.truth.data[2].sum() == pytest.approx(2 * (90 + 40 * 8), rel=1e-5)
    coarse = block_mean(phantom.fine, 2)[2]
    for low, high in phantom.precipitates:
        z, y, x = (slice(int(np.floor(a)), int(np.ceil(b))) for a, b in zip(low, high, strict=True))
        assert coarse[z, y, x].sum() == pytest.approx(2 * (high - low).prod(), rel=1e-5)


def test_a_small_needle_has_fewer_and_a_crowded_one_is_refused():
    assert len(needle(20, 20).precipitates) == round(90 / 8) + round(40 / 8)
    with pytest.raises(InputError, match='no position left'):
        needle(20, 20, double=4000)


def test_solute_is_a_minor_layer():
    phantom = needle(40, 20)
    a, b, _ = phantom.truth.data
    assert 0.28 < b.max() <= 0.3
    full = a + b > 0.999
    np.testing.assert_allclose((a + b)[full], 1, atol=1e-3)
    profile = b.max(axis=(0, 2))
    assert profile[0] < 0.05 and profile[-1] < 0.05
