"""What the reconstruction steps share: the grid, the device, the split, the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import model_validator

from napari_diptomo.reconstruct.grid import check_maps, volume_shape
from napari_diptomo.reconstruct.memory_check import check_room, memory_told
from napari_diptomo.series import Finding, MapSeries, Observer, Step, Volume, param

if TYPE_CHECKING:
    import torch

    from napari_diptomo.reconstruct.problem import Problem

#: Notes of the maps that go on to the volume.
_CARRIED = ('lines', 'beam_energy_keV', 'denoised', 'oxidation')


def statistics(maps: MapSeries, quasi: bool = False) -> str:
    """What the noise is taken for, in words; ``quasi``: the maps are over the variance per mean of their counts."""
    if quasi:
        return 'Poisson counts, in units of their variance over their mean'
    if 'images' in maps.notes:
        return 'Gaussian, with the variance measured on the images'
    if maps.variance is not None:
        return 'Gaussian, with the variance of the spectral fit'
    return 'Poisson counts' if maps.are_counts else 'Gaussian, variance estimated from the scatter of the maps'


class Reconstruction(Step):
    """A step from maps to a volume."""

    thickness: float | None = param(
        None,
        'Extent of the volume along the beam; empty: as wide as the images. For a lamella give its thickness and a margin.',
        unit='nm',
        gt=0.0,
    )
    beyond_field: bool = param(
        False,
        'Tick when the specimen goes on outside the images, as a lamella does: it is solved there too and cut off.',
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
        'Turn of the slab about the x axis, positive when it lies lower where y is larger; auto: found from the counts.',
        unit='deg',
        ge=-60.0,
        le=60.0,
        advanced=True,
    )
    slab_offset: float | None = param(
        None,
        'Place of the middle plane of the slab along the beam, from the middle of the volume; auto: found from the counts.',
        unit='nm',
        advanced=True,
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
        'e.g. labels drawn in napari and saved.',
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
        0.1,
        'Share of the counts that the fit never sees and that decides when to stop; 0 fits all counts for all iterations. '
        'Maps that bring a held-out part use theirs.',
        ge=0.0,
        lt=0.9,
        advanced=True,
    )
    seed: int = param(0, 'Seed of all random numbers: the same seed gives the same volume.', ge=0, advanced=True)
    device: Literal['auto', 'cpu', 'cuda', 'mps'] = param(
        'auto',
        'Where to compute; auto takes a CUDA GPU when there is one, else the GPU of an Apple (mps).',
        advanced=True,
    )

    @model_validator(mode='after')
    def _support_is_given(self) -> Self:
        if self.support == 'box' and len(self.support_box) != 6:
            raise ValueError('the support box needs six edges: from and to along z, y and x')
        if self.support == 'mask' and not self.support_file:
            raise ValueError('the support mask needs a file')
        if self.fit_gain and self.beyond_field:
            raise ValueError('the gain cannot be fitted for a specimen that goes on beyond the field of the images')
        return self

    def run(self, data: Any, observer: Observer | None = None) -> Any:
        """See `Step.run`; memory that runs out in the middle is a `TooLargeError` as well."""
        with memory_told(self, data):
            return super().run(data, observer)

    def memory_bytes(self, maps: MapSeries) -> int:
        """Memory that `run` needs for these maps, estimated before anything is allocated."""
        shape = volume_shape(maps, self.thickness, self.beyond_field)
        voxels = float(np.prod(shape))
        data = float(maps.data.size)
        matrices = 2 * 12 * 2.0 * len(maps.angles) * shape[0] * shape[2]
        return int(4 * (voxels * len(maps.channels) * self._volumes(maps) + 8 * data) + matrices + 10e6)

    def _volumes(self, maps: MapSeries) -> float:
        """Volumes of all channels, float32, held at the same time."""
        return 4.5

    def device_name(self) -> str:
        """The device in words, e.g. ``'CPU, 2 threads (torch 2.13.0)'``."""
        from napari_diptomo.reconstruct.device import describe, pick

        return describe(pick(self.device))

    def _problem(self, maps: MapSeries) -> Problem:
        from napari_diptomo.reconstruct.counting_unit import in_counts
        from napari_diptomo.reconstruct.data_checks import data_findings, without_empty_tilts
        from napari_diptomo.reconstruct.device import free_memory, pick
        from napari_diptomo.reconstruct.field_edges import field_findings
        from napari_diptomo.reconstruct.problem import Problem
        from napari_diptomo.reconstruct.support import support_of
        from napari_diptomo.reconstruct.tilt_gain import with_fitted_gain
        from napari_diptomo.series.outliers import without_outliers

        check_maps(maps)
        device = pick(self.device)
        check_room(self, maps, free_memory(device))
        maps, outliers = without_outliers(maps)
        # A gain cannot be fitted to an empty image, and its sentence says so.
        maps, empty = (maps, ()) if self.fit_gain else without_empty_tilts(maps)
        doubts = data_findings(maps)
        # A channel may have held nothing but its outliers.
        check_maps(maps)
        counted = in_counts(maps, self.thickness, self.beyond_field)
        maps = with_fitted_gain(counted.maps) if self.fit_gain else counted.maps
        support = support_of(self, maps, device)
        problem = Problem(
            maps,
            self.thickness,
            self.beyond_field,
            self.holdout,
            self.seed,
            device,
            support,
            counted.unit,
            counted.quasi,
        )
        edges = field_findings(maps, type(self).__name__, self.beyond_field, self.fit_gain)
        problem.findings = (*outliers, *empty, *doubts, *counted.findings, *edges)
        return problem

    def _volume(
        self,
        problem: Problem,
        x: torch.Tensor,
        scores: Mapping[str, list[float]],
        notes: Mapping[str, Any],
        findings: tuple[Finding, ...] = (),
    ) -> Volume:
        from napari_diptomo.reconstruct.model_checks import model_findings

        maps = problem.maps
        common = {
            'method': self.title,
            'max_tilt': [float(maps.angles.min()), float(maps.angles.max())],
            'tilts': len(maps.angles),
            'statistics': statistics(maps, problem.quasi),
            'device': self.device_name(),
        }
        # What is made of the volume needs to know which lines or oxides the counts are of.
        common |= {key: maps.notes[key] for key in _CARRIED if key in maps.notes}
        if problem.support_notes:
            common['support'] = problem.support_notes
        if self.fit_gain and maps.gain is not None:
            common['gain'] = [float(g) for g in maps.gain.mean(axis=0)]
        return Volume(
            data=problem.frame(x),
            channels=maps.channels,
            voxel_size=maps.pixel_size,
            scores=dict(scores),
            notes={**common, **notes},
            transposed=maps.transposed,
            recipe=None,
            findings=(*problem.findings, *model_findings(self, problem, x), *findings),
        )
