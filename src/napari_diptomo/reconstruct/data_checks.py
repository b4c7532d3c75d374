"""Doubts about the data before anything is fitted: repeated images, empty maps, unknown noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_diptomo.series import Finding, MapSeries
from napari_diptomo.series.outliers import window_names
from napari_diptomo.series.tilts import angles_in_words

#: Fewer counts than this can be alike in two images, or absent from one, by chance.
_BY_CHANCE = 15
#: Arrays whose second axis is the tilt.
_BY_CHANNEL = ('data', 'variance', 'held_out', 'background', 'missing', 'gain')


def data_findings(maps: MapSeries) -> tuple[Finding, ...]:
    """Doubts and notes about the images of a series."""
    found = (_copies(maps), _repeats(maps), _empty(maps), _no_variance(maps))
    return tuple(finding for finding in found if finding is not None)


def without_empty_tilts(maps: MapSeries) -> tuple[MapSeries, tuple[Finding, ...]]:
    """The series without images that hold nothing in any channel where the others do: they were not recorded.

    In a fit they would say that there is no specimen.
    """
    filled = np.count_nonzero(maps.data, axis=(0, 2, 3))
    empty = filled == 0
    if not empty.any() or np.median(filled) < _BY_CHANCE:
        return maps, ()
    parts: dict[str, Any] = {
        name: np.compress(~empty, getattr(maps, name), axis=axis)
        for axis, names in enumerate((('angles', 'shifts', 'residual', 'haadf'), _BY_CHANNEL))
        for name in names
        if getattr(maps, name) is not None
    }
    listed = angles_in_words(maps.angles[empty], 6)
    finding = Finding(
        'note',
        'empty images',
        f'There is not one count in any channel at {listed}, where the other images hold enough: '
        f'{"this tilt was" if empty.sum() == 1 else "these tilts were"} left out.',
        {'tilts left out': int(empty.sum())},
    )
    return replace(maps, **parts), (finding,)


def _copies(maps: MapSeries) -> Finding | None:
    """Images that are equal in every pixel: noise never repeats itself."""
    pairs: list[tuple[int, int]] = []
    seen: dict[bytes, int] = {}
    for t in range(len(maps.angles)):
        images = np.ascontiguousarray(maps.data[:, t])
        if np.count_nonzero(images) < _BY_CHANCE:
            continue
        first = seen.setdefault(images.tobytes(), t)
        if first != t:
            pairs.append((first, t))
    if not pairs:
        return None
    listed = ', '.join(f'{maps.angles[a]:g}° and {maps.angles[b]:g}°' for a, b in pairs[:3])
    return Finding(
        'doubt',
        'copied images',
        f'The images at {listed} are equal in every pixel, as two exposures never are: one was entered twice and weighs '
        'double, or at a wrong angle. Leave the copies out, or give the right images.',
        {'copies': len(pairs)},
    )


def _repeats(maps: MapSeries) -> Finding | None:
    angles, number = np.unique(maps.angles, return_counts=True)
    if number.max() < 2:
        return None
    listed = angles_in_words(angles[number > 1], 6)
    return Finding(
        'note',
        'repeated tilts',
        f'There is more than one image at {listed}: each was used as an exposure of its own. Correct the angles where '
        'that is not meant.',
        {'repeated angles': int((number > 1).sum()), 'tilts': len(maps.angles)},
    )


def _empty(maps: MapSeries) -> Finding | None:
    """Maps that hold nothing at one tilt, where the others hold enough to be sure of."""
    filled = np.count_nonzero(maps.data, axis=(2, 3))
    if maps.missing is not None:
        filled = filled + maps.missing.sum(axis=(2, 3))
    absent = (filled == 0) & (np.median(filled, axis=1, keepdims=True) >= _BY_CHANCE)
    if not absent.any():
        return None
    listed = ', '.join(f'{window_names(maps)[c]} at {maps.angles[t]:g}°' for c, t in np.argwhere(absent)[:4])
    return Finding(
        'doubt',
        'empty maps',
        f'There is not one count of {listed}, while the other tilts hold enough: a map that failed pulls the volume down. '
        'Extract it again, or leave this tilt out.',
        {'empty maps': int(absent.sum())},
    )


def _no_variance(maps: MapSeries) -> Finding | None:
    if maps.variance is None:
        return None
    unknown = maps.variance == 0
    if maps.missing is not None:
        unknown &= ~maps.missing
    if not unknown.any():
        return None
    return Finding(
        'note',
        'variance of the maps',
        f'{100 * unknown.mean():.2g} % of the variances are zero, as of pixels in which nothing was counted, but no datum is '
        'exact: they were taken from the neighbouring pixels.',
        {'zero variances': int(unknown.sum()), 'fraction, %': 100 * float(unknown.mean())},
    )
