r"""SIRT and Poisson EM with HAADF images, only where the held-out counts do not speak against them.

A volume of the maps alone is found first; its projections say what a count of each channel is worth in the images
(`haadf_calibration`). From an empty one another is found with a step on the images after each on the maps
(`haadf_image_steps`), and the held-out counts give their verdict on the two (`haadf_verdict`); images that harm are tried with
less weight (`haadf_trials`). Where the user holds no counts out a tenth of them is, for the verdict alone, and the volume that is
returned is fitted to all counts, with the images or without.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_diptomo.reconstruct.haadf_image_steps import ImageSteps
from napari_diptomo.reconstruct.haadf_trials import TRUSTS, explained, tried, used_trial
from napari_diptomo.reconstruct.haadf_verdict import calibrated, haadf_helps, with_maps_alone
from napari_diptomo.reconstruct.iterate import FixedPointMethod, solve_fixed_point
from napari_diptomo.reconstruct.joined_solutions import JoinedSolutions
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Observer


@torch.no_grad()
def solve_with_haadf(
    problem: Problem, judged: Problem, method: FixedPointMethod, observer: Observer | None
) -> Solution:
    """The volume with the images or without, as the held-out counts choose.

    Parameters
    ----------
    problem : Problem
        With HAADF data; what the result is fitted to.
    judged : Problem
        The same with held-out counts; ``problem`` itself where it has some.
    method : FixedPointMethod
        Of each solution.
    observer : Observer, optional
        Sees one run; ``finish`` keeps what is complete, or the first or last solution as far as it is.
    """
    solutions = 1 + len(TRUSTS) + (problem is not judged)
    run = JoinedSolutions((method.iterations,) * solutions, method.title, observer)
    alone = _maps_alone(run, judged, method, 0, 'maps alone')
    if run.finished:
        return run.result(with_maps_alone(alone))
    known = calibrated(judged, alone.x)
    trials = tried(
        known,
        lambda beside, number: _beside(run, beside, method, alone, 1 + number, 'with HAADF'),
        lambda found: haadf_helps(known, found.x, alone.x, method.poisson),
        lambda: run.finished,
    )
    if run.finished:
        return run.result(with_maps_alone(alone))
    used = used_trial(trials)
    if problem is judged:
        chosen = alone if used is None else used.solution
    elif used is None:
        chosen = _maps_alone(run, problem, method, -1, 'all counts')
    else:
        chosen = _beside(run, problem.with_haadf(used.problem.haadf), method, used.solution, -1, 'all counts')
    return run.result(explained(chosen, trials, problem.maps.channels))


def _maps_alone(run: JoinedSolutions, problem: Problem, method: FixedPointMethod, place: int, what: str) -> Solution:
    by_itself = problem.with_haadf(None)
    return run.solve(place, what, lambda watch: solve_fixed_point(by_itself, method, watch))


def _beside(
    run: JoinedSolutions, problem: Problem, method: FixedPointMethod, earlier: Solution, place: int, what: str
) -> Solution:
    """With the images, whose offset and gain are fitted to an earlier solution first."""
    images = ImageSteps(problem, earlier.x, method.kind)
    found = run.solve(place, what, lambda watch: solve_fixed_point(problem, method, watch, beside=images.beside))
    return replace(found, notes={**found.notes, 'haadf': images.notes(found.x)})
