"""The weight of the total variation, chosen by held-out counts.

Volumes with three weights, a factor of two apart, are found to a loose tolerance, each from the one before; where the lowest
held-out deviance lies at an end, further ones follow beyond it. The minimum of the parabola in log w through the lowest point and
its neighbours is the weight. With it all counts are fitted, from where the best of them ended. Specimens of one dose ask for weights
that differ by a factor of three: a law of the counts alone loses two to three times as much (docs/tv-weight.md).

Formulas: choice of the weight of the total variation (`choose_weight`).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

import torch

from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.stopping import rule_for
from napari_diptomo.reconstruct.tv.joined_minimisations import JoinedMinimisations
from napari_diptomo.reconstruct.tv.minimise import solver_of
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual, State
from napari_diptomo.reconstruct.tv.settings import COMPARED, MIDDLE, SEARCH_ITERATIONS, TVSettings
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Finding, Observer

#: Factor between weights that are compared, and how often the search extends beyond the first three at most.
_FACTOR, _EXTENSIONS = 2.0, 5
#: Relative change below which a volume is compared.
_TOLERANCE = 8e-3


@dataclass(frozen=True, eq=False)
class Choice:
    """A weight and how it was found.

    Attributes
    ----------
    weight : float
        Of the total variation.
    reason : {'given', 'unasked', 'compared'}
        By the user, without any, by the held-out counts.
    state : State or None
        Where the solver of the best of those that were compared ended, None where none was.
    curve : tuple of (float, float)
        Weights that were compared, and the held-out deviance per datum of each.
    is_at_end : bool
        The lowest deviance is that of the smallest or largest weight: the best one may lie beyond.
    best : Solution or None
        Where the observer ended the search: what there is.
    """

    weight: float
    reason: Literal['given', 'unasked', 'compared']
    state: State | None = None
    curve: tuple[tuple[float, float], ...] = ()
    is_at_end: bool = False
    best: Solution | None = None

    @torch.no_grad()
    def solver_for(self, problem: Problem, settings: TVSettings) -> PrimalDual:
        """A solver with the weight for the problem that was judged, or for all its counts, from where the search ended."""
        solver = solver_of(problem, settings, self.weight)
        if self.state is not None:
            solver.start_from(self.state)
        return solver

    def explained(self, solution: Solution) -> Solution:
        """The solution with the weight, with what is said of the choice."""
        if self.reason == 'given':
            return solution
        reason = f'weight {self.weight:g}, which no held-out data could choose'
        if self.reason == 'compared':
            reason = f'weight {self.weight:g} predicts the held-out counts best ({len(self.curve)} weights compared)'
        notes = {**solution.notes, 'stopping': f'{reason}; {solution.notes["stopping"]}'}
        notes['weight_curve'] = [list(point) for point in self.curve]
        return replace(solution, notes=notes, findings=(*solution.findings, *self._findings()))

    def _findings(self) -> tuple[Finding, ...]:
        """A doubt where the weight may not be the best, a note where none could be compared."""
        evidence = {'weight': self.weight}
        if self.reason == 'unasked':
            sentence = (
                'The noise of these maps is not known, and without it no data can be held out to choose the weight of the total '
                f'variation: it is {self.weight:g}. Compare the volume with those of a half and twice of it.'
            )
            return (Finding('note', 'weight of TV', sentence, evidence),)
        if not self.is_at_end:
            return ()
        which = 'smallest' if self.weight <= min(weight for weight, _ in self.curve) else 'largest'
        sentence = (
            f'The weight of the total variation, {self.weight:g}, is the {which} of {len(self.curve)} that were compared: the '
            'held-out counts ask for one beyond. Compare the volume with one of another weight.'
        )
        return (Finding('doubt', 'weight of TV', sentence, evidence),)


def with_all_counts(problem: Problem) -> Problem:
    """The same problem with the held-out counts among the fitted ones; everything else is shared."""
    if problem.held_out is None:
        return problem
    whole = copy(problem)
    whole.fit, whole.held_out, whole.share = problem.fit + problem.held_out, None, 0.0
    return whole


@torch.no_grad()
def choose_weight(problem: Problem, settings: TVSettings, run: JoinedMinimisations) -> Choice:
    """The weight for a problem, by its held-out counts where its data can be split.

    Parameters
    ----------
    problem : Problem
        With held-out counts, without images.
    settings : TVSettings
        Of the minimisation with the weight.
    run : JoinedMinimisations
        Reports the search; where its observer ends it, ``best`` of the choice is what there is.
    """
    if rule_for(problem, 'auto') != 'held-out':
        return Choice(MIDDLE, 'unasked')
    search = _Search(problem, settings, run)
    for place, step in enumerate(range(1, 1 - COMPARED, -1)):
        search.compare(step, place)
    for _ in range(_EXTENSIONS):
        if not search.is_at_end:
            break
        search.compare(search.beyond, COMPARED - 1)
    return search.choice()


def chosen_or_given(problem: Problem, settings: TVSettings, run: JoinedMinimisations) -> Choice:
    """The weight of the settings where they have one, that of `choose_weight` otherwise."""
    if settings.weight is None:
        return choose_weight(problem, settings, run)
    return Choice(settings.weight, 'given')


def minimise_chosen(
    problem: Problem, judged: Problem, settings: TVSettings, title: str, observer: Observer | None
) -> Solution:
    """The volume with the weight that held-out counts choose.

    Parameters
    ----------
    problem : Problem
        What the result is fitted to.
    judged : Problem
        The same with held-out counts; ``problem`` itself where its result shall not see them.
    settings : TVSettings
        Of the minimisation with the weight.
    title : str
        Of the method, for the observer.
    observer : Observer, optional
        Sees one run; ``finish`` keeps the best of the search, or the last volume as far as it is.
    """
    run = JoinedMinimisations(settings.lengths(False, problem is not judged), title, observer)
    choice = choose_weight(judged, settings, run)
    if choice.best is not None:
        return run.result(choice.best)
    solver = choice.solver_for(problem, settings)
    # Its volumes have served, and memory is scarce.
    choice = replace(choice, state=None)
    return run.result(choice.explained(run.minimise(problem, solver, settings, -1)))


class _Search:
    """Weights that are compared, by the power of `_FACTOR` that they are of `MIDDLE`."""

    def __init__(self, problem: Problem, settings: TVSettings, run: JoinedMinimisations) -> None:
        self._problem, self._run = problem, run
        self._loosely = replace(
            settings,
            tolerance=max(_TOLERANCE, settings.tolerance),
            iterations=min(SEARCH_ITERATIONS, settings.iterations),
        )
        self._solver = solver_of(problem, settings, self._weight(1))
        self._state = self._solver.state
        self._compared: dict[int, float] = {}
        self._best: Solution | None = None

    def compare(self, step: int, place: int) -> None:
        """Find the volume of one more weight, unless the run has been ended."""
        if self._run.finished:
            return
        weight = self._weight(step)
        if weight != self._solver.weight:
            self._solver.set_weight(weight)
        found = self._run.minimise(self._problem, self._solver, self._loosely, place)
        # A weight that was interrupted is no match for those that were complete.
        if self._best is None or not self._run.finished:
            self._compared[step] = found.notes['held_out_deviance']
            if self._lowest == step:
                self._best, self._state = found, self._solver.state

    @property
    def _lowest(self) -> int:
        return min(self._compared, key=self._compared.__getitem__)

    @property
    def is_at_end(self) -> bool:
        """Whether the lowest deviance is that of the smallest or largest weight."""
        return self._lowest in (min(self._compared), max(self._compared))

    @property
    def beyond(self) -> int:
        """The weight beyond the end where the deviance is lowest."""
        return self._lowest + (1 if self._lowest == max(self._compared) else -1)

    def choice(self) -> Choice:
        """The result of the comparison."""
        weight = MIDDLE * _FACTOR ** (self._lowest + self._offset)
        curve = tuple((self._weight(step), self._compared[step]) for step in sorted(self._compared))
        return Choice(_rounded(weight), 'compared', self._state, curve, self.is_at_end, self._interrupted())

    def _interrupted(self) -> Solution | None:
        """The best so far where the observer has ended the run, None otherwise."""
        if self._best is None or not self._run.finished:
            return None
        reason = f'stopped by hand while weights were compared; this volume, of weight {self._best.notes["weight"]:g}, is a rough one'
        return replace(self._best, notes={**self._best.notes, 'converged': False, 'stopping': reason})

    @property
    def _offset(self) -> float:
        """From the lowest to the minimum of the parabola through it and its neighbours, in steps."""
        if self.is_at_end:
            return 0.0
        below, lowest, above = (self._compared[self._lowest + step] for step in (-1, 0, 1))
        bend = below - 2 * lowest + above
        return 0.5 * (below - above) / bend if bend > 0 else 0.0

    def _weight(self, step: int) -> float:
        return _rounded(MIDDLE * _FACTOR**step)


def _rounded(weight: float) -> float:
    """To three digits: what a recipe says is what was used."""
    return float(f'{weight:.3g}')
