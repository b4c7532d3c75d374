"""Maps of two tilt axes in one problem: their data, their noise, and every method on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo import SIRT, DIPmTV, PoissonEM, TotalVariation, simulate
from napari_diptomo.assess import psnr
from napari_diptomo.assess.half_volumes import halved
from napari_diptomo.reconstruct.prepare import prepare
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.reinsertion import Reinsertion
from napari_diptomo.simulate import second_tilt_series

ANGLES = np.arange(-40, 41, 10.0)
PLACED = Reinsertion(rotation=(1.0, -2.0, -90.0), offset=(0.6, -0.4, 0.3))


@pytest.fixture(scope='module')
def specimen() -> simulate.Phantom:
    return simulate.porous(16, seed=4)


@pytest.fixture(scope='module')
def joint(specimen) -> MapSeries:
    """Nine tilts about each axis; the second has other images (20 x 16) and half the dose."""
    first = simulate.tilt_series(specimen, ANGLES, 40, seed=1)
    second = second_tilt_series(specimen, PLACED, ANGLES, 20, seed=2)
    dose = second.truth.data.max() / first.truth.data.max()
    data = np.pad(second.maps.data, ((0, 0), (0, 0), (2, 2), (0, 0)))
    maps = replace(second.maps, data=data, reinsertion=PLACED, gain=np.full(data.shape[:2], dose))
    return replace(first.maps, second_axis=maps)


def test_data_of_both_series_stand_one_after_the_other(joint, specimen):
    problem = prepare(joint, ProblemSettings(holdout=0.1, device='cpu'))
    assert problem.fit.shape == (3, 18, 20, 16)
    first, second = problem.of_series()
    np.testing.assert_array_equal((first.fit + first.held_out).numpy(), joint.data)
    np.testing.assert_array_equal((second.fit + second.held_out).numpy(), joint.second_axis.data)
    # Rows that the first series does not have carry no weight.
    assert float(problem.mask[:, :9, 16:].sum()) == 0
    assert problem.data_size == Problem(replace(joint, second_axis=None), holdout=0.1).data_size
    assert problem.data_weight == pytest.approx(1 + 20 / 16, abs=1e-6)


def test_the_truth_explains_both_series(joint, specimen):
    """Chi-square per datum of Poisson counts about their expectation is 1 (second axis: up to what the coarse grid blurs)."""
    truth = simulate.tilt_series(specimen, ANGLES, 40, seed=1).truth
    problem = prepare(joint, ProblemSettings(device='cpu'))
    for part in problem.of_series():
        expected = part.expected(torch.as_tensor(truth.data)).numpy()
        bright = expected > 3
        chi_square = ((part.fit.numpy() - expected)[bright] ** 2 / expected[bright]).mean()
        assert chi_square == pytest.approx(1.0, abs=0.25)


def test_the_adjoint_of_both(joint):
    problem = prepare(joint, ProblemSettings(device='cpu'))
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.random((3, *problem.beam.shape)).astype(np.float32))
    y = torch.as_tensor(rng.random(tuple(problem.fit.shape)).astype(np.float32))
    left = float((problem.forward(x) * y).double().sum())
    assert left == pytest.approx(float((x * problem.adjoint(y)).double().sum()), rel=1e-5)


@pytest.mark.parametrize(
    'step',
    [
        SIRT(iterations=30),
        PoissonEM(iterations=20),
        TotalVariation(weight=0.2, iterations=150),
        TotalVariation(weight=0.2, iterations=150, beyond_field=True, thickness=16.0),
        TotalVariation(weight=0.2, iterations=100, fit_gain=True),
        DIPmTV(preset='fast', iterations=40),
        DIPmTV(preset='fast', iterations=30, ensemble=2),
    ],
    ids=lambda step: f'{step.title} {"beyond" if step.beyond_field else ""}{"gain" if step.fit_gain else ""}',
)
def test_every_method_takes_both(joint, specimen, step):
    truth = simulate.tilt_series(specimen, ANGLES, 40, seed=1).truth
    volume = step.run(joint)
    assert volume.notes['second_axis']['max_tilt'] == [-40.0, 40.0]
    cut = slice((volume.data.shape[1] - 16) // 2, (volume.data.shape[1] + 16) // 2)
    assert np.corrcoef(volume.data[:, cut].ravel(), truth.data.ravel())[0, 1] > 0.6


def test_a_second_axis_brings_a_short_reconstruction_nearer_to_the_truth(joint, specimen):
    truth = simulate.tilt_series(specimen, ANGLES, 40, seed=1).truth
    step = TotalVariation(weight=0.2, iterations=150)
    alone = step.run(replace(joint, second_axis=None))
    both = step.run(joint)
    assert psnr(both.data, truth.data).mean() > psnr(alone.data, truth.data).mean() + 0.5


def test_a_unit_of_each_series_and_maps_that_are_fitted(joint):
    """Counts times 7 in one series and times 3 in the other are the same counts: the gain is 3 / 7 of what it was."""
    second = joint.second_axis
    scaled = replace(
        replace(joint, second_axis=None, data=7 * joint.data),
        second_axis=replace(second, data=3 * second.data, gain=second.gain * 3 / 7),
    )
    step = SIRT(iterations=10)
    np.testing.assert_allclose(step.run(scaled).data, 7 * step.run(joint).data, rtol=1e-4, atol=1e-4)
    fitted = replace(
        replace(joint, second_axis=None, variance=np.maximum(joint.data, 1)),
        second_axis=replace(second, variance=np.maximum(second.data, 1)),
    )
    assert np.isfinite(TotalVariation(iterations=30).run(fitted).data).all()


def test_halves_of_both_add_up(joint):
    one, other = halved(joint, seed=3)
    np.testing.assert_array_equal(one.data + other.data, joint.data)
    np.testing.assert_array_equal(one.second_axis.data + other.second_axis.data, joint.second_axis.data)


def test_what_is_noticed_of_the_second_series_says_so(joint):
    second = joint.second_axis
    data = second.data.copy()
    data[:, 3] = 0
    problem = prepare(replace(joint, second_axis=replace(second, data=data)), ProblemSettings(device='cpu'))
    found = [f.sentence for f in problem.findings if f.about == 'empty images']
    assert found and found[0].startswith('Second axis: ')
    assert len(problem.second.maps.angles) == 8


def test_more_memory_is_asked_for(joint):
    alone = replace(joint, second_axis=None)
    for step in (SIRT(), DIPmTV()):
        assert step.memory_bytes(joint) > step.memory_bytes(alone)


def test_shifts_of_one_axis_only_are_refined(joint):
    with pytest.raises(InputError, match='Refine shifts'):
        TotalVariation(refine_shifts=True).run(joint)


def test_finer_pixels_of_the_second_axis_are_asked_memory_for(joint):
    """Four voxels of the second frame along one of the first across the rows are 16 of them per voxel."""
    fine = replace(joint, second_axis=replace(joint.second_axis, pixel_size=joint.pixel_size / 4))
    alone = SIRT().memory_bytes(replace(joint, second_axis=None))
    assert SIRT().memory_bytes(fine) - alone > 8 * (SIRT().memory_bytes(joint) - alone)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        ({'pixel_size': 1e-3}, 'pixels of the two axes differ'),
        ({'pixel_size': 1e30}, 'pixels of the two axes differ'),
        ({'reinsertion': Reinsertion(offset=(1e5, 0, 0))}, 'show nothing of the volume'),
    ],
)
def test_a_second_series_that_shows_nothing_is_refused(joint, change, sentence):
    with pytest.raises(InputError, match=sentence):
        SIRT(iterations=2).run(replace(joint, second_axis=replace(joint.second_axis, **change)))


@pytest.mark.parametrize('wrong', [{'rotation': (1e300, 0, 0)}, {'offset': (1e300, 0, 0)}, {'offset': (np.nan, 0, 0)}])
def test_where_no_specimen_lies_is_refused(wrong):
    with pytest.raises(InputError, match='of the specimen between two series'):
        Reinsertion(**wrong)


@pytest.mark.parametrize('gain', [0.0, -1.0, np.nan, np.inf])
def test_a_gain_that_is_none_is_refused(joint, gain):
    with pytest.raises(InputError, match='gain of every map'):
        replace(joint.second_axis, gain=np.full(joint.second_axis.data.shape[:2], gain))
