r"""Checks of the model by the residuals of a reconstruction: dose, alignment, and a floor under all channels.

The data y of tilt t are compared with the projections m of the returned volume,
b being the background. One weighted regression per tilt, all channels pooled,

    y - m  ~  gamma_t (m - b) - s_t . grad m,    weights 1 / var y,

gives the displacement s_t = (s_y, s_x) that the images ask for. A fit absorbs part
of a displacement, so the estimate is a lower bound; what all tilts share, it absorbs
wholly. gamma_t takes up what dose and blur leave of m; the dose itself follows from the totals,

    d_t = sum (y - m) / sum (m - b),    each channel weighted by sum (m - b) / sum var y,

which no displacement within the field changes. The scatter of both over the tilts, less
that of the counting noise, is compared with what reconstructions of faultless series
leave (docs/model-checks.md).

A part of the total signal that leaks into every map, or a background that no
model holds, shows in the volume: no channel's fraction falls below about the same
value anywhere inside the specimen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.series import Finding, MapSeries, Remedy

#: What a finding on a floor of all channels is about.
FLOOR_OF_ALL = 'floor of all channels'
#: Scatter of the dose over the tilts, relative, and of the displacements, pixels, from which on they are doubted.
DOSE, SHIFT = 0.02, 0.12
#: Displaced images move matter across the rim of the field: up to here that explains what their totals scatter.
_DISPLACED_DOSE = 0.05
#: The reduced chi-square of both has to be that many of its standard deviations above 1.
_SIGMAS = 5.0
#: Fewer tilts say nothing of a scatter, and a volume that is this far from the total counts nothing of its data.
_LEAST_TILTS, _UNFINISHED = 5, 0.5
#: Smallest variance of a datum, counts: empty pixels do not know their own.
_LEAST_VARIANCE = 0.1
#: Fraction that no channel falls below, over which a leak is suspected, and that where the two lowest are alike.
FLOOR, ALIKE_FLOOR = 0.05, 0.02
#: Largest floor, in equal shares; largest ratio of two that are alike; least contrast of a channel over its floor,
#: where the lowest are alike and where they are not.
_OF_EQUAL, _ALIKE, _CONTRAST, _STRONG_CONTRAST = 0.4, 1.7, 2.5, 5.0
#: Two smoothings, voxels, and the ratio of the floors from which on it is the blur of the volume that makes them.
_SMOOTHING, _BLURRED = (0.7, 1.2), 1.95
#: Misfit up to which a volume is fitted.
_FITTED = 1.1
#: Quantiles for floor and top, and voxels inside the specimen that they need.
_LOW, _HIGH, _LEAST_VOXELS = 0.003, 0.99, 300


@dataclass(frozen=True, eq=False)
class TiltResiduals:
    """Dose and displacement of each tilt from its residuals.

    Attributes
    ----------
    dose, dose_error : ndarray (tilt,)
        Relative deviation of the dose, mean zero, and its standard error.
    shift, shift_error : ndarray (tilt, 2)
        Displacement (y, x) in pixels, mean zero along y, and its standard error.
    misfit : float
        Median over the tilts of the residuals' root mean square in units of the noise, 1 at least.
    """

    dose: np.ndarray
    dose_error: np.ndarray
    shift: np.ndarray
    shift_error: np.ndarray
    misfit: float


def model_findings(problem: Problem, x: torch.Tensor, settings: ProblemSettings) -> tuple[Finding, ...]:
    """Doubts about the model of the volume ``x`` (channel, z, y, x).

    Parameters
    ----------
    problem : Problem
        Data and forward model.
    x : Tensor (channel, z, y, x)
        The solvers' variable.
    settings : ProblemSettings
        From which the problem was made: they decide what is advised.
    """
    if any(finding.about == 'field of view' for finding in problem.findings):
        # Matter from outside the field disturbs each of the checks; one cause is named.
        return ()
    residuals = tilt_residuals(problem, x)
    if residuals is None:
        return ()
    displaced = _alignment(problem, residuals)
    found = [displaced, _dose(problem, residuals, settings, _DISPLACED_DOSE if displaced else DOSE)]
    if displaced is None and residuals.misfit < _FITTED:
        # What is still blurred, or blurred by displaced images, has each channel everywhere.
        found.append(_floor(problem, x))
    return tuple(finding for finding in found if finding is not None)


@torch.no_grad()
def tilt_residuals(problem: Problem, x: torch.Tensor) -> TiltResiduals | None:
    """Dose and displacement that the volume ``x`` (channel, z, y, x) leaves unexplained; None where it is unfinished."""
    expected = problem.expected(x).cpu().numpy()
    data = (problem.fit if problem.held_out is None else problem.fit + problem.held_out).cpu().numpy()
    if len(problem.maps.angles) < _LEAST_TILTS:
        return None
    signal = expected if problem.background is None else expected - problem.background.cpu().numpy()
    known = not (problem.quasi or problem.maps.are_counts)
    variance = problem.variance.cpu().numpy() if known else np.maximum(expected, _LEAST_VARIANCE)
    axes = [axis for axis in (2, 3) if expected.shape[axis] > 2]
    columns = np.stack([signal, *(-np.gradient(signal, axis=axis) for axis in axes)]).astype(np.float64)
    weight = np.broadcast_to(problem.mask.cpu().numpy() / variance, expected.shape).astype(np.float64)
    # Differences at the rim of the image are one-sided.
    weight[..., :1] = weight[..., -1:] = 0
    residual = (data - expected).astype(np.float64)
    weighted = columns * weight
    normal = np.einsum('awtyu,bwtyu->tab', weighted, columns, optimize=True)
    right = np.einsum('awtyu,wtyu->ta', weighted, residual, optimize=True)
    scale = np.sqrt(np.maximum(np.diagonal(normal, axis1=1, axis2=2), 1e-12))
    # A tilt without signal asks for nothing.
    normal = normal / (scale[:, :, None] * scale[:, None, :]) + 1e-9 * np.eye(len(columns))
    inverse = np.linalg.inv(normal)
    values = np.einsum('tij,tj->ti', inverse, right / scale) / scale
    unexplained = residual - np.einsum('ta,awtyu->wtyu', values, columns, optimize=True)
    degrees = np.maximum((weight > 0).sum(axis=(0, 2, 3)), 1)
    # Where the volume is far from the data for other reasons, what it leaves is no counting noise.
    misfit = np.sqrt(np.maximum((unexplained**2 * weight).sum(axis=(0, 2, 3)) / degrees, 1))
    error = np.sqrt(np.maximum(np.diagonal(inverse, axis1=1, axis2=2), 0)) / scale * misfit[:, None]
    if abs(np.median(values[:, 0])) > _UNFINISHED:
        return None
    dose, dose_error = _totals(residual, signal, np.broadcast_to(problem.mask.cpu().numpy(), expected.shape), variance)
    shift, shift_error = np.zeros((len(values), 2)), np.full((len(values), 2), np.inf)
    for column, axis in enumerate(axes, start=1):
        shift[:, axis - 2], shift_error[:, axis - 2] = values[:, column], error[:, column]
    shift[:, 0] -= shift[:, 0].mean()
    return TiltResiduals(dose - dose.mean(), dose_error, shift, shift_error, float(np.median(misfit)))


def _totals(
    residual: np.ndarray, signal: np.ndarray, mask: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Deficit of the totals of each tilt to those of the projections, relative, and its standard error, both (tilt,).

    All arrays (window, tilt, y, u).
    """
    weight = (mask * signal).sum(axis=(1, 2, 3)) / np.maximum((mask * variance).sum(axis=(1, 2, 3)), 1e-12)
    lack, total, noise = (
        np.einsum('w,wt->t', weight**power, (mask * values).sum(axis=(2, 3), dtype=float))
        for values, power in ((residual, 1), (signal, 1), (variance, 2))
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        known = total > 0
        return np.where(known, lack / total, 0.0), np.where(known, np.sqrt(noise) / total, np.inf)


def scatter(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Root mean square of ``values`` (tilt,) beyond their errors, and how many standard deviations chi-square is too large."""
    degrees = len(values) - 1
    excess = float(np.sqrt(max((values**2).mean() - (errors**2).mean(), 0.0))) if np.isfinite(errors).all() else 0.0
    chi_square = float((values**2 / errors**2).sum())
    return excess, (chi_square / degrees - 1) / float(np.sqrt(2 / degrees))


def _dose(problem: Problem, residuals: TiltResiduals, settings: ProblemSettings, least: float) -> Finding | None:
    rms, sigmas = scatter(residuals.dose, residuals.dose_error)
    if rms < least or sigmas < _SIGMAS:
        return None
    worst = int(np.abs(residuals.dose).argmax())
    largest, at = float(residuals.dose[worst]), problem.maps.angles[worst]
    remedy = None
    if settings.beyond_field:
        advice, remedy = _dose_beyond_the_field(problem.maps)
    elif settings.fit_gain:
        advice = 'look at the totals of the tilts: the fitted gain does not account for them'
    else:
        advice = 'fit the gain of the tilts'
        remedy = Remedy('Fit the gain of each tilt', settings.step, {'fit_gain': True})
    return Finding(
        'doubt',
        'dose',
        f'The dose differs between tilts by {100 * rms:.1f} % (root mean square), most at {at:g}° '
        f'({100 * largest:+.1f} %), beyond what one volume and counting noise explain: {advice}.',
        {'rms': rms, 'largest': largest, 'tilt': float(at), 'standard deviations': sigmas},
        remedy,
    )


def _dose_beyond_the_field(maps: MapSeries) -> tuple[str, Remedy | None]:
    """Advice and remedy where totals differ anyhow, as more of the specimen is seen at high tilts."""
    for step in reversed(maps.recipe.steps if maps.recipe else ()):
        given = step.to_dict()
        if given.get('gain_from_totals') == 'off' and not given['gain']:
            remedy = Remedy('Measure the gain of the detectors', str(given['step']), {'gain_from_totals': 'slab'})
            return 'measure how much the detectors see at each tilt, as of a slab (the holder may shade them)', remedy
    return 'give the maps with the dose of each tilt taken into account', None


def _alignment(problem: Problem, residuals: TiltResiduals) -> Finding | None:
    found = [scatter(residuals.shift[:, axis], residuals.shift_error[:, axis]) for axis in (0, 1)]
    if not any(rms >= SHIFT and sigmas >= _SIGMAS for rms, sigmas in found):
        return None
    size = np.hypot(*residuals.shift.T)
    worst = [int(t) for t in np.argsort(-size)[:4]]
    names = ('x', 'y') if problem.maps.transposed else ('y', 'x')
    angles = problem.maps.angles
    listed_tilts = ', '.join(
        f'{angles[t]:g}° ({names[0]} {residuals.shift[t, 0]:+z.1f}, {names[1]} {residuals.shift[t, 1]:+z.1f})'
        for t in worst
    )
    return Finding(
        'doubt',
        'alignment',
        f'The images are displaced against the projections of the volume by {found[0][0]:.2f} pixels along {names[0]} and '
        f'{found[1][0]:.2f} along {names[1]} (root mean square, beyond counting noise; the fit hides a part), most at '
        f'{listed_tilts} pixels: run Align, or run it again and look at these tilts.',
        {
            f'rms along {names[0]}': found[0][0],
            f'rms along {names[1]}': found[1][0],
            'largest': float(size.max()),
            'tilt': float(angles[worst[0]]),
            'standard deviations': max(found[0][1], found[1][1]),
        },
    )


def floors(volume: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest fraction of each channel inside the specimen, both (channel,); None where little is inside.

    Parameters
    ----------
    volume : ndarray (channel, z, y, x)
        Counts per voxel of path.
    sigma : float
        Gaussian smoothing first, voxels.
    """
    smooth = np.stack([ndimage.gaussian_filter(channel, sigma) for channel in volume])
    total = smooth.sum(axis=0)
    solid = total[total > 0.2 * total.max()]
    if not solid.size:
        return None
    inside = ndimage.binary_erosion(total > 0.5 * np.quantile(solid, 0.7))
    if inside.sum() < _LEAST_VOXELS:
        return None
    fraction = smooth[:, inside] / total[inside]
    low, high = np.quantile(fraction, (_LOW, _HIGH), axis=1)
    return low, high


def _floor(problem: Problem, x: torch.Tensor) -> Finding | None:
    channels = problem.channels
    if channels < 2:
        return None
    # In the unit of the maps, which may be one for each channel.
    volume = (problem.inside(x) * problem.unit[:, None, None, None]).float().cpu().numpy()
    fine, coarse = (floors(volume, sigma) for sigma in _SMOOTHING)
    if fine is None or coarse is None:
        return None
    low, high = fine
    least = float(low.min())
    alike = float(np.sort(low)[1]) < _ALIKE * least
    if not (ALIKE_FLOOR if alike else FLOOR) < least < _OF_EQUAL / channels:
        return None
    contrast = float((high / low).max())
    # A blurred volume has a floor too, which grows with any blur that is added; that of a leak stays.
    if contrast < (_CONTRAST if alike else _STRONG_CONTRAST) or bool((coarse[0] > _BLURRED * low).any()):
        return None
    names = problem.maps.channels
    each = ', '.join(f'{name} {100 * value:.0f} %' for name, value in zip(names, low, strict=True))
    return Finding(
        'doubt',
        FLOOR_OF_ALL,
        f'Nowhere inside the specimen does a channel fall below a few percent of the total ({each}): a part of the total '
        'signal leaks into every map, or a background common to all is in no model. Subtract the background, or give the '
        'mixing of the windows; unless the specimen holds all elements everywhere.',
        {
            'lowest': least,
            'largest contrast': contrast,
            **{f'floor of {n}': float(v) for n, v in zip(names, low, strict=True)},
        },
    )
