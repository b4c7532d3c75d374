r"""Phases nobody asked for: signs in the standards that two oxides of one metal do not give.

*Oxidised further.* In Fe3O4 a third of the iron is Fe2+. No mixture of FeO and Fe3O4 has a lower leading edge of
L3 than that; haematite and maghemite have none. In the plane of FeO and Fe3+ a layer of Fe2O3 below a film of FeO and a
layer of Fe3O4 below a thinner film are one and the same, so what decides is the sign of
the share s of FeO in the purest pixels (`leading_edge`): below zero they hold less Fe2+ than Fe3O4. With a
film so thick that s is positive all the same, nothing can be distinguished, and it is said how much would have been seen.

*Another metal.* M2,3 of the 3d metals lie some 6 eV apart. Where one oxide holds another metal, its standard has
counts where that of the other oxide has none: with w_m the window of the metal m and S_1, S_2 of unit area,

    z_m = (sum of w_m (S_2 - S_1) - e_m) / sqrt(error^2 + d_m^2),

e_m +- d_m being what iron oxides differ by themselves. A metal shared alike by both oxides is not seen.
The windows lie outside of 50.5-62.5 eV, where FeO and Fe3O4 do differ. How often each is found: docs/eels-purity.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_diptomo.series import Finding
from napari_diptomo.series.oxides import metal
from napari_diptomo.spectra.eels.metal_edges import low_loss_edge
from napari_diptomo.spectra.eels.standards.stored import Standards

#: Standard deviations that are said aloud: of another metal, and of iron oxidised further.
_SIGNIFICANT, _OXIDISED = 2.5, 2.0
#: Windows relative to M2,3 of the metal that is asked for, eV, by the place of the other metal in the period.
_WINDOWS = {-1: (-9.0, -6.5), 1: (5.5, 8.0)}
#: What the standard of Fe3O4 has more there than that of FeO where there is iron alone, and how that scatters: means of multiplet
#: calculations and of sums of Gaussians, shares of the counts.
_EXPECTED = {-1: (-0.005, 0.007), 1: (0.005, 0.006)}
_PERIOD = ('Ti', 'V', 'Cr', 'Mn', 'Fe', 'Co', 'Ni', 'Cu')


def unexpected_phases(standards: Standards) -> tuple[Finding, ...]:
    """Findings on phases beside the two oxides.

    Parameters
    ----------
    standards : Standards
        Found in the series or stored.

    Returns
    -------
    tuple of Finding
    """
    if len(standards.names) != 2:
        return ()
    return (*_oxidised_further(standards.names, standards.notes), *_other_metals(standards))


def _oxidised_further(names: Sequence[str], notes: dict[str, Any]) -> tuple[Finding, ...]:
    if 'leading_edge' not in notes or notes.get('method') not in (None, 'stoichiometric'):
        return ()
    share, error = notes['leading_edge']
    reduced, oxidised = names
    evidence = {'share of the leading edge': share, 'error': error}
    if share < -_OXIDISED * error:
        return (
            Finding(
                'doubt',
                'a phase that was not asked for',
                f'The purest {oxidised} holds less Fe2+ than {oxidised} has ({share:.2f} +- {error:.2f} of it would be {reduced}): it '
                f'looks like Fe2O3, haematite or maghemite, at least in part. Its map then means Fe3+ and not {oxidised}, '
                'and the mean valence is too low; compare with references of Fe2O3, or record L2,3 with twice the dose.',
                evidence,
            ),
        )
    least = max(share + _OXIDISED * error, 0.0)
    return (
        Finding(
            'note',
            'phases that were not asked for',
            f'{oxidised} is taken to be stoichiometric. Fe2O3 in its place would have been noticed from {_hidden(least):.0%} of '
            f'the iron of the purest pixels on (leading edge {share:.2f} +- {error:.2f}).',
            evidence,
        ),
    )


def _hidden(least: float) -> float:
    """Share of the Fe3O4 that may be Fe2O3 unnoticed: a third of a share of Fe2+ is what it takes away."""
    return float(min(2 * least / (1 - min(least, 0.9)), 1.0))


def _other_metals(standards: Standards) -> tuple[Finding, ...]:
    element = metal(standards.names[0])
    if element not in _PERIOD:
        return ()
    maximum, place = low_loss_edge(element), _PERIOD.index(element)
    found = []
    for step, (low, high) in _WINDOWS.items():
        if not 0 <= place + step < len(_PERIOD):
            continue
        window = (standards.energy >= maximum + low) & (standards.energy < maximum + high)
        if not window.any():
            continue
        significance, excess, least = _excess(standards, window, _EXPECTED[step])
        if abs(significance) > _SIGNIFICANT:
            holder, other = (standards.names[1], standards.names[0]) if significance > 0 else standards.names
            what = _PERIOD[place + step]
            found.append(
                Finding(
                    'doubt',
                    'a metal that was not asked for',
                    f'The standard of {holder} has {abs(excess):.1%} of its counts more than that of {other} at '
                    f'{maximum + low:.0f}-{maximum + high:.0f} eV ({abs(significance):.1f} standard deviations; {least:.1%} would have been '
                    f'seen): it looks like {what}-M2,3. Atoms of {element} in {holder} are then too many; look for {what}-L2,3 in a core '
                    'loss, or in X-rays.',
                    {'excess': excess, 'standard deviations': significance},
                )
            )
    return tuple(found)


def _excess(standards: Standards, window: np.ndarray, expected: tuple[float, float]) -> tuple[float, float, float]:
    """Of the second standard over the first beyond what is expected: in standard deviations, as a share of the counts, the least seen."""
    difference = float((standards.shapes[window, 1] - standards.shapes[window, 0]).sum()) - expected[0]
    # Errors of neighbouring channels from the background go together: they are added up, not their squares.
    errors = float(np.sqrt((standards.uncertainty[window] ** 2).sum(axis=1)).sum()) / np.sqrt(3)
    error = float(np.hypot(errors, expected[1]))
    return difference / error, difference, _SIGNIFICANT * error
