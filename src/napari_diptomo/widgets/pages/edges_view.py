"""The spectrum in which edges are mapped: of all, of a tilt or of a region, with background and edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs.colours import colours
from napari_diptomo.jobs.numbers import grouped
from napari_diptomo.series import Observer, SpectralTiltSeries
from napari_diptomo.widgets.pages.edx_spectrum import SpectrumView
from napari_diptomo.widgets.tasks.edge_spectra import edge_energies, explaining_edges, summing_edges
from napari_diptomo.widgets.tasks.edx_spectra import Selection

if TYPE_CHECKING:
    from napari_diptomo.widgets.plots.eels_spectrum_plot import EELSPlot


class EdgesView(SpectrumView):
    """The core loss, or the only range there is; where a step has edges, their background and what is above it."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        self._step: Any = None
        super().__init__(viewer, parent)
        self.log.setChecked(False)

    @property
    def energy(self) -> np.ndarray:
        return np.zeros(0) if self._series is None else edge_energies(self._series)

    @property
    def hues(self) -> dict[str, str]:
        names = self._elements
        by_element = colours(tuple(dict.fromkeys(name.split('_')[0] for name in names)))
        return {name: by_element[name.split('_')[0]] for name in names}

    def make_plot(self) -> EELSPlot:
        from napari_diptomo.widgets.plots.eels_spectrum_plot import EELSPlot

        return EELSPlot()

    def set_step(self, step: Any, names: tuple[str, ...] = ()) -> None:
        """Explain the edges of this step, by the names of their maps; none: the spectrum alone."""
        self._step, self._elements, self._fits = step, names, bool(names)
        self._later.start()

    def set_series(self, series: SpectralTiltSeries | None, spectrum: np.ndarray | None, fitted: bool = True) -> None:
        super().set_series(series, spectrum, False)
        if series is not None:
            self._later.start()

    def counting(self, series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], np.ndarray]:
        return summing_edges(series, selection)

    def fitting(self, series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], Any]:
        return explaining_edges(series, self._step, selection)

    def in_words(self, explained: Any) -> str:
        """Counts of the edges in a sentence."""
        sums = ', '.join(f'{name} {grouped(counts, 3)}' for name, counts in explained.sums.items())
        return f'counts above the background: {sums}. χ² in front of the edges {explained.chi2:.3g}.'

    def regions(self) -> tuple[np.ndarray, ...]:
        """Corners (corner, 2) of the shapes on the image, row and column in the axes of the series."""
        layer = self.region.layer
        if layer is None or self._series is None:
            return ()
        # to_masks draws in pixels of the image, as the corners of a layer without translation are.
        corners = [np.asarray(shape, float)[:, -2:] for shape in layer.data]
        return tuple(shape[:, ::-1] if self._series.transposed else shape for shape in corners)
