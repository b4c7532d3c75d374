"""Solutions found one after the other, as one run to the observer and with joined curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from napari_diptomo.reconstruct.joined_run import JoinedRun, append_curves
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Observer, Watch


class JoinedSolutions:
    """A run of several solutions: its reports, and its result.

    Parameters
    ----------
    lengths : tuple of int
        Iterations of each at most.
    title : str
        Of the method.
    observer : Observer, optional
        Sees one run.
    """

    def __init__(self, lengths: tuple[int, ...], title: str, observer: Observer | None) -> None:
        self._joined, self._lengths, self._title = JoinedRun(len(lengths), lengths, observer), lengths, title
        self._scores: dict[str, list[float]] = {}
        self._iterations, self._seconds = 0, 0.0

    @property
    def finished(self) -> bool:
        """Whether the observer ended the run."""
        return self._joined.finished

    def solve(self, place: int, what: str, solver: Callable[[Watch], Solution]) -> Solution:
        """The next one.

        Parameters
        ----------
        place : int
            Among the lengths, -1 for the last. Several may have one place.
        what : str
            What it is found with, in a few words.
        solver : callable
            Finds it, and reports to the watch.

        Returns
        -------
        Solution
            Its iterations counted from the beginning of the run.
        """
        place %= len(self._lengths)
        # These methods have no checkpoints: nothing to record.
        self._joined.begin(place, dict, lambda: None, what)
        found = solver(Watch(self._joined, self._title, self._lengths[place]))
        append_curves(self._scores, found.scores, self._iterations)
        returned = self._iterations + int(found.notes['returned_iteration'])
        self._iterations += int(found.notes['iterations'])
        self._seconds += float(found.notes['seconds'])
        return replace(found, notes={**found.notes, 'returned_iteration': returned})

    def result(self, chosen: Solution) -> Solution:
        """One of the solutions with the curves of all."""
        together = {'iterations': self._iterations, 'seconds': self._seconds}
        return replace(chosen, scores=self._scores, notes={**chosen.notes, **together})
