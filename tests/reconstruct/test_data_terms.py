"""The data term channel by channel: each is that of its channel alone, and their mean that of all."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.reconstruct.data_terms import fit_term, fit_terms
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import MapSeries, Observer
from napari_diptomo.simulate import lamella, tilt_series

ANGLES = np.arange(-40, 41, 20.0)
SMALL = {'widths': (8, 16), 'skips': (4, 4), 'iterations': 4, 'output': 'softplus', 'ensemble': 1}


@pytest.fixture(scope='module')
def maps() -> MapSeries:
    return tilt_series(lamella(16, 3), ANGLES, 20, 0).maps


def of_counts(maps: MapSeries) -> MapSeries:
    return maps


def with_variance(maps: MapSeries) -> MapSeries:
    return replace(maps, variance=1 + maps.data)


def with_missing(maps: MapSeries) -> MapSeries:
    missing = np.zeros(maps.data.shape, bool)
    missing[1, 2, :5] = True
    return replace(maps, missing=missing)


@pytest.mark.parametrize('change', [of_counts, with_variance, with_missing])
def test_each_term_is_that_of_its_channel_alone(maps, change):
    maps = change(maps)
    poisson = maps.are_counts
    problem = Problem(maps)
    x = problem.zeros() + 0.4
    terms = fit_terms(problem, problem.expected(x), poisson)
    assert tuple(terms) == maps.channels
    for c, name in enumerate(maps.channels):
        parts = {key: getattr(maps, key) for key in ('variance', 'missing')}
        alone = {key: None if value is None else value[c : c + 1] for key, value in parts.items()}
        one = Problem(MapSeries(maps.data[c : c + 1], maps.angles, (name,), maps.pixel_size, **alone))
        expected = one.expected(one.zeros() + 0.4)
        assert terms[name] == pytest.approx(float(fit_term(one, expected, poisson)), rel=1e-5)


def test_of_windows_each_element_has_those_that_its_photons_fall_into(maps):
    mixing = np.array([[1, 0.2, 0.0], [0.1, 1, 0.3], [0, 0.3, 0.9]])
    problem = Problem(replace(maps, mixing=mixing))
    expected = problem.expected(problem.zeros() + 0.4)
    windows = [float(fit_term(_only(problem, w), expected, True)) for w in range(3)]
    of_elements = np.array(windows) @ (mixing / mixing.sum(axis=0))
    assert fit_terms(problem, expected, True) == pytest.approx(
        dict(zip(maps.channels, of_elements, strict=True)), rel=1e-5
    )


def test_windows_of_one_element_each_are_maps(maps):
    plain, windows = Problem(maps), Problem(replace(maps, mixing=np.eye(3)))
    terms = [fit_terms(problem, problem.expected(problem.zeros() + 0.4), True) for problem in (plain, windows)]
    assert terms[0] == pytest.approx(terms[1], rel=1e-6)


def _only(problem, window):
    """The problem with the mask of one window."""
    one = copy.copy(problem)
    one.mask = torch.zeros_like(problem.fit)
    one.mask[window] = problem.mask.expand_as(problem.fit)[window]
    return one


class Seen(Observer):
    """Keeps the reports; wants one preview, the second time it is asked."""

    def __init__(self) -> None:
        self.asked, self.reports = 0, []

    def wants_preview(self):
        self.asked += 1
        return self.asked == 2

    def report(self, progress):
        self.reports.append(progress)


@pytest.mark.parametrize(
    'step',
    [
        SIRT(iterations=4),
        PoissonEM(iterations=4),
        TotalVariation(weight=0.6, iterations=4),
        DIPmTV(**SMALL, stopping='last'),
    ],
    ids=lambda step: type(step).__name__,
)
def test_every_method_reports_them_with_a_preview_and_at_the_end(maps, step):
    observer = Seen()
    step.run(maps, observer)
    with_terms = [report.iteration for report in observer.reports if report.by_channel]
    assert with_terms == [2, 4]
    last = observer.reports[-1]
    assert tuple(last.by_channel) == maps.channels
    if isinstance(step, SIRT | PoissonEM):
        assert np.mean(list(last.by_channel.values())) == pytest.approx(last.losses['data'], rel=1e-5)
