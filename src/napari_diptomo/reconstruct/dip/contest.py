r"""The head of the network and the length of its fit, chosen by the held-out counts.

Two networks are fitted to the same counts, one that predicts each channel by
itself (softplus) and one that predicts their total and the share of each. Which
is better depends on the specimen, and their errors inside the missing wedge
differ: neither is in the data. Three volumes stand for choice, that of each
network and the mean of both, and the one that predicts the held-out counts best
is the result. Deviance is convex, so the mean is never worse than the worse of
the two, and it is mostly better than either (docs/contest.md).

Each fit is as long as the held-out counts ask for: it ends when 40 iterations have
not gained more than a few standard errors of the paired difference, at a step
size that falls slowly (over twice as many iterations as most fits need).

Formulas: choice of the head by held-out counts (`fit_chosen`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from napari_diptomo.reconstruct.data_terms import held_out_term, is_poisson
from napari_diptomo.reconstruct.dip.fit_loop import fit_alone, fit_network
from napari_diptomo.reconstruct.dip.network import output_of
from napari_diptomo.reconstruct.dip.settings import FitSettings, Output
from napari_diptomo.reconstruct.joined_run import JoinedRun, append_curves, latest
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.stopping import rule_for
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Finding, Observer, Watch

#: Heads that the held-out counts choose between.
HEADS: tuple[Output, ...] = ('softplus', 'shares')
#: Seeds of the two networks are so far apart; their split of the counts is the same.
_SEEDS_APART = 500
MEAN = 'mean'


@dataclass(frozen=True, eq=False)
class Candidate:
    """A finished fit.

    Attributes
    ----------
    output : str
        Its head.
    x : Tensor (channel, z, y, x)
        Its best average.
    notes, scores : mapping
        As of a volume.
    findings : tuple of Finding
        Of this fit.
    """

    output: str
    x: torch.Tensor
    notes: Mapping[str, Any]
    scores: Mapping[str, list[float]]
    findings: tuple[Finding, ...] = ()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            'output': self.output,
            'x': self.x,
            'notes': dict(self.notes),
            'scores': {name: list(curve) for name, curve in self.scores.items()},
            'findings': [finding.to_dict() for finding in self.findings],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any], device: torch.device) -> Candidate:
        """The candidate that `state` describes."""
        findings = tuple(Finding.from_dict(finding) for finding in state['findings'])
        return cls(state['output'], state['x'].to(device), state['notes'], state['scores'], findings)


def heads_of(settings: FitSettings, problem: Problem) -> tuple[Output, ...]:
    """The heads to fit: that of the settings, or all where held-out counts can choose; with HAADF the total and shares."""
    if problem.haadf is not None:
        return ('shares',)
    undecided = settings.network.output == 'auto' and problem.channels > 1
    if undecided and rule_for(problem, settings.stopping) == 'held-out':
        return HEADS
    return (output_of(settings.network, problem.maps),)


def fit_chosen(settings: FitSettings, problem: Problem, observer: Observer | None) -> Solution:
    """Fit the networks in question and return the volume that predicts the held-out counts best.

    Parameters
    ----------
    settings : FitSettings
        Of each fit; the output ``auto`` leaves the head to the counts.
    problem : Problem
        Data and forward model.
    observer : Observer, optional
        Sees one run; ``finish`` keeps the fits that are complete, or the first one as far as it is.
    """
    heads = heads_of(settings, problem)
    if len(heads) == 1:
        return fit_alone(settings.with_network(heads[0], settings.seed), problem, observer)
    run = JoinedRun(len(heads), settings.longest, observer)
    done: list[Candidate] = []
    if run.resumed is not None:
        done = [Candidate.restored(state, problem.device) for state in run.resumed['candidates']]
    for member in range(len(done), len(heads)):
        run.begin(member, lambda: {'candidates': [c.state() for c in done]}, preview_of(problem, done))
        found = fit_candidate(settings, problem, heads[member], member, run)
        if not run.finished or not done or found.notes['iterations'] == settings.longest:
            done.append(found)
        if run.finished:
            break
    return choose(settings, problem, done)


def fit_candidate(
    settings: FitSettings, problem: Problem, output: Output, member: int, observer: Observer | None
) -> Candidate:
    """Fit the network with one head; ``member`` decides its random numbers."""
    own = settings.with_network(output, settings.seed + _SEEDS_APART * member)
    found = fit_network(own, problem, Watch(observer, own.title, own.longest)).solution
    return Candidate(output, found.x, found.notes, found.scores, found.findings)


def preview_of(problem: Problem, done: Sequence[Candidate]) -> Callable[[], Any]:
    """Picture while the next network is fitted: the mean of those complete, None before there is one."""
    # The first fit is shown as it comes; from then on what is complete.
    return lambda: problem.frame(torch.stack([c.x for c in done]).mean(0)) if done else None


def choose(settings: FitSettings, problem: Problem, done: Sequence[Candidate]) -> Solution:
    """Of the finished fits and their mean, that which predicts the held-out counts best."""
    scores: dict[str, list[float]] = {}
    findings: tuple[Finding, ...] = ()
    before = 0
    for candidate in done:
        append_curves(scores, candidate.scores, before)
        findings = latest(findings, candidate.findings)
        before += int(candidate.notes['iterations'])
    if len(done) == 1:
        return Solution(done[0].x, scores, done[0].notes, findings)
    poisson = is_poisson(problem, settings.data_term)
    mean = torch.stack([c.x for c in done]).mean(0)
    volumes = {**{c.output: c.x for c in done}, MEAN: mean}
    deviances = {name: _held_out(problem, x, poisson) for name, x in volumes.items()}
    chosen = min(deviances, key=lambda name: deviances[name])
    return Solution(volumes[chosen], scores, _notes(done, deviances, chosen), findings)


def _held_out(problem: Problem, x: torch.Tensor, poisson: bool) -> float:
    found = held_out_term(problem, x, poisson)
    assert found is not None, 'a contest needs held-out counts'
    return found


def _notes(done: Sequence[Candidate], deviances: Mapping[str, float], chosen: str) -> dict[str, Any]:
    fits = {c.output: c for c in done}
    compared = [
        {
            'output': name,
            'held_out_deviance': deviance,
            **{key: fits[name].notes[key] for key in ('iterations', 'returned_iteration') if name in fits},
        }
        for name, deviance in deviances.items()
    ]
    of = fits.get(chosen, done[0])
    before = 0 if of is done[0] else int(done[0].notes['iterations'])
    which = f'the mean of {len(done)} networks' if chosen == MEAN else f'the network with the head {chosen}'
    return {
        **of.notes,
        **{key: sum(c.notes[key] for c in done) for key in ('iterations', 'seconds', 'parameters')},
        # Counted along the joined curves.
        'returned_iteration': None if chosen == MEAN else before + of.notes['returned_iteration'],
        'held_out_deviance': deviances[chosen],
        'output': chosen,
        'contest': compared,
        'stopping': (
            f'compared were the heads {" and ".join(fits)} and their mean; {which} predicts the held-out counts best; '
            f'of {of.output}, {of.notes["stopping"]}'
        ),
    }
