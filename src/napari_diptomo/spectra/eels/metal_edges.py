"""The shallow edge of a 3d metal, M2,3: where it lies and which channels of the low loss belong to it."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.oxides import metal
from napari_diptomo.spectra.common.exspy_adapter import edge_onsets

#: Relative to the maximum of the edge, eV: where it begins, where its counts are counted, what standards are looked for in.
ONSET, COUNTED, LOOKED_AT = -9.0, (-10.0, 5.0), (-23.0, 38.0)


def shallow_edge(element: str) -> float:
    """Maximum of the shallow edge (M2,3) of a 3d metal, eV.

    Raises
    ------
    InputError
        An element without one.
    """
    found = edge_onsets().get(f'{element}_M3')
    if found is None or f'{element}_L3' not in edge_onsets():
        raise InputError(
            f'{element} has no M2,3 and L2,3 edges; oxidation states are mapped of 3d metals, e.g. Fe, Mn, Co.'
        )
    return found


def counted(element: str, energy: np.ndarray) -> np.ndarray:
    """Channels in which edge counts are counted, (energy,), bool."""
    low, high = counted_range(element)
    inside: np.ndarray = (energy >= low) & (energy < high)
    return inside


def counted_range(element: str) -> tuple[float, float]:
    """Where edge counts are counted, eV: 47-62 of iron."""
    edge = shallow_edge(element)
    return edge + COUNTED[0], edge + COUNTED[1]


def name(oxides: tuple[str, ...]) -> str:
    """Of the edge of the metal of these oxides, e.g. Fe-M2,3."""
    return f'{metal(oxides[0])}-M2,3'
