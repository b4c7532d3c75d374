"""The network: its layers against torch's own, its two sizes of drawing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_diptomo.reconstruct.dip.convolution import Conv3d
from napari_diptomo.reconstruct.dip.network import Pointwise, UNet, upsample


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_pointwise_is_torchs_convolution(dtype):
    ours, theirs = Pointwise(5, 3), nn.Conv3d(5, 3, 1)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 5, 4, 3, 6)
    mine, other = x.clone().to(dtype).requires_grad_(), x.clone().requires_grad_()
    found, expected = ours(mine), theirs(other)
    assert found.dtype == dtype
    found.float().square().sum().backward()
    expected.square().sum().backward()
    # Two to the minus eighth is what bfloat16 resolves.
    tolerance = {'rtol': 0.03, 'atol': 0.03} if dtype == torch.bfloat16 else {'rtol': 1e-4, 'atol': 1e-5}
    torch.testing.assert_close(found.float(), expected, **tolerance)
    torch.testing.assert_close(mine.grad.float(), other.grad, **tolerance)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=0.05, atol=0.1)


def test_parameters_stay_in_full_precision_under_bfloat16():
    layer = Conv3d(2, 3, 3, padding=1)
    layer(torch.randn(1, 2, 4, 4, 4).bfloat16()).float().sum().backward()
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32


def test_opening_the_full_size_changes_nothing_at_first():
    network = UNet(4, 2, (8, 8, 8), (4, 4, 4), grows=True)
    z = torch.randn(1, 4, 16, 12, 10)
    network.coarse = True
    coarse = network(z)
    network.coarse = False
    torch.testing.assert_close(network(z), coarse)


def test_the_coarse_drawing_is_interpolated_from_half_the_size():
    network = UNet(4, 2, (8, 8, 8), (4, 4, 4), grows=True)
    network.coarse = True
    seen = []
    network.head_coarse.register_forward_hook(lambda module, inputs, output: seen.append(output))
    volume = network(torch.randn(1, 4, 16, 12, 10))
    assert seen[0].shape == (1, 2, 8, 6, 5)
    torch.testing.assert_close(volume, nn.functional.softplus(upsample(seen[0], (16, 12, 10)))[0])


def test_the_full_size_learns_once_it_is_open():
    network = UNet(4, 2, (8, 8), (4, 4), grows=True)
    z = torch.randn(1, 4, 8, 8, 8)
    network.coarse = True
    network(z).sum().backward()
    assert all(p.grad is None for p in network.head.parameters())
    network.coarse = False
    network(z).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.head.parameters())


def test_slim_and_published_layouts_mix_at_their_sizes():
    slim, published = (UNet(4, 2, (8, 16), (4, 4), layout=layout) for layout in ('slim', 'published'))
    first = {name: next(m for m in n.up[0] if isinstance(m, Conv3d)) for name, n in (('s', slim), ('p', published))}
    assert first['s'].in_channels == 8
    assert first['p'].in_channels == 16 + 4
