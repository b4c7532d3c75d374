"""The part of HyperSpy's metadata that is relied on, of the kinds that are relied on.

In a damaged file, or in one of another program, a branch can be a number and a
number a text. What is not of its kind counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

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


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float | np.integer | np.floating) and bool(np.isfinite(value))
    if kind is list:
        return isinstance(value, list | tuple | np.ndarray) and all(isinstance(item, str) for item in value)
    return isinstance(value, kind)
