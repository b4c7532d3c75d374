r"""Shifts from the displacements between neighbouring tilts on which next neighbours agree.

The correlation of two images often has several peaks: a bar repeats along itself, a film is alike everywhere.
Each pair of neighbours i, i+1 brings its highest peaks; the path through them is taken that is highest in sum, where
every step is also asked what the images i and i+2 say of it:

    max over peaks p_i of  sum_i c_{i,i+1}(p_i) + sum_i c_{i,i+2}(p_i + p_{i+1}).

That is a shortest path over pairs of peaks (dynamic programming; G. D. Forney, Proc. IEEE 61 (1973) 268). A
point x of a flat specimen is at x cos t + s_x in image t, so the image of the lower tilt is squeezed along x to the
width of the other, never stretched beyond its field, and displacements are counted at zero tilt.

Formulas: path of neighbour displacements (`voted_shifts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_diptomo.align.overlap_correlation import OverlapCorrelation, overlap_correlation
from napari_diptomo.series import Watch

#: Peaks of each pair that are looked at.
_PEAKS = 6
#: Correlation that a tilt has with both of its neighbours at least, relative to the median of all.
_LIKE_OTHERS = 0.4


@dataclass(frozen=True)
class Votes:
    """Shifts (tilt, 2) in pixels, and the tilts that are not like either neighbour."""

    shifts: np.ndarray
    doubtful: tuple[int, ...]


@dataclass(frozen=True)
class _Pair:
    """Correlation of two tilts, in pixels of the steeper one; displacements are at zero tilt."""

    correlation: OverlapCorrelation
    scale: np.ndarray

    def at(self, displacement: np.ndarray) -> float:
        return self.correlation.at(displacement * self.scale)

    def peaks(self, largest: np.ndarray) -> list[np.ndarray]:
        return [peak / self.scale for peak in self.correlation.peaks(_PEAKS, largest)]


def voted_shifts(
    images: np.ndarray, angles: np.ndarray, largest: np.ndarray, bands: Sequence[tuple[float, float]], watch: Watch
) -> list[Votes]:
    """Place all images by the path of displacements that fits best, once for each band.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
    angles : ndarray (tilt,)
        Degrees, ascending.
    largest : ndarray (2,)
        Largest displacement between neighbours (y, x), pixels.
    bands : sequence of tuple of float
        Standard deviations of the Gaussians between which structures count, pixels: below the first they are noise,
        above the second brightness of the field.
    watch : Watch
        Steps once per pair.

    Returns
    -------
    list of Votes
        The first tilt has no shift.
    """
    cosines = np.cos(np.deg2rad(angles))
    filtered = [[_between(image, *band) for image in images] for band in bands]
    neighbours: list[list[_Pair]] = [[] for _ in bands]
    next_neighbours: list[list[_Pair]] = [[] for _ in bands]
    for i in range(len(images) - 1):
        for band, near, far in zip(filtered, neighbours, next_neighbours, strict=True):
            near.append(_pair(band, cosines, i, i + 1))
            if i + 2 < len(images):
                far.append(_pair(band, cosines, i, i + 2))
        watch.step(i + 1, message=f'{angles[i + 1]:g}°')
    return [_votes(near, far, cosines, largest) for near, far in zip(neighbours, next_neighbours, strict=True)]


def _between(image: np.ndarray, fine: float, coarse: float) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(image, fine) - ndimage.gaussian_filter(image, coarse))


def _votes(neighbours: list[_Pair], next_neighbours: list[_Pair], cosines: np.ndarray, largest: np.ndarray) -> Votes:
    peaks = [pair.peaks(largest) for pair in neighbours]
    chosen = _best_path(peaks, neighbours, next_neighbours)
    at_zero_tilt = np.concatenate([np.zeros((1, 2)), np.cumsum(chosen, axis=0)])
    heights = np.array([pair.at(step) for pair, step in zip(neighbours, chosen, strict=True)])
    return Votes(at_zero_tilt * np.stack([np.ones_like(cosines), cosines], axis=1), _unlike(heights))


def _pair(bands: list[np.ndarray], cosines: np.ndarray, i: int, j: int) -> _Pair:
    narrow = min(cosines[i], cosines[j])
    later, later_seen = squeezed(bands[j], narrow / cosines[j])
    earlier, earlier_seen = squeezed(bands[i], narrow / cosines[i])
    return _Pair(overlap_correlation(later, earlier, later_seen, earlier_seen), np.array([1.0, narrow]))


def squeezed(image: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The image (y, x) with its columns at ``factor`` <= 1 times their distance from the middle, and the pixels that show it."""
    ny, nx = image.shape
    middle = (nx - 1) / 2
    source = middle + (np.arange(nx) - middle) / factor
    seen = np.broadcast_to((source > -0.5) & (source < nx - 0.5), image.shape)
    if factor == 1:
        return image, seen
    where = np.meshgrid(np.arange(ny), source, indexing='ij')
    return ndimage.map_coordinates(image, where, order=1, mode='nearest'), seen


def _best_path(peaks: list[list[np.ndarray]], neighbours: list[_Pair], next_neighbours: list[_Pair]) -> np.ndarray:
    """The displacement of each pair on the best path, (pair, 2)."""
    best = np.array([neighbours[0].at(peak) for peak in peaks[0]])
    came_from: list[np.ndarray] = []
    for pair, over_next, before, now in zip(neighbours[1:], next_neighbours, peaks[:-1], peaks[1:], strict=True):
        total = np.array([[b + over_next.at(p + q) for p, b in zip(before, best, strict=True)] for q in now])
        came_from.append(total.argmax(axis=1))
        best = total.max(axis=1) + [pair.at(q) for q in now]
    path = [int(best.argmax())]
    for origin in reversed(came_from):
        path.append(int(origin[path[-1]]))
    return np.array([options[k] for options, k in zip(peaks, reversed(path), strict=True)])


def _unlike(heights: np.ndarray) -> tuple[int, ...]:
    """Tilts whose correlation with both neighbours (with the one, at an end) is low."""
    low = heights < _LIKE_OTHERS * np.median(heights)
    beside = np.concatenate([[True], low]) & np.concatenate([low, [True]])
    return tuple(int(i) for i in np.flatnonzero(beside))
