r"""How channels share their edges: norms of the Jacobian J (3 directions x C channels) of a volume at each voxel.

    joint      sqrt(sum_dc J_dc^2)             one edge costs the same in one channel as in all
    channels   sum_c sqrt(sum_d J_dc^2)        every channel by itself
    nuclear    sum of the singular values      vectorial total nuclear variation: parallel gradients cost least

(Frobenius norm: Huber et al. 2019, 10.1039/C8NR09058K; nuclear norm: Holt 2014, 10.1109/TIP.2014.2332397, Zhong et al. 2017,
10.1016/j.ultramic.2016.12.008). For one channel all three are the length of the
gradient. The primal-dual method needs the projection of a dual field onto the
unit ball, times a radius, of the dual norm: Frobenius, the largest column, the
largest singular value.

With J = U s V^T the projection onto the spectral ball of radius 1 is
U min(s, 1) V^T = f(J J^T) J with f(l) = 1 / sqrt(max(l, 1)), and f of a symmetric
3 x 3 matrix G with eigenvalues a >= b >= c is Newton's interpolation through them:

    f(G) = f[a] + f[a, b] (G - a) + f[a, b, c] (G - a)(G - b).

In the objective of a network the nuclear norm is smoothed to the trace of R = (J J^T + d)^(1/2), whose gradient is R^-1 J. With
the eigenvalues r >= s >= t of R the divided differences of 1 / sqrt are

    f[a] = 1 / r,   f[a, b] = -1 / (r s (r + s)),   f[a, b, c] = (r + s + t) / (r s t (r + s) (s + t) (r + t)).

Formulas: joint norm of total variation (`joint_norm`); nuclear norm of the Jacobian (`norm`); smoothed nuclear norm
(`nuclear_tv`); projection on the dual ball (`project`); forward differences and their adjoint (`gradient_adjoint`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch

from napari_diptomo.reconstruct.device import widest_float

Coupling = Literal['joint', 'channels', 'nuclear']
#: Smoothing of the joint norm in the objective of a network, in units of the typical density.
EPSILON = 1e-2


def forward_differences(u: torch.Tensor) -> list[torch.Tensor]:
    """Along z, y, x with none across the border: (channel, z, y, x) to three of this shape; differentiable."""
    found = []
    for axis in (1, 2, 3):
        pad = [0] * 6
        pad[2 * (3 - axis) + 1] = 1
        found.append(torch.nn.functional.pad(torch.diff(u, dim=axis), pad))
    return found


def gradient(u: torch.Tensor) -> torch.Tensor:
    """`forward_differences` as one array: (channel, z, y, x) to (3, channel, z, y, x)."""
    return torch.stack(forward_differences(u))


def gradient_adjoint(p: torch.Tensor) -> torch.Tensor:
    """The adjoint of `gradient` (minus the divergence)."""
    found = p.new_zeros(p.shape[1:])
    found[:, 1:] += p[0, :, :-1]
    found[:, :-1] -= p[0, :, :-1]
    found[:, :, 1:] += p[1, :, :, :-1]
    found[:, :, :-1] -= p[1, :, :, :-1]
    found[..., 1:] += p[2, ..., :-1]
    found[..., :-1] -= p[2, ..., :-1]
    return found


def joint_norm(jacobian: Iterable[torch.Tensor], smoothing: float = 0.0) -> torch.Tensor:
    """sqrt(sum_dc J_dc^2 + smoothing) at each voxel, (z, y, x); differentiable where ``smoothing`` is positive.

    Parameters
    ----------
    jacobian : iterable of Tensor (channel, z, y, x)
        The three directions.
    smoothing : float
        Added to the squares.
    """
    along_z, along_y, along_x = (direction.square().sum(0) for direction in jacobian)
    return (along_z + along_y + along_x + smoothing).sqrt()


def joint_tv(u: torch.Tensor) -> torch.Tensor:
    """Mean over the voxels of the joint norm of a volume (channel, z, y, x), smoothed by `EPSILON`."""
    return joint_norm(forward_differences(u), EPSILON**2).mean() - EPSILON


def nuclear_tv(u: torch.Tensor) -> torch.Tensor:
    """Mean over the voxels of the nuclear norm of a volume (channel, z, y, x), smoothed as `joint_tv` is; differentiable.

    For one channel it is `joint_tv`.
    """
    if len(u) == 1:
        return joint_tv(u)
    trace: torch.Tensor = _SmoothTrace.apply(gradient(u), EPSILON**2 / 3)
    return trace.mean() - 3**0.5 * EPSILON


def channel_sum_tv(u: torch.Tensor) -> torch.Tensor:
    """As published (arXiv 2606.10547): sum over the voxels of the gradient's norm of the channels' sum."""
    return joint_norm(forward_differences(u.sum(0, keepdim=True)), 1e-9).sum()


def norm(jacobian: torch.Tensor, coupling: Coupling) -> torch.Tensor:
    """The norm at each voxel: (3, channel, z, y, x) to (z, y, x); the nuclear one to 1e-4 of the largest singular value."""
    if coupling == 'joint':
        return joint_norm(jacobian)
    if coupling == 'channels':
        return jacobian.square().sum(0).sqrt().sum(0)
    squares = torch.stack(_eigenvalues(_gram(jacobian)))
    return squares.clamp_min(0).sqrt().sum(0).to(jacobian.dtype)


def project(dual: torch.Tensor, radius: float, coupling: Coupling) -> torch.Tensor:
    """The nearest field in the ball of the dual norm at each voxel, (3, channel, z, y, x)."""
    if coupling == 'nuclear':
        return _spectral_projection(dual, radius)
    over = (0, 1) if coupling == 'joint' else (0,)
    return dual / (dual.square().sum(over, keepdim=True).sqrt() / radius).clamp_min(1)


_Gram = dict[tuple[int, int], torch.Tensor]


def _gram(rows: torch.Tensor) -> _Gram:
    """J J^T at each voxel, in the widest type: eigenvalues are squares of what is sought and can lie close together."""
    precision = widest_float(rows.device)
    found = {}
    for i in range(3):
        for j in range(i, 3):
            found[i, j] = found[j, i] = (rows[i] * rows[j]).sum(0).to(precision)
    return found


def _eigenvalues(g: _Gram) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of symmetric 3 x 3 matrices, descending, in closed form (Smith 1961, 10.1145/355578.366316)."""
    mean = (g[0, 0] + g[1, 1] + g[2, 2]) / 3
    x, y, z = g[0, 0] - mean, g[1, 1] - mean, g[2, 2] - mean
    off = g[0, 1].square() + g[0, 2].square() + g[1, 2].square()
    size = ((x * x + y * y + z * z + 2 * off) / 6).sqrt()
    half_determinant = (
        x * y * z / 2
        + g[0, 1] * g[0, 2] * g[1, 2]
        - (x * g[1, 2].square() + y * g[0, 2].square() + z * g[0, 1].square()) / 2
    )
    angle = (half_determinant / size.pow(3).clamp_min(torch.finfo(mean.dtype).tiny)).clamp(-1, 1).acos() / 3
    largest = mean + 2 * size * angle.cos()
    smallest = mean + 2 * size * (angle + 2 * math.pi / 3).cos()
    return largest, 3 * mean - largest - smallest, smallest


class _SmoothTrace(torch.autograd.Function):
    """tr (J J^T + d)^(1/2) at each voxel: (3, channel, z, y, x) to (z, y, x). By torch's eigenvalues it takes six times as long."""

    @staticmethod
    def forward(ctx: Any, jacobian: torch.Tensor, d: float) -> torch.Tensor:
        # In single precision a vanishing singular value beside a large one makes the slope nonsense.
        rows = jacobian if widest_float(jacobian.device) == torch.float64 else jacobian.cpu()
        g = _gram(rows)
        r, s, t = ((value.clamp_min(0) + d).sqrt() for value in _eigenvalues(g))
        fab, fbc = -1 / (r * s * (r + s)), -1 / (s * t * (s + t))
        fabc = fab * fbc * s * (r + s + t) / (r + t)
        a, b = r.square() - d, s.square() - d
        slope = _interpolated(g, rows, 1 / r - fab * a + fabc * a * b, fab - fabc * (a + b), fabc)
        ctx.save_for_backward(slope.to(jacobian.device))
        return (r + s + t).to(jacobian)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        (slope,) = ctx.saved_tensors
        return upstream[0] * slope, None


def _spectral_projection(dual: torch.Tensor, radius: float) -> torch.Tensor:
    g = _gram(dual / radius)
    a, b, c = _eigenvalues(g)
    fa, fb, fc = (value.clamp_min(1).rsqrt() for value in (a, b, c))
    # Where eigenvalues meet the quotients are 0 / 0, and what they multiply is 0 too.
    limits = torch.finfo(a.dtype)
    least = 100 * limits.eps * a + limits.tiny
    fab, fbc = (fa - fb) / (a - b + least), (fb - fc) / (b - c + least)
    fabc = (fab - fbc) / (a - c + least)
    return _interpolated(g, dual, fa - fab * a + fabc * a * b, fab - fabc * (a + b), fabc)


def _interpolated(
    g: _Gram, rows: torch.Tensor, constant: torch.Tensor, linear: torch.Tensor, quadratic: torch.Tensor
) -> torch.Tensor:
    """(quadratic G^2 + linear G + constant) J at each voxel, (3, channel, z, y, x)."""
    found = torch.zeros_like(rows)
    for i in range(3):
        for j in range(i, 3):
            square = g[i, 0] * g[0, j] + g[i, 1] * g[1, j] + g[i, 2] * g[2, j]
            entry = (quadratic * square + linear * g[i, j] + (constant if i == j else 0)).to(rows.dtype)
            found[i] += entry * rows[j]
            if i != j:
                found[j] += entry * rows[i]
    return found
