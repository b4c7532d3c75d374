"""Reconstruct: a method, its parameters, what it needs; how it gets on; what to do with the volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_diptomo.jobs import Stage
from napari_diptomo.series import DiptomoError, Finding, InputError, Progress, Recipe, Remedy, Step, Volume
from napari_diptomo.widgets import work
from napari_diptomo.widgets.course_plot import CoursePlot
from napari_diptomo.widgets.estimate import Estimator
from napari_diptomo.widgets.form import StepForm
from napari_diptomo.widgets.notify import say, say_error
from napari_diptomo.widgets.page import Context, Page, heading, words
from napari_diptomo.widgets.process_job import ProcessJob
from napari_diptomo.widgets.settings import default_device, preview_seconds
from napari_diptomo.widgets.thread_job import ThreadJob

_LAST_METHOD = 'method'


class ReconstructPage(Page):
    """SIRT, Poisson EM, total variation or DIPm-TV on the aligned maps, in a child process.

    Signals
    -------
    start(Job, str)
        Saving, which the page's button does not start.
    discard
        The last run's layers shall go.
    """

    start = Signal(object, str)
    discard = Signal()
    title = 'Reconstruct'
    action = '&Run'
    explanation = 'Choose a method and press Run; the volume forms in the viewer while it is computed.'
    steps = ('DIPmTV', 'TotalVariation', 'PoissonEM', 'SIRT')

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.forms: dict[str, StepForm] = {}
        self.method = QComboBox()
        self.method.setAccessibleName('Method')
        self.method.setToolTip('<qt>DIPm-TV for few counts and a missing wedge; SIRT for a first look in seconds.</qt>')
        self.method.currentTextChanged.connect(self._method_changed)
        self.unaligned = words('These maps are not aligned: go back to Align, unless they were aligned before.')
        self.body.addWidget(self.unaligned)
        row = QHBoxLayout()
        label = QLabel('Met&hod')
        label.setBuddy(self.method)
        row.addWidget(label)
        row.addWidget(self.method, 1)
        self.body.addLayout(row)
        self._place = QVBoxLayout()
        self.body.addLayout(self._place)
        self.estimate = words('')
        self.estimate.setToolTip('Estimated before anything is allocated.')
        self.body.addWidget(self.estimate)
        self.previews = QCheckBox('Show the volume while it forms')
        self.previews.setChecked(preview_seconds() > 0)
        self.previews.setToolTip('<qt>How often: Preferences, Tomography. Switch it off for very large volumes.</qt>')
        self.body.addWidget(self.previews)
        self._add_course()
        self._add_result_buttons()
        self.body.addStretch(1)
        self._estimator = Estimator(self)
        self._estimator.answered.connect(self.estimate.setText)
        self.session.changed.connect(self._session_changed)
        self._session_changed()

    def closed(self) -> str:
        return '' if self.session.input_maps is not None else 'Make maps first, or open ready ones.'

    def enter(self) -> None:
        if not self.forms:
            self._build_forms()
        self._ask_estimate()

    def step(self) -> Step:
        """The chosen method with its parameters."""
        self.enter()
        return self.forms[self.method.currentText()].value()

    def job(self) -> tuple[ProcessJob, str]:
        step = self.step()
        maps = self.session.input_maps
        if maps is None:
            raise InputError(self.closed())
        self.context.last_used.remember(step)
        self.context.last_used.remember_value(_LAST_METHOD, step.title)
        seconds = (preview_seconds() or 1.0) if self.previews.isChecked() else 0.0
        source = maps.recipe.source if maps.recipe is not None else self.session.source
        self.course.clear_curves()
        self._show_course(True)
        return ProcessJob(Recipe(source, (step,)), maps, seconds), step.title

    def follow(self, message: Any) -> None:
        """A message of the running job: into the curves."""
        if isinstance(message, Stage):
            self.course.clear_curves()
        elif isinstance(message, Progress):
            self.course.add(message.iteration, message.losses, message.validation, message.message)

    def done(self, volume: Volume) -> None:
        self.course.redraw()
        self.course.mark_returned(volume.notes.get('returned_iteration'))
        self.session.set_result(volume)
        self.told.setText(describe_volume(volume))

    def findings(self) -> tuple[Finding, ...]:
        return () if self.session.volume is None else self.session.volume.findings

    def form_of(self, step: str) -> StepForm | None:
        return next((form for form in self.forms.values() if form.step_class.__name__ == step), None)

    def apply(self, remedy: Remedy) -> QWidget | None:
        changed = super().apply(remedy)
        form = self.form_of(remedy.step)
        if form is not None:
            self.method.setCurrentText(form.step_class.title)
        return changed or self.method

    def cleanup(self) -> None:
        self._estimator.cleanup()
        self.course.cleanup()

    def _build_forms(self) -> None:
        from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation

        self.method.blockSignals(True)
        for kind in (DIPmTV, TotalVariation, PoissonEM, SIRT):
            form = StepForm(kind)
            form.set_value(self._start_value(kind))
            form.changed.connect(self._ask_estimate)
            self.forms[kind.title] = form
            self._place.addWidget(form)
            self.method.addItem(kind.title)
        self.method.setCurrentText(str(self.context.last_used.value(_LAST_METHOD, DIPmTV.title)))
        self.method.blockSignals(False)
        self._method_changed(self.method.currentText())

    def _start_value(self, kind: type[Step]) -> Step:
        step = self.context.last_used.step(kind)
        untouched = self.context.last_used.value(kind.__name__) is None
        return step.model_copy(update={'device': default_device()}) if untouched else step

    def _method_changed(self, title: str) -> None:
        for name, form in self.forms.items():
            form.setVisible(name == title)
        self._ask_estimate()

    def _ask_estimate(self) -> None:
        maps = self.session.input_maps
        if maps is None or not self.forms:
            return
        for form in self.forms.values():
            form.fields['thickness'].propose(maps.data.shape[-1] * maps.pixel_size)
        try:
            self._estimator.ask(self.forms[self.method.currentText()].value(), maps)
        except DiptomoError as error:
            self.estimate.setText(str(error))

    def _add_course(self) -> None:
        self.course_heading = heading('Course of the run')
        self.course = CoursePlot()
        self.course.setToolTip(
            '<qt>Above: misfit of the fitted and of the held-out counts, per datum; where the held-out one rises, noise '
            'is being fitted. Below: the other terms of what is minimised. The dashed line marks the returned '
            'iterate.</qt>'
        )
        self.told = words('')
        for widget in (self.course_heading, self.course, self.told):
            self.body.addWidget(widget)
        self._show_course(False)

    def _show_course(self, shown: bool) -> None:
        self.course_heading.setVisible(shown)
        self.course.setVisible(shown)
        self.told.setText('')

    def _add_result_buttons(self) -> None:
        self.result_row = self.outcome_widget = QWidget()
        row = QHBoxLayout(self.result_row)
        row.setContentsMargins(0, 0, 0, 0)
        for text, tip, slot in (
            ('Save &volume…', 'Write the volume as .hspy (with its recipe), .mrc or .tif.', self._save_volume),
            ('Save r&ecipe…', 'Write all steps as JSON; "diptomo run" repeats them.', self._save_recipe),
            ('&Discard run', 'Remove the layers of the last run.', self.discard),
        ):
            button = QPushButton(text)
            button.setToolTip(f'<qt>{tip}</qt>')
            button.clicked.connect(slot)
            row.addWidget(button)
        self.body.addWidget(self.result_row)

    def _session_changed(self) -> None:
        maps = self.session.input_maps
        self.unaligned.setVisible(maps is not None and not maps.shifts.any())
        self.result_row.setVisible(self.session.volume is not None)
        if self.isVisible():
            self._ask_estimate()

    def _save_volume(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            'Save volume',
            self._suggestion('.hspy'),
            'HyperSpy (*.hspy);;MRC, one per element (*.mrc);;TIFF (*.tif)',
        )
        volume = self.session.volume
        if path and volume is not None:
            self.start.emit(ThreadJob(work.saving(volume, path)), 'Save')

    def _save_recipe(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, 'Save recipe', self._suggestion('.json'), 'Recipe (*.json)')
        if not path:
            return
        try:
            self.session.recipe.save(path)
        except OSError as error:
            say_error(f'The recipe cannot be written to {path}: {error.strerror}; choose another place.')
            return
        say(f'Recipe written; repeat it with: diptomo run {Path(path).name}')

    def _suggestion(self, suffix: str) -> str:
        folder = Path(str(self.context.last_used.value('folder', '')))
        return str(folder / f'volume{suffix}')


def describe_volume(volume: Volume) -> str:
    """Size, how the run ended, and what no data can vouch for."""
    _, z, y, x = volume.data.shape
    parts = [f'{x} x {y} x {z} voxels of {volume.voxel_size:.3g} nm.']
    reason = volume.notes.get('stopping')
    if isinstance(reason, str):
        parts.append(reason[:1].upper() + reason[1:].rstrip('.') + '.')
    uncertainty = volume.notes.get('uncertainty')
    if isinstance(uncertainty, str):
        parts.append(uncertainty[:1].upper() + uncertainty[1:].rstrip('.') + '.')
    tilts = volume.notes.get('max_tilt')
    if isinstance(tilts, list | tuple) and len(tilts) == 2 and tilts[1] - tilts[0] < 180:
        parts.append(
            f'Tilts end at {tilts[0]:.4g}° and {tilts[1]:.4g}°: faces normal to the beam and detail along it '
            'rest on the prior, not on data.'
        )
    return ' '.join(parts)
