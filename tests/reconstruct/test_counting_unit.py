"""The counting unit: found in multiples and in scatter, left alone where counts are counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.reconstruct.counting_unit import common_unit, in_counts
from napari_diptomo.reconstruct.data_split import split_counts, thinned
from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.stopping import rule_for
from napari_diptomo.series import MapSeries
from napari_diptomo.simulate import lamella, tilt_series
from napari_diptomo.simulate.specimens import facetted, needle, porous

ANGLES = np.arange(-40, 41, 10.0)
STEPS = [
    SIRT(iterations=10, holdout=0.1),
    PoissonEM(iterations=10),
    TotalVariation(iterations=30),
    DIPmTV(iterations=4, widths=(8, 8), skips=(2, 2), precision='float32', ensemble=2),
]


@pytest.fixture(scope='module')
def series():
    return tilt_series(lamella(24, 3), ANGLES, 30, seed=1)


@pytest.fixture(scope='module')
def finer():
    """Tilts enough to measure the scatter of camera counts."""
    return tilt_series(lamella(24, 3), np.arange(-40, 41, 5.0), 30, seed=1)


@pytest.mark.parametrize('unit', [10.0, 0.1, 0.37, 1 / 4095, 16.0, 3.0e-4])
def test_the_unit_of_multiples_is_found(unit):
    counts = np.random.default_rng(0).poisson(7.0, 500)
    scaled = (counts * unit).astype(np.float32)
    assert common_unit(scaled) == pytest.approx(unit, rel=1e-5)
    np.testing.assert_array_equal(np.round(scaled / common_unit(scaled)), counts)


@pytest.mark.parametrize('mean', [0.3, 80.0, 3000.0])
def test_counts_have_the_unit_one_however_many_they_are(mean):
    counts = np.random.default_rng(1).poisson(mean, 400)
    assert common_unit(counts) == 1
    assert common_unit((counts * 0.1).astype(np.float32)) == pytest.approx(0.1, rel=1e-5)


def test_values_without_a_unit_have_none():
    rng = np.random.default_rng(2)
    counts = rng.poisson(20, 500)
    assert common_unit((counts * rng.uniform(0.9, 1.1, 500)).astype(np.float32)) is None
    assert common_unit(rng.random(500).astype(np.float32)) is None
    assert common_unit((counts - 20.5) * 1.3) is None


@pytest.mark.parametrize('step', STEPS, ids=lambda s: s.title)
@pytest.mark.parametrize('factor', [10.0, 0.1])
def test_multiples_of_counts_give_the_volume_of_the_counts(series, step, factor):
    plain = step.run(series.maps)
    scaled = step.run(replace(series.maps, data=series.maps.data * np.float32(factor)))
    np.testing.assert_allclose(scaled.data / factor, plain.data, atol=1e-5 * plain.data.max())
    if plain.std is not None:
        np.testing.assert_allclose(scaled.std / factor, plain.std, atol=1e-5 * plain.std.max())
    (note,) = [f for f in scaled.findings if f.about == 'counting unit']
    assert note.level == 'note'
    assert f'multiples of {factor:g}' in note.sentence
    assert not [f for f in plain.findings if f.about == 'counting unit']


def test_background_and_held_out_part_follow_the_unit(series):
    background = np.full_like(series.clean, 2.0)
    counts = np.random.default_rng(4).poisson(series.clean + background).astype(np.float32)
    held = np.random.default_rng(5).binomial(counts.astype(int), 0.2).astype(np.float32)
    maps = replace(series.maps, data=counts, background=background, held_out=held, held_out_share=0.2)
    scaled = replace(maps, data=counts * 10, background=background * 10, held_out=held * 10)
    one, two = (SIRT(iterations=8, holdout=0.1).run(m) for m in (maps, scaled))
    np.testing.assert_allclose(two.data / 10, one.data, atol=1e-5 * one.data.max())
    assert one.notes['returned_iteration'] == two.notes['returned_iteration']


def test_windows_keep_one_unit():
    """Windows are added up by the mixing: a unit for each of them would be another mixing."""
    rng = np.random.default_rng(6)
    counts = rng.poisson(np.array([10.0, 10.0]).reshape(2, 1, 1, 1), (2, 5, 12, 12)).astype(np.float32)
    counts[1] *= 2
    maps = MapSeries(3 * counts, np.arange(-20, 21, 10.0), ('A', 'B'), mixing=np.eye(2))
    np.testing.assert_allclose(in_counts(maps).unit, 3)


@pytest.mark.parametrize('peak', [0.2, 2.0, 30.0, 100.0])
@pytest.mark.parametrize('make', [lamella, porous, needle, facetted])
def test_poisson_counts_pass_for_counts(make, peak):
    counted = in_counts(tilt_series(make(24, 5), ANGLES, peak, seed=2).maps)
    assert not counted.quasi
    assert counted.findings == ()
    np.testing.assert_array_equal(counted.unit, 1)


@pytest.mark.parametrize(('gain', 'spread'), [(8.0, 0.0), (6.0, 0.5)])
def test_a_camera_gain_is_measured(finer, gain, spread):
    """N counts of gain g with relative variance s^2: variance over mean g (1 + s^2)."""
    rng = np.random.default_rng(7)
    shape = 1 / spread**2 if spread else None
    counts = finer.maps.data
    signal = rng.gamma(np.maximum(counts * shape, 1e-9), gain / shape) if shape else gain * counts
    data = np.round(np.maximum(signal + rng.normal(0, 1, counts.shape) * (counts > 0), 0))
    counted = in_counts(replace(finer.maps, data=data))
    assert counted.quasi
    assert counted.unit == pytest.approx(gain * (1 + spread**2), rel=0.25)
    (doubt,) = counted.findings
    assert doubt.level == 'doubt'
    assert 'camera with a gain' in doubt.sentence


def test_averaged_frames_are_measured(finer):
    data = np.round(np.random.default_rng(8).poisson(finer.clean * 3) / 3)
    counted = in_counts(replace(finer.maps, data=data))
    assert counted.quasi
    assert counted.unit == pytest.approx(0.41, abs=0.08)  # 1/3 and the rounding, 1/12 over the mean
    assert 'averaged frames' in counted.findings[0].sentence


def test_the_parts_of_quasi_counts_are_uncorrelated():
    """y with variance = mean, not whole: its parts carry their share of mean and variance, and nothing of each other."""
    rng = np.random.default_rng(9)
    y = rng.gamma(12.0, 1.0, 200_000).astype(np.float32)
    held = thinned(y, 0.2, rng)
    assert (held >= 0).all()
    assert (held <= y).all()
    assert held.mean() == pytest.approx(2.4, rel=0.01)
    assert held.var() == pytest.approx(2.4, rel=0.02)
    assert np.corrcoef(held, y - held)[0, 1] == pytest.approx(0, abs=0.01)


def test_quasi_counts_are_fitted_as_counts_and_judged_by_their_held_out_part(finer):
    data = np.round(np.random.default_rng(10).gamma(np.maximum(4 * finer.maps.data, 1e-9), 2.0))
    counted = in_counts(replace(finer.maps, data=data))
    problem = Problem(counted.maps, holdout=0.1, unit=counted.unit, quasi=counted.quasi)
    assert is_poisson(problem, 'auto')
    assert rule_for(problem, 'auto') == 'held-out'
    assert float(problem.fit.min()) >= 0
    split = split_counts(counted.maps, 0.1, 0, quasi=True)
    np.testing.assert_allclose(split.fit + split.held_out, counted.maps.data, rtol=1e-5, atol=1e-5)
    volume = SIRT(iterations=30).run(replace(finer.maps, data=data))
    plain = SIRT(iterations=30).run(finer.maps)
    assert volume.data.sum() == pytest.approx(8 * plain.data.sum(), rel=0.02)
    assert 'variance over their mean' in volume.notes['statistics']


def test_maps_with_a_variance_are_left_alone(series):
    maps = replace(series.maps, data=series.maps.data * 10, variance=np.maximum(series.maps.data, 1) * 100)
    counted = in_counts(maps)
    assert counted.maps is maps
    np.testing.assert_array_equal(counted.unit, 1)
