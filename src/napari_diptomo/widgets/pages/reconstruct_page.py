"""Reconstruct: a method, its parameters, what it needs; how it gets on; what to do with the volume."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_diptomo.jobs import Stage
from napari_diptomo.series import DiptomoError, Finding, InputError, Progress, Recipe, Remedy, Step, Volume
from napari_diptomo.series.haadf_of_series import described, own_images
from napari_diptomo.widgets.controls.combo_boxes import disable_entries
from napari_diptomo.widgets.controls.each_element import EachElement
from napari_diptomo.widgets.controls.form_widgets import AutoEdit
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.runs_list import RunsList
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.notifications import say, say_error
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.pages.run_sentences import compared_haadf, describe_run, haadf_counterpart
from napari_diptomo.widgets.plots.plot_place import PlotPlace
from napari_diptomo.widgets.preferences import default_device, preview_seconds
from napari_diptomo.widgets.run import Run, RunStatus, convergence_of
from napari_diptomo.widgets.tasks.duration_estimate import Pace, kind_of, kind_of_refinement, trial_of, voxels_of
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.pace_trial import PaceTrial
from napari_diptomo.widgets.tasks.preview_misfit import misfit_of_preview
from napari_diptomo.widgets.tasks.question import Question
from napari_diptomo.widgets.tasks.reconstruction_job import ReconstructionJob
from napari_diptomo.widgets.tasks.steps import VOLUME_FORMATS, estimating_memory, missing_devices, named, saving

if TYPE_CHECKING:
    from napari_diptomo.widgets.plots.convergence_plot import ConvergencePlot

#: Fields that say what the specimen is, whichever method reconstructs it.
_OF_SPECIMEN = {'thickness', 'beyond_field'}
_LAST_METHOD = 'method'
_PACES = 'paces'
#: A preview is compared with the maps this rarely, as the fit needs the processor.
_SECONDS_BETWEEN_MISFITS = 10.0


class ReconstructPage(Page):
    """SIRT, Poisson EM, total variation or DIPm-TV on the aligned maps, in a child process.

    Below stand the runs of the session. What is written there, Save and Discard
    are about the run that is chosen in the list.

    Signals
    -------
    start(Job, str)
        Saving, which the page's button does not start.
    resume(Run)
        A run that ended before its time shall be taken up.
    """

    start = Signal(object, str)
    resume = Signal(object)
    title = 'Reconstruct'
    action = '&Run'
    explanation = 'Choose a method and press Run; the volume forms in the viewer while it is computed.'
    steps = ('DIPmTV', 'TotalVariation', 'PoissonEM', 'SIRT')

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.forms: dict[str, StepForm[Any]] = {}
        self.method = QComboBox()
        self.method.setAccessibleName('Method')
        self.method.setToolTip('<qt>DIPm-TV for few counts and a missing wedge; SIRT for a first look in seconds.</qt>')
        self.method.currentTextChanged.connect(self._method_changed)
        self.unaligned = words('These maps are not aligned: go back to Align, unless they were aligned before.')
        self.body.addWidget(self.unaligned)
        row = QHBoxLayout()
        label = QLabel('Me&thod')
        label.setBuddy(self.method)
        row.addWidget(label)
        row.addWidget(self.method, 1)
        self.body.addLayout(row)
        self._place = QVBoxLayout()
        self.body.addLayout(self._place)
        self.no_device = words('')
        self.no_device.hide()
        self.body.addWidget(self.no_device)
        self.haadf = words('')
        self.haadf.setToolTip('<qt>Images fitted beside the maps; the findings of a run say what they were worth.</qt>')
        self.body.addWidget(self.haadf)
        self.estimate = words('')
        self.estimate.setToolTip('Estimated before anything is allocated.')
        self.body.addWidget(self.estimate)
        self.previews = QCheckBox('Show the volume while it forms')
        self.previews.setToolTip('<qt>How often: Preferences, Tomography. Switch it off for very large volumes.</qt>')
        self.body.addWidget(self.previews)
        self._state: dict[str, Any] = {}
        self._pace = Pace()
        self._shown: tuple[Run | None, RunStatus | None] | None = None
        self._outcome = self.outcome_widget = Part()
        self.body.addWidget(self._outcome)
        # The list above: what is chosen in it changes the height of what stands below.
        self._add_runs()
        self._add_convergence()
        self.body.addStretch(1)
        self._estimated = Question(self, patience_ms=150)
        self._estimated.answered.connect(self.estimate.setText)
        self._estimated.failed.connect(self.estimate.setText)
        self._trial = PaceTrial(self)
        self._trial.measured.connect(self._know_trial)
        #: The devices that this machine lacks, each with a sentence, once torch was asked.
        self._missing: dict[str, str] = {}
        self._devices = Question(self)
        self._devices.answered.connect(self._know_devices)
        self._misfit = Question(self)
        self._misfit.answered.connect(self._show_misfit)
        #: Of the preview that is seen; of the one that was compared last, and when that was.
        self._previewed, self._misfit_sentence, self._compared = 0, '', 0.0
        #: Of the last preview that was shown while the shifts were being refined, until the fit proper shows one.
        self._of_refinement: int | None = None
        self.session.changed.connect(self._session_changed)
        self.session.started.connect(self._stop_trial)
        self._session_changed()

    @property
    def convergence(self) -> ConvergencePlot:
        """Of the run that is chosen; made when it has something to show first."""
        return self._convergence.plot

    def closed(self) -> str:
        return '' if len(self.session.runs) else self.obstacle()

    def obstacle(self) -> str:
        if self.session.too_few_tilts:
            return self.session.too_few_tilts
        return '' if self.session.input_maps is not None else 'Make maps first, or open ready ones.'

    def enter(self) -> None:
        if not self.forms:
            self._build_forms()
            self._devices.ask(missing_devices)
        self._ask_estimate()

    def step(self) -> Step:
        """The chosen method with its parameters."""
        self.enter()
        return self.forms[self.method.currentText()].value()

    def job(self) -> tuple[ReconstructionJob, str]:
        step = self.step()
        maps = self.session.input_maps
        if maps is None:
            raise InputError(self.obstacle())
        if self.no_device.text():
            raise InputError(self.no_device.text())
        self.context.last_used.remember(step)
        self.context.last_used.remember_value(_LAST_METHOD, step.title)
        seconds = self._seconds_between_previews()
        source = maps.recipe.source if maps.recipe is not None else self.session.source
        return ReconstructionJob(Recipe(source, (step,)), maps, seconds, self.session.new_checkpoint()), step.title

    def job_of(self, run: Run) -> ReconstructionJob:
        """The job that takes up a run that ended before its time."""
        assert run.recipe is not None and run.maps is not None
        seconds = self._seconds_between_previews()
        if run.checkpoint is None:
            run.checkpoint = self.session.new_checkpoint()
        return ReconstructionJob(run.recipe, run.maps, seconds, run.checkpoint, resume=True)

    def _seconds_between_previews(self) -> float:
        """0 where none are wanted."""
        if not self.forms:
            self.enter()
        return (preview_seconds() or 1.0) if self.previews.isChecked() else 0.0

    def follow(self, run: Run, message: Any) -> None:
        """A message of the running job: into the curves, where they are those of this run."""
        if run is not self.session.runs.chosen:
            return
        if isinstance(message, Stage):
            self._pace = Pace()
            self._misfit.forget()
            self._misfit_sentence, self._compared, self._of_refinement = '', 0.0, None
            self.convergence.clear_curves()
            self.by_element.hide()
        elif isinstance(message, Progress):
            self.convergence.add(
                message.iteration, message.losses, message.validation, message.message, message.by_channel
            )
            self.by_element.setVisible(self.convergence.has_channels)
            self._pace.add(message)

    def show_preview(self, frame: np.ndarray, iteration: int) -> None:
        """The viewer shows a preview of the running job; now and then it is compared with the maps, element by element."""
        chosen = self.session.runs.chosen
        if chosen is None or chosen.status is not RunStatus.RUNNING or chosen.maps is None:
            return
        self._previewed = iteration
        if shifts_are_sought(chosen):
            self._of_refinement, self._misfit_sentence = iteration, 'Its misfit is shown once the shifts are refined.'
        elif self._of_refinement is not None and iteration < self._of_refinement:
            self._of_refinement, self._misfit_sentence = None, ''
        self._show_preview()
        # The last preview of the refinement may arrive after its end: its geometry is not known.
        comparable = self._of_refinement is None and not self._misfit.busy
        if comparable and time.monotonic() - self._compared > _SECONDS_BETWEEN_MISFITS:
            self._misfit.ask(misfit_of_preview(frame, iteration, chosen.maps, chosen.noted))

    def _show_misfit(self, sentence: str) -> None:
        self._compared = time.monotonic()
        chosen = self.session.runs.chosen
        if chosen is not None and chosen.status is RunStatus.RUNNING:
            self._misfit_sentence = sentence
            self._show_preview()

    def _show_preview(self) -> None:
        self.note.setText(f'The viewer shows iteration {self._previewed}. {self._misfit_sentence}'.strip())

    def done(self, volume: Volume) -> None:
        self._remember_pace()
        # Asked for when the session changed, before the pace of the run was remembered.
        self._trial.forget()
        self.session.set_result(volume)

    def findings(self) -> tuple[Finding, ...]:
        chosen = self.session.runs.chosen
        return () if chosen is None else chosen.findings

    def _paces(self) -> dict[str, float]:
        """Seconds per voxel, and iteration as a rule, as measured on this machine, by kind of work."""
        return dict(self.context.last_used.value(_PACES, {}))

    def _remember_pace(self) -> None:
        run, seconds = self.session.runs.chosen, self._pace.seconds()
        self._pace = Pace()
        if run is None or run.recipe is None or run.maps is None:
            return
        from napari_diptomo.reconstruct.refined_geometry import NOTE

        step: Any = run.recipe.steps[-1]
        voxels = voxels_of(step, run.maps)
        paces = {kind_of(step, run.maps): seconds / voxels} if seconds else {}
        refinement = run.noted.get(NOTE)
        # Without a verdict it was ended before its time.
        if refinement and refinement['standard_error']:
            paces[kind_of_refinement(step)] = refinement['seconds'] / voxels
        if paces:
            self.context.last_used.remember_value(_PACES, self._paces() | paces)

    def form_of(self, step: str) -> StepForm | None:
        return next((form for form in self.forms.values() if form.step_class.__name__ == step), None)

    def apply(self, remedy: Remedy) -> QWidget | None:
        changed = super().apply(remedy)
        form = self.form_of(remedy.step)
        if form is not None:
            self.method.setCurrentText(form.step_class.title)
        of_specimen = {name: value for name, value in remedy.changes.items() if name in _OF_SPECIMEN}
        for other in self.forms.values() if of_specimen else ():
            if other is not form:
                # A form that refuses it says so once it is chosen.
                with suppress(DiptomoError):
                    other.apply(of_specimen)
        return changed or self.method

    def cleanup(self) -> None:
        self._estimated.cleanup()
        self._misfit.cleanup()
        self._devices.cleanup()
        self._trial.forget()
        self._convergence.cleanup()

    def _build_forms(self) -> None:
        from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation

        self.method.blockSignals(True)
        for kind in (DIPmTV, TotalVariation, PoissonEM, SIRT):
            form: StepForm[Any] = StepForm(kind)
            form.set_value(self._start_value(kind))
            form.changed.connect(self._ask_estimate)
            self.forms[kind.title] = form
            self._place.addWidget(form)
            self.method.addItem(kind.title)
        self.method.setCurrentText(str(self.context.last_used.value(_LAST_METHOD, DIPmTV.title)))
        self.method.blockSignals(False)
        # Not before: for the settings of one plugin napari reads the manifests of all.
        self.previews.setChecked(preview_seconds() > 0)
        self._method_changed(self.method.currentText())
        self._apply_state()

    def take_step(self, step: Step) -> bool:
        if not super().take_step(step):
            return False
        self.method.setCurrentText(step.title)
        return True

    def state(self) -> dict[str, Any]:
        if not self.forms:
            return self._state
        return {
            'method': self.method.currentText(),
            'previews': self.previews.isChecked(),
            'forms': {form.step_class.__name__: form.state() for form in self.forms.values()},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self._state = state
        if self.forms:
            self._apply_state()

    def _apply_state(self) -> None:
        """Once the forms are built."""
        if not self._state:
            return
        forms = self._state.get('forms', {})
        for form in self.forms.values():
            form.set_state(forms.get(form.step_class.__name__) or form.state())
        self.previews.setChecked(bool(self._state.get('previews', True)))
        self.method.setCurrentText(str(self._state.get('method', '')))

    def _start_value(self, kind: type[Step]) -> Step:
        step = self.context.last_used.step(kind)
        untouched = self.context.last_used.value(kind.__name__) is None
        return step.model_copy(update={'device': default_device()}) if untouched else step

    def _show_haadf(self) -> None:
        """The tick and what it weighs, where there is a HAADF series."""
        maps = self.session.input_maps
        series = None if maps is None else maps.haadf_series
        forms = [form for form in self.forms.values() if 'haadf' in form.fields]
        for form in forms:
            form.show_row('haadf', series is not None)
        fits = any(form.isVisibleTo(self) for form in forms)
        self.haadf.setVisible(series is not None and fits)
        if series is None or maps is None:
            return
        placed = maps.notes.get('align', {}).get('haadf', {}).get('placed') or own_images(maps) is not None
        frame = 'in the frame of the maps' if placed else 'not yet in the frame of the maps: Align places them on it'
        self.haadf.setText(f'HAADF series: {described(series, maps)}; {frame}.')

    def _method_changed(self, title: str) -> None:
        for name, form in self.forms.items():
            form.setVisible(name == title)
        self._show_haadf()
        self._ask_estimate()

    def _know_devices(self, missing: dict[str, str]) -> None:
        """Devices that this machine lacks can be seen in the forms and not be chosen; a step that names one keeps it."""
        self._missing = missing
        for form in self.forms.values():
            disable_entries(form.fields['device'].native, missing)
        self._say_missing_device()

    def _say_missing_device(self) -> None:
        form = self.forms.get(self.method.currentText())
        sentence = '' if form is None else self._missing.get(str(form.fields['device'].value), '')
        self.no_device.setText(sentence)
        self.no_device.setVisible(bool(sentence))

    def _ask_estimate(self) -> None:
        self._say_missing_device()
        maps = self.session.input_maps
        if maps is None or not self.forms:
            return
        if self.no_device.text():
            self._estimated.forget()
            self.estimate.setText('')
            return
        from napari_diptomo.reconstruct.tv.settings import MIDDLE

        for form in self.forms.values():
            thickness = form.fields['thickness']
            assert isinstance(thickness, AutoEdit)
            thickness.propose(maps.data.shape[-1] * maps.pixel_size)
            if 'weight' in form.fields:
                weight = form.fields['weight']
                assert isinstance(weight, AutoEdit)
                weight.propose(MIDDLE)
        try:
            step, paces = self.forms[self.method.currentText()].value(), self._paces()
        except DiptomoError as error:
            self.estimate.setText(str(error))
            return
        self._estimated.ask(estimating_memory(step, maps, paces))
        if self.isVisible() and not self.session.busy and not {kind_of(step, maps), trial_of(step)} & set(paces):
            self._trial.ask(step)

    def _stop_trial(self) -> None:
        """Leave the machine to what runs now."""
        self._trial.forget()

    def _know_trial(self, kind: str, pace: float) -> None:
        self.context.last_used.remember_value(_PACES, self._paces() | {kind: pace})
        self._ask_estimate()

    def _add_convergence(self) -> None:
        self.convergence_heading = heading('Convergence')
        self._convergence = PlotPlace(_convergence_plot)
        self.by_element = EachElement()
        self.by_element.toggled.connect(self._show_channels)
        self.note = words('')
        for widget in (self.convergence_heading, self._convergence, self.by_element, self.note):
            self._outcome.body.addWidget(widget)

    def _add_runs(self) -> None:
        self.runs_heading = heading('Runs')
        self.runs_list = RunsList(self.session.runs)
        self.runs_list.chosen.connect(self._choose)
        self.result_row = QWidget()
        row = QHBoxLayout(self.result_row)
        row.setContentsMargins(0, 0, 0, 0)
        self.buttons: dict[str, QPushButton] = {}
        for name, text, tip, slot in (
            (
                'volume',
                '&Save volume…',
                'Write the volume as .hspy (with its recipe), OME-Zarr, .mrc, .tif or .vti.',
                self._save_volume,
            ),
            ('recipe', 'Save r&ecipe…', 'Write all steps as JSON; "diptomo run" repeats them.', self._save_recipe),
            ('resume', 'Resu&me', 'Take the run up again where its last checkpoint was written.', self._resume),
            ('discard', '&Discard run', 'Remove this run and its layers; other runs stay.', self._discard),
        ):
            button = self.buttons[name] = QPushButton(text)
            button.setToolTip(f'<qt>{tip}</qt>')
            button.clicked.connect(slot)
            row.addWidget(button)
        self.haadf_button = QPushButton('')
        self.haadf_button.setToolTip(
            '<qt>The chosen run once more, without the HAADF series or with it: another run, to compare both.</qt>'
        )
        self.haadf_button.clicked.connect(self._run_other)
        for widget in (self.runs_heading, self.runs_list, self.result_row, self.haadf_button):
            self._outcome.body.addWidget(widget)

    def _choose(self, run: Run) -> None:
        self.session.runs.choose(run)

    def _discard(self) -> None:
        self.session.runs.discard(self.session.runs.chosen)

    def _run_other(self) -> None:
        """The chosen run again, with the HAADF series where it was without and the other way round."""
        run = self.session.runs.chosen
        step = None if run is None else haadf_counterpart(run)
        if run is None or run.maps is None or run.recipe is None or step is None:
            return
        seconds = self._seconds_between_previews()
        recipe = Recipe(run.recipe.source, (step,))
        title = f'{step.title} {"with" if step.haadf else "without"} HAADF'
        self.start.emit(ReconstructionJob(recipe, run.maps, seconds, self.session.new_checkpoint()), title)

    def _resume(self) -> None:
        if self.session.runs.chosen is not None:
            self.resume.emit(self.session.runs.chosen)

    def _session_changed(self) -> None:
        maps = self.session.input_maps
        self.unaligned.setVisible(maps is not None and not np.any(maps.shifts))
        self._show_haadf()
        self._show_runs()
        if self.isVisible():
            self._ask_estimate()

    def _show_runs(self) -> None:
        runs, run = self.session.runs, self.session.runs.chosen
        for widget in (self.runs_heading, self.runs_list):
            widget.setVisible(len(runs) > 0)
        self.runs_list.refresh()
        ended = run is not None and run.status is not RunStatus.RUNNING
        self.result_row.setVisible(ended)
        other = haadf_counterpart(run) if run is not None and ended else None
        self.haadf_button.setVisible(run is not None and other is not None and not compared_haadf(run, runs))
        self.haadf_button.setText(f'Run {"with" if other is not None and other.haadf else "without"} HAADF to compare')
        if run is not None and ended:
            self.buttons['volume'].setVisible(run.volume is not None)
            self.buttons['recipe'].setVisible(run.whole_recipe is not None)
            self.buttons['resume'].setVisible(run.resumable)
        now = (run, run.status if run is not None else None)
        if now != self._shown:
            self._show_convergence_of(run, anew=self._shown is None or run is not self._shown[0] or ended)
            self._shown = now

    def _show_convergence_of(self, run: Run | None, anew: bool) -> None:
        """The convergence of a run and a word on how it ended; nothing of one that left nothing."""
        points = convergence_of(run) if run is not None else ()
        shown = bool(points) or (run is not None and run.status is RunStatus.RUNNING)
        if shown or self._convergence.made is not None:
            if anew:
                self.convergence.clear_curves()
                for point in points:
                    self.convergence.add(*point)
            volume = None if run is None else run.volume
            self.convergence.mark_returned(None if volume is None else volume.notes.get('returned_iteration'))
            self.convergence.redraw()
        self.convergence_heading.setVisible(shown)
        self._convergence.setVisible(shown)
        self.by_element.setVisible(shown and self.convergence.has_channels)
        self.convergence_heading.setText(f'<b>Convergence of run {run.number}</b>' if run is not None else '')
        has_preview = run is not None and bool(self.session.runs.view_of(run).layers)
        compared = '' if run is None else compared_haadf(run, self.session.runs)
        self.note.setText(f'{describe_run(run, has_preview)} {compared}'.strip() if run is not None else '')

    def _show_channels(self, shown: bool) -> None:
        self.convergence.show_channels(shown)

    def redraw_convergence(self) -> None:
        """Bring the curves up to date; now and then while a run is under way."""
        if self._convergence.made is not None:
            self.convergence.redraw()

    def _save_volume(self) -> None:
        path, chosen = QFileDialog.getSaveFileName(
            self,
            'Save volume',
            self._suggestion('.hspy'),
            VOLUME_FORMATS,
        )
        volume = self.session.volume
        if path and volume is not None:
            self.start.emit(ThreadJob(saving(volume, named(path, chosen))), 'Save')

    def _save_recipe(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, 'Save recipe', self._suggestion('.json'), 'Recipe (*.json)')
        run = self.session.runs.chosen
        recipe = run.whole_recipe if run is not None else self.session.recipe
        if not path or recipe is None:
            return
        try:
            recipe.save(path)
        except OSError as error:
            say_error(f'The recipe cannot be written to {path}: {error.strerror}; choose another place.')
            return
        say(f'Recipe written; repeat it with: diptomo run {Path(path).name}')

    def _suggestion(self, suffix: str) -> str:
        folder = Path(str(self.context.last_used.value('folder', '')))
        return str(folder / f'volume{suffix}')


def _convergence_plot() -> ConvergencePlot:
    from napari_diptomo.widgets.plots.convergence_plot import ConvergencePlot

    plot = ConvergencePlot()
    plot.setToolTip(
        '<qt>Above: misfit of the fitted and of the held-out counts, per datum; where the held-out one rises, noise '
        'is being fitted. Below: the other terms of what is minimised. The dashed line marks the returned '
        'iterate.</qt>'
    )
    return plot


def shifts_are_sought(run: Run) -> bool:
    """Whether a run refines the shifts of its maps and has not found them yet."""
    from napari_diptomo.reconstruct.refined_geometry import NOTE

    step = run.recipe.steps[-1] if run.recipe is not None and run.recipe.steps else None
    return bool(getattr(step, 'refine_shifts', False)) and NOTE not in run.noted
