"""The dock "Tomography": Open, Maps, Align, Reconstruct, Composition, and the bar that runs them."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_diptomo.series import DiptomoError, MapSeries, Remedy
from napari_diptomo.widgets import work
from napari_diptomo.widgets.drops import Dropped, paths_of
from napari_diptomo.widgets.findings_panel import FindingsPanel, Shown, in_words
from napari_diptomo.widgets.maps_view import MapsView
from napari_diptomo.widgets.notify import say, say_error
from napari_diptomo.widgets.page import Context, Page
from napari_diptomo.widgets.page_align import AlignPage
from napari_diptomo.widgets.page_composition import CompositionPage
from napari_diptomo.widgets.page_maps import MapsPage
from napari_diptomo.widgets.page_open import OpenPage
from napari_diptomo.widgets.page_reconstruct import ReconstructPage
from napari_diptomo.widgets.run_bar import RunBar
from napari_diptomo.widgets.runner import Outcome, Runner
from napari_diptomo.widgets.session import Session
from napari_diptomo.widgets.settings import LastUsed, preview_seconds
from napari_diptomo.widgets.stages import Stages
from napari_diptomo.widgets.thread_job import Job
from napari_diptomo.widgets.volume_runs import VolumeRuns

_BUSY = 'A stage is running; cancel it or wait, then drop the files again.'


class TomographyDock(QWidget):
    """Leads from files to a volume.

    The pages know the session and make jobs, the runner runs one at a time, the
    views show what comes of it; the dock only connects them. Everything that
    outlives the dock is let go in `cleanup`, which runs when napari takes the
    dock away or the viewer closes.

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
        self.session = Session(self)
        self.context = Context(napari_viewer, self.session, last_used or LastUsed(), MapsView(napari_viewer))
        self.open_page = OpenPage(self.context)
        self.maps_page = MapsPage(self.context)
        self.align_page = AlignPage(self.context)
        self.reconstruct_page = ReconstructPage(self.context)
        self.composition_page = CompositionPage(self.context)
        self.pages: tuple[Page, ...] = (
            self.open_page,
            self.maps_page,
            self.align_page,
            self.reconstruct_page,
            self.composition_page,
        )
        self.stages = Stages(self.pages)
        self.findings = FindingsPanel()
        self.run_bar = RunBar()
        self.runner = Runner(self, preview_seconds() or 1.0)
        self.runs = VolumeRuns(napari_viewer)
        self._running_page: Page | None = None
        self._cleaned = False
        self._plot_timer = QTimer(self)
        self._plot_timer.setInterval(500)
        self._lay_out()
        self._connect()
        self._dropped = Dropped(napari_viewer, self)
        self._dropped.files.connect(self._take_files)
        self._dropped.maps.connect(self._take_maps)
        self._dropped.look()
        self.setAcceptDrops(True)
        self.setMinimumWidth(360)
        self._refresh()

    def open_paths(self, paths: list[str]) -> None:
        """List files on the first page and open them."""
        self.stages.go_to(self.open_page)
        self.open_page.add_paths(paths)
        if not self.open_page.obstacle():
            self.run_page()

    def run_page(self) -> None:
        """Press the button of the page in front."""
        page = self.stages.current
        if self.runner.busy or page.obstacle():
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
        """Kill what runs, undo connections to the viewer; harmless when done twice."""
        if self._cleaned:
            return
        self._cleaned = True
        self._plot_timer.stop()
        self.runner.cleanup()
        self._dropped.cleanup()
        self.context.maps_view.cleanup()
        self.runs.release()
        for page in self.pages:
            page.cleanup()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.stages, 1)
        column.addWidget(self.findings)
        column.addWidget(self.run_bar)

    def _connect(self) -> None:
        # Bound methods only: Qt disconnects them when the dock goes, closures
        # would be called on deleted widgets.
        self.session.changed.connect(self._refresh)
        self.stages.moved.connect(self._refresh)
        for page in self.pages:
            page.changed.connect(self._refresh)
        self.open_page.start.connect(self._start_extra)
        self.reconstruct_page.start.connect(self._start_extra)
        self.composition_page.start.connect(self._start_extra)
        self.reconstruct_page.discard.connect(self._discard)
        self.findings.remedy.connect(self._apply)
        bar, runner = self.run_bar, self.runner
        bar.run.connect(self.run_page)
        bar.next.connect(self.stages.go_on)
        bar.pause.connect(self._pause)
        bar.resume.connect(self._resume)
        bar.finish.connect(self._finish)
        bar.cancel.connect(self._cancel)
        runner.message.connect(bar.show_message)
        runner.message.connect(self._follow)
        runner.frame.connect(self._show_frame)
        runner.ended.connect(self._ended)
        self._plot_timer.timeout.connect(self.reconstruct_page.course.redraw)

    def _start(self, job: Job, title: str, page: Page | None) -> None:
        self._running_page = page
        reconstructing = page is self.reconstruct_page
        if reconstructing:
            self.runs.begin(job.maps, title)
            self.runner.preview_seconds = preview_seconds() or 1.0
            self._plot_timer.start()
            self.stages.bring_into_view(self.reconstruct_page.course)
        self.run_bar.set_running(True, stoppable=reconstructing)
        self.run_bar.show_title(title)
        self.stages.set_running(True)
        self.runner.start(job, title)
        self._show_findings()

    def _start_extra(self, job: Job, title: str) -> None:
        if not self.runner.busy:
            self._start(job, title, self.open_page if title == 'Sample' else None)

    def _follow(self, message: Any) -> None:
        if self._running_page is self.reconstruct_page:
            self.reconstruct_page.follow(message)

    def _show_frame(self, frame: Any, iteration: int) -> None:
        self.runs.show(frame)
        self.reconstruct_page.told.setText(f'The viewer shows iteration {iteration}.')

    def _ended(self, outcome: Outcome) -> None:
        page, self._running_page = self._running_page, None
        self._plot_timer.stop()
        self.run_bar.set_running(False)
        self.stages.set_running(False)
        self._refresh()
        if page is self.reconstruct_page:
            self.runs.end(outcome)
        if outcome.error is not None:
            self.run_bar.tell(outcome.error)
            say_error(outcome.error)
        elif outcome.cancelled:
            self.run_bar.tell(f'{outcome.title}: cancelled.')
        elif page is not None:
            page.done(outcome.result)
            self._refresh()
            self.stages.bring_into_view(page.outcome_widget)
            self.run_bar.tell(f'{outcome.title}: done{self._reservation(page)}.')
        else:
            say(f'{outcome.title}: done.')

    def _pause(self) -> None:
        if self.runner.job is not None:
            self.runner.job.pause()

    def _resume(self) -> None:
        if self.runner.job is not None:
            self.runner.job.resume()

    def _finish(self) -> None:
        if self.runner.job is not None:
            self.run_bar.show_stopping('Stopping, the best volume so far is kept…')
            self.runner.job.finish()

    def _cancel(self) -> None:
        if self.runner.busy:
            self.run_bar.show_stopping('Cancelling…')
            self.runner.cancel()

    def _discard(self) -> None:
        self.runs.discard()
        self.session.drop_volume()

    def _take_files(self, paths: list[str]) -> None:
        if self.runner.busy:
            say_error(_BUSY)
            return
        self.open_paths(paths)

    def _take_maps(self, maps: MapSeries) -> None:
        if self.runner.busy:
            say_error(_BUSY)
            return
        self.open_page.clear()
        self.open_page.done(work.look_over(maps))
        self.stages.go_to(self.open_page)

    def _refresh(self) -> None:
        self.stages.refresh()
        page = self.stages.current
        self.run_bar.set_action(page.action, page.obstacle(), self.stages.can_go_on)
        self._show_findings()

    def _show_findings(self) -> None:
        """Those of the page in front; while it computes anew those of its last result are out of date."""
        page = self.stages.current
        found = () if page is self._running_page else page.findings()
        titles = {step: other.title for other in self.pages if other is not page for step in other.steps}
        # The page's own first among equals: those of its input were seen before.
        own_first = sorted(found, key=lambda finding: finding.step in titles)
        self.findings.show_findings(
            [
                Shown(finding, titles.get(finding.step, ''), self._page_for(finding.remedy) is not None)
                for finding in own_first
            ],
            enabled=not self.runner.busy,
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
        if page is None or self.runner.busy:
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
        self.run_bar.tell(f'{in_words(remedy)} Press {action} to compute again.')

    def resizeEvent(self, event: Any) -> None:
        self.findings.set_limit(self.height() // 4)
        super().resizeEvent(event)

    def dragEnterEvent(self, event: Any) -> None:
        if paths_of(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        event.acceptProposedAction()
        self._take_files(paths_of(event.mimeData()))

    def event(self, event: Any) -> bool:
        # The "x" of the dock gives neither close nor destroy, only an orphan.
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.cleanup()
        return super().event(event)
