"""Maps of a second tilt axis as a problem solves them: split counts, projector, the pixels that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.second_projector import ReinsertedProjector
from napari_diptomo.reconstruct.data_split import Split, split_counts
from napari_diptomo.series import Finding, InputError, MapSeries
from napari_diptomo.series.reinsertion import Reinsertion, reinserted_shape

#: Added to the seed: the coins of the two series are others.
_OTHER_COINS = 104_729
#: Share of the path through a specimen wider than the field that must lie in the volume for a pixel to count.
_INSIDE = 0.98


@dataclass(frozen=True, eq=False)
class SecondSeries:
    """A second series of maps of the same volume.

    Attributes
    ----------
    maps : MapSeries
        In counts as those of the first are; the gain holds their dose and unit relative to the first.
    projector : ReinsertedProjector
        From the first frame to these images.
    split : Split
        Fitted and held-out data.
    mask : ndarray (1 or window, tilt, y, u), float32
        Weight of the data.
    """

    maps: MapSeries
    projector: ReinsertedProjector
    split: Split
    mask: np.ndarray

    @property
    def images(self) -> tuple[int, int, int]:
        """Shape of the images of one channel (tilt, y, u)."""
        _, tilts, rows, columns = self.maps.data.shape
        return tilts, rows, columns


def second_series(
    maps: MapSeries,
    shape: tuple[int, int, int],
    voxel_size: float,
    beyond_field: bool,
    holdout: float,
    seed: int,
    quasi: bool,
    device: torch.device,
) -> SecondSeries:
    """Make a second series ready for a problem.

    Parameters
    ----------
    maps : MapSeries
        With its reinsertion.
    shape : tuple of int
        Of the volume of the first series that is solved for (z, y, x).
    voxel_size : float
        Of it, nm.
    beyond_field : bool
        The specimen extends beyond the field: pixels whose ray leaves the volume before it leaves the specimen carry no
        weight.
    holdout : float
        Fraction of the counts to hold out.
    seed : int
        Of the split.
    quasi : bool
        See `problem.Problem`.
    device : torch.device
        Where to compute.
    """
    projector = reinserted_projector(maps, shape, voxel_size, device)
    split = split_counts(maps, holdout, seed + _OTHER_COINS, quasi)
    if quasi and split.held_out is not None:
        maps = replace(maps, held_out=split.held_out, held_out_share=split.share)
    seen = np.broadcast_to(projector.beam.covered_pixels, projector.beam.sinogram_shape)[None]
    paths = _paths(projector, shape, device)
    if beyond_field:
        # The longest path of each tilt is one that lies inside: rays of a tilt are parallel.
        seen = seen & (paths >= _INSIDE * paths.max(axis=(1, 2), keepdims=True))
    if maps.missing is not None:
        seen = seen & ~maps.missing
    if not (seen & (paths > 0)).any():
        raise InputError(
            'The images of the second axis show nothing of the volume where the specimen was said to lie; join the two series '
            'again (SecondAxis).'
        )
    return SecondSeries(maps, projector, split, np.ascontiguousarray(seen, np.float32))


def of_second_axis(finding: Finding) -> Finding:
    """A finding on the maps of a second axis, its sentence saying so."""
    return replace(finding, sentence=f'Second axis: {finding.sentence}', remedy=None)


def reinserted_projector(
    maps: MapSeries,
    shape: tuple[int, int, int],
    voxel_size: float,
    device: torch.device | str = 'cpu',
    like: Sequence[ReinsertedProjector] = (),
) -> ReinsertedProjector:
    """From a volume (z, y, x) of the first series to the images of the second.

    Parameters
    ----------
    maps : MapSeries
        Of the second series, with its reinsertion.
    shape : tuple of int
        Of the volume.
    voxel_size : float
        Of it, nm.
    device : torch.device or str
        Where to compute.
    like : sequence of ReinsertedProjector
        Of the same series and volume, the specimen placed otherwise: matrices of one are used again where they fit.
    """
    reinsertion = maps.reinsertion or Reinsertion()
    rows, columns = maps.data.shape[2:]
    there = reinserted_shape(shape, reinsertion, (rows, columns), voxel_size / maps.pixel_size)
    for other in like:
        if other.beam.shape == there:
            return other.placed(reinsertion)
    beam = ParallelBeam(maps.angles, there, maps.shifts, maps.axis_shift, columns, axis_rotation=maps.axis_rotation)
    return ReinsertedProjector(beam, reinsertion, shape, voxel_size, maps.pixel_size, device)


@torch.no_grad()
def _paths(projector: ReinsertedProjector, shape: tuple[int, int, int], device: torch.device) -> np.ndarray:
    """How far each ray passes through the volume, (tilt, y, u), voxels."""
    return np.asarray(projector.project(torch.ones((1, *shape), device=device))[0].cpu().numpy())
