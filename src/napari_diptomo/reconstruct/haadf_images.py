"""Images of a HAADF series at tilts that are asked for: the recorded ones, or projections of a volume of all."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import ndimage

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import short_sirt
from napari_diptomo.series import MapSeries
from napari_diptomo.series.haadf import HAADFSeries

#: Tilts that count as the same, degrees; SIRT of all images for the others.
_SAME, _ITERATIONS = 0.75, 30


class TiltImages:
    """A HAADF series that can be asked for any tilt.

    Parameters
    ----------
    series : HAADFSeries
    """

    def __init__(self, series: HAADFSeries) -> None:
        self._series = series

    def recorded(self, angles: np.ndarray) -> np.ndarray:
        """Whether there is an image at each of some tilts, ndarray of bool (tilt,)."""
        return np.asarray(np.abs(self._series.angles[self._nearest(angles)] - angles) <= _SAME)

    def at(self, angles: np.ndarray, shifts: np.ndarray, projected: bool = False) -> np.ndarray:
        """Images at some tilts, displaced as others are that they are compared with.

        Parameters
        ----------
        angles : ndarray (tilt,)
            Degrees.
        shifts : ndarray (tilt, 2)
            Where the specimen is to lie, pixels (y, x).
        projected : bool
            Projections even where there are images, so that all are alike.

        Returns
        -------
        ndarray (tilt, y, x)
            Not a number where nothing is known.
        """
        series = self._series
        found = np.empty((len(angles), *series.images.shape[1:]))
        there = np.zeros(len(angles), bool) if projected else self.recorded(angles)
        for tilt, nearest in enumerate(self._nearest(angles)):
            if there[tilt]:
                seen = np.ones(found.shape[1:], bool) if series.missing is None else ~series.missing[nearest]
                found[tilt] = _displaced(
                    series.images[nearest], seen, shifts[tilt] - np.asarray(series.shifts)[nearest]
                )
        if not there.all():
            _, ny, nx = series.images.shape
            beam = ParallelBeam(
                angles[~there], (nx, ny, nx), shifts[~there], series.axis_shift, axis_rotation=series.axis_rotation
            )
            found[~there] = beam.project(self._volume)[0]
        return found

    def _nearest(self, angles: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(self._series.angles[None] - angles[:, None]).argmin(1))

    @cached_property
    def _volume(self) -> np.ndarray:
        """SIRT (1, z, y, x) of all images less their level."""
        series = self._series
        if series.missing is not None:
            series = series.at(np.logical_not(series.missing.all(axis=(1, 2))))
        signal = np.maximum(series.images - np.percentile(series.images, 5, axis=(1, 2), keepdims=True), 0)[None]
        maps = MapSeries(
            signal,
            series.angles,
            ('HAADF',),
            shifts=series.shifts,
            axis_shift=series.axis_shift,
            axis_rotation=series.axis_rotation,
            missing=None if series.missing is None else series.missing[None],
        )
        return np.asarray(short_sirt(Problem(maps), _ITERATIONS).numpy())


def _displaced(image: np.ndarray, seen: np.ndarray, move: np.ndarray) -> np.ndarray:
    """An image moved by some pixels (y, x); what came from beyond its edge, by more than half a pixel, is not known."""
    image = image.astype(np.float64)
    if move.any():
        image = ndimage.shift(image, move, order=1, mode='nearest')
        seen = ndimage.shift(seen.astype(np.float64), move, order=0, mode='grid-constant') > 0.5
    return np.where(seen, image, np.nan)
