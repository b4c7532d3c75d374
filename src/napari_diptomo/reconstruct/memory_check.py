"""Whether a reconstruction fits the memory, and the advice when it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from napari_diptomo.series import MapSeries, TooLargeError
from napari_diptomo.series.memory import binning_that_fits, check_fits, ran_out

#: From maps to the bytes that their reconstruction needs.
Estimate = Callable[[MapSeries], int]


@dataclass(frozen=True)
class MemoryNeed:
    """Memory that a method needs, and that its other presets would need.

    Attributes
    ----------
    title : str
        Name of the method.
    estimate : callable
        Bytes for given maps.
    presets : mapping of str to callable
        Estimates of the other presets by name, in the order in which they are advised.
    """

    title: str
    estimate: Estimate
    presets: Mapping[str, Estimate] = field(default_factory=dict)


def check_memory(need: MemoryNeed, maps: MapSeries, free: int) -> None:
    """Refuse what does not fit in ``free`` bytes.

    Raises
    ------
    TooLargeError
        Naming the lighter preset or the smallest binning that fits.
    """
    needed = need.estimate(maps)
    if needed > free:
        check_fits(needed, f'{need.title} on these maps', _advice(need, maps, free), free=free)


@contextlib.contextmanager
def advising_when_memory_runs_out(need: MemoryNeed, maps: MapSeries) -> Iterator[None]:
    """Turn an allocation that failed in here into a `TooLargeError` that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        # The estimate was too low or another program took the memory: less than was asked for has to do.
        advice = _advice(need, maps, int(0.75 * need.estimate(maps)))
        raise TooLargeError(f'{need.title} on these maps ran out of memory in the middle; {advice}.') from error


def _advice(need: MemoryNeed, maps: MapSeries, free: int) -> str:
    for preset, estimate in need.presets.items():
        if estimate(maps) <= free:
            return f'use the preset {preset}'
    binning = binning_that_fits(lambda n: need.estimate(binned_outline(maps, n)), free, min(maps.data.shape[2:]))
    if binning is None:
        return 'close other programs or use a machine with more memory: no binning makes it fit'
    return f'load the series with {binning} times the binning, or give the thickness of the specimen'


def binned_outline(maps: MapSeries, n: int) -> MapSeries:
    """The shapes of the maps that decide the memory, as if loaded with ``n`` times the binning; the values mean nothing."""
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
