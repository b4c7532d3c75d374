r"""Total variation with HAADF images, only where the held-out counts do not speak against them.

A volume of the maps alone is found first, with its weight where none is given (`tv.weight_choice`); its projections say what a
count of each channel is worth in the images (`haadf_calibration`). From it another is found with the images beside the maps and
the same weight: with images the held-out counts would ask for a smaller one, which in the wedge, where they see nothing, is
worse (up to 0.8 dB, docs/tv-weight.md). Then they give their verdict (`haadf_verdict`).

Where it speaks against the images they are tried with a third of their weight, and then with a tenth: at few counts what is
wrong with them by a few percent would outweigh the counts. Then they have to help, not only to do no harm: of a specimen that
looks nearly alike from both sides, images with reversed tilts did none. Images that help with a tenth of their weight are of
this specimen, and a third is used if it does no harm: it brings more into the wedge. The volume that is returned is fitted to
all counts, with the images or without, unless the user holds some out.

Formulas: total variation with HAADF (`minimise_with_haadf`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.haadf_observation import TRUST
from napari_diptomo.reconstruct.haadf_verdict import (
    Verdict,
    against,
    calibrated,
    findings_on,
    haadf_helps,
    with_maps_alone,
)
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.joined_minimisations import JoinedMinimisations
from napari_diptomo.reconstruct.tv.minimise import solver_of
from napari_diptomo.reconstruct.tv.settings import TRUSTS, TVSettings
from napari_diptomo.reconstruct.tv.weight_choice import chosen_or_given
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Observer

#: Weights of the images that are tried, one after the other until the held-out counts speak for one, or not against the first.
_TRUSTS = (TRUST, TRUST / 3, TRUST / 10)


def minimise_with_haadf(
    problem: Problem, judged: Problem, settings: TVSettings, title: str, observer: Observer | None
) -> Solution:
    """The volume with the images or without, as the held-out counts choose.

    Parameters
    ----------
    problem : Problem
        With HAADF data; what the result is fitted to.
    judged : Problem
        The same with held-out counts; ``problem`` itself where it has some.
    settings : TVSettings
        Of each minimisation.
    title : str
        Of the method, for the observer.
    observer : Observer, optional
        Sees one run; ``finish`` keeps what is complete, or the last or only one as far as it is.
    """
    run = JoinedMinimisations(settings.lengths(True, problem is not judged), title, observer)
    maps_alone, first = judged.with_haadf(None), -1 - TRUSTS - (problem is not judged)
    choice = chosen_or_given(maps_alone, settings, run)
    if choice.best is not None:
        return run.result(with_maps_alone(choice.best))
    alone = run.minimise(maps_alone, choice.solver_for(maps_alone, settings), settings, first)
    if run.finished:
        return run.result(with_maps_alone(alone))
    trials = _tried(run, calibrated(judged, alone.x), alone, settings, first + 1)
    if run.finished:
        return run.result(with_maps_alone(alone))
    used = _used(trials)
    shown = trials[0] if used is None else used
    if problem is judged:
        chosen = alone if used is None else used.solution
    elif used is None:
        # As without images: those that are left out change nothing.
        by_itself = problem.with_haadf(None)
        chosen = run.minimise(by_itself, choice.solver_for(by_itself, settings), settings, -1)
    else:
        beside = problem.with_haadf(used.problem.haadf)
        chosen = run.minimise(beside, solver_of(beside, settings, choice.weight, used.solution.x), settings, -1)
    return run.result(choice.explained(_judged(chosen, shown, problem.maps.channels, used is not None)))


@dataclass(frozen=True, eq=False)
class _Trial:
    """A volume with the images in one weight, and what the held-out counts say of it."""

    problem: Problem
    solution: Solution
    verdict: Verdict


def _tried(
    run: JoinedMinimisations, problem: Problem, alone: Solution, settings: TVSettings, first: int
) -> list[_Trial]:
    """Volumes with images of less and less weight, until one is kept."""
    assert problem.haadf is not None
    trials: list[_Trial] = []
    for place, trust in enumerate(_TRUSTS, start=first):
        beside = problem.with_haadf(replace(problem.haadf, trust=trust))
        found = run.minimise(beside, solver_of(beside, settings, alone.notes['weight'], alone.x), settings, place)
        if run.finished:
            return trials
        poisson = is_poisson(problem, settings.data_term)
        trials.append(_Trial(beside, found, haadf_helps(problem, found.x, alone.x, poisson)))
        if _used(trials) is not None:
            return trials
    return trials


def _used(trials: Sequence[_Trial]) -> _Trial | None:
    """The trial whose images are kept, None where the held-out counts speak against all."""
    first, *others = trials
    if first.verdict.helps:
        return first
    if not others or not others[-1].verdict.improves:
        return None
    return next(trial for trial in others if trial.verdict.helps)


def _judged(chosen: Solution, trial: _Trial, channels: Sequence[str], is_used: bool) -> Solution:
    """The chosen solution with what is said of the images."""
    assert trial.problem.haadf is not None
    verdict, trust = trial.verdict, trial.problem.haadf.trust
    of_images = {**trial.solution.notes['haadf'], **chosen.notes.get('haadf', {}), 'trust': trust}
    numbers = {**of_images, 'gain': verdict.gain, 'error': verdict.error, 'used': is_used}
    findings = findings_on(numbers, channels, verdict) if is_used else (against(verdict),)
    return replace(chosen, notes={**chosen.notes, 'haadf': numbers}, findings=(*chosen.findings, *findings))
