"""Spectra moved by whole channels, pixel by pixel, and cut to the channels that all pixels have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.eels.calibration.camera_artefacts import without_gain, without_spikes


@dataclass(frozen=True, eq=False)
class WholeChannelMoves:
    """By how many channels each spectrum is moved.

    Attributes
    ----------
    by : ndarray (tilt, y, x), int
        Channel k of the result is channel k + by of the files.
    kept : slice
        Channels of the result that every pixel has.
    remainder : ndarray (tilt, y, x)
        Displacement that is left, in channels, from -1/2 to 1/2.
    """

    by: np.ndarray
    kept: slice
    remainder: np.ndarray

    @classmethod
    def of(cls, displacement: np.ndarray, channels: int, name: str) -> WholeChannelMoves:
        """Moves that undo displacements (tilt, y, x), in channels, of spectra with so many channels.

        Raises
        ------
        InputError
            Nothing is left that all pixels have.
        """
        by = np.rint(displacement).astype(np.int64)
        kept = slice(max(-int(by.min()), 0), channels - max(int(by.max()), 0))
        if kept.stop - kept.start < channels // 2:
            raise InputError(
                f'The zero loss drifts by {int(np.ptp(by))} of the {channels} channels of the {name}; leave out the tilts '
                'that are far off, or correct the offset of their files.'
            )
        return cls(by, kept, displacement - by)

    def apply(self, counts: np.ndarray, tilt: int) -> np.ndarray:
        """Spectra (y, x, energy) of a tilt, moved and cut."""
        by = self.by[tilt]
        if (by == by.flat[0]).all():
            return counts[..., self.kept.start + by.flat[0] : self.kept.stop + by.flat[0]]
        channels = np.arange(self.kept.start, self.kept.stop)
        return np.take_along_axis(counts, by[:, :, None] + channels, axis=2)


@dataclass(frozen=True, eq=False)
class Correction:
    """Corrections of the spectra of every tilt when they are read.

    Attributes
    ----------
    moves : WholeChannelMoves
    dark : tuple of float
        Level of each tilt that is subtracted, counts per channel.
    spikes : tuple of slice or None
        Where a tilt has spikes: the channels in which they are not looked for.
    gain : ndarray (energy,), optional
        Gain of each channel of the files, by which the counts are divided; 0 of dead ones, which are filled.
    """

    moves: WholeChannelMoves
    dark: tuple[float, ...]
    spikes: tuple[slice | None, ...]
    gain: np.ndarray | None = None

    def lazy(self, counts: Any) -> Any:
        """Corrected counts (tilt, y, x, energy), a dask array of one chunk a tilt."""
        import dask
        import dask.array as da

        changed = any(self.dark) or self.gain is not None
        dtype = np.dtype(np.float32) if changed else np.dtype(counts.dtype)
        shape = (*counts.shape[1:3], self.moves.kept.stop - self.moves.kept.start)
        tilts = [
            dask.delayed(partial(self._read, counts, tilt, dtype), pure=False, traverse=False)()
            for tilt in range(counts.shape[0])
        ]
        return da.stack([da.from_delayed(tilt, shape, dtype=dtype) for tilt in tilts])

    def _read(self, counts: Any, tilt: int, dtype: np.dtype) -> np.ndarray:
        part = counts[tilt]
        spectra = part.compute(scheduler='synchronous') if hasattr(part, 'compute') else np.asarray(part)
        skip = self.spikes[tilt]
        if skip is not None:
            spectra = without_spikes(spectra, skip)[0]
        if self.dark[tilt]:
            spectra = spectra.astype(dtype) - np.float32(self.dark[tilt])
        if self.gain is not None:
            spectra = without_gain(spectra, self.gain)
        return np.ascontiguousarray(self.moves.apply(spectra, tilt), dtype=dtype)
