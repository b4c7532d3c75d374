"""The spectra of a tilt series, one tilt at a time, read from the files once.

A spectrum of an EDX tilt series holds some ten photons in some thousand
channels: as a sparse matrix a whole series fits the memory that one tilt
takes as an array. It is kept with the series for as long as that lives, so
that the plot of the sum spectrum, the suggestion of elements and the fit do
not read the files three times.

Once all tilts are read their sum shows which channels of an EDX detector are
dead or hot: from then on spectra and sums hold nothing there.

Spectra of energy losses have counts in every channel, and with the noise of
the read-out negative ones: they stay arrays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse

from napari_diptomo.series import InputError, Observer, SpectralTiltSeries, Watch
from napari_diptomo.series.counts import thin
from napari_diptomo.series.filled_channels import dense_spectra, filled_channels
from napari_diptomo.spectra.common.faulty_channels import FaultyChannel, find_faulty, without_channels
from napari_diptomo.spectra.common.resolution import line_width, recorded_resolution
from napari_diptomo.spectra.common.spikes import WIDEST, Spike, without_impossible, without_spikes

#: Bytes of sparse spectra that one series may keep in memory.
_BUDGET = 2 * 1024**3
#: FWHM at Mn-Ka, eV, that a detector of which nothing is recorded may have.
_SHARPEST = 125.0
_KEPT: WeakKeyDictionary[SpectralTiltSeries, TiltCounts] = WeakKeyDictionary()
_LOCK = threading.Lock()


class TiltCounts:
    """Spectra (pixel, energy) by tilt, and their sums.

    Parameters
    ----------
    counts : dask or numpy array (tilt, y, x, energy)
        The spectra.
    dense : bool
        Whether they are of energy losses: arrays, negative where the read-out noise makes them so.
    channel : float
        Width of the widest channel, keV. Where lines are several channels wide spikes can be distinguished from them, and
        are left out.
    look : callable, optional
        Finds dead and hot channels in the sum of all spectra, (energy,).
    """

    def __init__(
        self,
        counts: Any,
        dense: bool = False,
        channel: float = np.inf,
        look: Callable[[np.ndarray], tuple[FaultyChannel, ...]] | None = None,
    ) -> None:
        self._counts = counts
        self._dense, self._channel, self._look = dense, channel, look
        self._faulty: tuple[FaultyChannel, ...] = ()
        self._spikes: dict[int, list[Spike]] = {}
        self._impossible: dict[int, list[Spike]] = {}
        self._kept: dict[int, Any] = {}
        self._bytes = 0
        self.sums = np.zeros((counts.shape[0], counts.shape[3]))
        self._summed: set[int] = set()

    def tilt(self, index: int) -> Any:
        """The spectra of one tilt, (y * x, energy): a sparse matrix, or an array of energy losses."""
        if index not in self._kept:
            matrix = self._read(index)
            if self._faulty:
                matrix = without_channels(matrix, [fault.channel for fault in self._faulty])
            self.sums[index] = np.asarray(matrix.sum(axis=0, dtype=float)).ravel()
            self._summed.add(index)
            self._bytes += _bytes(matrix)
            if self._bytes > _BUDGET:
                return matrix
            self._kept[index] = matrix
        return self._kept[index]

    def _read(self, index: int) -> Any:
        if self._dense:
            return dense_spectra(self._counts[index], index)
        *image, width = self._counts.shape[1:]
        # Counts that another process reads leave their empty channels there.
        elsewhere = getattr(self._counts, 'sparse_tilt', None)
        parts = filled_channels(self._counts[index], index) if elsewhere is None else elsewhere(index)
        spectra = sparse.csr_matrix(parts, shape=(int(np.prod(image)), width))
        kind = np.dtype(self._counts.dtype)
        limit = float(np.iinfo(kind).max) if kind.kind in 'iu' else np.inf
        spectra, self._impossible[index] = without_impossible(spectra, (image[0], image[1]), index, limit)
        if self._channel <= WIDEST:
            spectra, self._spikes[index] = without_spikes(spectra, (image[0], image[1]), index, self._channel)
        return spectra

    @property
    def faulty(self) -> tuple[FaultyChannel, ...]:
        """Dead and hot channels, which hold nothing in spectra and sums; empty until all tilts were read."""
        return self._faulty

    @property
    def spikes(self) -> list[Spike]:
        """Those of the tilts that were read."""
        return [spike for index in sorted(self._spikes) for spike in self._spikes[index]]

    @property
    def impossible(self) -> list[Spike]:
        """Values of the tilts that were read which are no counts, and were left out."""
        return [value for index in sorted(self._impossible) for value in self._impossible[index]]

    def read(self, watch: Watch | None = None) -> np.ndarray:
        """Read whatever is not read yet; returns the sum spectrum of every tilt, (tilt, energy)."""
        n = len(self.sums)
        for index in range(n):
            if index not in self._summed:
                self.tilt(index)
            if watch is not None:
                watch.step(index + 1, message=f'spectra {index + 1} of {n}')
        if self._look is not None:
            look, self._look = self._look, None
            self._leave_out(look(self.sums.sum(axis=0)))
        return self.sums

    def _leave_out(self, faulty: tuple[FaultyChannel, ...]) -> None:
        if not faulty:
            return
        self._faulty, channels = faulty, [fault.channel for fault in faulty]
        self._kept = {index: without_channels(matrix, channels) for index, matrix in self._kept.items()}
        self.sums[:, channels] = 0


class CountsInUse(TiltCounts):
    """Spectra of some tilts of a series whose spectra were read; nothing is read again.

    Parameters
    ----------
    whole : TiltCounts
        Of all tilts.
    groups : sequence of tuple of int
        The tilts of ``whole`` that make each tilt: one, or several that are summed.
    """

    def __init__(self, whole: TiltCounts, groups: Sequence[tuple[int, ...]]) -> None:
        shape = (len(groups), whole.sums.shape[1])
        self._whole, self._groups = whole, tuple(groups)
        self.sums = np.zeros(shape)
        self._summed = set()
        self._look = None

    def read(self, watch: Watch | None = None) -> np.ndarray:
        """Sum spectrum of every tilt, (tilt, energy); all tilts are read, as all of them show what the detector does."""
        self._whole.read()
        return super().read(watch)

    def tilt(self, index: int) -> Any:
        """The spectra of one tilt, (y * x, energy)."""
        first, *others = self._groups[index]
        matrix = self._whole.tilt(first)
        for other in others:
            matrix = matrix + self._whole.tilt(other)
        self.sums[index] = self._whole.sums[list(self._groups[index])].sum(axis=0)
        self._summed.add(index)
        return matrix

    @property
    def faulty(self) -> tuple[FaultyChannel, ...]:
        """Dead and hot channels of all tilts."""
        return self._whole.faulty

    @property
    def spikes(self) -> list[Spike]:
        """Those of the tilts that were read, by their number among these."""
        return self._renumbered(self._whole.spikes)

    @property
    def impossible(self) -> list[Spike]:
        """Values of the tilts that were read which are no counts, by the number of the tilt among these."""
        return self._renumbered(self._whole.impossible)

    def _renumbered(self, found: Sequence[Spike]) -> list[Spike]:
        return [
            replace(one, tilt=index) for index, group in enumerate(self._groups) for one in found if one.tilt in group
        ]


def share_counts(whole: SpectralTiltSeries, part: SpectralTiltSeries, groups: Sequence[tuple[int, ...]]) -> TiltCounts:
    """Let a series of fewer tilts use the spectra that were read for all of them.

    Parameters
    ----------
    whole, part : SpectralTiltSeries
        All tilts, and those in use.
    groups : sequence of tuple of int
        The tilts of ``whole`` that make each of ``part``.

    Returns
    -------
    TiltCounts
        What `counts_of` gives for ``part`` from now on.
    """
    shared = CountsInUse(counts_of(whole), groups)
    with _LOCK:
        _KEPT[part] = shared
    return shared


def counts_of(series: SpectralTiltSeries) -> TiltCounts:
    """The spectra of a series, shared by all who ask for them."""
    with _LOCK:
        if series not in _KEPT:
            dense = series.energy_unit == 'eV'
            widths = np.diff(series.energy)
            channel = np.inf if dense or not widths.size else float(widths.max())
            _KEPT[series] = TiltCounts(series.counts, dense, channel, _fault_finder(series))
        return _KEPT[series]


def _fault_finder(series: SpectralTiltSeries) -> Callable[[np.ndarray], tuple[FaultyChannel, ...]] | None:
    """A function that finds dead and hot channels; None where the axis does not say how wide a line is."""
    if series.energy_unit != 'keV' or not (np.diff(series.energy) > 0).all():
        return None
    width = line_width(series.energy, recorded_resolution(series, otherwise=_SHARPEST))
    return partial(find_faulty, energy=series.energy, width=width)


def sum_spectrum(series: SpectralTiltSeries, observer: Observer | None = None) -> np.ndarray:
    """Sum of the spectra over all pixels and tilts.

    The first call reads the series, later ones answer at once.

    Parameters
    ----------
    series : SpectralTiltSeries
        The spectra.
    observer : Observer, optional
        Receives the progress.

    Returns
    -------
    ndarray (energy,)
        Counts.
    """
    watch = Watch(observer, 'Sum spectrum', len(series.angles))
    return counts_of(series).read(watch).sum(axis=0)


def check_place(series: SpectralTiltSeries, tilt: int | None, region: np.ndarray | None) -> None:
    """See that a series has a tilt and pixels that are asked for.

    Parameters
    ----------
    series : SpectralTiltSeries
        The spectra.
    tilt : int, optional
        Which tilt; None for all.
    region : ndarray (y, x) of bool, optional
        Which pixels; None for all.

    Raises
    ------
    InputError
        A tilt that is not there, a region of another shape or without a pixel.
    """
    n, image = len(series.angles), tuple(series.counts.shape[1:3])
    if tilt is not None and not 0 <= tilt < n:
        raise InputError(f'There is no tilt {tilt}; give a number from 0 to {n - 1}.')
    if region is None:
        return
    if np.shape(region) != image:
        raise InputError(
            f'The region has the shape {np.shape(region)}, the images have {image}; draw it on these images.'
        )
    if not np.any(region):
        raise InputError('The region holds no pixel; draw a larger one.')


def hold_out(spectra: sparse.csr_matrix, share: float, seed: tuple[int, int]) -> sparse.csr_matrix:
    """A binomial part of the photons of spectra (pixel, energy).

    Raises
    ------
    InputError
        The spectra are not whole counts.
    """
    counts = spectra.data
    if counts.dtype.kind == 'f' and not (counts == np.round(counts)).all():
        raise InputError(
            'These spectra are not whole counts, so no photons can be held out; set the held-out fraction to 0.'
        )
    held = spectra.copy()
    held.data = thin(counts, share, np.random.default_rng(seed)).astype(np.int32)
    return held


def _bytes(matrix: Any) -> int:
    return int(matrix.data.nbytes + (matrix.indices.nbytes if sparse.issparse(matrix) else 0))
