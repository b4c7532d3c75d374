"""The forward model, the held-out split, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.reconstruct import SIRT, DIPmTV, TotalVariation
from napari_diptomo.reconstruct.data_split import noise_variance, split_counts
from napari_diptomo.reconstruct.data_terms import poisson_deviance
from napari_diptomo.reconstruct.device import pick
from napari_diptomo.reconstruct.grid import lamella_width
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import InputError, MapSeries


def test_forward_model_of_windows_and_its_adjoint(maps, clean, truth):
    """gain[w, t] * sum_c mixing[w, c] A x_c + background, DESIGN section 4."""
    rng = np.random.default_rng(1)
    mixing = np.array([[1.0, 0.3], [0.1, 0.8], [0.5, 0.5]])
    gain = rng.uniform(0.5, 2, (3, 9))
    background = rng.uniform(0, 1, (3, *clean.shape[1:]))
    windows = replace(maps, data=np.ones((3, *clean.shape[1:])), mixing=mixing, gain=gain, background=background)
    problem = Problem(windows)
    expected = problem.expected(torch.as_tensor(truth))
    known = gain[:, :, None, None] * np.einsum('wc,ctyu->wtyu', mixing, clean) + background
    np.testing.assert_allclose(expected.numpy(), known, rtol=1e-4, atol=1e-4)
    y = rng.random(known.shape).astype(np.float32)
    left = float((problem.forward(torch.as_tensor(truth)).double() * torch.as_tensor(y)).sum())
    right = float((torch.as_tensor(truth) * problem.adjoint(torch.as_tensor(y))).double().sum())
    assert left == pytest.approx(right, rel=1e-5)


def test_held_out_counts_are_a_binomial_share_and_nothing_is_lost(maps):
    split = split_counts(maps, 0.1, seed=3)
    np.testing.assert_array_equal(split.fit + split.held_out, maps.data)
    assert (split.held_out == np.round(split.held_out)).all()
    total = float(maps.data.sum())
    assert float(split.held_out.sum()) == pytest.approx(0.1 * total, abs=4 * np.sqrt(0.09 * total))
    np.testing.assert_array_equal(split.fit, split_counts(maps, 0.1, seed=3).fit)


def test_fitted_maps_bring_their_own_held_out_part(maps):
    own = replace(maps, data=maps.data * 1.5, held_out=maps.data * 0.2, held_out_share=0.13)
    split = split_counts(own, 0.1, seed=0)
    assert split.share == 0.13
    np.testing.assert_allclose(split.fit, maps.data * 1.3, rtol=1e-6)


def test_gaussian_thinning_leaves_independent_parts(maps):
    """Cov(fit, held out) = h (1 - h) var - h (1 - h) var = 0 (Neufeld et al. 2024)."""
    rng = np.random.default_rng(0)
    mean, variance = 5.0, 4.0
    data = mean + 2.0 * rng.standard_normal((1, 9, 100, 100))
    maps = replace(maps, data=data, variance=np.full_like(data, variance), channels=('A',))
    split = split_counts(maps, 0.2, seed=1)
    assert split.held_out.mean() == pytest.approx(0.2 * mean, abs=0.02)
    assert split.held_out.var() == pytest.approx(0.2 * variance, rel=0.03)
    assert np.corrcoef(split.fit.ravel(), split.held_out.ravel())[0, 1] == pytest.approx(0, abs=0.015)


def test_poisson_deviance_of_known_counts_with_a_finite_gradient_at_zero():
    model = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    counts = torch.tensor([0.0, 2.0, 5.0])
    known = (2 * 1.0 + 0 + 2 * (3 - 5 + 5 * np.log(5 / 3))) / 3
    shaped = model.reshape(1, 1, 1, 3)
    deviance = poisson_deviance(shaped, counts.reshape(1, 1, 1, 3), torch.ones(1, 1, 1, 1))
    assert deviance.item() == pytest.approx(known, rel=2e-3)
    deviance.backward()
    assert float(model.grad[0]) == pytest.approx(2 / 3, rel=1e-5)


def test_a_lamella_is_solved_as_wide_as_the_steepest_ray_reaches():
    """At 60 degrees (cos = 1/2) a ray through the image's edge leaves a layer of depth d at 2 (n/2 + d/2 sin 60)."""
    width = lamella_width(20, 10, np.array([-60.0, 0.0, 60.0]))
    assert width == 20 + 2 * int(np.ceil(2 * (10 + 5 * np.sin(np.pi / 3)) - 10))
    assert lamella_width(20, 10, np.array([0.0])) == 20
    assert lamella_width(20, 10, np.array([0.0]), np.array([3.0])) == 26


def test_rows_from_outside_carry_no_weight(maps):
    shifts = np.zeros((9, 2))
    shifts[0, 0] = 3.0
    problem = Problem(replace(maps, shifts=shifts))
    assert problem.mask[0, 0, :, 0].tolist() == [0, 0, 0] + [1] * 13
    assert problem.data_size == 2 * 16 * (9 * 16 - 3)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (lambda m: replace(m, data=m.data[:, :1], angles=m.angles[:1], shifts=None), 'one tilt only'),
        (lambda m: replace(m, data=m.data * np.array([1, 0])[:, None, None, None]), 'maps of B are all zero'),
    ],
)
def test_what_no_method_can_reconstruct_is_refused_in_a_sentence(maps, change, sentence):
    with pytest.raises(InputError, match=sentence):
        SIRT(iterations=1).run(change(maps))


def test_nan_is_refused_where_it_enters(maps):
    data = maps.data.copy()
    data[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match='1 values of the maps are not numbers'):
        replace(maps, data=data)


@pytest.mark.parametrize('mean', [0.2, 0.5, 2.0])
def test_least_squares_weights_do_not_pull_faint_maps_down(maps, mean):
    """A constant fitted to flat counts is their mean; with the pixel's own counts in its weight it is 10 % low at 0.2."""
    counts = np.random.default_rng(3).poisson(mean, (1, 9, 150, 150)).astype(np.float32)
    flat = replace(maps, data=counts, channels=('A',))
    variance = noise_variance(flat)
    fitted = float((counts / variance).sum() / (1 / variance).sum())
    assert fitted == pytest.approx(float(counts.mean()), rel=0.03)


def test_maps_without_counts_or_variance_give_the_same_volume_in_any_unit(maps):
    """Fitted fractions, normalised maps: the scatter tells the noise, so the unit drops out."""
    # A flat field of its own for every pixel: no unit divides them all.
    flat_field = np.random.default_rng(8).uniform(0.98, 1.02, maps.data.shape)
    scaled = [replace(maps, data=maps.data * flat_field * unit) for unit in (0.37, 0.37e-3)]
    assert not scaled[0].are_counts
    first, second = (TotalVariation(iterations=50).run(m) for m in scaled)
    np.testing.assert_allclose(second.data * 1e3, first.data, atol=0.01 * first.data.max())
    assert 'estimated' in first.notes['statistics']
    assert split_counts(scaled[0], 0.1, 0).held_out is not None


def test_the_scatter_of_neighbours_tells_the_noise(maps):
    """Poisson counts of mean 20 in units of 0.37: the variance is 0.37^2 times 20 (the median of whole numbers is coarse)."""
    counts = np.random.default_rng(4).poisson(20, (1, 9, 60, 60))
    flat = replace(maps, data=counts * 0.37, channels=('A',))
    np.testing.assert_allclose(noise_variance(flat).mean(), 0.37**2 * 20, rtol=0.15)


def test_negative_maps_are_not_taken_for_poisson_counts(maps):
    fitted = replace(maps, data=maps.data - 0.5)
    for step in (TotalVariation(data_term='poisson'), DIPmTV(data_term='poisson')):
        with pytest.raises(InputError, match='set the data term to auto or gaussian'):
            step.run(fitted)


def test_auto_takes_cuda_then_mps_then_the_processor(monkeypatch):
    there = {'cuda': True, 'mps': True}
    monkeypatch.setattr('torch.backends.mps.is_available', lambda: there['mps'])
    monkeypatch.setattr('torch.mps.recommended_max_memory', int, raising=False)
    monkeypatch.setattr('torch.cuda.is_available', lambda: there['cuda'])
    assert pick('auto').type == 'cuda'
    there['cuda'] = False
    assert pick('auto').type == 'mps'
    with pytest.raises(InputError, match=r'no CUDA device; choose auto or cpu'):
        pick('cuda')
    there['mps'] = False
    assert pick('auto').type == 'cpu'
    with pytest.raises(InputError, match=r'no Apple GPU \(MPS\); choose auto or cpu'):
        pick('mps')


def test_the_gpu_of_an_intel_mac_is_left_alone(monkeypatch):
    monkeypatch.setattr('torch.backends.mps.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.delattr('torch.mps.recommended_max_memory', raising=False)
    assert pick('auto').type == 'cpu'


@pytest.mark.parametrize('version', ['2.9.0', '2.9.1+cu128'])
def test_torch_2_9_is_refused_before_anything_runs(maps, monkeypatch, version):
    monkeypatch.setattr('torch.__version__', version)
    with pytest.raises(InputError, match=r'torch 2\.9.*3-D convolutions .*: install torch 2\.8, or 2\.10 or newer\.'):
        SIRT().run(maps)


@pytest.mark.parametrize('version', ['2.8.0', '2.10.0', '2.90.0', '3.2.9'])
def test_other_versions_of_torch_are_taken(monkeypatch, version):
    monkeypatch.setattr('torch.__version__', version)
    assert pick('cpu').type == 'cpu'


@pytest.mark.parametrize('shape', [(1, 40, 1, 300), (1, 40, 300, 1)])
def test_the_noise_of_a_single_slice_is_told_by_its_neighbours_across_it(shape):
    signal = 50.0
    data = np.random.default_rng(0).normal(signal, 3 * np.sqrt(signal), shape)
    maps = MapSeries(data, np.linspace(-60, 60, 40), ('A',), pixel_size=1.0)
    assert np.median(noise_variance(maps)) == pytest.approx(9 * signal, rel=0.1)
