"""Orthogonalised momentum against the singular value decomposition."""

from __future__ import annotations

import pytest
import torch

from napari_diptomo.reconstruct.dip.network import UNet
from napari_diptomo.reconstruct.dip.optimiser import Muon, optimisers, orthogonalise


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
