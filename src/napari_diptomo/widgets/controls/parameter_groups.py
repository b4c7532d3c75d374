"""Under which heading an advanced parameter stands in a long form."""

from __future__ import annotations

from collections.abc import Iterable

#: Shorter lists need no headings.
FEW = 8
OTHER = 'Other'
GROUPS: dict[str, tuple[str, ...]] = {
    'Data': (
        'slab_tilt',
        'slab_tip',
        'slab_offset',
        'slab_margin',
        'support_box',
        'support_file',
        'fit_gain',
        'refine_shifts',
        'data_term',
        'scale',
        'sum_rule',
        'densities',
        'sum_rule_weight',
        'tv',
        'coupling',
    ),
    'Network': (
        'widths',
        'skips',
        'normalisation',
        'layout',
        'coarse_share',
        'head',
        'output',
        'padding',
        'input_channels',
        'input_smoothing',
        'input_std',
        'jitter',
        'jitter_decay',
        'optimiser',
        'learning_rate',
        'schedule',
        'clip',
        'averaging',
    ),
    'Stopping': ('holdout', 'stopping', 'tolerance'),
    'Memory and repetition': ('device', 'precision', 'seed'),
}


def grouped(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Names of parameters by heading, in the order of the headings; one empty heading where there are few.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    dict of str to tuple of str
        Headings without a parameter are left out.
    """
    asked = list(names)
    if len(asked) <= FEW:
        return {'': tuple(asked)}
    known = {name: heading for heading, members in GROUPS.items() for name in members}
    found = {heading: tuple(n for n in asked if known.get(n, OTHER) == heading) for heading in (*GROUPS, OTHER)}
    return {heading: members for heading, members in found.items() if members}
