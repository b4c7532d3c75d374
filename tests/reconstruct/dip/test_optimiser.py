"""Orthogonalised momentum against the singular value decomposition."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from napari_diptomo.reconstruct.dip.network import UNet
from napari_diptomo.reconstruct.dip.optimiser import Adam, Muon, optimisers, orthogonalise


@pytest.mark.parametrize('shape', [(8, 30), (30, 8), (16, 16)])
def test_orthogonalising_keeps_the_singular_vectors_and_levels_the_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonalise(matrix) @ v.T
    values = inner.diagonal()
    assert float((inner - values.diag()).abs().max()) < 1e-4
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


def test_a_step_has_the_spectral_size_of_the_rate_and_goes_downhill():
    weight = torch.nn.Parameter(torch.randn(6, 3, 2, 2, 2, generator=torch.Generator().manual_seed(1)))
    before = weight.detach().clone()
    (weight.square().sum() / 2).backward()
    Muon([weight], lr=0.1).step()
    change = (weight.detach() - before).flatten(1)
    assert 0.06 < float(torch.linalg.matrix_norm(change, 2)) < 0.13
    assert float((change * before.flatten(1)).sum()) < 0


def test_every_parameter_has_one_optimiser():
    network = UNet(4, 2, (8, 8), (4, 4))
    for kind in ('muon', 'adam'):
        found = [p for o in optimisers(network, kind, 0.05) for g in o.param_groups for p in g['params']]
        assert len(found) == len({id(p) for p in found}) == len(list(network.parameters()))


def _networks():
    found = []
    for _ in range(2):
        torch.manual_seed(4)
        found.append(UNet(4, 2, (8, 8), (4, 4)))
    return found


@pytest.mark.parametrize('betas', [(0.9, 0.999), (0.9, 0.99)])
def test_adam_is_that_of_torch_to_the_last_bit(betas):
    ours, theirs = _networks()
    one, other = Adam(ours.parameters(), 0.01, betas), torch.optim.Adam(theirs.parameters(), lr=0.01, betas=betas)
    z = torch.randn((1, 4, 8, 8, 8), generator=torch.Generator().manual_seed(5))
    for iteration in range(8):
        if iteration == 4:
            one.load_state_dict(other.state_dict())
        for network, optimiser in ((ours, one), (theirs, other)):
            # A part that is opened later has taken fewer steps.
            network.head.requires_grad_(iteration > 1)
            network.zero_grad(set_to_none=True)
            (network(z) - 0.3).square().mean().backward()
            optimiser.param_groups[0]['lr'] = 0.01 / (1 + iteration)
            optimiser.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('kind', [Muon, Adam])
def test_a_resumed_optimiser_takes_the_same_steps(kind):
    ours, theirs = _networks()
    z = torch.randn((1, 4, 8, 8, 8), generator=torch.Generator().manual_seed(5))

    def weights(network):
        return [p for p in network.parameters() if p.dim() > 1]

    def steps(network, optimiser, count):
        for _ in range(count):
            network.zero_grad(set_to_none=True)
            (network(z) - 0.3).square().mean().backward()
            optimiser.step()

    steps(ours, whole := kind(weights(ours), 0.02), 5)
    steps(theirs, begun := kind(weights(theirs), 0.02), 3)
    steps(theirs, resumed := kind(weights(theirs), 0.5), 0)
    resumed.load_state_dict(begun.state_dict())
    steps(theirs, resumed, 2)
    assert whole.param_groups[0]['lr'] == resumed.param_groups[0]['lr']
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_fit_imports_no_compiler():
    script = (
        'import sys, numpy as np\n'
        'from napari_diptomo import DIPmTV, MapSeries\n'
        "maps = MapSeries(np.full((2, 3, 8, 8), 4), np.arange(-20.0, 21, 20), ('A', 'B'))\n"
        'DIPmTV(iterations=2).run(maps)\n'
        'print(sorted({"sympy", "torch._dynamo", "torch.distributed.tensor"} & set(sys.modules)))'
    )
    out = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == '[]'
