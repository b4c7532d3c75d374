"""The one loop of all methods: advance, offer a checkpoint, report, obey.

The methods differ in what they iterate (`Iterated`): the fixed-point
iterations of SIRT and Poisson EM (`FixedPoint`), the primal-dual method of total variation
(`tv.minimise`), the fit of a network (`dip.fit_loop`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

from napari_diptomo.reconstruct.data_terms import fit_term, fit_terms
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.stopping import Best
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Watch

#: From a volume and the data expected of it (full exposure) to the next volume.
Update = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Iterated(Protocol):
    """A method that `iterate` runs.

    Attributes
    ----------
    resumable : bool
        Whether it offers its `state` for a checkpoint.
    """

    resumable: bool = False

    @property
    def iteration(self) -> int:
        """Iterations done, as they are reported."""
        ...

    @property
    def validation(self) -> float | None:
        """The latest held-out deviance per datum, None where nothing is held out."""
        ...

    def advance(self) -> Mapping[str, float] | None:
        """One iteration; the terms of its objective, None where it failed and an earlier state was restored."""
        ...

    def is_done(self) -> bool:
        """Whether it has come to its end by itself."""
        ...

    def frame(self) -> np.ndarray:
        """The present volume as the user sees it, (channel, z, y, x)."""
        ...

    def by_channel(self) -> Mapping[str, float]:
        """Data term of each channel for the volume of `frame`, by name; empty where there is none."""
        return {}

    def stop(self) -> None:
        """Judge the present iterate: the observer has ended the run."""
        return None

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {}


def iterate(method: Iterated, watch: Watch) -> bool:
    """Run a method to its end; returns whether the observer ended it before.

    Parameters
    ----------
    method : Iterated
        Keeps its own result.
    watch : Watch
        Reports to the observer and asks it, every iteration.
    """
    while not method.is_done():
        losses = method.advance()
        if losses is None:
            continue
        if method.resumable:
            watch.save_state(method.state)
        if watch.step(method.iteration, losses, method.validation, method.frame, by_channel=method.by_channel):
            method.stop()
            return True
    return False


class FixedPoint(Iterated):
    """Repeats an update of the volume and keeps the best iterate.

    Parameters
    ----------
    problem : Problem
        Data and forward model.
    x : Tensor (channel, z, y, x)
        The start.
    update : callable
        See `Update`.
    iterations : int
        At most.
    poisson : bool
        Which deviance judges.
    """

    def __init__(self, problem: Problem, x: torch.Tensor, update: Update, iterations: int, poisson: bool) -> None:
        self._problem, self._x, self._update = problem, x, update
        self._iterations, self._poisson = iterations, poisson
        self._expected = problem.expected(x)
        self._done = 0
        self.best = Best(problem, poisson)

    @property
    def iteration(self) -> int:
        return self._done

    @property
    def validation(self) -> float | None:
        return self.best.validation

    def advance(self) -> Mapping[str, float]:
        self._x = self._update(self._x, self._expected)
        self._expected = self._problem.expected(self._x)
        self._done += 1
        losses = {'data': float(fit_term(self._problem, self._expected, self._poisson))}
        self.best.see(self._done, self._x, losses, last=self.is_done())
        return losses

    def is_done(self) -> bool:
        return self._done >= self._iterations

    def frame(self) -> np.ndarray:
        return self._problem.frame(self._x)

    def by_channel(self) -> Mapping[str, float]:
        return fit_terms(self._problem, self._expected, self._poisson)


@dataclass(frozen=True)
class FixedPointMethod:
    """A method that repeats an update of the volume.

    Attributes
    ----------
    title : str
        Its name.
    kind : {'SIRT', 'EM'}
        Of its steps.
    iterations : int
        At most.
    poisson : bool
        Which deviance judges.
    start : callable
        From a problem to the volume (channel, z, y, x) that it begins with.
    update : callable
        From a problem to its update.
    """

    title: str
    kind: Literal['SIRT', 'EM']
    iterations: int
    poisson: bool
    start: Callable[[Problem], torch.Tensor]
    update: Callable[[Problem], Update]


@torch.no_grad()
def solve_fixed_point(
    problem: Problem, method: FixedPointMethod, watch: Watch, beside: Callable[[Update], Update] | None = None
) -> Solution:
    """Repeat the update of a method and return the best iterate; see `FixedPoint`.

    Parameters
    ----------
    problem : Problem
        Data and forward model.
    method : FixedPointMethod
        What is repeated.
    watch : Watch
        Reports the iterations.
    beside : callable, optional
        Adds to the update, as `haadf_image_steps.ImageSteps.beside` does.
    """
    update = method.update(problem)
    run = FixedPoint(
        problem,
        method.start(problem),
        update if beside is None else beside(update),
        method.iterations,
        method.poisson,
    )
    iterate(run, watch)
    best = run.best
    return Solution(best.x, best.scores, {**best.notes(run.iteration), 'seconds': watch.seconds})
