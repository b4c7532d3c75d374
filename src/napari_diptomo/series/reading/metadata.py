"""The part of HyperSpy's metadata that is relied on, of the kinds that are relied on.

In a damaged file, or in one of another program, a branch can be a number and a
number a text. What is not of its kind counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Before the name of a branch: it is a signal.
_SIGNAL = '_sig_'
_MICROSCOPE: dict[str, Any] = {
    'beam_energy': float,
    'convergence_angle': float,
    'microscope': str,
    'Stage': {},
    'Detector': {
        'EDS': {
            'detector_type': str,
            'energy_resolution_MnKa': float,
            'elevation_angle': float,
            'azimuth_angle': float,
            'live_time': float,
            'real_time': float,
            'number_of_frames': float,
        },
        'EELS': {'spectrometer': str, 'collection_angle': float},
    },
}
_KINDS: dict[str, Any] = {
    'General': {'title': str},
    'Signal': {'quantity': str, 'signal_type': str},
    'Sample': {'elements': list, 'xray_lines': list},
    'Stage': {},
    'Acquisition_instrument': {'*': _MICROSCOPE},
}


def of_its_kind(tree: Mapping[str, Any], kinds: Mapping[str, Any] = _KINDS) -> dict[str, Any]:
    """The tree without known keys whose value is of another kind; what is not known stays as it is."""
    kept = {}
    for key, value in tree.items():
        kind = kinds.get(key, kinds.get('*'))
        if isinstance(kind, Mapping):
            if isinstance(value, Mapping):
                kept[key] = of_its_kind(value, kind)
        elif kind is None or _is(value, kind):
            kept[key] = value
    return kept


def with_signals_as_numbers(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with the numbers of signals that stand in it, as the tilts of ETSpy do, in place of these signals.

    HyperSpy writes a signal with the key ``tilts`` as a branch ``_sig_tilts`` that has its data, axes and metadata.
    """
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        if str(key).startswith(_SIGNAL):
            data = value.get('data') if isinstance(value, Mapping) else None
            if getattr(getattr(data, 'dtype', None), 'kind', '') in 'iuf':
                kept.setdefault(str(key).removeprefix(_SIGNAL), data)
        else:
            kept[key] = with_signals_as_numbers(value) if isinstance(value, Mapping) else value
    return kept


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float | np.integer | np.floating) and bool(np.isfinite(value))
    if kind is list:
        return isinstance(value, list | tuple | np.ndarray) and all(isinstance(item, str) for item in value)
    return isinstance(value, kind)
