"""The dock "Tomography": Open, Maps, Align, Reconstruct, Composition, Judge, and the bar that runs them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QFileDialog, QMainWindow, QMessageBox, QSizePolicy, QVBoxLayout, QWidget

from napari_diptomo.jobs.project import ProjectFolder, is_project
from napari_diptomo.series import DiptomoError, MapSeries, Recipe, Remedy, Step, Volume
from napari_diptomo.series.reading.ome_zarr import is_ome_zarr
from napari_diptomo.widgets.autosave import Autosave, Leftover, checkpoint_of, leftovers
from napari_diptomo.widgets.closing_question import ask_what_to_do
from napari_diptomo.widgets.controls.findings_panel import FindingsPanel, Shown, in_words
from napari_diptomo.widgets.controls.run_bar import RunBar
from napari_diptomo.widgets.controls.view_bar import ViewBar
from napari_diptomo.widgets.file_drops import Dropped, paths_of
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.composition_layers import shown_volumes
from napari_diptomo.widgets.notifications import say, say_error
from napari_diptomo.widgets.pages.align_page import IMPORT, JOIN, AlignPage
from napari_diptomo.widgets.pages.composition_page import CompositionPage
from napari_diptomo.widgets.pages.judge_page import JudgePage
from napari_diptomo.widgets.pages.maps_page import MapsPage
from napari_diptomo.widgets.pages.open_page import OpenPage
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.pages.page_stack import Stages
from napari_diptomo.widgets.pages.reconstruct_page import ReconstructPage
from napari_diptomo.widgets.preferences import LastUsed, preview_seconds
from napari_diptomo.widgets.projects import OpenedProject, opening_project, restore_view, take_up
from napari_diptomo.widgets.run import Run
from napari_diptomo.widgets.session import session_of
from napari_diptomo.widgets.tasks.composition import CALIBRATION
from napari_diptomo.widgets.tasks.job import Job, ThreadJob
from napari_diptomo.widgets.tasks.judging import MAPS, PHASES
from napari_diptomo.widgets.tasks.opening import SAMPLE, VOLUMES, look_over, opening_volumes
from napari_diptomo.widgets.tasks.reconstruction_job import ReconstructionJob
from napari_diptomo.widgets.tasks.stage_imports import import_stages
from napari_diptomo.widgets.tasks.task import Outcome, Task

#: Milliseconds from showing the dock, when the window stands, to importing what the next pages need, and to looking again.
_IMPORTS_MS = 1000
_BUSY = 'A stage is running; cancel it or wait, then drop the files again.'


class TomographyDock(QWidget):
    """Leads from files to a volume.

    The session, which belongs to the viewer, has the data, the runs and the job
    that runs; the pages make jobs and show results; the dock only connects
    them. When napari takes the dock away `cleanup` lets go of the session and
    leaves with it what the pages are set to. Where something runs the user is
    asked what to do with it; the next dock shows all of it again.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Where the layers go.
    last_used : LastUsed, optional
        Where parameters are remembered.
    """

    def __init__(
        self, napari_viewer: ViewerModel, last_used: LastUsed | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer = napari_viewer
        self.session = session_of(napari_viewer)
        self.session.dock_open = True
        self.session.read_settings = self._settings
        if self.session.autosave is None:
            self.session.autosave = Autosave(self.session)
        self.context = Context(napari_viewer, self.session, last_used or LastUsed(), self.session.maps_view)
        self.open_page = OpenPage(self.context)
        self.maps_page = MapsPage(self.context)
        self.align_page = AlignPage(self.context)
        self.reconstruct_page = ReconstructPage(self.context)
        self.composition_page = CompositionPage(self.context)
        self.judge_page = JudgePage(self.context)
        self.pages: tuple[Page, ...] = (
            self.open_page,
            self.maps_page,
            self.align_page,
            self.reconstruct_page,
            self.composition_page,
            self.judge_page,
        )
        self.stages = Stages(self.pages)
        self.findings = FindingsPanel()
        self.view_bar = ViewBar(napari_viewer)
        self.run_bar = RunBar()
        self.runs = self.session.runs
        self._cleaned = False
        self._settled = False
        self._restoring: Leftover | None = None
        self._plot_timer = QTimer(self)
        self._plot_timer.setInterval(500)
        self._lay_out()
        self._connect()
        self._dropped = Dropped(napari_viewer, self)
        self._dropped.files.connect(self._take_files)
        self._dropped.maps.connect(self._take_maps)
        self._dropped.volumes.connect(self._adopt_volumes)
        self._dropped.look()
        self.setAcceptDrops(True)
        self.setMinimumWidth(360)
        # napari adds an ever stronger stretch below docks that do not expand.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._connections = self._connect_session()
        self._take_up()
        self._refresh()

    def open_paths(self, paths: list[str]) -> None:
        """List files on the first page and open them; volumes of OME-Zarr become runs."""
        if paths and all(is_ome_zarr(Path(path)) for path in paths):
            if not self.session.busy:
                self._start(ThreadJob(opening_volumes(paths)), VOLUMES, None)
            return
        self.stages.go_to(self.open_page)
        self.open_page.add_paths(paths)
        if not self.open_page.obstacle():
            self.run_page()

    def run_page(self) -> None:
        """Press the button of the page in front."""
        page = self.stages.current
        if self.session.busy or page.obstacle():
            return
        try:
            job, title = page.job()
        except DiptomoError as error:
            say_error(str(error))
            return
        self._start(job, title, page)

    def sizeHint(self) -> QSize:
        """Wide enough for a form, narrow enough to leave half of a small screen to the volume."""
        return QSize(430, 640)

    def cleanup(self) -> None:
        """Leave the session to the viewer, undo all connections; harmless when done twice."""
        if self._cleaned:
            return
        self._cleaned = True
        self.session.settings = self._settings()
        self._plot_timer.stop()
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self._connections = []
        self._dropped.cleanup()
        self.view_bar.cleanup()
        for page in self.pages:
            page.cleanup()
        self.session.dock_open = False
        self.session.read_settings = None
        if self.session.window is None:
            # Without a window nobody could open it again.
            self.session.end()
        elif self.session.busy:
            ask_what_to_do(self.session)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.stages, 1)
        column.addWidget(self.findings)
        column.addWidget(self.view_bar)
        column.addWidget(self.run_bar)

    def _connect(self) -> None:
        # Bound methods only: Qt disconnects them when the dock goes, closures
        # would be called on deleted widgets.
        self.stages.moved.connect(self._refresh)
        for page in self.pages:
            page.changed.connect(self._refresh)
        self.open_page.start.connect(self._start_extra)
        self.align_page.start.connect(self._start_extra)
        self.reconstruct_page.start.connect(self._start_extra)
        self.reconstruct_page.resume.connect(self._resume_run)
        self.composition_page.start.connect(self._start_extra)
        self.judge_page.start.connect(self._start_extra)
        self.findings.remedy.connect(self._apply)
        bar, session = self.run_bar, self.session
        bar.run.connect(self.run_page)
        bar.next.connect(self.stages.go_forward)
        bar.pause.connect(session.pause)
        bar.resume.connect(session.resume)
        bar.finish.connect(self._finish)
        bar.cancel.connect(self._cancel)
        bar.ask.connect(self._ask)
        bar.open_project.connect(self._choose_project)
        bar.save_project.connect(self._save_project)
        bar.save_project_as.connect(self._save_project_as)
        self.open_page.restore.connect(self._restore)
        self.open_page.volumes.connect(self._take_volumes)
        self._plot_timer.timeout.connect(self.reconstruct_page.redraw_convergence)

    def _connect_session(self) -> list[tuple[Any, Any]]:
        """Connections to what outlives the dock, to be undone when it goes."""
        connections = [
            (self.session.changed, self._refresh),
            (self.session.ended, self._ended),
            (self.session.autosave.saved, self._project_saved),
            (self.session.autosave.failed, say_error),
            (self.session.message, self.run_bar.show_message),
            (self.session.message, self._follow),
            (self.session.frame, self._show_frame),
            (self.viewer.events.theme, self._follow_theme),
        ]
        for signal, slot in connections:
            signal.connect(slot)
        return connections

    def open_project(self, path: str | Path) -> None:
        """Take up a project in place of what there is."""
        if self.session.busy:
            say_error(_BUSY)
            return
        self._start(ThreadJob(opening_project(path)), 'Project', None)

    def _choose_project(self) -> None:
        folder = str(self.context.last_used.value('project folder', ''))
        path = QFileDialog.getExistingDirectory(self, 'Open a project folder', folder)
        if path and self._may_replace():
            self.open_project(path)

    def _save_project(self) -> None:
        project = self.session.autosave.project
        if project is None:
            self._save_project_as()
        else:
            self._save_project_to(project)

    def _save_project_as(self) -> None:
        folder = Path(str(self.context.last_used.value('project folder', '')))
        path, _ = QFileDialog.getSaveFileName(self, 'Save the project as a folder', str(folder / 'project'))
        if path:
            self._save_project_to(Path(path))

    def _save_project_to(self, path: Path) -> None:
        try:
            self.session.autosave.save_to(path)
        except DiptomoError as error:
            say_error(str(error))
            return
        self.context.last_used.remember_value('project folder', str(path.parent))

    def _project_saved(self, path: str) -> None:
        say(f'Project saved in the folder {Path(path).name}, and kept up to date there from now on.')

    def _may_replace(self) -> bool:
        """Runs that are in no project are asked about before another takes their place."""
        unsaved = sum(run.volume is not None for run in self.runs) if self.session.autosave.project is None else 0
        if not unsaved:
            return True
        text = f'{unsaved} finished run{"s are" if unsaved > 1 else " is"} in no project and will be gone.'
        return (
            QMessageBox.question(
                self,
                'Open a project',
                f'{text} Open another project all the same?',
                QMessageBox.StandardButton.Open | QMessageBox.StandardButton.Cancel,
                QMessageBox.StandardButton.Cancel,
            )
            == QMessageBox.StandardButton.Open
        )

    def _restore(self, leftover: Leftover) -> None:
        self._restoring = leftover
        self.open_project(leftover.project)

    def _take_project(self, opened: OpenedProject) -> None:
        leftover, self._restoring = self._restoring, None
        own = leftover.folder if leftover is not None and leftover.project == opened.folder else None
        folder = ProjectFolder(opened.folder)
        take_up(self.session, opened, folder)
        cut_off = checkpoint_of(own) if own is not None else None
        for run in self.runs:
            if cut_off is not None and run.number == cut_off[0] and run.checkpoint is None and cut_off[1].exists():
                run.checkpoint = cut_off[1]
        self.open_page.offer(None)
        self._set_pages()
        self.composition_page.show_again()
        restore_view(self.session, opened.project)
        self.session.autosave.opened(folder, own)
        for problem in opened.problems:
            say_error(problem)
        if not opened.problems:
            say(f'Project of {opened.project.saved.replace("T", " ")[:16]} opened.')

    def _set_pages(self) -> None:
        """Controls as the session remembers them, and the page that was in front."""
        for page in self.pages:
            page.set_state(self.session.settings.get(page.title, {}))
        front = self._page_named(self.session.settings.get('page', ''))
        if front is not None and not front.closed():
            self.stages.go_to(front)

    def _adopt_volumes(self) -> None:
        """Volumes that napari's reader has brought are runs as well; the last is chosen where no other is."""
        for shown in shown_volumes(self.viewer):
            if self.runs.owns(shown.layers[0]):
                continue
            with contextlib.suppress(DiptomoError):
                title = image_layers.method_of(shown.volume.recipe) or 'volume'
                run = self.runs.adopt(shown.volume, title, shown.layers, shown.spread)
                if self.runs.chosen is None:
                    self.runs.mark(run)

    def _take_up(self) -> None:
        """Show what the session has: settings of the pages, what came while no dock was open, what runs."""
        self._adopt_volumes()
        self._set_pages()
        waiting, self.session.waiting = self.session.waiting, []
        for task, outcome in waiting:
            self._ended(task, outcome)
        if self.session.task is not None:
            self._show_running(self.session.task)

    def _settings(self) -> dict[str, Any]:
        return {page.title: page.state() for page in self.pages} | {'page': self.stages.current.title}

    def _show_running(self, task: Task) -> None:
        reconstructing = task.run is not None
        self.run_bar.set_running(True, stoppable=reconstructing)
        self.run_bar.show_title(task.title)
        if task.progress is not None:
            self.run_bar.show_message(task.progress)
        self.run_bar.show_paused(task.paused)
        self.stages.set_running(True)
        if reconstructing:
            self._plot_timer.start()
            self.stages.bring_into_view(self.reconstruct_page.outcome_widget)
        self._show_findings()

    def _start(self, job: Job, title: str, page: Page | None, run: Run | None = None) -> None:
        self._settle_in()
        if isinstance(job, ReconstructionJob) and run is None:
            run = self.runs.begin(job.maps, title, job.recipe, job.checkpoint)
        self.session.start(job, title, page.title if page is not None else '', run)
        if self.session.task is not None:
            self._show_running(self.session.task)

    def _start_extra(self, job: Job, title: str) -> None:
        if not self.session.busy:
            pages: dict[str, Page] = {
                SAMPLE: self.open_page,
                IMPORT: self.align_page,
                JOIN: self.align_page,
                CALIBRATION: self.composition_page,
                PHASES: self.judge_page,
                MAPS: self.judge_page,
            }
            own = self.reconstruct_page if isinstance(job, ReconstructionJob) else None
            self._start(job, title, own or pages.get(title))

    def _resume_run(self, run: Run) -> None:
        """Take up a run that ended before its time."""
        if self.session.busy or not run.resumable:
            return
        job = self.reconstruct_page.job_of(run)
        self.runs.begin_again(run)
        self._start(job, run.title, self.reconstruct_page, run)

    def _follow(self, message: Any) -> None:
        if self.session.task is not None and self.session.task.run is not None:
            self.reconstruct_page.follow(self.session.task.run, message)

    def _show_frame(self, frame: Any, iteration: int) -> None:
        self.reconstruct_page.show_preview(frame, iteration)

    def _ended(self, task: Task, outcome: Outcome) -> None:
        page = self._page_named(task.page)
        self._plot_timer.stop()
        self.run_bar.set_running(False)
        self.stages.set_running(False)
        self._refresh()
        if outcome.error is not None:
            if page is not None:
                page.failed(outcome)
            self.run_bar.show_note(outcome.error)
            say_error(outcome.error)
        elif outcome.cancelled:
            self.run_bar.show_note(f'{outcome.title}: cancelled.{self._chosen_again(task.run)}')
        elif isinstance(outcome.result, OpenedProject):
            self._take_project(outcome.result)
        elif outcome.title == VOLUMES:
            self._take_volumes(outcome.result)
        elif page is not None:
            page.done(outcome.result)
            self._refresh()
            if outcome.title == SAMPLE:
                # It has no angles and sizes to be checked, as files have.
                self.stages.go_forward()
            self.stages.bring_into_view(self.stages.current.outcome_widget)
            self.run_bar.show_note(f'{outcome.title}: done{self._reservation(page)}.')
        else:
            say(f'{outcome.title}: done.')

    def _chosen_again(self, cancelled: Run | None) -> str:
        """A sentence on the run that later pages take after one that was cancelled; empty where there is none."""
        chosen = self.runs.chosen
        if cancelled is None or chosen is None or chosen is cancelled:
            return ''
        return f' {chosen.name} is the chosen run again.'

    def _page_named(self, title: str) -> Page | None:
        return next((page for page in self.pages if page.title == title), None)

    def _finish(self) -> None:
        if self.session.busy:
            self.run_bar.show_stopping('Stopping, the best volume so far is kept…')
            self.session.finish()

    def _cancel(self) -> None:
        if self.session.busy:
            self.run_bar.show_stopping('Cancelling…')
            self.session.cancel()

    def _ask(self) -> None:
        """Esc is pressed by accident too: it asks, and the job runs on until there is an answer."""
        if self.session.busy and not self.findChildren(QMessageBox):
            ask_what_to_do(self.session, self)

    def _take_files(self, paths: list[str]) -> None:
        """Whatever is dropped: a project, a recipe, saved volumes, the files of a tilt series."""
        if self.session.busy:
            say_error(_BUSY)
            return
        projects = [path for path in paths if is_project(path)]
        recipes = [path for path in paths if path not in projects and path.lower().endswith('.json')]
        if projects:
            if self._may_replace():
                self.open_project(projects[0])
        elif recipes:
            self.open_recipe(recipes[0])
        elif paths:
            self.open_paths(paths)

    def open_recipe(self, path: str | Path) -> None:
        """Set the pages to the steps of a recipe and list the files it starts from; nothing is run."""
        try:
            recipe = Recipe.load(path)
        except DiptomoError as error:
            say_error(str(error))
            return
        self._take_recipe(recipe, Path(path).name)

    def _take_recipe(self, recipe: Recipe, name: str) -> None:
        listed = self.open_page.take_source(recipe.source)
        left_out = []
        for step in recipe.steps:
            kind = step.to_dict()['step']
            if not (isinstance(step, Step) and any(page.take_step(step) for page in self.pages)):
                left_out.append(kind)
        if listed or self.session.angles is None:
            self.stages.go_to(self.open_page)
        parts = [f'{name}: its steps are set on the pages.']
        if left_out:
            parts.append(f'No page has {", ".join(left_out)}: "diptomo run {name}" does all of it.')
        if listed:
            parts.append('Press Open to read its files.')
        elif recipe.source.paths:
            parts.append(f'Its files are not there: {recipe.source.paths[0]}.')
        self.run_bar.show_note(' '.join(parts))

    def _take_volumes(self, opened: tuple[tuple[str, Volume], ...]) -> None:
        """Saved volumes come back as runs that are done."""
        for path, volume in opened:
            if 'composition' in volume.notes or 'oxidation_state' in volume.notes:
                self.session.composition = volume
                self.composition_page.show_again()
            else:
                self.runs.add(volume, Path(path).stem, shown=True)
        if self.runs.chosen is not None:
            self.stages.go_to(self.reconstruct_page)

    def _take_maps(self, maps: MapSeries) -> None:
        if self.session.busy:
            say_error(_BUSY)
            return
        self.open_page.clear()
        self.open_page.done(look_over(maps))
        self.stages.go_to(self.open_page)

    def _follow_theme(self, event: Any = None) -> None:
        """`viewer.theme` was set; what follows the setting alone would stay as it was."""
        for widget in self.findChildren(QWidget):
            if hasattr(widget, 'follow_theme'):
                widget.follow_theme()

    def _refresh(self) -> None:
        self.stages.refresh()
        page = self.stages.current
        self.run_bar.set_action(page.action, page.obstacle(), self.stages.can_go_forward)
        self._show_findings()

    def _show_findings(self) -> None:
        """Those of the page in front; while it computes anew those of its last result are out of date."""
        page = self.stages.current
        task = self.session.task
        found = () if task is not None and page.title == task.page else page.findings()
        titles = {step: other.title for other in self.pages if other is not page for step in other.steps}
        # The page's own first among equals: those of its input were seen before.
        own_first = sorted(found, key=lambda finding: finding.step in titles)
        self.findings.show_findings(
            [
                Shown(finding, titles.get(finding.step, ''), self._page_for(finding.remedy) is not None)
                for finding in own_first
            ],
            enabled=not self.session.busy,
        )

    def _reservation(self, page: Page) -> str:
        """Reminds of a finding that forbids the use of a result."""
        if not any(finding.level == 'stop' for finding in page.findings()):
            return ''
        where = 'above' if page is self.stages.current else f'the page {page.title}'
        return f', but the result must not be used: see {where}'

    def _page_for(self, remedy: Remedy | None) -> Page | None:
        return None if remedy is None else next((page for page in self.pages if page.takes(remedy)), None)

    def _apply(self, remedy: Remedy) -> None:
        """Change the parameters of the page that a remedy is for, and show where."""
        page = self._page_for(remedy)
        if page is None or self.session.busy:
            return
        self.stages.go_to(page)
        try:
            changed = page.apply(remedy)
        except DiptomoError as error:
            say_error(str(error))
            return
        if changed is not None:
            changed.setFocus(Qt.FocusReason.OtherFocusReason)
        self.stages.bring_into_view(changed)
        action = page.action.replace('&', '')
        again = '' if page.applies_at_once else f' Press {action} to compute again.'
        self.run_bar.show_note(f'{in_words(remedy)}{again}')

    def resizeEvent(self, event: Any) -> None:
        self.findings.set_limit(self.height() // 4)
        super().resizeEvent(event)

    def dragEnterEvent(self, event: Any) -> None:
        if paths_of(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        event.acceptProposedAction()
        self._take_files(paths_of(event.mimeData()))

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._settle_in()
        QTimer.singleShot(_IMPORTS_MS, self._prepare)

    def _prepare(self) -> None:
        """Import beside the window what the pages need; then read the settings, which no other thread may."""
        if self._cleaned:
            return
        if import_stages().is_alive():
            QTimer.singleShot(_IMPORTS_MS, self._prepare)
        else:
            preview_seconds()

    def event(self, event: Any) -> bool:
        if event.type() == QEvent.Type.ParentChange:
            # The "x" of the dock gives neither close nor destroy, only an orphan.
            if self.parent() is None:
                self.cleanup()
                self.deleteLater()
            else:
                # Its frame gets its own place in the window after this.
                QTimer.singleShot(0, self._settle_in)
        return super().event(event)

    def _offer_leftover(self) -> None:
        if self.session.angles is None and not len(self.runs):
            self.open_page.offer(next(iter(leftovers(self.session.autosave.root)), None))

    def _settle_in(self) -> None:
        """Note the window that the session lives in, and take the height that a dock is given only once."""
        window = self.window()
        frame = self.parent()
        if self._cleaned or not isinstance(window, QMainWindow) or not isinstance(frame, QDockWidget):
            return
        self.session.live_in(window)
        self.session.autosave.start()
        if not self._settled:
            self._settled = True
            self._offer_leftover()
            window.resizeDocks([frame], [window.height()], Qt.Orientation.Vertical)
