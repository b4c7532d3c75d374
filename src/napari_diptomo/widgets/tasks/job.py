"""A short piece of work in a thread, with the face of a child process.

The dock polls a job, whatever it is: `ThreadJob` runs loading, maps and
alignment in napari's worker pool, `napari_diptomo.jobs.ChildJob` runs the
reconstructions. Nothing is called across threads; the window asks.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from napari.qt.threading import create_worker

from napari_diptomo.jobs.explain import explain
from napari_diptomo.series import Cancelled, DiptomoError, Observer, Progress, Request

_log = logging.getLogger('napari_diptomo')


class Job(Protocol):
    """What the dock needs of a running piece of work."""

    result: Any
    error: str | None

    @property
    def over(self) -> bool:
        """Whether it has ended, in whatever way."""

    def start(self) -> None: ...
    def messages(self) -> list[Any]: ...
    def latest_frame(self) -> tuple[np.ndarray, int] | None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def finish(self) -> None: ...
    def cancel(self) -> None: ...
    def kill(self) -> None: ...


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

    def __init__(self, work: Callable[[Observer], Any]) -> None:
        self._work = work
        self._mailbox = _Mailbox()
        self._over = threading.Event()
        self.result: Any = None
        self.error: str | None = None

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def start(self) -> None:
        """Begin."""

        def work() -> None:
            # Nothing may escape: napari's workers swallow some exceptions and
            # stay "busy" for ever.
            try:
                self.result = self._work(self._mailbox)
            except Cancelled:
                pass
            except Exception as error:
                if not isinstance(error, DiptomoError):
                    _log.exception('unexpected error')
                self.error = explain(error)
            finally:
                self._over.set()

        def run() -> None:
            # Not on Qt's own thread: Qt ends the thread's Python state with each task and keeps the thread,
            # and a library of pybind11 2 that was first imported there (torch, some versions) waits for
            # that state for ever in a later task (pybind/pybind11#2888).
            thread = threading.Thread(target=work, name='diptomo-work')
            thread.start()
            thread.join()

        run.__qualname__ = run.__name__ = getattr(self._work, '__name__', 'diptomo')
        create_worker(run, _start_thread=True)

    def messages(self) -> list[Progress]:
        """What was reported since the last call."""
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
