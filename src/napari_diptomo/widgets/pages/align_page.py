"""Align: the shifts between the tilts and the tilt axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_diptomo.series import Finding, InputError, MapSeries
from napari_diptomo.widgets.controls.parts import heading, words
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.plots.shift_plot import ShiftPlot
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.steps import running

if TYPE_CHECKING:
    from napari_diptomo.align import Align


class AlignPage(Page):
    """The parameters of the alignment, and the shifts it found.

    The counts are never moved: shifts go into the geometry, so the layers stay
    where they are and the plot shows what was found.
    """

    title = 'Align'
    action = '&Align'
    explanation = (
        'Find how far the specimen moved between the tilts. The counts stay as measured: the geometry follows.'
    )
    steps = ('Align',)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.parameters = RememberedForm(_align, context.last_used)
        self.body.addWidget(self.parameters)
        self.found_heading = heading('Shifts found')
        self.plot = ShiftPlot()
        self.found = self.outcome_widget = words('')
        for widget in (self.found_heading, self.plot, self.found):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self._show(None)
        self.session.changed.connect(self._session_changed)

    @property
    def form(self) -> StepForm[Align] | None:
        """The form, None until the page was entered."""
        return self.parameters.form

    def closed(self) -> str:
        if self.session.too_few_tilts:
            return self.session.too_few_tilts
        return '' if self.session.maps is not None else 'Make maps first, or open ready ones.'

    def enter(self) -> None:
        self.parameters.build()

    def job(self) -> tuple[ThreadJob, str]:
        if self.session.maps is None:
            raise InputError(self.closed())
        step = self.parameters.step()
        self.context.last_used.remember(step)
        return ThreadJob(running(step, self.session.maps)), 'Align'

    def done(self, maps: MapSeries) -> None:
        self.session.set_aligned(maps)

    def findings(self) -> tuple[Finding, ...]:
        return () if self.session.aligned is None else self.session.aligned.findings

    def form_of(self, step: str) -> StepForm | None:
        return self.form

    def state(self) -> dict[str, Any]:
        return self.parameters.state()

    def set_state(self, state: dict[str, Any]) -> None:
        self.parameters.set_state(state)
        self._session_changed()

    def cleanup(self) -> None:
        self.plot.cleanup()

    def _session_changed(self) -> None:
        self._show(self.session.aligned)

    def _show(self, maps: MapSeries | None) -> None:
        for widget in (self.found_heading, self.plot, self.found):
            widget.setVisible(maps is not None)
        if maps is not None and maps.shifts is not None:
            self.plot.set_shifts(maps.angles, maps.shifts, maps.pixel_size)
            self.found.setText(describe_shifts(maps))


def _align() -> type[Align]:
    from napari_diptomo.align import Align

    return Align


def describe_shifts(maps: MapSeries) -> str:
    """The largest shift and the axis, in nm and pixels."""
    largest = 0.0 if maps.shifts is None else float(np.abs(maps.shifts).max())
    axis = maps.axis_shift
    return (
        f'Largest shift {largest * maps.pixel_size:.3g} nm ({largest:.2g} pixels); '
        f'tilt axis {axis * maps.pixel_size:+.3g} nm ({axis:+.2g} pixels) from the middle of the images.'
    )
