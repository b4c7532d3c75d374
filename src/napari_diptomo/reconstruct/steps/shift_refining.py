"""Steps that can refine the shifts of the images before they fit: the field, and the stage before the fit."""

from __future__ import annotations

from dataclasses import replace

from napari_diptomo.reconstruct.refined_geometry import NOTE, in_geometry_of
from napari_diptomo.reconstruct.staged_run import StagedRun
from napari_diptomo.reconstruct.steps.base import Reconstruction
from napari_diptomo.series import Finding, InputError, MapSeries, Observer, Remedy, Volume, param

#: Arrays like the data, float32, that a step of the refinement holds beside the solver.
_ARRAYS = 12
#: Displacement up to which refining is advised, pixels: beyond, Align is.
_SMALL = 2.5


class ShiftRefining(Reconstruction):
    """A reconstruction whose volume and shifts can be found together; see `reconstruct.shift_refinement`."""

    refine_shifts: bool = param(
        False,
        'Find small displacements that the alignment left in the images, up to a few pixels, before the volume is fitted. '
        'They are used only where they let held-out counts be predicted better.',
        advanced=True,
    )

    def memory_bytes(self, maps: MapSeries) -> int:
        """See `Reconstruction.memory_bytes`."""
        return super().memory_bytes(maps) + self.refine_shifts * 4 * _ARRAYS * int(maps.data.size)

    def _run(self, maps: MapSeries, observer: Observer | None) -> Volume:
        if not self.refine_shifts:
            volume = self._fit(maps, observer)
            return replace(volume, findings=tuple(map(self._advising, volume.findings)))
        from napari_diptomo.reconstruct.shift_refinement import findings_on, refined_shifts

        if maps.second_axis is not None:
            raise InputError(
                'Shifts are refined of one axis only: untick "Refine shifts", or refine them in a run of each series by itself.'
            )
        self._check_memory(maps)
        run = StagedRun(observer, NOTE)
        found = dict(run.result(lambda whole: refined_shifts(maps, self.problem_settings(), whole)))
        volume = self._fit(in_geometry_of({NOTE: found}, maps), run)
        return replace(
            volume,
            notes={**volume.notes, NOTE: found},
            findings=(*volume.findings, *findings_on(found, maps.transposed)),
        )

    def _advising(self, finding: Finding) -> Finding:
        """A doubt about small displacements with refining as its remedy, any other finding as it is."""
        small = finding.about == 'alignment' and finding.evidence.get('largest', _SMALL) < _SMALL
        if not small:
            return finding
        return replace(finding, remedy=Remedy('Refine the shifts', type(self).__name__, {'refine_shifts': True}))

    def _fit(self, maps: MapSeries, observer: Observer | None) -> Volume:
        """The volume of maps in the geometry that they have."""
        raise NotImplementedError
