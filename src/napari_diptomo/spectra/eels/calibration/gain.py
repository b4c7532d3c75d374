r"""Steps and single channels of wrong gain in a camera.

Gain belongs to channels, spectra belong to energies: nothing in a spectrum
changes within one channel where the zero loss is three channels broad, and the
sum over pixels whose zero loss wanders changes slower still. So of
d[k] = ln(m[k+1] / m[k]), m the summed spectrum in channels as read out, the part

    j[k] = d[k] - median of d[k-4 ... k-2], d[k+2 ... k+4]

is the camera's where it exceeds its scatter by far and the j beside it do not go
along. Two opposite jumps around one channel are that channel's gain; a jump
alone is a step, as between the quadrants of a chip, and all channels behind it
are divided by it. How high it is tells the cubic through d[k-4], d[k-3], d[k+3]
and d[k+4], other jumps taken out.
"""

from __future__ import annotations

import numpy as np

_JUMP = 8.0
#: Jumps beside one, of the same sign, may have this share of it.
_ALONG = 0.3
#: Channels around one that tell how much j scatters.
_AROUND = 20
_LEAST_FWHM = 3.0
#: Two jumps are the gain of one channel when they cancel to this share.
_CANCEL = 0.35
#: Fewer counts in a channel do not tell its gain.
_FEWEST = 1000.0
#: What is smaller is not worth touching the counts.
_LEAST = 0.002


def gain_of(total: np.ndarray, fwhm: float, zero_loss: slice = slice(0, 0)) -> np.ndarray | None:
    """Gain of every channel, relative to those at the zero loss; None where there is nothing to put right.

    Parameters
    ----------
    total : ndarray (energy,)
        Sum of the spectra as read out, dark level taken off.
    fwhm : float
        Of the zero loss, channels.
    zero_loss : slice
        Channels that are left out: the zero loss.
    """
    if fwhm < _LEAST_FWHM or len(total) < 3 * _AROUND:
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


def gain_told(gain: np.ndarray | None) -> dict[str, float]:
    """Where the gain changes, by channel, and to what; for the notes."""
    if gain is None:
        return {}
    changes = np.flatnonzero(np.diff(gain, prepend=gain[0]))
    return {str(int(channel)): round(float(gain[channel]), 4) for channel in changes}


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
