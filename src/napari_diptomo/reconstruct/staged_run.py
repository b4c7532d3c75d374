"""A stage before the fit proper, computed once: its result is noted at once, and kept in the checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_diptomo.series import Observer, Progress, Request

_STAGE, _FIT = 'stage_before', 'fit'


class StagedRun(Observer):
    """Observer of the fit that follows a stage; passes everything on.

    Parameters
    ----------
    observer : Observer or None
        Of the whole.
    name : str
        Of the note in which the result of the whole will have that of the stage.
    """

    def __init__(self, observer: Observer | None, name: str) -> None:
        self._name = name
        self._observer = observer if observer is not None else Observer()
        state = self._observer.load_state()
        self._result: Mapping[str, Any] | None = None if state is None else state[_STAGE]
        self._fit: dict[str, Any] | None = None if state is None else state[_FIT]

    def result(self, compute: Callable[[Observer], Mapping[str, Any]]) -> Mapping[str, Any]:
        """The result of the stage: that of an interrupted run, or else computed now.

        Parameters
        ----------
        compute : callable
            From the observer of the whole to the result, made of numbers, texts, lists and mappings.

        Returns
        -------
        mapping
        """
        if self._result is None:
            found = self._result = compute(self._observer)
            # A fit that offers no state of its own starts anew after an interruption, but with this result.
            self._observer.save_state(lambda: {_STAGE: found, _FIT: None})
        self._observer.note({self._name: self._result})
        return self._result

    def report(self, progress: Progress) -> None:
        """Pass it on."""
        self._observer.report(progress)

    def note(self, notes: Mapping[str, Any]) -> None:
        """Pass it on."""
        self._observer.note(notes)

    def request(self) -> Request:
        """Pass it on."""
        return self._observer.request()

    def wants_preview(self) -> bool:
        """Pass it on."""
        return self._observer.wants_preview()

    def save_state(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Offer the state of the fit with the result of the stage."""
        self._observer.save_state(lambda: {_STAGE: self._result, _FIT: state()})

    def load_state(self) -> dict[str, Any] | None:
        """The state of the fit that was interrupted."""
        state, self._fit = self._fit, None
        return state
