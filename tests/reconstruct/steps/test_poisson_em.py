"""Poisson EM: what every iteration owes, closed forms, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo import Recipe
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import PoissonEM
from napari_diptomo.reconstruct.em_iteration import em_update, uniform_start
from napari_diptomo.reconstruct.iterate import FixedPointMethod, solve_fixed_point
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import InputError, MapSeries, Watch


def log_likelihood(problem: Problem, x: torch.Tensor) -> float:
    m = problem.expected(x).double()
    return float((torch.xlogy(problem.fit.double(), m) - m).sum())


def windows(maps: MapSeries, clean: np.ndarray, counts: float = 1.0) -> tuple[MapSeries, np.ndarray]:
    """Three windows on two elements with gain and background, and their expected counts."""
    rng = np.random.default_rng(1)
    mixing = np.array([[1.0, 0.3], [0.1, 0.8], [0.5, 0.5]])
    gain = rng.uniform(0.5, 2, (3, clean.shape[1])) * counts
    background = rng.uniform(0, 1, (3, *clean.shape[1:])) * counts
    expected = gain[:, :, None, None] * np.einsum('wc,ctyu->wtyu', mixing, clean) + background
    return replace(maps, data=np.round(expected), mixing=mixing, gain=gain, background=background), expected


def test_every_iteration_raises_the_likelihood_and_conserves_the_counts(maps):
    problem = Problem(maps)
    update, x = em_update(problem), uniform_start(problem)
    sensitivity = problem.adjoint(problem.mask.expand_as(problem.fit))
    before = log_likelihood(problem, x)
    for _ in range(30):
        x = update(x, problem.expected(x))
        after = log_likelihood(problem, x)
        assert after > before
        before = after
        # Every ray with counts meets the volume here, so none is lost, channel by channel.
        explained = (x.double() * sensitivity).sum((1, 2, 3))
        np.testing.assert_allclose(explained, maps.data.sum((1, 2, 3)), rtol=1e-4)


def test_likelihood_rises_with_mixing_gain_background_and_held_out_counts(maps, clean):
    data = np.random.default_rng(2).poisson(windows(maps, clean)[1])
    problem = Problem(replace(windows(maps, clean)[0], data=data), holdout=0.3)
    update, x = em_update(problem), uniform_start(problem)
    likelihoods = []
    for _ in range(20):
        x = update(x, problem.expected(x))
        m = (0.7 * problem.expected(x)).double()
        likelihoods.append(float((torch.xlogy(problem.fit.double(), m) - m).sum()))
    assert (np.diff(likelihoods) > 0).all()


def test_one_iteration_is_the_formula(maps):
    """x1 = x0 / (A^T 1) * A^T (y / A x0) from the uniform x0 with the measured counts."""
    beam = ParallelBeam(maps.angles, (16, 16, 16))
    ones = np.ones((2, 16, 16, 16), np.float32)
    sensitivity = beam.backproject(np.ones((2, *beam.sinogram_shape), np.float32))
    start = maps.data.sum() / sensitivity.sum()
    path = np.maximum(beam.project(ones) * start, 1e-6)
    known = start * beam.backproject(maps.data / path) / np.maximum(sensitivity, 1e-6)
    np.testing.assert_allclose(PoissonEM(iterations=1).run(maps).data, known, rtol=1e-3, atol=1e-4)


def test_the_truth_is_found_from_all_angles_without_noise():
    """A 5 x 5 slice that 24 tilts determine: counts so many that rounding them is no noise."""
    truth = np.random.default_rng(0).uniform(1, 9, (1, 5, 1, 5)).astype(np.float32) * 1000
    truth[0, 2, 0, 2] = 0
    angles = np.arange(0, 180, 7.5)
    maps = MapSeries(np.round(ParallelBeam(angles, (5, 1, 5)).project(truth)), angles, ('A',))
    found = PoissonEM(iterations=2000).run(maps).data
    assert np.abs(found - truth).max() < 0.01 * truth.max()


def test_overlapping_windows_are_taken_apart(maps):
    """Mixing, gain and background known, no noise: two elements from three windows."""
    angles = np.arange(0, 180, 7.5)
    truth = np.random.default_rng(0).uniform(1, 9, (2, 3, 1, 3)).astype(np.float32)
    clean = ParallelBeam(angles, (3, 1, 3)).project(truth)
    two = MapSeries(clean, angles, ('A', 'B'))
    found = PoissonEM(iterations=2000).run(windows(two, clean, counts=1000.0)[0]).data
    assert np.abs(found - truth).max() < 0.03 * truth.max()


def test_held_out_counts_choose_the_iterate(maps, truth):
    few = replace(maps, data=np.random.default_rng(5).binomial(maps.data.astype(int), 0.1))
    chosen, last = (PoissonEM(iterations=150, holdout=h).run(few) for h in (0.2, 0.0))
    returned = chosen.notes['returned_iteration']
    assert returned < 150
    assert chosen.notes['held_out_deviance'] <= 1.01 * min(chosen.scores['validation'])
    rms = [np.sqrt(((v.data - 0.1 * truth) ** 2).mean()) for v in (chosen, last)]
    assert rms[0] < 0.8 * rms[1]
    assert last.notes['returned_iteration'] == 150


def test_the_held_out_share_does_not_change_the_density(maps):
    """y / (1 - h): the volume is that of the full exposure whatever is held out."""
    whole = PoissonEM(iterations=5).run(maps).data.sum()
    assert PoissonEM(iterations=5, holdout=0.5).run(maps).data.sum() == pytest.approx(whole, rel=0.02)


def test_rows_from_outside_do_not_count(maps):
    """A row that the shift brought in from outside carries no weight: whatever it holds changes nothing."""
    shifts = np.zeros((9, 2))
    shifts[0, 0] = 3.0
    data = maps.data.copy()
    data[:, 0, :3] = 1000
    first, second = (PoissonEM(iterations=5).run(replace(maps, data=d, shifts=shifts)) for d in (maps.data, data))
    np.testing.assert_allclose(first.data, second.data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    'change',
    [
        lambda m: replace(m, data=m.data - 1),
        lambda m: replace(m, data=m.data * np.sqrt(np.linspace(0.1, 0.2, m.data.shape[3]))),
        lambda m: replace(m, variance=np.maximum(m.data, 1)),
    ],
)
def test_what_is_no_count_is_refused_with_the_way_out(maps, change):
    with pytest.raises(InputError, match=r'^Poisson EM needs whole counts.*; take SIRT or Joint TV'):
        PoissonEM().run(change(maps))


def test_a_negative_background_is_refused(maps):
    with pytest.raises(InputError, match='needs a background without negative values; correct it'):
        PoissonEM().run(replace(maps, background=np.full_like(maps.data, -0.1)))


def test_it_is_a_step_of_recipes(maps):
    volume = PoissonEM(iterations=2).run(maps)
    assert Recipe.from_json(volume.recipe.to_json()).steps == (PoissonEM(iterations=2),)
    assert volume.notes['method'] == 'Poisson EM'


def test_iterating_from_the_solution_stays_there(maps, truth, clean):
    """The truth is a fixed point where the data are its own: x / (A^T 1) * A^T (A x / A x) = x."""
    problem = Problem(replace(maps, data=np.round(clean * 1000)))
    method = FixedPointMethod('EM', 'EM', 3, True, lambda _: torch.as_tensor(truth) * 1000, em_update)
    found = solve_fixed_point(problem, method, Watch(None, 'EM', 3))
    np.testing.assert_allclose(problem.frame(found.x), 1000 * truth, rtol=2e-3)
