r"""Totals of the families per tilt: what a projection allows, what is stray, and how much the detectors see.

The total T_f(t) of a family over a field of view is the same at every tilt
for an isolated object and grows as 1 / cos t for a slab that extends beyond
the field. Shadowing of the detectors by the holder multiplies ALL families by
the same gain g(t). So

    T_f(t) = A_f g(t) p(t),    p = 1 or 1 / cos t,

and the product g p, the common trend, is the median over the families of
their totals relative to those at low tilt. It is bounded, as nothing makes a
projection grow much faster than 1 / cos t from where the detectors see most. A family that rises with the tilt
well beyond the common trend is not a projection of the specimen: its photons
come from grid, holder or pole piece. That is said only where the totals are
well above their errors. None can be below nothing: where one is, beyond
noise, the fit took what is its neighbours', and may have given as much. An element
is judged by the family that is known best.

The gain g(t), 1 on average, is the rank-one fit of A_f g(t) to T_f(t) / p(t), weighted
by noise and model error, over the families that behave like projections.

Formulas: gain of the detectors at each tilt (`measure_gain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_diptomo.series import InputError, MapSeries, Observer, SpectralTiltSeries, Watch
from napari_diptomo.spectra.common.tilt_counts import counts_of
from napari_diptomo.spectra.edx.lines import spoken_name
from napari_diptomo.spectra.edx.overlaps import coefficient_covariance
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel

#: Tilts up to this share of the largest are low ones.
_LOW = 0.35
#: Tilts at either end that determine how far a family rises.
_OUTER = 2
#: Beyond this multiple of the common trend a family is stray, if that is significant.
_RISE, _SIGNIFICANT = 1.5, 5.0
#: Below this many standard deviations at half of the tilts a family that is not stray is too weak to judge;
#: negative totals are noise down to as many.
_SEEN = 3.0
#: What leaks between neighbours may reach this much further up than it is seen to reach below zero.
_LEAK = 2.0
#: Error of the model of a spectrum, as a share of a family's total; the common trend is at most this over 1 / cos t.
MODEL_ERROR, _TREND_LIMIT = 0.05, 1.15
#: Errors of the model of a peak and of the background of one tilt, as a share of them.
_PEAK_ERROR, _BACKGROUND_ERROR = 0.02, 0.01
#: Error of a line's weight that is left when the weights are refined.
_WEIGHT_ERROR = {'K': 0.02, 'L': 0.1, 'M': 0.2}
#: Alternating fits of the coefficients of the families and of the gain.
_SWEEPS = 50


@dataclass(frozen=True, eq=False)
class Totals:
    """The total of one family at every tilt.

    Attributes
    ----------
    name : str
        Of the element or the family.
    counts, expected : ndarray (tilt,)
        Counts; what the counts at low tilt and the common trend of all families let expect.
    rise : float
        Largest ratio of both at the high tilts of either side.
    behaves : bool
        False where no projection of a specimen can do that.
    sentence : str
        In words.
    weak : bool
        Too weak to judge.
    """

    name: str
    counts: np.ndarray
    expected: np.ndarray
    rise: float
    behaves: bool
    sentence: str
    weak: bool = False


def check_totals(
    maps_or_totals: MapSeries | np.ndarray,
    angles: Sequence[float] | np.ndarray | None = None,
    names: Sequence[str] = (),
    errors: np.ndarray | None = None,
) -> tuple[Totals, ...]:
    """Which families behave like projections of the specimen.

    Parameters
    ----------
    maps_or_totals : MapSeries or ndarray (family, tilt) or (family, tilt, y, x)
        Maps, or their totals. The more families, the surer the common trend.
    angles : array-like (tilt,), optional
        Degrees; those of the map series.
    names : sequence of str, optional
        Of the families; those of the map series.
    errors : ndarray (family, tilt), optional
        Standard deviations of the totals; from the variance of the maps or
        the square root of the counts when not given.

    Returns
    -------
    tuple of Totals
        One for each family, in order.

    Raises
    ------
    InputError
        Angles or names do not fit the totals.
    """
    totals, noise, angles, names = read_totals(maps_or_totals, angles, names)
    noise = noise if errors is None else np.asarray(errors, float)
    leaks = _leaks(totals, noise)
    noise = np.hypot(noise, leaks[:, None])
    relative, low = _relative(totals, noise, angles)
    trend = _common_trend(relative, noise / np.maximum(totals, 1.0), angles, low)
    out = []
    for f, name in enumerate(names):
        expected = max(_level(totals[f], trend, noise[f], low), 0.0) * trend
        out.append(_judge(name, totals[f], expected, noise[f], leaks[f], angles, trend, low))
    return _by_best_families(out, (totals / noise).sum(axis=1))


def family_totals(
    series: SpectralTiltSeries, model: SpectrumModel, observer: Observer | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Totals of ALL families of a model, mapped or not, from fits of the tilts' sum spectra.

    Parameters
    ----------
    series : SpectralTiltSeries
        EDX spectra.
    model : SpectrumModel
        Made for the series.
    observer : Observer, optional
        Receives the progress.

    Returns
    -------
    totals, errors : ndarray (family, tilt)
        Counts and their standard deviations, of noise, overlap and errors of the model.
    """
    watch = Watch(observer, 'Totals', len(series.angles))
    sums = counts_of(series).read(watch)[:, model.window.channels]
    pairs = [_one_tilt(model, spectrum) for spectrum in sums]
    totals, errors = (np.array(part).T for part in zip(*pairs, strict=True))
    return totals, errors


def _one_tilt(model: SpectrumModel, spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    model = model.calibrated(spectrum)
    fit = model.fit(spectrum)
    background = float(fit.background.sum())
    # An error of the model moves all channels of a peak together: see `element_search`.
    coherent = model.detector.fwhm(model.window.energy) / np.gradient(model.window.energy)
    error = coherent * ((_PEAK_ERROR * fit.lines) ** 2 + (_BACKGROUND_ERROR * fit.background) ** 2)
    smooth = fit.background / max(background, 1e-12)
    covariance, _ = coefficient_covariance(model.shapes, smooth, fit.counts, background, error)
    variance = np.diag(covariance) + _weight_variance(model, fit.counts, covariance, fit.model + error)
    return fit.counts, np.sqrt(np.maximum(variance, 0))


def _weight_variance(
    model: SpectrumModel, counts: np.ndarray, covariance: np.ndarray, channel_variance: np.ndarray
) -> np.ndarray:
    """Variance of the families from errors of the lines' weights in their strong neighbours.

    They differ from tilt to tilt: the strap's own absorption edges cut into its M lines.
    """
    operator = covariance @ (model.shapes.T / np.maximum(channel_variance, 1e-12))
    variance = np.zeros(len(counts))
    for f, family in enumerate(model.families):
        lines = model.detector.line_shapes(model.window.energy, np.asarray(family.energies))
        step = _WEIGHT_ERROR[family.shell] * counts[f] * np.asarray(family.weights)
        change = (operator @ lines) * step
        change[f] = 0.0
        # The main line is the family: an error of its weight is one of all the others.
        change[:, int(np.argmax(family.weights))] = 0.0
        variance += (change**2).sum(axis=1)
    return variance


def read_totals(
    data: MapSeries | np.ndarray, angles: Sequence[float] | np.ndarray | None, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Totals and their noise (family, tilt), angles and names; arguments as for `check_totals`."""
    variance = None
    if isinstance(data, MapSeries):
        data = data if data.mixing is None else data.unmixed()
        angles, names, variance = data.angles, data.channels, data.variance
        data = data.data
    totals = np.asarray(data, float)
    if totals.ndim == 4:
        totals = totals.sum(axis=(2, 3))
    angles = np.asarray(() if angles is None else angles, float)
    if totals.ndim != 2 or totals.shape != (len(names), len(angles)):
        raise InputError(
            f'Totals of the shape {totals.shape} do not fit {len(names)} families at {len(angles)} tilts; '
            'give (family, tilt).'
        )
    noise = np.sqrt(np.maximum(totals, 1.0) if variance is None else variance.sum(axis=(2, 3), dtype=float))
    return totals, np.maximum(noise, 1e-6), angles, tuple(names)


def _leaks(totals: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Counts (family,) that may come from neighbours, at all tilts alike: a large negative total gives them away."""
    deep = np.where(totals < -_SEEN * noise, -totals, 0.0)
    return _LEAK * deep.max(axis=1, initial=0.0)


def _by_best_families(found: Sequence[Totals], known: np.ndarray) -> tuple[Totals, ...]:
    """A family is not stray where a better known one of its element behaves; ``known`` (family,) says how well."""
    best: dict[str, int] = {}
    for f in np.argsort(-known):
        best.setdefault(found[f].name.partition('_')[0], int(f))
    out = []
    for total in found:
        judge = found[best[total.name.partition('_')[0]]]
        if not total.behaves and judge.behaves and not judge.weak:
            this, other = spoken_name(total.name), spoken_name(judge.name)
            sentence = (
                f'{this} rises with the tilt, but {other}, which is known better, behaves like a projection of the '
                f'specimen: map {other}, as {this} overlaps with something that rises.'
            )
            total = replace(total, behaves=True, weak=True, sentence=sentence)
        out.append(total)
    return tuple(out)


def _relative(totals: np.ndarray, noise: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low = np.abs(angles) <= max(_LOW * np.abs(angles).max(initial=0.0), np.abs(angles).min(initial=np.inf) + 1e-6)
    flat = np.ones(len(angles))
    levels = np.array([_level(row, flat, sigma, low) for row, sigma in zip(totals, noise, strict=True)])
    return totals / np.maximum(levels, 1.0)[:, None], low


def _level(totals: np.ndarray, trend: np.ndarray, noise: np.ndarray, low: np.ndarray) -> float:
    weights = low / (noise**2 + (MODEL_ERROR * totals.mean()) ** 2)
    return float((weights * totals * trend).sum() / (weights * trend**2).sum())


def _common_trend(relative: np.ndarray, errors: np.ndarray, angles: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Weighted median over the families, at most a little more than 1 / cos t."""
    weights = 1 / (MODEL_ERROR**2 + errors**2)
    trend = np.empty(len(angles))
    for t in range(len(angles)):
        order = np.argsort(relative[:, t])
        below = np.cumsum(weights[order, t]) - 0.5 * weights[order, t]
        trend[t] = np.interp(0.5 * weights[:, t].sum(), below, relative[order, t])
    slab = 1 / np.cos(np.radians(angles))
    return np.clip(trend, 0.05, _TREND_LIMIT * slab * (trend / slab)[low].max())


def _judge(
    name: str,
    totals: np.ndarray,
    expected: np.ndarray,
    noise: np.ndarray,
    leak: float,
    angles: np.ndarray,
    trend: np.ndarray,
    low: np.ndarray,
) -> Totals:
    rise, at, significance = 0.0, int(np.abs(angles).argmax()), 0.0
    level_error = 1 / np.sqrt((low / noise**2).sum())
    floor = np.maximum(expected, 2 * level_error * trend)
    for side in (angles < 0, angles > 0):
        index = np.flatnonzero(side & ~low)
        index = index[np.argsort(-np.abs(angles[index]))][:_OUTER]
        if len(index):
            ratio = totals[index].sum() / max(floor[index].sum(), 1e-9)
            error = np.hypot(np.sqrt((noise[index] ** 2).sum()), level_error * trend[index].sum())
            error = np.hypot(error, MODEL_ERROR * totals[index].sum() + leak * len(index))
            if ratio > rise:
                rise, at = float(ratio), int(index[0])
                significance = float((totals[index].sum() - floor[index].sum()) / error)
    behaves = rise < _RISE or significance < _SIGNIFICANT
    weak = behaves and float(np.median(totals / noise)) < _SEEN
    zero = int(np.abs(angles).argmin())
    spoken = spoken_name(name)
    if weak:
        sentence = (
            f'{spoken} is too weak ({np.median(totals):.3g} ± {np.median(noise):.2g} counts at a tilt) to judge whether '
            'it belongs to the specimen.'
        )
    elif behaves:
        sentence = f'{spoken} behaves like a projection of the specimen.'
    else:
        factor = totals[at] / max(float(totals[zero]), 2 * float(noise[zero]))
        sentence = (
            f'{spoken} rises {factor:.1f} times from {angles[zero]:g}° to {angles[at]:g}°: a projection of the '
            'specimen cannot; it comes from grid or holder, do not reconstruct it.'
        )
    return Totals(name, totals, expected, rise, behaves, sentence, weak)


def measure_gain(maps: MapSeries, specimen: Literal['isolated', 'slab'] = 'isolated') -> np.ndarray:
    """How much of the specimen's signal the detectors see at every tilt, relative to the mean.

    Parameters
    ----------
    maps : MapSeries
        Several families, the more the better; stray ones are left out.
    specimen : {'isolated', 'slab'}
        ``'isolated'``: the whole object is in every image; ``'slab'``: it extends beyond the images.

    Returns
    -------
    ndarray (tilt,)
        Gain, 1 on average.

    Raises
    ------
    InputError
        No family behaves like a projection.
    """
    totals, noise, angles, names = read_totals(maps, None, ())
    good = np.array([t.behaves for t in check_totals(maps)]) & (totals.sum(axis=1) > 0)
    if not good.any():
        raise InputError(
            f'None of {", ".join(names)} behaves like a projection, so the gain of the tilts cannot be measured; '
            'map an element of the specimen or leave the gain off.'
        )
    path = 1 / np.cos(np.radians(angles)) if specimen == 'slab' else np.ones(len(angles))
    flat, sigma = totals[good] / path, noise[good] / path
    weights = 1 / (sigma**2 + (MODEL_ERROR * flat.mean(axis=1, keepdims=True)) ** 2)
    gain = np.ones(len(angles))
    for _ in range(_SWEEPS):
        coefficient = (weights * flat * gain).sum(axis=1) / (weights * gain**2).sum(axis=1)
        gain = (weights * flat * coefficient[:, None]).sum(axis=0) / (weights * coefficient[:, None] ** 2).sum(axis=0)
        gain /= gain.mean()
    return gain


def with_gain(
    maps: MapSeries, from_totals: Literal['off', 'isolated', 'slab'] = 'off', by_hand: Sequence[float] = ()
) -> MapSeries:
    """The same maps with the gain of the tilts, measured or given.

    Parameters
    ----------
    maps : MapSeries
        Maps or window counts; the counts stay as they are, the reconstruction takes the gain into account.
    from_totals : {'off', 'isolated', 'slab'}
        Measure it, see `measure_gain`.
    by_hand : sequence of float
        One per tilt, relative to each other; goes before what is measured.

    Returns
    -------
    MapSeries
        ``gain`` (channel, tilt), 1 on average, times what it was before; the same series where there is none.

    Raises
    ------
    InputError
        The number of gains is not that of the tilts, one is not positive, or none can be measured.
    """
    if not len(by_hand) and from_totals == 'off':
        return maps
    if len(by_hand):
        gain = np.asarray(by_hand, float)
        if len(gain) != len(maps.angles):
            raise InputError(f'There are {len(gain)} gains for {len(maps.angles)} tilts; give one for each or none.')
        if not (np.isfinite(gain).all() and (gain > 0).all()):
            raise InputError('The gain of a tilt must be a positive number; correct it or leave the gains empty.')
        gain = gain / gain.mean()
    else:
        gain = measure_gain(maps, 'slab' if from_totals == 'slab' else 'isolated')
    known = 1.0 if maps.gain is None else maps.gain
    notes = {**maps.notes, 'gain': [round(float(g), 4) for g in gain]}
    return replace(maps, gain=np.broadcast_to(gain, maps.data.shape[:2]) * known, notes=notes)
