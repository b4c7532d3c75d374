"""Minimisations one after the other, as one run to the observer and with joined curves."""

from __future__ import annotations

from dataclasses import replace

from napari_diptomo.reconstruct.joined_run import JoinedRun, append_curves
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.minimise import minimise
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual
from napari_diptomo.reconstruct.tv.settings import TVSettings
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Observer, Watch


class JoinedMinimisations:
    """A run of several minimisations: its reports, and its result.

    Parameters
    ----------
    lengths : tuple of int
        Iterations of each at most, see `TVSettings.lengths`.
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

    def minimise(self, problem: Problem, solver: PrimalDual, settings: TVSettings, place: int) -> Solution:
        """The next one; ``place`` among the `lengths`, -1 for the last. Several may have one place."""
        place %= len(self._lengths)
        # Total variation has no checkpoints: nothing to record.
        what = f'weight {solver.weight:g}{" with HAADF" if solver.images is not None else ""}'
        self._joined.begin(place, dict, lambda: None, what)
        found = minimise(problem, solver, settings, Watch(self._joined, self._title, self._lengths[place]))
        append_curves(self._scores, found.scores, self._iterations)
        self._iterations += int(found.notes['iterations'])
        self._seconds += float(found.notes['seconds'])
        # Of the run, not of its part.
        return replace(found, notes={**found.notes, 'returned_iteration': self._iterations})

    def result(self, chosen: Solution) -> Solution:
        """One of the solutions with the curves of all."""
        together = {'iterations': self._iterations, 'seconds': self._seconds}
        return replace(chosen, scores=self._scores, notes={**chosen.notes, **together})
