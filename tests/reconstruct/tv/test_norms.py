"""Norms of the Jacobian and projections onto their dual balls, against singular value decompositions."""

from __future__ import annotations

import pytest
import torch

from napari_diptomo.reconstruct.tv import norms
from napari_diptomo.reconstruct.tv.norms import (
    EPSILON,
    channel_sum_tv,
    gradient,
    joint_tv,
    norm,
    nuclear_tv,
    project,
)

COUPLINGS = ('joint', 'channels', 'nuclear')
#: A singular value of zero is the root of an eigenvalue known to 1e-8 of the largest.
EXACT = 1e-3


def field(channels: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((3, channels, 4, 5, 6), generator=torch.Generator().manual_seed(seed))


def singular(jacobian: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.linalg.svd(jacobian.double().permute(2, 3, 4, 0, 1), full_matrices=False)


@pytest.mark.parametrize('channels', [1, 2, 3, 5])
def test_nuclear_norm_is_the_sum_of_the_singular_values(channels):
    jacobian = field(channels)
    torch.testing.assert_close(norm(jacobian, 'nuclear').double(), singular(jacobian)[1].sum(-1), rtol=0, atol=EXACT)


@pytest.mark.parametrize('channels', [1, 2, 3, 5])
@pytest.mark.parametrize('radius', [0.3, 1.5, 100.0])
def test_spectral_projection_cuts_the_singular_values(channels, radius):
    dual = field(channels)
    u, s, v = singular(dual)
    known = (u * s.clamp_max(radius)[..., None, :] @ v).permute(3, 4, 0, 1, 2)
    torch.testing.assert_close(project(dual, radius, 'nuclear').double(), known, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    'values',
    [(2, 2, 2), (2, 2, 0.1), (2, 0.1, 0.1), (1, 1, 1), (1, 1.0001, 0.9999), (2, 2.0000001, 0), (3, 0, 0), (0, 0, 0)],
)
@pytest.mark.parametrize('precision', [torch.float64, torch.float32])
def test_spectral_projection_where_singular_values_meet(values, precision, monkeypatch):
    """Crystals have faces: equal and vanishing singular values are the rule, not the exception."""
    monkeypatch.setattr('napari_diptomo.reconstruct.tv.norms.widest_float', lambda device: precision)
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.linalg.qr(torch.randn((60, 3, 3), generator=generator))[0] for _ in range(2))
    given = torch.tensor(values, dtype=torch.float32)
    dual = (left * given @ right).permute(1, 2, 0).reshape(3, 3, 3, 4, 5)
    known = (left * given.clamp_max(1) @ right).permute(1, 2, 0).reshape(3, 3, 3, 4, 5)
    exact = 2e-6 if precision == torch.float64 else 1e-3
    torch.testing.assert_close(project(dual, 1.0, 'nuclear'), known, rtol=0, atol=exact)


def test_one_channel_makes_all_norms_the_length_of_the_gradient():
    jacobian = field(1)
    for coupling in COUPLINGS:
        torch.testing.assert_close(norm(jacobian, coupling), jacobian.square().sum((0, 1)).sqrt(), rtol=0, atol=EXACT)
        torch.testing.assert_close(project(jacobian, 0.7, coupling), project(jacobian, 0.7, 'joint'))


@pytest.mark.parametrize('coupling', COUPLINGS)
def test_norm_is_the_support_function_of_its_dual_ball(coupling):
    """|J| = max <J, P> over the ball: attained by the projection of a long multiple of J."""
    jacobian = field(3)
    farthest = project(1e5 * jacobian, 1.0, coupling)
    attained = (jacobian * farthest).sum((0, 1))
    torch.testing.assert_close(attained, norm(jacobian, coupling), rtol=1e-3, atol=1e-3)
    within = (jacobian * project(field(3, seed=1), 1.0, coupling)).sum((0, 1))
    assert (within <= norm(jacobian, coupling) + 1e-5).all()


@pytest.mark.parametrize(('channels', 'joint', 'apart', 'nuclear'), [((1, 1), 2**0.5, 2, 2**0.5), ((1, 0), 1, 1, 1)])
def test_an_edge_that_two_channels_share(channels, joint, apart, nuclear):
    """Parallel gradients of length 1: sqrt(2) when coupled, 2 when not."""
    jacobian = torch.zeros(3, 2, 1, 1, 1)
    jacobian[2, :, 0, 0, 0] = torch.tensor(channels, dtype=torch.float32)
    for coupling, known in (('joint', joint), ('channels', apart), ('nuclear', nuclear)):
        assert float(norm(jacobian, coupling)) == pytest.approx(known, abs=EXACT)


def test_edges_that_cross_cost_more_in_the_nuclear_norm():
    jacobian = torch.zeros(3, 2, 1, 1, 1)
    jacobian[0, 0] = jacobian[2, 1] = 1
    assert float(norm(jacobian, 'nuclear')) == pytest.approx(2, abs=EXACT)
    assert float(norm(jacobian, 'joint')) == pytest.approx(2**0.5)


def test_the_norm_of_the_network_is_that_of_the_solver():
    """One edge of height h in C channels costs h sqrt(C) per voxel of its face, and both gradients are one."""
    u = torch.zeros(3, 4, 5, 6, dtype=torch.float64)
    u[:, :, :, 3:] = 2.0
    assert float(norm(gradient(u), 'joint').sum()) == pytest.approx(4 * 5 * 2 * 3**0.5, rel=1e-12)
    smoothed = (4 * 5 * ((4 * 3 + EPSILON**2) ** 0.5 - EPSILON)) / (4 * 5 * 6)
    assert float(joint_tv(u)) == pytest.approx(smoothed, rel=1e-9)
    assert float(channel_sum_tv(u)) == pytest.approx(4 * 5 * 6.0 + 4 * 5 * 5 * 1e-9**0.5, rel=1e-9)


@pytest.mark.parametrize('smoothed', [joint_tv, nuclear_tv])
def test_the_smoothed_norm_has_a_gradient_where_the_volume_is_flat(smoothed):
    u = torch.zeros(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    value = smoothed(u)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-12)
    assert torch.equal(u.grad, torch.zeros_like(u))


def by_torch(u: torch.Tensor) -> torch.Tensor:
    """The smoothed nuclear norm from torch's own eigenvalues, whose gradient torch finds."""
    jacobian = gradient(u).permute(2, 3, 4, 0, 1).flatten(0, 2)
    squares = torch.linalg.eigvalsh(jacobian @ jacobian.mT + EPSILON**2 / 3 * torch.eye(3, dtype=u.dtype))
    return squares.sqrt().sum(1).mean() - 3**0.5 * EPSILON


@pytest.mark.parametrize('channels', [2, 3, 5])
@pytest.mark.parametrize('height', [1.0, 1e-3])
def test_the_smoothed_nuclear_norm_is_that_of_torchs_eigenvalues(channels, height):
    sampled = height * torch.rand((channels, 4, 5, 6), generator=torch.Generator().manual_seed(channels))
    sampled[:, 2:] = height  # flat, and an edge that all channels share
    ours, theirs = (sampled.double().requires_grad_() for _ in range(2))
    value, known = nuclear_tv(ours), by_torch(theirs)
    assert float(value.detach()) == pytest.approx(float(known.detach()), rel=1e-6, abs=1e-9)
    (3 * value).backward()
    (3 * known).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-4 * float(theirs.grad.abs().max()))


@pytest.mark.parametrize('values', [(2, 2, 2), (2, 2, 0.1), (2, 0.1, 0.1), (1, 1.0001, 0.9999), (3, 0, 0), (0, 0, 0)])
def test_the_slope_of_the_smoothed_nuclear_norm_where_singular_values_meet(values):
    """It is U s / sqrt(s^2 + d) V^T."""
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.linalg.qr(torch.randn((60, 3, 3), generator=generator))[0] for _ in range(2))
    given, d = torch.tensor(values, dtype=torch.float32), EPSILON**2 / 3
    jacobian = (left * given @ right).permute(1, 2, 0).reshape(3, 3, 3, 4, 5).requires_grad_()
    norms._SmoothTrace.apply(jacobian, d).sum().backward()
    known = (left * (given / (given.square() + d).sqrt()) @ right).permute(1, 2, 0).reshape(3, 3, 3, 4, 5)
    torch.testing.assert_close(jacobian.grad, known, rtol=0, atol=1e-3)


def test_the_smoothed_nuclear_norm_of_one_channel_is_the_joint_one():
    u = torch.rand((1, 4, 5, 6), generator=torch.Generator().manual_seed(0))
    assert torch.equal(nuclear_tv(u), joint_tv(u))
