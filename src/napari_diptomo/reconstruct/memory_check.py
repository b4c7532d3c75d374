"""Whether a reconstruction fits the memory, and what to do when it does not: before it starts or in the middle of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series import MapSeries, TooLargeError
from napari_diptomo.series.memory import binning_that_fits, check_fits, ran_out

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.steps.base import Reconstruction


def check_room(step: Reconstruction, maps: MapSeries, free: int) -> None:
    """Refuse what does not fit in ``free`` bytes.

    Raises
    ------
    TooLargeError
        Naming the lighter preset or the smallest binning that fits.
    """
    needed = step.memory_bytes(maps)
    if needed > free:
        check_fits(needed, f'{step.title} on these maps', _advice(step, maps, free), free=free)


@contextlib.contextmanager
def memory_told(step: Reconstruction, maps: MapSeries) -> Iterator[None]:
    """Turn an allocation that failed in here into a `TooLargeError` that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        # The estimate was too low or another program took the memory: less than was asked for has to do.
        advice = _advice(step, maps, int(0.75 * step.memory_bytes(maps)))
        raise TooLargeError(f'{step.title} on these maps ran out of memory in the middle; {advice}.') from error


def _advice(step: Reconstruction, maps: MapSeries, free: int) -> str:
    preset = _lighter_preset(step, maps, free)
    if preset:
        return f'use the preset {preset}'
    binning = binning_that_fits(lambda n: step.memory_bytes(binned_outline(maps, n)), free, min(maps.data.shape[2:]))
    if binning is None:
        return 'close other programs or use a machine with more memory: no binning makes it fit'
    return f'load the series with {binning} times the binning, or give the thickness of the specimen'


def _lighter_preset(step: Reconstruction, maps: MapSeries, free: int) -> str | None:
    presets = next((p.choices for p in step.parameters() if p.name == 'preset'), ())
    for preset in presets:
        kept = ('thickness', 'beyond_field', 'device')
        values: dict[str, Any] = {'preset': preset, **{name: getattr(step, name) for name in kept}}
        if preset != getattr(step, 'preset', None) and type(step)(**values).memory_bytes(maps) <= free:
            return str(preset)
    return None


def binned_outline(maps: MapSeries, n: int) -> MapSeries:
    """What of the maps decides the memory, as if loaded with ``n`` times the binning; the values say nothing."""
    windows, tilts, ny, nx = maps.data.shape
    outline = np.broadcast_to(np.float32(0), (windows, tilts, max(ny // n, 1), max(nx // n, 1)))
    return replace(
        maps,
        data=outline,
        pixel_size=maps.pixel_size * n,
        shifts=np.asarray(maps.shifts) / n,
        axis_shift=maps.axis_shift / n,
        variance=None if maps.variance is None else np.broadcast_to(np.float32(1), outline.shape),
        background=None if maps.background is None else outline,
        held_out=None if maps.held_out is None else outline,
        haadf=None,
        missing=None,
    )
