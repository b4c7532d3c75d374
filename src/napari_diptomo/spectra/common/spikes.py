"""Spikes in EDX spectra: single channels with counts that no X-ray line can put there, or with none that can be.

A line is as wide as the resolution of the detector, several channels, and a
strobe peak is in every pixel. A channel is a spike when it stands out, four
times and by nine standard deviations of counting, both of the six channels
beside it and of the same channel in the eight pixels around it (two left out).
Of the channels beside it the largest is left out, for a spike may be two
channels wide; where lines are five channels wide or more, three are, for no line
falls to a quarter within three channels there. It is given the
median of these pixels, nothing in most spectra: a weight of zero for one
channel of one pixel. So is a channel that holds no count at all, negative or
not a number, or the largest number of the file as most others of its pixel. What the spectra of energy losses hold of the kind is
found by `napari_diptomo.spectra.eels.calibration.camera_artefacts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from napari_diptomo.series import Finding, SpectralTiltSeries
from napari_diptomo.series.outliers import poisson_sigmas

_RATIO, _SIGMAS, _FEWEST = 4.0, 9.0, 20
#: Channels beside a spike that it is compared with.
_BESIDE = (-3, -2, -1, 1, 2, 3)
_AROUND = (-1, 0, 1)
#: Wider channels, keV, can hold a line each; in channels as fine as this a line is five wide or more.
WIDEST, FINE = 0.04, 0.0125
#: Channels beside a spike that may belong to it: in fine channels, in others.
_OWN = (3, 1)
#: More full pixels than these, as a number and of all, are a fault of the file.
_FEW_FULL, _FEW_OF_ALL = 3, 1e-4
#: Spikes per pixel of the images from which on they are a doubt.
_MANY = 1e-3


@dataclass(frozen=True)
class Spike:
    """One spike: tilt, pixel, energy channel, and the counts that were there."""

    tilt: int
    y: int
    x: int
    channel: int
    counts: float


def without_spikes(
    spectra: sparse.csr_matrix, image: tuple[int, int], tilt: int, channel: float = WIDEST
) -> tuple[sparse.csr_matrix, list[Spike]]:
    """Spectra of one tilt without their spikes.

    Parameters
    ----------
    spectra : csr_matrix (y * x, energy)
        Counts, without duplicates.
    image : tuple of int
        Pixels along y and x.
    tilt : int
        Recorded with each spike.
    channel : float
        Width of a channel, keV.

    Returns
    -------
    csr_matrix (y * x, energy), list of Spike
        The matrix given where there are none.
    """
    (ny, nx), n = image, spectra.shape[1]
    if min(ny, nx) < 3 or n < 8:
        return spectra, []

    def at(y: np.ndarray, x: np.ndarray, k: np.ndarray) -> np.ndarray:
        # Of no places scipy gives a sparse matrix.
        return np.asarray(spectra[y * nx + x, k]).ravel() if len(k) else np.zeros(0)

    large = np.flatnonzero((spectra.data >= _FEWEST) & (spectra.data < np.inf))
    k = spectra.indices[large]
    y, x = np.divmod(np.searchsorted(spectra.indptr, large, side='right') - 1, nx)
    beside = np.sort([at(y, x, _mirrored(k + d, n)) for d in _BESIDE], axis=0)[-1 - _OWN[channel > FINE]]
    high = _stands_out(spectra.data[large], beside)
    large, y, x, k = large[high], y[high], x[high], k[high]
    around = np.sort(
        [at(_mirrored(y + dy, ny), _mirrored(x + dx, nx), k) for dy in _AROUND for dx in _AROUND if dy or dx], axis=0
    )
    lone = _stands_out(spectra.data[large], around[-3])
    if not lone.any():
        return spectra, []
    found = [
        Spike(tilt, int(a), int(b), int(c), float(v))
        for a, b, c, v in zip(y[lone], x[lone], k[lone], spectra.data[large[lone]], strict=True)
    ]
    corrected = spectra.copy()
    corrected.data[large[lone]] = around[3, lone]
    corrected.eliminate_zeros()
    return corrected, found


def without_impossible(
    spectra: sparse.csr_matrix, image: tuple[int, int], tilt: int, limit: float = np.inf
) -> tuple[sparse.csr_matrix, list[Spike]]:
    """Spectra of one tilt without values that are no counts: negative, infinite or not a number.

    Nor are those of a pixel that holds the largest number of the file in most of its channels.

    Parameters
    ----------
    spectra : csr_matrix (y * x, energy)
        Counts, without duplicates; few of them impossible, see `filled_channels`.
    image : tuple of int
        Pixels along y and x.
    tilt : int
        Recorded with each.
    limit : float
        The largest number that the file can hold.

    Returns
    -------
    csr_matrix (y * x, energy), list of Spike
        With the median of the pixels around in their place; the matrix given where there are none.
    """
    wrong = np.flatnonzero(~((spectra.data >= 0) & (spectra.data < np.inf)) | _of_full_pixels(spectra, limit))
    if not len(wrong):
        return spectra, []
    (ny, nx), channels = image, spectra.indices[wrong]
    rows = np.searchsorted(spectra.indptr, wrong, side='right') - 1
    corrected, found = spectra.copy(), []
    for index, row, channel in zip(wrong, rows, channels, strict=True):
        y, x = divmod(int(row), nx)
        found.append(Spike(tilt, y, x, int(channel), float(spectra.data[index])))
        beside = [
            float(spectra[v * nx + u, channel])
            for v in range(max(y - 1, 0), min(y + 2, ny))
            for u in range(max(x - 1, 0), min(x + 2, nx))
            if (v, u) != (y, x)
        ]
        sound = [value for value in beside if 0 <= value < limit]
        corrected.data[index] = np.floor(np.median(sound)) if sound else 0
    corrected.eliminate_zeros()
    return corrected, found


def _of_full_pixels(spectra: sparse.csr_matrix, limit: float) -> np.ndarray:
    """Which values are at the limit in pixels that have most of their channels there, where these pixels are few."""
    full = spectra.data == limit
    if not full.any():
        return np.asarray(full)
    rows = np.repeat(np.arange(spectra.shape[0]), np.diff(spectra.indptr))
    number = np.bincount(rows[full], minlength=spectra.shape[0])
    broken = number > spectra.shape[1] / 2
    if broken.sum() > max(_FEW_FULL, _FEW_OF_ALL * spectra.shape[0]):
        return np.zeros(len(full), bool)
    return np.asarray(full & broken[rows])


def impossible_findings(impossible: Sequence[Spike], series: SpectralTiltSeries) -> tuple[Finding, ...]:
    """A finding that names the values of a series that are no counts, where there are any."""
    if not impossible:
        return ()
    first = impossible[0]
    y, x = (first.x, first.y) if series.transposed else (first.y, first.x)
    energy, angle = float(series.energy[first.channel]), float(series.angles[first.tilt])
    number = len(impossible)
    values = f'{number} values of the spectra are no counts' if number > 1 else '1 value of the spectra is no count'
    sentence = (
        f'{values} ({angle:g}°, pixel y {y}, x {x}, {energy:.3f} keV: {first.counts:g}): '
        f'{"they were" if number > 1 else "it was"} left out of the fit.'
    )
    evidence = {'values': number, 'tilt of the first, deg': angle, 'energy of the first, keV': energy}
    return (Finding('note', 'values that are no counts', sentence, evidence),)


def spike_findings(spikes: Sequence[Spike], series: SpectralTiltSeries) -> tuple[Finding, ...]:
    """A finding that names the spikes of a series, where there are any."""
    if not spikes:
        return ()
    largest = max(spikes, key=lambda spike: spike.counts)
    y, x = (largest.x, largest.y) if series.transposed else (largest.y, largest.x)
    energy, angle = float(series.energy[largest.channel]), float(series.angles[largest.tilt])
    number, tilts = len(spikes), len({spike.tilt for spike in spikes})
    where = f'{angle:g}°, pixel y {y}, x {x}, {energy:.3f} keV: {largest.counts:g} counts'
    what = (
        f'1 channel of one spectrum holds a spike ({where})'
        if number == 1
        else f'{number} channels of spectra at {tilts} {"tilt" if tilts == 1 else "tilts"} hold spikes (the largest at {where})'
    )
    many = number > _MANY * float(np.prod(series.counts.shape[:3]))
    return (
        Finding(
            'doubt' if many else 'note',
            'spikes in the spectra',
            f'{what} that neither an X-ray line nor the pixels around explain: '
            f'{"it was" if number == 1 else "they were"} left out of the fit.'
            + (' So many point to the read-out of the detector: look at the files.' if many else ''),
            {
                'spikes': number,
                'tilts': tilts,
                'largest, counts': largest.counts,
                'tilt of the largest, deg': angle,
                'energy of the largest, keV': energy,
            },
        ),
    )


def _stands_out(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    values, others = values.astype(float), others.astype(float)
    return (values > _RATIO * others) & (poisson_sigmas(values, others + 0.5) > _SIGMAS)


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Indices beyond an end, mirrored at it."""
    return size - 1 - np.abs(size - 1 - np.abs(index))
