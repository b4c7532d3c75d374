r"""What the camera leaves in the counts: spikes and a dark level.

*Spikes* (cosmic rays, X-rays) lie in one pixel and a few channels. A channel is
compared with b, the mean of those three and four beside it on either side,

    z = (n - b) / (s sqrt(b + 1)),

s the scatter of such differences (from their median absolute deviation, so
that counts need not be electrons). A spike has z > 8, and stands out as
far from the eight pixels around it: an edge or a peak is in these too. Its
channels are filled with the spectrum around the pixel, scaled to the channels
beside the spike, rounded where counts are whole.

*Dark level*: what is there left of the zero loss where no electron can be.
The tail of the zero loss reaches there, so the mean spectrum of the tilt is
fitted with a + c / (z0 - E)^2, the wing of a Lorentzian; a is the level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError

_SPIKE = 8.0
#: Channels beside a spike that are filled with it when they stand out by this.
_BESIDE = 4.0
#: Nearer than so many FWHM left of the zero loss its flank is no wing.
_WING = 4.0
_FEWEST_CHANNELS = 6
#: A level is taken off that stands out by this, and is more than this share of the counts at high losses.
_CERTAIN, _MATTERS = 5.0, 0.002


@dataclass(frozen=True)
class DarkLevel:
    """Counts per channel without electrons.

    Attributes
    ----------
    level, error : float
        Counts; the error is infinite where the range begins too near the zero loss.
    read_noise : float
        Standard deviation of a channel beyond that of counting, counts.
    """

    level: float
    error: float
    read_noise: float


def check_finite(counts: np.ndarray, name: str) -> None:
    """Refuse spectra that hold values which are no numbers.

    Raises
    ------
    InputError
        They do; ``name`` tells which.
    """
    if counts.dtype.kind == 'f' and not np.isfinite(counts).all():
        raise InputError(f'The spectra {name} hold values that are not numbers (NaN or infinite); leave this tilt out.')


def without_spikes(counts: np.ndarray, skip: slice = slice(0, 0)) -> tuple[np.ndarray, int]:
    """Fill spikes.

    Parameters
    ----------
    counts : ndarray (y, x, energy)
        Spectra.
    skip : slice
        Channels that are left alone: the zero loss.

    Returns
    -------
    counts : ndarray (y, x, energy)
        The array given where there is no spike.
    number : int
        Pixels that had one.
    """
    standing, scatter = _standing_out(counts)
    standing[..., skip] = 0
    found = _lone(counts, standing, scatter)
    if not len(found):
        return counts, 0
    filled = counts.copy()
    whole = counts.dtype.kind in 'ui' or bool((counts == np.round(counts)).all())
    for y, x, k in found:
        spectrum, beside = filled[y, x], standing[y, x]
        first, last = k, k
        while first > 1 and k - first < 2 and beside[first - 1] > _BESIDE:
            first -= 1
        while last < len(spectrum) - 2 and last - k < 2 and beside[last + 1] > _BESIDE:
            last += 1
        spike = slice(first, last + 1)
        line = _expected(counts, y, x, spike)
        spectrum[spike] = np.rint(line) if whole else line
    return filled, len(np.unique(found[:, :2], axis=0))


def dark_level(counts: np.ndarray, position: np.ndarray, fwhm: float) -> DarkLevel:
    """Dark level and read-out noise of a tilt from the channels left of the zero loss.

    Parameters
    ----------
    counts : ndarray (y, x, energy)
        Spectra without spikes.
    position : ndarray (y, x)
        Of the zero loss, channels.
    fwhm : float
        Channels.
    """
    last = int(np.floor(position.min() - _WING * fwhm))
    if last < _FEWEST_CHANNELS:
        return DarkLevel(0.0, np.inf, 0.0)
    left = counts[..., :last].reshape(-1, last).astype(float)
    mean = left.mean(axis=0)
    scatter = left.var(axis=0)
    error = np.sqrt(np.maximum(scatter, 1e-12) / len(left))
    wing = (1 / (float(position.mean()) - np.arange(last))) ** 2
    columns = np.stack([np.ones(last), wing / wing.max()], axis=1) / error[:, None]
    solution, *_ = np.linalg.lstsq(columns, mean / error, rcond=None)
    covariance = np.linalg.inv(columns.T @ columns)
    # What the wing does not explain is the model's error, not that of the counts.
    misfit = max(float(((mean / error - columns @ solution) ** 2).sum() / max(last - 2, 1)), 1.0)
    # Differences of neighbouring channels: what pixels have more or less of altogether is no noise.
    noise = np.diff(left, axis=1).var(axis=0) / 2
    excess = float(np.median(noise - np.maximum((mean[1:] + mean[:-1]) / 2 - solution[0], 0)))
    return DarkLevel(float(solution[0]), float(np.sqrt(covariance[0, 0] * misfit)), float(np.sqrt(max(excess, 0.0))))


def level_to_take_off(dark: DarkLevel, counts: np.ndarray) -> float:
    """The dark level where it is certain and matters, else 0; whole where the counts are."""
    last = float(np.mean(counts[..., -max(counts.shape[-1] // 8, 1) :]))
    if not abs(dark.level) > max(_CERTAIN * dark.error, _MATTERS * abs(last)):
        return 0.0
    whole = counts.dtype.kind in 'ui' or bool((counts == np.round(counts)).all())
    return float(np.rint(dark.level)) if whole else dark.level


def _standing_out(counts: np.ndarray) -> tuple[np.ndarray, float]:
    """z of every channel (y, x, energy), float32, and s."""
    values = np.pad(counts.astype(np.float32), ((0, 0), (0, 0), (4, 4)), mode='edge')
    n = counts.shape[-1]
    beside = sum(values[..., 4 + k : 4 + k + n] for k in (-4, -3, 3, 4)) / 4
    difference = values[..., 4 : 4 + n] - beside
    difference /= np.sqrt(np.maximum(beside, 0) + 1)
    # A quarter of the pixels is enough to tell the scatter.
    scatter = max(1.4826 * float(np.median(np.abs(difference[::2, ::2]))), 1.0)
    return np.asarray(difference / scatter), scatter


def _expected(counts: np.ndarray, y: int, x: int, spike: slice) -> np.ndarray:
    """What the channels of a spike would hold: the spectrum around the pixel, as high as the pixel is beside the spike."""
    around = counts[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].astype(float)
    # The median leaves out the spike itself, and those of others.
    shape = np.median(around.reshape(-1, counts.shape[-1]), axis=0)
    beside = np.r_[max(spike.start - 6, 0) : spike.start, spike.stop : min(spike.stop + 6, counts.shape[-1])]
    own, others = float(counts[y, x, beside].mean()), float(shape[beside].mean())
    return shape[spike] * own / others if own > 0 and others > 0 else np.full(len(shape[spike]), max(own, 0.0))


def _lone(counts: np.ndarray, standing: np.ndarray, scatter: float) -> np.ndarray:
    """Channels (n, 3) that stand out from the same channel of the pixels around them as well."""
    candidates = np.argwhere(standing > _SPIKE)
    ny, nx = standing.shape[:2]
    if not len(candidates) or ny * nx == 1:
        return candidates[:0]
    y, x, k = candidates.T
    around = [
        (np.clip(y + dy, 0, ny - 1), np.clip(x + dx, 0, nx - 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
    ]
    # The second highest: a neighbour may have a spike of its own, an edge is in two of them at least.
    others = np.sort([standing[there[0], there[1], k] for there in around], axis=0)[-2]
    expected = np.maximum(np.median([counts[there[0], there[1], k] for there in around], axis=0), 0)
    above = counts[y, x, k] - expected > _SPIKE * scatter * np.sqrt(expected + 1)
    return candidates[(standing[y, x, k] - others > _SPIKE) & above]
