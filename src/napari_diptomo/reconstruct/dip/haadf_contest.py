r"""HAADF images only where the held-out counts do not speak against them.

A network is fitted to the maps alone, another, of the same random numbers, with the images, and the held-out counts give
their verdict (`haadf_verdict`). Unless it speaks against the images, a second network is fitted with them and the better of the two, or
their mean, is the result; otherwise the result is what the maps give alone (`contest`). The first volume says what a count of
each channel is worth in the images, and where bright particles lie that no map holds (`tv.bright_particles`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch

from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.dip.contest import Candidate, choose, fit_candidate, heads_of, preview_of
from napari_diptomo.reconstruct.dip.settings import FitSettings
from napari_diptomo.reconstruct.haadf_verdict import Verdict, against, calibrated, findings_on, haadf_helps
from napari_diptomo.reconstruct.joined_run import JoinedRun
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.bright_particles import bright_particles
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Finding, Observer

#: Names of the candidates.
FIRST, SECOND, ALONE = 'shares, HAADF', 'shares, HAADF, second network', 'shares'
_FITS = 3


class ImagesJudge:
    """Asks the held-out counts of one split, once for all members of an ensemble, whether the images help.

    Parameters
    ----------
    settings : FitSettings
        Of each fit.
    problem : Problem
        With HAADF data and held-out counts.

    Attributes
    ----------
    problem : Problem
        The same.
    done : list of Candidate
        The fits that are complete: of the maps alone, then with the images.
    """

    fits = 2

    def __init__(self, settings: FitSettings, problem: Problem) -> None:
        self._settings, self.problem, self._known = settings, problem, problem
        self._alone = problem.with_haadf(None)
        self.done: list[Candidate] = []

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.done = _restored(state, self.problem)
        self._known = _known_again(state, self.problem, self.done)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return _state(self.done, self._known, self.problem)

    def judge(self, run: JoinedRun) -> None:
        """Do the fits that are missing; ``finish`` ends it before."""
        while len(self.done) < self.fits and not run.finished:
            if self.done and self._known is self.problem:
                self._known = _known_from(self._settings, self.problem, self.done[0].x, run)
                continue
            run.begin(len(self.done), lambda: {'images': self.state()}, preview_of(self.problem, self.done[:1]))
            name, of, head, member = _next(self._settings, self._known, self._alone, self.done)
            found = replace(fit_candidate(self._settings, of, head, member, run), output=name)
            if not run.finished or not self.done:
                self.done.append(found)

    def result(self) -> Solution:
        """Of a run that was ended before the first member."""
        return _result(self._settings, self.problem, self._alone, self.done)

    @cached_property
    def verdict(self) -> Verdict:
        """Of the held-out counts, once both fits are done."""
        return _verdict(self._settings, self.problem, self.done)

    def applied(self, problem: Problem) -> Problem:
        """A member's problem with the images as the maps calibrate them, or without."""
        if problem.haadf is None or not self.verdict.helps:
            return problem.with_haadf(None)
        known = self._known.haadf
        assert known is not None
        return problem.with_haadf(replace(problem.haadf, intensity=known.intensity, particles=known.particles))

    def judged(self, notes: Mapping[str, Any], channels: Sequence[str]) -> tuple[dict[str, Any], tuple[Finding, ...]]:
        """Numbers of the images and what is said of them, from the notes of the ensemble."""
        verdict = self.verdict
        note = {'gain': verdict.gain, 'error': verdict.error, 'used': verdict.helps}
        numbers = {**self.done[1].notes['haadf'], **notes.get('haadf', {}), **note}
        return numbers, findings_on(numbers, channels, verdict) if verdict.helps else (against(verdict),)


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
    alone = problem.with_haadf(None)
    done: list[Candidate] = []
    known = problem
    if run.resumed is not None:
        done = _restored(run.resumed, problem)
        known = _known_again(run.resumed, problem, done)
    while len(done) < _FITS and not run.finished:
        if done and known is problem:
            # From the first volume alone, so that every network has the same weights.
            known = _known_from(settings, problem, done[0].x, run)
            continue
        name, of, head, member = _next(settings, known, alone, done)
        run.begin(len(done), partial(_state, done, known, problem), preview_of(problem, done[:1]))
        found = replace(fit_candidate(settings, of, head, member, run), output=name)
        if not run.finished or not done:
            done.append(found)
        if len(done) == 2 and _is_decided(settings, problem, alone, done):
            break
    return _result(settings, problem, alone, done)


def _known_from(settings: FitSettings, problem: Problem, x: torch.Tensor, run: JoinedRun) -> Problem:
    """The problem with what a volume of the maps alone says of the images: intensity per count, and particles in no map."""
    found = calibrated(problem, x)
    ends = run.meanwhile('looking for bright particles that no map holds')
    return _with_particles(found, bright_particles(found, x, is_poisson(problem, settings.data_term), ends))


def _with_particles(problem: Problem, particles: torch.Tensor | None) -> Problem:
    assert problem.haadf is not None
    return problem.with_haadf(replace(problem.haadf, particles=particles))


def _state(done: Sequence[Candidate], known: Problem, problem: Problem) -> dict[str, Any]:
    """Of complete fits, and of the particles once they have been looked for."""
    state: dict[str, Any] = {'candidates': [candidate.state() for candidate in done]}
    if known is not problem:
        assert known.haadf is not None
        state['particles'] = known.haadf.particles
    return state


def _restored(state: Mapping[str, Any], problem: Problem) -> list[Candidate]:
    return [Candidate.restored(candidate, problem.device) for candidate in state['candidates']]


def _known_again(state: Mapping[str, Any], problem: Problem, done: Sequence[Candidate]) -> Problem:
    """Result of `_known_from` in an interrupted run; the problem itself where it had not come so far."""
    if 'particles' not in state:
        return problem
    particles = state['particles']
    return _with_particles(calibrated(problem, done[0].x), None if particles is None else particles.to(problem.device))


def _next(
    settings: FitSettings, problem: Problem, alone: Problem, done: Sequence[Candidate]
) -> tuple[str, Problem, Any, int]:
    """Name, problem, head and number of the next network."""
    # The numbers of the networks are those of `contest`: images that are left out change nothing.
    if not done:
        several = len(heads_of(settings, alone)) > 1
        return ALONE, alone, 'shares' if several else heads_of(settings, alone)[0], int(several)
    if len(done) == 1:
        return FIRST, problem, 'shares', 1
    if _verdict(settings, problem, done).helps:
        return SECOND, problem, 'shares', 0
    return 'softplus', alone, 'softplus', 0


def _is_decided(settings: FitSettings, problem: Problem, alone: Problem, done: Sequence[Candidate]) -> bool:
    """Whether no third network is needed: nothing can be compared, or one head alone is asked for."""
    if problem.held_out is None:
        return True
    return len(heads_of(settings, alone)) == 1 and not _verdict(settings, problem, done).helps


def _verdict(settings: FitSettings, problem: Problem, done: Sequence[Candidate]) -> Verdict:
    return haadf_helps(problem, done[1].x, done[0].x, is_poisson(problem, settings.data_term))


def _result(settings: FitSettings, problem: Problem, alone: Problem, done: Sequence[Candidate]) -> Solution:
    if len(done) < 2:
        return choose(settings, alone, done)
    if problem.held_out is None:
        given = done[1]
        return Solution(
            given.x,
            given.scores,
            given.notes,
            (*given.findings, *findings_on(given.notes['haadf'], problem.maps.channels, None)),
        )
    verdict = _verdict(settings, problem, done)
    note = {'gain': verdict.gain, 'error': verdict.error, 'used': verdict.helps}
    kept = list(done[1:]) if verdict.helps else [*done[2:], done[0]]
    found = choose(settings, problem if verdict.helps else alone, kept)
    of = done[1].notes['haadf']
    findings = findings_on(of, problem.maps.channels, verdict) if verdict.helps else (against(verdict),)
    return replace(found, notes={**found.notes, 'haadf': {**of, **note}}, findings=(*found.findings, *findings))
