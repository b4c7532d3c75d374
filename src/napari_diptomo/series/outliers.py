r"""Outlier pixels in tilt series of maps: hot and dead pixels, cosmic rays, read-out faults.

A value v is compared with the eight pixels around it in its own image. It is a
candidate when it is more than `_RATIO` times the third largest of them, r (for spots of up to 2 x 2 pixels: of
the sixteen around those), and
stands out of the counting noise by more than `_SIGMAS` standard deviations,

    z = sqrt(2 (q log(q / l) - (q - l))),   q = v / phi,  l = r / phi + 1/2,

the root of the Poisson deviance in quanta of phi; phi is the variance over the
mean, from the mixed differences of squares of four pixels (free of any plane
gradient), lower quartile over tiles, which outliers do not move. Maps with a
variance of their own must stand out of that as well. Dead pixels are compared
with the third smallest likewise.

A point of the specimen can do all this: a precipitate of one voxel does. But it
is in every image, at tilt t' within (w / 2) (1 + |sin t|) / cos t |t' - t| of the
column where it was, w the width of the image. So a candidate is an outlier only if the
neighbouring tilts contradict it: most of them hold nothing within that band,
widened by what the alignment may be off, that stands out of its surroundings by
a quarter as much. A tilt whose band reaches beyond the image does not count, as
the point may have left the field; but it cannot be absent on both sides. At the
first and the last tilt it may, and is compared with the strongest contrasts of
the others there. What stands out no more than much else in the other tilts is left. A pixel that is hot at the same position in most
images is an outlier where no point of a specimen can stay there as it tilts.

Formulas: outlier pixels (`outlier_pixels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from napari_diptomo.series.data import MapSeries
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.tilts import angles_in_words

#: Times the third largest neighbour, and standard deviations, from which on a pixel is a candidate.
_RATIO, _SIGMAS = 4.0, 9.0
#: Fewer quanta than these cannot stand out by so much.
_LEAST_QUANTA = 20.0
#: Fraction of the contrast that another tilt has to show of a point, and of a hole.
_SUPPORT, _HOLE_SUPPORT = 0.25, 0.5
#: Below this part of that fraction a tilt shows nothing of it at all.
_NOTHING = 0.4
#: Cosine of the steepest tilt at which matter beside the field of view is taken into account.
_STEEPEST = 0.3
#: Tilts on either side that are asked.
_BESIDE = 2
#: What the alignment may be off, pixels and as a fraction of the width of the image.
_SLACK, _SLACK_FRACTION = 3, 0.08
#: At the edge of the first and last tilt no other can contradict: times the strongest contrasts in the others.
_BEYOND_ALL = 30.0
#: Where many points of a specimen are as strong, images displaced by more than the slack must not cost one of them: an
#: outlier exceeds the contrast in the other tilts that this fraction of their pixels has so many times, once at least.
_UNLIKE, _TYPICAL_RANK = ((2e-3, 2.0), (0.05, 20.0)), 3
#: Fraction of the tilts in which a hot pixel of the detector shows, and by how many pixels no point can stay there.
_FIXED, _LEAST_FIXED, _CANNOT_STAY = 0.5, 4, 1.0
#: Outliers beside outliers are found once these are known.
_PASSES = 6
#: Pixels along the tiles for phi.
_TILE = 8
#: Fraction of the data beyond which outliers are a doubt.
MANY = 1e-3


def outlier_pixels(maps: MapSeries, slack: float | None = None) -> np.ndarray:
    """Outliers of a series; bool like ``maps.data``.

    Parameters
    ----------
    maps : MapSeries
        Maps or windows; what is missing is no outlier.
    slack : float, optional
        Pixels by which the images may be displaced against their shifts; default
        3, or 8 % of the width where that is more.
    """
    found = np.zeros(maps.data.shape, bool)
    if maps.data.shape[1] < 2 or not _has_neighbours(maps.data.shape):
        return found
    geometry = _Geometry.of(maps, slack)
    for c in range(len(maps.data)):
        known = found[c] if maps.missing is None else maps.missing[c]
        channel = maps.data[c].astype(np.float64)
        variance = None if maps.variance is None else maps.variance[c]
        phi = _variance_over_mean(channel)
        for _ in range(_PASSES):
            gone = found[c] | known
            new = _one_pass(_stand_in(channel, gone), variance, phi, geometry) & ~gone
            if not new.any():
                break
            found[c] |= new
    return found


def without_outliers(maps: MapSeries, slack: float | None = None) -> tuple[MapSeries, tuple[Finding, ...]]:
    """The same maps with their outliers marked as missing, and a finding where there are any.

    Missing data carry no weight in a reconstruction. So that checks of totals and
    noise are not disturbed, a value around them stands in for each: the lower
    median of the eight pixels around it. ``slack`` as for `outlier_pixels`.
    """
    outliers = outlier_pixels(maps, slack)
    missing = outliers if maps.missing is None else maps.missing | outliers
    if not missing.any():
        return maps, ()
    filled: dict[str, Any] = {
        name: _stand_in(getattr(maps, name), missing)
        for name in ('data', 'variance', 'held_out')
        if getattr(maps, name) is not None
    }
    return replace(maps, missing=missing, **filled), _findings(maps, outliers)


def named_places(mask: np.ndarray, angles: np.ndarray, names: Sequence[str]) -> str:
    """Channels and tilts of marked pixels (channel, tilt, y, x) in words: ``'Ge at -10°, Te at 3 tilts'``."""
    words = []
    for name, channel in zip(names, mask, strict=True):
        tilts = np.flatnonzero(channel.any(axis=(1, 2)))
        if len(tilts) > 3:
            words.append(f'{name} at {len(tilts)} tilts')
        elif len(tilts):
            words.append(f'{name} at {angles_in_words(angles[tilts])}')
    return ', '.join(words[:4]) + (f' and {len(words) - 4} more' if len(words) > 4 else '')


def window_names(maps: MapSeries) -> tuple[str, ...]:
    """Names of the first axis of the data: channels, or numbered windows of mixed series."""
    return maps.channels if maps.mixing is None else tuple(f'window {w + 1}' for w in range(len(maps.data)))


def poisson_sigmas(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """By how many standard deviations counts differ from an expectation: the signed root of the Poisson deviance."""
    q, m = np.maximum(values, 0.0), np.maximum(expected, 1e-12)
    deviance = q * np.log(np.maximum(q, 1e-300) / m) - (q - m)
    return np.asarray(np.sign(values - m) * np.sqrt(2 * np.maximum(deviance, 0)))


@dataclass(frozen=True, eq=False)
class _Geometry:
    """Where a point of the specimen can be from tilt to tilt: angles (rad), shifts, reach and slack in pixels."""

    angles: np.ndarray
    shifts: np.ndarray
    reach: np.ndarray
    slack: int
    positions: np.ndarray

    @classmethod
    def of(cls, maps: MapSeries, slack: float | None) -> _Geometry:
        width = maps.data.shape[3]
        angles = np.deg2rad(maps.angles)
        shifts = np.asarray(maps.shifts, float)
        if slack is None:
            slack = max(_SLACK, _SLACK_FRACTION * width)
        shifts = shifts + np.stack([np.zeros(len(angles)), maps.axis_shift * (1 - np.cos(angles))], axis=1)
        # du/dt = z / cos t - u tan t, with z and u up to half the width.
        cosines = np.maximum(np.cos(angles), _STEEPEST)
        reach = width / 2 * (1 + np.abs(np.sin(angles))) / cosines
        return cls(angles, shifts, reach, int(np.ceil(slack)), np.arange(width) - (width - 1) / 2)

    def beside(self, t: int) -> list[tuple[int, int]]:
        """The tilts next to a tilt: how many steps away, negative to lower angles, and which."""
        order = np.argsort(self.angles, kind='stable')
        place = int(np.flatnonzero(order == t)[0])
        steps = (step for step in range(-_BESIDE, _BESIDE + 1) if step and 0 <= place + step < len(order))
        return [(step, int(order[place + step])) for step in steps]

    def is_end(self, t: int) -> bool:
        """Whether a tilt is the first or the last."""
        return not self.angles.min() < self.angles[t] < self.angles.max()


@dataclass(frozen=True)
class _Kind:
    """Pixels that are sought: brighter or darker than the ring of pixels at a distance, and the support that a point needs."""

    sign: int
    radius: int
    fraction: float


#: Single pixels, spots of up to 2 x 2, dead pixels.
_KINDS = (_Kind(1, 1, _SUPPORT), _Kind(1, 2, _SUPPORT), _Kind(-1, 1, _HOLE_SUPPORT))


def _one_pass(channel: np.ndarray, variance: np.ndarray | None, phi: float, geometry: _Geometry) -> np.ndarray:
    found = np.zeros(channel.shape, bool)
    for kind in _KINDS:
        if kind.radius > 1 and min(channel.shape[1:]) < 5:
            continue
        # Most series have no candidate, and the ranks are only needed where there is one.
        if not any(_may_stand_out(image, phi, kind).any() for image in channel):
            continue
        ranks = np.stack([_ranks(image, kind.radius) for image in channel], axis=1)
        marked = _candidates(channel, ranks, phi, kind.sign)
        contrast = kind.sign * (channel - ranks[1])
        if variance is not None and marked.any():
            noise = np.stack([_ranks(image, kind.radius)[1] for image in variance.astype(np.float64)])
            marked &= contrast > _SIGMAS * np.sqrt(np.maximum(noise, 0.02 * np.median(variance)))
        if kind.sign > 0:
            found |= _fixed(marked, geometry)
        for t in np.flatnonzero(marked.any(axis=(1, 2))):
            y, x = np.nonzero(marked[t])
            lone = _contradicted(contrast, int(t), y, x, kind.fraction, geometry)
            found[t, y[lone], x[lone]] = True
    return found


def _may_stand_out(image: np.ndarray, phi: float, kind: _Kind) -> np.ndarray:
    """Pixels that the ranks of their surroundings may make candidates: a quick sieve."""
    beside = np.zeros(image.shape, np.int8)
    for around in _around(image, kind.radius):
        beside += (_RATIO * around >= image) if kind.sign > 0 else (around <= _RATIO * image)
    few = beside < 3
    return few & ((image > _LEAST_QUANTA * phi) if kind.sign > 0 else True)


def _candidates(channel: np.ndarray, ranks: np.ndarray, phi: float, sign: int) -> np.ndarray:
    """Pixels (tilt, y, x) that their surroundings and counting noise do not explain; ranks are low, median, high."""
    if sign > 0:
        around = np.maximum(ranks[2], 0)
        return (channel > _RATIO * around) & (poisson_sigmas(channel / phi, around / phi + 0.5) > _SIGMAS)
    around = np.maximum(ranks[0], 0)
    below = (channel < around / _RATIO) & (poisson_sigmas(channel / phi, around / phi) < -_SIGMAS)
    # Fitted maps scatter below zero; what is far below it is no noise.
    negative = poisson_sigmas(-channel / phi, np.maximum(-ranks[0], 0) / phi + 0.5) > _SIGMAS
    return below | ((channel < _RATIO * np.minimum(ranks[0], 0)) & negative)


def _contradicted(
    contrast: np.ndarray, t: int, y: np.ndarray, x: np.ndarray, fraction: float, geometry: _Geometry
) -> np.ndarray:
    """Which of the pixels (y, x) of tilt t have no counterpart in the tilts beside it."""
    own = contrast[t, y, x]
    ny, nx = contrast.shape[1:]
    against, asked = np.zeros(len(y), int), np.zeros(len(y), int)
    without = {-1: np.zeros(len(y), bool), 1: np.zeros(len(y), bool)}
    next_without = np.zeros(len(y), bool)
    for step, other in geometry.beside(t):
        half = (
            int(np.ceil(max(geometry.reach[[t, other]]) * abs(geometry.angles[other] - geometry.angles[t])))
            + geometry.slack
        )
        moved = np.round(geometry.shifts[other] - geometry.shifts[t]).astype(int)
        row, column = y + moved[0], x + moved[1]
        strongest = ndimage.maximum_filter(contrast[other], (2 * geometry.slack + 1, 2 * half + 1), mode='nearest')
        there = strongest[np.clip(row, 0, ny - 1), np.clip(column, 0, nx - 1)]
        inside = (column >= half) & (column < nx - half) & (row >= 0) & (row < ny)
        asked += inside
        against += inside & (there < fraction * own)
        if half <= nx / 2:
            nothing = there < _NOTHING * fraction * own
            without[int(np.sign(step))] |= nothing
            next_without |= nothing & (abs(step) == 1)
    others = np.delete(contrast.reshape(len(contrast), -1), t, axis=0)
    # What leaves the field on one side as the specimen tilts comes further in on the other.
    contradicted = (2 * against > asked) | (without[-1] & without[1])
    if geometry.is_end(t):
        contradicted |= (asked == 0) & next_without & (own > _BEYOND_ALL * np.median(others.max(axis=1)))
    unlike = np.zeros(len(y), bool)
    for share, times in _UNLIKE:
        rank = max(_TYPICAL_RANK, int(share * ny * nx))
        unlike |= own > times * np.median(np.partition(others, -rank, axis=1)[:, -rank])
    return contradicted & unlike


def _fixed(marked: np.ndarray, geometry: _Geometry) -> np.ndarray:
    """Candidates (tilt, y, x) at the same position of most images where no point of a specimen could stay."""
    often = marked.sum(axis=0) >= max(_LEAST_FIXED, _FIXED * len(marked))
    found = np.zeros_like(marked)
    for y, x in np.argwhere(often):
        tilts = marked[:, y, x]
        track = np.stack([np.cos(geometry.angles[tilts]), np.sin(geometry.angles[tilts])], axis=1)
        column = geometry.positions[x] - geometry.shifts[tilts, 1]
        rest = column - track @ np.linalg.lstsq(track, column, rcond=None)[0]
        found[:, y, x] = tilts & (np.ptp(rest) / 2 > _CANNOT_STAY)
    return found


def _has_neighbours(shape: tuple[int, ...]) -> bool:
    return min(shape[-2:]) >= 3 or max(shape[-2:]) >= 9


def _around(image: np.ndarray, radius: int = 1) -> np.ndarray:
    """The pixels at a distance from each pixel of an image, (8 radius, y, x); along the line of a single slice the nearest."""
    ny, nx = image.shape
    if min(ny, nx) < 3:
        along = int(np.argmax(image.shape))
        padded = np.pad(image, [(4, 4) if axis == along else (0, 0) for axis in (0, 1)], mode='reflect')
        steps = [(0, d) if along else (d, 0) for d in range(9) if d != 4]
        return np.stack([padded[dy : dy + ny, dx : dx + nx] for dy, dx in steps])
    reflected = np.pad(image, radius, mode='reflect')
    # Beyond the border lies the border row itself, which may be darker than all others, but never the pixel itself.
    beyond = np.pad(image, radius, mode='edge') if radius == 1 else reflected
    sides = range(2 * radius + 1)
    return np.stack(
        [
            (reflected if radius in (dy, dx) else beyond)[dy : dy + ny, dx : dx + nx]
            for dy in sides
            for dx in sides
            if max(abs(dy - radius), abs(dx - radius)) == radius
        ]
    )


def _ranks(image: np.ndarray, radius: int = 1) -> np.ndarray:
    """Third smallest, lower median and third largest of the pixels around each, (3, y, x)."""
    around = _around(image, radius)
    ranks = [2, (len(around) - 1) // 2, len(around) - 3]
    return np.asarray(np.partition(around, ranks, axis=0)[ranks])


def _stand_in(images: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Images (..., y, x) with the lower median of what is known around in place of what is missing."""
    filled = images.copy()
    for index in map(tuple, np.argwhere(missing.any(axis=(-2, -1)))):
        image, unknown = filled[index], missing[index].copy()
        typical = np.quantile(image[~unknown], 0.5, method='lower') if not unknown.all() else 0.0
        while unknown.any() and _has_neighbours(images.shape):
            values = _around(np.where(unknown, np.nan, image))
            count = np.isfinite(values).sum(axis=0)
            now = unknown & (count > 0)
            if not now.any():
                break
            ordered = np.sort(values, axis=0)
            middle = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
            image[now] = middle[now]
            unknown &= ~now
        image[unknown] = typical
    return filled


def _variance_over_mean(channel: np.ndarray) -> float:
    """phi of the module for images (tilt, y, x): 1 at least for whole numbers, and where little can be measured."""
    whole = bool((channel == np.round(channel)).all())
    if min(channel.shape[1:]) > 1:
        mixed = channel[:, 1:, 1:] - channel[:, :-1, 1:] - channel[:, 1:, :-1] + channel[:, :-1, :-1]
        level = channel[:, 1:, 1:] + channel[:, :-1, 1:] + channel[:, 1:, :-1] + channel[:, :-1, :-1]
    else:
        line = channel.reshape(len(channel), 1, -1)
        mixed = line[..., 2:] - 2 * line[..., 1:-1] + line[..., :-2]
        level = line[..., 2:] + 4 * line[..., 1:-1] + line[..., :-2]
    squares, levels = (_tile_sums(part) for part in (mixed**2, np.abs(level)))
    bright = (levels >= np.median(levels)) & (levels > 0)
    phi = float(np.quantile(squares[bright] / levels[bright], 0.25)) if bright.any() else 0.0
    if whole:
        return max(phi, 1.0)
    filled = np.abs(channel[channel != 0])
    typical = float(np.median(filled)) if filled.size else 1.0
    return phi if phi > 1e-3 * typical else typical


def _tile_sums(values: np.ndarray) -> np.ndarray:
    starts = [np.arange(0, max(n - _TILE // 2, 1), _TILE) for n in values.shape[1:]]
    return np.asarray(np.add.reduceat(np.add.reduceat(values, starts[0], axis=1), starts[1], axis=2))


def _findings(maps: MapSeries, outliers: np.ndarray) -> tuple[Finding, ...]:
    number = int(outliers.sum())
    if not number:
        return ()
    fraction = number / outliers.size
    names = window_names(maps)
    values = maps.data[outliers]
    largest = float(values[np.abs(values).argmax()])
    _, t, *place = (int(i) for i in np.argwhere(outliers)[np.abs(values).argmax()])
    y, x = reversed(place) if maps.transposed else place
    spread = named_places(outliers, maps.angles, names)
    what = (
        f'1 pixel of the maps is an outlier ({spread}, y {y}, x {x}: {largest:.4g})'
        if number == 1
        else f'{number} pixels of the maps are outliers ({spread}; the largest {largest:.4g})'
    )
    advice = ' Look at these images: so many point to the detector, or to the fit of the spectra.'
    return (
        Finding(
            'doubt' if fraction > MANY else 'note',
            'outlier pixels',
            f'{what}: neither counting noise nor a point of the specimen, which the neighbouring tilts would show, explains '
            f'{"it; it was" if number == 1 else "them; they were"} left out of the reconstruction.'
            + (advice if fraction > MANY else ''),
            {
                'pixels': number,
                'fraction, %': 100 * fraction,
                'tilts': int(outliers.any(axis=(0, 2, 3)).sum()),
                'largest': largest,
                'tilt of the largest, deg': float(maps.angles[t]),
                **{
                    f'in {name}': int(channel.sum())
                    for name, channel in zip(names, outliers, strict=True)
                    if channel.any()
                },
            },
        ),
    )
