"""Questions answered in the background: the newest counts, nothing is asked twice at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_diptomo.series import Observer
from napari_diptomo.widgets.tasks.job import ThreadJob

_POLL_MS = 60


class Asker(QObject):
    """Runs one short piece of work after the other and tells what came of the newest.

    Signals
    -------
    answered(object)
        What the work returned.
    failed(str)
        Why it could not, one sentence.
    """

    answered = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: ThreadJob | None = None
        self._next: Callable[[Observer], Any] | None = None
        self._stale = False
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._job is not None or self._next is not None

    def ask(self, work: Callable[[Observer], Any]) -> None:
        """Do this next; what waits is forgotten and the answer under way is not told."""
        self._next = work
        self._stop_current()
        self._timer.start()

    def forget(self) -> None:
        """No answer is wanted any more."""
        self._next = None
        self._stop_current()

    def cleanup(self) -> None:
        """Ask no more and poll no more."""
        self.forget()
        self._timer.stop()

    def _stop_current(self) -> None:
        self._stale = True
        if self._job is not None:
            self._job.cancel()

    def _poll(self) -> None:
        if self._job is not None:
            if not self._job.over:
                return
            job, self._job = self._job, None
            if not self._stale:
                self._tell(job)
        if self._next is not None and self._job is None:
            self._job, self._next, self._stale = ThreadJob(self._next), None, False
            self._job.start()
        elif not self.busy:
            self._timer.stop()

    def _tell(self, job: ThreadJob) -> None:
        if job.error is not None:
            self.failed.emit(job.error)
        elif job.result is not None:
            self.answered.emit(job.result)
