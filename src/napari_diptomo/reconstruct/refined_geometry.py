"""The geometry that a volume was made with: shifts that its run refined are in its notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from napari_diptomo.series import MapSeries
from napari_diptomo.series.haadf_of_series import own_images

#: Name of the note.
NOTE = 'shift_refinement'


def in_geometry_of(notes: Mapping[str, Any], maps: MapSeries) -> MapSeries:
    """Maps with the shifts that their volume was made with.

    Parameters
    ----------
    notes : mapping
        Of the volume.
    maps : MapSeries
        What was reconstructed, as it was aligned.

    Returns
    -------
    MapSeries
        ``maps`` themselves where nothing was refined; tilts that the refinement did not see stay where they are. HAADF images
        of the same scan go with them.
    """
    note = notes.get(NOTE)
    if not note or not note.get('used'):
        return maps
    shifts = np.array(maps.shifts, float)
    left = list(zip(note['angles'], note['shifts'], strict=True))
    for t, angle in enumerate(maps.angles):
        # Tilts may be repeated: each takes the first of its angle that is left.
        found = next((k for k, (known, _) in enumerate(left) if abs(known - angle) < 1e-3), None)
        if found is not None:
            shifts[t] = left.pop(found)[1]
    haadf, which = maps.haadf_series, own_images(maps)
    if haadf is not None and which is not None:
        beside = np.array(haadf.shifts, float)
        beside[which] += shifts - np.asarray(maps.shifts)
        haadf = replace(haadf, shifts=beside)
    return replace(maps, shifts=shifts, haadf_series=haadf)
