from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_diptomo.reconstruct.dip.convolution import Conv3d, reflect

SIZES = [(1, 1, 1), (2, 1, 2), (1, 5, 7), (3, 3, 3), (6, 6, 6), (9, 7, 12), (12, 1, 13), (5, 40, 3), (17, 12, 11)]


def pair(a, b, kernel, stride, mode='zeros', dtype=torch.float32):
    """Ours and torch's, with the same weights."""
    torch.manual_seed(a + 10 * b)
    options = {'stride': stride, 'padding': kernel // 2, 'padding_mode': mode, 'dtype': dtype}
    ours, theirs = Conv3d(a, b, kernel, **options), nn.Conv3d(a, b, kernel, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def outcome(layer, x):
    """Result and all gradients of a fixed loss."""
    x = x.clone().requires_grad_()
    y = layer(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape)
    (y.double() * weights).sum().backward()
    return [y.detach(), x.grad, layer.weight.grad, layer.bias.grad]


def assert_same(found, wanted, tolerance):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert float((a - b).abs().max()) <= tolerance * float(b.abs().max().clamp_min(1e-3))


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(('kernel', 'stride'), [(3, 1), (3, 2), (1, 1), (1, 2)])
@pytest.mark.parametrize(('a', 'b'), [(8, 16), (20, 5), (1, 3)])
def test_results_and_gradients_are_those_of_torch(size, kernel, stride, a, b):
    x = torch.randn(1, a, *size, generator=torch.Generator().manual_seed(7))
    ours, theirs = pair(a, b, kernel, stride)
    assert_same(outcome(ours, x), outcome(theirs, x), 3e-5)


@pytest.mark.parametrize('size', [(2, 2, 2), (3, 5, 4), (7, 6, 9)])
@pytest.mark.parametrize('stride', [1, 2])
def test_reflecting_borders_are_those_of_torch(size, stride):
    x = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(7))
    ours, theirs = pair(4, 6, 3, stride, 'reflect')
    assert_same(outcome(ours, x), outcome(theirs, x), 3e-5)


def test_other_types_batches_and_large_volumes_go_to_torch_unchanged():
    for shape, dtype in [
        ((1, 3, 4, 5, 6), torch.float64),
        ((2, 3, 4, 5, 6), torch.float32),
        ((3, 4, 5, 6), torch.float32),
    ]:
        x = torch.randn(shape, dtype=dtype)
        ours, theirs = pair(3, 2, 3, 1, dtype=dtype)
        assert_same(outcome(ours, x), outcome(theirs, x), 0.0)
    x = torch.randn(1, 3, 100, 80, 2)
    ours, theirs = pair(3, 2, 3, 1)
    assert_same(outcome(ours, x), outcome(theirs, x), 0.0)


def test_reflection_repeats_the_only_voxel_of_an_axis():
    x = torch.arange(6.0).reshape(1, 1, 2, 1, 3)
    found = reflect(x, (1, 1, 1))
    assert found.shape == (1, 1, 4, 3, 5)
    plane = torch.tensor([[4.0, 3, 4, 5, 4], [1, 0, 1, 2, 1], [4, 3, 4, 5, 4], [1, 0, 1, 2, 1]])
    for row in range(3):
        torch.testing.assert_close(found[0, 0, :, row], plane)


def test_a_single_slice_reflects_where_torch_refuses():
    x = torch.randn(1, 2, 5, 1, 6)
    layer = Conv3d(2, 3, 3, padding=1, padding_mode='reflect')
    # Along y all three planes are the same: a convolution in two dimensions with the summed kernel.
    flat = nn.functional.pad(x[:, :, :, 0], (1, 1, 1, 1), mode='reflect')
    wanted = nn.functional.conv2d(flat, layer.weight.sum(3), layer.bias)
    torch.testing.assert_close(layer(x)[:, :, :, 0], wanted, rtol=1e-4, atol=1e-5)


def test_autocast_gives_bf16_as_with_torch():
    x = torch.randn(1, 8, 6, 6, 6)
    ours, theirs = pair(8, 8, 3, 1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found, wanted = outcome(ours, x), outcome(theirs, x)
    assert found[0].dtype == torch.bfloat16
    assert_same(found, wanted, 0.0)


def test_only_the_gradients_asked_for():
    x = torch.randn(1, 4, 6, 6, 6)
    ours, theirs = pair(4, 4, 3, 1)
    for layer in (ours, theirs):
        layer.bias.requires_grad_(False)
        layer(x).square().sum().backward()
        assert layer.bias.grad is None
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason='torch was built without oneDNN')
@pytest.mark.parametrize('stride', [1, 2])
def test_forward_and_backward_run_on_onednn(stride, capfd):
    def calls(layer):
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            layer(x).sum().backward()
        lines = [line for line in capfd.readouterr().out.splitlines() if ',convolution,' in line]
        return [
            kind for kind in ('forward', 'backward_data', 'backward_weights') if any(kind in line for line in lines)
        ]

    x = torch.randn(1, 8, 12, 12, 12, requires_grad=True)
    ours, theirs = pair(8, 8, 3, stride)
    assert calls(ours) == ['forward', 'backward_data', 'backward_weights']
    # Should torch give up its threshold, this module has had its day.
    assert calls(theirs) == []
