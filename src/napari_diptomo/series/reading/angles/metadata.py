"""The tilt angle of a stage in HyperSpy's metadata tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Where readers put the stage tilt in HyperSpy's metadata tree.
_METADATA_KEYS = (
    'Acquisition_instrument.TEM.Stage.tilt_alpha',
    'Acquisition_instrument.SEM.Stage.tilt_alpha',
    'Acquisition_instrument.TEM.tilt_stage',
    'Acquisition_instrument.SEM.tilt_stage',
    'Stage.tilt_alpha',
    'Tomography.tilts',
)


def metadata_angle(metadata: Mapping[str, Any]) -> np.ndarray | None:
    """The stage tilt in a HyperSpy metadata tree, in degrees: an array of one or of several."""
    return next(iter(all_metadata_angles(metadata).values()), None)


def all_metadata_angles(metadata: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """All that a HyperSpy metadata tree says of the stage tilt, by the place where it stands."""
    found = {}
    for key in _METADATA_KEYS:
        branch: Any = metadata
        for part in key.split('.'):
            branch = branch.get(part) if isinstance(branch, Mapping) else None
        if branch is None:
            continue
        try:
            values = np.atleast_1d(np.asarray(branch, float)).ravel()
        except (TypeError, ValueError):
            continue
        if values.size and np.isfinite(values).all():
            found[key] = values
    return found
