r"""Channels of an EDX detector that count too little or too much in all spectra: dead and hot ones.

Whatever a detector counts is broadened by its resolution, several channels, so
the two channels a, b on one side of a channel and c, d on the other say what it
holds. Two interpolations do, in the sum of all spectra:

    L = (4 (a + c) - (b + d)) / 6,    ln G = (4 (ln a + ln c) - ln b - ln d) / 6.

L is exact for a smooth background, G for a Gaussian. A superposition of lines
lies between them or little beyond: by a share r of its counts that depends on
the width of a line in channels alone. With s its standard deviation, r was less
than 0.6 / s^3 above them and 0.4 / s^3 below in all superpositions that were tried.
Coarse channels, of which a line has two or three, thus hardly show anything. So a
channel is faulty when it exceeds both or falls short of both

- by six standard deviations of counting, where the spectra scatter by more than
  counting by as much more, and
- by more than r, and 5 %, and
- by half as much when it is compared with either side alone, with a and with where a
  Gaussian continues from there: at a step, where a discriminator cuts off the spectrum
  or the channels end, one side explains it; and
- by a quarter as much when it is compared with b and d alone: between two faulty
  channels stands a sound one.

Two adjacent channels are compared in the same way, with cubics through the four
beside them; more are no fault of single channels and left alone, as are channels
near the strobe peak, which is narrower than any line.

What is found is left out of all sums and fits, as if the detector had no such
channel (`spectra.edx.detector.Detector.left_out`): nothing is put in its place.

Formulas: dead and hot channels (`find_faulty`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from napari_diptomo.series import Finding

_SIGMAS, _LEAST_SHARE = 6.0, 0.05
#: r s^3, too low and too high, for one channel and for two; a detector may be better than its metadata say by so much.
_BEND, _SHARPER = {1: (0.4, 0.6), 2: (1.0, 1.5)}, 0.9
#: keV; below lies the strobe peak.
_LOWEST = 0.15
#: Part of the departure that has to be left when one side alone is asked, and when the channels next to it are not.
_EITHER_SIDE, _FARTHER = 0.5, 0.25
#: Weights of the channels b, a, c, d in the channels between them.
_CUBIC = {
    1: np.array([[-1, 4, 4, -1]]) / 6,
    2: np.array([[-3, 10, 5, -2], [-2, 5, 10, -3]]) / 10,
}


@dataclass(frozen=True)
class FaultyChannel:
    """A channel that counts too little or too much.

    Attributes
    ----------
    channel : int
        Its number.
    energy : float
        keV.
    counts, expected : float
        In the sum of all spectra; what those beside it make expect.
    """

    channel: int
    energy: float
    counts: float
    expected: float

    @property
    def hot(self) -> bool:
        """Whether it counts too much."""
        return self.counts > self.expected


def find_faulty(total: np.ndarray, energy: np.ndarray, width: np.ndarray) -> tuple[FaultyChannel, ...]:
    """Channels that the resolution of the detector cannot explain.

    Parameters
    ----------
    total : ndarray (energy,)
        Sum of all spectra, counts.
    energy : ndarray (energy,)
        Channel centres, keV.
    width : ndarray (energy,)
        FWHM of a line there, keV.

    Returns
    -------
    tuple of FaultyChannel
        In the order of their energies; empty for spectra without fault, or with counts too few to say.
    """
    if len(total) < 8:
        return ()
    sigma = _SHARPER * width / (2.3548 * np.gradient(energy))
    work = np.maximum(total, 0).astype(float)
    scatter = _scatter(work[energy > _LOWEST])
    found: list[tuple[int, int]] = []
    while (worst := _worst(work, energy, sigma, scatter, found)) is not None:
        found.append(worst)
        # Those found before were compared with this one.
        for first, number in found[::-1]:
            *_, expected = _departures(work, np.array([first]), number)
            work[first : first + number] = np.maximum(expected[:, 0], 0)
    channels = sorted(first + i for first, number in found for i in range(number))
    return tuple(FaultyChannel(k, float(energy[k]), float(total[k]), float(work[k])) for k in channels)


def without_channels(spectra: sparse.csr_matrix, channels: Sequence[int]) -> sparse.csr_matrix:
    """Spectra (pixel, energy) with nothing in some channels; the matrix given where they hold nothing."""
    there = np.isin(spectra.indices, channels)
    if not there.any():
        return spectra
    rest = spectra.copy()
    rest.data[there] = 0
    rest.eliminate_zeros()
    return rest


def faulty_findings(faulty: Sequence[FaultyChannel]) -> tuple[Finding, ...]:
    """A finding that names the faulty channels of a series, where there are any."""
    if not faulty:
        return ()
    dead, hot = [one for one in faulty if not one.hot], [one for one in faulty if one.hot]
    parts = [_in_words(those, *words) for those, words in ((dead, _DEAD), (hot, _HOT)) if those]
    sentence = (
        f'{" and ".join(parts)}, which no X-ray line explains: '
        f'{"it was" if len(faulty) == 1 else "they were"} left out of the fit. '
        f'Look at the spectrum there, and have the detector checked.'
    )
    evidence = {'dead channels': len(dead), 'hot channels': len(hot)}
    worst = max(faulty, key=lambda one: abs(one.counts - one.expected))
    at_worst = {'energy, keV': worst.energy, 'counts': worst.counts, 'expected counts': worst.expected}
    return (Finding('doubt', 'channels of the detector', sentence, {**evidence, **at_worst}),)


_DEAD = ('dead', 'too little')
_HOT = ('hot', 'too much')


def _in_words(channels: Sequence[FaultyChannel], name: str, amount: str) -> str:
    """``'1 channel is dead, or counts too little (1.740 keV: 0 counts, 5210 expected)'``."""
    first = max(channels, key=lambda one: abs(one.counts - one.expected))
    others = [f'{one.energy:.3f}' for one in channels if one is not first]
    more = f'; also {", ".join(others[:4])}{", ..." if len(others) > 4 else ""} keV' if others else ''
    many = f'{len(channels)} channels are' if others else '1 channel is'
    count = 'count' if others else 'counts'
    return (
        f'{many} {name}, or {count} {amount} '
        f'({first.energy:.3f} keV: {first.counts:.0f} counts, {first.expected:.0f} expected{more})'
    )


def _worst(
    total: np.ndarray, energy: np.ndarray, sigma: np.ndarray, scatter: float, known: list[tuple[int, int]]
) -> tuple[int, int] | None:
    """The most significant channel or, where no single one is faulty, the first of two; and how many they are."""
    taken = np.zeros(len(total), bool)
    for start, length in known:
        taken[start : start + length] = True
    for number in (1, 2):
        first = np.arange(3, len(total) - number - 2)
        low, high, level, error, _ = _departures(total, first, number)
        free = (energy[first] > _LOWEST) & ~taken[first] & ~taken[first + number - 1]
        least = _SIGMAS * scatter * error
        for departure, bend in zip((low, high), _BEND[number], strict=True):
            most = np.maximum(_LEAST_SHARE, bend / sigma[first] ** 3) * level
            departure[~free | (departure < least) | (departure < most)] = 0
        significance = np.maximum(low, high) / error
        at = int(significance.argmax())
        if significance[at] > 0:
            return int(first[at]), number
    return None


def _departures(total: np.ndarray, first: np.ndarray, number: int) -> tuple[np.ndarray, ...]:
    """By how much channels from ``first`` on depart from those beside them.

    Returns
    -------
    low, high : ndarray (channel,)
        Counts too few and too many; 0 or less where something explains them.
    level, error : ndarray (channel,)
        What they are a share of, and their standard deviation by counting.
    expected : ndarray (number, channel)
        What the channels should hold.
    """
    here = np.sum([total[first + i] for i in range(number)], axis=0)
    e, b, a, c, d, f = (total[first + i] for i in (-3, -2, -1, number, number + 1, number + 2))
    beside, weights = np.stack([b, a, c, d]), _CUBIC[number]
    linear = weights @ beside
    # One count more, so that empty channels have a logarithm.
    geometric = np.exp(weights @ np.log(beside + 1)) - 1
    least, most = np.sort([linear.sum(axis=0), geometric.sum(axis=0)], axis=0)
    sides = number * np.sort([_beyond(a, b, e), _beyond(c, d, f)], axis=0)
    farther = number * np.sort([np.sqrt(b * d), (b + d) / 2], axis=0)
    low, high = least - here, here - most
    low[(sides[0, 0] - here < _EITHER_SIDE * low) | (farther[1] - here < _FARTHER * low)] = 0
    high[(here - sides[1, 1] < _EITHER_SIDE * high) | (here - farther[0] < _FARTHER * high)] = 0
    level = np.maximum(here, most)
    error = np.sqrt(level + (weights.sum(axis=0) ** 2) @ beside + 1)
    # Near another faulty channel either cubic may be far off, but not both to the same side of a straight line.
    line = a + np.arange(1, number + 1)[:, None] * (c - a) / (number + 1)
    return low, high, level, error, np.median([linear, geometric, line], axis=0)


def _beyond(near: np.ndarray, middle: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that three channels on one side make expect of the next.

    A Gaussian grows from channel to channel by a factor that falls by another, constant one.
    """
    growth = (near + 1) / (middle + 1)
    less = growth * (far + 1) / (middle + 1)
    return near * np.minimum(growth, 1), near * np.maximum(growth * np.minimum(less, 1), 1)


def _scatter(total: np.ndarray) -> float:
    """How much more spectra scatter from channel to channel than by counting; 1 at least."""
    if len(total) < 8:
        return 1.0
    b, a, here, c, d = (total[i : len(total) - 4 + i] for i in range(5))
    departure = here - (4 * (a + c) - b - d) / 6
    error = np.sqrt(np.maximum(here + (16 * (a + c) + b + d) / 36, 0) + 1)
    return max(1.4826 * float(np.median(np.abs(departure / error))), 1.0)
