r"""Error bars from an ensemble: fits with other random numbers, other heads and other counts left out.

Member k starts from its own random network and holds out its own fraction h of
the counts; members take turns with the heads that the counts leave open (see
`contest`). The mean of the K members is the volume. Its error in the
projections is c times their spread,

    s^2 = sum_k (x_k - mean)^2 / (K - 1).

The members share most of their counts, so s alone is too small there. For the
counting noise this is the delete-d jackknife (Shao and Wu 1989, Ann. Stat. 17,
1176): c^2 = (1 - h) / h + 1 / K. But most of the spread comes from the random
networks, and what the prior gets wrong in every member is in no spread at all:
one factor for all of it is a model, not a theorem, and has to be measured.
Counts show it: member k has never seen its held-out counts, and on top of
their noise, whose power is known, they differ from its projections by its error,

    E |FFT(held out / h - A x_k)|^2 = noise + |FFT(A (x_k - x))|^2.

The mean over the members of their squared errors is that of the mean plus
(K - 1) / K s^2, which gives c^2 as the ratio of powers; every frequency counts
by what the spread has there over the noise. Where the counts are too few for a
measurement, its upper bound of one standard error is taken or the jackknife, whichever
is less; for data that are no counts, the jackknife. See
docs/uncertainty.md for how often such intervals hold the truth.

What all members get wrong alike is in no spread. `error_bars` has what is made of s and c, and what is added.

Where a HAADF series stands beside the maps, two fits before the members ask the held-out counts whether it helps
(`haadf_contest`): all members take the images, or none does.

All this is about what the tilts measure. Inside the missing wedge the spread
says how far networks differ when no data bind them, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from napari_diptomo.reconstruct.dip.contest import heads_of
from napari_diptomo.reconstruct.dip.error_bars import HEIGHT, SHARE, standard_deviation
from napari_diptomo.reconstruct.dip.fit_loop import Fitted, fit_network
from napari_diptomo.reconstruct.dip.haadf_contest import ImagesJudge
from napari_diptomo.reconstruct.dip.running_variance import RunningVariance
from napari_diptomo.reconstruct.dip.settings import FitSettings
from napari_diptomo.reconstruct.dip.spread_check import Calibration, SpreadCheck
from napari_diptomo.reconstruct.joined_run import JoinedRun, append_curves, latest
from napari_diptomo.reconstruct.prepare import prepare
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.reconstruct.volume import volume_of
from napari_diptomo.series import Finding, MapSeries, Observer, Volume, Watch

#: Apart far enough that runs with neighbouring seeds share no member.
_SEEDS_APART = 1000
#: Notes of the members that add up, and those that are listed.
_SUMMED = ('iterations', 'seconds')
_LISTED = ('returned_iteration', 'held_out_deviance', 'output')


def fit_ensemble(
    maps: MapSeries,
    problem_settings: ProblemSettings,
    settings: FitSettings,
    members: int,
    observer: Observer | None = None,
    on_member: Callable[[np.ndarray], None] | None = None,
) -> Volume:
    """Mean and standard deviation of several fits.

    Parameters
    ----------
    maps : MapSeries
        The data.
    problem_settings : ProblemSettings
        Of every member; each splits the counts with its own seed.
    settings : FitSettings
        Of every member; member 0 has its seed.
    members : int
        Number of fits.
    observer : Observer, optional
        Sees one long run. ``finish`` keeps the members that are complete.
    on_member : callable, optional
        Is given each member's volume (channel, z, y, x), e.g. to judge its
        frequencies apart.

    Returns
    -------
    Volume
        With ``std`` when two members or more were completed.
    """
    maps = _resampled(maps)
    judge = _judge_of(maps, problem_settings, settings)
    fits_before = 0 if judge is None else judge.fits
    run = JoinedRun(members + fits_before, settings.longest, observer)
    record = _Record()
    if run.resumed is not None:
        if judge is not None:
            judge.restore(run.resumed['images'])
        if 'volumes' in run.resumed:
            record.restore(run.resumed)
    if judge is not None:
        judge.fit(run, lambda: {'images': judge.state()})
        if run.finished and record.members == 0:
            volume = volume_of(judge.problem, judge.result(), problem_settings, settings.title)
            return replace(volume, notes={**volume.notes, **_of_one(members)})
        settings = judge.of_members
        run.plan(fits_before, settings.longest)

    def state() -> dict[str, Any]:
        return {**record.state(), **({} if judge is None else {'images': judge.state()})}

    for member in range(record.members, members):
        run.begin(fits_before + member, state, record.preview)
        seed = settings.seed + _SEEDS_APART * member
        own = replace(problem_settings, seed=seed)
        problem = prepare(maps, own)
        if judge is not None:
            problem = judge.applied(problem)
        heads = heads_of(settings, problem)
        of_member = settings.with_network(heads[member % len(heads)], seed)
        fitted = fit_network(of_member, problem, Watch(run, settings.title, settings.longest))
        template = volume_of(problem, fitted.solution, own, settings.title)
        stopped = run.finished and fitted.fit.iteration < fitted.fit.longest
        # A member stopped on the way would pass for spread; alone it is all there is.
        if not stopped or record.members == 0:
            record.add(problem, fitted, template)
            if on_member is not None:
                on_member(template.data)
        if run.finished:
            break
    volume = record.volume(template, members)
    if judge is None:
        return volume
    numbers, said = judge.judged(volume.notes)
    return replace(volume, notes={**volume.notes, 'haadf': numbers}, findings=(*volume.findings, *said))


def _judge_of(maps: MapSeries, problem_settings: ProblemSettings, settings: FitSettings) -> ImagesJudge | None:
    """That of a HAADF series, None where there is none to be fitted."""
    if maps.haadf_series is None or not problem_settings.haadf:
        return None
    problem = prepare(maps, problem_settings)
    return None if problem.haadf is None else ImagesJudge(settings, problem)


def _resampled(maps: MapSeries) -> MapSeries:
    """Maps whose split is left to each member: one split for all would resample nothing."""
    return replace(maps, held_out=None, held_out_share=0.0)


class _Record:
    """The complete members so far; its size does not grow with their number."""

    def __init__(self) -> None:
        self._volumes = RunningVariance()
        self._check = SpreadCheck()
        self._scores: dict[str, list[float]] = {}
        self._findings: tuple[Finding, ...] = ()
        self._notes: list[dict[str, Any]] = []

    @property
    def members(self) -> int:
        return self._volumes.count

    def add(self, problem: Problem, fitted: Fitted, volume: Volume) -> None:
        """Take in a member."""
        before = sum(int(notes['iterations']) for notes in self._notes)
        append_curves(self._scores, volume.scores, before)
        self._findings = latest(self._findings, volume.findings)
        self._notes.append({key: volume.notes.get(key) for key in (*_SUMMED, *_LISTED, 'stopping')})
        with torch.no_grad():
            self._check.add(problem, problem.expected(fitted.fit.best.x), fitted.fit.poisson)
        self._volumes.add(volume.data)

    def preview(self) -> np.ndarray | None:
        """Mean of the members so far."""
        return self._volumes.mean.astype(np.float32) if self.members else None

    def volume(self, template: Volume, asked: int) -> Volume:
        """Mean and standard deviation of the members, of which so many were asked for."""
        first = self._notes[0]
        template = replace(template, findings=self._findings)
        notes: dict[str, Any] = {**template.notes, **{key: sum(n[key] for n in self._notes) for key in _SUMMED}}
        notes |= {f'{key}s': [n[key] for n in self._notes] for key in _LISTED}
        notes['returned_iteration'] = None if self.members > 1 else first['returned_iteration']
        notes['stopping'] = f'mean of {self.members} fits; of the first, {first["stopping"]}'
        mean = self._volumes.mean.astype(np.float32)
        if self.members < 2:
            notes |= {'stopping': first['stopping'], **_of_one(asked)}
            return replace(template, data=mean, scores=self._scores, notes=notes)
        calibration = self._check.calibration()
        std = standard_deviation(mean, self._volumes.variance, calibration.factor, template.notes['max_tilt'])
        notes['ensemble'] = {'asked': asked, 'members': self.members, **asdict(calibration)}
        notes['uncertainty'] = _sentence(self.members, calibration, template.notes['max_tilt'])
        return replace(template, data=mean, std=std, scores=self._scores, notes=notes)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            'volumes': self._volumes.state(),
            'check': self._check.state(),
            'scores': {name: list(curve) for name, curve in self._scores.items()},
            'told': list(self._notes),
            'findings': [finding.to_dict() for finding in self._findings],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self._volumes.restore(state['volumes'])
        self._check.restore(state['check'])
        self._scores = {name: list(curve) for name, curve in state['scores'].items()}
        self._notes = [dict(notes) for notes in state['told']]
        self._findings = tuple(Finding.from_dict(finding) for finding in state['findings'])


def _of_one(asked: int) -> dict[str, Any]:
    """Notes of an ensemble of which one fit only was completed."""
    return {
        'ensemble': {'asked': asked, 'members': 1},
        'uncertainty': 'one fit only was completed: it has no standard deviation',
    }


def _sentence(members: int, calibration: Calibration, tilts: Sequence[float]) -> str:
    error = f' ± {calibration.error:.2g}' if calibration.error else ''
    return (
        f'standard deviation: {100 * SHARE:.0f} % of the spread of {members} fits times {calibration.factor:.2g}{error} '
        f'({calibration.source}), and what edges and small features lose in every fit alike: a peak of a single voxel may '
        f'be off by {HEIGHT:g} of its heights or be missing; detail in the missing wedge, beyond tilts of '
        f'{tilts[0]:g}° and {tilts[1]:g}°, is determined by the prior, and no data vouch for the standard deviation of it'
    )
