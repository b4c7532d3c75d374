r"""The verdict of held-out counts on HAADF images, and what is said of it.

A volume is fitted to the maps alone; its projections say what a count of each channel is worth in the images
(`haadf_calibration`). Another is fitted with the images. The counts held out from both say whether the images helped or
harmed: their deviance with the images less that without has a standard error, as it is a mean over the same data.

The held-out counts see the projections that were measured, not the missing wedge: images that contradict the maps there
show it here, images that err in the wedge alone do not.

Formulas: choice between a volume with and without HAADF (`haadf_helps`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from napari_diptomo.reconstruct.haadf_calibration import intensity_of_volume
from napari_diptomo.reconstruct.haadf_observation import TRUST
from napari_diptomo.reconstruct.haadf_particles import finding_on
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.stopping import paired_gain
from napari_diptomo.reconstruct.volume import Solution
from napari_diptomo.series import Finding
from napari_diptomo.series.tilts import angles_in_words

#: Standard errors by which the held-out deviance may be higher with the images than without.
_TOLERATED = 1.0
#: Misfit of a tilt over the median from which it is named, and misfit over the images' range from which they are doubted.
_ODD, _LARGE = 2.0, 0.12
#: Share of the intensity in no map from which the images are doubted.
_FOREIGN = 0.3


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

    @property
    def improves(self) -> bool:
        """Whether the held-out counts are predicted better with them, by more than the standard error."""
        return self.gain > self.error


def haadf_helps(problem: Problem, given: torch.Tensor, alone: torch.Tensor, poisson: bool) -> Verdict:
    """The verdict of the held-out counts on two volumes (channel, z, y, x), with and without the images."""
    with torch.no_grad():
        return Verdict(*paired_gain(problem, problem.expected(alone), problem.expected(given), poisson))


def calibrated(problem: Problem, alone: torch.Tensor) -> Problem:
    """The problem with weights and damping that follow from a volume (channel, z, y, x) of the maps alone."""
    assert problem.haadf is not None
    return problem.with_haadf(replace(problem.haadf, intensity=intensity_of_volume(problem, alone)))


def findings_on(numbers: Mapping[str, Any], channels: Sequence[str], verdict: Verdict | None) -> tuple[Finding, ...]:
    """Findings on images that were used.

    Parameters
    ----------
    numbers : mapping
        See `HAADFObservation.notes`.
    channels : sequence of str
        Of the volume.
    verdict : Verdict or None
        Of the held-out counts, None where they were not asked.
    """
    weights = ', '.join(f'{c} {w:.3g}' for c, w in zip(channels, numbers['weights'], strict=True))
    judged = 'whether they help was not asked of held-out counts'
    if verdict is not None:
        judged = f'the held-out counts are predicted {_compared(verdict)}'
    if numbers.get('trust', TRUST) < TRUST:
        judged += (
            f', the images weighing {TRUST / numbers["trust"]:.0f} times less than by default (by default they harmed)'
        )
    displaced = float(np.sqrt(np.mean(np.square(numbers['shifts']))))
    sentence = (
        f'{len(numbers["angles"])} HAADF images from {min(numbers["angles"]):g}° to {max(numbers["angles"]):g}° were fitted '
        f'with the maps: {judged}. Intensity per count: {weights}; {100 * numbers["unmapped"]:.0f} % of it from matter that no map '
        f'holds; displaced by {displaced:.2g} pixels rms; misfit {100 * numbers["misfit"]:.1f} % of the range.'
    )
    evidence = {'misfit': numbers['misfit'], 'unmapped': numbers['unmapped'], 'displaced': displaced}
    findings = [Finding('note', 'HAADF series', sentence, evidence)]
    if numbers['misfit'] > _LARGE:
        words = f'The HAADF images differ from what the volume makes expect by {100 * numbers["misfit"]:.0f} % of their range; they weigh little.'
        findings.append(Finding('doubt', 'HAADF series', words, evidence))
    if numbers['unmapped'] > _FOREIGN:
        words = (
            f'{100 * numbers["unmapped"]:.0f} % of the HAADF intensity come from matter that no map holds: map what is bright in '
            'the images, or check that they are of this specimen.'
        )
        findings.append(Finding('doubt', 'HAADF series', words, evidence))
    each = np.array(numbers['misfits'])
    odd = np.flatnonzero(each > _ODD * np.median(each))
    if odd.size:
        where = angles_in_words(np.asarray(numbers['angles'])[odd], 6)
        words = f'HAADF images at {where} differ from the others (diffraction, displacement, dirt?); they weigh less.'
        findings.append(
            Finding('doubt', 'HAADF series', words, {'tilts': len(odd), 'worst': float(each.max() / np.median(each))})
        )
    return (*findings, *finding_on(numbers.get('particles', ())))


def _compared(verdict: Verdict) -> str:
    error = max(verdict.error, 1e-30)
    if abs(verdict.gain) <= error:
        return 'as well as without them'
    return f'{"better" if verdict.gain > 0 else "worse"} than without them ({abs(verdict.gain) / error:.1f} standard errors)'


def against(verdict: Verdict, is_short: bool = False) -> Finding:
    """The finding on images that are left out, of a fit that is long enough for them or short."""
    sentence = (
        'The HAADF images are left out: with them the held-out counts are predicted worse '
        f'({-verdict.gain / max(verdict.error, 1e-30):.1f} standard errors). '
        + (
            'After so few iterations that says little of the images.'
            if is_short
            else 'Check that they are of this specimen, and their angles.'
        )
    )
    return Finding('doubt', 'HAADF series', sentence, {'gain': verdict.gain, 'error': verdict.error})


def with_maps_alone(solution: Solution) -> Solution:
    """The solution of a run that was ended before the images had been judged, with what is to be said of them."""
    sentence = 'The run was ended before the HAADF images were in the volume: it is that of the maps alone.'
    return replace(solution, findings=(*solution.findings, Finding('note', 'HAADF series', sentence)))
