"""The fields that all reconstruction steps share, and their translation into settings."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from napari_diptomo.reconstruct.grid import check_alike, check_maps, volume_shape
from napari_diptomo.reconstruct.memory_check import Estimate, MemoryNeed, advising_when_memory_runs_out, check_memory
from napari_diptomo.reconstruct.settings import ProblemSettings, SupportSettings
from napari_diptomo.series import MapSeries, Observer, Step, Volume, param
from napari_diptomo.series.reinsertion import Reinsertion, reinserted_shape

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.problem import Problem
    from napari_diptomo.reconstruct.volume import Solution


class Reconstruction(Step):
    """A step from maps to a volume, (channel, z, y, x) in counts per voxel of path."""

    thickness: float | None = param(
        None,
        'Extent of the volume along the beam; empty: as wide as the images. For a lamella give its thickness and a margin.',
        unit='nm',
        gt=0.0,
    )
    beyond_field: bool = param(
        False,
        'Tick when the specimen extends beyond the field of view, as a lamella does: it is solved there too and cut off.',
        label='Extends beyond view',
    )
    support: Literal['none', 'slab', 'box', 'mask'] = param(
        'none',
        'Where the specimen can be; the volume is zero elsewhere. Helps much against the missing wedge when it is exact and '
        'little when it is loose; one that is too thin is far worse than none.',
    )
    support_exact: bool = param(
        False,
        'Tick when the specimen fills the support to its faces, known to half a voxel: worth much then, harmful when they '
        'are off. Unticked, the specimen may end anywhere inside.',
    )
    slab_thickness: float | None = param(
        None,
        'Thickness of the lamella, for the support slab; auto: found from the counts, a little too thick to be safe.',
        unit='nm',
        gt=0.0,
    )
    slab_tilt: float | None = param(
        None,
        'Stage tilt at which the beam passes the slab straight; auto: found from the counts.',
        unit='deg',
        ge=-60.0,
        le=60.0,
        advanced=True,
    )
    slab_tip: float | None = param(
        None,
        'Tilt of the slab about the x axis, positive when it lies lower where y is larger; auto: found from the counts.',
        unit='deg',
        ge=-60.0,
        le=60.0,
        advanced=True,
        label='Tilt about x',
    )
    slab_offset: float | None = param(
        None,
        'Position of the middle plane of the slab along the beam, from the middle of the volume; auto: found from the '
        'counts.',
        unit='nm',
        advanced=True,
        label='Slab position',
    )
    slab_margin: float = param(
        0.5,
        'Added on both faces of a slab whose thickness was found from the counts.',
        unit='voxels',
        ge=0.0,
        le=100.0,
        advanced=True,
    )
    support_box: tuple[float, ...] = param(
        (),
        'Edges of the support box in nm from the middle of the volume: from and to along z, from and to along y, '
        'from and to along x.',
        advanced=True,
    )
    support_file: str = param(
        '',
        'File with the support mask (.npy, .tif, .mrc, .hspy; z, y, x): not zero inside, of the shape of the volume, '
        'e.g. labels painted in napari and saved.',
        advanced=True,
        file=True,
    )
    fit_gain: bool = param(
        False,
        'Tick when dose or detector changed from tilt to tilt: the total counts of all tilts are made those of one volume. '
        'Only when the whole specimen lies in every image.',
        advanced=True,
    )
    holdout: float = param(
        0.0,
        'Fraction of the counts that the fit never sees: the iterate, or the weight, that predicts them best is returned. '
        '0 fits all counts for all iterations. Maps that bring a held-out part use theirs.',
        ge=0.0,
        lt=0.9,
        advanced=True,
        label='Held-out fraction',
    )
    seed: int = param(0, 'Seed of all random numbers: the same seed gives the same volume.', ge=0, advanced=True)
    device: Literal['auto', 'cpu', 'cuda', 'mps'] = param(
        'auto',
        'Where to compute; auto takes a CUDA GPU when there is one, else the GPU of an Apple (mps).',
        advanced=True,
    )

    haadf: bool = param(
        True,
        'Fit the HAADF series that came with the maps, where there is one: worth most at tilts that the spectra lack. The '
        'held-out counts decide whether it helps; without HAADF series nothing changes.',
        label='Use HAADF series',
    )

    @model_validator(mode='after')
    def _support_is_given(self) -> Self:
        if self.support == 'box' and len(self.support_box) != 6:
            raise ValueError('the support box needs six edges: from and to along z, y and x')
        if self.support == 'mask' and not self.support_file:
            raise ValueError('the support mask needs a file')
        if self.fit_gain and self.beyond_field:
            raise ValueError('the gain cannot be fitted for a specimen that extends beyond the field of view')
        return self

    #: Volumes held for each channel while those with HAADF images and without are compared; measured.
    _compared: ClassVar[float] = 0.0

    def run(self, data: Any, observer: Observer | None = None, *, progress: bool | None = None) -> Any:
        """Reconstruct the volume.

        Parameters
        ----------
        data : MapSeries
            Maps (channel, tilt, y, x).
        observer : Observer, optional
            Notified of the progress, asked for pause, finish or cancel.
        progress : bool, optional
            Without an observer: show a bar, and a line on what was found; default: in terminals and notebooks.

        Returns
        -------
        Volume
            (channel, z, y, x), counts per voxel of path.

        Raises
        ------
        InputError
            The maps cannot be used; the text says why.
        TooLargeError
            It does not fit the memory, or memory ran out in the middle.
        ReconstructionError
            The computation broke down.
        Cancelled
            When the observer cancels.
        """
        with advising_when_memory_runs_out(self._memory_need(), data):
            return super().run(data, observer, progress=progress)

    def problem_settings(self) -> ProblemSettings:
        """The fields that say how the maps become a problem."""
        return ProblemSettings(
            thickness=self.thickness,
            beyond_field=self.beyond_field,
            support=SupportSettings(
                kind=self.support,
                exact=self.support_exact,
                slab_thickness=self.slab_thickness,
                slab_tilt=self.slab_tilt,
                slab_tip=self.slab_tip,
                slab_offset=self.slab_offset,
                slab_margin=self.slab_margin,
                box=self.support_box,
                file=self.support_file,
            ),
            fit_gain=self.fit_gain,
            holdout=self.holdout,
            seed=self.seed,
            device=self.device,
            step=type(self).__name__,
            haadf=self.haadf,
        )

    def memory_bytes(self, maps: MapSeries) -> int:
        """Memory that `run` needs for these maps, estimated before anything is allocated.

        Parameters
        ----------
        maps : MapSeries
            What would be reconstructed.

        Returns
        -------
        int
            Bytes.
        """
        shape = volume_shape(maps, self.thickness, self.beyond_field)
        voxels = float(np.prod(shape))
        data = float(maps.data.size)
        matrices = 2 * 12 * 2.0 * len(maps.angles) * shape[0] * shape[2]
        own = int(4 * (voxels * len(maps.channels) * self._volumes(maps) + 8 * data) + matrices + 10e6)
        own += int(self._haadf_bytes(maps))
        return own if maps.second_axis is None else own + self._second_bytes(maps.second_axis, shape, maps.pixel_size)

    def _second_bytes(self, second: MapSeries, shape: tuple[int, int, int], voxel_size: float) -> int:
        """Of a second axis: its data and matrices, where each voxel lies in its frame, and the volume read there."""
        rows, columns = second.data.shape[2:]
        placed = second.reinsertion or Reinsertion()
        there = reinserted_shape(shape, placed, (rows, columns), voxel_size / second.pixel_size)
        voxels = float(np.prod(there))
        matrices = 2 * 12 * 2.0 * len(second.angles) * there[0] * there[2]
        return int(4 * (voxels * (3 + 3 * len(second.channels)) + 8 * second.data.size) + matrices)

    def _haadf_bytes(self, maps: MapSeries) -> float:
        """Of images fitted beside the maps: their matrices, the channel of what no map holds, volumes that are compared."""
        if maps.haadf_series is None or not self.problem_settings().haadf:
            return 0.0
        depth, _, width = shape = volume_shape(maps, self.thickness, self.beyond_field)
        tilts = len(maps.haadf_series.angles)
        images = 8.0 * tilts * np.prod(maps.data.shape[2:])
        volumes = self._volumes(maps) + self._compared * (len(maps.channels) + 1)
        return float(4 * (np.prod(shape) * volumes + images) + 2 * 12 * 2.0 * tilts * depth * width)

    def _volumes(self, maps: MapSeries) -> float:
        """Volumes of all channels, float32, held at the same time."""
        return 4.5

    def device_name(self) -> str:
        """The device in words, e.g. ``'CPU, 2 threads (torch 2.13.0)'``."""
        from napari_diptomo.reconstruct.device import describe, pick

        return describe(pick(self.device))

    def prepare(self, maps: MapSeries) -> Problem:
        """The problem of these maps, once it is known that it fits the memory.

        Parameters
        ----------
        maps : MapSeries
            What is reconstructed.

        Returns
        -------
        Problem
            Fitted and held-out data, and the forward model, on the device.

        Raises
        ------
        InputError
            The maps cannot be used; see `napari_diptomo.reconstruct.prepare`.
        TooLargeError
            It does not fit.
        """
        self._check_memory(maps)
        from napari_diptomo.reconstruct.prepare import prepare

        return prepare(maps, self.problem_settings())

    def _check_memory(self, maps: MapSeries) -> None:
        from napari_diptomo.reconstruct.device import free_memory, pick

        check_maps(maps)
        if maps.second_axis is not None:
            check_alike(maps, maps.second_axis)
        check_memory(self._memory_need(), maps, free_memory(pick(self.device)))

    def _memory_need(self) -> MemoryNeed:
        presets = next((p.choices for p in self.parameters() if p.name == 'preset'), ())
        others = {preset: self._estimate_of(preset) for preset in presets if preset != getattr(self, 'preset', None)}
        return MemoryNeed(self.title, self.memory_bytes, others)

    def _estimate_of(self, preset: str) -> Estimate:
        kept: dict[str, Any] = {name: getattr(self, name) for name in ('thickness', 'beyond_field', 'device')}
        return lambda maps: type(self)(**{'preset': preset, **kept}).memory_bytes(maps)

    def _volume(self, problem: Problem, solution: Solution) -> Volume:
        from napari_diptomo.reconstruct.volume import volume_of

        return volume_of(problem, solution, self.problem_settings(), self.title)


def with_default(name: str, default: Any) -> Any:
    """A field of `Reconstruction` with another default."""
    field = copy(Reconstruction.model_fields[name])
    field.default = default
    return field
