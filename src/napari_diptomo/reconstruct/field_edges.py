r"""Whether the specimen reaches the edge of the field of view along x, from the counts before any fit.

A volume that ends at the edge of the images cannot hold matter outside
them that tilting brings in. The counts show it: in the outermost columns of
tilt t, on side s, lies the signal

    e[t, s] = sum over rows of (y - b) / columns,

compared with the specimen's own level l[t], the mean of the column sums weighted
by themselves, which empty columns do not lower. e / l is about the fraction of the
thickness that lies at the edge. Matter that leaves the field along y, the tilt axis, is
harmless: every row is a slice of its own.

The field is that of the volume: an image that is displaced by s shows its edge at low x in column s, and none at high x.
A particle that drifted out of an image ends within the volume all the same.

Edges that are alike at all tilts, on both sides and in all rows, within counting
noise, are those of a background: the path through a film grows with the tilt, as 1 / cos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.reconstruct.data_split import noise_variance
from napari_diptomo.series import Finding, MapSeries, Remedy

#: Signal at the edge over the specimen's level from which on the specimen reaches it, and the standard errors it needs.
AT_EDGE = 0.12
_SIGMAS = 5.0
#: Standard deviations that the reduced chi-square of what is alike may lie above 1.
_ALIKE = 5.0
#: Standard errors by which edges grow with 1 / cos from which on they are no background.
_GROWS = 4.0
#: Pixels along the image for each column that counts as its edge.
_PER_COLUMN = 48
#: Background over the specimen's level that is worth a doubt.
_LEAST_BACKGROUND = 0.03


@dataclass(frozen=True, eq=False)
class Edges:
    """Signal at both edges of the images.

    Attributes
    ----------
    share : ndarray (tilt, 2)
        Signal in the outermost columns, low x and high x, over the specimen's level; the largest of all channels.
    reached : ndarray of bool (tilt, 2)
        Beyond `AT_EDGE` and counting noise.
    angles : ndarray (tilt,)
        Degrees.
    sigmas : float
        Of the most significant edge.
    background : ndarray (channel,)
        Counts per pixel of a background at both edges that is in no model, relative to the specimen's mean
        signal per pixel; 0 where there is none.
    channels : ndarray of bool (channel,)
        Those that reach an edge by themselves; all where only their sum does.
    """

    share: np.ndarray
    reached: np.ndarray
    angles: np.ndarray
    sigmas: float
    background: np.ndarray
    channels: np.ndarray

    @property
    def typical(self) -> bool:
        """Whether the specimen reaches an edge in most tilts."""
        return float(self.reached.any(axis=1).mean()) > 0.5


def edges_of(maps: MapSeries) -> Edges:
    """Signal at the edges of the field of view along x."""
    gain = np.ones(maps.data.shape[:2]) if maps.gain is None else np.maximum(maps.gain, 1e-12)
    brought = 1 / gain[:, :, None, None]
    signal = maps.data * brought
    variance = (np.maximum(maps.data, 0) if maps.are_counts else noise_variance(maps)) * brought**2
    if maps.background is not None:
        signal = signal - maps.background * brought
    width = max(1, round(maps.data.shape[3] / _PER_COLUMN))
    signal, variance = (np.concatenate([a, a.sum(axis=0, keepdims=True)]) for a in (signal, variance))
    every, noise = (a.sum(axis=2, dtype=np.float64) for a in (signal, variance))
    level = (np.maximum(every, 0) ** 2).sum(-1) / np.maximum(np.maximum(every, 0).sum(-1), 1e-12)
    # Of what is empty but for a count or two nothing can be said.
    least = np.sqrt(noise.mean(-1, keepdims=True) / width) * 0.1
    columns, shown_there = _edge_columns(maps, width)
    at_edge = _at(every, columns).mean(-1) * shown_there
    error = np.maximum(np.sqrt(_at(noise, columns).sum(-1)) / width, least)
    share = at_edge / np.maximum(level, 1e-12)[..., None]
    sigmas = at_edge / np.maximum(error, 1e-12)
    reached = (share > AT_EDGE) & (sigmas > _SIGMAS)
    # Few counts at a single tilt add up over the tilts.
    pooled, pooled_sigmas = _pooled(at_edge, error, level, shown_there)
    together = (pooled > AT_EDGE) & (pooled_sigmas > _SIGMAS)
    reached |= together[:, None, :] & (share > AT_EDGE)
    alike = _is_background(_sides(signal, width), _sides(variance, width), np.asarray(maps.angles, float))
    reached &= ~alike[:, None, None]
    # A background is not displaced with the specimen.
    ends = np.stack([every[..., :width], every[..., -width:]], axis=2)
    of_ends = np.maximum(np.sqrt(np.stack([noise[..., :width], noise[..., -width:]], axis=2).sum(-1)) / width, least)
    at_ends, sigmas_there = _pooled(ends.mean(-1), of_ends, level, np.ones_like(shown_there))
    sure = (sigmas_there > 2 * _SIGMAS).all(axis=1)
    background = np.where(alike & sure, at_ends.mean(1), 0.0)[:-1]
    kept = np.where(reached, share, 0.0)
    shown = np.where(reached.any(0), kept.max(0), share[-1])
    best = np.where(reached, np.maximum(sigmas, pooled_sigmas[:, None, :]), 0.0)
    channels = reached[:-1].any(axis=(1, 2))
    if not channels.any():
        channels = np.ones_like(channels)
    return Edges(shown, reached.any(0), np.asarray(maps.angles, float), float(best.max()), background, channels)


def _pooled(
    at_edge: np.ndarray, error: np.ndarray, level: np.ndarray, shown: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the level at each edge over all tilts that show it, and its standard errors, (channel, side)."""
    total = at_edge.sum(1)
    share = total / np.maximum((level[..., None] * shown).sum(1), 1e-12)
    return share, total / np.maximum(np.sqrt((error**2 * shown).sum(1)), 1e-12)


def _edge_columns(maps: MapSeries, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the images at the edges of the volume's field (tilt, side, column), and whether an image shows them (tilt, side)."""
    cosines = np.cos(np.deg2rad(np.asarray(maps.angles, float)))
    moved = np.rint(np.asarray(maps.shifts)[:, 1] + maps.axis_shift * (1 - cosines)).astype(int)
    nx = maps.data.shape[3]
    first = np.stack([moved, moved + nx - width], axis=1)
    shown = (first >= 0) & (first + width <= nx)
    return np.clip(first, 0, nx - width)[..., None] + np.arange(width), shown


def _at(sums: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sums over the rows (channel, tilt, x) at the columns of each edge, (channel, tilt, side, column)."""
    tilts, sides, width = columns.shape
    where = np.broadcast_to(columns.reshape(tilts, -1), (len(sums), tilts, sides * width))
    return np.take_along_axis(sums, where, axis=-1).reshape(len(sums), tilts, sides, width)


def _sides(images: np.ndarray, width: int) -> np.ndarray:
    """Sums over the outermost columns, (channel, tilt, y, side)."""
    return np.stack([images[..., :width].sum(-1), images[..., -width:].sum(-1)], axis=-1).astype(np.float64)


def _is_background(signal: np.ndarray, variance: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Channels whose edges (channel, tilt, y, side) are alike along each axis within counting noise; (channel,)."""
    alike = ~_grows_as_a_film(signal.sum(axis=(2, 3)), variance.sum(axis=(2, 3)), angles)
    for axis in (1, 2, 3):
        others = tuple(a for a in (1, 2, 3) if a != axis)
        found, noise = signal.sum(others), variance.sum(others)
        if found.shape[1] > 1:
            misfit = (found - found.mean(1, keepdims=True)) ** 2 / np.maximum(noise.mean(1, keepdims=True), 1e-12)
            degrees = found.shape[1] - 1
            alike &= misfit.sum(1) / degrees < 1 + _ALIKE * np.sqrt(2 / degrees)
    return alike


def _grows_as_a_film(edges: np.ndarray, variance: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Channels whose signal at the edges (channel, tilt) follows 1 / cos, which few counts show before it is unlike a constant."""
    path = 1 / np.maximum(np.cos(np.deg2rad(angles)), 0.1) - 1
    pattern = path - path.mean()
    power = (pattern**2).sum()
    if power < 1e-6:
        return np.zeros(len(edges), bool)
    slope = edges @ pattern / power
    error = np.sqrt(np.maximum(variance @ pattern**2, 1e-12)) / power
    level = edges.mean(axis=1) - slope * path.mean()
    return np.asarray((slope > _GROWS * error) & (slope > 0.5 * level) & (slope < 2 * level))


def field_findings(
    maps: MapSeries, step: str, beyond_field: bool = False, fit_gain: bool = False
) -> tuple[Finding, ...]:
    """Doubts about the edges of the field of view.

    Parameters
    ----------
    maps : MapSeries
        The data.
    step : str
        Name of the step that the remedy is for.
    beyond_field, fit_gain : bool
        Its parameters.
    """
    edges = edges_of(maps)
    found = [] if beyond_field else [_beyond(maps, edges, step, fit_gain)]
    found.append(_background(maps, edges))
    return tuple(finding for finding in found if finding is not None)


def _beyond(maps: MapSeries, edges: Edges, step: str, fit_gain: bool) -> Finding | None:
    if not edges.reached.any():
        return None
    tilts = edges.angles[edges.reached.any(axis=1)]
    sides = [word for side, word in enumerate(('low', 'high')) if edges.reached[:, side].any()]
    axis = 'y' if maps.transposed else 'x'
    where = 'both edges' if len(sides) == 2 else f'the edge at {sides[0]} {axis}'
    largest = float(edges.share.max())
    changes = {'beyond_field': True, **({'fit_gain': False} if fit_gain else {})}
    return Finding(
        'doubt',
        'field of view',
        f'The specimen reaches {where} of the field of view {_tilts(tilts, len(edges.angles))}: the outermost columns '
        f'hold up to {largest:.2g} times its mean signal per column. What lies outside is projected into other tilts, and '
        'a volume that ends at the edge cannot hold it: reconstruct beyond the field of view.',
        {'signal at the edge': largest, 'tilts': float(len(tilts)), 'standard errors': edges.sigmas},
        Remedy('Reconstruct beyond the field of view', step, changes),
    )


def _background(maps: MapSeries, edges: Edges) -> Finding | None:
    if maps.mixing is not None or edges.background.max() < _LEAST_BACKGROUND:
        return None
    each = ', '.join(
        f'{name} {100 * value:.0f} %'
        for name, value in zip(maps.channels, edges.background, strict=True)
        if value >= _LEAST_BACKGROUND
    )
    return Finding(
        'doubt',
        'background',
        f'The maps hold a background at both edges that is alike at all tilts and in all rows and in no model ({each} of '
        "the specimen's signal per column): subtract it from the spectra, or give it with the maps.",
        {'largest background': float(edges.background.max())},
    )


def _tilts(tilts: np.ndarray, of: int) -> str:
    if len(tilts) == of:
        return 'at all tilts'
    if len(tilts) == 1:
        return f'at {tilts[0]:g}°'
    if len(tilts) > 6:
        return f'at {len(tilts)} of {of} tilts, from {tilts.min():g}° to {tilts.max():g}°'
    return f'at {", ".join(f"{tilt:g}°" for tilt in tilts)}'
