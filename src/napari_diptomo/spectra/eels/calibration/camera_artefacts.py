r"""Traces of the camera in the counts: spikes, a dark level, steps, single channels of wrong gain and dead ones.

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

*Gain* belongs to channels, spectra belong to energies: nothing in a spectrum
changes within one channel where the zero loss is three channels broad, and the
sum over pixels whose zero loss drifts changes slower still. So of
d[k] = ln(m[k+1] / m[k]), m the summed spectrum in channels as read out, the part

    j[k] = d[k] - median of d[k-4 ... k-2], d[k+2 ... k+4]

is the camera's where it exceeds its scatter by far and the j beside it do not go
along. Two opposite jumps around one channel are that channel's gain; a jump
alone is a step, as between the quadrants of a chip, and all channels behind it
are divided by it. Its height is that of the cubic through d[k-4], d[k-3], d[k+3]
and d[k+4], other jumps subtracted. A *dead channel* has a hundredth of the counts
on both sides of it, or less: its gain is 0, and it is filled from the channels
beside it.

Formulas: gain of the camera (`gain_of`).
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
#: A level is subtracted that stands out by this, and is more than this share of the counts at high losses, but not above so many
#: times these.
_CERTAIN, _MATTERS, _ABOVE_END = 5.0, 0.002, 1.1
_JUMP = 8.0
#: Jumps beside one, of the same sign, may have this share of it.
_ALONG = 0.3
#: Channels around one that determine how much j scatters.
_AROUND = 20
_LEAST_FWHM = 3.0
#: Two jumps are the gain of one channel when they cancel to this share.
_CANCEL = 0.35
#: Fewer counts in a channel do not determine its gain.
_FEWEST = 1000.0
#: A channel with less than this share of the counts on either side is dead.
_DEAD = 0.01
#: What is smaller is not worth touching the counts.
_LEAST = 0.002


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
        They do; ``name`` says which.
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
    """The dark level where it is certain and matters, else 0; whole where the counts are.

    Counts left of the zero loss that exceed those at the far end are the tails of a detector and no level of all channels:
    subtracted, they would leave losses below zero.
    """
    last = float(np.mean(counts[..., -max(counts.shape[-1] // 8, 1) :]))
    if not abs(dark.level) > max(_CERTAIN * dark.error, _MATTERS * abs(last)):
        return 0.0
    if last >= 0 and dark.level > _ABOVE_END * last:
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
    # A quarter of the pixels is enough for the scatter.
    scatter = max(1.4826 * float(np.median(np.abs(difference[::2, ::2]))), 1.0)
    return np.asarray(difference / scatter), scatter


def _expected(counts: np.ndarray, y: int, x: int, spike: slice) -> np.ndarray:
    """Expected counts in the channels of a spike: the spectrum around the pixel, as high as the pixel is beside the spike."""
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


def gain_of(total: np.ndarray, fwhm: float, zero_loss: slice = slice(0, 0)) -> np.ndarray | None:
    """Gain of every channel, relative to those at the zero loss, 0 of dead ones; None where there is nothing to correct.

    Parameters
    ----------
    total : ndarray (energy,)
        Sum of the spectra as read out, dark level subtracted.
    fwhm : float
        Of the zero loss, channels.
    zero_loss : slice
        Channels that are left out: the zero loss.
    """
    if len(total) < 3 * _AROUND:
        return None
    dead = _dead(total)
    if not dead.any():
        return _gain_of_live(total, fwhm, zero_loss)
    gain = _gain_of_live(_bridged(total, dead), fwhm, zero_loss)
    gain = np.ones(len(total)) if gain is None else gain
    gain[dead] = 0
    return gain


def without_gain(counts: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Spectra (y, x, energy) divided by the gain of their channels; dead channels are filled from those beside them."""
    dead = gain == 0
    divided = counts / np.where(dead, 1, gain).astype(np.float32)
    return _bridged(divided, dead) if dead.any() else divided


def _dead(total: np.ndarray) -> np.ndarray:
    """Which channels (energy,) count nothing."""
    near = np.lib.stride_tricks.sliding_window_view(np.pad(total, 4, mode='edge'), 9)
    beside = np.minimum(np.median(near[:, :4], axis=1), np.median(near[:, 5:], axis=1))
    # Of a camera that is noisier than counting, low channels need not be dead.
    apart = np.abs(total - (near[:, 2] + near[:, 3] + near[:, 5] + near[:, 6]) / 4)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(apart, _AROUND, mode='reflect'), 2 * _AROUND + 1)
    scatter = 1.4826 * np.median(around, axis=1)
    dead: np.ndarray = (beside > np.maximum(_FEWEST, _JUMP * scatter)) & (total < _DEAD * beside)
    return dead


def _bridged(spectra: np.ndarray, dead: np.ndarray) -> np.ndarray:
    """A straight line over dead channels of spectra (..., energy)."""
    live, filled = np.flatnonzero(~dead), spectra.copy()
    for k in np.flatnonzero(dead):
        after = live[np.searchsorted(live, k)]
        before = live[np.searchsorted(live, k) - 1]
        share = (k - before) / (after - before)
        filled[..., k] = (1 - share) * spectra[..., before] + share * spectra[..., after]
    return filled


def _gain_of_live(total: np.ndarray, fwhm: float, zero_loss: slice) -> np.ndarray | None:
    if fwhm < _LEAST_FWHM:
        return None
    enough = np.minimum(total[:-1], total[1:]) > _FEWEST
    enough[max(zero_loss.start - 1, 0) : zero_loss.stop] = False
    safe = np.maximum(total, 1.0)
    change = np.log(safe[1:] / safe[:-1])
    counting = np.sqrt(1 / safe[1:] + 1 / safe[:-1])
    jump, scatter = _jumps(change)
    certain = np.abs(jump) > np.maximum(_JUMP * np.maximum(scatter, counting), _LEAST)
    found = np.flatnonzero(enough & certain & _alone(jump))
    if not len(found):
        return None
    logarithm = np.zeros(len(total))
    height = _heights(change, jump, found)
    for place, k in enumerate(found):
        if place and k == found[place - 1] + 1 and abs(height[k] + height[k - 1]) < _CANCEL * abs(height[k]):
            # The step that was taken for the first of the pair is the gain of the channel between them.
            logarithm[k:] -= height[k - 1]
            logarithm[k] += 0.5 * (height[k - 1] - height[k])
        else:
            logarithm[k + 1 :] += height[k]
    reference = zero_loss.start if zero_loss.stop > zero_loss.start else 0
    gain: np.ndarray = np.exp(logarithm - logarithm[reference])
    return gain


def gain_notes(gain: np.ndarray | None) -> dict[str, float]:
    """Where the gain changes, by channel, and to what; for the notes."""
    if gain is None:
        return {}
    changes = np.flatnonzero(np.diff(gain, prepend=gain[0]))
    return {str(int(channel)): round(float(gain[channel]), 4) for channel in changes}


def dead_channels(gain: np.ndarray | None, energy: np.ndarray, where: str) -> list[str]:
    """A sentence on channels that count nothing, by their energies as recorded (eV); none where there are none."""
    if gain is None or gain.all():
        return []
    dead = np.flatnonzero(gain == 0)
    named = ', '.join(f'{energy[k]:.4g}' for k in dead[:4]) + (', ...' if len(dead) > 4 else '')
    words = 'A channel' if len(dead) == 1 else f'{len(dead)} channels'
    filled = 'it is' if len(dead) == 1 else 'they are'
    return [f'{words} of the {where} (at {named} eV) counted nothing: {filled} filled from those beside.']


def _jumps(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """j of every channel, and how much it scatters around it."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(change, 4, mode='reflect'), 9)
    jump = change - np.median(windows[:, [0, 1, 2, 6, 7, 8]], axis=1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(jump, _AROUND, mode='reflect'), 2 * _AROUND + 1)
    return jump, 1.4826 * np.median(np.abs(around), axis=1)


def _heights(change: np.ndarray, jump: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Heights of the jumps that were found, 0 elsewhere."""
    without = change.copy()
    without[found] -= jump[found]
    d, n = np.pad(without, 4, mode='reflect'), len(change)
    near, far = d[1 : 1 + n] + d[7 : 7 + n], d[:n] + d[8 : 8 + n]
    height = np.zeros(n)
    height[found] = (change - (16 * near - 9 * far) / 14)[found]
    return height


def _alone(jump: np.ndarray) -> np.ndarray:
    """Where the jumps beside one do not go along with it."""
    beside = np.pad(jump, 1)
    along = np.maximum(np.sign(jump) * beside[:-2], np.sign(jump) * beside[2:])
    alone: np.ndarray = along < _ALONG * np.abs(jump)
    return alone
