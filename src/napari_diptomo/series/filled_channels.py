"""Spectra of few counts, without their empty channels.

An array of counts may offer them itself, as ``sparse_tilt(index)``: where the
files are read in another process, what is handed over is a hundredth then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError

#: Values, their channels, where each spectrum begins among them: the parts of a compressed sparse row matrix.
Filled = tuple[np.ndarray, np.ndarray, np.ndarray]


def dense_spectra(tilt: Any, index: int) -> np.ndarray:
    """The spectra (y * x, energy) of tilt ``index``, all finite.

    Raises
    ------
    InputError
        Some value is not a number.
    """
    dense = np.ascontiguousarray(tilt)
    if dense.dtype.kind == 'f' and not np.isfinite(dense).all():
        raise InputError(f'Image {index + 1} holds values that are not numbers (NaN or infinite); leave it out.')
    return dense.reshape(-1, dense.shape[-1])


def filled_channels(tilt: Any, index: int) -> Filled:
    """The non-zero values of the counts (y, x, energy) of tilt ``index``.

    Raises
    ------
    InputError
        Some value is not a number, or negative.
    """
    dense = dense_spectra(tilt, index)
    # Nearly all channels are empty: finding the others by hand is several times faster than csr_matrix(dense).
    width = dense.shape[-1]
    flat = dense.ravel()
    filled = np.flatnonzero(flat)
    values = flat[filled]
    if values.size and values.min() < 0:
        raise InputError(f'Image {index + 1} holds negative counts; load the spectra as they were recorded.')
    if values.dtype.kind != 'f':
        values = values.astype(np.int32)
    rows = np.searchsorted(filled, np.arange(0, flat.size + 1, width))
    return values, (filled % width).astype(np.int32), rows.astype(np.int32)
