r"""Maps of the first and of the second half of the dose compared: damage by the beam, and drift.

Where a file keeps its frames, the first and the second half of them are two recordings of one specimen (`first_frame`, `last_frame`). With
n_c the map of channel c and N the sum of all channels, both smoothed, the share f_c = n_c / N does not depend on the dose, and

    d_c = f_c(second) - f_c(first),      var f_c = sum_d (delta_cd - f_c)^2 var n_d / N^2,

is zero but for noise where the beam changes nothing. Errors of channels that a fit has separated are correlated, which
variances do not say: they are widened by the spread that d / error has among the pixels, if that is above one. Of all pixels
together the shares are those of the sums. A change that is proportional to the dose is d_c / 2 between no dose and
the middle of the first half, so the undamaged specimen had f_c(first) - d_c / 2.

The specimen may have moved from one half to the other; the second half is moved back first, by the cross-correlation of N.

Formulas: change between two halves of the dose (`dose_halves`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from napari_diptomo.series import Finding, InputError, MapSeries

#: Width of the smoothing, pixels; of the correlation a tenth of a pixel is found.
_SMOOTH, _UPSAMPLING = 1.0, 10
#: Pixels with less than this share of the typical sum hold no specimen.
_SPECIMEN = 0.2
#: Changes of a share that are said aloud: standard deviations, and absolute; displacements, pixels.
_SIGNIFICANT, _LEAST, _MOVED = 4.0, 0.005, 0.5
#: Standard deviation of a normal distribution per median absolute deviation.
_PER_MAD = 1.4826


@dataclass(frozen=True, eq=False)
class DoseHalves:
    """Change of the shares of the channels from the first half of the dose to the second.

    Attributes
    ----------
    channels : tuple of str
        Their names.
    change : ndarray (channel, tilt, y, x)
        d_c; NaN where there is no specimen.
    error : ndarray (channel, tilt, y, x)
        Its standard deviation.
    shares : ndarray (channel, 3)
        Of all pixels: in the first half, in the second, extrapolated to no dose.
    share_error : ndarray (channel,)
        Standard deviation of the change of all pixels.
    displacement : ndarray (tilt, 2)
        Of the second half, pixels (y, x).
    total : float
        All counts of the second half relative to the first.
    findings : tuple of Finding
        What is to be said.
    """

    channels: tuple[str, ...]
    change: np.ndarray
    error: np.ndarray
    shares: np.ndarray
    share_error: np.ndarray
    displacement: np.ndarray
    total: float
    findings: tuple[Finding, ...] = ()


def dose_halves(first: MapSeries, second: MapSeries) -> DoseHalves:
    """Maps of two halves of the dose compared.

    Parameters
    ----------
    first, second : MapSeries
        Of the same tilts and channels, in the order of the dose.

    Returns
    -------
    DoseHalves
        Change of every channel with its error, and what follows at zero dose.

    Raises
    ------
    InputError
        One channel, other channels, tilts or sizes, or nothing in the maps.
    """
    first, second = first.unmixed(), second.unmixed()
    _check(first, second)
    sums = [np.asarray(one.data, float).sum(axis=0) for one in (first, second)]
    displacement = np.stack([_displacement(a, b) for a, b in zip(*sums, strict=True)])
    recorded = [_moved_back(first, np.zeros_like(displacement)), _moved_back(second, displacement)]
    values, variances = zip(*(_smooth(*one) for one in recorded), strict=True)
    sums = [value.sum(axis=0) for value in values]
    typical = float(np.quantile(sums[0], 0.95))
    where = (sums[0] > _SPECIMEN * typical) & (sums[1] > _SPECIMEN * float(np.quantile(sums[1], 0.95)))
    if not typical > 0 or not where.any():
        raise InputError(
            'The maps of the two halves have no pixels with counts in common; check that both show the specimen.'
        )
    shares = [_share(value, variance, where) for value, variance in zip(values, variances, strict=True)]
    change = shares[1][0] - shares[0][0]
    error = np.sqrt(shares[0][1] + shares[1][1])
    wider = _wider(change, error, where)
    totals = [_of_all(*one, where) for one in recorded]
    of_all = np.stack([totals[0][0], totals[1][0]], axis=1)
    difference = of_all[:, 1] - of_all[:, 0]
    share_error = wider * np.sqrt(totals[0][1] + totals[1][1])
    found = DoseHalves(
        first.channels, change, wider[:, None, None, None] * error,
        np.column_stack([of_all, of_all[:, 0] - difference / 2]), share_error, displacement,
        float(sums[1][where].sum() / sums[0][where].sum()),
    )  # fmt: skip
    return DoseHalves(**(found.__dict__ | {'findings': (*_damage(found), *_drift(found))}))


def _check(first: MapSeries, second: MapSeries) -> None:
    if first.channels != second.channels or first.data.shape != second.data.shape:
        raise InputError(
            f'The two halves must have the same channels and sizes, not {", ".join(first.channels)} {first.data.shape} and '
            f'{", ".join(second.channels)} {second.data.shape}; make both with the same settings.'
        )
    if not np.allclose(first.angles, second.angles, atol=0.05):
        raise InputError(
            'The two halves are of other tilts; open the same files, the first and the second half of their frames.'
        )
    if len(first.channels) < 2:
        raise InputError(
            f'Of {first.channels[0]} alone there is no share to compare; map two elements or states at least.'
        )


def _displacement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """By how much the second image lies farther than the first, pixels (y, x)."""
    smooth = [ndimage.gaussian_filter(image, _SMOOTH) for image in (first, second)]
    if not all(np.ptp(image) > 0 for image in smooth):
        return np.zeros(2)
    found: np.ndarray = -phase_cross_correlation(*smooth, upsample_factor=_UPSAMPLING, normalization=None)[0]
    return found


def _moved_back(maps: MapSeries, by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps and their variance with the specimen where it was, (channel, tilt, y, x) each."""
    values, variance = np.asarray(maps.data, float).copy(), _variance(maps).copy()
    for tilt, shift in enumerate(by):
        if np.any(np.abs(shift) > 1 / _UPSAMPLING):
            for one in (values, variance):
                one[:, tilt] = ndimage.shift(one[:, tilt], (0, *(-shift)), order=1, mode='nearest')
    return values, variance


def _smooth(values: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps smoothed, and their variance, (channel, tilt, y, x) each."""
    width = (0, 0, _SMOOTH, _SMOOTH)
    # The square of a Gaussian is one of half the variance; its sum is what averaging leaves of white noise.
    left = 1 / (4 * np.pi * _SMOOTH**2)
    half = tuple(w / np.sqrt(2) for w in width)
    return ndimage.gaussian_filter(values, width), left * ndimage.gaussian_filter(variance, half)


def _variance(maps: MapSeries) -> np.ndarray:
    counts = maps.data if maps.variance is None else maps.variance
    floor = 0.5 if maps.variance is None else 0.0
    return np.maximum(np.asarray(counts, float), floor)


def _share(values: np.ndarray, variance: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares and their variance, (channel, ...) each; NaN outside."""
    total = np.where(where, values.sum(axis=0), np.nan)
    share = values / total
    # sum_d (delta_cd - f_c)^2 var_d = f_c^2 sum_d var_d + (1 - 2 f_c) var_c.
    return share, (share**2 * variance.sum(axis=0) + (1 - 2 * share) * variance) / total**2


def _of_all(values: np.ndarray, variance: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the sums of all pixels with a specimen, and their variance, (channel,) each."""
    return _share(values[:, where].sum(axis=1), variance[:, where].sum(axis=1), np.array(True))


def _wider(change: np.ndarray, error: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Factor on the errors of each channel by the spread of the pixels around their median, (channel,), at least one."""
    z = (change / np.maximum(error, 1e-12))[:, where]
    spread = _PER_MAD * np.median(np.abs(z - np.median(z, axis=1, keepdims=True)), axis=1)
    return np.maximum(spread, 1.0)


def _damage(found: DoseHalves) -> tuple[Finding, ...]:
    difference = found.shares[:, 1] - found.shares[:, 0]
    z = difference / np.maximum(found.share_error, 1e-12)
    worst = int(np.abs(z).argmax())
    name, before, after = found.channels[worst], *found.shares[worst, :2]
    evidence = {'change': float(difference[worst]), 'error': float(found.share_error[worst]), 'total': found.total}
    change = f'{name} has {100 * before:.1f} % of all in the first half of the dose and {100 * after:.1f} % in the second ({100 * difference[worst]:+.1f} ± {100 * found.share_error[worst]:.1f} %)'
    if abs(z[worst]) > _SIGNIFICANT and abs(difference[worst]) > _LEAST:
        return (
            Finding(
                'doubt', 'damage by the beam',
                f'{change}: the beam changes the specimen. Without dose it would be {100 * found.shares[worst, 2]:.1f} %, if the change goes '
                'with the dose. Use the first frames alone, and see in the maps of the change where it happens.',
                evidence,
            ),
        )  # fmt: skip
    return (
        Finding(
            'note', 'damage by the beam',
            f'No damage: {change}; changes from {100 * max(_SIGNIFICANT * float(found.share_error.max()), _LEAST):.1f} % on would be seen.',
            evidence,
        ),
    )  # fmt: skip


def _drift(found: DoseHalves) -> tuple[Finding, ...]:
    distance = np.hypot(*found.displacement.T)
    if distance.max() < _MOVED:
        return ()
    worst = int(distance.argmax())
    return (
        Finding(
            'doubt',
            'drift within a tilt',
            f'The specimen moves by up to {distance[worst]:.1f} pixels from the first half of the dose to the second (tilt {worst + 1}): sums of all '
            'frames are blurred by as much. Align the frames before they are summed, or use fewer.',
            {'displacement': float(distance[worst])},
        ),
    )
