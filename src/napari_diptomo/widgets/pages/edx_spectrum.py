"""The spectrum of a series, of one tilt or of a region, with what the fit makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_diptomo.jobs.numbers import grouped
from napari_diptomo.series import Observer, SpectralTiltSeries
from napari_diptomo.widgets.controls.parts import words
from napari_diptomo.widgets.layers.region_of_interest import Region
from napari_diptomo.widgets.plots.plot_place import PlotPlace
from napari_diptomo.widgets.plots.spectrum_contents import Explanation, Mark
from napari_diptomo.widgets.tasks.edx_spectra import Selection, explaining, summing
from napari_diptomo.widgets.tasks.question import Question

if TYPE_CHECKING:
    from napari_diptomo.widgets.plots.spectrum_plot import SpectrumPlot

_PAUSE_MS = 150
_ALL, _SHOWN = 'All tilts', 'Tilt shown'


class SpectrumView(QWidget):
    """Says what spectrum is wanted, asks for it and its fit in the background, and shows both.

    The counts come first, at once as far as they are known; the fit follows.
    What is counted and fitted, and on which axis, is `energy`, `counting` and
    `fitting`, which other kinds of spectra answer in their own way.

    Signals
    -------
    explained(Explanation)
        A fit is shown.
    """

    explained = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._series: SpectralTiltSeries | None = None
        self._fits = True
        self._elements: tuple[str, ...] = ()
        self._marks: tuple[Mark, ...] = ()
        self._asked = Selection()
        self._summed = Question(self)
        self._summed.answered.connect(self._show_counts)
        self._summed.failed.connect(self._cannot)
        self._fitted = Question(self)
        self._fitted.answered.connect(self._show_fit)
        self._fitted.failed.connect(self._cannot)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE_MS)
        self._later.timeout.connect(self._ask)
        self.region = Region(viewer, self)
        self.region.changed.connect(self._region_changed)
        self._place = PlotPlace(self._made_plot)
        self.note = words('')
        self._lay_out()
        viewer.dims.events.current_step.connect(self._slider_moved)

    @property
    def selection(self) -> Selection:
        """Where the spectrum is taken."""
        return Selection(self._tilt(), self.region.mask)

    @property
    def busy(self) -> bool:
        """Whether the picture is not yet what is asked for."""
        return self._later.isActive() or self._summed.busy or self._fitted.busy

    @property
    def energy(self) -> np.ndarray:
        """Axis (energy,) of the spectrum that is shown."""
        return np.zeros(0) if self._series is None else self._series.energy

    @property
    def hues(self) -> dict[str, str]:
        """Colours of the parts of the fit by name."""
        return {mark.family: mark.colour for mark in self._marks}

    @property
    def plot(self) -> SpectrumPlot:
        """Of the spectrum; made when it is first seen or filled."""
        return self._place.plot

    def make_plot(self) -> SpectrumPlot:
        """The plot, when it is first needed."""
        from napari_diptomo.widgets.plots.spectrum_plot import SpectrumPlot

        return SpectrumPlot()

    def counting(self, series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], np.ndarray]:
        """Work that gives the spectrum (energy,) of a selection."""
        return summing(series, selection)

    def fitting(self, series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], Any]:
        """Work that gives the fit of the spectrum of a selection."""
        return explaining(series, self._elements, selection)

    def in_words(self, explained: Explanation) -> str:
        """A fit in one sentence."""
        return describe(explained)

    def set_series(self, series: SpectralTiltSeries | None, spectrum: np.ndarray | None, fitted: bool = True) -> None:
        """Look at another series.

        Parameters
        ----------
        series : SpectralTiltSeries, optional
            None for nothing.
        spectrum : ndarray (energy,), optional
            Its sum.
        fitted : bool
            Whether its energies allow a fit.
        """
        self._series, self._fits = series, fitted
        self._elements = ()
        self.note.setText('')
        self._later.stop()
        self._summed.forget()
        self._fitted.forget()
        self.tilts.setCurrentText(_ALL)
        if series is None or spectrum is None:
            self.region.remove()
            return
        self.region.set_image(series.counts.shape[1:3], series.transposed)
        self.plot.set_explained(None)
        self.plot.set_spectrum(series.energy, spectrum, series.energy_unit)

    def set_elements(self, elements: tuple[str, ...], marks: tuple[Mark, ...]) -> None:
        """Mark these elements and fit them.

        Parameters
        ----------
        elements : tuple of str
            What to fit: symbols or families; what the spectra show beside them is fitted along.
        marks : tuple of Mark
            The lines to label.
        """
        self._elements, self._marks = elements, marks
        self.plot.mark(marks)
        self._later.start()

    def cleanup(self) -> None:
        """Let go of the viewer and of what is asked."""
        self._later.stop()
        self._summed.cleanup()
        self._fitted.cleanup()
        self.region.cleanup()
        self._place.cleanup()
        self._viewer.dims.events.current_step.disconnect(self._slider_moved)

    def _lay_out(self) -> None:
        self.tilts = QComboBox()
        self.tilts.addItems((_ALL, _SHOWN))
        self.tilts.setToolTip('<qt>The sum over all tilts, or the tilt that the slider under the image shows.</qt>')
        self.tilts.setAccessibleName('Tilts of the spectrum')
        self.tilts.currentTextChanged.connect(self._later.start)
        self.draw = QPushButton('&Draw a region')
        self.draw.setToolTip(
            '<qt>Draw a rectangle on the image to see the spectrum of its pixels. It can be moved and edited, and '
            'other shapes added, with the tools of the layer "Region".</qt>'
        )
        self.draw.clicked.connect(self._draw_region)
        self.whole = QPushButton('Remove it')
        self.whole.setToolTip('Remove the region: the spectrum of all pixels.')
        self.whole.clicked.connect(self.region.remove)
        self.whole.setVisible(False)
        self.log = QCheckBox('Log')
        self.log.setToolTip('Counts on a logarithmic axis.')
        self.log.setChecked(True)
        self.log.toggled.connect(self._set_log)
        self.controls = row = QHBoxLayout()
        for control in (self.tilts, self.draw, self.whole):
            row.addWidget(control)
        row.addStretch(1)
        row.addWidget(self.log)
        self.column = column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self._place)
        column.addWidget(self.note)

    def _made_plot(self) -> SpectrumPlot:
        plot = self.make_plot()
        plot.set_log(self.log.isChecked())
        return plot

    def _set_log(self, log: bool) -> None:
        if self._place.made is not None:
            self._place.made.set_log(log)

    def _tilt(self) -> int | None:
        if self._series is None or self.tilts.currentText() == _ALL:
            return None
        # The maps have the axes (tilt, z, y, x), and so has the viewer that shows them.
        step = self._viewer.dims.current_step[0] if self._viewer.dims.ndim == 4 else 0
        return int(np.clip(step, 0, len(self._series.angles) - 1))

    def _slider_moved(self, event: Any = None) -> None:
        if self.tilts.currentText() == _SHOWN:
            self._later.start()

    def _draw_region(self) -> None:
        if self._series is not None:
            self.region.draw(self._series.pixel_size)
            self.whole.setVisible(True)

    def _region_changed(self) -> None:
        self.whole.setVisible(self.region.layer is not None)
        self._later.start()

    def _ask(self) -> None:
        if self._series is None:
            return
        self._asked = self.selection
        self._fitted.forget()
        self._summed.ask(self.counting(self._series, self._asked))

    def _show_counts(self, counts: np.ndarray) -> None:
        if self._series is None:
            return
        self.plot.set_spectrum(self.energy, counts, self._series.energy_unit)
        self.note.setText(f'{self._asked.named(self._series)}: {grouped(counts.sum())} counts.')
        if self._fits:
            self._fitted.ask(self.fitting(self._series, self._asked))

    def _show_fit(self, explained: Explanation) -> None:
        if self._series is None:
            return
        self.plot.set_explained(explained, self.hues)
        self.note.setText(f'{self._asked.named(self._series)}: {self.in_words(explained)}')
        self.explained.emit(explained)

    def _cannot(self, why: str) -> None:
        self.plot.set_explained(None)
        self.note.setText(why)


def describe(explained: Explanation) -> str:
    """Counts, chi-square and the energy where the fit is worst, in a sentence."""
    worst = int(np.abs(explained.residual).argmax())
    return (
        f'{grouped(explained.counts.sum())} counts; χ² {explained.chi2:.3g}, largest residual at '
        f'{explained.energy[worst]:.2f} keV ({explained.residual[worst]:+.1f} standard deviations).'
    )
