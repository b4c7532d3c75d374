"""Progress of a long step, and requests to pause, finish or cancel it.

A step reports frozen `Progress` records to an `Observer` and asks it what to
do next. The terminal bar, the tests, the child process and the dock are all
observers. Inside a step, a `Watch` does the bookkeeping::

    watch = Watch(observer, stage='SIRT', total=self.iterations)
    for i in range(self.iterations):
        ...
        if watch.step(i + 1, losses={'data': d}, preview=lambda: x):
            break                      # the user said: finish, keep the best so far

`Watch.step` blocks while paused and raises `Cancelled` when cancelled, so a
step obeys within one iteration without further code. A step that can continue
after an interruption asks `Watch.load_state` at its start and offers
`Watch.save_state` every iteration, before the `Watch.step` of that iteration.

`StopAt` stands between a step and its observer: it counts how often the step
asked, notes where it was stopped, and stops a repetition there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from napari_diptomo.series.errors import Cancelled

_SECONDS = '_seconds'
_ASKED = '_asked'


class Request(Enum):
    """Request of an observer to a running step."""

    GO = 'go'
    PAUSE = 'pause'
    FINISH = 'finish'
    CANCEL = 'cancel'


@dataclass(frozen=True)
class Progress:
    """Where a step stands.

    Attributes
    ----------
    stage : str
        The step's title, e.g. ``'DIPm-TV'``.
    iteration, total : int
        Iterations (or tilts, files, ...) done and planned.
    seconds : float
        Time since the step began, pauses left out.
    losses : mapping of str to float
        Terms of the objective by name.
    validation : float, optional
        Score on data the fit does not see (held-out Poisson deviance per
        datum); lower is better.
    preview : ndarray (channel, z, y, x), optional
        A copy of the current volume, float32; only where the observer wants it.
    message : str
        A few words on the present work.
    by_channel : mapping of str to float
        Data term of each channel by its name, where there is one: with a preview, and at the end.
    """

    stage: str
    iteration: int
    total: int
    seconds: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    validation: float | None = None
    preview: np.ndarray | None = None
    message: str = ''
    by_channel: Mapping[str, float] = field(default_factory=dict)

    @property
    def eta(self) -> float | None:
        """Seconds to go at the present pace, None before the first iteration."""
        if self.iteration < 1:
            return None
        return self.seconds / self.iteration * max(self.total - self.iteration, 0)


class Observer:
    """The observer that looks away: override what you care for."""

    def report(self, progress: Progress) -> None:
        """Take note of where the step stands."""

    def note(self, notes: Mapping[str, Any]) -> None:
        """Take note of what the step has found out on the way.

        Parameters
        ----------
        notes : mapping
            Entries of the notes that its result will have, made of numbers, texts, lists and mappings.
        """

    def request(self) -> Request:
        """Say what the step shall do next."""
        return Request.GO

    def wants_preview(self) -> bool:
        """Whether the next report shall carry a copy of the volume."""
        return False

    def save_state(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Keep what `state` returns, so that a later run can continue from here.

        Offered every iteration, before `request`; called for only when a checkpoint is due. The
        state is a (nested) mapping or list of numbers, texts, numpy arrays and
        torch tensors.
        """

    def load_state(self) -> dict[str, Any] | None:
        """The state that an earlier run of this very step saved.

        Returns
        -------
        dict or None
            As `save_state` was given it; None to start anew.
        """
        return None


class StopAt(Observer):
    """Passes everything on, and knows at which question the step was stopped.

    What a step does until then depends on its parameters and data alone, so the
    number of its questions, one for each iteration, is all that a repetition has
    to know. It survives an interruption together with the state of the step.

    Parameters
    ----------
    observer : Observer or None
        None is an observer that looks away.
    at : int, optional
        Question at which to say ``finish``, from 1; None leaves it to the observer.

    Attributes
    ----------
    stopped_at : int or None
        Question at which the step was first asked to finish.
    """

    def __init__(self, observer: Observer | None, at: int | None = None) -> None:
        self._observer = observer if observer is not None else Observer()
        self._at = at
        self._asked = 0
        self._at_the_end = False
        self.stopped_at: int | None = None

    @property
    def stopped_early(self) -> int | None:
        """`stopped_at`, None where the step came to its end all the same."""
        return None if self._at_the_end else self.stopped_at

    def report(self, progress: Progress) -> None:
        self._at_the_end = progress.iteration >= progress.total
        self._observer.report(progress)

    def note(self, notes: Mapping[str, Any]) -> None:
        self._observer.note(notes)

    def request(self) -> Request:
        request = self._observer.request()
        if request in (Request.PAUSE, Request.CANCEL):
            return request
        self._asked += 1
        if self.stopped_at is None and (request is Request.FINISH or self._asked == self._at):
            self.stopped_at = self._asked
        return Request.GO if self.stopped_at is None else Request.FINISH

    def wants_preview(self) -> bool:
        return self._observer.wants_preview()

    def save_state(self, state: Callable[[], Mapping[str, Any]]) -> None:
        # The state is already that of the iteration whose question comes next. Where that
        # is the one to stop at, a resumed step would run past it.
        if self._asked + 1 != self._at:
            self._observer.save_state(lambda: {**state(), _ASKED: self._asked + 1})

    def load_state(self) -> dict[str, Any] | None:
        state = self._observer.load_state()
        if state is None:
            return None
        state = dict(state)
        self._asked = int(state.pop(_ASKED, 0))
        return state


class Watch:
    """The step's side of the talk with an observer.

    Parameters
    ----------
    observer : Observer or None
        None is an observer that looks away.
    stage : str
        Title of the step.
    total : int
        Planned iterations.
    """

    def __init__(self, observer: Observer | None, stage: str, total: int) -> None:
        self._observer = observer if observer is not None else Observer()
        self._stage = stage
        self._total = total
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Working time so far, pauses left out."""
        return time.monotonic() - self._start

    def step(
        self,
        iteration: int,
        losses: Mapping[str, float] | None = None,
        validation: float | None = None,
        preview: Callable[[], np.ndarray] | None = None,
        message: str = '',
        by_channel: Callable[[], Mapping[str, float]] | None = None,
    ) -> bool:
        """Report, then obey.

        Parameters
        ----------
        iteration : int
            Iterations done.
        losses : mapping of str to float, optional
            Terms of the objective by name.
        validation : float, optional
            Score on held-out data, lower is better.
        preview : callable, optional
            Returns a copy of the volume (channel, z, y, x), float32; called only where the observer wants one.
        message : str
            A few words on the present work.
        by_channel : callable, optional
            Returns the data term of each channel; called with `preview`, and at the last planned iteration.

        Returns
        -------
        bool
            True when the step shall finish now and keep its best result.

        Raises
        ------
        Cancelled
            When the observer cancels.
        """
        frame = preview() if preview is not None and self._observer.wants_preview() else None
        terms = by_channel() if by_channel is not None and (frame is not None or iteration >= self._total) else {}
        self._observer.report(
            Progress(
                self._stage,
                iteration,
                self._total,
                self.seconds,
                dict(losses or {}),
                validation,
                frame,
                message,
                dict(terms),
            )
        )
        return self.obey()

    def save_state(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Offer a checkpoint, see `Observer.save_state`."""
        self._observer.save_state(lambda: {**state(), _SECONDS: self.seconds})

    def load_state(self) -> dict[str, Any] | None:
        """State that an earlier run saved; the clock continues from there too, so that the ETA holds.

        Returns
        -------
        dict or None
            As `save_state` was given it; None to start anew.
        """
        state = self._observer.load_state()
        if state is None:
            return None
        state = dict(state)
        self._start = time.monotonic() - float(state.pop(_SECONDS, 0.0))
        return state

    def obey(self) -> bool:
        """Ask the observer, wait while paused; see `step`.

        Returns
        -------
        bool
            True when the step shall finish now and keep its best result.

        Raises
        ------
        Cancelled
            When the observer cancels.
        """
        paused_at = time.monotonic()
        while (request := self._observer.request()) is Request.PAUSE:
            time.sleep(0.05)
        self._start += time.monotonic() - paused_at
        if request is Request.CANCEL:
            raise Cancelled(self._stage)
        return request is Request.FINISH
