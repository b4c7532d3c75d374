"""One piece of background work, from its start to its end: between a job and the window.

The window asks; nothing is called across threads or processes. A timer drains
the job's messages and, at a slower beat, takes its newest preview. The beat of
the previews stretches to five times what showing one costs, so that a large
volume does not make the window sluggish. A napari worker stands by, so that
closing the window asks first.

The end of its parent or of the program ends the task. Its timer dies with it,
and a `Reaper`, which is no Qt object and therefore still alive, kills the job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_diptomo.jobs import Log
from napari_diptomo.series import Cancelled, DiptomoError, Evidence, Progress
from napari_diptomo.widgets.run import Run
from napari_diptomo.widgets.tasks.job import Job

_log = logging.getLogger('napari_diptomo')
_POLL_MS = 60
#: Showing previews may take this fraction of the window's time.
_FRACTION = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a job ended: a result, one sentence of error, or neither when it was cancelled.

    Sources that contradict each other are in `evidence`.
    """

    title: str
    result: Any = None
    error: str | None = None
    evidence: tuple[Evidence, ...] = ()

    @property
    def cancelled(self) -> bool:
        return self.result is None and self.error is None


class Reaper:
    """Kills the job that is left when its window goes."""

    def __init__(self) -> None:
        self.job: Job | None = None

    @property
    def has_work(self) -> bool:
        """Whether the job is still active."""
        job = self.job
        return job is not None and job.is_active

    def reap(self, *_: Any) -> None:
        job, self.job = self.job, None
        if job is not None and job.is_active:
            job.kill()


class Task(QObject):
    """Runs one job, once, and reports what becomes of it.

    Parameters
    ----------
    job : Job
        Not started yet.
    title : str
        For the user.
    page : str
        Title of the page that takes the result, empty where none does.
    run : Run, optional
        The reconstruction that it is.
    preview_seconds : float
        Between two previews at least.

    Attributes
    ----------
    paused : bool
        Whether it is suspended.
    progress : Progress, optional
        The latest report.

    Signals
    -------
    message(object), frame(object, int), ended(Outcome)
        A message of the job; a preview (channel, z, y, x) with its iteration; the end.
    """

    message = Signal(object)
    frame = Signal(object, int)
    ended = Signal(object)

    def __init__(
        self,
        job: Job,
        title: str,
        page: str = '',
        run: Run | None = None,
        preview_seconds: float = 1.0,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.title = title
        self.page = page
        self.run = run
        self.paused = False
        self.progress: Progress | None = None
        self.preview_seconds = preview_seconds
        self.preview_cost = 0.0
        self._job: Job | None = job
        self._frame_begun = 0.0
        self._frames = 0
        self._last_poll = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._reaper = Reaper()
        self.destroyed.connect(self._reaper.reap)
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.cleanup)

    @property
    def job(self) -> Job | None:
        """The job, None once it has ended."""
        return self._job

    def start(self) -> None:
        """Begin; possible once."""
        job = self._job
        assert job is not None, 'a task runs once'
        self._reaper.job = job
        self._last_poll = time.monotonic()
        try:
            job.start()
        except Exception as error:
            self._end(Outcome(self.title, error=str(error)))
            return
        self._stand_by(job)
        self._timer.start()

    def pause(self) -> None:
        """Suspend it after the present iteration."""
        if self._job is not None:
            self.paused = True
            self._job.pause()

    def resume(self) -> None:
        """Let it continue."""
        if self._job is not None:
            self.paused = False
            self._job.resume()

    def finish(self) -> None:
        """Stop and keep the best it has."""
        if self._job is not None:
            if self.run is not None:
                self.run.finishing = True
            self._job.finish()

    def cancel(self) -> None:
        """Give it up; it is gone within a second."""
        if self._job is not None:
            self._job.cancel()

    def cleanup(self) -> None:
        """Kill what runs and fall silent; harmless when done twice, and after the end."""
        if self._job is None:
            return
        self._timer.stop()
        self._job = None
        self._reaper.reap()

    def _stand_by(self, job: Job) -> None:
        """A worker of napari's that lasts as long as the job."""

        # Not the job itself, which napari would keep as long as the worker.
        reaper = self._reaper

        def wait() -> Iterator[None]:
            while reaper.has_work:
                yield
                time.sleep(0.1)

        wait.__qualname__ = wait.__name__ = getattr(job, 'name', 'diptomo')
        worker = create_worker(wait)
        # Quitting a worker leaves its generator suspended: `finally` in there
        # would not be reached.
        worker.aborted.connect(self.cancel)
        worker.start()

    def _poll(self) -> None:
        job = self._job
        if job is None:
            return
        now = time.monotonic()
        # A repaint comes some time after the layers were changed and shows in
        # nothing but this timer being late.
        self.preview_cost += max(now - self._last_poll - 2 * _POLL_MS / 1e3, 0.0)
        # Asked before the messages are fetched: what a job says with its last
        # breath must not be missed.
        over = not job.is_active
        for message in job.messages():
            self._report(message)
            if self._job is not job:
                return
        if over:
            self._end(self._outcome(job))
        elif now - self._frame_begun >= self._interval:
            self._show_frame(job)
        self._last_poll = time.monotonic()

    def _report(self, message: Any) -> None:
        if isinstance(message, Log):
            _log.log(logging.getLevelNamesMapping().get(message.level.upper(), logging.INFO), message.text)
            return
        if isinstance(message, Progress):
            self.progress = message
        self.message.emit(message)

    @property
    def _interval(self) -> float:
        """Seconds between two previews."""
        # The first makes the layers and their shaders and says nothing of the next.
        cost = self.preview_cost if self._frames > 1 else 0.0
        return max(self.preview_seconds, cost / _FRACTION)

    def _show_frame(self, job: Job) -> None:
        newest = job.latest_frame()
        if newest is None:
            return
        self._frame_begun = time.monotonic()
        self._frames += 1
        self.frame.emit(*newest)
        self.preview_cost = time.monotonic() - self._frame_begun

    def _outcome(self, job: Job) -> Outcome:
        if job.error is not None:
            if job.details:
                _log.info('The computing process said:\n%s', job.details)
            return Outcome(self.title, error=job.error, evidence=getattr(job, 'evidence', ()))
        try:
            return Outcome(self.title, job.result())
        except Cancelled:
            return Outcome(self.title)
        except DiptomoError as error:
            return Outcome(self.title, error=str(error))

    def _end(self, outcome: Outcome) -> None:
        self._timer.stop()
        job, self._job, self._reaper.job = self._job, None, None
        if job is not None:
            job.close()
        # What has ended need not stay until its parent goes.
        self.deleteLater()
        self.ended.emit(outcome)
