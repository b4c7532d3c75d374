"""Tilt series, maps, volumes and recipes, and the contract of steps and observers.

`reading`, `writing` and `showing` stand above it and are imported when one of their functions is first used, as a window
that is opened has nothing to read yet. HyperSpy is behind `napari_diptomo.series.reading.hyperspy_adapter` alone and
imported when a file is read or written, never before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_diptomo._first_use import at_first_use
from napari_diptomo.series.data import CoreLoss, HyperSpyView, MapSeries, Saveable, Shown, SpectralTiltSeries, Volume
from napari_diptomo.series.detector_images import as_images
from napari_diptomo.series.errors import (
    Cancelled,
    DiptomoError,
    InputError,
    ReconstructionError,
    TooLargeError,
)
from napari_diptomo.series.evidence import Contradiction, Evidence
from napari_diptomo.series.findings import Finding, Remedy, by_weight
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.haadf_of_series import with_haadf, with_own_haadf
from napari_diptomo.series.observe import Observer, Progress, Request, Watch
from napari_diptomo.series.recipe import Recipe, Source
from napari_diptomo.series.steps import Parameter, Step, UnknownStep, param, step_from_dict

if TYPE_CHECKING:
    from napari_diptomo.series.reading.haadf_files import load_haadf_series
    from napari_diptomo.series.reading.saved import load
    from napari_diptomo.series.reading.tilt_series import load_tilt_series, open_source
    from napari_diptomo.series.writing.save import save

#: Functions that are imported when they are first used -> module that has them.
_HOMES = {
    'from_hyperspy': 'reading.from_hyperspy',
    'html': 'showing.notebook_pages',
    'load': 'reading.saved',
    'load_haadf_series': 'reading.haadf_files',
    'load_tilt_series': 'reading.tilt_series',
    'open_source': 'reading.tilt_series',
    'plot': 'showing.plots',
    'save': 'writing.save',
    'summary': 'showing.summary',
    'to_dataset': 'writing.xarray_datasets',
    'to_signal': 'writing.signals',
}


__getattr__ = at_first_use(__name__, _HOMES)


@dataclass(frozen=True)
class _Later:
    """A function of `_HOMES` that is imported when it is called."""

    name: str

    def __call__(self, *arguments: Any, **choices: Any) -> Any:
        return __getattr__(self.name)(*arguments, **choices)


Saveable.writer = _Later('save')
HyperSpyView.converter, HyperSpyView.reverse = _Later('to_signal'), _Later('from_hyperspy')
Shown.summary, Shown.page = Recipe.summary, Recipe.page = _Later('summary'), _Later('html')
Shown.plotter, Shown.dataset = _Later('plot'), _Later('to_dataset')

__all__ = [
    'Cancelled',
    'Contradiction',
    'CoreLoss',
    'DiptomoError',
    'Evidence',
    'Finding',
    'HAADFSeries',
    'InputError',
    'MapSeries',
    'Observer',
    'Parameter',
    'Progress',
    'Recipe',
    'ReconstructionError',
    'Remedy',
    'Request',
    'Source',
    'SpectralTiltSeries',
    'Step',
    'TooLargeError',
    'UnknownStep',
    'Volume',
    'Watch',
    'as_images',
    'by_weight',
    'load',
    'load_haadf_series',
    'load_tilt_series',
    'open_source',
    'param',
    'save',
    'step_from_dict',
    'with_haadf',
    'with_own_haadf',
]
