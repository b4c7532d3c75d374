"""A reconstruction as one object: what was asked, how it ended, what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_diptomo.series import Finding, MapSeries, Recipe, Volume


class RunStatus(StrEnum):
    """How a run stands."""

    RUNNING = 'running'
    DONE = 'done'
    STOPPED = 'stopped early'
    FAILED = 'failed'
    CANCELLED = 'cancelled'
    #: The program ended before the run did.
    INTERRUPTED = 'interrupted'


class ConvergencePoint(NamedTuple):
    """The values of one iteration."""

    iteration: int
    losses: dict[str, float]
    validation: float | None = None
    fit: str = ''
    by_channel: Mapping[str, float] = {}


@dataclass(eq=False)
class Run:
    """One run of the session; two runs are the same only if they are one object.

    Attributes
    ----------
    number : int
        Its place in the session, from 1; never used again.
    title : str
        Title of the method, or the name of the file that it was opened from.
    recipe : Recipe, optional
        The steps that it does to its maps.
    maps : MapSeries, optional
        What it reconstructs; None for a volume that was opened from a file.
    begun : datetime
        Local time.
    status : RunStatus
    seconds : float
        How long it took.
    volume : Volume, optional
        The result of a run that is done or was stopped early.
    error : str
        Why it failed, one sentence.
    convergence : list of ConvergencePoint
        The convergence as it was reported.
    checkpoint : Path, optional
        The file that it resumes from.
    noted : dict
        What it has found out so far: entries of the notes of its volume.
    """

    number: int
    title: str
    recipe: Recipe | None = None
    maps: MapSeries | None = None
    begun: datetime = field(default_factory=lambda: datetime.now().astimezone())
    status: RunStatus = RunStatus.RUNNING
    seconds: float = 0.0
    volume: Volume | None = None
    error: str = ''
    convergence: list[ConvergencePoint] = field(default_factory=list)
    checkpoint: Path | None = None
    noted: dict[str, Any] = field(default_factory=dict)
    finishing: bool = False
    _clock: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """``'Run 3 (DIPm-TV)'``."""
        return f'Run {self.number} ({self.title})'

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of its result; of a failed run those of its maps."""
        made = self.volume if self.volume is not None else self.maps
        return () if made is None else made.findings

    @property
    def whole_recipe(self) -> Recipe | None:
        """Everything from the files to this run, whether it has a result or not."""
        if self.volume is not None and self.volume.recipe is not None:
            return self.volume.recipe
        if self.recipe is None or self.maps is None or self.maps.recipe is None:
            return self.recipe
        return Recipe(self.maps.recipe.source, (*self.maps.recipe.steps, *self.recipe.steps))

    @property
    def resumable(self) -> bool:
        """Whether it ended before its time and can be taken up again."""
        ended = self.status in (RunStatus.FAILED, RunStatus.INTERRUPTED)
        return ended and self.recipe is not None and self.maps is not None

    def begin_again(self) -> None:
        """It is taken up again."""
        self.status, self.error, self.finishing = RunStatus.RUNNING, '', False
        self.noted = {}
        self._clock = time.monotonic()

    def succeed(self, volume: Volume) -> None:
        """It has a result."""
        self.volume = volume
        self._end(RunStatus.STOPPED if self.finishing else RunStatus.DONE)

    def fail(self, sentence: str) -> None:
        """It broke down."""
        self.error = sentence
        self._end(RunStatus.FAILED)

    def cancel(self) -> None:
        """It was given up."""
        self._end(RunStatus.CANCELLED)

    def _end(self, status: RunStatus) -> None:
        self.seconds += time.monotonic() - self._clock
        self.status = status


def convergence_of(run: Run) -> list[ConvergencePoint]:
    """The convergence of a run: as reported, or as its volume keeps it where that has more points.

    Reports are dropped where a computation is faster than the window, and some methods keep every fifth iteration only.
    """
    scores = {} if run.volume is None else run.volume.scores
    if len(scores.get('iteration', ())) <= sum(bool(point.losses) for point in run.convergence):
        return run.convergence
    others = ('iteration', 'validation', 'fit', 'weight')
    terms = {name: curve for name, curve in scores.items() if name not in others}
    validation, fits, weights = (scores.get(name, []) for name in ('validation', 'fit', 'weight'))
    points = [
        ConvergencePoint(
            int(iteration),
            {name: curve[i] for name, curve in terms.items() if i < len(curve)},
            validation[i] if i < len(validation) else None,
            _fit(fits, weights, i),
        )
        for i, iteration in enumerate(scores['iteration'])
    ]
    # A volume does not keep the deviances of its channels.
    iterations = np.array([point.iteration for point in points])
    for reported in run.convergence:
        if reported.by_channel:
            nearest = int(np.abs(iterations - reported.iteration).argmin())
            points[nearest] = points[nearest]._replace(by_channel=reported.by_channel)
    return points


def _fit(fits: Sequence[float], weights: Sequence[float], place: int) -> str:
    """The fit of a point as it is reported, without how many there are; empty where there was one."""
    if place >= len(fits):
        return ''
    weight = f'weight {weights[place]:g}, ' if place < len(weights) else ''
    return f'{weight}fit {fits[place] + 1:g}'
