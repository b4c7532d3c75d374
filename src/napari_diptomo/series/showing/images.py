"""Parts of every image that is shown: brightness, colours from black to that of an element, scale bar."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series.channel_colours import opacity

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def blend(images: np.ndarray, hues: Iterable[str]) -> np.ndarray:
    """Images of several elements in one, their colours added.

    Parameters
    ----------
    images : ndarray (channel, row, column)
        Each is shown from 0 to its `bright` value.
    hues : iterable of str
        ``'#rrggbb'``, one per channel.

    Returns
    -------
    ndarray (row, column, 3), float32
        0 to 1.
    """
    hues = list(hues)
    rgb = np.array([[int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)] for hue in hues], np.float32)
    values = np.stack([np.clip(image / bright(image), 0, 1) for image in images])
    return np.clip(opacity(hues) * np.einsum('cyx,ck->yxk', values, rgb), 0, 1)


def bright(image: np.ndarray, percentile: float = 99.7) -> float:
    """The value that is shown at full brightness: a high percentile, so that hot pixels do not set it."""
    return max(float(np.percentile(image, percentile)), float(np.finfo(np.float32).tiny))


def element_map(hue: str) -> Any:
    """From black to the colour of an element."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list('element', ['#000000', hue])


def bare(axis: Axes) -> None:
    """A frame around an image, without ticks."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_linewidth(0.4)


def round_length(most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above a length."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most * 1.0001))


def in_nm(length: float) -> str:
    """``'50 nm'``, ``'2 µm'``."""
    return f'{length / 1000:g} µm' if length >= 1000 else f'{length:g} nm'


def scale_bar(axis: Axes, shape: tuple[int, int], pixel: float, letters: float = 6.5) -> float:
    """A bar of a round length in the lower left corner; returns the length in nm.

    Parameters
    ----------
    axis : Axes
        Shows an image with pixels as unit.
    shape : tuple of int
        (rows, columns).
    pixel : float
        nm.
    letters : float
        Their size in points.

    Returns
    -------
    float
    """
    from matplotlib import patheffects

    rows, columns = shape
    length = round_length(columns * pixel / 3)
    shadow = [patheffects.withStroke(linewidth=1.2, foreground='black')]
    # A bar lies the same distance from both edges, also in a thin slab.
    margin = min(0.06 * columns, 0.25 * rows)
    axis.plot(
        [margin, margin + length / pixel],
        [rows - margin] * 2,
        color='white',
        lw=1.6,
        solid_capstyle='butt',
        path_effects=[patheffects.withStroke(linewidth=2.6, foreground='black')],
    )
    axis.annotate(
        in_nm(length),
        (margin + length / pixel / 2, rows - margin),
        xytext=(0, 2.2),
        textcoords='offset points',
        ha='center',
        va='bottom',
        color='white',
        fontsize=letters,
        path_effects=shadow,
    )
    axis.set_xlim(-0.5, columns - 0.5)
    axis.set_ylim(rows - 0.5, -0.5)
    return length
