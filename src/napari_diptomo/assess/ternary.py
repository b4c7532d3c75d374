"""Colours of a composition: up to three elements mixed into one image. Numbers only.

With shares f_c of the chosen elements, that add up to one, the colour of a
voxel is

    additive:     sum_c f_c colour_c                  (red, green, blue)
    subtractive:  1 - sum_c f_c (1 - colour_c)        (cyan, magenta, yellow)

which for shares that add up to one is the same sum over the corner colours: a
triangle whose corners are the pure elements. Brightness is free for the
density: additive colours fade to black, subtractive ones to white.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from napari_diptomo.series.errors import InputError

Palette = Literal['RGB', 'CMY']
#: Colours of the pure elements.
CORNERS: dict[str, np.ndarray] = {
    'RGB': np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    'CMY': np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]),
}


def mix_colours(
    shares: np.ndarray,
    palette: Palette = 'RGB',
    brightness: np.ndarray | None = None,
) -> np.ndarray:
    """Colours of a mixture of two or three elements.

    Parameters
    ----------
    shares : ndarray (channel, ...)
        Concentrations of two or three elements in one unit, e.g. atomic percent of a `Composition`, or counts. Negative ones
        count as 0.
    palette : {'RGB', 'CMY'}
        Additive, for dark backgrounds, or subtractive, for print.
    brightness : ndarray (...), optional
        0 to 1; default: 1 everywhere.

    Returns
    -------
    ndarray (..., 4), float32
        RGBA, 0 to 1; transparent where all channels are 0 (masked voxels).

    Raises
    ------
    InputError
        Neither two nor three channels, an unknown palette, or values that are not numbers.
    """
    shares = np.asarray(shares, np.float64)
    if shares.ndim < 1 or shares.shape[0] not in (2, 3):
        count = shares.shape[0] if shares.ndim else 0
        raise InputError(f'Colours mix two or three elements, not {count}; choose three of the channels.')
    if palette not in CORNERS:
        raise InputError(f'There is no palette {palette!r}; choose RGB or CMY.')
    if not np.isfinite(shares).all():
        raise InputError('The concentrations to mix hold values that are not numbers; correct the volume.')
    positive = np.maximum(shares, 0)
    total = positive.sum(axis=0)
    parts = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    colours = np.tensordot(parts, CORNERS[palette][: len(parts)], axes=(0, 0))
    if brightness is not None:
        level = np.clip(np.asarray(brightness, float), 0, 1)[..., None]
        colours = colours * level if palette == 'RGB' else 1 - (1 - colours) * level
    return np.concatenate([colours, (total > 0)[..., None]], axis=-1).astype(np.float32)


def triangle(palette: Palette = 'RGB', size: int = 128) -> np.ndarray:
    """The key to `mix_colours`: a triangle of all mixtures of three elements.

    Parameters
    ----------
    palette : {'RGB', 'CMY'}
        As for `mix_colours`.
    size : int
        Width in pixels; the height is that of an equilateral triangle.

    Returns
    -------
    ndarray (y, x, 4), float32
        First element at the top, second lower left, third lower right; transparent outside.
    """
    height = max(round(size * np.sqrt(3) / 2), 2)
    y, x = np.mgrid[0:height, 0:size]
    first = 1 - y / (height - 1)
    third = x / max(size - 1, 1) - first / 2
    parts = np.stack([first, 1 - first - third, third])
    # A pixel's rounding must not cut the corners off.
    inside = (parts >= -0.5 / size).all(axis=0)
    return mix_colours(np.where(inside, np.maximum(parts, 0), 0.0), palette)
