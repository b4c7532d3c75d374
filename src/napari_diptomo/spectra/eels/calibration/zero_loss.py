r"""Where the zero loss lies in every spectrum of a tilt, to a fraction of a channel.

The spectra of a tilt share one peak T, displaced by d and A times as high:

    E n[k] = A T(k - d)        for k within 1.2 FWHM of the peak.

T is found from all spectra of the tilt, each displaced by its d, as a smooth
spline (P-spline: Eilers and Marx, Statist. Sci. 11 (1996) 89); A and d by
Newton's method for counts, the two in turn. A spectrum of N electrons in a
peak of standard deviation s then gives d to s / sqrt(N), the limit that counting
sets; a centroid is worse by the tails, a parabola through three channels is
biased where channels are coarse.

Where electrons are few the peaks around lend their position: d is pulled to
the mean m of its neighbours,

    d' = m + (d - m) V / (V + e^2),

e the error of d and V the variance with which positions truly differ from
pixel to pixel, from the scatter of the tilt less the errors.

Formulas: position of the zero loss (`find_zero_loss`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import BSpline

from napari_diptomo.series import InputError
from napari_diptomo.series.neighbour_mean import neighbour_sums

#: The zero loss is looked for this far from 0 eV, that of a pixel this far from that of its tilt, eV.
_REACH, _JITTER = 20.0, 5.0
#: A broader peak is no zero loss, eV.
_BROADEST = 5.0
#: Fewer counts in the peak do not determine its position.
_FEWEST = 20.0
#: Half of the window in units of the FWHM.
_WINDOW = 1.2
_KNOTS, _ROUNDS, _NEWTON = 0.5, 3, 3
#: A peak is as broad at nine tenths of its height as at half of it (Gaussian 0.39) where the detector cuts it off.
_FLAT = 0.62
#: Pixels over which positions are averaged, and how many standard deviations off they are mistakes.
_NEIGHBOURS, _MISTAKE = 2.0, 6.0


@dataclass(frozen=True, eq=False)
class ZeroLoss:
    """The zero loss of one tilt.

    Attributes
    ----------
    position : ndarray (y, x)
        Channel of its middle, not whole; no farther from those of its
        neighbours than they truly differ.
    error : ndarray (y, x)
        Standard error of the position from the pixel alone, channels; infinite where it has none.
    fwhm : float
        Channels.
    saturated : ndarray (y, x), bool
        Cut off by the detector.
    plateau : float
        Channels that are cut off, in the mean of those pixels.
    """

    position: np.ndarray
    error: np.ndarray
    fwhm: float
    saturated: np.ndarray
    plateau: float


def find_zero_loss(counts: np.ndarray, energy: np.ndarray, name: str) -> ZeroLoss:
    """Find the zero loss of every pixel of a tilt.

    Parameters
    ----------
    counts : ndarray (y, x, energy)
        Spectra.
    energy : ndarray (energy,)
        As the files have them, evenly spaced, eV.
    name : str
        The tilt, for messages.

    Raises
    ------
    InputError
        There is no zero loss.
    """
    step = float(energy[1] - energy[0])
    spectra = counts.reshape(-1, counts.shape[-1])
    start, height = _rough(spectra, energy, name)
    bright = height >= _FEWEST
    fwhm = _width(spectra[bright], start[bright], 0.5)
    if fwhm * abs(step) > _BROADEST:
        raise InputError(
            f'There is no zero loss {name}: the highest peak near 0 eV is {fwhm * abs(step):.2g} eV wide; choose a low '
            'loss that holds it, or correct its energy calibration.'
        )
    saturated, plateau = _saturation(spectra, start, bright, fwhm)
    position, error, fwhm = _refined(spectra, start, bright, fwhm)
    shape = counts.shape[:2]
    settled = settle(position.reshape(shape), error.reshape(shape))
    return ZeroLoss(settled, error.reshape(shape), fwhm, saturated.reshape(shape), plateau)


def settle(position: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Positions (y, x) pulled to those of their neighbours as far as errors (y, x) make them doubtful."""
    known = np.isfinite(error) & np.isfinite(position)
    if not known.any():
        return np.full(position.shape, float(np.nanmedian(position)))
    filled = np.where(known, position, np.median(position[known]))
    weights = np.where(known, 1 / (np.where(known, error, 1.0) ** 2 + 1e-4), 0.0)
    mean = _neighbours(filled, weights)
    scatter = (1.4826 * np.median(np.abs(filled - mean)[known])) ** 2
    jitter = max(scatter - float(np.median(error[known] ** 2)), 1e-6)
    share = np.where(known, jitter / (jitter + np.where(known, error, 1.0) ** 2), 0.0)
    doubt = _MISTAKE * np.sqrt(jitter + np.where(known, error, 0.0) ** 2)
    mistaken = np.abs(filled - mean) > np.maximum(doubt, 1.0)
    mean = _neighbours(filled, np.where(mistaken, 0.0, weights))
    return mean + (filled - mean) * np.where(mistaken, 0.0, share)


def _rough(spectra: np.ndarray, energy: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Channel of the highest peak of every pixel near that of the tilt, and its counts in three channels."""
    near = np.flatnonzero(np.abs(energy) <= _REACH)
    if near.size < 5 or not energy.min() < 0 < energy.max():
        raise InputError(
            f'There is no zero loss {name}: the energies go from {energy[0]:.4g} to {energy[-1]:.4g} eV; choose the files '
            'of the low loss.'
        )
    part = ndimage.uniform_filter1d(spectra[:, near].astype(np.float32), 3, axis=1, mode='nearest') * 3
    bright = part.max(axis=1) >= _FEWEST
    if not bright.any():
        raise InputError(f'There are hardly any counts near 0 eV {name}; leave this tilt out.')
    middle = int(np.median(part[bright].argmax(axis=1)))
    reach = max(int(np.ceil(_JITTER / abs(energy[1] - energy[0]))), 3)
    first = max(middle - reach, 0)
    part = part[:, first : middle + reach + 1]
    height = part.max(axis=1)
    peak = np.where(height >= _FEWEST, part.argmax(axis=1) + first, middle) + near[0]
    if np.percentile(peak, 2) < 4 or np.percentile(peak, 98) > len(energy) - 5:
        raise InputError(f'The zero loss {name} lies at the end of the range; choose a low loss that holds all of it.')
    return peak, height


def _width(spectra: np.ndarray, peak: np.ndarray, share: float) -> float:
    """Channels between the flanks of the mean peak at a share of its height."""
    reach = int(min(np.percentile(peak, 2), spectra.shape[1] - 1 - np.percentile(peak, 98), 40))
    inside = (peak >= reach) & (peak < spectra.shape[1] - reach)
    peak, spectra = peak[inside], spectra[inside]
    around = peak[:, None] + np.arange(-reach, reach + 1)
    mean = np.take_along_axis(spectra, around, axis=1).mean(axis=0, dtype=float)
    mean = mean - min(float(np.median(mean[: max(reach // 4, 1)])), 0.0)
    return max(peak_width(mean, share), 1.0)


def peak_width(peak: np.ndarray, share: float) -> float:
    """Channels between the flanks of a peak at a share of its height.

    Parameters
    ----------
    peak : ndarray (channel,)
        Counts above what it stands on.
    share : float
    """
    level = share * peak.max()
    top = int(peak.argmax())
    left, right = top, top
    while left > 0 and peak[left] > level:
        left -= 1
    while right < len(peak) - 1 and peak[right] > level:
        right += 1
    # A flank between two channels is taken to be straight.
    rise = (level - peak[left]) / max(peak[left + 1] - peak[left], 1e-12)
    fall = (level - peak[right]) / max(peak[right - 1] - peak[right], 1e-12)
    return float((right - fall) - (left + rise))


def _saturation(spectra: np.ndarray, peak: np.ndarray, bright: np.ndarray, fwhm: float) -> tuple[np.ndarray, float]:
    """Pixels whose peak is cut off, and by how many channels on average."""
    reach = np.arange(-int(np.ceil(fwhm)) - 1, int(np.ceil(fwhm)) + 2)
    around = np.take_along_axis(spectra, np.clip(peak[:, None] + reach, 0, spectra.shape[1] - 1), axis=1)
    limit = around.max()
    # Counting noise lets hardly two channels share one value, and that the highest of all.
    at_limit = (around >= limit).sum(axis=1)
    cut = bright & (at_limit >= 2)
    if cut.sum() >= max(3, 0.002 * bright.sum()) and limit > 500:
        return bright & (at_limit >= 1), float(at_limit[cut].mean())
    flatness = _width(spectra[bright], peak[bright], 0.9) / fwhm
    if fwhm >= 4 and flatness > _FLAT:
        return bright.copy(), flatness * fwhm
    return np.zeros(len(spectra), bool), 0.0


def _refined(
    spectra: np.ndarray, start: np.ndarray, bright: np.ndarray, fwhm: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Position and its error of every pixel, and the FWHM of the peak they share, channels."""
    reach = int(np.ceil(_WINDOW * fwhm)) + 1
    whole = np.clip(start, reach, spectra.shape[1] - 1 - reach)
    channels = whole[:, None] + np.arange(-reach, reach + 1)
    counts = np.maximum(np.take_along_axis(spectra, channels, axis=1).astype(float), 0)
    height = np.maximum(counts.sum(axis=1), 1.0)
    centre = (counts * (channels - whole[:, None])).sum(axis=1) / height
    position = whole + np.clip(centre, -1, 1)
    error = np.full(len(spectra), np.inf)
    for _ in range(_ROUNDS):
        peak = _template(channels - position[:, None], counts / height[:, None], height * bright, reach)
        slope = peak.derivative()
        for _ in range(_NEWTON):
            offset = np.clip(channels - position[:, None], -reach - 1, reach + 1)
            shape, change = np.maximum(peak(offset), 1e-6), -slope(offset)
            expected = np.maximum(height[:, None] * shape, 0.1)
            residual = (counts - height[:, None] * shape) / expected
            curvature = height**2 * (change**2 / expected).sum(axis=1)
            mixed = height * (change * shape / expected).sum(axis=1)
            level = (shape**2 / expected).sum(axis=1)
            pull, push = height * (change * residual).sum(axis=1), (shape * residual).sum(axis=1)
            determinant = np.maximum(curvature * level - mixed**2, 1e-12)
            position = position + np.clip((level * pull - mixed * push) / determinant, -0.5, 0.5)
            height = np.maximum(height + (curvature * push - mixed * pull) / determinant, 1.0)
            error = np.sqrt(level / determinant)
        left, right = _flanks(peak, reach, 0.7)
        position = position + (left + right) / 2
    known = bright & (np.abs(position - whole) < reach) & (counts.sum(axis=1) >= _FEWEST)
    left, right = _flanks(peak, reach, 0.5)
    return position, np.where(known, error, np.inf), right - left


def _template(offset: np.ndarray, values: np.ndarray, weights: np.ndarray, reach: int) -> BSpline:
    """Smooth peak through values (pixel, channel) at offsets (pixel, channel), weights (pixel,)."""
    fine = _KNOTS / 4
    edges = np.arange(-reach - 1.5, reach + 1.5 + fine / 2, fine)
    place = np.clip(np.searchsorted(edges, offset.ravel()) - 1, 0, len(edges) - 2)
    each = np.where(np.abs(offset) < reach + 1.5, weights[:, None], 0.0).ravel()
    total = np.bincount(place, each, len(edges) - 1)
    mean = np.bincount(place, each * values.ravel(), len(edges) - 1) / np.maximum(total, 1e-300)
    where = np.bincount(place, each * offset.ravel(), len(edges) - 1) / np.maximum(total, 1e-300)
    filled = total > 0
    knots = np.arange(-reach - 2 - 3 * _KNOTS, reach + 2 + 3.5 * _KNOTS, _KNOTS)
    basis = BSpline.design_matrix(where[filled], knots, 3).toarray()
    rough = np.diff(np.eye(basis.shape[1]), 3, axis=0)
    # Errors of the bins are those of counts: weights go with the total and inversely with the value.
    certain = (total[filled] / np.maximum(mean[filled], mean.max() * 1e-3)) / total.sum()
    normal = basis.T @ (basis * certain[:, None])
    normal += 1e-5 * np.trace(normal) / len(normal) * rough.T @ rough + 1e-12 * np.eye(len(normal))
    return BSpline(knots, np.linalg.solve(normal, basis.T @ (certain * mean[filled])), 3)


def _flanks(peak: BSpline, reach: int, share: float) -> tuple[float, float]:
    """Where a peak has a share of its height, left and right.

    The middle of the flanks at 70 % is what positions mean: counts determine it better than the flat top, and tails do not
    reach it.
    """
    fine = np.linspace(-reach, reach, 200 * reach + 1)
    values = peak(fine)
    top = int(values.argmax())
    low = values < share * values[top]
    left = fine[:top][low[:top]].max(initial=-reach)
    right = fine[top:][low[top:]].min(initial=reach)
    return float(left), float(right)


def _neighbours(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted Gaussian mean around each pixel without it, where there is anything around; else of all."""
    total = neighbour_sums(weights, _NEIGHBOURS)
    summed = neighbour_sums(weights * values, _NEIGHBOURS)
    everywhere = float((weights * values).sum() / max(weights.sum(), 1e-300))
    enough = total > 1e-9 * max(float(weights.max()), 1e-300)
    return np.where(enough, summed / np.where(enough, total, 1.0), everywhere)
