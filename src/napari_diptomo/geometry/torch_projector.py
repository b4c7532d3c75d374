"""The projector of `ParallelBeam` as a differentiable torch operator.

The sparse matrix and its transpose are both kept in rows: the backward pass is
the exact adjoint, on every device, and runs as fast as the forward pass.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from scipy import sparse

from napari_diptomo.geometry.parallel_beam import ParallelBeam


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, matrix: torch.Tensor, adjoint: torch.Tensor) -> torch.Tensor:
        ctx.adjoint = adjoint
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.adjoint @ grad.contiguous(), None, None


class TorchProjector:
    """Project and back-project tensors, gradients included.

    Parameters
    ----------
    beam : ParallelBeam
        The geometry.
    device : torch.device or str
        Where the matrices live.
    """

    def __init__(self, beam: ParallelBeam, device: torch.device | str = 'cpu') -> None:
        self.beam = beam
        self._matrix = _to_torch(beam.matrix, device)
        self._adjoint = _to_torch(beam.adjoint_matrix, device)
        rows = beam.row_matrices
        self._rows = None if rows is None else torch.as_tensor(rows, device=device)

    def project(self, volume: torch.Tensor) -> torch.Tensor:
        """(channel, z, y, x) to (channel, tilt, y, u), float32."""
        nc, nz, ny, nx = volume.shape
        nt, _, nu = self.beam.sinogram_shape
        flat = volume.float().permute(1, 3, 0, 2).reshape(nz * nx, nc * ny)
        found = _SparseProduct.apply(flat, self._matrix, self._adjoint)
        found = found.reshape(nt, nu, nc, ny).permute(2, 0, 3, 1)
        if self._rows is not None:
            found = torch.matmul(self._rows, found)
        return found

    def backproject(self, sinograms: torch.Tensor) -> torch.Tensor:
        """(channel, tilt, y, u) to (channel, z, y, x), the adjoint of `project`."""
        nc, nt, ny, nu = sinograms.shape
        nz, _, nx = self.beam.shape
        if self._rows is not None:
            sinograms = torch.matmul(self._rows.transpose(1, 2), sinograms)
        flat = sinograms.float().permute(1, 3, 0, 2).reshape(nt * nu, nc * ny)
        found = _SparseProduct.apply(flat, self._adjoint, self._matrix)
        return found.reshape(nz, nx, nc, ny).permute(2, 0, 3, 1)


def _to_torch(matrix: sparse.csr_matrix, device: torch.device | str) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Sparse CSR tensor support is in beta')
        return torch.sparse_csr_tensor(
            torch.as_tensor(matrix.indptr, dtype=torch.int64),
            torch.as_tensor(matrix.indices, dtype=torch.int64),
            torch.as_tensor(matrix.data),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )
