"""How much the detectors see at every tilt: measured from the totals, or typed, and given to the maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_diptomo.jobs.colours import HUES
from napari_diptomo.series import DiptomoError, InputError, MapSeries
from napari_diptomo.widgets.controls.parts import folded, words
from napari_diptomo.widgets.plots.plot_place import PlotPlace

if TYPE_CHECKING:
    from napari_diptomo.widgets.plots.themed_plot import ThemedPlot

_HEIGHT = 130
#: Gains that are seen in any case: what is noise shall not look like shadow.
_SHOWN = (0.8, 1.2)
_OBJECTS = {'isolated object': 'isolated', 'slab beyond the images': 'slab'}


class GainView(QWidget):
    """A line of numbers, one per tilt, their plot, and a button that puts them into the maps.

    Signals
    -------
    applied(MapSeries)
        The maps with the gain as it stands in the line; without one where the line is empty.
    """

    applied = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._maps: MapSeries | None = None
        self._windows: MapSeries | None = None
        self.line = QLineEdit()
        self.line.setPlaceholderText('one number per tilt, separated by commas; empty: the same at all')
        self.line.setAccessibleName('Gain of the tilts')
        self.line.setAcceptDrops(False)
        self.line.setToolTip(
            '<qt>What the detectors see at each tilt, relative to the other tilts, from the lowest angle on. '
            'The reconstruction takes it into account; the maps stay as counted.</qt>'
        )
        self.line.editingFinished.connect(self._draw)
        self.specimen = QComboBox()
        self.specimen.addItems(list(_OBJECTS))
        self.specimen.setAccessibleName('Specimen')
        self.specimen.setToolTip(
            '<qt>An isolated object keeps its counts at every tilt; a slab that extends beyond the images gains '
            'with 1 / cos of the tilt.</qt>'
        )
        self.measure = QPushButton('Measure')
        self.measure.setToolTip('<qt>Measure the gain from the totals of the elements that behave.</qt>')
        self.measure.clicked.connect(self._measure)
        self.apply = QPushButton('Use it')
        self.apply.setToolTip(
            '<qt>Give these numbers to the maps; what was made from the maps has to be made anew.</qt>'
        )
        self.apply.clicked.connect(self._apply)
        self.note = words('')
        self._place = PlotPlace(self._make_plot)
        self._curve: Any = None
        self._lay_out()
        self.clear()

    @property
    def plot(self) -> ThemedPlot:
        """The gain over the tilts; made when there is one first."""
        return self._place.plot

    def clear(self) -> None:
        """There are no maps."""
        self._maps = self._windows = None
        self.setVisible(False)

    def set_maps(self, maps: MapSeries, shown: MapSeries) -> None:
        """Show the gain of maps.

        Parameters
        ----------
        maps : MapSeries
            As made, maps or window counts.
        shown : MapSeries
            The same as maps of the elements.
        """
        self._windows, self._maps = maps, shown
        self.setVisible(len(maps.angles) > 1)
        self._write(() if maps.gain is None else maps.gain.mean(axis=0))
        if maps.gain is not None:
            self.section.expand(animate=False)

    def gains(self) -> tuple[float, ...]:
        """The numbers in the line.

        Raises
        ------
        InputError
            Not as many positive numbers as there are tilts.
        """
        text = self.line.text().replace(';', ',').replace(',', ' ').split()
        tilts = 0 if self._maps is None else len(self._maps.angles)
        try:
            found = tuple(float(word) for word in text)
        except ValueError:
            raise InputError('The gain is not a list of numbers; separate them by commas.') from None
        if found and len(found) != tilts:
            raise InputError(f'There are {len(found)} gains for {tilts} tilts; give one for each or none.')
        if not all(np.isfinite(g) and g > 0 for g in found):
            raise InputError('The gain of a tilt must be a positive number; correct it or leave the gains empty.')
        return found

    def cleanup(self) -> None:
        """Let go of the theme."""
        self._place.cleanup()

    def _make_plot(self) -> ThemedPlot:
        from napari_diptomo.widgets.plots.themed_plot import ThemedPlot

        plot = ThemedPlot()
        plot.setFixedHeight(_HEIGHT)
        plot.plots[0].setLabel('left', 'gain')
        plot.plots[0].setLabel('bottom', 'tilt / °')
        self._curve = plot.plots[0].plot(pen=HUES[0], symbol='o', symbolSize=5, symbolBrush=HUES[0])
        return plot

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        for control in (self.measure, self.specimen, self.apply):
            row.addWidget(control)
        row.addStretch(1)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        for part in (self.line, self.note, self._place):
            column.addWidget(part)
        self.section = folded('Gain of the tilts', inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.section)

    def _write(self, gains: Sequence[float] | np.ndarray) -> None:
        self.line.setText(', '.join(f'{gain:.3f}' for gain in gains))
        self.line.setCursorPosition(0)
        self._draw()

    def _draw(self) -> None:
        try:
            gains, problem = self.gains(), ''
        except InputError as error:
            gains, problem = (), str(error)
        self.note.setText(problem)
        self.note.setVisible(bool(problem))
        self.apply.setEnabled(not problem)
        self._place.setVisible(bool(gains))
        if not gains or self._maps is None:
            return
        low, high = min(_SHOWN[0], *gains, 1.0), max(_SHOWN[1], *gains, 1.0)
        self.plot.plots[0].setYRange(low, high, padding=0.05)
        self._curve.setData(self._maps.angles, gains)

    def _measure(self) -> None:
        from napari_diptomo.spectra import measure_gain

        if self._maps is None:
            return
        try:
            gain = measure_gain(self._maps, _OBJECTS[self.specimen.currentText()])  # type: ignore[arg-type]
        except DiptomoError as error:
            self.note.setText(str(error))
            self.note.setVisible(True)
            return
        self._write(gain)

    def _apply(self) -> None:
        if self._windows is not None:
            self.applied.emit(with_typed_gain(self._windows, self.gains()))


def with_typed_gain(maps: MapSeries, gains: Sequence[float]) -> MapSeries:
    """The maps with this gain in place of theirs; the step that made them records it in the recipe."""
    from napari_diptomo.spectra import EDXMaps, with_gain

    notes = {name: note for name, note in maps.notes.items() if name != 'gain'}
    recipe = maps.recipe
    if recipe is not None and recipe.steps and isinstance(recipe.steps[-1], EDXMaps):
        last = recipe.steps[-1].model_copy(update={'gain': tuple(gains), 'gain_from_totals': 'off'})
        recipe = replace(recipe, steps=(*recipe.steps[:-1], last))
    return with_gain(replace(maps, gain=None, notes=notes, recipe=recipe), by_hand=gains)
