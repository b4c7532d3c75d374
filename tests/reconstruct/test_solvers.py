"""SIRT and total variation against closed forms and known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT, TotalVariation
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.norms import gradient, gradient_adjoint
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual
from napari_diptomo.series import MapSeries


def test_sirt_finds_the_truth_from_all_angles_without_noise(truth):
    angles = np.arange(0, 180, 5.0)
    maps = MapSeries(ParallelBeam(angles, (16, 16, 16)).project(truth), angles, ('A', 'B'))
    volume = SIRT(iterations=300).run(maps)
    rms = np.sqrt(((volume.data - truth) ** 2).mean((1, 2, 3)))
    assert (rms < 0.03 * truth.max((1, 2, 3))).all()


def test_one_sirt_iteration_from_zero_is_the_weighted_backprojection(maps):
    """x1 = max(0, C A^T R y)."""
    beam = ParallelBeam(maps.angles, (16, 16, 16))
    ones = np.ones((1, 16, 16, 16), np.float32)
    rows, columns = beam.project(ones), beam.backproject(np.ones((1, *beam.sinogram_shape), np.float32))
    known = beam.backproject(maps.data / np.maximum(rows, 1e-6)) / np.maximum(columns, 1e-6)
    volume = SIRT(iterations=1).run(maps)
    np.testing.assert_allclose(volume.data, np.maximum(known, 0), rtol=1e-3, atol=1e-4)


def test_sirt_with_held_out_counts_returns_the_iterate_that_predicts_them_best(maps):
    few = replace(maps, data=np.random.default_rng(5).binomial(maps.data.astype(int), 0.1))
    volume = SIRT(iterations=150, holdout=0.2).run(few)
    curve, returned = volume.scores['validation'], volume.notes['returned_iteration']
    # Once noise is reached, a later iterate has to be better beyond doubt.
    assert 1 <= returned <= 1 + int(np.argmin(curve)) < 150
    assert volume.notes['held_out_deviance'] == pytest.approx(curve[returned - 1])
    assert curve[returned - 1] <= 1.01 * min(curve)
    np.testing.assert_array_equal(volume.data, SIRT(iterations=returned, holdout=0.2).run(few).data)


def test_gradient_adjoint():
    rng = np.random.default_rng(0)
    u, p = torch.tensor(rng.random((2, 5, 6, 7))), torch.tensor(rng.random((3, 2, 5, 6, 7)))
    assert float((gradient(u) * p).sum()) == pytest.approx(float((u * gradient_adjoint(p)).sum()), rel=1e-12)


@pytest.mark.parametrize('poisson', [True, False])
def test_proximal_map_of_the_conjugate_minimises_what_it_should(maps, poisson):
    """Moreau: prox_{s F*}(v) = v - s argmin_q [F(q) + s/2 (q - v/s)^2], here by brute force."""
    problem = Problem(maps)
    solver = PrimalDual(problem, torch.ones(2, 1, 1, 1), 0.1, poisson)
    moved = torch.rand(problem.fit.shape, generator=torch.Generator().manual_seed(0)) * 2 - 0.5
    found = solver._proximal(moved)
    index = (0, 4, 8, 8)
    sigma = float(solver._sigma_data.expand_as(moved)[index])
    y, variance = float(solver._target[index]), 1.0
    # Gaussian data are in units of their noise.
    q = np.linspace(1e-4 if poisson else -30, 60, 2_000_001)
    term = q - y * np.log(q) if poisson else (q - y) ** 2 / (2 * variance)
    best = q[np.argmin(term + sigma / 2 * (q - float(moved[index]) / sigma) ** 2)]
    assert float(found[index]) == pytest.approx(float(moved[index]) - sigma * best, abs=1e-4)


def test_overwhelming_total_variation_leaves_the_constant_that_explains_the_counts(maps):
    """With w -> infinity only constants are left: k_c = sum y_c / sum (A 1)."""
    volume = TotalVariation(weight=1000.0, iterations=3000, tolerance=0).run(maps)
    path = ParallelBeam(maps.angles, (16, 16, 16)).project(np.ones((1, 16, 16, 16), np.float32)).sum()
    for channel, counts in zip(volume.data, maps.data, strict=True):
        np.testing.assert_allclose(channel, counts.sum() / path, rtol=5e-3)


@pytest.mark.parametrize('variance', [False, True])
def test_total_variation_is_nearer_the_truth_than_sirt(maps, truth, variance):
    if variance:
        maps = replace(maps, variance=np.maximum(maps.data, 1))

    def rms(volume):
        return float(np.sqrt(((volume.data - truth) ** 2).mean()))

    assert rms(TotalVariation(weight=0.5).run(maps)) < 0.8 * rms(SIRT(iterations=100, holdout=0.1).run(maps))


def test_a_slab_wider_than_the_images_stays_flat(maps):
    """A uniform layer that extends outside: its density at the middle and near the edge is the same."""
    angles = np.arange(-40, 41, 5.0)
    wide = np.zeros((1, 20, 4, 80), np.float32)
    wide[:, 6:14] = 5.0
    data = ParallelBeam(angles, (20, 4, 80), columns=24).project(wide)
    series = MapSeries(data, angles, ('A',))
    flat = {}
    for beyond in (False, True):
        found = SIRT(iterations=200, thickness=20.0, beyond_field=beyond).run(series)
        assert found.data.shape == (1, 20, 4, 24)
        mass = found.data[0].sum((0, 1))
        flat[beyond] = mass[[0, 1, -2, -1]].mean() / mass[10:14].mean()
    assert flat[True] == pytest.approx(1.0, abs=0.05)
    assert abs(flat[False] - 1) > 2 * abs(flat[True] - 1)
