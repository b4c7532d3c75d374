r"""The counting unit of maps: which number in the data one detected quantum stands for.

A Poisson model weighs the data by their size: counts multiplied by ten are
taken for ten times as many quanta, and the fit follows their noise. Two signs
give the unit away without any prior knowledge of the detector:

*lattice*: all values are whole multiples of one number, the unit. Division by
it gives the counts back.

*dispersion*: whole numbers y of expectation m whose variance is phi m. The
mixed difference of a square of four pixels, d = y00 - y01 - y10 + y11, is free
of any plane gradient, and E d^2 = phi (m00 + m01 + m10 + m11) for any m, however
few the counts are. phi is the ratio of their sums over a tile of the image.
What structure there is adds to it, so a low quantile over the tiles is taken,
and compared with that of a Poisson sample of the smoothed data: the skewness of
few counts is in both. With phi known, y / phi has the variance of counts
(quasi-likelihood; McCullagh and Nelder, Generalized Linear Models, 1989, ch. 9).

Maps that bring a variance of their own are left alone.

Formulas: variance over mean of counts (`dispersion`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from napari_diptomo.series import Finding, MapSeries

#: Bounds of phi within which data pass for Poisson counts, and the standard errors beyond which they do not.
DISPERSED = (0.75, 1.6)
_SIGMAS = 5.0
#: Smallest phi that is accepted: what scatters less is smoothed or not noisy at all.
_LEAST_PHI = 0.1
#: Quantile over the tiles; its standard error is this many standard deviations of a tile over the root of their number.
_QUANTILE, _QUANTILE_ERROR = 0.25, 1.36
#: Pixels along a tile, and counts that most tiles should hold.
_TILES, _TILE_COUNTS = (8, 12, 16, 24, 32, 48, 64), 60.0
_LEAST_TILES, _REPEATS = 8, 4
#: Enough for the structure to be in the model; the noise that is fitted with it is also in that of the sample.
_SIRT_ITERATIONS = 40
#: Relative rounding of float32, and multiples of the unit beyond which it hides the lattice.
_ROUNDING, _LARGEST_MULTIPLE = 1.2e-7, 1e5
#: Largest values of maps that are taken as they are.
_SMALLEST, _LARGEST = 1e-9, 1e9


@dataclass(frozen=True, eq=False)
class Counting:
    """Maps in quanta.

    Attributes
    ----------
    maps : MapSeries
        The data over their unit; whole counts where there is a lattice and no excess scatter.
    unit : ndarray (channel,)
        Factor of a volume of these maps.
    quasi : bool
        The data are no whole counts but have the variance of such.
    findings : tuple of Finding
        Of the counting statistics.
    """

    maps: MapSeries
    unit: np.ndarray
    quasi: bool = False
    findings: tuple[Finding, ...] = ()


def in_counts(maps: MapSeries, thickness: float | None = None, beyond_field: bool = False) -> Counting:
    """The maps in units of detected quanta, as far as the data show them.

    Parameters
    ----------
    maps : MapSeries
        The data.
    thickness : float, optional
        Extent of the volume along the beam, nm; default: as wide as the images.
    beyond_field : bool
        The specimen extends beyond the field of view along x.
    """
    maps, scale = _in_range(maps)
    ones = np.full(len(maps.channels), scale)
    if maps.variance is not None:
        return Counting(maps, ones)
    units = _units(maps)
    if units is None:
        return Counting(maps, ones)
    findings = _lattice_finding(units * scale)
    counts = _divided(maps, units, whole=True)
    phi, error = _dispersion_of(counts, thickness, beyond_field)
    quasi = _is_dispersed(phi, error)
    if quasi:
        findings += (_dispersion_finding(phi, error),)
        phi = max(phi, _LEAST_PHI)
        counts, units = _divided(counts, np.full(len(units), phi)), units * phi
    return Counting(counts, units * scale if maps.mixing is None else ones * units[0], quasi, findings)


def common_unit(values: np.ndarray) -> float | None:
    """The largest number that all values are whole multiples of; None where there is none within float32 rounding.

    Whole numbers have one, 1 if nothing else; what is constant or negative has none but that.
    """
    found = np.unique(np.asarray(values)[np.asarray(values) != 0]).astype(np.float64)
    if found.size == 0:
        return 1.0
    whole = bool((found == np.round(found)).all())
    if found.size < 2 or found[0] < 0:
        return 1.0 if whole and found[0] > 0 else None
    if whole:
        return float(np.gcd.reduce(found.astype(np.int64)))
    # From short distances to long ones, so that no multiple is miscounted while the unit becomes exact.
    lengths = np.concatenate([np.diff(found), found - found[0], found])
    lengths = lengths[lengths > 4 * _ROUNDING * found[-1]]
    for part in (1, 2, 3):
        unit = float(lengths.min()) / part
        for limit in (30, 300, 3000, _LARGEST_MULTIPLE):
            multiples = np.round(lengths / unit)
            near = (multiples <= limit) & (multiples > 0)
            unit = float((lengths[near] * multiples[near]).sum() / (multiples[near] ** 2).sum())
        multiples = np.round(found / unit)
        rounded = np.abs(found - multiples * unit) <= 4 * _ROUNDING * found + 1e-3 * unit
        if multiples[-1] <= _LARGEST_MULTIPLE and rounded.all():
            return unit
    return None


def _in_range(maps: MapSeries) -> tuple[MapSeries, float]:
    """The maps over a power of two, exact, that keeps squares and whole numbers within what float32 and int64 hold."""
    largest = float(np.abs(maps.data).max())
    if _SMALLEST < largest < _LARGEST or largest == 0:
        return maps, 1.0
    scale = float(2.0 ** np.round(np.log2(largest)))
    parts: dict[str, Any] = {
        name: (getattr(maps, name).astype(np.float64) / scale**power).astype(np.float32)
        for name, power in (('data', 1), ('held_out', 1), ('background', 1), ('variance', 2))
        if getattr(maps, name) is not None
    }
    return replace(maps, **parts), scale


def _units(maps: MapSeries) -> np.ndarray | None:
    """Unit of each window, (window,); None where a window has none."""
    if maps.mixing is not None:
        # Windows are added up by the mixing: they have to keep one unit.
        shared = common_unit(maps.data)
        return None if shared is None else np.full(len(maps.data), shared)
    found = [common_unit(window) for window in maps.data]
    return None if any(unit is None for unit in found) else np.array(found, float)


def _divided(maps: MapSeries, units: np.ndarray, whole: bool = False) -> MapSeries:
    if (units == 1).all():
        return maps
    shape = units.reshape(-1, 1, 1, 1)
    parts: dict[str, Any] = {
        name: getattr(maps, name) / shape
        for name in ('data', 'held_out', 'background')
        if getattr(maps, name) is not None
    }
    if whole:
        parts['data'] = np.round(parts['data'])
    return replace(maps, **parts)


def _lattice_finding(units: np.ndarray) -> tuple[Finding, ...]:
    if np.allclose(units, 1, rtol=1e-6, atol=0):
        return ()
    distinct = sorted({float(f'{unit:.4g}') for unit in units})
    words = ' and '.join(f'{unit:g}' for unit in distinct[:3])
    return (
        Finding(
            'note',
            'counting unit',
            f'The counts come in multiples of {words}: they were divided by it for the counting statistics, and the volume '
            'was multiplied by it again.',
            {'smallest unit': float(units.min()), 'largest unit': float(units.max())},
        ),
    )


def dispersion(
    counts: np.ndarray,
    model: np.ndarray | None = None,
    sampled: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Variance over mean of images that are whole numbers, and its standard error.

    Parameters
    ----------
    counts : ndarray (image, y, x)
        Whole numbers of one detector.
    model : ndarray like counts, optional
        Expectation by a fit, whose structure is subtracted first.
    sampled : tuple of ndarray like counts, optional
        A Poisson sample of ``model`` and the fit to that sample; default: a sample of the smoothed counts.
    seed : int
        Of the Poisson sample that it is compared with.

    Returns
    -------
    tuple of float
        phi and its standard error; (1, inf) where there is too little to measure it.
    """
    images = np.asarray(counts, np.float64)
    if min(images.shape[1:]) < 2:
        return 1.0, float('inf')
    smooth = ndimage.gaussian_filter(images, (0, 1.0, 1.0), mode='nearest')
    if sampled is None:
        sampled = np.random.default_rng((seed, 2)).poisson(smooth).astype(np.float64), np.zeros_like(images)
    total = images.sum()
    edge = next((n for n in _TILES if total / images.size * n * n > _TILE_COUNTS), _TILES[-1])
    used = _tile_sums(_levels(smooth), edge)
    # Empty tiles say nothing; those at the rim of the specimen are mostly structure.
    kept = used > 0.3 * used.max()
    if kept.sum() < _LEAST_TILES:
        return 1.0, float('inf')
    found = _tile_ratios(images, 0.0 if model is None else model, edge)[kept]
    expected = _tile_ratios(*sampled, edge)[kept]
    low, reference = np.quantile(found, _QUANTILE), np.quantile(expected, _QUANTILE)
    if not reference > 0:
        return 1.0, float('inf')
    phi = float(low / reference)
    # Of a quantile of both; the data's own tiles also scatter by their structure, and are not used for it.
    error = _QUANTILE_ERROR * float(expected.std()) / float(reference) * np.sqrt(2 / kept.sum())
    return phi, float(max(phi, 0.1) * error)


def _levels(images: np.ndarray) -> np.ndarray:
    return images[:, 1:, 1:] + images[:, :-1, 1:] + images[:, 1:, :-1] + images[:, :-1, :-1]


def _tile_ratios(images: np.ndarray, model: np.ndarray | float, edge: int) -> np.ndarray:
    residual = images - model
    mixed = residual[:, 1:, 1:] - residual[:, :-1, 1:] - residual[:, 1:, :-1] + residual[:, :-1, :-1]
    return _tile_sums(mixed**2, edge) / np.maximum(_tile_sums(_levels(images), edge), 1e-12)


def _tile_sums(values: np.ndarray, edge: int) -> np.ndarray:
    """Sums over tiles of ``edge``^2, those at the end smaller, (image, tile, tile)."""
    starts = [np.arange(0, max(n - edge // 2, 1), edge) for n in values.shape[1:]]
    return np.add.reduceat(np.add.reduceat(values, starts[0], axis=1), starts[1], axis=2)


def _dispersion_of(maps: MapSeries, thickness: float | None, beyond_field: bool) -> tuple[float, float]:
    """phi of all windows together and its standard error; a rare channel cannot speak for itself."""
    found = _repeated(lambda phi: dispersion(_images(maps.data) / phi))
    if not (found[0] > 1 and _is_dispersed(*found)):
        return found

    def beyond_structure(phi: float) -> tuple[float, float]:
        scaled = _divided(maps, np.full(len(maps.data), phi))
        model = _explained(scaled, thickness, beyond_field)
        sample = np.random.default_rng(3).poisson(model).astype(np.float32)
        again = _explained(replace(scaled, data=sample, held_out=None, held_out_share=0.0), thickness, beyond_field)
        return dispersion(_images(scaled.data), _images(model), (_images(sample), _images(again)))

    # Fine structure at many counts looks like scatter: what a volume explains is subtracted.
    return min(found, _repeated(beyond_structure, found[0]))


def _repeated(measure: Callable[[float], tuple[float, float]], phi: float = 1.0) -> tuple[float, float]:
    """phi and its standard error, measured again in the unit found: only there is the noise of data and sample alike."""
    for _ in range(_REPEATS):
        factor, error = measure(phi)
        phi *= factor
        if abs(factor - 1) < max(2 * error, 0.05) or not np.isfinite(error):
            break
    return phi, phi / max(factor, 1e-6) * error


def _images(data: np.ndarray) -> np.ndarray:
    return data.reshape(-1, *data.shape[2:]).astype(np.float64)


def _explained(maps: MapSeries, thickness: float | None, beyond_field: bool) -> np.ndarray:
    """Expectation of the data by a short SIRT, (window, tilt, y, x)."""
    from napari_diptomo.reconstruct.problem import Problem
    from napari_diptomo.reconstruct.sirt_iteration import short_sirt

    problem = Problem(maps, thickness, beyond_field)
    return np.maximum(problem.expected(short_sirt(problem, _SIRT_ITERATIONS)).numpy(), 0)


def _is_dispersed(phi: float, error: float) -> bool:
    outside = phi < DISPERSED[0] or phi > DISPERSED[1]
    return outside and abs(phi - 1) > _SIGMAS * error


def _dispersion_finding(phi: float, error: float) -> Finding:
    if phi > 1:
        cause = 'a camera with a gain, a sum of weighted frames, or a background that was subtracted'
    else:
        cause = 'averaged frames, or smoothed or interpolated maps'
    return Finding(
        'doubt',
        'counting statistics',
        f'The maps are whole numbers whose variance is {phi:.2g} ± {error:.1g} times their mean, where that of counts is '
        f'1: {cause}. {max(phi, _LEAST_PHI):.2g} of their units were taken for one count; give the counts as recorded '
        'where you have them.',
        {'variance over mean': phi, 'standard error': error},
    )
