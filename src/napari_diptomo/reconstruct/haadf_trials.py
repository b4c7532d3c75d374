r"""HAADF images in less and less weight, until the held-out counts do not speak against them.

Where they do at the default weight, the images are tried with a third of it, and then with a tenth: what is wrong with them by
a few percent would outweigh few counts. Then they have to help, not only to do no harm: of a specimen that looks nearly alike
from both sides, images with reversed tilts did none. Images that help with a tenth of their weight are of this specimen, and a
third is used if it does no harm: it brings more into the wedge.

Formulas: weight of HAADF images by held-out counts (`used_trial`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_diptomo.reconstruct.haadf_observation import TRUST
from napari_diptomo.reconstruct.haadf_verdict import Verdict, against, findings_on
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.volume import Solution

#: Weights of the images that are tried, one after the other until the held-out counts speak for one, or not against the first.
TRUSTS = (TRUST, TRUST / 3, TRUST / 10)


@dataclass(frozen=True, eq=False)
class Trial:
    """A solution with the images in one weight, and what the held-out counts say of it."""

    problem: Problem
    solution: Solution
    verdict: Verdict


def tried(
    problem: Problem,
    solved: Callable[[Problem, int], Solution],
    judged: Callable[[Solution], Verdict],
    ended: Callable[[], bool],
) -> list[Trial]:
    """Solutions with images of less and less weight, until one is kept.

    Parameters
    ----------
    problem : Problem
        With HAADF data and held-out counts.
    solved : callable
        From the problem in one weight, and the number of the trial, to its solution.
    judged : callable
        The verdict on a solution.
    ended : callable
        Whether the observer has ended the run: the trial that was under way does not count.
    """
    assert problem.haadf is not None
    trials: list[Trial] = []
    for number, trust in enumerate(TRUSTS):
        beside = problem.with_haadf(replace(problem.haadf, trust=trust))
        found = solved(beside, number)
        if ended():
            return trials
        trials.append(Trial(beside, found, judged(found)))
        if used_trial(trials) is not None:
            return trials
    return trials


def used_trial(trials: Sequence[Trial]) -> Trial | None:
    """The trial whose images are kept, None where the held-out counts speak against all."""
    first, *others = trials
    if first.verdict.helps:
        return first
    if not others or not others[-1].verdict.improves:
        return None
    return next(trial for trial in others if trial.verdict.helps)


def explained(chosen: Solution, trials: Sequence[Trial], channels: Sequence[str]) -> Solution:
    """The chosen solution with what is said of the images.

    Parameters
    ----------
    chosen : Solution
        With the images of the trial that is used, or of the maps alone.
    trials : sequence of Trial
        All of them.
    channels : sequence of str
        Of the volume.
    """
    used = used_trial(trials)
    trial = trials[0] if used is None else used
    assert trial.problem.haadf is not None
    verdict, trust = trial.verdict, trial.problem.haadf.trust
    of_images: dict[str, Any] = {**trial.solution.notes['haadf'], **chosen.notes.get('haadf', {}), 'trust': trust}
    numbers = {**of_images, 'gain': verdict.gain, 'error': verdict.error, 'used': used is not None}
    findings = (against(verdict),) if used is None else findings_on(numbers, channels, verdict)
    return replace(chosen, notes={**chosen.notes, 'haadf': numbers}, findings=(*chosen.findings, *findings))
