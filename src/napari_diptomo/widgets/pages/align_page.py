"""Align: the shifts between the tilts and the tilt axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_diptomo.series import Finding, InputError, MapSeries
from napari_diptomo.widgets.controls.parts import heading, words
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.plots.shift_plot import ShiftPlot
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.steps import running


class AlignPage(Page):
    """The parameters of the alignment, and the shifts it found.

    The counts are never moved: shifts go into the geometry, so the layers stay
    where they are and the plot tells what was found.
    """

    title = 'Align'
    action = '&Align'
    explanation = (
        'Find how far the specimen moved between the tilts. The counts stay as measured: the geometry follows.'
    )
    steps = ('Align',)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.form: StepForm | None = None
        self._state: dict[str, Any] = {}
        self._place = QVBoxLayout()
        self.body.addLayout(self._place)
        self.found_heading = heading('Shifts found')
        self.plot = ShiftPlot()
        self.found = self.outcome_widget = words('')
        for widget in (self.found_heading, self.plot, self.found):
            self.body.addWidget(widget)
        self.body.addStretch(1)
        self._show(None)
        self.session.changed.connect(self._session_changed)

    def closed(self) -> str:
        return '' if self.session.maps is not None else 'Make maps first, or open ready ones.'

    def enter(self) -> None:
        if self.form is not None:
            return
        from napari_diptomo.align import Align

        self.form = StepForm(Align)
        self.form.set_value(self.context.last_used.step(Align))
        if self._state:
            self.form.set_state(self._state)
        self._place.addWidget(self.form)

    def job(self) -> tuple[ThreadJob, str]:
        self.enter()
        if self.session.maps is None:
            raise InputError(self.closed())
        step = self.form.value()
        self.context.last_used.remember(step)
        return ThreadJob(running(step, self.session.maps)), 'Align'

    def done(self, maps: MapSeries) -> None:
        self.session.set_aligned(maps)

    def findings(self) -> tuple[Finding, ...]:
        return () if self.session.aligned is None else self.session.aligned.findings

    def form_of(self, step: str) -> StepForm | None:
        return self.form

    def state(self) -> dict[str, Any]:
        return self.form.state() if self.form is not None else self._state

    def set_state(self, state: dict[str, Any]) -> None:
        self._state = state
        if self.form is not None and state:
            self.form.set_state(state)
        self._session_changed()

    def cleanup(self) -> None:
        self.plot.cleanup()

    def _session_changed(self) -> None:
        self._show(self.session.aligned)

    def _show(self, maps: MapSeries | None) -> None:
        for widget in (self.found_heading, self.plot, self.found):
            widget.setVisible(maps is not None)
        if maps is not None:
            self.plot.set_shifts(maps.angles, maps.shifts, maps.pixel_size)
            self.found.setText(describe_shifts(maps))


def describe_shifts(maps: MapSeries) -> str:
    """The largest shift and the axis, in nm and pixels."""
    largest = float(np.abs(maps.shifts).max())
    axis = maps.axis_shift
    return (
        f'Largest shift {largest * maps.pixel_size:.3g} nm ({largest:.2g} pixels); '
        f'tilt axis {axis * maps.pixel_size:+.3g} nm ({axis:+.2g} pixels) from the middle of the images.'
    )
