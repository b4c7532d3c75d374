r"""Shifts, tilt angles and axis in the files of other programs.

**csv** (ours): a line of names, then one line per tilt. ``angle``, ``dx`` and ``dy`` are needed, in degrees and pixels;
``score``, ``error`` and ``source`` are written too. Lines are matched to the tilts by angle, so their order is free.

**IMOD**: ``NAME.xf`` has one line per image, A11 A12 A21 A22 DX DY, which takes a point from the middle of the image to
where it is in the aligned stack,

    (x', y') = A (x, y) + (DX, DY),

and ``NAME.tlt`` the angles in degrees, one per line in the same order. Rows of an MRC file are counted as IMOD
counts y. In the aligned stack the tilt axis is vertical and in the middle. So with the axis turned by r and at a, and
the specimen at s in the image,

    A = ((cos r, sin r), (-sin r, cos r)),    (DX, DY) = -A s - (a, 0).

**ETSpy** and **tomviz**: see `napari_diptomo.align.peer_shifts`.

Formulas: transformation of an aligned stack (`write_shifts`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from napari_diptomo.align.peer_shifts import PeerShifts, read_etspy, read_tomviz, tomviz_arrays, write_etspy
from napari_diptomo.align.tilt_shifts import TiltShift, tilt_shifts, tilts_at
from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.files import replacing_all

_COLUMNS = ('angle', 'dx', 'dy', 'score', 'error', 'source')
#: What the matrices of an .xf may differ from one rotation: of their entries, and from tilt to tilt in degrees.
_STRETCH, _TURN = 0.01, 1.0
_SAME_ANGLE = 0.05  # degrees
_LARGEST_FILE = 2**22


@dataclass(frozen=True)
class ImportedShifts:
    """Shifts and rotation of the axis, as a file gave them.

    Attributes
    ----------
    shifts : ndarray (tilt, 2)
        Pixels (y, x), in the order of the tilts of the series.
    rotation : float
        Of the tilt axis in the image plane, degrees, positive clockwise.
    """

    shifts: np.ndarray
    rotation: float = 0.0


def read_shifts(path: str | Path, angles: np.ndarray) -> ImportedShifts:
    """Read shifts for a series.

    Parameters
    ----------
    path : path
        ``.xf`` of IMOD, beside it a ``.tlt`` of the same name if there is one, a table ``.csv``, a stack of ETSpy ``.hspy``, or
        shifts of tomviz ``.npz``.
    angles : ndarray (tilt,)
        Degrees, of the series.

    Returns
    -------
    ImportedShifts
        In the order of ``angles``.

    Raises
    ------
    InputError
        No such file, another number of tilts, other angles, or transformations that are no rotation and shift.
    """
    path = Path(path)
    if path.suffix.lower() == '.xf':
        return _read_xf(path, np.asarray(angles, float))
    if path.suffix.lower() == '.csv':
        return ImportedShifts(_read_csv(path, np.asarray(angles, float)))
    if path.suffix.lower() == '.npz':
        return _of_peer(read_tomviz(path), path, np.asarray(angles, float))
    if path.suffix.lower() == '.hspy':
        return _of_peer(read_etspy(path), path, np.asarray(angles, float))
    raise InputError(
        f'{path.name} is no table of shifts; give an .xf of IMOD, a .csv with angle, dx and dy, an .hspy of ETSpy or an .npz of '
        'tomviz.'
    )


def _of_peer(found: PeerShifts, path: Path, angles: np.ndarray) -> ImportedShifts:
    if len(found.shifts) != len(angles):
        raise InputError(
            f'{path.name} has shifts of {len(found.shifts)} images, but the series {len(angles)} tilts; they must correspond.'
        )
    if found.angles is None or len(found.angles) != len(angles):
        return ImportedShifts(found.shifts)
    return ImportedShifts(found.shifts[_matched(path, found.angles, angles)])


def check_shift_file(path: Path, maps: MapSeries) -> None:
    """Whether the shifts of a series can be written to a file of this name.

    Parameters
    ----------
    path : Path
    maps : MapSeries

    Raises
    ------
    InputError
        No folder, another ending, a turned axis in a format without one, or x and y of the maps are those of the file exchanged, which an .xf cannot say.
    """
    if path.suffix.lower() not in ('.csv', '.xf', '.hspy', '.npz'):
        raise InputError(
            f'{path.name} has no known ending; write .csv, .xf for IMOD, .hspy for ETSpy, or .npz for tomviz.'
        )
    if path.suffix.lower() in ('.hspy', '.npz') and maps.axis_rotation:
        raise InputError(
            f'The tilt axis is turned by {maps.axis_rotation:g}°, which shifts of ETSpy and tomviz cannot say; write .xf '
            'or .csv.'
        )
    if not path.absolute().parent.is_dir():
        raise InputError(f'There is no folder {path.absolute().parent}; make it, or choose another file.')
    if path.suffix.lower() == '.xf' and maps.transposed:
        raise InputError(
            'x and y were exchanged when this series was loaded, which an .xf cannot say; write a .csv instead.'
        )


def write_shifts(maps: MapSeries, path: str | Path) -> list[Path]:
    """Write the shifts of a series, and for IMOD its angles beside them.

    Parameters
    ----------
    maps : MapSeries
        Aligned.
    path : path
        Ends with ``.csv``, ``.xf`` (IMOD), ``.hspy`` (ETSpy: the sum of the maps, moved) or ``.npz`` (tomviz); an earlier file
        is replaced.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        As `check_shift_file` says.
    """
    path = Path(path)
    check_shift_file(path, maps)
    if path.suffix.lower() == '.hspy':
        return list(replacing_all({path: partial(write_etspy, maps)}))
    if path.suffix.lower() == '.npz':
        return list(replacing_all({path: partial(_write_arrays, tomviz_arrays(maps))}))
    if path.suffix.lower() == '.csv':
        texts = {path: _csv(tilt_shifts(maps))}
    else:
        angles = ''.join(f'{angle:8.2f}\n' for angle in maps.angles)
        texts = {path: _xf(maps), path.with_suffix('.tlt'): angles}
    return list(replacing_all({name: partial(_write, text) for name, text in texts.items()}))


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding='utf-8', newline='')


def _write_arrays(arrays: dict[str, np.ndarray], path: Path) -> None:
    # A name without .npz would get one.
    with path.open('wb') as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _xf(maps: MapSeries) -> str:
    matrix = _turning_back(maps.axis_rotation)
    moved = -np.asarray(maps.shifts)[:, ::-1] @ matrix.T - (maps.axis_shift, 0.0)
    entries = ''.join(f'{value:12.7f}' for value in matrix.ravel())
    return ''.join(f'{entries}{dx:12.3f}{dy:12.3f}\n' for dx, dy in moved)


def _turning_back(rotation: float) -> np.ndarray:
    """From a point (x, y) of the image to (across, along) the axis."""
    r = np.deg2rad(rotation)
    return np.array([[np.cos(r), np.sin(r)], [-np.sin(r), np.cos(r)]])


def _read_xf(path: Path, angles: np.ndarray) -> ImportedShifts:
    rows = _table(path, 6)
    order = _order_of(path.with_suffix('.tlt'), len(rows), angles)
    if len(rows) != len(angles):
        raise InputError(
            f'{path.name} has {len(rows)} lines, but the series {len(angles)} tilts; they must correspond.'
        )
    matrices = rows[:, :4].reshape(-1, 2, 2)
    turns = np.rad2deg(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    rotation = float(np.mean(turns))
    if np.abs(matrices - [_turning_back(turn) for turn in turns]).max() > _STRETCH or np.ptp(turns) > _TURN:
        raise InputError(
            f'{path.name} stretches the images or turns each by another angle; only shifts and one rotation are geometry '
            'here, so fit it in IMOD without magnification and with one rotation.'
        )
    shifts = -rows[:, 4:] @ _turning_back(rotation)
    return ImportedShifts(shifts[order][:, ::-1], rotation)


def _order_of(path: Path, lines: int, angles: np.ndarray) -> np.ndarray:
    """Line of each tilt: by the angles of the .tlt where there is one, else as they come."""
    if not path.is_file():
        return np.arange(len(angles))
    theirs = _table(path, 1)[:, 0]
    if len(theirs) != lines:
        raise InputError(f'{path.name} has {len(theirs)} angles for {lines} images; they must correspond.')
    if lines != len(angles):
        return np.arange(lines)
    return _matched(path, theirs, angles)


def _matched(path: Path, theirs: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Line of each tilt, by their angles."""
    order = np.empty(len(theirs), int)
    order[np.argsort(angles, kind='stable')] = np.argsort(theirs, kind='stable')
    if np.abs(theirs[order] - angles).max() > _SAME_ANGLE:
        off = int(np.abs(theirs[order] - angles).argmax())
        raise InputError(
            f'{path.name} has a tilt at {theirs[order][off]:g}° where the series has {angles[off]:g}°; these are shifts '
            'of another series, or its angles have to be corrected.'
        )
    return order


def _csv(rows: tuple[TiltShift, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows({name: '' if value is None else value for name, value in row.to_dict().items()} for row in rows)
    return text.getvalue()


def _read_csv(path: Path, angles: np.ndarray) -> np.ndarray:
    reader = csv.DictReader(io.StringIO(_text(path)))
    names = {(name or '').strip().lower(): name for name in reader.fieldnames or ()}
    missing = [name for name in _COLUMNS[:3] if name not in names]
    if missing:
        raise InputError(f'{path.name} has no column {missing[0]}; its first line must name angle, dx and dy.')
    shifts = np.full((len(angles), 2), np.nan)
    rows = np.array([[_number(row[names[name]], path) for name in _COLUMNS[:3]] for row in reader]).reshape(-1, 3)
    for tilt, (_, dx, dy) in zip(tilts_at(rows[:, 0], angles), rows, strict=True):
        shifts[tilt] = dy, dx
    left = np.flatnonzero(np.isnan(shifts).any(axis=1))
    if left.size:
        raise InputError(
            f'{path.name} has no shift for the tilt at {angles[left[0]]:g}°; add it, or leave the tilt out.'
        )
    return shifts


def _table(path: Path, columns: int) -> np.ndarray:
    """Numbers of a text file, (line, columns)."""
    lines = [line.split() for line in _text(path).splitlines() if line.strip()]
    if not lines or any(len(line) != columns for line in lines):
        raise InputError(f'{path.name} needs {columns} numbers in every line; this is not what IMOD writes.')
    return np.array([[_number(word, path) for word in line] for line in lines])


def _number(word: str | None, path: Path) -> float:
    parse: Callable[[str], float] = float
    try:
        value = parse(word or '')
    except ValueError:
        value = float('nan')
    if not np.isfinite(value):
        raise InputError(f'{path.name} has {word!r} where a number is needed; correct the file.')
    return value


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f'There is no file {path}; check the path.')
    if path.stat().st_size > _LARGEST_FILE:
        raise InputError(f'{path.name} is too large for a table of shifts; choose another file.')
    try:
        return path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path.name} cannot be read as text ({error}); choose another file.') from error
