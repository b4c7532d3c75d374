"""The ternary diagram and the histograms of a composition, linked with its voxels, on the page Composition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_diptomo.assess import ChannelValues, TernaryPoints, percent_channels, units_of
from napari_diptomo.widgets.controls.combo_boxes import compact_box, labelled, refill
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.region_table import RegionTable
from napari_diptomo.widgets.layers.selected_voxels import SelectedVoxels
from napari_diptomo.widgets.layers.voxel_pointer import VoxelPointer
from napari_diptomo.widgets.plots.ternary_plot import TernaryPlot, circle
from napari_diptomo.widgets.plots.value_histogram_plot import ValueHistogramPlot
from napari_diptomo.widgets.tasks.composition_diagram import (
    SAVE_REGIONS,
    Circle,
    Interval,
    Outline,
    Quantified,
    SelectedRegion,
    Shape,
    View,
    describe_points,
    describe_values,
    labels_of,
    names_of,
    plotting,
    region_hues,
    saving_regions,
    selecting,
)
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.question import Question
from napari_diptomo.widgets.tasks.steps import named

_TERNARY, _TOOLS = 'ternary diagram', ('circle', 'outline')
_HINT = 'Drag in the plot: the voxels there become labels in the viewer; with Shift, one region more. '
_MARKS = {
    True: 'Circle: the voxel under the pointer, in a slice; diamond: the chosen label.',
    False: 'Solid line: the voxel under the pointer, in a slice; dashed: the chosen label.',
}


class DiagramPart(Part):
    """Where the voxels of a composition lie, and regions of it as labels.

    Parameters
    ----------
    viewer : ViewerModel
        Where the labels go, and the pointer is.
    folder : callable
        Gives the folder that a file dialog begins in.

    Signals
    -------
    start(Job, str)
        Saving regions.
    """

    start = Signal(object, str)

    def __init__(self, viewer: ViewerModel, folder: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._quantified: Quantified | None = None
        self._at_corners: list[str] = []
        self._views: dict[str, View] = {}
        self._plotted: TernaryPoints | ChannelValues | None = None
        self.regions: list[SelectedRegion] = []
        self.voxels = SelectedVoxels(viewer, self)
        self.voxels.removed.connect(self.clear_regions)
        self.pointer = VoxelPointer(viewer, self)
        self.pointer.pointed.connect(self._mark_voxel)
        self.pointer.label_chosen.connect(self._mark_label)
        self._plotter, self._selector = Question(self), Question(self)
        self._plotter.answered.connect(self._show)
        self._plotter.failed.connect(self._fail)
        self._selector.answered.connect(self._selected)
        self._selector.failed.connect(self._nothing_selected)
        self.body.addWidget(heading('Diagram of the voxels'))
        self._add_choices()
        self._add_plots()
        self._add_regions()
        self.setVisible(False)

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._plotter.busy or self._selector.busy

    def show_composition(self, quantified: Quantified | None) -> None:
        """Show the voxels of a composition in place of those before; the layer of the regions stays with the user."""
        if quantified is not None and self._quantified is not None and quantified.result is self._quantified.result:
            return
        self._quantified = quantified
        self.regions = []
        self.voxels.leave()
        self.setVisible(quantified is not None)
        self.pointer.follow(None if quantified is None else quantified.result)
        if quantified is None:
            self._plotter.forget()
            self._selector.forget()
            return
        self._views = _views(quantified)
        refill(self.view, list(self._views))
        for box in self.corners:
            refill(box, list(_elements(quantified)))
        if len({box.currentText() for box in self.corners}) < 3:
            for place, box in enumerate(self.corners):
                box.setCurrentIndex(min(place, box.count() - 1))
        self._at_corners = [box.currentText() for box in self.corners]
        self._ask()

    def clear_regions(self) -> None:
        """Without regions again."""
        self.regions = []
        self._selector.forget()
        self.voxels.remove()
        self._show_regions()

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._plotter.cleanup()
        self._selector.cleanup()
        self.pointer.cleanup()
        self.voxels.cleanup()
        self.ternary.cleanup()
        self.histogram.cleanup()

    def state(self) -> dict[str, Any]:
        """Values of the controls, JSON-ready."""
        return {
            'view': self.view.currentText(),
            'tool': self.tool.currentText(),
            'corners': [box.currentText() for box in self.corners],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Set the controls as `state` said, where they have it."""
        self.tool.setCurrentText(str(state.get('tool', _TOOLS[0])))
        for box, name in zip(self.corners, state.get('corners', ()), strict=False):
            box.setCurrentText(str(name))
        self.view.setCurrentText(str(state.get('view', '')))
        self._ask()

    def _add_choices(self) -> None:
        self.view = compact_box(
            'Plot', 'How many voxels have which composition, or so many percent, or so many counts, of one element.'
        )
        self.view.activated.connect(self._ask)
        self.tool = compact_box(
            'Draw', 'A circle from its middle outwards, or an outline along the way of the mouse, as a region.'
        )
        self.tool.addItems(_TOOLS)
        self.tool.currentTextChanged.connect(self._take_tool)
        row = labelled('Plo&t', self.view)
        self._tool_row = Part()
        self._tool_row.body.addLayout(labelled('Draw', self.tool))
        row.addWidget(self._tool_row)
        self.body.addLayout(row)
        self._corner_row = Part()
        row = QHBoxLayout()
        self.corners: list[QComboBox] = []
        for place in ('top', 'left', 'right'):
            box = compact_box(f'Element at the {place}', f'The element whose corner is at the {place}.')
            box.setMinimumContentsLength(2)
            box.activated.connect(self._exchange_corners)
            self.corners.append(box)
            row.addLayout(labelled(place.capitalize(), box))
        self._corner_row.body.addLayout(row)
        self.body.addWidget(self._corner_row)

    def _add_plots(self) -> None:
        self.ternary = TernaryPlot()
        self.ternary.circled.connect(self._circled)
        self.ternary.outlined.connect(self._outlined)
        self.histogram = ValueHistogramPlot()
        self.histogram.chosen.connect(self._chosen)
        self.note = words('')
        for widget in (self.ternary, self.histogram, self.note):
            widget.setVisible(False)
            self.body.addWidget(widget)

    def _add_regions(self) -> None:
        self.hint = words('')
        self.table = RegionTable()
        self.body.addWidget(self.hint)
        self.body.addWidget(self.table)
        self._buttons = Part()
        row = QHBoxLayout()
        for text, tip, slot in (
            ('Clear regions', 'Take all regions and their layer away.', self.clear_regions),
            (
                'Save regions…',
                'Volume, surface, composition, neighbours of every region as .csv, or the labels as .tif.',
                self._save,
            ),
        ):
            button = QPushButton(text)
            button.setToolTip(f'<qt>{tip}</qt>')
            button.clicked.connect(slot)
            row.addWidget(button)
        row.addStretch(1)
        self._buttons.body.addLayout(row)
        self.body.addWidget(self._buttons)
        self._show_regions()

    def _exchange_corners(self) -> None:
        """An element that is chosen for a second corner leaves its first one to the element that it replaces."""
        names = [box.currentText() for box in self.corners]
        for box, name, before in zip(self.corners, names, self._at_corners, strict=True):
            if name == before and names.count(name) > 1:
                box.setCurrentText(next(iter(set(self._at_corners) - set(names))))
        self._at_corners = [box.currentText() for box in self.corners]
        self._ask()

    def _chosen_view(self) -> View | None:
        view = self._views.get(self.view.currentText())
        if view is not None and view.ternary:
            return View(tuple(box.currentText() for box in self.corners))
        return view

    def _ask(self) -> None:
        view = self._chosen_view()
        if self._quantified is None or view is None:
            return
        self._tool_row.setVisible(view.ternary)
        self._corner_row.setVisible(view.ternary and self.corners[0].count() > 3)
        self._plotter.ask(plotting(self._quantified, view))

    def _show(self, plotted: TernaryPoints | ChannelValues) -> None:
        view, quantified = self._chosen_view(), self._quantified
        if view is None or quantified is None:
            return
        self._plotted = plotted
        self.ternary.setVisible(view.ternary)
        self.histogram.setVisible(not view.ternary)
        if isinstance(plotted, ChannelValues):
            self.histogram.show_values(plotted)
            text = describe_values(plotted, quantified.result)
        else:
            self.ternary.show_points(plotted)
            text = describe_points(plotted, quantified.result)
        few = _elements(quantified)
        if len(few) == 2:
            text += f' A ternary diagram needs three elements; the composition has {few[0]} and {few[1]}.'
        self._say(text)
        self._show_regions()
        self.pointer.follow(quantified.result)

    def _fail(self, why: str) -> None:
        self._plotted = None
        self.ternary.setVisible(False)
        self.histogram.setVisible(False)
        self._say(why)

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _take_tool(self, tool: str) -> None:
        self.ternary.tool = tool

    def _circled(self, centre: np.ndarray, radius: float, more: bool) -> None:
        if isinstance(self._plotted, TernaryPoints):
            self._select(Circle(self._view_shown(), self._plotted, centre, radius), more)

    def _outlined(self, corners: np.ndarray, more: bool) -> None:
        if isinstance(self._plotted, TernaryPoints):
            self._select(Outline(self._view_shown(), self._plotted, corners), more)

    def _chosen(self, low: float, high: float, more: bool) -> None:
        if isinstance(self._plotted, ChannelValues):
            self._select(Interval(self._view_shown(), self._plotted, low, high), more)

    def _view_shown(self) -> View:
        view = self._chosen_view()
        assert view is not None
        return view

    def _select(self, shape: Shape, more: bool) -> None:
        if self._quantified is not None:
            kept = self.regions if more else self.regions[:-1]
            self._selector.ask(selecting(self._quantified, kept, shape))

    def _selected(self, regions: tuple[SelectedRegion, ...]) -> None:
        quantified = self._quantified
        if quantified is None:
            return
        self.regions = list(regions)
        self.voxels.show(labels_of(self.regions), names_of(self.regions), self._hues(), quantified.result)
        self._show_regions()
        self.pointer.follow(quantified.result)

    def _nothing_selected(self, why: str) -> None:
        self._show_regions()
        self.hint.setText(why)

    def _show_regions(self) -> None:
        """The table, and those of the plot that is seen."""
        view = self._chosen_view()
        self.hint.setText('' if view is None else _HINT + _MARKS[view.ternary])
        self.table.show_regions(self.regions, self._hues())
        for widget in (self.table, self._buttons):
            widget.setVisible(bool(self.regions))
        outlines, intervals = [], []
        for region, hue in zip(self.regions, self._hues(), strict=True):
            shape = region.shape
            if shape.view != view:
                continue
            if isinstance(shape, Interval):
                intervals.append(((shape.low, shape.high), hue))
            else:
                corners = circle(shape.centre, shape.radius) if isinstance(shape, Circle) else shape.corners
                outlines.append((corners, hue))
        self.ternary.show_regions(outlines)
        self.histogram.show_regions(intervals)

    def _hues(self) -> list[str]:
        channels = () if self._quantified is None else self._quantified.result.channels
        return region_hues(channels, len(self.regions))

    def _mark_voxel(self, voxel: tuple[int, int, int] | None) -> None:
        plotted = self._plotted
        if isinstance(plotted, TernaryPoints):
            self.ternary.mark('voxel', None if voxel is None else plotted.of_voxel(voxel))
        elif plotted is not None:
            self.histogram.mark('voxel', None if voxel is None else plotted.of_voxel(voxel))

    def _mark_label(self, mask: np.ndarray | None) -> None:
        """Mark the mean of these voxels, as far as they are in the plot."""
        plotted = self._plotted
        among = None if plotted is None or mask is None else mask[plotted.inside]
        some = among is not None and among.any()
        if isinstance(plotted, TernaryPoints):
            self.ternary.mark('label', plotted.fractions[:, among].mean(axis=1) if some else None)
        elif plotted is not None:
            self.histogram.mark('label', float(plotted.values[among].mean()) if some else None)

    def _save(self) -> None:
        if self._quantified is None or not self.regions:
            return
        path, chosen = QFileDialog.getSaveFileName(
            self, 'Save regions', str(Path(self._folder()) / 'regions.csv'), 'Table (*.csv);;Labels (*.tif)'
        )
        if path:
            self.start.emit(
                ThreadJob(saving_regions(self._quantified, self.regions, named(path, chosen))), SAVE_REGIONS
            )


def _views(quantified: Quantified) -> dict[str, View]:
    """All that can be plotted, by name."""
    found = {}
    if len(_elements(quantified)) > 2:
        found[_TERNARY] = View(_elements(quantified)[:3])
    units = units_of(quantified.result)
    for name in quantified.result.channels:
        found[f'{name} {units[name]}'.strip()] = View((name,))
    for name in () if quantified.counts is None else quantified.counts.channels:
        found[f'{name} counts'] = View((name,), counts=True)
    return found


def _elements(quantified: Quantified) -> tuple[str, ...]:
    return percent_channels(quantified.result)
