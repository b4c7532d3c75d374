"""Steps that can refine the shifts of the images before they fit: the field, and the stage before the fit."""

from __future__ import annotations

from dataclasses import replace

from napari_diptomo.reconstruct.refined_geometry import NOTE, in_geometry_of
from napari_diptomo.reconstruct.staged_run import StagedRun
from napari_diptomo.reconstruct.steps.base import Reconstruction
from napari_diptomo.series import MapSeries, Observer, Volume, param


class ShiftRefining(Reconstruction):
    """A reconstruction whose volume and shifts can be found together; see `reconstruct.shift_refinement`."""

    refine_shifts: bool = param(
        False,
        'Find small displacements that the alignment left in the images, up to a few pixels, before the volume is fitted. '
        'They are used only where they let held-out counts be predicted better.',
    )

    def _run(self, maps: MapSeries, observer: Observer | None) -> Volume:
        if not self.refine_shifts:
            return self._fit(maps, observer)
        from napari_diptomo.reconstruct.shift_refinement import findings_on, refined_shifts

        self._check_memory(maps)
        run = StagedRun(observer)
        found = dict(run.result(lambda whole: refined_shifts(maps, self.problem_settings(), whole)))
        volume = self._fit(in_geometry_of({NOTE: found}, maps), run)
        return replace(
            volume,
            notes={**volume.notes, NOTE: found},
            findings=(*volume.findings, *findings_on(found, maps.transposed)),
        )

    def _fit(self, maps: MapSeries, observer: Observer | None) -> Volume:
        """The volume of maps in the geometry that they have."""
        raise NotImplementedError
