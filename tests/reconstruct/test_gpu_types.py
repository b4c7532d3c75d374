"""Types that GPUs refuse and the CPU forgives: mixed types in one layer (CUDA), double precision (Apple's)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.reconstruct.device import widest_float
from napari_diptomo.reconstruct.dip.network import UNet

SMALL = {'widths': (8, 8), 'skips': (4, 4), 'output': 'softplus'}
#: Layers whose CUDA kernels want one type; batch normalisation takes parameters in float32.
OF_ONE_TYPE = ('native_group_norm', 'convolution', 'mm', 'bmm', 'addmm', 'cat')


class OneType(TorchDispatchMode):
    """Refuses layers of mixed types."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        given = {leaf.dtype for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        assert name not in OF_ONE_TYPE or len(given) == 1, f'{name} of {given}'
        return func(*args, **(kwargs or {}))


class NoDouble(TorchDispatchMode):
    """Refuses results in double precision."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        wide = any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(found))
        # Arrays of the host are converted on their way to the device.
        assert not wide or func.overloadpacket.__name__ == 'lift_fresh', func
        return found


@pytest.mark.parametrize('layout', ['slim', 'published'])
def test_a_network_in_bfloat16_has_layers_of_one_type_on_a_gpu(layout):
    network = UNet(4, 2, layout=layout, **SMALL).to('meta')
    z = torch.zeros(1, 4, 8, 8, 8, dtype=torch.bfloat16, device='meta')
    with OneType():
        network(z).sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in network.parameters())


def test_apple_gpus_have_no_double_precision():
    assert widest_float(torch.device('mps')) == torch.float32
    assert widest_float(torch.device('cpu')) == torch.float64


@pytest.mark.parametrize(
    'step',
    [
        DIPmTV(iterations=12, precision='float32', **SMALL),
        DIPmTV(iterations=12, precision='float32', stopping='variance', **SMALL),
        TotalVariation(iterations=12, coupling='nuclear', holdout=0.1),
        SIRT(iterations=3, holdout=0.1),
        PoissonEM(iterations=3, holdout=0.1),
    ],
    ids=lambda step: f'{step.title} {getattr(step, "stopping", "")}',
)
@pytest.mark.parametrize('counts', [True, False])
def test_no_method_needs_double_precision(step, counts, maps, monkeypatch):
    for module in ('tv.norms', 'stopping'):
        monkeypatch.setattr(f'napari_diptomo.reconstruct.{module}.widest_float', lambda device: torch.float32)
    if not counts:
        if isinstance(step, PoissonEM):
            pytest.skip('for counts only')
        maps = replace(maps, variance=maps.data + 1)
    with NoDouble():
        assert step.run(maps).data.max() > 0
