"""Numbers for a column of a table: pasted from a spreadsheet, or from a first to a last in steps."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from napari_diptomo.series import InputError

_DECIMAL_COMMA = re.compile(r'[+-]?\d*,\d+(?:[eE][+-]?\d+)?')
_RADIANS = re.compile(r'\b(m?)rad(?:ians?)?\b', re.IGNORECASE)
#: Rows of a clipboard that are looked at; no series has as many tilts.
_MOST_ROWS = 10_000


def number_in(text: str) -> float | None:
    """The number that a cell holds, with a decimal point or comma, with or without a degree sign; None for other text."""
    text = text.strip().strip('"\'').replace('\N{MINUS SIGN}', '-').removesuffix('°').removesuffix('deg').strip()
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(',', '.')
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and '_' not in text else None


def angles_in(text: str, names: Sequence[str]) -> list[float]:
    """The angles that a clipboard holds, one for each tilt.

    Parameters
    ----------
    text : str
        A column of a spreadsheet, or several: separated by tabs, semicolons, spaces or commas; a heading may stand above
        them. Under a heading with ``rad`` or ``mrad`` they are converted.
    names : sequence of str
        Names of the files in the order of the result; where a column holds them, rows are matched by it.

    Returns
    -------
    list of float
        Degrees.

    Raises
    ------
    InputError
        No such column, more than one, or another number of rows.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > _MOST_ROWS:
        raise InputError(f'The clipboard holds {len(lines)} lines; copy only those of the tilts.')
    commas = _commas_separate(lines)
    rows = [_cells(line, commas) for line in lines]
    heading = ''
    if len(rows) > 1 and all(number_in(cell) is None for cell in rows[0]) and not _stems(rows[0]) & _stems(names):
        heading, rows = lines[0], rows[1:]
    if not rows:
        raise InputError('The clipboard holds no text; copy a column of angles, one for each tilt.')
    width = min(map(len, rows))
    columns = [[number_in(row[i]) for row in rows] for i in range(width)]
    numeric = [i for i in range(width) if None not in columns[i]]
    if len(numeric) > 1:
        numeric = [i for i in numeric if not _running(columns[i])] or numeric
    if len(numeric) != 1:
        found = f'{len(numeric)} columns of numbers' if numeric else 'no column of numbers'
        raise InputError(f'The clipboard holds {found}; copy the column of angles, one for each tilt.')
    values = [value for value in columns[numeric[0]] if value is not None]
    radians = _RADIANS.search(heading)
    if radians is not None:
        values = [float(np.rad2deg(value * (1e-3 if radians[1] else 1.0))) for value in values]
    by_name = _by_name([row for row in rows if row], values, names)
    if by_name is not None:
        return by_name
    if len(values) != len(names) and names:
        raise InputError(f'The clipboard holds {len(values)} numbers for {len(names)} tilts; copy one for each.')
    return values


def steps_between(first: float, last: float, step: float, count: int | None = None) -> list[float]:
    """Angles from a first to a last one, both included.

    Parameters
    ----------
    first, last, step : float
        Degrees; the sign of the step follows from the other two.
    count : int, optional
        How many there have to be.

    Returns
    -------
    list of float
        Degrees.

    Raises
    ------
    InputError
        The steps do not end at the last, or their number is another.
    """
    if step == 0 or not all(map(math.isfinite, (first, last, step))):
        raise InputError('The step is 0; give the degrees from tilt to tilt.')
    steps = abs(last - first) / abs(step)
    if steps > _MOST_ROWS:
        raise InputError(f'These are {steps:.0f} steps; give a larger one.')
    if abs(steps - round(steps)) > 1e-3:
        raise InputError(f'Steps of {abs(step):g}° from {first:g}° do not end at {last:g}°; correct one of the three.')
    number = round(steps) + 1
    if count is not None and number != count:
        raise InputError(f'These are {number} angles for {count} tilts; correct one of the three.')
    return [float(value) for value in np.round(np.linspace(first, last, number), 6)]


def _commas_separate(lines: Sequence[str]) -> bool:
    """Whether commas stand between columns: as many in every line, and not all of them can be decimal ones."""
    if any(separator in line for line in lines for separator in '\t;'):
        return False
    commas = {line.count(',') for line in lines}
    return len(commas) == 1 and commas != {0} and any(number_in(line) is None for line in lines)


def _cells(line: str, commas: bool) -> list[str]:
    for separator in ('\t', ';', *(',' if commas else '')):
        if separator in line:
            return [cell.strip() for cell in line.split(separator)]
    return [line.strip()] if number_in(line) is not None else line.split()


def _running(column: Sequence[float | None]) -> bool:
    """Whether it numbers the rows."""
    return len(column) > 2 and any(list(column) == [start + i for i in range(len(column))] for start in (0, 1))


def _stems(cells: Sequence[str]) -> set[str]:
    return {PurePath(cell.strip('"\'')).stem.casefold() for cell in cells if cell}


def _by_name(rows: Sequence[Sequence[str]], values: Sequence[float], names: Sequence[str]) -> list[float] | None:
    """The values of the rows that name the files; None where they do not name all of them."""
    wanted = [PurePath(name).stem.casefold() for name in names]
    found: dict[str, float] = {}
    for row, value in zip(rows, values, strict=True):
        for stem in _stems(row) & set(wanted):
            found[stem] = value
    return [found[stem] for stem in wanted] if wanted and set(wanted) == set(found) else None
