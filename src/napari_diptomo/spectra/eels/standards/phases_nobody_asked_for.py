r"""Phases nobody asked for: signs in the standards and in the core loss that two oxides of one metal do not give.

*Oxidised further.* In Fe3O4 a third of the iron is Fe2+. No mixture of FeO and Fe3O4 has a lower leading edge of
L3 than that; haematite and maghemite have none. Leading edge and contrast of both ends must be those of some mixtures of FeO and
Fe3O4 (`purity.beyond_mixtures`); ends that lie farther outside than noise and the shapes of L3 put them are of less Fe2+. Where the purest
pixels hold more than a third of Fe2+, under a thick film of FeO, a layer of Fe2O3 and one of Fe3O4 below a
thinner film are one and the same, nothing can be distinguished, and it is said at which share of FeO that is.

*A third phase* under the edge, by the residual of two (`third_phase`).

*Another metal.* Its L2,3, where the core loss holds them (`other_metals`): far below a hundredth of the metal. And by the standards: M2,3 of
the 3d metals lie some 6 eV apart. Where one oxide holds another metal, its standard has
counts where that of the other oxide has none: with w_m the window of the metal m and S_1, S_2 of unit area,

    z_m = (sum of w_m (S_2 - S_1) - e_m) / sqrt(error^2 + d_m^2),

e_m +- d_m being what iron oxides differ by themselves. A metal shared alike by both oxides is not seen by this.
The windows lie outside of 50.5-62.5 eV, where FeO and Fe3O4 do differ. How often each is found: docs/eels-phases.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_diptomo.series import Finding
from napari_diptomo.series.oxides import metal
from napari_diptomo.spectra.eels.metal_edges import low_loss_edge
from napari_diptomo.spectra.eels.standards.other_metals import CERTAIN
from napari_diptomo.spectra.eels.standards.stored import Standards
from napari_diptomo.spectra.eels.standards.third_phase import ONCE_IN_A_HUNDRED

#: Standard deviations that are said aloud: of another metal, and of iron oxidised further; from there to a power of 90 %.
_SIGNIFICANT, _OXIDISED, _POWER = 2.5, 1.5, 1.2816
#: Windows relative to M2,3 of the metal that is asked for, eV, by the place of the other metal in the period.
_WINDOWS = {-1: (-9.0, -6.5), 1: (5.5, 8.0)}
#: What the standard of Fe3O4 has more there than that of FeO where there is iron alone, and how that scatters: means of multiplet
#: calculations and of sums of Gaussians, shares of the counts.
_EXPECTED = {-1: (-0.005, 0.007), 1: (0.005, 0.006)}
#: M2,3 of neighbours in the period lie so far apart, eV.
_APART = 6.0
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
    return (
        *_oxidised_further(standards.names, standards.notes),
        *_third(standards.names, standards.notes),
        *_in_the_core_loss(standards.names, standards.notes),
        *_other_metals(standards),
    )


def _oxidised_further(names: Sequence[str], notes: dict[str, Any]) -> tuple[Finding, ...]:
    if 'leading_edge' not in notes or notes.get('method') not in (None, 'stoichiometric'):
        return ()
    share, error = notes['leading_edge']
    # Standards that were stored by an earlier edition have the leading edge alone.
    beyond, error = notes.get('beyond_mixtures', (max(-share / error, 0.0), error))
    reduced, oxidised = names
    evidence = {'beyond mixtures': beyond, 'share of the leading edge': share, 'error': error}
    if beyond > _OXIDISED:
        return (
            Finding(
                'doubt',
                'a phase that was not asked for',
                f'The purest pixels lie {beyond:.1f} standard deviations beyond all mixtures of {reduced} and {oxidised}: the purest {oxidised} '
                f'holds less Fe2+ than {oxidised} has (leading edge {share:.2f} ± {error:.2f}). It looks like Fe2O3, haematite or '
                f'maghemite, at least in part. Its map then means Fe3+ in any oxide and not {oxidised}, a third of it is no Fe2+, and the mean '
                'valence is too low; compare with references of Fe2O3, or record L2,3 with twice the dose.',
                evidence,
            ),
        )
    same, least = _reduced_below(share, error)
    noticed = (
        f'with less than {100 * least:.0f} % it would have been noticed with a probability of 90 %'
        if least > 0
        else 'no share of it would have been noticed with certainty'
    )
    return (
        Finding(
            'note',
            'phases that were not asked for',
            f'{oxidised} is taken to be stoichiometric. Fe2O3 below {reduced} and {oxidised} below less {reduced} are one and the same: with '
            f'{100 * same:.0f} % of their iron in {reduced} the purest pixels could hold Fe2O3 instead, {noticed} (leading edge {share:.2f} ± '
            f'{error:.2f}).',
            evidence | {'share with Fe2O3': same, 'noticed below': least},
        ),
    )


def _reduced_below(share: float, error: float) -> tuple[float, float]:
    """Share x of the reduced phase in an end that Fe2O3 explains as well, and below which Fe2O3 is noticed nine times in ten.

    The leading edge of Fe2O3 beside x of the reduced phase is (3 x - 1) / 2; noticed is what lies below zero by the threshold,
    and nine times in ten what does so by 1.28 standard deviations more.
    """
    return float(np.clip((1 + 2 * share) / 3, 0.0, 1.0)), max((1 - 2 * (_OXIDISED + _POWER) * error) / 3, 0.0)


def _third(names: Sequence[str], notes: dict[str, Any]) -> tuple[Finding, ...]:
    third = notes.get('third_phase')
    if not third:
        return ()
    excess, least = third['excess'], third['least']
    evidence = {'excess over noise': excess, 'least share': least}
    if excess > ONCE_IN_A_HUNDRED:
        looks = f'It looks like {third["name"]}.' if third['name'] else 'It looks like nothing that is known here.'
        return (
            Finding(
                'doubt',
                'a third phase',
                f'The core loss holds more than {names[0]} and {names[1]}: a third component lies {excess:.1f} standard deviations above noise, most '
                f'of it at {third["energy"]:.1f} eV. {looks} Its atoms are now counted as {names[0]} and {names[1]}; look at '
                'the residual map for where it lies, and map with references of three phases.',
                evidence,
            ),
        )
    seen = (
        f'the metal itself, say, would have been found from {100 * least:.1f} % of the atoms on'
        if least < 1
        else 'at this dose none would have been found'
    )
    return (
        Finding(
            'note',
            'a third phase',
            f'{names[0]}, {names[1]} and background explain the core loss; {seen} (with a probability of 90 %).',
            evidence,
        ),
    )


def _in_the_core_loss(names: Sequence[str], notes: dict[str, Any]) -> tuple[Finding, ...]:
    candidates = notes.get('other_metals') or []
    found = [_named(names, one) for one in candidates if one['significance'] > CERTAIN]
    rest = [one for one in candidates if one['significance'] <= CERTAIN]
    if rest:
        least = ', '.join(f'{one["element"]} {100 * one["least"]:.1f} %' for one in rest)
        found.append(
            Finding(
                'note',
                'other metals',
                f'The core loss shows no other metal; of all metal atoms there would have been found, with a probability of 90 %: {least}.'
                if len(rest) == len(candidates)
                else f'No further metal was found; there would have been, with a probability of 90 %: {least}.',
                {one['element']: one['least'] for one in rest},
            )
        )
    return tuple(found)


def _named(names: Sequence[str], one: dict[str, Any]) -> Finding:
    parts = ' and '.join(
        f'{100 * share:.1f} ± {100 * error:.1f} % of the metal in {name}'
        for name, share, error in zip(names, one['shares'], one['errors'], strict=True)
    )
    return Finding(
        'doubt',
        'a metal that was not asked for',
        f'The core loss shows {one["element"]}-L2,3 at {one["energy"]:.0f} eV ({one["significance"]:.0f} standard deviations): {parts}, by the '
        f'sum rule, perhaps too little by a third. The maps called {names[0]} and {names[1]} are of phases that hold it, and its M2,3 are counted with theirs; map '
        f'it with EdgeMaps ({one["element"]}_L).',
        {'standard deviations': one['significance'], **dict(zip(names, one['shares'], strict=True))},
    )


def _other_metals(standards: Standards) -> tuple[Finding, ...]:
    element = metal(standards.names[0])
    if element not in _PERIOD:
        return ()
    maximum, place = low_loss_edge(element), _PERIOD.index(element)
    found, unseen = [], {}
    for step, (low, high) in _WINDOWS.items():
        if not 0 <= place + step < len(_PERIOD):
            continue
        window = (standards.energy >= maximum + low) & (standards.energy < maximum + high)
        if not window.any():
            continue
        what = _PERIOD[place + step]
        significance, excess, error = _excess(standards, window, _EXPECTED[step])
        least = (_SIGNIFICANT + _POWER) * error / _response(standards, window, step)
        if abs(significance) > _SIGNIFICANT:
            holder, other = (standards.names[1], standards.names[0]) if significance > 0 else standards.names
            found.append(
                Finding(
                    'doubt',
                    'a metal that was not asked for',
                    f'The standard of {holder} has {100 * abs(excess):.1f} % of its counts more than that of {other} at '
                    f'{maximum + low:.0f}-{maximum + high:.0f} eV ({abs(significance):.1f} standard deviations): it looks like '
                    f'{what}-M2,3. Atoms of {element} in {holder} are then too many; look for {what}-L2,3 in a core '
                    'loss, or in X-rays.',
                    {'excess': excess, 'standard deviations': significance},
                )
            )
        else:
            unseen[what] = least
    if unseen:
        named = ' and '.join(
            f'{what} from {100 * least:.0f} %' if least < 1 else f'no {what}' for what, least in unseen.items()
        )
        found.append(
            Finding(
                'note',
                'other metals by the standards',
                f'The standards show no M2,3 of another metal; in one of the two oxides alone {named} of its metal on would have been '
                'seen, with a probability of 90 %.',
                unseen,
            )
        )
    return tuple(found)


def _excess(standards: Standards, window: np.ndarray, expected: tuple[float, float]) -> tuple[float, float, float]:
    """Of the second standard over the first beyond what is expected: in standard deviations, as a share of the counts, its error."""
    difference = float((standards.shapes[window, 1] - standards.shapes[window, 0]).sum()) - expected[0]
    # Errors of neighbouring channels from the background go together: they are added up, not their squares.
    errors = float(np.sqrt((standards.uncertainty[window] ** 2).sum(axis=1)).sum()) / np.sqrt(3)
    error = float(np.hypot(errors, expected[1]))
    return difference / error, difference, error


def _response(standards: Standards, window: np.ndarray, step: int) -> float:
    """Gain of the window when all metal of the second oxide is the neighbour, whose edge is taken to be that of the first, moved."""
    first = standards.shapes[:, 0]
    moved = np.interp(standards.energy - step * _APART, standards.energy, first, left=0.0)
    return max(float((moved - standards.shapes[:, 1])[window].sum()), 1e-6)
