"""Disk space that a run will need, compared with what is free before it computes.

An estimate from above: arrays are counted as float32 without compression.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from napari_diptomo.series import InputError, MapSeries, Recipe, SpectralTiltSeries, Step, Volume
from napari_diptomo.series.files import megabytes

#: Arrays of the size of the maps that a map series holds, about: data, variance, background, residual.
_MAP_ARRAYS = 4
#: Volumes in a checkpoint of a network (average, best average, moments of an ensemble), and bytes of network and optimiser.
_CHECKPOINT_VOLUMES, _NETWORK = 6, 20e6
#: Channels, where a step finds the elements by itself.
_CHANNELS = 6


def result_bytes(recipe: Recipe, data: SpectralTiltSeries | MapSeries | Volume) -> float:
    """Bytes of the result of a recipe, about.

    Parameters
    ----------
    recipe : Recipe
    data : SpectralTiltSeries, MapSeries or Volume
        What its first step is handed.
    """
    channels = _channels(recipe, data)
    if isinstance(data, Volume):
        return 4.0 * channels * float(data.data[0].size) * 2
    tilts = len(data.angles)
    ny, nx = (data.counts.shape[1:3] if isinstance(data, SpectralTiltSeries) else data.data.shape[2:])[:2]
    depths = [_depth(step, nx, data.pixel_size) for step in recipe.runnable() if hasattr(step, 'thickness')]
    if not depths:
        return 4.0 * _MAP_ARRAYS * channels * tilts * ny * nx
    arrays = 2 if _has_errors(recipe) else 1
    return 4.0 * arrays * channels * depths[-1] * ny * nx


def checkpoint_bytes(recipe: Recipe, result: float) -> float:
    """Bytes of the checkpoints of a recipe whose result takes `result`, about: two of them exist for a moment."""
    if not any(hasattr(step, 'widths') for step in recipe.steps):
        return 0.0
    return 2 * (_CHECKPOINT_VOLUMES * result + _NETWORK)


def check_space(recipe: Recipe, data: SpectralTiltSeries | MapSeries | Volume, output: Path) -> str | None:
    """Refuse a run whose result would not find space.

    Parameters
    ----------
    recipe : Recipe
    data : SpectralTiltSeries, MapSeries or Volume
        What its first step is handed.
    output : Path
        The file to be written; the checkpoint lies beside it.

    Returns
    -------
    str or None
        A sentence where the result finds space and the checkpoints will not: a run can do without them.

    Raises
    ------
    InputError
        The sentence names the disk, what is needed and what is free.
    """
    result = result_bytes(recipe, data)
    beside, temporary = output.absolute().parent, Path(tempfile.gettempdir())
    one_disk = os.stat(beside).st_dev == os.stat(temporary).st_dev
    # The result is handed over in a temporary file before it is saved.
    for folder, needed in ((beside, result * (1 + one_disk)), (temporary, result)):
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise InputError(
                f'The disk of {folder} has {megabytes(free)} free, and the result takes about {megabytes(needed)} there; '
                'free some space, or choose another output with -o.'
            )
    needed, free = result * (1 + one_disk) + checkpoint_bytes(recipe, result), shutil.disk_usage(beside).free
    if free >= needed:
        return None
    return (
        f'The disk of {beside} has {megabytes(free)} free: {output.name} finds space, its checkpoints may not (about '
        f'{megabytes(needed)} with them), and without them an interrupted run starts over; free some space there.'
    )


def _channels(recipe: Recipe, data: Any) -> int:
    for step in reversed(recipe.steps):
        for name in ('lines', 'elements', 'oxides'):
            chosen = getattr(step, name, ())
            if isinstance(chosen, tuple) and chosen:
                return len(chosen)
    return len(getattr(data, 'channels', ())) or _CHANNELS


def _depth(step: Step, columns: int, pixel_size: float) -> float:
    thickness = getattr(step, 'thickness', None)
    return columns if thickness is None else max(round(thickness / pixel_size), 1)


def _has_errors(recipe: Recipe) -> bool:
    return any(getattr(step, 'ensemble', 1) > 1 or not hasattr(step, 'thickness') for step in recipe.steps[-1:])
