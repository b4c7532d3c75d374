"""Questions answered in the background: the newest counts, nothing is asked twice at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_diptomo.series import Observer
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.task import Outcome, Task


class Question(QObject):
    """Runs one short piece of work after the other and reports the answer to the newest.

    Parameters
    ----------
    patience_ms : int
        Work begins so many milliseconds after the last call of `ask`.

    Signals
    -------
    answered(object)
        What the work returned.
    failed(str)
        Why it could not, one sentence.
    """

    answered = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None, patience_ms: int = 60) -> None:
        super().__init__(parent)
        self._task: Task | None = None
        self._next: Callable[[Observer], Any] | None = None
        self._stale = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(patience_ms)
        self._timer.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._task is not None or self._next is not None

    def ask(self, work: Callable[[Observer], Any]) -> None:
        """Do this next; what waits is forgotten, and so is the answer under way."""
        self._next = work
        self._stop_current()
        self._timer.start()

    def forget(self) -> None:
        """No answer is wanted any more."""
        self._next = None
        self._stop_current()

    def cleanup(self) -> None:
        """Ask no more, answer no more."""
        self.forget()
        self._timer.stop()

    def _stop_current(self) -> None:
        self._stale = True
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        if self._next is None or self._task is not None:
            return
        self._task, self._next, self._stale = Task(ThreadJob(self._next), 'Question', parent=self), None, False
        self._task.ended.connect(self._ended)
        self._task.start()

    def _ended(self, outcome: Outcome) -> None:
        self._task = None
        if not self._stale:
            if outcome.error is not None:
                self.failed.emit(outcome.error)
            elif outcome.result is not None:
                self.answered.emit(outcome.result)
        if not self._timer.isActive():
            self._begin()
