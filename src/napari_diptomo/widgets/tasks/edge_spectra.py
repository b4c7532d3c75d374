"""Sums of the spectra that hold edges, the edges in them, and how they are explained, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series import Observer, SpectralTiltSeries
from napari_diptomo.widgets.tasks.edx_spectra import Selection, summing
from napari_diptomo.widgets.tasks.eels_spectra import summing_core_loss

if TYPE_CHECKING:
    from napari_diptomo.spectra import EdgeMaps
    from napari_diptomo.spectra.eels.edges_in_spectrum import FoundEdge


def edge_energies(series: SpectralTiltSeries) -> np.ndarray:
    """Energies (energy,) of the part in which edges are mapped: the core loss where there is one."""
    return series.energy if series.core_loss is None else series.core_loss.energy


def summing_edges(series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], np.ndarray]:
    """The sum (energy,) of that part over a selection."""
    return summing(series, selection) if series.core_loss is None else summing_core_loss(series, selection)


def finding_edges(series: SpectralTiltSeries) -> Callable[[Observer], tuple[FoundEdge, ...]]:
    """The edges that the sum of all spectra seems to hold."""
    count = summing_edges(series, Selection())

    def find(observer: Observer) -> tuple[FoundEdge, ...]:
        from napari_diptomo.spectra.eels.edges_in_spectrum import find_edges

        return find_edges(edge_energies(series), count(observer))

    return find


def explaining_edges(series: SpectralTiltSeries, step: EdgeMaps, selection: Selection) -> Callable[[Observer], Any]:
    """The background in front of and under the edges of a step in the spectrum of a selection."""
    count = summing_edges(series, selection)

    def explain(observer: Observer) -> Any:
        from napari_diptomo.spectra.eels.edge_windows import EdgeWindows
        from napari_diptomo.spectra.eels.explained_edges import explain_edges

        windows = [EdgeWindows.of(edge, step.background_width, step.signal_width) for edge in step.edges]
        return explain_edges(edge_energies(series) + step.energy_offset, count(observer), windows, step.background)

    return explain
