r"""The problem that every method solves: fitted and held-out data, and the forward model.

The expected data of the full exposure are

    m[w, t, v, u] = gain[w, t] * sum_c mixing[w, c] (A_t x_c)[v, u] + background[w, t, v, u]

(with one map per element the mixing is the identity, the gain one, the background zero). A fraction of the counts is held out before anything
is fitted, see `data_split`.

Data that the volume cannot account for (rows shifted in from outside) and those
that are missing or outliers carry no weight. With a support S (see `reconstruct.support`) the solvers' variable is v,
the volume S v, and A S stands for A throughout. Maps of a second tilt axis have a projector of their own (`second_series`); their
images follow those of the first in all data.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.second_projector import JoinedProjector, Projector
from napari_diptomo.geometry.torch_projector import TorchProjector
from napari_diptomo.reconstruct.data_split import noise_variance, split_counts
from napari_diptomo.reconstruct.grid import check_maps, volume_shape
from napari_diptomo.reconstruct.haadf_observation import HAADFData
from napari_diptomo.reconstruct.second_series import SecondSeries, second_series
from napari_diptomo.reconstruct.support import Support, counts_outside
from napari_diptomo.series import Finding, MapSeries

#: Expected counts below which the Poisson deviance is not resolved; keeps log(0) away.
FLOOR = 1e-3


class Problem:
    """One reconstruction problem on one device.

    Parameters
    ----------
    maps : MapSeries
        The data.
    thickness : float, optional
        Extent of the volume along the beam, nm; default: as wide as the images.
    beyond_field : bool
        The specimen extends beyond the field of view along x: the volume is made
        wider while solving and cut back at the end.
    holdout : float
        Fraction of the counts to hold out.
    seed : int
        Of the split.
    device : torch.device or str
        Where to compute.
    support : Support, optional
        Where the volume can differ from zero, on the grid of `volume_shape`; the
        grid that is solved on is cut to it along z and x.
    unit : ndarray (channel,), optional
        What the volume of these maps is multiplied by for the user; default 1.
    quasi : bool
        The data are no whole counts but have the variance of such.
    haadf : HAADFData, optional
        Images that are fitted beside the maps, see `haadf_observation`.
    second : MapSeries, optional
        Maps of a second tilt axis, in counts as ``maps`` are.

    Attributes
    ----------
    fit, held_out : Tensor (window, tilt, y, u)
        Fitted and held-out data of all series, padded behind to one size; held_out None where there is none.
    mask : Tensor
        Weight of the data, broadcast to them.
    """

    def __init__(
        self,
        maps: MapSeries,
        thickness: float | None = None,
        beyond_field: bool = False,
        holdout: float = 0.0,
        seed: int = 0,
        device: torch.device | str = 'cpu',
        support: Support | None = None,
        unit: np.ndarray | None = None,
        quasi: bool = False,
        haadf: HAADFData | None = None,
        second: MapSeries | None = None,
    ) -> None:
        check_maps(maps)
        self.maps, self.quasi, self.haadf = maps, quasi, haadf
        self.second: SecondSeries | None = None
        #: What the mean over all data is multiplied by: a second axis adds data, and must not dilute those of the first.
        #: Half the dose about each of two axes then weighs against the prior as all of it about one (docs/dual-axis.md).
        self.data_weight = 1.0
        #: Of the data before the fit.
        self.findings: tuple[Finding, ...] = ()
        self.device = torch.device(device)
        self._whole = shape = volume_shape(maps, thickness, beyond_field)
        self.support: torch.Tensor | None = None
        self.exact = support is not None and support.exact
        self.support_notes: dict[str, Any] = {}
        if support is not None:
            inside = support.cropped()
            self.support, shape = self._tensor(inside), inside.shape
        self.beam = ParallelBeam(
            maps.angles, shape, maps.shifts, maps.axis_shift, maps.data.shape[3], axis_rotation=maps.axis_rotation
        )
        self.projector: Projector = TorchProjector(self.beam, self.device)
        self.mask = self._seen()
        self.unit = torch.ones(len(maps.channels), device=self.device) if unit is None else self._tensor(unit)
        split = split_counts(maps, holdout, seed, quasi)
        if quasi and split.held_out is not None:
            # Judges trust what maps bring along as held out, and this part is independent of the other.
            self.maps = replace(maps, held_out=split.held_out, held_out_share=split.share)
        self.share = split.share
        self.fit = self._tensor(split.fit)
        self.held_out = None if split.held_out is None else self._tensor(split.held_out)
        self.mixing = None if maps.mixing is None else self._tensor(maps.mixing)
        self.gain = None if maps.gain is None else self._tensor(maps.gain)[:, :, None, None]
        self.background = None if maps.background is None else self._tensor(maps.background)
        if support is not None:
            path_length = self.beam.project(support.cropped()[None])[0]
            self.support_notes = {**support.notes, 'counts_outside': counts_outside(maps, path_length)}
        if second is not None:
            z, y, x = self.beam.shape
            self._join(
                second_series(second, (z, y, x), maps.pixel_size, beyond_field, holdout, seed, quasi, self.device)
            )

    def _join(self, second: SecondSeries) -> None:
        """Put the data of a second series behind those of the first."""
        self.second = second
        self.projector = JoinedProjector((self.projector, second.projector), (self.beam.sinogram_shape, second.images))
        split, maps, one = second.split, second.maps, torch.ones((1, 1, 1, 1), device=self.device)
        of_first = self._both(self.mask, np.zeros_like(second.mask))
        self.mask, self.fit = self._both(self.mask, second.mask), self._both(self.fit, split.fit)
        self.data_weight = float(self.mask.sum() / of_first.sum())
        if self.held_out is not None and split.held_out is not None:
            self.held_out = self._both(self.held_out, split.held_out)
        if self.background is not None or maps.background is not None:
            first = 0 * one if self.background is None else self.background
            self.background = self._both(first, np.zeros((1, 1, 1, 1)) if maps.background is None else maps.background)
        if self.gain is not None or maps.gain is not None:
            gains = (
                one if self.gain is None else self.gain,
                one if maps.gain is None else self._tensor(maps.gain)[:, :, None, None],
            )
            tilts = (len(self.maps.angles), len(maps.angles))
            self.gain = torch.cat([g.expand(len(self.fit), n, 1, 1) for g, n in zip(gains, tilts, strict=True)], dim=1)

    def _both(self, first: torch.Tensor, second: np.ndarray) -> torch.Tensor:
        """Data of both series, (window, tilt, y, u), from those of each."""
        assert isinstance(self.projector, JoinedProjector) and self.second is not None
        sizes = (self.beam.sinogram_shape, self.second.images)
        parts = (first, self._tensor(second))
        windows = len(self.maps.data)
        return self.projector.joined([part.expand(windows, *size) for part, size in zip(parts, sizes, strict=True)])

    def of_series(self) -> tuple[Problem, ...]:
        """The problem of each series alone, on the same volume: the first, then the second where there is one."""
        second, projector = self.second, self.projector
        if second is None or not isinstance(projector, JoinedProjector):
            return (self,)
        found = []
        for number, maps in enumerate((self.maps, second.maps)):
            part = copy(self)
            part.maps, part.second, part.projector = maps, None, projector.projectors[number]
            vars(part).pop('variance', None)
            for name in ('mask', 'fit', 'held_out', 'background'):
                whole = getattr(self, name)
                setattr(part, name, None if whole is None else projector.parted(whole)[number])
            if self.gain is not None:
                first = len(self.maps.angles)
                part.gain = self.gain[:, :first] if number == 0 else self.gain[:, first:]
            found.append(part)
        return tuple(found)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, np.float32), device=self.device)

    def _seen(self) -> torch.Tensor:
        """Weight of the data: (1, tilt, y, 1 or u), or (window, tilt, y, u) where some are missing."""
        seen = self._tensor(self.beam.covered_pixels[None])
        return seen if self.maps.missing is None else seen * self._tensor(~self.maps.missing)

    @property
    def channels(self) -> int:
        return len(self.maps.channels)

    @property
    def windows_per_channel(self) -> float:
        """1 for maps. How finely the counts are binned must not change what they weigh against the prior."""
        return self.fit.shape[0] / self.channels

    @property
    def data_size(self) -> float:
        """Data of the first series that carry weight, as many as there were if every channel had one window."""
        first = self.of_series()[0]
        return int(first.mask.sum().item()) * (first.fit.numel() // first.mask.numel()) / self.windows_per_channel

    @cached_property
    def variance(self) -> torch.Tensor:
        """Of the data of the full exposure, (window, tilt, y, u)."""
        first = self._tensor(noise_variance(self.maps))
        return first if self.second is None else self._both(first, noise_variance(self.second.maps))

    @property
    def filling(self) -> float:
        """Voxels that are solved for per voxel of the whole grid: means over either keep one meaning by it."""
        return float(np.prod(self.beam.shape) / np.prod(self._whole))

    def zeros(self) -> torch.Tensor:
        """An empty volume (channel, z, y, x)."""
        return torch.zeros((self.channels, *self.beam.shape), device=self.device)

    def inside(self, x: torch.Tensor) -> torch.Tensor:
        """S x: a volume of the solvers, (channel, z, y, x), with what lies outside the support gone."""
        return x if self.support is None else x * self.support

    def regular(self, x: torch.Tensor) -> torch.Tensor:
        """The volume whose edges cost: S x, or x itself under an exact support, whose faces are given."""
        return x if self.exact else self.inside(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Signal of a volume (channel, z, y, x) in the full exposure, background left out."""
        signal = self.projector.project(self.inside(x))
        if self.mixing is not None:
            signal = torch.einsum('wc,ctyu->wtyu', self.mixing, signal)
        return signal if self.gain is None else signal * self.gain

    def adjoint(self, data: torch.Tensor) -> torch.Tensor:
        """The adjoint of `forward`."""
        if self.gain is not None:
            data = data * self.gain
        if self.mixing is not None:
            data = torch.einsum('wc,wtyu->ctyu', self.mixing, data)
        return self.inside(self.projector.backproject(data))

    def expected(self, x: torch.Tensor) -> torch.Tensor:
        """m of the module's formula: signal and background."""
        signal = self.forward(x)
        return signal if self.background is None else signal + self.background

    def with_haadf(self, haadf: HAADFData | None) -> Problem:
        """The same problem with these images, or with the maps alone; everything else is shared."""
        other = copy(self)
        other.haadf = haadf
        return other

    def with_shifts(self, shifts: np.ndarray) -> Problem:
        """The same data on the same grid, the images shifted by ``shifts`` (tilt, 2) pixels."""
        other = copy(self)
        other.maps = replace(self.maps, shifts=shifts)
        other.beam = self.beam.with_shifts(shifts)
        other.projector = TorchProjector(other.beam, self.device)
        other.mask = other._seen()
        return other

    def seen_with(self, other: Problem) -> Problem:
        """The same problem on the data that carry weight in another one too."""
        both = copy(self)
        both.mask = self.mask * other.mask
        return both

    @property
    def margins(self) -> tuple[int, int]:
        """Voxels by which the volume that the user sees is wider at either end, along z and x; negative ones are cut off."""
        nz, _, nx = self.beam.shape
        return (self._whole[0] - nz) // 2, (self.beam.columns - nx) // 2

    def frame(self, x: torch.Tensor) -> np.ndarray:
        """The volume as the user sees it: zero outside the support, cut to the field, in the unit of the user's data.

        A float32 copy on the host, (channel, z, y, x).
        """
        x = self.inside(x.detach()) * self.unit[:, None, None, None]
        nz, nx = self.margins
        x = torch.nn.functional.pad(x.float(), (nx, nx, 0, 0, nz, nz))
        return np.array(x.cpu().numpy(), np.float32, order='C', copy=True)
