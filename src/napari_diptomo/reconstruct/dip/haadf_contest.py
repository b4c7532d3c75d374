r"""HAADF images only where the held-out counts do not speak against them.

A network is fitted to the maps alone, another, of the same random numbers, with the images, and the held-out counts give
their verdict (`haadf_verdict`). Unless it speaks against the images, a second network is fitted with them and the better of the two, or
their mean, is the result; otherwise the result is what the maps give alone (`contest`). The first volume says what a count of
each channel is worth in the images, and where bright particles lie that no map holds (`tv.bright_particles`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.dip.contest import Candidate, choose, fit_candidate, heads_of, preview_of
from napari_diptomo.reconstruct.dip.settings import ENOUGH_WITH_HAADF, FitSettings
from napari_diptomo.reconstruct.haadf_verdict import (
    Verdict,
    against,
    calibrated,
    findings_on,
    haadf_helps,
    with_maps_alone,
)
from napari_diptomo.reconstruct.joined_run import JoinedRun
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.bright_particles import bright_particles
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Finding, Observer

#: Names of the candidates.
FIRST, SECOND, ALONE = 'shares, HAADF', 'shares, HAADF, second network', 'shares'
_FITS = 3


class Contest:
    """Fits of the maps alone and with the images, in turn.

    Parameters
    ----------
    settings : FitSettings
        Of each fit.
    problem : Problem
        With HAADF data.
    fits : int
        The most there are.

    Attributes
    ----------
    problem : Problem
        The same.
    done : list of Candidate
        The fits that are complete: of the maps alone, then with the images.
    """

    def __init__(self, settings: FitSettings, problem: Problem, fits: int) -> None:
        self._settings, self.problem, self.fits = settings, problem, fits
        # Calibrated from the first volume alone, so that every network has the same weights.
        self._known = problem
        self._alone = problem.with_haadf(None)
        self.done: list[Candidate] = []

    @property
    def beside_images(self) -> FitSettings:
        """Of a fit with the images, once the maps alone have been fitted."""
        return self._settings.beside_images(int(self.done[0].notes['iterations']))

    def state(self) -> dict[str, Any]:
        """For a checkpoint: of complete fits, and of the particles once they have been looked for."""
        state: dict[str, Any] = {'candidates': [candidate.state() for candidate in self.done]}
        if self._known is not self.problem:
            assert self._known.haadf is not None
            state['particles'] = self._known.haadf.particles
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        device = self.problem.device
        self.done = [Candidate.restored(candidate, device) for candidate in state['candidates']]
        if 'particles' in state:
            particles = state['particles']
            found = calibrated(self.problem, self.done[0].x)
            self._known = _with_particles(found, None if particles is None else particles.to(device))

    def fit(self, run: JoinedRun, state: Callable[[], Any]) -> None:
        """Do the fits that are missing; ``finish`` ends it before, and ``state`` is what a checkpoint keeps."""
        while len(self.done) < self.fits and not run.finished and not self._is_decided():
            if self.done and self._known is self.problem:
                self._learn(run)
                continue
            name, of, head, member = self._next()
            settings = self._settings if of.haadf is None else self.beside_images
            run.plan(len(self.done), settings.longest)
            run.begin(len(self.done), state, preview_of(self.problem, self.done[:1]))
            found = replace(fit_candidate(settings, of, head, member, run), output=name)
            if not run.finished or not self.done:
                self.done.append(found)

    def _learn(self, run: JoinedRun) -> None:
        """Take intensity per count, and particles in no map, from the volume of the maps alone."""
        x = self.done[0].x
        found = calibrated(self.problem, x)
        ends = run.meanwhile('looking for bright particles that no map holds')
        self._known = _with_particles(found, bright_particles(found, x, self._is_poisson, ends))

    def _next(self) -> tuple[str, Problem, Any, int]:
        """Name, problem, head and number of the next network."""
        # The numbers of the networks are those of `contest`: images that are left out change nothing.
        heads = heads_of(self._settings, self._alone)
        if not self.done:
            several = len(heads) > 1
            return ALONE, self._alone, 'shares' if several else heads[0], int(several)
        if len(self.done) == 1:
            return FIRST, self._known, 'shares', 1
        if self.verdict.helps:
            return SECOND, self._known, 'shares', 0
        return 'softplus', self._alone, 'softplus', 0

    def _is_decided(self) -> bool:
        """Whether no third network is needed: nothing can be compared, or one head alone is asked for."""
        if len(self.done) != 2:
            return False
        if self.problem.held_out is None:
            return True
        return len(heads_of(self._settings, self._alone)) == 1 and not self.verdict.helps

    @property
    def _is_poisson(self) -> bool:
        return is_poisson(self.problem, self._settings.data_term)

    @cached_property
    def verdict(self) -> Verdict:
        """Of the held-out counts, once the first fit with the images is done."""
        return haadf_helps(self.problem, self.done[1].x, self.done[0].x, self._is_poisson)

    def result(self) -> Solution:
        """The choice of the held-out counts among the complete fits."""
        if len(self.done) < 2:
            return with_maps_alone(choose(self._settings, self._alone, self.done))
        given, channels = self.done[1], self.problem.maps.channels
        if self.problem.held_out is None:
            said = findings_on(given.notes['haadf'], channels, None)
            return Solution(given.x, given.scores, given.notes, (*given.findings, *said))
        if self.verdict.helps:
            found = choose(self._settings, self.problem, self.done[1:])
        else:
            found = choose(self._settings, self._alone, [*self.done[2:], self.done[0]])
        numbers, said = self._judged({})
        return replace(found, notes={**found.notes, 'haadf': numbers}, findings=(*found.findings, *said))

    def _judged(self, numbers: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Finding, ...]]:
        """Numbers of the images, ``numbers`` before those of their first fit, and what is said of them."""
        verdict = self.verdict
        note = {'gain': verdict.gain, 'error': verdict.error, 'used': verdict.helps}
        numbers = {**self.done[1].notes['haadf'], **numbers, **note}
        if verdict.helps:
            return numbers, findings_on(numbers, self.problem.maps.channels, verdict)
        return numbers, (against(verdict, self._settings.longest < ENOUGH_WITH_HAADF),)


class ImagesJudge(Contest):
    """Asks the held-out counts of one split, once for all members of an ensemble, whether the images help.

    Parameters
    ----------
    settings : FitSettings
        Of each fit.
    problem : Problem
        With HAADF data and held-out counts.
    """

    def __init__(self, settings: FitSettings, problem: Problem) -> None:
        super().__init__(settings, problem, 2)

    @property
    def of_members(self) -> FitSettings:
        """Settings of the members."""
        return self.beside_images if self.verdict.helps else self._settings

    def applied(self, problem: Problem) -> Problem:
        """A member's problem with the images as the maps calibrate them, or without."""
        if problem.haadf is None or not self.verdict.helps:
            return problem.with_haadf(None)
        known = self._known.haadf
        assert known is not None
        return problem.with_haadf(replace(problem.haadf, intensity=known.intensity, particles=known.particles))

    def judged(self, notes: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Finding, ...]]:
        """Numbers of the images and what is said of them, from the notes of the ensemble."""
        return self._judged(notes.get('haadf', {}))


def fit_with_haadf(settings: FitSettings, problem: Problem, observer: Observer | None) -> Solution:
    """Fit with the images and without, and return what the held-out counts choose.

    Parameters
    ----------
    settings : FitSettings
        Of each fit.
    problem : Problem
        With HAADF data.
    observer : Observer, optional
        Sees one run; ``finish`` keeps the fits that are complete, or the first one as far as it is.
    """
    run = JoinedRun(_FITS, settings.longest, observer)
    contest = Contest(settings, problem, _FITS)
    if run.resumed is not None:
        contest.restore(run.resumed)
    contest.fit(run, contest.state)
    return contest.result()


def _with_particles(problem: Problem, particles: torch.Tensor | None) -> Problem:
    assert problem.haadf is not None
    return problem.with_haadf(replace(problem.haadf, particles=particles))
