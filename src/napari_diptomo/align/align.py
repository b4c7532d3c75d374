"""The step `Align`: shifts of the images and the tilt axis, as geometry."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from napari_diptomo.align.neighbour_shifts import chained_shifts
from napari_diptomo.align.projection_matching import Match, matched_shifts
from napari_diptomo.align.specimen_motion import Axis, smallest_shifts, tilt_axis_in
from napari_diptomo.series import InputError, MapSeries, Observer, Step, Watch, param
from napari_diptomo.series.outliers import without_outliers

#: Images are binned to at most this many pixels for the projection matching.
_MATCHING_SIZE = 96
_SMALLEST = 8
#: Displacement of the images, as a fraction of their width, at which a point of the specimen is still distinguished from an outlier.
_MAY_BE_OFF = 0.2


class Align(Step):
    """Find where the specimen sits in each image.

    Neighbouring tilts are correlated from the lowest tilt outward, then all
    images are matched to the projections of one quick reconstruction. One set
    of shifts serves all channels. The counts stay as they are: shifts and axis
    go into the geometry.

    Notes
    -----
    Neighbours are correlated as by Guizar-Sicairos, Thurman and Fienup (2008, Opt. Lett. 33, 156), images matched to
    projections as by Dengler (1989, Ultramicroscopy 30, 337). ``Align.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_diptomo import Align, simulate
    >>> angles = np.arange(-40, 41, 10)
    >>> drift = np.outer(np.arange(9), [0.5, 0.0])  # along y, the tilt axis
    >>> maps = simulate.tilt_series(simulate.lamella(32), angles, shifts=drift).maps
    >>> found = Align().run(maps).shifts
    >>> bool(np.abs(found[:, 0] - found[0, 0] - drift[:, 0]).max() < 0.5)
    True
    """

    title: ClassVar[str] = 'Align'

    reference: Literal['auto', 'haadf', 'maps'] = param(
        'auto', 'Images that are compared: HAADF where there are any, else the sum of the maps.'
    )
    find_axis: bool = param(
        True, 'Separate the position of the tilt axis from the shifts; the volume is the same either way.'
    )
    rounds: int = param(
        8, 'Rounds of matching all images to one quick reconstruction; 0 compares neighbours only.', ge=0, le=100
    )
    max_shift: float = param(
        0.35,
        'Largest displacement between neighbouring tilts, as a share of the image; a larger one is not accepted.',
        gt=0.0,
        le=1.0,
        advanced=True,
        label='Maximum shift',
    )
    upsampling: int = param(20, 'Displacements are found to this fraction of a pixel.', ge=1, le=200, advanced=True)

    def _run(self, maps: MapSeries, observer: Observer | None) -> MapSeries:
        images, name = self._reference_images(maps)
        order = np.argsort(maps.angles, kind='stable')
        images, angles = images[order], maps.angles[order]
        watch = Watch(observer, self.title, len(angles) - 1 + self.rounds)
        chain = chained_shifts(images, angles, self.upsampling, self.max_shift * max(images.shape[1:]), watch)
        match = self._match(images, angles, chain.shifts, watch)
        shifts = smallest_shifts(match.shifts, angles, match.height)
        axis = tilt_axis_in(shifts, angles, images.shape[2] / 2) if self.find_axis else Axis(0.0, float('inf'))
        shifts[:, 1] -= axis.shift * (1 - np.cos(np.deg2rad(angles)))
        in_place = np.empty_like(shifts)
        in_place[order] = shifts
        found = {
            'reference': name,
            'method': 'neighbours correlated from the lowest tilt outward'
            + (', then matched to the projections of a reconstruction' if self.rounds else ''),
            'largest_shift': float(np.abs(shifts).max()),
            'rms_shift': float(np.sqrt((shifts**2).mean())),
            'rounds': match.rounds,
            'correlation_before': match.before,
            'correlation_after': match.after,
            'axis_shift': axis.shift,
            'axis_uncertainty': axis.uncertainty if np.isfinite(axis.uncertainty) else None,
            'doubtful_angles': [float(angles[i]) for i in chain.doubtful],
            'seconds': watch.seconds,
        }
        return replace(maps, shifts=in_place, axis_shift=axis.shift, notes={**maps.notes, 'align': found})

    def _reference_images(self, maps: MapSeries) -> tuple[np.ndarray, str]:
        if self.reference == 'haadf' and maps.haadf is None:
            raise InputError('There are no HAADF images to align; choose the maps as reference.')
        use_haadf = maps.haadf is not None and self.reference != 'maps'
        haadf = maps.haadf if use_haadf else None
        images = _without_outliers(maps, maps.data if haadf is None else haadf[None]).sum(axis=0)
        what = 'HAADF images' if use_haadf else 'sum of the maps'
        if len(images) < 2:
            raise InputError('There is one tilt only; nothing can be aligned to it.')
        if min(images.shape[1:]) < _SMALLEST:
            raise InputError(
                f'Images of {images.shape[2]} x {images.shape[1]} pixels are too small to be aligned; bin them less.'
            )
        flat = [float(angle) for angle, image in zip(maps.angles, images, strict=True) if np.ptp(image) == 0]
        if flat:
            raise InputError(
                f'The {what} at {flat[0]:g} deg is empty, so it cannot be aligned; leave this tilt out or '
                'choose another reference.'
            )
        # A detector's dark level is no mass.
        return images - (np.percentile(images, 1) if use_haadf else 0.0), what

    def _match(self, images: np.ndarray, angles: np.ndarray, shifts: np.ndarray, watch: Watch) -> Match:
        if self.rounds == 0:
            return Match(shifts, 0.0, 0.0, 0, 0.0)
        n = -(-max(images.shape[1:]) // _MATCHING_SIZE)
        # Fitted maps may be negative; clipped before binning their noise would turn into mass.
        small = np.maximum(_binned(images, n), 0)
        found = matched_shifts(small, angles, shifts / n, self.upsampling, self.rounds, watch, len(angles) - 1)
        return replace(found, shifts=found.shifts * n, height=found.height * n)


def _without_outliers(maps: MapSeries, data: np.ndarray) -> np.ndarray:
    """Images (channel, tilt, y, x) of a series; what stands in for an outlier is only compared, never reconstructed."""
    missing = maps.missing if data is maps.data else None
    names = tuple(f'image {i + 1}' for i in range(len(data)))
    images = MapSeries(data, maps.angles, names, missing=missing)
    return np.asarray(without_outliers(images, _MAY_BE_OFF * max(data.shape[2:]))[0].data, float)


def _binned(images: np.ndarray, n: int) -> np.ndarray:
    """Mean of n x n pixels about the middle, so that shifts scale by n alone."""
    tilts, ny, nx = images.shape
    y0, x0 = (ny % n) // 2, (nx % n) // 2
    y, x = ny // n, nx // n
    return images[:, y0 : y0 + y * n, x0 : x0 + x * n].reshape(tilts, y, n, x, n).mean(axis=(2, 4))
