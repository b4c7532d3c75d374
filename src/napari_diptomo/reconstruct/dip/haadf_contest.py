r"""HAADF images only where the held-out counts do not speak against them.

A network is fitted to the maps alone; its projections say what a count of each channel is worth in the images
(`haadf_calibration`). Another, of the same random numbers, is fitted with the images. The counts held out from both say
whether the images helped or harmed: their deviance with the images less that without has a standard error, as it is a mean
over the same data. Unless it speaks against them, a second network is fitted with the images and the better of the two, or
their mean, is the result; otherwise the result is what the maps give alone (`contest`).

The held-out counts see the projections that were measured, not the missing wedge: images that contradict the maps there
show it here, images that err in the wedge alone do not.

Formulas: choice between a volume with and without HAADF (`haadf_helps`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.dip.contest import Candidate, choose, fit_candidate, heads_of, preview_of
from napari_diptomo.reconstruct.dip.joined_run import JoinedRun
from napari_diptomo.reconstruct.dip.settings import FitSettings
from napari_diptomo.reconstruct.haadf_calibration import intensity_of_volume
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.stopping import paired_gain
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Finding, Observer

#: Names of the candidates.
FIRST, SECOND, ALONE = 'shares, HAADF', 'shares, HAADF, second network', 'shares'
_FITS = 3
#: Standard errors by which the held-out deviance may be higher with the images than without.
_TOLERATED = 1.0
#: Misfit of a tilt over the median from which it is named, and misfit over the images' range from which they are doubted.
_ODD, _LARGE = 2.0, 0.12


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
        self._settings, self.problem = settings, problem
        self._alone = problem.with_haadf(None)
        self.done: list[Candidate] = []

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from `state`."""
        self.done = [Candidate.restored(state, self.problem.device) for state in states]

    def state(self) -> list[dict[str, Any]]:
        """For a checkpoint."""
        return [candidate.state() for candidate in self.done]

    def judge(self, run: JoinedRun) -> None:
        """Do the fits that are missing; ``finish`` ends it before."""
        while len(self.done) < self.fits and not run.finished:
            run.begin(len(self.done), lambda: {'images': self.state()}, preview_of(self.problem, self.done[:1]))
            given = self._calibrated if self.done else self.problem
            name, of, head, member = _next(self._settings, given, self._alone, self.done)
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

    @cached_property
    def _calibrated(self) -> Problem:
        return _calibrated(self.problem, self.done[0].x)

    def applied(self, problem: Problem) -> Problem:
        """A member's problem with the images as the maps calibrate them, or without."""
        if problem.haadf is None or not self.verdict.helps:
            return problem.with_haadf(None)
        calibrated = self._calibrated.haadf
        assert calibrated is not None
        return problem.with_haadf(replace(problem.haadf, intensity=calibrated.intensity))

    def judged(self, notes: Mapping[str, Any], channels: Sequence[str]) -> tuple[dict[str, Any], tuple[Finding, ...]]:
        """Numbers of the images and what is said of them, from the notes of the ensemble."""
        verdict = self.verdict
        note = {'gain': verdict.gain, 'error': verdict.error, 'used': verdict.helps}
        numbers = {**self.done[1].notes['haadf'], **notes.get('haadf', {}), **note}
        return numbers, findings_on(numbers, channels, verdict) if verdict.helps else (_against(verdict),)


@dataclass(frozen=True)
class Verdict:
    """Judgement of the held-out counts on the images.

    Attributes
    ----------
    gain, error : float
        Deviance per datum without the images less that with them, and its standard error.
    """

    gain: float
    error: float

    @property
    def helps(self) -> bool:
        """Whether the images are kept."""
        return self.gain >= -_TOLERATED * self.error


def haadf_helps(problem: Problem, given: torch.Tensor, alone: torch.Tensor, poisson: bool) -> Verdict:
    """The verdict of the held-out counts on two volumes (channel, z, y, x), with and without the images."""
    with torch.no_grad():
        return Verdict(*paired_gain(problem, problem.expected(alone), problem.expected(given), poisson))


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
    if run.resumed is not None:
        done = [Candidate.restored(state, problem.device) for state in run.resumed['candidates']]
    while len(done) < _FITS and not run.finished:
        # From the problem as it came, so that every network, of a resumed run too, has the same weights.
        given = _calibrated(problem, done[0].x) if done else problem
        name, of, head, member = _next(settings, given, alone, done)
        run.begin(len(done), lambda: {'candidates': [c.state() for c in done]}, preview_of(problem, done[:1]))
        found = replace(fit_candidate(settings, of, head, member, run), output=name)
        if not run.finished or not done:
            done.append(found)
        if len(done) == 2 and _is_decided(settings, problem, alone, done):
            break
    return _result(settings, problem, alone, done)


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


def _calibrated(problem: Problem, alone: torch.Tensor) -> Problem:
    """The problem with weights and damping that follow from the volume of the maps alone."""
    assert problem.haadf is not None
    return problem.with_haadf(replace(problem.haadf, intensity=intensity_of_volume(problem, alone)))


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
    findings = findings_on(of, problem.maps.channels, verdict) if verdict.helps else (_against(verdict),)
    return replace(found, notes={**found.notes, 'haadf': {**of, **note}}, findings=(*found.findings, *findings))


def findings_on(numbers: Mapping[str, Any], channels: Sequence[str], verdict: Verdict | None) -> tuple[Finding, ...]:
    """Findings on images that were used.

    Parameters
    ----------
    numbers : mapping
        See `HAADFFit.notes`.
    channels : sequence of str
        Of the volume.
    verdict : Verdict or None
        Of the held-out counts, None where they were not asked.
    """
    weights = ', '.join(f'{c} {w:.3g}' for c, w in zip(channels, numbers['weights'], strict=True))
    judged = 'whether they help was not asked of held-out counts'
    if verdict is not None:
        judged = f'the held-out counts are predicted {_compared(verdict)}'
    displaced = float(np.sqrt(np.mean(np.square(numbers['shifts']))))
    sentence = (
        f'{len(numbers["angles"])} HAADF images from {min(numbers["angles"]):g} to {max(numbers["angles"]):g} deg were fitted '
        f'with the maps: {judged}. Intensity per count: {weights}; {numbers["unmapped"]:.0%} of it from matter that no map '
        f'holds; displaced by {displaced:.2g} pixels rms; misfit {numbers["misfit"]:.1%} of the range.'
    )
    evidence = {'misfit': numbers['misfit'], 'unmapped': numbers['unmapped'], 'displaced': displaced}
    findings = [Finding('note', 'HAADF series', sentence, evidence)]
    if numbers['misfit'] > _LARGE:
        words = f'The HAADF images differ from what the volume makes expect by {numbers["misfit"]:.0%} of their range; they weigh little.'
        findings.append(Finding('doubt', 'HAADF series', words, evidence))
    each = np.array(numbers['misfits'])
    odd = np.flatnonzero(each > _ODD * np.median(each))
    if odd.size:
        where = ', '.join(f'{numbers["angles"][i]:g}' for i in odd[:6])
        words = (
            f'HAADF images at {where} deg differ from the others (diffraction, displacement, dirt?); they weigh less.'
        )
        findings.append(
            Finding('doubt', 'HAADF series', words, {'tilts': len(odd), 'worst': float(each.max() / np.median(each))})
        )
    return tuple(findings)


def _compared(verdict: Verdict) -> str:
    error = max(verdict.error, 1e-30)
    if abs(verdict.gain) <= error:
        return 'as well as without them'
    return f'{"better" if verdict.gain > 0 else "worse"} than without them ({abs(verdict.gain) / error:.1f} standard errors)'


def _against(verdict: Verdict) -> Finding:
    sentence = (
        'The HAADF images are left out: with them the held-out counts are predicted worse '
        f'({-verdict.gain / max(verdict.error, 1e-30):.1f} standard errors). Check that they are of this specimen, and their '
        'angles.'
    )
    return Finding('doubt', 'HAADF series', sentence, {'gain': verdict.gain, 'error': verdict.error})
