"""How well the preview of a running reconstruction explains the maps of each element, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_diptomo.series import MapSeries, Observer, Volume


def misfit_of_preview(
    frame: np.ndarray, iteration: int, maps: MapSeries, noted: Mapping[str, Any]
) -> Callable[[Observer], str]:
    """One sentence with the misfit of each channel; empty for a preview that is coarser than the maps.

    Parameters
    ----------
    frame : ndarray (channel, z, y, x)
        The preview.
    iteration : int
        Of the preview.
    maps : MapSeries
        What is being reconstructed.
    noted : mapping
        Notes of the run so far: shifts that it has refined are those of the preview.
    """
    # The run takes further notes meanwhile.
    noted = dict(noted)

    def compare_preview(observer: Observer) -> str:
        from napari_diptomo.assess import consistency

        if frame.shape[2:] != maps.data.shape[2:]:
            return ''
        found = consistency(Volume(frame, maps.channels, maps.pixel_size, notes=noted), maps)
        each = ', '.join(
            f'{name} {value:.2f}' for name, value in zip(found.channels, found.misfit.mean(axis=1), strict=True)
        )
        return f'Misfit at iteration {iteration}: {each} (1 is the noise of the maps).'

    return compare_preview
