"""Steps of SIRT and EM on HAADF images: where they rest, and what they keep."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from napari_diptomo.reconstruct import SIRT
from napari_diptomo.reconstruct.haadf_image_steps import ImageSteps
from napari_diptomo.reconstruct.haadf_observation import HAADFObservation
from napari_diptomo.reconstruct.haadf_weights import Intensity
from napari_diptomo.reconstruct.prepare import prepare
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.simulate import facetted, tilt_series
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series

TILTS, WIDE = np.arange(-40, 41, 20.0), np.arange(-60, 61, 20.0)
KINDS = ('SIRT', 'EM')
Kind = Literal['SIRT', 'EM']


@pytest.fixture(scope='module')
def simulated():
    return tilt_series(facetted(16, seed=21), TILTS, 40, 1)


@pytest.fixture(scope='module')
def problem(simulated) -> Problem:
    recorded = haadf_series(facetted(16, seed=21), WIDE, HAADFModel(), seed=2)
    series = HAADFSeries(recorded.images, WIDE, simulated.maps.pixel_size)
    found = prepare(replace(simulated.maps, haadf_series=series), SIRT().problem_settings())
    assert found.haadf is not None
    return found


@pytest.fixture(scope='module')
def truth(simulated) -> torch.Tensor:
    return torch.as_tensor(simulated.truth.data)


def with_images_of(problem: Problem, x: torch.Tensor, damping: float) -> Problem:
    """The problem with the images that a volume would have, of an offset and gain of their own."""
    data = problem.haadf
    given = Intensity(data.intensity.weights, data.intensity.errors, damping)
    seen = HAADFObservation(data.series, given, problem.beam.shape, problem.device, problem.data_size)
    images = seen.model(torch.cat([x, 0 * x[:1]])).numpy()
    return problem.with_haadf(replace(data, intensity=given, series=replace(data.series, images=0.2 + images)))


@pytest.mark.parametrize('damping', [0.0, 0.3])
@pytest.mark.parametrize('kind', KINDS)
def test_a_volume_that_explains_its_images_stays(problem: Problem, truth: torch.Tensor, kind: Kind, damping: float):
    steps = ImageSteps(with_images_of(problem, truth, damping), truth, kind)
    steps._unmapped = 0 * steps._unmapped
    torch.testing.assert_close(steps.step(truth), truth, rtol=2e-3, atol=1e-5)
    notes = steps.notes(truth)
    assert notes['misfit'] < 1e-3 and np.abs(notes['shifts']).max() < 0.01


@pytest.mark.parametrize('kind', KINDS)
def test_the_composition_of_a_voxel_stays_and_vacuum_stays_empty(problem: Problem, truth: torch.Tensor, kind: Kind):
    x = truth * torch.rand(truth.shape, generator=torch.Generator().manual_seed(0))
    moved = ImageSteps(problem, x, kind).step(x)
    factor = moved / x.clamp_min(1e-12)
    held = (x > 1e-3).all(dim=0)
    assert held.any() and float((factor[:, held] - factor[:1, held]).abs().max()) < 1e-4
    assert bool((moved[x == 0] == 0).all()) and float((factor[0, held] - 1).abs().max()) > 0.05


def test_after_a_step_of_em_the_paths_hold_what_the_images_show(problem: Problem, truth: torch.Tensor):
    """sum (A^T 1) b = sum p, as that of the counts after EM on the maps."""
    steps = ImageSteps(with_images_of(problem, truth, 0.0), truth, 'EM')
    # In vacuum the factor is 0, for which there is a bound.
    steps._unmapped = 0 * steps._unmapped
    x = 0.7 * truth
    whole = steps._whole(steps.step(x))
    bright = steps._images.brightness(whole)
    assert float((steps._columns * bright).sum()) == pytest.approx(float((steps._mask * steps._wanted).sum()), rel=1e-3)


@pytest.mark.parametrize('kind', KINDS)
def test_steps_approach_what_the_images_show(problem: Problem, truth: torch.Tensor, kind: Kind):
    steps, x = ImageSteps(with_images_of(problem, truth, 0.0), truth, kind), 0.5 * truth

    def misfit() -> float:
        rest = steps._mask * (steps._wanted - steps._images.path(steps._whole(x)))
        return float((rest.square() / steps._rows.clamp_min(1e-6)).sum())

    found = [misfit()]
    for _ in range(6):
        x = steps.step(x)
        found.append(misfit())
    assert all(after < before for before, after in itertools.pairwise(found))
    assert found[-1] < 0.1 * found[0]


def test_matter_in_no_map_appears_where_images_alone_show_it(problem: Problem, truth: torch.Tensor):
    """Half of the specimen is taken out of the volume; with the channels kept there, the rest is what no map holds."""
    steps = ImageSteps(with_images_of(problem, truth, 0.0), truth, 'EM')
    half = truth.clone()
    half[..., :8] = 0
    for _ in range(20):
        steps.step(half)
    unmapped = steps._unmapped[0]
    bright = steps._images.brightness(torch.cat([truth, 0 * truth[:1]]))
    missing = bright[..., :8]
    assert float(unmapped[..., :8].sum() / missing.sum()) > 0.7
    assert np.corrcoef(unmapped[..., :8].flatten(), missing.flatten())[0, 1] > 0.8


@pytest.mark.parametrize('kind', KINDS)
def test_where_no_ray_passes_nothing_changes(problem: Problem, truth: torch.Tensor, kind: Kind):
    data = problem.haadf
    missing = np.zeros(data.series.images.shape, bool)
    missing[:, :5] = True
    beside = problem.with_haadf(replace(data, series=replace(data.series, missing=missing)))
    moved = ImageSteps(beside, truth, kind).step(0.8 * truth)
    torch.testing.assert_close(moved[:, :, :4], 0.8 * truth[:, :, :4])
    assert not torch.allclose(moved[:, :, 6:], 0.8 * truth[:, :, 6:])
