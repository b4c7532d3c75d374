"""Finding the tilt angles of a series.

Asked in this order: the caller, a table next to the data, the metadata of the
files, their names. Metadata that give one and the same angle to every file
are not accepted: Bruker files do so whatever the stage did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_diptomo.series.array_checks import check_degrees
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.angles.names import angles_from_names
from napari_diptomo.series.reading.angles.tables import AngleTable, is_angle_name, read_table

#: A stage that is said to move less than this over a whole series has not been read out.
_STILL = 0.5
#: Angles closer than this are one angle.
_SAME = 1e-3


@dataclass(frozen=True)
class FoundAngles:
    """Angles in degrees, in the order of the files, and where they are from, in words."""

    angles: np.ndarray
    source: str


def find_angles(
    count: int,
    *,
    given: Sequence[float] | str | None = None,
    tables: Iterable[Path] = (),
    metadata: Sequence[float | None] = (),
    files: Sequence[Path] = (),
    noun: str = 'files',
    repeats: bool = False,
) -> FoundAngles:
    """Find one angle for every tilt.

    Parameters
    ----------
    count : int
        Number of tilts.
    given : sequence of float or str, optional
        The caller's angles, or the path of a table.
    tables : iterable of Path
        Text files next to the data that may hold the angles.
    metadata : sequence of float or None
        The angle that the metadata give for each tilt.
    files : sequence of Path
        One per tilt in the order of the tilts; empty for a stack.
    noun : str
        What there are `count` of, for the messages.
    repeats : bool
        Whether several may have one angle: `napari_diptomo.series.tilts` says so to the user then.

    Returns
    -------
    FoundAngles

    Raises
    ------
    InputError
        No angles, a wrong number of them, or one angle twice without `repeats`.
    """
    found = (
        _from_argument(count, given, files, noun)
        or _from_tables(count, tables, files, noun)
        or _from_metadata_and_names(count, metadata, files)
    )
    if found is None:
        raise InputError(
            f'No tilt angles were found for the {count} {noun}; give them, or put a table angles.csv '
            '(file name, angle) next to the data.'
        )
    if not repeats:
        _check_distinct(found.angles, files)
    check_degrees(found.angles)
    return found


def _from_argument(
    count: int, given: Sequence[float] | str | None, files: Sequence[Path], noun: str
) -> FoundAngles | None:
    if given is None:
        return None
    if isinstance(given, str):
        path = Path(given)
        if not path.exists():
            raise InputError(f'There is no table of angles {given}; check the path.')
        table = read_table(path)
        if table is None:
            raise InputError(
                f'{path.name} is not a table of angles; write one angle, or file name and angle, per line.'
            )
        return _from_table(count, table, files, noun)
    angles = np.asarray(given, float).ravel()
    if len(angles) != count:
        raise InputError(f'There are {len(angles)} angles for {count} {noun}; give one for each.')
    if not np.isfinite(angles).all() or np.abs(angles).max() > 180:
        raise InputError('A tilt angle is not a number between -180 and 180; correct the list of angles.')
    return FoundAngles(angles, 'as given')


def _from_tables(count: int, paths: Iterable[Path], files: Sequence[Path], noun: str) -> FoundAngles | None:
    tables = [table for table in map(read_table, paths) if table is not None]
    fitting = [table for table in tables if _fits(table, count, files)]
    sure = [table for table in fitting if is_angle_name(table.path)] or fitting
    if sure:
        return _from_table(count, sure[0], files, noun)
    wrong = [table for table in tables if is_angle_name(table.path)]
    # A table that is clearly meant must not be passed over for want of a row.
    return _from_table(count, wrong[0], files, noun) if wrong else None


def _fits(table: AngleTable, count: int, files: Sequence[Path]) -> bool:
    if table.names and files:
        return None not in table.for_files(files)
    distinct = len({round(angle, 3) for angle in table.angles}) == count
    return len(table.angles) == count and distinct


def _from_table(count: int, table: AngleTable, files: Sequence[Path], noun: str) -> FoundAngles:
    name = table.path.name
    if table.names and files:
        listed = table.for_files(files)
        if None not in listed:
            return FoundAngles(np.asarray(listed, float), f'from the table {name}, by file name')
        if any(angle is not None for angle in listed):
            missing = files[listed.index(None)].name
            raise InputError(f'The table {name} has no angle for {missing}; add its line.')
    if len(table.angles) != count:
        raise InputError(f'The table {name} has {len(table.angles)} angles for {count} {noun}; give one for each.')
    order = ', line by line in the order of the file names' if files else ''
    return FoundAngles(np.asarray(table.angles, float), f'from the table {name}{order}')


def _from_metadata_and_names(count: int, metadata: Sequence[float | None], files: Sequence[Path]) -> FoundAngles | None:
    known = np.array([np.nan if angle is None else angle for angle in metadata], float)
    doubt = ''
    if len(known) == count and np.isfinite(known).all():
        if count > 1 and np.ptp(known) < _STILL:
            doubt = f' (the metadata say {known[0]:g} deg for every tilt and were not accepted)'
        else:
            return FoundAngles(known, 'from the metadata of the files')
    elif np.isfinite(known).any():
        doubt = ' (the metadata give an angle for some files only and were not used)'
    named = angles_from_names(files) if files else None
    if named is None:
        if doubt:
            raise InputError(f'No tilt angles were found{doubt}; give the angles, or a table angles.csv with them.')
        return None
    return FoundAngles(np.asarray(named, float), f'from the file names{doubt}')


def _check_distinct(angles: np.ndarray, files: Sequence[Path]) -> None:
    order = np.argsort(angles, kind='stable')
    close = np.flatnonzero(np.diff(angles[order]) < _SAME)
    if close.size:
        first, second = sorted((order[close[0]], order[close[0] + 1]))
        where = f'{files[first].name} and {files[second].name}' if files else f'tilts {first + 1} and {second + 1}'
        raise InputError(f'{where} have the same tilt angle {angles[first]:g} deg; leave one out or correct it.')
