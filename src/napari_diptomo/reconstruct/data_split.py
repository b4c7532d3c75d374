r"""Fitted and held-out data: counts set aside before anything is fitted, and the variance of the data.

Binomial thinning of Poisson counts of expectation m leaves two independent Poisson
data sets with the expectations (1 - h) m and h m (Neufeld, Dharamshi, Gao and
Witten, JMLR 2024, arXiv 2301.07276). Maps whose spectra were split before the
spectral fit bring their held-out part along; maps that are no counts are thinned
as Gaussian data with their variance.

Formulas: fitted and held-out data (`split_counts`); variance of maps that are no counts (`noise_variance`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import MapSeries
from napari_diptomo.series.counts import thin
from napari_diptomo.series.neighbour_mean import neighbours


@dataclass(frozen=True)
class Split:
    """Fitted and held-out data, (window, tilt, y, u)."""

    fit: np.ndarray
    held_out: np.ndarray | None
    share: float


def split_counts(maps: MapSeries, share: float, seed: int, quasi: bool = False) -> Split:
    """Set data aside that the fit never sees.

    Parameters
    ----------
    maps : MapSeries
        Its own held-out part is used where there is one.
    share : float
        Fraction of the counts to hold out, in [0, 1); 0 holds nothing out.
    seed : int
        Of the thinning.
    quasi : bool
        The data are no whole counts but have the variance of such.
    """
    if maps.held_out is not None and share > 0:
        return Split(maps.data - maps.held_out, maps.held_out, maps.held_out_share)
    if share <= 0:
        return Split(maps.data, None, 0.0)
    # A stream of its own: a simulation may have sampled the counts with the same seed.
    rng = np.random.default_rng((seed, 1))
    if maps.are_counts:
        held = thin(maps.data, share, rng).astype(np.float32)
    elif quasi:
        held = thinned(maps.data, share, rng)
    else:
        spread = np.sqrt(share * (1 - share) * noise_variance(maps))
        held = (share * maps.data + spread * rng.standard_normal(maps.data.shape)).astype(np.float32)
    return Split(maps.data - held, held, share)


def thinned(data: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A part of data that are no whole numbers but have the variance of counts; like ``data``, between 0 and it.

    With the variance share (1 - share) y about its mean, the two parts of y are
    uncorrelated where var y = E y, as those of a binomial thinning are. A beta
    variable of parameters share (y - 1) and (1 - share) (y - 1) has it; of less than one
    count nothing can be split, and all goes to one part.
    """
    y = np.maximum(data.astype(np.float64), 0)
    more = np.maximum(y - 1, 1e-9)
    part = rng.beta(np.maximum(share * more, 1e-9), np.maximum((1 - share) * more, 1e-9))
    part = np.where(y > 1 + 1e-6, part, rng.random(y.shape) < share)
    return (y * part).astype(np.float32)


def noise_variance(maps: MapSeries) -> np.ndarray:
    """Variance for least squares, (window, tilt, y, u), positive.

    That which came with the maps, or else one proportional to the signal with
    a factor estimated from the scatter between neighbours (1 for counts): the
    weights then do not depend on the unit of the maps. The signal is that of
    the neighbours, the pixel's own left out: a pixel that came out low by
    chance must not gain weight by it (Neyman's bias). A variance of zero is that
    of a pixel which nothing was counted in: its neighbours know it better.
    """
    if maps.variance is not None:
        found = maps.variance
        if not found.all():
            found = np.where(found > 0, found, neighbours(found))
    else:
        signal = neighbours(np.maximum(maps.data, 0))
        found = signal * (1.0 if maps.are_counts else _scatter(maps.data, signal))
    floor = np.maximum(found.mean(axis=(1, 2, 3), keepdims=True) * 0.02, 1e-30)
    return np.maximum(found, floor).astype(np.float32)


def _scatter(data: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Variance per signal of each window, (window, 1, 1, 1), from differences of neighbours along the tilt axis."""
    # A single slice has no neighbours along the axis.
    data, signal = (np.moveaxis(a, 2 if a.shape[2] > 1 else 3, -1) for a in (data.astype(np.float64), signal))
    difference = np.diff(data) ** 2 / 2
    level = (signal[..., 1:] + signal[..., :-1]) / 2
    filled = (data[..., 1:] != 0) | (data[..., :-1] != 0)
    factors = []
    for d, s, f in zip(difference, level, filled, strict=True):
        seen = f & (s > 0.2 * s.max(initial=0))
        # The median of a squared normal deviate is 0.4549: edges between neighbours do not move it much.
        factors.append(np.median(d[seen] / s[seen]) / 0.4549 if seen.any() else 1.0)
    return np.array(factors).reshape(-1, 1, 1, 1)
