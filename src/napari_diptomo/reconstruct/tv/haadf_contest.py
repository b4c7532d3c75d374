r"""Total variation with HAADF images, only where the held-out counts do not speak against them.

A volume of the maps alone is found first; its projections say what a count of each channel is worth in the images
(`haadf_calibration`). From it another is found with the images beside the maps, and the held-out counts give their verdict
(`haadf_verdict`). Where it speaks against the images they are tried once more, with a third of their weight: at few counts
what is wrong with them by a few percent would outweigh the counts. Then they have to help, not only to do no harm: of a
specimen that looks nearly alike from both sides, images with reversed tilts did none. The volume that is returned is fitted
to all counts, with the images or without, unless the user holds some out.

Formulas: total variation with HAADF (`minimise_with_haadf`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.haadf_observation import TRUST
from napari_diptomo.reconstruct.haadf_verdict import Verdict, against, calibrated, findings_on, haadf_helps
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.joined_minimisations import JoinedMinimisations
from napari_diptomo.reconstruct.tv.minimise import solver_of
from napari_diptomo.reconstruct.tv.settings import TRUSTS, TVSettings
from napari_diptomo.reconstruct.tv.weight_choice import chosen_or_given
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Observer

#: Weights of the images that are tried, one after the other until the held-out counts do not speak against one.
_TRUSTS = (TRUST, TRUST / 3)


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
    if run.finished and choice.best is not None:
        return run.result(choice.best)
    alone = run.minimise(maps_alone, choice.solver_for(maps_alone, settings), settings, first)
    if run.finished:
        return run.result(alone)
    images = calibrated(judged, alone.x).haadf
    assert images is not None
    verdicts: list[Verdict] = []
    for place, trust in enumerate(_TRUSTS, start=first + 1):
        images = replace(images, trust=trust)
        beside = judged.with_haadf(images)
        given = run.minimise(beside, solver_of(beside, settings, choice.weight, alone.x), settings, place)
        if run.finished:
            return run.result(alone)
        verdicts.append(haadf_helps(judged, given.x, alone.x, is_poisson(judged, settings.data_term)))
        is_used = verdicts[-1].improves if verdicts[1:] else verdicts[-1].helps
        if is_used:
            break
    if problem is judged:
        chosen = given if is_used else alone
    elif is_used:
        beside = problem.with_haadf(images)
        chosen = run.minimise(beside, solver_of(beside, settings, choice.weight, given.x), settings, -1)
    else:
        # As without images: those that are left out change nothing.
        by_itself = problem.with_haadf(None)
        chosen = run.minimise(by_itself, choice.solver_for(by_itself, settings), settings, -1)
    of = {**given.notes['haadf'], **chosen.notes.get('haadf', {}), 'trust': images.trust}
    return run.result(
        choice.explained(_judged(chosen, of, problem.maps.channels, verdicts[-1 if is_used else 0], is_used))
    )


def _judged(
    chosen: Solution, of_images: Mapping[str, Any], channels: Sequence[str], verdict: Verdict, is_used: bool
) -> Solution:
    """The chosen solution with what is said of the images."""
    numbers = {**of_images, 'gain': verdict.gain, 'error': verdict.error, 'used': is_used}
    findings = findings_on(numbers, channels, verdict) if is_used else (against(verdict),)
    return replace(chosen, notes={**chosen.notes, 'haadf': numbers}, findings=(*chosen.findings, *findings))
