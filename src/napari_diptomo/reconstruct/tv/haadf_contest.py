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
from napari_diptomo.reconstruct.joined_run import JoinedRun, append_curves
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.minimise import TVSettings, minimise
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Observer, Watch

#: Weights of the total variation that are tried with images: the one that the maps alone ask for, and the next smaller ones.
_WEIGHTS = 3
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
    run = _Run(1 + len(_TRUSTS) + (problem is not judged), settings, title, observer)
    alone = run.minimise(judged.with_haadf(None))
    if run.finished:
        return run.result(alone)
    images = calibrated(judged, alone.x).haadf
    assert images is not None
    begin = settings.weights.index(alone.notes['weight'])
    weights = settings.weights[begin : begin + _WEIGHTS]
    verdicts: list[Verdict] = []
    for trust in _TRUSTS:
        images = replace(images, trust=trust)
        given = run.minimise(judged.with_haadf(images), alone, weights=weights)
        if run.finished:
            return run.result(alone)
        verdicts.append(haadf_helps(judged, given.x, alone.x, is_poisson(judged, settings.data_term)))
        is_used = verdicts[-1].improves if verdicts[1:] else verdicts[-1].helps
        if is_used:
            break
    if problem is judged:
        chosen = given if is_used else alone
    elif is_used:
        chosen = run.minimise(problem.with_haadf(images), given, last=True)
    else:
        # From an empty volume: images that are left out change nothing.
        chosen = run.minimise(problem.with_haadf(None), last=True)
    of = {**given.notes['haadf'], **chosen.notes.get('haadf', {}), 'trust': images.trust}
    return run.result(_judged(chosen, of, problem.maps.channels, verdicts[-1 if is_used else 0], is_used))


def _judged(
    chosen: Solution, of_images: Mapping[str, Any], channels: Sequence[str], verdict: Verdict, is_used: bool
) -> Solution:
    """The chosen solution with what is said of the images."""
    numbers = {**of_images, 'gain': verdict.gain, 'error': verdict.error, 'used': is_used}
    findings = findings_on(numbers, channels, verdict) if is_used else (against(verdict),)
    return replace(chosen, notes={**chosen.notes, 'haadf': numbers}, findings=(*chosen.findings, *findings))


class _Run:
    """Minimisations as one run to the observer, their curves joined."""

    def __init__(self, fits: int, settings: TVSettings, title: str, observer: Observer | None) -> None:
        self._settings, self._title = settings, title
        self._longest = settings.iterations * len(settings.weights)
        self._joined, self._fits = JoinedRun(fits, self._longest, observer), fits
        self._done: list[Solution] = []

    @property
    def finished(self) -> bool:
        """Whether the observer ended it."""
        return self._joined.finished

    def minimise(
        self, problem: Problem, start: Solution | None = None, last: bool = False, weights: tuple[float, ...] = ()
    ) -> Solution:
        """The next one, from an empty volume or from a solution, with some weights only; ``last``: none follows."""
        settings = replace(self._settings, weights=weights or self._settings.weights)
        # Total variation has no checkpoints: nothing to record.
        self._joined.begin(self._fits - 1 if last else len(self._done), dict, lambda: None)
        watch = Watch(self._joined, self._title, self._longest)
        found = minimise(problem, settings, watch, None if start is None else start.x)
        self._done.append(found)
        return found

    def result(self, chosen: Solution) -> Solution:
        """One of the solutions with the curves of all."""
        scores: dict[str, list[float]] = {}
        before = offset = 0
        for solution in self._done:
            append_curves(scores, solution.scores, before)
            # Solutions that are judged have other notes and the same volume.
            offset = before if solution.x is chosen.x else offset
            before += int(solution.notes['iterations'])
        together: dict[str, Any] = {
            'iterations': before,
            'returned_iteration': offset + chosen.notes['returned_iteration'],
            'seconds': sum(solution.notes['seconds'] for solution in self._done),
        }
        return replace(chosen, scores=scores, notes={**chosen.notes, **together})
