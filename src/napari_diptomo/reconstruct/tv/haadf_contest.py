r"""Total variation with HAADF images, only where the held-out counts do not speak against them.

A volume of the maps alone is found first, with its weight where none is given (`tv.weight_choice`); its projections say what a
count of each channel is worth in the images (`haadf_calibration`). From it another is found with the images beside the maps and
the same weight: with images the held-out counts would ask for a smaller one, which in the wedge, where they see nothing, is
worse (up to 0.8 dB, docs/tv-weight.md). Then they give their verdict (`haadf_verdict`), and images that harm are tried with less
weight (`haadf_trials`). The volume that is returned is fitted to all counts, with the images or without, unless the user holds
some out.

Formulas: total variation with HAADF (`minimise_with_haadf`).
"""

from __future__ import annotations

from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.haadf_trials import explained, tried, used_trial
from napari_diptomo.reconstruct.haadf_verdict import calibrated, haadf_helps, with_maps_alone
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.joined_minimisations import JoinedMinimisations
from napari_diptomo.reconstruct.tv.minimise import solver_of
from napari_diptomo.reconstruct.tv.settings import TRUSTS, TVSettings
from napari_diptomo.reconstruct.tv.weight_choice import chosen_or_given
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Observer


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
    known = calibrated(judged, alone.x)
    poisson = is_poisson(known, settings.data_term)

    def solved(beside: Problem, number: int) -> Solution:
        solver = solver_of(beside, settings, alone.notes['weight'], alone.x)
        return run.minimise(beside, solver, settings, first + 1 + number)

    trials = tried(known, solved, lambda found: haadf_helps(known, found.x, alone.x, poisson), lambda: run.finished)
    if run.finished:
        return run.result(with_maps_alone(alone))
    used = used_trial(trials)
    if problem is judged:
        chosen = alone if used is None else used.solution
    elif used is None:
        # As without images: those that are left out change nothing.
        by_itself = problem.with_haadf(None)
        chosen = run.minimise(by_itself, choice.solver_for(by_itself, settings), settings, -1)
    else:
        beside = problem.with_haadf(used.problem.haadf)
        chosen = run.minimise(beside, solver_of(beside, settings, choice.weight, used.solution.x), settings, -1)
    return run.result(choice.explained(explained(chosen, trials, problem.maps.channels)))
