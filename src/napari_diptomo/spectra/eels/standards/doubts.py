"""Findings on the standards: how pure the purest pixels are, and how far references had to be moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_diptomo.series import Finding
from napari_diptomo.spectra.eels.standards.stored import Standards

#: Errors of the share of an oxide that are said aloud; residuals of references, chi2 per degree of freedom; shifts, eV.
_LARGE, _MISFIT, _FAR = 0.1, 2.0, 1.0
#: eV between the points of references, and the share of the maximum by which every second one misses the others.
_STEP, _MISSED = 0.45, 0.3


def standards_findings(standards: Standards) -> tuple[Finding, ...]:
    """Findings on purity and references.

    Parameters
    ----------
    standards : Standards
        Found in the series, by references, or stored.

    Returns
    -------
    tuple of Finding
    """
    if len(standards.names) != 2:
        return ()
    return (*_purity(standards.names, standards.notes), *_references(standards.notes))


def _purity(names: Sequence[str], notes: dict[str, Any]) -> tuple[Finding, ...]:
    reduced, oxidised = names
    key = f'{reduced}_in_the_purest_{reduced}'
    if notes.get('method') != 'stoichiometric' or key not in notes:
        return ()
    errors = np.sqrt(np.diag(notes['impurity']))
    first, second = notes[key], notes[f'{reduced}_in_the_purest_{oxidised}']
    sure = notes[f'probability_of_pure_{reduced}']
    sentence = (
        f'The purest pixels hold {first[0]:.2f} ± {first[1]:.2f} and {second[0]:.2f} ± {second[1]:.2f} of their iron in {reduced}, by leading '
        f'edge, contrast and rim; pure {reduced} has a probability of {100 * sure:.0f} %. The standards of {reduced} and {oxidised} are uncertain by '
        f'{errors[0]:.2f} and {errors[1]:.2f} of the other oxide, alike in all pixels; it is in the errors.'
    )
    large = float(errors.max()) > _LARGE
    if large:
        sentence += (
            f' That is much: give references of {reduced} and {oxidised}, standards of another series, or record the core '
            'loss where one oxide lies bare.'
        )
    evidence = {'purest reduced': first[0], 'purest oxidised': second[0], 'error': float(errors.max())}
    return (Finding('doubt' if large else 'note', 'purity of the standards', sentence, evidence),)


def _references(notes: dict[str, Any]) -> tuple[Finding, ...]:
    if 'references' not in notes:
        return ()
    (shift, error), chi2 = notes['references']['shift'], notes['references']['chi2']
    doubtful = chi2 > _MISFIT or abs(shift) > _FAR
    sentence = (
        f'The references were moved by {shift:+.2f} ± {error:.2f} eV and fit with chi2 {chi2:.2f} per channel; the error of both is in the '
        'errors of the maps. That both references share one axis is taken for granted.'
    )
    if doubtful:
        sentence += ' They are not of this instrument or not of these phases; compare them with the data on the page.'
    # Notes that earlier versions saved have no such numbers.
    step, missed = notes['references'].get('sampling', (0.0, 0.0))
    coarse = step > _STEP and missed > _MISSED
    if coarse:
        sentence += (
            f' They are sampled in steps of {step:.2g} eV, and between two points L3 changes by up to {100 * missed:.0f} % of its height: '
            'what it is there nobody knows, and the fraction may be off by a tenth. Give references with finer steps.'
        )
    evidence = {'shift': shift, 'chi2': chi2, 'step, eV': step}
    return (Finding('doubt' if doubtful or coarse else 'note', 'references', sentence, evidence),)
