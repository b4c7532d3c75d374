"""One job at a time: between a running job and the window.

The window asks; nothing is called across threads or processes. A timer
drains the job's messages and, at a slower beat, takes its newest preview.
The beat of the previews stretches to five times what showing one costs, so
that a large volume does not make the window sluggish.

Closing the dock or the viewer destroys the runner. Its timer dies with it, and
a `Reaper`, which is no Qt object and therefore still alive, kills the job.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_diptomo.widgets.tasks.job import Job

_POLL_MS = 60
#: Showing previews may take this share of the window's time.
_SHARE = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a job ended: a result, one sentence of error, or neither when it was cancelled."""

    title: str
    result: Any = None
    error: str | None = None

    @property
    def cancelled(self) -> bool:
        return self.result is None and self.error is None


class Reaper:
    """Kills the job that is left when its window goes."""

    def __init__(self) -> None:
        self.job: Job | None = None

    def reap(self, *_: Any) -> None:
        job, self.job = self.job, None
        if job is not None and not job.over:
            job.kill()


class Runner(QObject):
    """Runs one job and tells of it.

    Signals
    -------
    started(str), message(object), frame(object, int), ended(Outcome)
        Title; a message of the job; a preview (channel, z, y, x) with its iteration; the end.
    """

    started = Signal(str)
    message = Signal(object)
    frame = Signal(object, int)
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None, preview_seconds: float = 1.0) -> None:
        super().__init__(parent)
        self.preview_seconds = preview_seconds
        self.preview_cost = 0.0
        self._title = ''
        self._job: Job | None = None
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
        """The job that runs, None when idle."""
        return self._job

    @property
    def busy(self) -> bool:
        return self._job is not None

    def start(self, job: Job, title: str) -> None:
        """Run a job; there must be none running."""
        assert self._job is None, 'one job at a time'
        self._job = self._reaper.job = job
        self._title = title
        self._frame_begun = 0.0
        self._frames = 0
        self._last_poll = time.monotonic()
        self.preview_cost = 0.0
        self.started.emit(title)
        try:
            job.start()
        except Exception as error:
            self._end(Outcome(title, error=str(error)))
            return
        self._timer.start()

    def cancel(self) -> None:
        """Give the job up; it is gone within a second."""
        if self._job is not None:
            self._job.cancel()

    def cleanup(self) -> None:
        """Kill what runs and fall silent; harmless when done twice."""
        self._timer.stop()
        self._job = None
        self._reaper.reap()

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
        over = job.over
        for message in job.messages():
            self.message.emit(message)
            if self._job is not job:
                return
        if over:
            self._end(Outcome(self._title, job.result, job.error))
        elif now - self._frame_begun >= self._interval:
            self._show_frame(job)
        self._last_poll = time.monotonic()

    @property
    def _interval(self) -> float:
        """Seconds between two previews."""
        # The first makes the layers and their shaders and says nothing of the next.
        cost = self.preview_cost if self._frames > 1 else 0.0
        return max(self.preview_seconds, cost / _SHARE)

    def _show_frame(self, job: Job) -> None:
        newest = job.latest_frame()
        if newest is None:
            return
        self._frame_begun = time.monotonic()
        self._frames += 1
        self.frame.emit(*newest)
        self.preview_cost = time.monotonic() - self._frame_begun

    def _end(self, outcome: Outcome) -> None:
        self._timer.stop()
        self._job = self._reaper.job = None
        self.ended.emit(outcome)
