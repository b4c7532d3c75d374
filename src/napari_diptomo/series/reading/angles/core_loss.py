"""At which tilts of a series a core loss was recorded.

Asked in this order: the caller; a file of the low loss that holds it too; a
table with its name; the metadata, where those of the low loss are right; its
folder and name. An angle is that of a tilt when it is within half a degree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.angles.metadata import metadata_angle
from napari_diptomo.series.reading.angles.names import angles_from_names, numbers_in_name
from napari_diptomo.series.reading.angles.tables import read_table
from napari_diptomo.series.reading.spectrum_images import OpenedSpectra
from napari_diptomo.series.reading.stored_axes import axis_angles, tilt_axis_of
from napari_diptomo.series.reading.stored_signal import StoredSignal

#: A stage comes back to a tilt within this, degrees.
_NEAR = 0.5


@dataclass(frozen=True)
class FoundTilts:
    """The tilt (index) of each core-loss image, and where it is known from, in words."""

    tilts: tuple[int, ...]
    words: str


def tilts_of_files(
    files: Sequence[Path],
    signals: Sequence[StoredSignal],
    tables: Sequence[Path],
    low: OpenedSpectra,
    given: Sequence[float] | None,
) -> FoundTilts:
    """One tilt for each core-loss file.

    Raises
    ------
    InputError
        It is not known, or an angle that the series does not have.
    """
    if given is not None:
        return _given(given, len(files), 'core-loss files', low)
    paths = [signal.path for signal in low.tilts]
    if len(low.tilts[0].shape) == 3 and all(path in paths for path in files):
        return FoundTilts(tuple(paths.index(path) for path in files), 'from the files of the low loss')
    for table in map(read_table, tables):
        listed = table.for_files(files) if table is not None and table.names and not table.other else (None,)
        if None not in listed:
            assert table is not None
            return _matched(
                [float(a) for a in listed if a is not None], files, f'from the table {table.path.name}', low
            )
    recorded = [metadata_angle(signal.metadata) for signal in signals]
    if _metadata_are_right(low) and all(angle is not None for angle in recorded):
        return _matched([float(a[0]) for a in recorded if a is not None], files, 'from the metadata', low)
    return _named(files, low)


def tilts_of_stack(
    signal: StoredSignal, recorded: Sequence[float | None], low: OpenedSpectra, given: Sequence[float] | None
) -> FoundTilts:
    """One tilt for each image of a core-loss stack; as for `tilts_of_files`."""
    if given is not None:
        return _given(given, len(recorded), 'tilts of the core-loss stack', low)
    known = [angle for angle in recorded if angle is not None]
    if len(known) == len(recorded) and (_metadata_are_right(low) or np.ptp(known) > _NEAR):
        return _matched(known, [signal.path] * len(known), 'from its metadata', low)
    if len(recorded) == len(low.order):
        # Without angles a stack as long as the series is taken to be of the same tilts in the same order.
        back = np.argsort(low.order)
        return FoundTilts(tuple(int(i) for i in back), 'image by image in the order of the low loss')
    raise _unknown(signal.path)


def _given(given: Sequence[float], count: int, noun: str, low: OpenedSpectra) -> FoundTilts:
    if len(given) != count:
        raise InputError(f'There are {len(given)} core-loss angles for {count} {noun}; give one for each.')
    return FoundTilts(tuple(_tilt_at(angle, 'A core loss', low) for angle in given), 'as given')


def _matched(angles: Sequence[float], files: Sequence[Path], words: str, low: OpenedSpectra) -> FoundTilts:
    tilts = tuple(_tilt_at(a, path.name, low) for a, path in zip(angles, files, strict=True))
    return FoundTilts(tilts, words)


def _tilt_at(angle: float, name: str, low: OpenedSpectra) -> int:
    angles = low.series.angles
    nearest = int(np.abs(angles - angle).argmin())
    if not abs(angles[nearest] - angle) <= _NEAR:
        raise InputError(
            f'{name} is of {angle:g}°, and the series has no such tilt (the nearest is {angles[nearest]:g}°); '
            'leave it out, or give the right core-loss angles.'
        )
    return nearest


def _metadata_are_right(low: OpenedSpectra) -> bool:
    """Whether the metadata of the low loss give the angles that were taken."""
    if len(low.tilts[0].shape) == 4:
        stored = axis_angles(low.tilts[0], tilt_axis_of(low.tilts[0], (0, 1, 2)))
        recorded = [stored[i] for i in low.order]
    else:
        found = [metadata_angle(signal.metadata) for signal in low.tilts]
        recorded = [None if angle is None else float(angle[0]) for angle in found]
    known = np.array([np.nan if angle is None else angle for angle in recorded], float)
    return bool((np.abs(known - low.series.angles) <= _NEAR).all())


def _named(files: Sequence[Path], low: OpenedSpectra) -> FoundTilts:
    return FoundTilts(tuple(_by_name(path, files, low) for path in files), 'from the file names')


def _by_name(path: Path, files: Sequence[Path], low: OpenedSpectra) -> int:
    lows = [signal.path for signal in low.tilts] if len(low.tilts[0].shape) == 3 else []
    for same in ([p.stem == path.stem for p in lows], [p.parent == path.parent for p in lows]):
        if same.count(True) == 1:
            return same.index(True)
    for together, index in (((*lows, path), len(lows)), (files, files.index(path))):
        angles = angles_from_names(together)
        if angles is not None:
            return _tilt_at(angles[index], path.name, low)
    near = {
        int(np.abs(low.series.angles - number).argmin()) for number in numbers_in_name(path) if _is_tilt(number, low)
    }
    if len(near) != 1:
        raise _unknown(path)
    return near.pop()


def _is_tilt(angle: float, low: OpenedSpectra) -> bool:
    return bool(np.abs(low.series.angles - angle).min() <= _NEAR)


def _unknown(path: Path) -> InputError:
    return InputError(f'It is not known at which tilt {path.name} was recorded; give its angle (core-loss angles).')
