r"""Projector of a second tilt series: the specimen lies in it as a `Reinsertion` says.

The volume of the first series, x, is read at the voxels of one in the frame of the second by trilinear interpolation and
projected there:

    m_t = A'_t T x,      (T x)(p') = x(R^-1 (p' - d))

T acts on the model: counts are never interpolated. Both projectors together make one, whose images are those of the first
series and then those of the second, padded to one size.

Formulas: projections of a second tilt series (`ReinsertedProjector`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from napari_diptomo.geometry.parallel_beam import ParallelBeam
from napari_diptomo.geometry.torch_projector import TorchProjector
from napari_diptomo.series.reinsertion import Reinsertion


class Projector(Protocol):
    """From volumes to images, and the adjoint."""

    def project(self, volume: torch.Tensor) -> torch.Tensor:
        """(channel, z, y, x) to (channel, tilt, y, u)."""
        ...

    def backproject(self, sinograms: torch.Tensor) -> torch.Tensor:
        """(channel, tilt, y, u) to (channel, z, y, x)."""
        ...


class ReinsertedProjector:
    """Project a volume of the first series as the second series sees it.

    Parameters
    ----------
    beam : ParallelBeam
        Of the second series, on a volume of its own frame (see `series.reinsertion.reinserted_shape`).
    reinsertion : Reinsertion
        From the first frame to the second.
    shape : tuple of int
        Of the volumes that are projected (z, y, x).
    voxel_size, pixel_size : float
        Of these volumes and of the images of the second series, nm.
    device : torch.device or str
        Where to compute.
    """

    def __init__(
        self,
        beam: ParallelBeam,
        reinsertion: Reinsertion,
        shape: tuple[int, int, int],
        voxel_size: float,
        pixel_size: float,
        device: torch.device | str = 'cpu',
    ) -> None:
        self.beam, self._shape, self._sizes = beam, shape, (voxel_size, pixel_size)
        self._projector = TorchProjector(beam, device)
        #: Of the path: a volume holds counts per voxel of its own.
        self._path = pixel_size / voxel_size
        self._grid = torch.as_tensor(_grid(beam.shape, reinsertion, shape, voxel_size, pixel_size), device=device)

    def placed(self, reinsertion: Reinsertion) -> ReinsertedProjector:
        """The same series and volumes with the specimen placed otherwise; the matrices of the beam are shared."""
        other = copy.copy(self)
        grid = _grid(self.beam.shape, reinsertion, self._shape, *self._sizes)
        other._grid = torch.as_tensor(grid, device=self._grid.device)
        return other

    def resampled(self, volume: torch.Tensor) -> torch.Tensor:
        """T x: (channel, z, y, x) in the first frame to (channel, z, y, x) in the second; zero outside."""
        return _sampled(volume, self._grid)

    def project(self, volume: torch.Tensor) -> torch.Tensor:
        """(channel, z, y, x) of the first frame to (channel, tilt, y, u) of the second series, float32."""
        return self._path * self._projector.project(self.resampled(volume))

    def backproject(self, sinograms: torch.Tensor) -> torch.Tensor:
        """(channel, tilt, y, u) to (channel, z, y, x), the adjoint of `project`."""
        there = self._path * self._projector.backproject(sinograms)
        with torch.enable_grad():
            volume = torch.zeros((len(there), *self._shape), device=there.device, requires_grad=True)
            # The gradient of a linear map is its adjoint.
            (found,) = torch.autograd.grad(self.resampled(volume), volume, there.detach())
        return found


def resample(
    volume: torch.Tensor,
    reinsertion: Reinsertion,
    shape: tuple[int, int, int],
    voxel_size: float,
    there: tuple[int, int, int],
    voxel_there: float,
) -> torch.Tensor:
    """A volume of the first frame read in the second by trilinear interpolation, zero outside.

    Parameters
    ----------
    volume : Tensor (channel, z, y, x)
        Of the first frame.
    reinsertion : Reinsertion
        From the first frame to the second.
    shape, there : tuple of int
        Shapes of both volumes (z, y, x).
    voxel_size, voxel_there : float
        Their voxels, nm.

    Returns
    -------
    Tensor (channel, z, y, x)
        In the second frame.
    """
    grid = torch.as_tensor(_grid(there, reinsertion, shape, voxel_size, voxel_there), device=volume.device)
    return _sampled(volume, grid)


def _sampled(volume: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = F.grid_sample(
        volume.float()[None], grid[None], mode='bilinear', padding_mode='zeros', align_corners=True
    )
    return found[0]


def _grid(
    there: tuple[int, ...], reinsertion: Reinsertion, shape: tuple[int, int, int], voxel_size: float, pixel_size: float
) -> np.ndarray:
    """Where in the first volume each voxel of the second one is, (z, y, x, 3) as `grid_sample` counts: -1 to 1."""
    axes = [pixel_size * (np.arange(n) - (n - 1) / 2) for n in there]
    z, y, x = np.meshgrid(*axes, indexing='ij')
    points = np.stack([x, y, z], axis=-1) - np.array(reinsertion.offset)
    # p = R^T (p' - d), points in rows.
    voxels = points @ reinsertion.matrix / voxel_size
    half = (np.array(shape[::-1]) - 1) / 2
    # Along an axis of one voxel every position between its faces is that voxel.
    flat = half == 0
    scaled = voxels / np.where(flat, 1, half)
    outside = (flat & (np.abs(voxels) > 0.5)).any(axis=-1)
    scaled[..., flat] = 0
    scaled[outside] = 2
    return scaled.astype(np.float32)


class JoinedProjector:
    """Projectors of several series one after the other, their images padded to one size.

    Parameters
    ----------
    projectors : sequence of Projector
    shapes : sequence of tuple of int
        Of the images of each (tilt, y, u).
    """

    def __init__(self, projectors: Sequence[Projector], shapes: Sequence[tuple[int, int, int]]) -> None:
        self.projectors, self._shapes = tuple(projectors), tuple(shapes)

    @property
    def size(self) -> tuple[int, int]:
        """Of the padded images (y, u)."""
        return max(s[1] for s in self._shapes), max(s[2] for s in self._shapes)

    def joined(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Images (channel, tilt, y, u) of each series as one stack, padded with zeros behind."""
        rows, columns = self.size
        padded = [F.pad(part, (0, columns - part.shape[3], 0, rows - part.shape[2])) for part in parts]
        return torch.cat(padded, dim=1)

    def parted(self, stack: torch.Tensor) -> list[torch.Tensor]:
        """The opposite of `joined`."""
        pieces = torch.split(stack, [s[0] for s in self._shapes], dim=1)
        return [piece[:, :, : s[1], : s[2]] for piece, s in zip(pieces, self._shapes, strict=True)]

    def project(self, volume: torch.Tensor) -> torch.Tensor:
        """(channel, z, y, x) to (channel, tilt of all series, y, u)."""
        return self.joined([projector.project(volume) for projector in self.projectors])

    def backproject(self, sinograms: torch.Tensor) -> torch.Tensor:
        """The adjoint of `project`."""
        parts = self.parted(sinograms)
        found = [p.backproject(part.contiguous()) for p, part in zip(self.projectors, parts, strict=True)]
        return torch.stack(found).sum(dim=0)
