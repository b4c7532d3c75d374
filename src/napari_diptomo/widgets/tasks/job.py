"""Work that runs beside the window: what a `Task` needs of it, and the work of a thread.

`napari_diptomo.jobs.ChildJob` runs the reconstructions in a process of their
own; `ThreadJob` runs loading, maps and alignment in a thread and looks the same
from outside. Nothing is called across threads or processes; the window asks.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from napari_diptomo.jobs.error_sentences import explain
from napari_diptomo.series import Cancelled, Contradiction, DiptomoError, Evidence, Observer, Progress, Request

_log = logging.getLogger('napari_diptomo')


class Job(Protocol):
    """A running piece of work as a `Task` needs it; a `ChildJob` is one.

    Attributes
    ----------
    is_active : bool
        Whether a result can still come.
    error : str, optional
        One sentence on what went wrong, None when nothing did.
    details : str
        More of it, for a log.
    """

    @property
    def is_active(self) -> bool: ...
    @property
    def error(self) -> str | None: ...
    @property
    def details(self) -> str: ...
    def start(self) -> None: ...
    def messages(self) -> Sequence[Any]: ...
    def latest_frame(self) -> tuple[np.ndarray, int] | None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def finish(self) -> None: ...
    def cancel(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...
    def result(self) -> Any:
        """The result; raises `Cancelled` when it was cancelled."""


class _Mailbox(Observer):
    """Keeps the reports for the window to fetch, and its wish for the step to obey."""

    def __init__(self) -> None:
        self.wish = Request.GO
        self.reports: deque[Progress] = deque()

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def request(self) -> Request:
        return self.wish


class ThreadJob:
    """Run ``work(observer)`` in a thread.

    Parameters
    ----------
    work : callable
        Takes an `Observer`, returns the result. Its name is what napari shows
        when the window is closed while it runs.
    """

    details = ''

    def __init__(self, work: Callable[[Observer], Any]) -> None:
        self.name = getattr(work, '__name__', 'diptomo')
        self._work = work
        self._mailbox = _Mailbox()
        self._over = threading.Event()
        self._result: Any = None
        self._cancelled = False
        self.error: str | None = None
        #: What each source said, where they contradict each other.
        self.evidence: tuple[Evidence, ...] = ()

    @property
    def is_active(self) -> bool:
        return not self._over.is_set()

    def start(self) -> None:
        """Begin."""
        # Not on one of Qt's threads: Qt ends the thread's Python state with each task and keeps the thread,
        # and a library of pybind11 2 that was first imported there (torch, some versions) waits for
        # that state for ever in a later task (pybind/pybind11#2888).
        threading.Thread(target=self._run, name='diptomo-work').start()

    def _run(self) -> None:
        try:
            self._result = self._work(self._mailbox)
        except Cancelled:
            self._cancelled = True
        except Exception as error:
            if not isinstance(error, DiptomoError):
                _log.exception('unexpected error')
            self.error = explain(error)
            self.evidence = error.evidence if isinstance(error, Contradiction) else ()
        finally:
            self._over.set()

    def messages(self) -> list[Progress]:
        """Reports since the last call."""
        fetched = []
        while self._mailbox.reports:
            fetched.append(self._mailbox.reports.popleft())
        return fetched

    def latest_frame(self) -> None:
        """Short work shows no previews."""

    def pause(self) -> None:
        self._mailbox.wish = Request.PAUSE

    def resume(self) -> None:
        self._mailbox.wish = Request.GO

    def finish(self) -> None:
        self._mailbox.wish = Request.FINISH

    def cancel(self) -> None:
        self._mailbox.wish = Request.CANCEL

    def kill(self) -> None:
        """A thread cannot be killed; it ends at its next report."""
        self.cancel()

    def close(self) -> None:
        """A thread leaves nothing behind."""

    def result(self) -> Any:
        if self._cancelled:
            raise Cancelled
        return self._result
