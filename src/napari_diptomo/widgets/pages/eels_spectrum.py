"""The spectra of an EELS series: low loss and core loss, of all, of a tilt or of a region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_diptomo.jobs.colours import colours
from napari_diptomo.jobs.numbers import grouped
from napari_diptomo.series import Observer, SpectralTiltSeries
from napari_diptomo.widgets.controls.parts import words
from napari_diptomo.widgets.pages.edx_spectrum import SpectrumView
from napari_diptomo.widgets.pages.eels_sentences import describe_range, key_of
from napari_diptomo.widgets.tasks.edx_spectra import Selection, summing
from napari_diptomo.widgets.tasks.eels_spectra import explaining_edge, summing_core_loss

if TYPE_CHECKING:
    from napari_diptomo.spectra.eels.explained_losses import ExplainedEELS, ExplainedRange
    from napari_diptomo.widgets.plots.eels_spectrum_plot import EELSPlot

LOW, CORE = 'Low loss', 'Core loss'
#: Beside the window one wants to see this much, eV.
_BESIDE = (3.0, 3.0)


@dataclass(frozen=True, eq=False)
class FittedWindow:
    """The part of an explained range that was fitted, as the plot takes it (`Explanation`)."""

    energy: np.ndarray
    counts: np.ndarray
    model: np.ndarray
    background: np.ndarray
    families: Mapping[str, np.ndarray]
    residual: np.ndarray
    chi2: float
    wanted: tuple[str, ...]

    @classmethod
    def of(cls, part: ExplainedRange) -> FittedWindow:
        """Without what lies beside the window."""
        inside = np.isfinite(part.model)
        return cls(
            part.energy[inside],
            part.counts[inside],
            part.model[inside],
            part.background[inside],
            {name: curve[inside] for name, curve in part.standards.items()},
            part.residual[inside],
            part.chi2,
            tuple(part.standards),
        )


class EELSView(SpectrumView):
    """Low loss with the fit of its edge, or core loss with its; the window of the first is dragged in the plot.

    Signals
    -------
    window_moved(float, float)
        The user has dragged the window or one of its ends, eV.
    """

    window_moved = Signal(float, float)

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        self._step: Any = None
        self._found: ExplainedEELS | None = None
        self.range = QComboBox()
        super().__init__(viewer, parent)
        self.range.addItems((LOW, CORE))
        self.range.setAccessibleName('Range of the spectrum')
        self.range.setToolTip(
            '<qt>The low loss, in which the maps are made, or the core loss, by which the oxides are distinguished.</qt>'
        )
        self.range.currentTextChanged.connect(self._range_changed)
        self.controls.insertWidget(0, self.range)
        self.key = words('')
        self.column.insertWidget(2, self.key)
        self.log.setChecked(False)

    @property
    def shows_core_loss(self) -> bool:
        """Whether the core loss is looked at."""
        return self.range.currentText() == CORE

    @property
    def energy(self) -> np.ndarray:
        series = self._series
        if series is not None and series.core_loss is not None and self.shows_core_loss:
            return series.core_loss.energy
        return super().energy

    @property
    def hues(self) -> dict[str, str]:
        return colours(self._step.states) if self._step is not None else {}

    @property
    def plot(self) -> EELSPlot:
        return cast('EELSPlot', super().plot)

    def make_plot(self) -> EELSPlot:
        from napari_diptomo.widgets.plots.eels_spectrum_plot import EELSPlot

        plot = EELSPlot()
        plot.window_moved.connect(self.window_moved)
        return plot

    def set_step(self, step: Any) -> None:
        """Fit as this step would."""
        self._step = step
        self._later.start()

    def set_window(self, window: tuple[float, float]) -> None:
        """The window of the fit, eV: to be dragged, and to be looked at first."""
        if not self.shows_core_loss:
            self.plot.set_focus((window[0] - _BESIDE[0], window[1] + _BESIDE[1]))
            self.plot.set_window(window)

    def set_series(self, series: SpectralTiltSeries | None, spectrum: np.ndarray | None, fitted: bool = True) -> None:
        self._found = None
        self.range.setCurrentText(LOW)
        self.range.setVisible(series is not None and series.core_loss is not None)
        if self._place.made is not None:
            self.plot.set_window(None)
        super().set_series(series, spectrum, fitted)

    def counting(self, series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], np.ndarray]:
        return summing_core_loss(series, selection) if self.shows_core_loss else summing(series, selection)

    def fitting(self, series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], Any]:
        return explaining_edge(series, self._step, selection)

    def _ask(self) -> None:
        self._found = None
        self.key.setText('')
        super()._ask()

    def _show_fit(self, explained: Any) -> None:
        self._found = explained
        self._show_range()
        self.explained.emit(explained)

    def _show_range(self) -> None:
        found, series = self._found, self._series
        if found is None or series is None:
            return
        part = found.core if self.shows_core_loss else found.low
        if part is None:
            self._later.start()
            return
        if not self.shows_core_loss:
            self.set_window(part.window)
        self.plot.set_spectrum(part.energy, part.counts, 'eV')
        where = self._asked.named(series)
        if not np.isfinite(part.model).any():
            self.note.setText(f'{where}: {grouped(part.counts.sum())} counts. {found.why_not}')
            return
        self.plot.set_explained(FittedWindow.of(part), self.hues)
        self.plot.set_others(part.energy, part.backgrounds)
        self.key.setText(key_of(self.hues if part.standards else {}, bool(part.backgrounds)))
        self.note.setText(f'{where}: {describe_range(part)} {found.why_not}'.strip())

    def _range_changed(self) -> None:
        core = self.shows_core_loss
        self.plot.set_window(None)
        if core:
            self.plot.set_focus(None)
        if self._found is not None:
            self._show_range()
        else:
            self._later.start()
