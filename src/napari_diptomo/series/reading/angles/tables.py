"""Tilt angles from small text tables (.rawtlt, .tlt, .csv, .txt).

A row is one angle, a running number and an angle, or a file name and an
angle; separators are commas, semicolons, tabs or blanks. Comments and one
heading are passed over. Prose is distinguished from a table by its rows: a text whose
lines are not rows is no table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = {'.rawtlt', '.tlt', '.csv', '.txt'}
_LARGEST = 1_000_000  # bytes; no table of angles is longer
_MOST_TEXTS = 2  # columns of text in a table: a file name, a remark; sentences have more words
_COMMENT = re.compile(r'\s*(#|%|//|;)')
_ANGLE_WORD = re.compile(r'angle|tilt|alpha|theta', re.IGNORECASE)


@dataclass(frozen=True)
class AngleTable:
    """The rows of a table: angles in degrees, and file names where it has them."""

    path: Path
    angles: tuple[float, ...]
    names: tuple[str, ...] = ()

    def for_files(self, files: Sequence[Path]) -> tuple[float | None, ...]:
        """The angle of each file by its name, with or without the suffix; None where it is not listed."""
        by_name = dict(zip(self.names, self.angles, strict=True))
        by_stem = {Path(name).stem if Path(name).suffix == files[0].suffix else name: a for name, a in by_name.items()}
        return tuple(by_name.get(file.name, by_stem.get(file.stem)) for file in files)


def is_angle_name(path: Path) -> bool:
    """Whether the name alone says that the file holds angles."""
    return path.suffix.lower() in {'.rawtlt', '.tlt'} or _ANGLE_WORD.search(path.stem) is not None


def read_table(path: Path) -> AngleTable | None:
    """Read a table of angles; None when the file is something else."""
    try:
        if path.stat().st_size > _LARGEST:
            return None
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError):
        return None
    lines = [line for line in text.splitlines() if line.strip() and not _COMMENT.match(line)]
    rows = [_cells(line) for line in lines]
    heading: list[str] = []
    if rows and not any(_number(cell) is not None for cell in rows[0]):
        heading, rows = rows[0], rows[1:]
    if len(rows) < 2 or len({len(row) for row in rows}) != 1:
        return None
    return _from_rows(path, rows, heading if len(heading) == len(rows[0]) else [])


def _from_rows(path: Path, rows: list[list[str]], heading: list[str]) -> AngleTable | None:
    columns = [[_number(cell) for cell in column] for column in zip(*rows, strict=True)]
    numeric = [i for i, column in enumerate(columns) if None not in column]
    named = [i for i, title in enumerate(heading) if i in numeric and _ANGLE_WORD.search(title)]
    if not numeric or len(columns) - len(numeric) > _MOST_TEXTS:
        return None
    # Without a heading a leading 0, 1, 2, ... counts the rows; it is no angle.
    candidates = named or [i for i in numeric if not (len(numeric) > 1 and _counts_rows(columns[i]))] or numeric
    angles = tuple(value for value in columns[candidates[0]] if value is not None)
    if max(map(abs, angles)) > 180:
        return None
    texts = [i for i in range(len(columns)) if i not in numeric]
    names = tuple(row[texts[0]].strip('"\'') for row in rows) if texts else ()
    return AngleTable(path, angles, tuple(Path(name.replace('\\', '/')).name for name in names))


def _cells(line: str) -> list[str]:
    line = line.split('#')[0].strip()
    for separator in (';', '\t', ','):
        if separator in line:
            return [cell.strip() for cell in line.split(separator) if cell.strip()]
    return line.split()


def _number(cell: str) -> float | None:
    text = cell.replace('\N{MINUS SIGN}', '-').strip('"\'')
    text = re.sub(r'\s*(deg|degrees|\N{DEGREE SIGN})$', '', text, flags=re.IGNORECASE)
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value and abs(value) != float('inf') else None


def _counts_rows(column: Sequence[float | None]) -> bool:
    first = column[0]
    return first in (0, 1) and list(column) == [first + i for i in range(len(column))]
