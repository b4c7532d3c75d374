"""Tilt series, maps, volumes and recipes, and the contract of steps and observers.

`reading` and `writing` stand above it. HyperSpy is behind `napari_diptomo.series.reading.hyperspy_adapter` alone and
imported when a file is read or written, never before.
"""

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
from napari_diptomo.series.reading.from_hyperspy import from_hyperspy
from napari_diptomo.series.reading.haadf_files import load_haadf_series
from napari_diptomo.series.reading.saved import load
from napari_diptomo.series.reading.tilt_series import load_tilt_series, open_source
from napari_diptomo.series.recipe import Recipe, Source
from napari_diptomo.series.showing.notebook_pages import html
from napari_diptomo.series.showing.plots import plot
from napari_diptomo.series.showing.summary import summary
from napari_diptomo.series.steps import Parameter, Step, UnknownStep, param, step_from_dict
from napari_diptomo.series.writing.save import save
from napari_diptomo.series.writing.signals import to_signal
from napari_diptomo.series.writing.xarray_datasets import to_dataset

Saveable.writer = save
HyperSpyView.converter, HyperSpyView.reverse = to_signal, from_hyperspy
Shown.summary, Shown.page, Shown.plotter, Shown.dataset = summary, html, plot, to_dataset
Recipe.summary, Recipe.page = summary, html

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
