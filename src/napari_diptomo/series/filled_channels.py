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
#: Spectra of an image, as a share of its pixels, that may hold values which are no counts.
_FEW = 2e-3


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

    A few that are no counts, negative or not finite, stay among them: `spikes` leaves them out and names them.

    Raises
    ------
    InputError
        More than a few spectra hold values that are negative or not finite.
    """
    array = np.ascontiguousarray(tilt)
    dense = array.reshape(-1, array.shape[-1])
    # Nearly all channels are empty: finding the others by hand is several times faster than csr_matrix(dense).
    width = dense.shape[-1]
    flat = dense.ravel()
    filled = np.flatnonzero(flat)
    values = flat[filled]
    if values.size and not (values.min() > 0 and values.max() < np.inf):
        _check_few(values, filled // width, len(dense), index)
    if values.dtype.kind != 'f':
        values = values.astype(np.int32)
    rows = np.searchsorted(filled, np.arange(0, flat.size + 1, width))
    return values, (filled % width).astype(np.int32), rows.astype(np.int32)


def _check_few(values: np.ndarray, pixels: np.ndarray, count: int, index: int) -> None:
    """Refuse an image of ``count`` pixels with more than a few spectra of negative or not finite values."""
    most = max(_FEW * count, 1)
    for wrong, sentence in (
        (~np.isfinite(values), 'values that are not numbers (NaN or infinite); leave it out'),
        (values < 0, 'negative counts; load the spectra as they were recorded'),
    ):
        if len(np.unique(pixels[wrong])) > most:
            raise InputError(f'Image {index + 1} holds {sentence}.')
