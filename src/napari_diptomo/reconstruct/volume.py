"""From the solution of a problem to the volume that the user gets, with its notes and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from napari_diptomo.reconstruct.device import describe
from napari_diptomo.reconstruct.model_checks import FLOOR_OF_ALL, model_findings
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.second_series import of_second_axis
from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.series import Finding, MapSeries, Volume

#: Notes of the maps that the volume keeps: later stages need to know which lines or oxides the counts are of.
_KEPT = ('lines', 'beam_energy_keV', 'detector_position', 'denoised', 'oxidation')


@dataclass(frozen=True, eq=False)
class Solution:
    """Result of a method, on the grid of the solvers.

    Attributes
    ----------
    x : Tensor (channel, z, y, x)
        The solvers' variable, see `problem`.
    scores : mapping of str to list of float
        Curves over the iterations.
    notes : mapping
        How it was found, JSON-ready.
    findings : tuple of Finding
        Of the method.
    """

    x: torch.Tensor
    scores: Mapping[str, list[float]]
    notes: Mapping[str, Any]
    findings: tuple[Finding, ...] = field(default=())


def volume_of(problem: Problem, solution: Solution, settings: ProblemSettings, title: str) -> Volume:
    """The volume of a solution, its model checked against the residuals.

    Parameters
    ----------
    problem : Problem
        That was solved.
    solution : Solution
        Of it.
    settings : ProblemSettings
        From which the problem was made.
    title : str
        Name of the method.
    """
    maps = problem.maps
    common = {
        'method': title,
        'max_tilt': [float(maps.angles.min()), float(maps.angles.max())],
        'tilts': len(maps.angles),
        'statistics': statistics(maps, problem.quasi),
        'device': describe(problem.device),
    }
    common |= {key: maps.notes[key] for key in _KEPT if key in maps.notes}
    if problem.second is not None:
        common['second_axis'] = notes_on_second_axis(problem.second.maps)
    if problem.support_notes:
        common['support'] = problem.support_notes
    if settings.fit_gain and maps.gain is not None:
        common['gain'] = [float(g) for g in maps.gain.mean(axis=0)]
    return Volume(
        data=problem.frame(solution.x),
        channels=maps.channels,
        voxel_size=maps.pixel_size,
        scores=dict(solution.scores),
        notes={**common, **solution.notes},
        transposed=maps.transposed,
        recipe=None,
        findings=(*problem.findings, *_of_model(problem, solution.x, settings), *solution.findings),
    )


def _of_model(problem: Problem, x: torch.Tensor, settings: ProblemSettings) -> tuple[Finding, ...]:
    """Doubts about the model, of each series by its own residuals."""
    first, *others = problem.of_series()
    found = model_findings(first, x, settings)
    for other in others:
        # What is said of the volume itself is said once.
        of_data = [f for f in model_findings(other, x, settings) if f.about != FLOOR_OF_ALL]
        found = (*found, *map(of_second_axis, of_data))
    return found


def notes_on_second_axis(maps: MapSeries) -> dict[str, Any]:
    """Tilts of a second series and how the specimen lies in it, JSON-ready."""
    placed = maps.reinsertion
    found: dict[str, Any] = {
        'tilts': len(maps.angles),
        'max_tilt': [float(maps.angles.min()), float(maps.angles.max())],
    }
    if placed is not None:
        found |= {'turn': placed.turn, 'rotation': list(placed.rotation), 'offset_nm': list(placed.offset)}
    return found


def statistics(maps: MapSeries, quasi: bool = False) -> str:
    """The noise model in words; ``quasi``: the maps are over the variance per mean of their counts."""
    if quasi:
        return 'Poisson counts, in units of their variance over their mean'
    if 'images' in maps.notes:
        return 'Gaussian, with the variance measured on the images'
    if maps.variance is not None:
        return 'Gaussian, with the variance of the spectral fit'
    return 'Poisson counts' if maps.are_counts else 'Gaussian, variance estimated from the scatter of the maps'
