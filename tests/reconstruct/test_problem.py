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
from napari_diptomo.reconstruct.support import Support
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
    """Fitted fractions, normalised maps: the scatter shows the noise, so the unit drops out."""
    # A flat field of its own for every pixel: no unit divides them all.
    flat_field = np.random.default_rng(8).uniform(0.98, 1.02, maps.data.shape)
    scaled = [replace(maps, data=maps.data * flat_field * unit) for unit in (0.37, 0.37e-3)]
    assert not scaled[0].are_counts
    first, second = (TotalVariation(iterations=50).run(m) for m in scaled)
    np.testing.assert_allclose(second.data * 1e3, first.data, atol=0.01 * first.data.max())
    assert 'estimated' in first.notes['statistics']
    assert split_counts(scaled[0], 0.1, 0).held_out is not None


def test_the_scatter_of_neighbours_shows_the_noise(maps):
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
def test_the_noise_of_a_single_slice_is_estimated_from_its_neighbours_across_it(shape):
    signal = 50.0
    data = np.random.default_rng(0).normal(signal, 3 * np.sqrt(signal), shape)
    maps = MapSeries(data, np.linspace(-60, 60, 40), ('A',), pixel_size=1.0)
    assert np.median(noise_variance(maps)) == pytest.approx(9 * signal, rel=0.1)


def test_a_variance_of_zero_is_taken_from_the_neighbours_and_a_small_one_lifted(maps):
    """Two windows, 100 times apart: each has a floor of its own, 2 % of its mean variance."""
    variance = np.ones(maps.data.shape) * np.array([4.0, 400.0])[:, None, None, None]
    variance[0, 3, 5, 6] = 0.0
    variance[1, 2, 1, 1] = 1e-3
    found = noise_variance(replace(maps, variance=variance))
    assert found[0, 3, 5, 6] == pytest.approx(4.0, rel=1e-5)
    size = variance[1].size
    assert found[1, 2, 1, 1] == pytest.approx(0.02 * 400 * (size - 1) / size, rel=1e-4)
    kept = np.ones(variance.shape, bool)
    kept[0, 3, 5, 6] = kept[1, 2, 1, 1] = False
    np.testing.assert_allclose(found[kept], variance[kept], rtol=1e-6)


@pytest.mark.parametrize('unit', [1e-4, 0.37, 1e3])
def test_the_noise_of_scaled_counts_with_vacuum_beside_them_is_estimated_in_any_unit(maps, unit):
    """Poisson counts of mean 60 over half of the field, times a unit: their variance is the unit squared times 60."""
    counts = np.random.default_rng(4).poisson(60, (1, 9, 60, 60)).astype(float)
    counts[..., :30] = 0
    counts[..., 30:] *= unit * np.random.default_rng(5).uniform(0.999, 1.001, (1, 9, 60, 30))
    flat = replace(maps, data=counts, channels=('A',))
    assert not flat.are_counts
    bright = noise_variance(flat)[..., 40:50]
    np.testing.assert_allclose(bright.mean() / unit**2, 60, rtol=0.1)


def test_nothing_is_held_out_unless_it_is_asked_for(maps):
    own = replace(maps, held_out=maps.data * 0.2, held_out_share=0.2)
    for series in (maps, own):
        split = split_counts(series, 0.0, seed=0)
        assert split.held_out is None and split.share == 0
        np.testing.assert_array_equal(split.fit, series.data)
    problem = Problem(maps)
    assert problem.held_out is None and problem.share == 0 and problem.maps is maps
    asked = Problem(maps, holdout=0.1)
    np.testing.assert_array_equal(asked.held_out.numpy(), split_counts(maps, 0.1, seed=0).held_out)
    assert asked.maps is maps


@pytest.mark.parametrize('windows', [1, 2, 3, 6])
def test_data_weigh_the_same_however_finely_the_counts_are_binned(maps, windows):
    mixing = np.random.default_rng(0).uniform(0.1, 1, (windows, 2))
    problem = Problem(replace(maps, data=np.ones((windows, *maps.data.shape[1:])), mixing=mixing))
    assert problem.windows_per_channel == windows / 2
    assert problem.data_size == 2 * 9 * 16 * 16


def test_missing_data_carry_no_weight_and_do_not_count(maps):
    missing = np.zeros(maps.data.shape, bool)
    missing[1, 4, 2:5, 7] = True
    problem = Problem(replace(maps, missing=missing))
    np.testing.assert_array_equal(problem.mask.numpy() == 0, missing)
    assert problem.data_size == 2 * 9 * 16 * 16 - 3


def test_a_volume_is_shown_in_the_unit_of_the_user(maps, truth):
    np.testing.assert_array_equal(Problem(maps).frame(torch.as_tensor(truth)), truth)
    unit = np.array([2.0, 0.5])
    shown = Problem(maps, unit=unit).frame(torch.as_tensor(truth))
    np.testing.assert_allclose(shown, unit[:, None, None, None] * truth, rtol=1e-6)
    assert shown.dtype == np.float32 and shown.flags['C_CONTIGUOUS']


def test_the_volume_that_is_shown_is_a_copy(maps):
    x = torch.ones(2, 16, 16, 16)
    shown = Problem(maps).frame(x)
    shown[:] = 7
    assert float(x.max()) == 1


def test_a_lamella_is_cut_back_to_the_field(maps):
    problem = Problem(maps, beyond_field=True)
    *_, width = problem.zeros().shape
    beyond = (width - 16) // 2
    assert beyond > 0 and (width - 16) % 2 == 0
    x = torch.arange(float(width)).expand_as(problem.zeros())
    np.testing.assert_array_equal(problem.frame(x)[0, 0, 0], np.arange(beyond, beyond + 16))


@pytest.mark.parametrize('exact', [True, False])
def test_a_support_cuts_the_grid_and_is_filled_up_again(maps, exact):
    """Voxels 6 to 9 along z and 5 to 10 along x of 16: an exact support is cut to its faces, a limit 3 voxels outside."""
    inside = np.zeros((16, 16, 16), np.float32)
    inside[6:10, :, 5:11] = 1.0
    problem = Problem(maps, support=Support(inside, {}, exact))
    margin = 0 if exact else 3
    shape = (4 + 2 * margin, 16, 6 + 2 * margin)
    assert problem.zeros().shape == (2, *shape)
    assert problem.filling == pytest.approx(np.prod(shape) / 16**3)
    x = torch.ones(2, *shape)
    np.testing.assert_array_equal(problem.frame(x), np.stack([inside, inside]))
    assert float(problem.inside(x).sum()) == 2 * inside.sum()
    # Edges cost inside a limit; the faces of an exact support are given.
    expected = x if exact else problem.inside(x)
    torch.testing.assert_close(problem.regular(x), expected)
    assert Problem(maps).filling == 1 and 'counts_outside' in problem.support_notes
