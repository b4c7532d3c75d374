"""Descriptions of the signals in a file, made without reading their data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.findings import Finding

#: Signals beside those opened that a note names one by one.
_MOST_NAMED = 4


#: From the first to before the last, None for all that there are.
Frames = tuple[int, int | None]


@dataclass(frozen=True)
class StoredAxis:
    """One axis of a stored signal; ``values`` are the calibrated positions."""

    name: str
    units: str
    size: int
    scale: float
    offset: float
    values: np.ndarray = field(repr=False)
    calibrated: bool


@dataclass(frozen=True)
class StoredSignal:
    """A signal in a file, described without reading its data.

    Attributes
    ----------
    path : Path
    index : int
        Position among the signals of the file.
    title : str
    axes : tuple of StoredAxis
        In array order.
    spectral : bool
        Whether the last axis is a spectrum.
    dtype : numpy dtype
    metadata : dict
        HyperSpy's metadata tree.
    stacked : tuple of dict
        Metadata of the single files when the stack was made of several.
    doubts : tuple of str
        What the file leaves open, each a sentence on what was assumed, and what to do.
    frames : tuple of (int, int or None), optional
        The frames that are summed, from the first to before the last; without it all.
    """

    path: Path
    index: int
    title: str
    axes: tuple[StoredAxis, ...]
    spectral: bool
    dtype: np.dtype
    metadata: dict[str, Any] = field(repr=False)
    stacked: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    doubts: tuple[str, ...] = field(default=(), repr=False)
    frames: Frames | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes)


def doubts_of(signals: Iterable[StoredSignal]) -> tuple[Finding, ...]:
    """Doubts about what the files leave open, each sentence once."""
    found = {doubt: signal.path.name for signal in signals for doubt in reversed(signal.doubts)}
    return tuple(Finding('doubt', f'layout of {name}', doubt) for doubt, name in found.items())


def beside(path: Path, signals: Iterable[StoredSignal], used: Iterable[StoredSignal]) -> tuple[Finding, ...]:
    """A note of what a file holds beside what was opened of it; none where that is everything."""
    taken = {signal.index for signal in used if signal.path == path}
    left = [signal for signal in signals if signal.index not in taken]
    if not left:
        return ()
    sentence = f'{path.name} also holds {described(left)}, which was not opened.'
    return (Finding('note', 'what else the file holds', sentence, {'signals not opened': len(left)}),)


def described(signals: Sequence[StoredSignal]) -> str:
    """Signals in words, each with its shape: ``spectra EDS (5 x 8 x 8 x 64), an image (8 x 8)``."""
    named = [f'{_kind(signal)} ({" x ".join(map(str, signal.shape))})' for signal in signals]
    more = f' and {len(named) - _MOST_NAMED} more' if len(named) > _MOST_NAMED else ''
    return ', '.join(named[:_MOST_NAMED]) + more if named else 'nothing'


def _kind(signal: StoredSignal) -> str:
    shapes = {1: 'a curve', 2: 'an image'}
    what = 'spectra' if signal.spectral else shapes.get(len(signal.shape), 'images')
    return f'{what} {signal.title}' if signal.title else what
