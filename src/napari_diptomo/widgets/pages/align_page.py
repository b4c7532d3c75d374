"""Align: the shifts between the tilts and the tilt axis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_diptomo.series import DiptomoError, Finding, InputError, MapSeries, Step
from napari_diptomo.widgets.controls.parts import heading, words
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.notifications import say, say_error
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.pages.second_axis_part import SecondAxisPart, without_second_axis
from napari_diptomo.widgets.pages.shifts_by_hand import ShiftsByHand
from napari_diptomo.widgets.plots.plot_place import PlotPlace
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.steps import running, running_all

if TYPE_CHECKING:
    from napari_diptomo.align import Align
    from napari_diptomo.widgets.plots.shift_plot import ShiftPlot

#: Title of the job that takes shifts from a file.
IMPORT = 'Shifts'
#: Title of the job that places a second series.
JOIN = 'Second axis'
#: In the state of the page: the controls of the second axis.
_SECOND = 'second_axis'
#: Distance of the axis from the middle, pixels, that is none.
_NEGLIGIBLE = 0.005
_FILES = 'Shifts: IMOD, table, ETSpy, tomviz (*.xf *.csv *.hspy *.npz)'
_TO_FILES = 'IMOD, with angles beside them (*.xf);;Table (*.csv);;ETSpy (*.hspy);;tomviz (*.npz)'


class AlignPage(Page):
    """The parameters of the alignment, the shifts it found, and their corrections by hand.

    The counts are never moved: shifts go into the geometry, so the layers stay
    where they are; the aligned tilts are a layer to be looked at.

    Signals
    -------
    start(Job, str)
        A job that is not the page's own button, and its title.
    """

    start = Signal(object, str)
    title = 'Align'
    action = '&Align'
    explanation = (
        'Find how far the specimen moved between the tilts. The counts stay as measured: the geometry follows.'
    )
    steps = ('Align', 'SecondAxis')

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.parameters = RememberedForm(_align, context.last_used)
        self.body.addWidget(self.parameters)
        self.found_heading = heading('Shifts found')
        self._place = PlotPlace(self._make_plot)
        self.found = self.outcome_widget = words('')
        for widget in (self.found_heading, self._place, self.found):
            self.body.addWidget(widget)
        self.by_hand = ShiftsByHand(context)
        self.body.addWidget(self.by_hand, 100)
        self._add_files()
        self.second = SecondAxisPart(context.last_used)
        self.body.addWidget(self.second)
        self.body.addStretch(1)
        #: What was opened last: corrections are of its tilts.
        self._opened: Any = None
        self._show(None)
        self.by_hand.corrected.connect(self._corrected)
        self.second.join.connect(self._join)
        self.second.part.connect(self._take_apart)
        self.session.changed.connect(self._session_changed)

    @property
    def plot(self) -> ShiftPlot:
        """The shifts over the tilts; made when some were found first."""
        return self._place.plot

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
        self.second.parameters.build()

    def job(self) -> tuple[ThreadJob, str]:
        from napari_diptomo.align.by_hand import at_these_tilts

        if self.session.maps is None:
            raise InputError(self.closed())
        step = self.parameters.step()
        # Files and corrections are of these data; the next ones shall not begin with them.
        self.context.last_used.remember(_of_no_data(step))
        steps: tuple[Step, ...] = (at_these_tilts(step, self.session.maps.angles),)
        if self.second.named:
            # Where the specimen lies in the second series depends on where it lies in the first.
            steps = (*steps, self.second.step())
        return ThreadJob(running_all(steps, self.session.maps)), 'Align'

    def done(self, maps: MapSeries) -> None:
        self.by_hand.replace(maps, 'Alignment')

    def _join(self) -> None:
        """Place the second series beside the aligned maps as they are."""
        maps = self.session.aligned
        if maps is None or self.session.busy:
            return
        try:
            step = self.second.step()
        except DiptomoError as error:
            say_error(str(error))
            return
        self.start.emit(ThreadJob(running(step, without_second_axis(maps))), JOIN)

    def _take_apart(self) -> None:
        maps = self.session.aligned
        if maps is None or maps.second_axis is None or self.session.busy:
            return
        self.second.forget()
        self.by_hand.replace(without_second_axis(maps), 'Second axis')

    def findings(self) -> tuple[Finding, ...]:
        return () if self.session.aligned is None else self.session.aligned.findings

    def form_of(self, step: str) -> StepForm | None:
        return self.second.form if step == 'SecondAxis' else self.form

    def take_step(self, step: Step) -> bool:
        taken = super().take_step(step)
        if taken:
            # Its corrections are of the data that are opened next.
            self._opened = None
        return taken

    def state(self) -> dict[str, Any]:
        return {
            **self.parameters.state(),
            'tilts_shown': self.by_hand.view_shown(),
            _SECOND: self.second.parameters.state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self._opened = self._data()
        self.parameters.set_state({n: value for n, value in state.items() if n not in ('tilts_shown', _SECOND)})
        self.second.parameters.set_state(state.get(_SECOND) or {})
        self._session_changed()
        self.by_hand.set_view(state.get('tilts_shown'))

    def set_frozen(self, frozen: bool) -> None:
        super().set_frozen(frozen)
        self._refresh_buttons()

    def cleanup(self) -> None:
        self._place.cleanup()
        self.by_hand.cleanup()

    def import_shifts(self, path: str) -> None:
        """Take the shifts of a file as they are; a sentence where they are not those of this series."""
        from napari_diptomo.align import read_shifts

        maps = self.session.maps
        if maps is None or self.session.busy:
            return
        try:
            read_shifts(path, maps.angles)
            self.parameters.build().apply({'shifts_file': path, 'rounds': 0, 'by_hand': (), 'axis_by_hand': ()})
            job, _ = self.job()
        except DiptomoError as error:
            say_error(str(error))
            return
        self.start.emit(job, IMPORT)

    def export_shifts(self, path: str) -> None:
        """Write the shifts, for IMOD with a file of angles beside them."""
        from napari_diptomo.align import write_shifts

        if self.session.aligned is None:
            return
        try:
            written = write_shifts(self.session.aligned, path)
        except DiptomoError as error:
            say_error(str(error))
        except OSError as error:
            say_error(f'The shifts cannot be written ({error}); choose another folder.')
        else:
            say(f'Shifts written: {", ".join(file.name for file in written)}.')

    def _make_plot(self) -> ShiftPlot:
        from napari_diptomo.widgets.plots.shift_plot import ShiftPlot

        plot = ShiftPlot()
        plot.moved.connect(self.by_hand.move_point)
        return plot

    def _add_files(self) -> None:
        row = QHBoxLayout()
        self.import_button, self.export_button = QPushButton('&Import…'), QPushButton('&Export…')
        self.import_button.setToolTip(
            '<qt>Take shifts from an .xf of IMOD (its angles from the .tlt beside it) a .csv with angle, dx and dy, an .hspy of '
            'ETSpy or an .npz of tomviz, instead of those found.</qt>'
        )
        self.export_button.setToolTip(
            'Write the shifts as .xf with .tlt for IMOD, as .csv, as .hspy for ETSpy or .npz for tomviz.'
        )
        self.import_button.clicked.connect(self._choose_import)
        self.export_button.clicked.connect(self._choose_export)
        row.addWidget(self.import_button)
        row.addWidget(self.export_button)
        self.body.addLayout(row)

    def _choose_import(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, 'Shifts of this series', self._folder(), _FILES)
        if path:
            self.import_shifts(path)

    def _choose_export(self) -> None:
        path, kind = QFileDialog.getSaveFileName(self, 'Save the shifts', self._folder(), _TO_FILES)
        if not path:
            return
        if not Path(path).suffix:
            path += next((ending for ending in ('.csv', '.hspy', '.npz') if ending in kind), '.xf')
        self.export_shifts(path)

    def _folder(self) -> str:
        return str(self.context.last_used.value('folder', ''))

    def _data(self) -> Any:
        """The opened data, whichever of its tilts are in use."""
        whole = self.session.whole
        if whole is not None:
            return whole.data
        return self.session.series if self.session.series is not None else self.session.maps

    def _session_changed(self) -> None:
        opened = self._data()
        if opened is not None and opened is not self._opened:
            if self._opened is not None:
                self._forget_corrections()
            self._opened = opened
        self._show(self.session.aligned)
        self.by_hand.show_session()
        self._refresh_buttons()

    def _forget_corrections(self) -> None:
        """Other data were opened: shifts by hand and from files are of the earlier ones."""
        self.second.forget()
        form = self.form
        if form is None:
            kept = {'by_hand', 'axis_by_hand', 'shifts_file'}
            self.parameters.set_state({k: v for k, v in self.parameters.state().items() if k not in kept})
            return
        if form.fields['shifts_file'].value:
            form.fields['shifts_file'].value = ''
            form.fields['rounds'].value = form.step_class.model_fields['rounds'].default
        form.fields['by_hand'].value = ()
        form.fields['axis_by_hand'].value = ()

    def _corrected(self, maps: MapSeries) -> None:
        """The form has what the recipe has, and the corrections of tilts that are out of use."""
        from napari_diptomo.align.by_hand import align_step, others_than

        form = self.parameters.build()
        step = align_step(maps)
        try:
            form_has = form.fields['by_hand'].value
            if form.fields['shifts_file'].value != step.shifts_file:
                form.set_value(step)
            form.fields['axis_by_hand'].value = step.axis_by_hand
            form.fields['by_hand'].value = (*others_than(maps.angles, form_has), *by_hand_in(maps))
        except DiptomoError:
            form.set_value(step)

    def _refresh_buttons(self) -> None:
        self.by_hand.refresh()
        self.import_button.setEnabled(self.session.maps is not None and not self.session.busy)
        self.export_button.setEnabled(self.session.aligned is not None)
        self.second.show_maps(self.session.aligned, self.session.busy)

    def _show(self, maps: MapSeries | None) -> None:
        for widget in (self.found_heading, self._place, self.found, self.by_hand):
            widget.setVisible(maps is not None)
        if maps is not None and maps.shifts is not None:
            self.plot.set_shifts(maps.angles, maps.shifts, maps.pixel_size)
            self.found.setText(describe_shifts(maps))


def _align() -> type[Align]:
    from napari_diptomo.align import Align

    return Align


def _of_no_data(step: Align) -> Align:
    """The step without what belongs to one series."""
    names: tuple[str, ...] = ('by_hand', 'axis_by_hand')
    if step.shifts_file:
        names += ('shifts_file', 'rounds')
    return step.model_copy(update={name: type(step).model_fields[name].default for name in names})


def by_hand_in(maps: MapSeries) -> tuple[float, ...]:
    """Corrections as a recipe has them: tilt angle, dx and dy, one tilt after the other."""
    return tuple(maps.notes.get('align', {}).get('by_hand', ()))


def describe_shifts(maps: MapSeries) -> str:
    """The largest shift and the axis, in nm, pixels and degrees."""
    turned = f', turned by {maps.axis_rotation:.2g}°' if maps.axis_rotation else ''
    largest = 0.0 if maps.shifts is None else float(np.abs(maps.shifts).max())
    axis = maps.axis_shift
    where = 'in' if abs(axis) < _NEGLIGIBLE else f'{axis * maps.pixel_size:+.3g} nm ({axis:+.2g} pixels) from'
    return (
        f'Largest shift {largest * maps.pixel_size:.3g} nm ({largest:.2g} pixels); '
        f'tilt axis {where} the middle of the images{turned}.'
    )
