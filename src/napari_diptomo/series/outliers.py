r"""Outlier pixels in tilt series of maps: hot and dead pixels, cosmic rays, read-out faults.

A value v is compared with the eight pixels around it in its own image. It is a
candidate when it is more than `_RATIO` times the third largest of them, r, and
stands out of the counting noise by more than `_SIGMAS` standard deviations,

    z = sqrt(2 (q log(q / l) - (q - l))),   q = v / phi,  l = r / phi + 1/2,

the root of the Poisson deviance in quanta of phi; phi is the variance over the
mean, from the mixed differences of squares of four pixels (free of any plane
gradient), median over tiles, which a few outliers do not move. Maps with a
variance of their own must stand out of that as well. Dead pixels are compared
with the third smallest likewise.

A point of the specimen can do all this: a precipitate of one voxel does. But it
is in every image, at tilt t' within R |t' - t| of the column where it was, R the
half diagonal of the volume. So a candidate is an outlier only if the
neighbouring tilts contradict it: most of them hold nothing within that band,
widened by what the alignment may be off, that stands out of its surroundings by
a quarter as much. A tilt whose band reaches beyond the image does not count, as
the point may have left the field; where none counts, both tilts beside it have
to contradict, and for the first and the last tilt the strongest contrasts of the
others. What stands out no more than much else in the other tilts is left. A pixel that is hot at the same position in most
images is an outlier where no point of a specimen can stay there as it tilts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from napari_diptomo.series.data import MapSeries
from napari_diptomo.series.findings import Finding

#: Times the third largest neighbour, and standard deviations, from which on a pixel is a candidate.
_RATIO, _SIGMAS = 4.0, 9.0
#: Fraction of the contrast that another tilt has to show of a point, and of a hole.
_SUPPORT, _HOLE_SUPPORT = 0.25, 0.5
#: Tilts on either side that are asked.
_BESIDE = 2
#: What the alignment may be off, pixels and as a fraction of the width of the image.
_SLACK, _SLACK_FRACTION = 3, 0.08
#: At the edge of the first and last tilt no other can contradict: times the strongest contrasts in the others.
_BEYOND_ALL = 8.0
#: Times the contrasts of the other tilts, of this rank and of this fraction of the pixels: where many points of a
#: specimen are as strong, images that are displaced by more than the slack must not cost one of them.
_UNLIKE, _TYPICAL_RANK, _TYPICAL = 2.0, 3, 2e-3
#: Fraction of the tilts in which a hot pixel of the detector shows, and by how many pixels no point can stay there.
_FIXED, _LEAST_FIXED, _CANNOT_STAY = 0.5, 4, 1.0
#: Outliers beside outliers are found once these are known.
_PASSES = 4
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
    data = maps.data.astype(np.float64)
    found = np.zeros(data.shape, bool)
    known = found if maps.missing is None else maps.missing
    if data.shape[1] < 2 or not _has_neighbours(data.shape):
        return found
    phi = np.array([_variance_over_mean(channel) for channel in data])
    geometry = _Geometry.of(maps, slack)
    for _ in range(_PASSES):
        new = _one_pass(np.where(found | known, _stand_in(data, found | known), data), maps, phi, geometry)
        new &= ~(found | known)
        if not new.any():
            break
        found |= new
    return found


def without_outliers(maps: MapSeries) -> tuple[MapSeries, tuple[Finding, ...]]:
    """The same maps with their outliers marked as missing, and a finding where there are any.

    Missing data carry no weight in a reconstruction. So that checks of totals and
    noise are not disturbed, a value around them stands in for each: the lower
    median of the eight pixels around it.
    """
    outliers = outlier_pixels(maps)
    missing = outliers if maps.missing is None else maps.missing | outliers
    if not missing.any():
        return maps, ()
    filled = {
        name: _stand_in(getattr(maps, name), missing)
        for name in ('data', 'variance', 'held_out')
        if getattr(maps, name) is not None
    }
    return replace(maps, missing=missing, **filled), _findings(maps, outliers)


def named_places(mask: np.ndarray, angles: Sequence[float], names: Sequence[str]) -> str:
    """Channels and tilts of marked pixels (channel, tilt, y, x) in words: ``'Ge at -10 deg, Te at 3 tilts'``."""
    words = []
    for name, channel in zip(names, mask, strict=True):
        tilts = np.flatnonzero(channel.any(axis=(1, 2)))
        if len(tilts) > 3:
            words.append(f'{name} at {len(tilts)} tilts')
        elif len(tilts):
            words.append(f'{name} at {", ".join(f"{angles[t]:g}" for t in tilts)} deg')
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
    reach: float
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
        return cls(angles, shifts, width / np.sqrt(2), int(np.ceil(slack)), np.arange(width) - (width - 1) / 2)

    def beside(self, t: int) -> list[tuple[int, int]]:
        """The tilts next to a tilt: how many steps away, negative to lower angles, and which."""
        order = np.argsort(self.angles, kind='stable')
        place = int(np.flatnonzero(order == t)[0])
        steps = (step for step in range(-_BESIDE, _BESIDE + 1) if step and 0 <= place + step < len(order))
        return [(step, int(order[place + step])) for step in steps]

    def is_end(self, t: int) -> bool:
        """Whether a tilt is the first or the last."""
        return not self.angles.min() < self.angles[t] < self.angles.max()


def _one_pass(data: np.ndarray, maps: MapSeries, phi: np.ndarray, geometry: _Geometry) -> np.ndarray:
    found = np.zeros(data.shape, bool)
    for c, channel in enumerate(data):
        ranks = np.stack([_ranks(image) for image in channel], axis=1)
        variance = None if maps.variance is None else maps.variance[c].astype(np.float64)
        for sign, fraction in ((1, _SUPPORT), (-1, _HOLE_SUPPORT)):
            contrast = sign * (channel - ranks[1])
            marked = _candidates(channel, ranks, phi[c], sign)
            if variance is not None and marked.any():
                noise = np.stack([_ranks(image)[1] for image in variance])
                marked &= contrast > _SIGMAS * np.sqrt(np.maximum(noise, 0.02 * np.median(variance)))
            if not marked.any():
                continue
            fixed = _fixed(marked, geometry) if sign > 0 else np.zeros_like(marked)
            for t in np.flatnonzero(marked.any(axis=(1, 2))):
                y, x = np.nonzero(marked[t])
                lone = _contradicted(contrast, int(t), y, x, fraction, geometry)
                found[c, t, y[lone], x[lone]] = True
            found[c] |= fixed
    return found


def _candidates(channel: np.ndarray, ranks: np.ndarray, phi: float, sign: int) -> np.ndarray:
    """Pixels (tilt, y, x) that their surroundings and counting noise do not explain; ranks are low, median, high."""
    if sign > 0:
        around = np.maximum(ranks[2], 0)
        return (channel > _RATIO * around) & (poisson_sigmas(channel / phi, around / phi + 0.5) > _SIGMAS)
    around = np.maximum(ranks[0], 0)
    below = (channel < around / _RATIO) & (poisson_sigmas(channel / phi, around / phi) < -_SIGMAS)
    # Fitted maps scatter below zero; what is far below it is no noise.
    return below | ((channel < 0) & (poisson_sigmas(-channel / phi, np.maximum(-ranks[0], 0) / phi + 0.5) > _SIGMAS))


def _contradicted(
    contrast: np.ndarray, t: int, y: np.ndarray, x: np.ndarray, fraction: float, geometry: _Geometry
) -> np.ndarray:
    """Which of the pixels (y, x) of tilt t have no counterpart in the tilts beside it."""
    own = contrast[t, y, x]
    ny, nx = contrast.shape[1:]
    against, asked = np.zeros(len(y), int), np.zeros(len(y), int)
    sides = {-1: np.zeros(len(y), bool), 1: np.zeros(len(y), bool)}
    for step, other in geometry.beside(t):
        half = int(np.ceil(geometry.reach * abs(geometry.angles[other] - geometry.angles[t]))) + geometry.slack
        moved = np.round(geometry.shifts[other] - geometry.shifts[t]).astype(int)
        row, column = y + moved[0], x + moved[1]
        strongest = ndimage.maximum_filter(contrast[other], (2 * geometry.slack + 1, 2 * half + 1), mode='nearest')
        absent = strongest[np.clip(row, 0, ny - 1), np.clip(column, 0, nx - 1)] < fraction * own
        inside = (column >= half) & (column < nx - half) & (row >= 0) & (row < ny)
        asked += inside
        against += inside & absent
        if step in sides:
            sides[step] = absent
    others = np.delete(contrast.reshape(len(contrast), -1), t, axis=0)
    if geometry.is_end(t):
        at_edge = own > _BEYOND_ALL * np.median(others.max(axis=1))
    else:
        # What leaves the field on one side as the specimen tilts comes in further on the other.
        at_edge = sides[-1] & sides[1]
    typical = max(_TYPICAL_RANK, int(_TYPICAL * ny * nx))
    alike = np.median(np.partition(others, -typical, axis=1)[:, -typical])
    return np.where(asked > 0, 2 * against > asked, at_edge) & (own > _UNLIKE * alike)


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
    return min(shape[2:]) >= 3 or max(shape[2:]) >= 9


def _around(image: np.ndarray) -> np.ndarray:
    """The eight nearest of each pixel of an image, (8, y, x): those around it, or along the line of a single slice."""
    ny, nx = image.shape
    if min(ny, nx) < 3:
        along = int(np.argmax(image.shape))
        padded = np.pad(image, [(4, 4) if axis == along else (0, 0) for axis in (0, 1)], mode='reflect')
        steps = [(0, d) if along else (d, 0) for d in range(9) if d != 4]
        return np.stack([padded[dy : dy + ny, dx : dx + nx] for dy, dx in steps])
    # Beyond the border lies the border row itself, which may be darker than all others, but never the pixel itself.
    padded = np.pad(image, 1, mode='edge')
    padded[[0, -1], 1:-1], padded[1:-1, [0, -1]] = image[[1, -2]], image[:, [1, -2]]
    corners = np.pad(image, 1, mode='edge')
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = image[[1, 1, -2, -2], [1, -2, 1, -2]]
    return np.stack(
        [
            (padded if dy == 1 or dx == 1 else corners)[dy : dy + ny, dx : dx + nx]
            for dy in (0, 1, 2)
            for dx in (0, 1, 2)
            if (dy, dx) != (1, 1)
        ]
    )


def _ranks(image: np.ndarray) -> np.ndarray:
    """Third smallest, lower median and third largest of the eight around each pixel, (3, y, x)."""
    return np.asarray(np.partition(_around(image), (2, 3, 5), axis=0)[[2, 3, 5]])


def _stand_in(data: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Data (channel, tilt, y, x) with the lower median of what is known around in place of what is missing."""
    filled = data.copy()
    for c, t in np.argwhere(missing.any(axis=(2, 3))):
        image, unknown = filled[c, t], missing[c, t].copy()
        typical = np.quantile(image[~unknown], 0.5, method='lower') if not unknown.all() else 0.0
        while unknown.any() and _has_neighbours(data.shape):
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
    bright = levels > np.quantile(levels, 0.5) if (levels > 0).any() else levels > 0
    phi = float(np.median(squares[bright] / levels[bright])) if bright.any() else 0.0
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
    c, t, y, x = (int(i) for i in np.argwhere(outliers)[np.abs(values).argmax()])
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
                **{f'in {name}': int(channel.sum()) for name, channel in zip(names, outliers, strict=True) if channel.any()},
            },
        ),
    )
