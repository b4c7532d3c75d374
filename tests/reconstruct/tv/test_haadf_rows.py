"""HAADF images as rows of the primal-dual method: adjoint, gradient, and the minimum that is promised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo import simulate
from napari_diptomo.reconstruct import TotalVariation
from napari_diptomo.reconstruct.dip.haadf_fit import HAADFFit
from napari_diptomo.reconstruct.haadf_particles import finding_on, listed
from napari_diptomo.reconstruct.haadf_verdict import findings_on
from napari_diptomo.reconstruct.haadf_weights import Intensity
from napari_diptomo.reconstruct.prepare import prepare
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import short_sirt, typical_density
from napari_diptomo.reconstruct.tv.bright_particles import bright_particles
from napari_diptomo.reconstruct.tv.haadf_rows import HAADFRows
from napari_diptomo.reconstruct.tv.norms import gradient, norm
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.simulate import facetted, lamella, tilt_series
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series

TILTS, WIDE = np.arange(-40, 41, 20.0), np.arange(-60, 61, 20.0)


@pytest.fixture(scope='module')
def problem() -> Problem:
    specimen = facetted(16, seed=21)
    maps = tilt_series(specimen, TILTS, 40, 1).maps
    recorded = haadf_series(specimen, WIDE, HAADFModel(damping=0.1, misregistration=0.3), seed=2)
    beside = replace(maps, haadf_series=HAADFSeries(recorded.images, WIDE, maps.pixel_size))
    found = prepare(beside, TotalVariation().problem_settings())
    assert found.haadf is not None
    return found


def rows_of(problem: Problem, damping: float) -> HAADFRows:
    data = problem.haadf
    given = Intensity(data.intensity.weights, data.intensity.errors, damping)
    damped = problem.with_haadf(replace(data, intensity=given))
    return HAADFRows(damped, typical_density(problem), short_sirt(problem, 10))


def test_paths_and_their_adjoint(problem: Problem) -> None:
    seen = rows_of(problem, 0.3).observation
    rng = torch.Generator().manual_seed(0)
    u = torch.rand((problem.channels + 1, *problem.beam.shape), generator=rng)
    p = torch.rand(seen.path(u).shape, generator=rng)
    assert float((seen.path(u) * p).sum()) == pytest.approx(float((u * seen.path_adjoint(p)).sum()), rel=1e-5)


@pytest.mark.parametrize('damping', [0.0, 0.4])
def test_the_rows_have_the_gradient_of_the_likelihood(problem: Problem, damping: float) -> None:
    rows = rows_of(problem, damping)
    seen, start = rows.observation, rows.start.double() * rows.scale.double()
    x = start.float().requires_grad_()
    (seen.term(x) * problem.data_size).backward()
    slope, target = seen.linear_about(x.detach())
    found = seen.path_adjoint(slope * (slope * seen.path(x.detach()) - target))
    np.testing.assert_allclose(found, x.grad, atol=1e-4 * float(x.grad.abs().max()))
    # And the likelihood has it: differences along a direction.
    way = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) * rows.scale
    step = 1e-3
    with torch.no_grad():
        above, below = (float(seen.term(x + sign * step * way) * problem.data_size) for sign in (1, -1))
    assert (above - below) / (2 * step) == pytest.approx(float((found * way).sum()), rel=0.02)


@pytest.mark.parametrize('coupling', ['joint', 'nuclear'])
def test_no_feasible_neighbour_is_better(problem: Problem, coupling: str) -> None:
    typical, rows = typical_density(problem), rows_of(problem, 0.0)
    solver = PrimalDual(problem, typical, 0.5, True, coupling, rows)
    for _ in range(900):
        solver.step()
    seen = rows.observation

    def objective(u: torch.Tensor) -> float:
        # A tenth of the counts is held out.
        m, y = (1 - problem.share) * problem.expected(u[:-1] * typical).double(), problem.fit.double()
        half = m - y - torch.xlogy(y, m.clamp_min(1e-12)) + torch.xlogy(y, y)
        # What no map holds has a price of its own where it is bright.
        tv = norm(gradient(torch.cat([u[:-1], rows.price * u[-1:]])), coupling).double().mean()
        images = float(seen.term(u * rows.scale)) * problem.data_size
        return float(half.sum()) + images + 0.5 * problem.data_size * float(tv)

    u = solver.u
    least = objective(u)
    rng = torch.Generator().manual_seed(0)
    changes = [torch.randn(u.shape, generator=rng) for _ in range(4)]
    changes += [u, -u, u.roll(1, 3) - u, u.mean((1, 2, 3), keepdim=True) - u]
    # What no map holds, in place of a channel.
    changes.append(torch.stack([-u[0] * typical[0, 0, 0, 0], *torch.zeros_like(u[1:-1]), u[0]]))
    for change in changes:
        for size in (0.005, 0.02, 0.1, 0.5):
            assert objective((u + size * change).clamp_min(0)) > least - 1e-5 * abs(least)


def test_the_numbers_of_the_images_come_to_rest(problem: Problem) -> None:
    rows = rows_of(problem, 0.2)
    refits = [rows.after(rows.start) for _ in range(400)]
    assert sum(refits) == 15 and not any(refits[301:])
    rows.restart()
    assert any(rows.after(rows.start) for _ in range(20))


def test_nothing_converges_while_what_no_map_holds_is_nearly_free(problem: Problem) -> None:
    rows = rows_of(problem, 0.0)
    solver = PrimalDual(problem, typical_density(problem), 0.5, True, 'joint', rows)
    settled = []
    for _ in range(160):
        solver.step()
        settled.append(solver.change < 1)
    # The price is found after 100 iterations; a change is that of the last 20.
    assert settled.index(True) == 119


@pytest.fixture(scope='module')
def dusty() -> tuple[Problem, float]:
    """A lamella with a particle in no map, 1.6 voxels in radius and 8 times as bright, and the particle's share of all intensity."""
    specimen, wide = lamella(24, seed=21), np.arange(-70, 71, 10.0)
    recorded = haadf_series(specimen, wide, HAADFModel(damping=0.1), seed=2)
    bright = np.tensordot(recorded.weights, specimen.fine, 1)
    dust = 8 * np.percentile(bright[bright > 0], 90) * _ball(bright.shape, 1.6 * specimen.supersample)
    images = recorded.images + simulate.project(replace(specimen, fine=dust[None], channels=('dust',)), wide)[0]
    maps = tilt_series(specimen, np.arange(-40, 41, 10.0), 40, 1).maps
    beside = replace(maps, haadf_series=HAADFSeries(images, wide, maps.pixel_size))
    return prepare(beside, TotalVariation().problem_settings()), float(dust.sum() / (bright.sum() + dust.sum()))


def _ball(shape: tuple[int, ...], radius: float) -> np.ndarray:
    """Whether a voxel lies within a radius, in voxels of the grid, of one corner of the field."""
    part = np.array([3, 5, 18]) / 24
    return sum((a + 0.5 - c * n) ** 2 for a, c, n in zip(np.indices(shape), part, shape, strict=True)) < radius**2


def test_a_bright_particle_in_no_map_is_followed(dusty: tuple[Problem, float]) -> None:
    """Before, it was not, and the images misfitted by 8 %."""
    problem, true = dusty
    typical = typical_density(problem)
    rows = HAADFRows(problem, typical, short_sirt(problem, 10))
    solver = PrimalDual(problem, typical, 0.5, True, 'joint', rows)
    for _ in range(300):
        solver.step()
    volume = solver.u * rows.scale
    near = torch.as_tensor(_ball(volume.shape[1:], 3.0))
    brightness = rows.observation.brightness(volume)
    assert float(volume[-1][near].sum() / brightness.sum()) == pytest.approx(true, rel=0.1)
    assert float((brightness - volume[-1])[near].sum() / brightness.sum()) < 0.1 * true
    assert rows.observation.misfit < 0.02


def test_a_bright_particle_is_found_before_a_network_is_fitted(dusty: tuple[Problem, float]) -> None:
    problem, true = dusty
    found = bright_particles(problem, short_sirt(problem, 10), True)
    assert found is not None
    assert not found[~torch.as_tensor(_ball(found.shape, 3.0))].any()
    brightness = np.tensordot(problem.haadf.intensity.weights, short_sirt(problem, 10).numpy(), 1).sum()
    share = float(found.sum() / (found.sum() + brightness))
    assert 0.6 * true < share < 1.1 * true


def test_a_particle_in_no_map_is_named_with_its_place(dusty: tuple[Problem, float]) -> None:
    problem, true = dusty
    typical = typical_density(problem)
    rows = HAADFRows(problem, typical, short_sirt(problem, 10))
    solver = PrimalDual(problem, typical, 0.3, True, images=rows)
    for _ in range(200):
        solver.step()
    noted = rows.notes(solver.u)
    ((*place, share),) = noted['particles']
    # A voxel's centre is half a voxel from its corner.
    assert place == pytest.approx([2.5, 4.5, 17.5], abs=0.6)
    assert 0.6 * true < share < 1.1 * true
    (doubt,) = [found for found in findings_on(noted, problem.maps.channels, None) if found.about == 'particles']
    assert doubt.level == 'doubt'
    at = ', '.join(f'{c:.0f}' for c in place)
    assert (
        f'1 bright particle that no map holds, with at least {100 * share:.1f} % of the intensity at z, y, x = {at} (voxels)'
        in (doubt.sentence)
    )
    # A network is given them, and names them too.
    given = problem.with_haadf(replace(problem.haadf, particles=rows.particles(solver.u)))
    x = torch.cat([short_sirt(problem, 10)] * 2)[: problem.channels + 1]
    ((*same, _),) = HAADFFit(given, typical, 'softplus').notes(x)['particles']
    assert same == place


def test_places_of_particles_are_those_of_the_volume_that_is_seen(dusty: tuple[Problem, float]) -> None:
    """The solvers' volume is wider where the specimen extends beyond the field, and lower where it is known to be thin."""
    seen, _ = dusty
    beyond = prepare(seen.maps, TotalVariation(beyond_field=True).problem_settings())
    nz, nx = beyond.margins
    assert nx < 0 or nz < 0
    particles = torch.zeros(beyond.beam.shape)
    particles[3 - nz, 5, 18 - nx] = 1
    ((*place, share),) = listed(beyond, particles, 3.0)
    assert place == [3, 5, 18] and share == 0.25
    # That is where the volume has it.
    volume = beyond.frame(particles.expand(beyond.channels, *particles.shape))
    assert volume[0, 3, 5, 18] > 0 and np.count_nonzero(volume[0]) == 1


def test_touching_voxels_are_one_particle_and_the_brightest_comes_first(problem: Problem) -> None:
    particles = torch.zeros(problem.beam.shape)
    particles[2, 3, 4], particles[3, 4, 5] = 1.0, 1.0
    particles[9, 9, 9], particles[0, 0, 15] = 6.0, 4e-3
    found = listed(problem, particles, 2.0)
    # The last has a share of 4e-4: a misfit that was followed.
    assert [place for *place, _ in found] == [[9, 9, 9], [2.5, 3.5, 4.5]]
    assert [share for *_, share in found] == pytest.approx([0.6, 0.2], rel=1e-3)
    (doubt,) = finding_on(found)
    assert '2 bright particles' in doubt.sentence and '80.0 % of the intensity' in doubt.sentence
    assert 'z, y, x = 9, 9, 9; 2, 4, 4 (voxels)' in doubt.sentence
    assert 'the brightest' in finding_on([[i, 0, 0, 0.1] for i in range(5)])[0].sentence
    assert listed(problem, None, 1.0) == [] and finding_on([]) == ()


def test_images_without_particles_hold_none(problem: Problem) -> None:
    assert bright_particles(problem, short_sirt(problem, 10), True) is None


def test_a_network_takes_the_particles_as_given(dusty: tuple[Problem, float]) -> None:
    problem, _ = dusty
    particles = torch.zeros(problem.beam.shape)
    particles[3, 5, 18] = 0.5
    data = problem.haadf
    bare, given = (
        HAADFFit(problem.with_haadf(replace(data, particles=p)), typical_density(problem), 'softplus').observation
        for p in (None, particles)
    )
    nothing = torch.zeros((problem.channels + 1, *problem.beam.shape))
    as_unmapped = torch.cat([nothing[:-1], particles[None]])
    assert float(given.path(nothing).sum()) > 0
    torch.testing.assert_close(given.path(nothing), bare.path(as_unmapped))
    x = torch.cat([short_sirt(problem, 10), nothing[:1]])
    assert given.notes(x)['unmapped'] == pytest.approx(
        float(particles.sum() / (given.brightness(x).sum() + particles.sum())), rel=1e-5
    )
