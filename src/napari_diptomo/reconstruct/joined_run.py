"""Several fits as one run to the observer: one clock, one checkpoint, one set of curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_diptomo.series import Finding, Observer, Progress, Request, Watch


def append_curves(curves: dict[str, list[float]], scores: Mapping[str, list[float]], before: int) -> None:
    """Append the curves of the next fit; ``fit`` is a curve of its own, the number of the fit from 0.

    Parameters
    ----------
    curves : dict
        Of the fits so far, empty at first; changed in place.
    scores : mapping
        Of the next fit.
    before : int
        Iterations of the fits so far.
    """
    fits = curves.setdefault('fit', [])
    fits += [fits[-1] + 1 if fits else 0.0] * len(scores['iteration'])
    for name, curve in scores.items():
        shift = before if name == 'iteration' else 0
        curves.setdefault(name, []).extend(value + shift for value in curve)


def latest(earlier: Iterable[Finding], later: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings of two fits of one run: they see the same matters with other numbers, and of each the later ones are kept."""
    later = tuple(later)
    subjects = {finding.about for finding in later}
    return (*(finding for finding in earlier if finding.about not in subjects), *later)


class JoinedRun(Observer):
    """Observer of one fit that reports to the observer of the whole.

    Parameters
    ----------
    members : int
        Members.
    iterations : int or sequence of int
        Of each at most: one number for all, or one for each.
    observer : Observer or None
        Of the whole.

    Attributes
    ----------
    finished : bool
        Whether the observer said ``finish``.
    resumed : mapping or None
        State of the complete members of an earlier run.
    """

    def __init__(self, members: int, iterations: int | Sequence[int], observer: Observer | None) -> None:
        self._observer = observer if observer is not None else Observer()
        self._members = members
        self._lengths = [iterations] * members if isinstance(iterations, int) else list(iterations)
        self._member, self._seconds_before, self._seconds, self._what = 0, 0.0, 0.0, ''
        self._iterations_before = self._latest = 0
        self._preview: Callable[[], np.ndarray | None] = lambda: None
        self._record: Callable[[], Mapping[str, Any]] = dict
        self.finished = False
        self._reported: Progress | None = None
        state = self._observer.load_state()
        self.resumed: Mapping[str, Any] | None = None if state is None else state['record']
        self._fit: dict[str, Any] | None = None if state is None else dict(state['fit'])
        if state is not None:
            self._seconds = float(state['seconds_before'])
            self._latest = int(state['iterations_before'])

    def begin(
        self,
        member: int,
        record: Callable[[], Mapping[str, Any]],
        preview: Callable[[], np.ndarray | None],
        what: str = '',
    ) -> None:
        """A member starts.

        Parameters
        ----------
        member : int
            From 0.
        record : callable
            State of the complete members.
        preview : callable
            Their mean (channel, z, y, x), None before there is one.
        what : str
            What it is fitted with, in a few words, before its number.
        """
        self._what = f'{what}, ' if what else ''
        self._member, self._record, self._preview = member, record, preview
        self._seconds_before, self._iterations_before = self._seconds, self._latest

    def plan(self, first: int, iterations: int) -> None:
        """The members from the number ``first`` on take so many iterations at most."""
        self._lengths[first:] = [iterations] * (self._members - first)

    def report(self, progress: Progress) -> None:
        """Pass it on as progress of the whole."""
        self._seconds = self._seconds_before + progress.seconds
        self._latest = self._iterations_before + progress.iteration
        mean = self._preview() if progress.preview is not None else None
        reported = replace(
            progress,
            iteration=self._latest,
            # A member that ended early has used up less than its share.
            total=self._iterations_before + sum(self._lengths[self._member :]),
            seconds=self._seconds,
            preview=progress.preview if mean is None else mean,
            message=f'{self._what}fit {self._member + 1} of {self._members}',
        )
        self._reported = replace(reported, preview=None)
        self._observer.report(reported)

    def meanwhile(self, what: str) -> Callable[[], bool]:
        """Say what is done between two members; the result, called now and then, says whether to end it.

        Raises
        ------
        Cancelled
            By the result, when the observer cancels.
        """
        if self._reported is not None:
            self._observer.report(replace(self._reported, losses={}, validation=None, message=what))
        return Watch(self, what if self._reported is None else self._reported.stage, 0).obey

    def note(self, notes: Mapping[str, Any]) -> None:
        """Pass it on."""
        self._observer.note(notes)

    def request(self) -> Request:
        """Pass it on."""
        request = self._observer.request()
        self.finished = self.finished or request is Request.FINISH
        return request

    def wants_preview(self) -> bool:
        """Pass it on."""
        return self._observer.wants_preview()

    def save_state(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Offer the state of the whole."""
        self._observer.save_state(
            lambda: {
                'record': self._record(),
                'fit': state(),
                'seconds_before': self._seconds_before,
                'iterations_before': self._iterations_before,
            }
        )

    def load_state(self) -> dict[str, Any] | None:
        """The state of the member that was interrupted; the members after it start anew."""
        state, self._fit = self._fit, None
        # A member that was complete reports no more.
        self._latest += 0 if state is None else int(state['iteration'])
        return state
