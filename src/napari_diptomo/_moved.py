"""Modules that have moved: who imports one by its former name gets a sentence with the new one.

A finder at the end of Python's list is asked for what no other finder has. Nothing is redirected: code that imports
from inside this package is corrected by its author, and meanwhile says at once where it stops.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

_PACKAGE = __name__.partition('.')[0]

#: Former name within the package -> present one.
MOVED = {
    'align.chain': 'align.neighbour_shifts',
    'align.correlation': 'align.image_correlation',
    'align.gauge': 'align.specimen_motion',
    'align.matching': 'align.projection_matching',
    'assess._fractions': 'assess.fractions',
    'assess._oxide_states': 'assess.oxide_states',
    'assess.agreement': 'assess.data_correlation',
    'assess.amounts': 'assess.self_absorption',
    'assess.calibration': 'assess.error_bar_quality',
    'assess.factors': 'assess.channel_factors',
    'assess.oxidation': 'assess.oxidation_state',
    'assess.quality': 'assess.truth_scores',
    'jobs._reader_process': 'jobs.reading.reader_connection',
    'jobs._connection': 'jobs.child_connection',
    'jobs.agreement': 'jobs.volume_against_maps',
    'jobs.element_choice': 'jobs.demo.element_choice',
    'jobs.explain': 'jobs.error_sentences',
    'jobs.figures': 'jobs.demo.figures',
    'jobs.folders': 'jobs.job_folders',
    'jobs.locking': 'jobs.file_locks',
    'jobs.parcel': 'jobs.reading.shared_arrays',
    'jobs.patience': 'jobs.reading.limits',
    'jobs.process': 'jobs.child_job',
    'jobs.reader': 'jobs.reading.reader',
    'jobs.runner': 'jobs.recipe_run',
    'jobs.space': 'jobs.disk_space',
    'jobs.summary': 'jobs.demo.summary',
    'jobs.unsaved': 'jobs.unsaved_results',
    'series._angle_names': 'series.reading.angles.names',
    'series._angle_tables': 'series.reading.angles.tables',
    'series._calibration': 'series.reading.stored_axes',
    'series._checks': 'series.array_checks',
    'series._core_loss_angles': 'series.reading.angles.core_loss',
    'series._core_loss_files': 'series.reading.core_loss',
    'series._file_fields': 'series.recipe',
    'series._files': 'series.reading.file_selection',
    'series._hyperspy': 'series.reading.hyperspy_adapter',
    'series._inspection': 'series.reading.inspection',
    'series._library_errors': 'series.reading.library_errors',
    'series._map_files': 'series.reading.map_stacks',
    'series._metadata': 'series.reading.metadata',
    'series._spectrum_files': 'series.reading.spectrum_images',
    'series._step_names': 'series.step_names',
    'series.angles': 'series.reading.angles.evidence',
    'series.core_loss': 'series.data',
    'series.images': 'series.detector_images',
    'series.loading': 'series.reading.tilt_series',
    'series.noise': 'series.neighbour_mean',
    'series.pictures': 'series.reading.pictures',
    'series.reading_now': 'series.reading.current_file',
    'series.replacing': 'series.files',
    'series.saving': 'series',
    'series.unmixing': 'series.window_unmixing',
    'simulate._shapes': 'simulate.solid_shapes',
    'simulate.edx_detector': 'simulate.edx',
    'simulate.edx_dose': 'simulate.edx_emission',
    'simulate.edx_tables': 'simulate.edx_emission',
    'simulate.eels_detector': 'simulate.eels',
    'simulate.eels_particle': 'simulate.eels_model',
    'simulate.eels_truth': 'simulate.eels',
}


class FormerNames(MetaPathFinder):
    """Finds no module; raises for those that have moved."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Nothing, for whatever was never a module of this package.

        Raises
        ------
        ModuleNotFoundError
            The module has moved; the sentence names the new one.
        """
        package, _, name = fullname.partition('.')
        if package == _PACKAGE and name in MOVED:
            # Without its `name`: `from package import module` passes over an error that has the name of the module.
            raise ModuleNotFoundError(f'{fullname} has moved: import from {_PACKAGE}.{MOVED[name]} instead.')


def install() -> None:
    """Have Python ask `FormerNames` last; once."""
    if not any(isinstance(finder, FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(FormerNames())
