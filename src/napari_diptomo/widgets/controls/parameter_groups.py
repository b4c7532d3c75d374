"""Under which heading an advanced parameter stands in a long form."""

from __future__ import annotations

from collections.abc import Iterable

#: Shorter lists need no headings.
FEW = 8
OTHER = 'Other'
#: Of maps and of the composition.
FURTHER_GROUPS: dict[str, tuple[str, ...]] = {
    'Fit': (
        *('energy_min', 'energy_max', 'method', 'deconvolve', 'fit_shift', 'background_width', 'signal_width'),
        *('fine_structure', 'cross_section', 'calibrate', 'unit', 'equal_current'),
    ),
    'Standards': ('references',),
    'Factors': ('factor_table', 'factor_error', 'lines', 'window'),
    'Microscope': (
        *('energy_offset', 'beam_energy', 'convergence_angle', 'collection_angle', 'elevation', 'azimuths'),
        *('electrons', 'beam_current', 'live_time', 'solid_angle'),
    ),
    'Absorption and density': ('absorption', 'density', 'with_density', 'least_share'),
}
#: Of reconstructions.
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
    groups = FURTHER_GROUPS | GROUPS
    known = {name: heading for heading, members in groups.items() for name in members}
    found = {heading: tuple(n for n in asked if known.get(n, OTHER) == heading) for heading in (*groups, OTHER)}
    return {heading: members for heading, members in found.items() if members}
