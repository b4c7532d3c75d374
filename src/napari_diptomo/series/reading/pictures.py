"""Images of one file by itself: one tilt of a series, or images without angles."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of a file.

    Attributes
    ----------
    data : ndarray
        Two axes or more; spectra are summed.
    axes : tuple of (float, float, str)
        Scale, offset and unit of each axis.
    title : str
    spectral : bool
        Whether spectra were summed.
    """

    data: np.ndarray
    axes: tuple[tuple[float, float, str], ...]
    title: str
    spectral: bool


def pictures_in(path: str | os.PathLike[str]) -> tuple[Picture, ...]:
    """All images of a file.

    Raises
    ------
    InputError
        The file is damaged, half-written or of an unknown kind.
    """
    from napari_diptomo.series.reading import hyperspy_adapter

    found = []
    for signal in hyperspy_adapter.open_signals(str(path)):
        data = hyperspy_adapter.read(signal)
        if signal.spectral:
            data = data.sum(-1)
        if data.ndim >= 2:
            axes = tuple((axis.scale, axis.offset, axis.units) for axis in signal.axes[: data.ndim])
            found.append(Picture(data, axes, signal.title, signal.spectral))
    return tuple(found)
