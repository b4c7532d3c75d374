"""Tilt angles from text tables (.rawtlt, .tlt, .csv, .tsv, .txt) and SerialEM's .mdoc.

A row is one angle, a number of the image and an angle, or a file name and an
angle; separators are semicolons, tabs, commas or blanks, and a comma is a
decimal point where it cannot be a separator. Comments and headings are passed
over; a unit in them (deg, rad, mrad) counts. Prose is distinguished from a
table by its rows: a text whose lines are not rows is no table.
"""

from __future__ import annotations

import csv
import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.files import check_is_file
from napari_diptomo.series.reading.angles.mdoc import parse_mdoc
from napari_diptomo.series.reading.current_file import reads
from napari_diptomo.series.text_files import decoded, has_decimal_comma, number_in

SUFFIXES = {'.rawtlt', '.tlt', '.csv', '.tsv', '.txt', '.mdoc'}
#: Formats that hold tilt angles and nothing else.
_ALWAYS_ANGLES = {'.rawtlt', '.tlt', '.mdoc'}
_LARGEST = 16 * 2**20  # bytes; no table of angles is longer, the metadata of frames neither
_MOST_TEXTS = 3  # columns of text in a table: a file name, remarks; sentences have more words
_MOST_HEADINGS = 12
_FULL_TURN = 360.0
#: Two columns of angles in one table closer than this, degrees, are nominal and measured.
_SAME = 1.0
_COMMENT = re.compile(r'\s*(#|%|//|;|!)')
_ANGLE_WORD = re.compile(
    r'angle|tilt|alpha|theta|winkel|kipp|hoek|vinkel|kulma|unghi|angolo|[a\u00e1\u00e2]ngulo|inclin|k\u0105t|\u00fahel'
    r'|\N{GREEK SMALL LETTER ALPHA}|\N{GREEK SMALL LETTER THETA}|\u03b3\u03c9\u03bd|\u0443\u0433\u043e\u043b|\u89d2|\u50be|\u503e|\uac01\ub3c4'
    r'|^\s*(stage[ _])?a\s*([\[(/].*)?$',
    re.IGNORECASE,
)
#: Angles that are none of the tilt.
_OTHER_ANGLE = re.compile(r'beta|axis|rotation|azimut|tilt[ _]?y', re.IGNORECASE)
#: What else is noted for each image, as a part of a word or as a whole one.
_OTHER_QUANTITY = re.compile(
    r'dos[ei]|expos|dwell|temp|shift|drift|focus|count|intens|compos|conc|quant|thick|current|volt|energ|magnif|score|'
    r'weight|press|posit|zeit|(?<![^\W_])(time|date|rate|error|std|frames?|mass|at|wt|snr|[xyz])(?![^\W_])',
    re.IGNORECASE,
)
_IMAGE_WORD = re.compile(
    r'\s*(image|frame|section|slice|projection|view|z|zvalue|index|no\.?|nr\.?|n|#|i)\b', re.IGNORECASE
)
_FILE_WORD = re.compile(r'file|name|datei|fichier|path', re.IGNORECASE)
_MILLIRADIANS = re.compile(r'(?<![a-z])m(illi)?rad(ian)?s?(?![a-z])', re.IGNORECASE)
_RADIANS = re.compile(r'(?<![a-z])rad(ian[a-z]{0,2})?s?(?![a-z])|bogenma\u00df', re.IGNORECASE)
#: Degrees of a gon.
_GON, _GONS = 0.9, re.compile(r'(?<![a-z])gons?(?![a-z])', re.IGNORECASE)
_DEGREES = re.compile(
    r'(?<![a-z])(deg(ree)?s?|grad)(?![a-z])|\N{DEGREE SIGN}(?!\s?[CF]\b)|\N{MASCULINE ORDINAL INDICATOR}', re.IGNORECASE
)
_UNIT_BEHIND = re.compile(r'(?<=\d)\s*(deg(?:ree)?s?|\N{DEGREE SIGN}|m?rad)(?=$|[\s;,"\'])', re.IGNORECASE)
#: Dashes that are written for a minus sign, and a sign that stands apart from its number.
_DASH = re.compile('^[\u2010-\u2013\N{MINUS SIGN}\ufe63\uff0d]')
_SIGN_APART = re.compile(r'(^|[;,\t])[ ]*([+-])[ ]+(?=\d)')
_DATE = re.compile(r'\d+([-./:])\d+\1\d+|\d:\d')
#: All angles in one line, as Python and Matlab write them.
_LISTED = re.compile(r'^(?:[^\W\d]\w*\s*=)?\s*[\[(]([^\[\]()]*)[\])];?\s*$')
#: All that is in the rows below the last one of a spreadsheet.
_EMPTY = ' \t\r\n;,'
_SUFFIX = re.compile(r'\.[A-Za-z][A-Za-z0-9]{0,6}$')


@dataclass(frozen=True)
class AngleTable:
    """The rows of a table.

    Attributes
    ----------
    path : Path
    angles : tuple of float
        Degrees, row by row; where the rows number the images in the order of these.
    names : tuple of str
        File names where it has them, with the folders that are before them.
    named : bool
        Whether a heading or the format says that these are angles.
    order : {'rows', 'images', 'unknown'}
        Whether row follows row as image follows image as far as is known, surely, or not at all.
    other : str
        What says that its numbers are no angles: their heading, or the name of the file. Empty where nothing does.
    lacking : tuple of str
        Rows that have a name and no angle.
    """

    path: Path
    angles: tuple[float, ...]
    names: tuple[str, ...] = ()
    named: bool = False
    order: str = 'rows'
    other: str = ''
    lacking: tuple[str, ...] = ()

    def for_files(self, files: Sequence[Path]) -> tuple[float | None, ...]:
        """The angle of each file by its name, with or without folder and suffix; None where it is not listed.

        Raises
        ------
        InputError
            Rows of one name with different angles.
        """
        found = self._for_files(files, self.names)
        if all(angle is None for angle in found) and any(' ' in name for name in self.names):
            # Before the name, which may hold blanks, stood a date or a remark.
            found = self._for_files(files, [name.split()[-1] if name.split() else '' for name in self.names])
        return found

    def _for_files(self, files: Sequence[Path], names: Sequence[str]) -> tuple[float | None, ...]:
        known: dict[tuple[str, ...], set[float]] = {}
        for name, angle in zip(names, self.angles, strict=True):
            for key in _keys(name):
                known.setdefault(key, set()).add(angle)
        return tuple(self._angle_of(file, known) for file in files)

    def _angle_of(self, file: Path, known: dict[tuple[str, ...], set[float]]) -> float | None:
        for key in _keys(str(file)):
            angles = known.get(key)
            if angles is None:
                continue
            if len(angles) > 1:
                low, high = min(angles), max(angles)
                raise InputError(
                    f'The table {self.path.name} has the angles {low:g}° and {high:g}° for {file.name}; '
                    'correct its lines.'
                )
            return next(iter(angles))
        return None


@dataclass(frozen=True)
class Problem:
    """Why a file is no table of angles, in words that follow its name.

    Attributes
    ----------
    words : str
    named : bool
        Whether its headings say that it holds angles all the same.
    """

    words: str
    named: bool = False


def is_angle_name(path: Path) -> bool:
    """Whether the name alone says that the file holds angles."""
    return path.suffix.lower() in _ALWAYS_ANGLES or _ANGLE_WORD.search(path.stem) is not None


def read_table(path: Path) -> AngleTable | None:
    """Read a table of angles; None when the file is something else."""
    found = table_or_problem(path)
    return found if isinstance(found, AngleTable) else None


def table_or_problem(path: Path) -> AngleTable | Problem | None:
    """Read a table of angles; in words why it is none, or None where it is a text about something else."""
    found = _read(path)
    return Problem(found) if isinstance(found, str) else found


def _read(path: Path) -> AngleTable | Problem | str | None:
    try:
        check_is_file(path)
        reads(path)
        if path.stat().st_size > _LARGEST:
            return f'is larger than {_LARGEST / 2**20:.0f} MiB'
        text = decoded(path.read_bytes(), _ANGLE_WORD)
    except InputError:
        return 'is no file'
    except OSError as error:
        return f'cannot be read ({error.strerror})'
    if text is None:
        return 'is no text'
    if path.suffix.lower() == '.mdoc':
        found = parse_mdoc(text)
        if isinstance(found, str):
            return found
        return _checked(AngleTable(path, found.angles, found.names, True, 'images' if found.numbered else 'rows'))
    return _from_text(path, text)


def _from_text(path: Path, text: str) -> AngleTable | Problem | str | None:
    lines = [line.strip('\ufeff') for line in text.splitlines() if line.strip(_EMPTY)]
    if 2 * sum(line.startswith(';') for line in lines) > len(lines):
        # The first column of a spreadsheet was left empty.
        lines = [line.removeprefix(';') for line in lines]
    comments = list(itertools.takewhile(_COMMENT.match, lines))
    lines = [re.split(r'\s#', line)[0] for line in lines if not _COMMENT.match(line)]
    if not lines:
        return 'has no rows'
    if _is_prose(lines):
        return None
    lines = [_LISTED.sub(r'\1', lines[0])] if len(lines) == 1 else lines
    rows = _rows([_UNIT_BEHIND.sub(r'\1', _SIGN_APART.sub(r'\1\2', line)) for line in lines])
    heading: list[list[str]] = []
    while len(rows) > 1 and len(heading) < _MOST_HEADINGS and _is_heading(rows):
        heading.append(rows.pop(0))
    nearly = next((text for text in map(' '.join, heading) if _is_nearly_number(text)), None)
    if nearly is not None:
        return f'has no number in the row "{_short(nearly)}"'
    if len(rows) == 1 and len(rows[0]) > 1 and all(_number(cell) is not None for cell in rows[0]):
        rows = [[cell] for cell in rows[0]]
        lines = [*lines[:-1], *(cell for (cell,) in rows)]
    first = len(lines) - len(rows) + 1
    widths = [len(row) for row in rows]
    if len(set(widths)) != 1 or sum(_number(cell) is None for cell in rows[0]) > 1:
        rows = _with_blanks_in_names(lines[first - 1 :]) or rows
        widths = [len(row) for row in rows]
    typical = max(set(widths), key=widths.count)
    if not heading and comments and typical > 1:
        heading = _commented_heading(comments[-1], lines, typical)
    if not heading and _decimals_may_be_apart(lines, rows):
        return f'has commas that may be decimal or stand between columns ("{_short(lines[0])}")'
    if len(rows) > 1 and typical > 1:
        rows = [_of_width(row, typical) for row in rows]
        heading = [row[:typical] for row in heading]
        widths = [len(row) for row in rows]
    if set(widths) != {typical}:
        odd = next(i for i, width in enumerate(widths) if width != typical)
        return f'has {widths[odd]} cells in the row "{_short(lines[first - 1 + odd])}" where others have {typical}'
    titles = [' '.join(row[i] for row in heading if len(row) == typical) for i in range(typical)]
    loose = ' '.join([*comments, *(' '.join(row) for row in heading if len(row) != typical or typical == 1)])
    found = _from_rows(path, rows, titles, loose)
    return Problem(found, any(map(_ANGLE_WORD.search, titles))) if isinstance(found, str) else found


def _commented_heading(comment: str, lines: Sequence[str], width: int) -> list[list[str]]:
    """The last comment above the rows, where it has a word for each of their columns; else none."""
    row = _rows([_COMMENT.sub('', comment), *lines])[0]
    return [row] if len(row) == width and not any(_number(cell) is not None for cell in row) else []


def _of_width(row: list[str], width: int) -> list[str]:
    """A row without a remark behind the columns that most rows fill, or with the cells that it leaves empty."""
    if len(row) > width and all(_number(cell) is None for cell in row[width:]):
        return row[:width]
    named = len(row) < width and _number(row[0]) is None
    return row + [''] * (width - len(row)) if named else row


def _is_prose(lines: Sequence[str]) -> bool:
    """Whether most lines are sentences, or none holds a number."""
    wordy = sum(
        len(re.findall(r'[^\W\d_]{2,}', line)) >= 4 and not any(map(_is_number, re.split('[;\t,]', line)))
        for line in lines
    )
    numbers = sum(re.search(r'\d', line) is not None for line in lines)
    return 2 * wordy > len(lines) or 4 * numbers < len(lines)


def _is_nearly_number(text: str) -> bool:
    """Whether a row above the numbers has digits, no letters, and is no date: a number in brackets or with a strange sign."""
    return re.search(r'\d', text) is not None and not re.search(r'[^\W\d_]', text) and not _DATE.search(text)


def _is_number(cell: str) -> bool:
    return _number(cell.strip()) is not None


def _rows(lines: list[str]) -> list[list[str]]:
    for separator in (';', '\t'):
        if 2 * sum(separator in line for line in lines) > len(lines):
            return _separated(lines, separator)
    if 2 * sum(',' in line for line in lines) > len(lines) and not _commas_are_decimal(lines):
        return _with_decimals_joined(_separated(lines, ','))
    quoted = any('"' in line for line in lines)
    return _separated(lines, ' ') if quoted else [line.split() for line in lines]


def _separated(lines: list[str], separator: str) -> list[list[str]]:
    try:
        rows = [
            [cell.strip() for cell in next(csv.reader([line.strip(' ')], delimiter=separator, skipinitialspace=True))]
            for line in lines
        ]
    except csv.Error:
        return [line.split(separator) for line in lines]
    width = max(len(row) for row in rows)
    empty = {i for i in range(width) if not any(i < len(row) and row[i] for row in rows)}
    if empty:
        rows = [[cell for i, cell in enumerate(row) if i not in empty] for row in rows]
    # A spreadsheet ends short rows, most often headings, with empty cells, or without.
    return [row[: max((i for i, cell in enumerate(row) if cell), default=-1) + 1] for row in rows]


def _with_decimals_joined(rows: list[list[str]]) -> list[list[str]]:
    """Numbers with a decimal comma, which the commas between the columns have cut in two: rows wider by one than the heading."""
    heading = rows[0]
    angle = next((i for i, title in enumerate(heading) if _ANGLE_WORD.search(title)), len(heading) - 1)
    body = rows[1:]
    cut = body and all(
        len(row) == len(heading) + 1
        and re.fullmatch(r'[+-]?\d+', _bare(row[angle]))
        and re.fullmatch(r'\d+', row[angle + 1])
        for row in body
    )
    if not cut or any(_number(cell) is not None for cell in heading):
        return rows
    return [heading, *([*row[:angle], f'{row[angle]}.{row[angle + 1]}', *row[angle + 2 :]] for row in body)]


def _decimals_may_be_apart(lines: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether whole numbers of either sign have other digits behind a comma that no heading makes a column of its own."""
    if len(rows) < 2 or any(re.search('[;\t" ]', line.strip()) for line in lines) or len(set(map(len, rows))) != 1:
        return False
    columns = list(zip(*rows, strict=True))
    signed = [i for i, column in enumerate(columns) if all(re.fullmatch(r'-?\d+', _bare(cell)) for cell in column)]
    signed = [i for i in signed if any(_bare(cell).startswith('-') for cell in columns[i])]
    behind = [columns[i + 1] for i in signed if i and i + 1 < len(columns)]
    return any(len(set(column)) > 1 and all(re.fullmatch(r'\d{1,3}', cell) for cell in column) for column in behind)


def _commas_are_decimal(lines: list[str]) -> bool:
    """Whether the commas stand within numbers: beside other columns, or as the only ones of their rows."""
    rows = [line.split() for line in lines]
    while len(rows) > 1 and not any(_number(cell) is not None for cell in rows[0]):
        titles = [title.strip('([ ])') for title in ' '.join(rows[0]).split(',')]
        # "file,angle" are two columns; "tilt angle, degrees" is one.
        if len(titles) > 1 and not any(unit.fullmatch(titles[-1]) for unit in (_DEGREES, _RADIANS, _MILLIRADIANS)):
            return False
        rows = rows[1:]
    cells = [cell for row in rows for cell in row if ',' in cell]
    if not all(has_decimal_comma(_bare(cell)) for cell in cells):
        return False
    if all(len(row) > 1 for row in rows):
        return True
    before = [_number(cell.split(',')[0]) for cell in cells]
    return not (len(cells) == len(lines) and _counts_rows(before))


def _with_blanks_in_names(lines: list[str]) -> list[list[str]] | None:
    """File names with blanks before the angle."""
    if any(re.search('[;\t]', line) for line in lines):
        return None
    rows = [line.strip().rsplit(None, 1) for line in lines]
    fits = all(len(row) == 2 and _number(row[1]) is not None and _number(row[0]) is None for row in rows)
    return rows if fits else None


def _is_heading(rows: list[list[str]]) -> bool:
    first, others = rows[0], rows[1:]
    if not any(_number(cell) is not None for cell in first):
        # A row among rows of names alone is no heading.
        return any(_number(cell) is not None for row in others[:_MOST_HEADINGS] for cell in row)
    typical = {len(row) for row in others}
    worded = any(re.search(r'[^\W\d_]{2,}', cell) for cell in first)
    return worded and len(typical) == 1 and len(first) not in typical


def _from_rows(path: Path, rows: list[list[str]], titles: list[str], loose: str) -> AngleTable | str:
    cells = list(zip(*rows, strict=True))
    columns = [[_number(cell) for cell in column] for column in cells]
    numeric = [i for i, column in enumerate(columns) if sum(v is not None for v in column) * 2 > len(column)]
    if not numeric:
        return 'holds no column of numbers'
    titled = [i for i in numeric if _ANGLE_WORD.search(titles[i])]
    titled = [i for i in titled if not _OTHER_ANGLE.search(titles[i])] or titled
    if not titled and len(columns) - len(numeric) > _MOST_TEXTS:
        return 'has more words than numbers'
    index = [i for i in numeric if i not in titled and len(numeric) > 1 and _is_index(columns[i])]
    candidates = titled or [i for i in numeric if i not in index] or numeric
    candidates = [i for i in candidates if titled or not _OTHER_QUANTITY.search(titles[i])] or candidates
    # Of files that were not recorded, or left out, it may have names alone.
    filled = [any(columns[i][n] is not None for i in candidates) for n in range(len(rows))]
    if len(numeric) < len(columns) and not all(filled):
        found = _from_rows(path, list(itertools.compress(rows, filled)), titles, loose)
        lacking = tuple(_short(' '.join(row)) for row, has in zip(rows, filled, strict=True) if not has)
        return found if isinstance(found, str) else replace(found, lacking=lacking)
    for i in candidates:
        if None in columns[i]:
            return f'has no angle in the row "{_short(" ".join(rows[columns[i].index(None)]))}"'
    factors = {i: _to_degrees(titles[i], cells[i], loose) for i in candidates}
    if np.unique([*factors.values()]).tolist() == [1.0] and not _DEGREES.search(' '.join([*titles, loose])):
        factors = {i: _by_file_name(path, columns[i]) for i in candidates}
    angles = {i: np.array(columns[i], float) * factors[i] for i in candidates}
    steps = {i: resolution(np.array(columns[i], float)) * factors[i] for i in candidates}
    chosen = _the_angles(candidates, angles, steps, titles, bool(titled))
    if isinstance(chosen, str):
        return chosen
    values = angles[chosen]
    order, rank = _order_of_rows(columns, titles, index)
    texts = [i for i in range(len(columns)) if i not in numeric]
    names = _names(cells, titles, texts)
    if rank is not None:
        values = values[rank]
        names = tuple(names[i] for i in rank) if names else ()
    named = bool(titled) or path.suffix.lower() in _ALWAYS_ANGLES or _ANGLE_WORD.search(loose) is not None
    other = '' if titled else _other_quantity(path, titles[chosen])
    return _checked(AngleTable(path, tuple(values.tolist()), names, named and not other, order, other))


def _other_quantity(path: Path, title: str) -> str:
    """The heading or file name by which a column without a word for an angle holds something else, or nothing."""
    if re.search(r'[^\W\d_]', title) and (_OTHER_QUANTITY.search(title) or not is_angle_name(path)):
        return title
    return path.name if _OTHER_QUANTITY.search(path.stem) and not is_angle_name(path) else ''


def _checked(table: AngleTable) -> AngleTable | str:
    values = np.asarray(table.angles, float)
    if not np.isfinite(values).all() or np.abs(values).max() > _FULL_TURN:
        return f'has the angle {values[np.abs(values).argmax()]:g}°'
    return table


def _the_angles(
    candidates: list[int],
    angles: dict[int, np.ndarray],
    steps: dict[int, float],
    titles: Sequence[str],
    titled: bool,
) -> int | str:
    """Which of several columns; nominal and measured ones agree, and the one written in finer steps is taken."""
    if len(candidates) > 1 and not titled:
        # Exposures and doses repeat and have no sign.
        distinct = [i for i in candidates if len(set(angles[i])) == len(angles[i])] or candidates
        signed = [i for i in distinct if (angles[i] < 0).any()]
        if len(signed or distinct) > 1:
            return 'has several columns of numbers and no heading that says which are the angles'
        candidates = signed or distinct
    first = candidates[0]
    for other in candidates[1:]:
        if np.abs(angles[other] - angles[first]).max() > _SAME:
            both = f' ("{_short(titles[first])}" and "{_short(titles[other])}")' if titled else ''
            return f'has two columns of angles that differ{both}'
    return min(candidates, key=steps.__getitem__)


def resolution(values: np.ndarray) -> float:
    """The step that the values are rounded to: 40, 35.5, 30 have 0.5."""
    for step in (5.0, 1.0, 0.5, 0.1, 0.05, 0.01, 1e-3):
        if np.allclose(values / step, np.round(values / step), rtol=0, atol=1e-6 / step):
            return step
    return 1e-4


def _order_of_rows(
    columns: list[list[float | None]], titles: list[str], index: list[int]
) -> tuple[str, np.ndarray | None]:
    """How rows follow images, and their order where a column numbers the images otherwise."""
    for i in index:
        if _IMAGE_WORD.match(titles[i]):
            return 'images', np.argsort(np.array(columns[i], float))
    # A number without a word may be that of the image as well as that of the acquisition.
    counted = [_counts_rows(columns[i]) for i in index]
    return ('unknown' if index and not any(counted) else 'rows'), None


def _names(cells: list[tuple[str, ...]], titles: list[str], texts: list[int]) -> tuple[str, ...]:
    headed = [i for i in texts if _FILE_WORD.search(titles[i])]
    distinct = [i for i in headed or texts if len(set(cells[i])) > 1 or len(cells[i]) == 1]
    if not distinct:
        return ()
    # Beside file names stand times and remarks.
    chosen = max(distinct, key=lambda i: sum(_SUFFIX.search(cell.strip('"\'')) is not None for cell in cells[i]))
    return tuple(cell.strip('"\'') for cell in cells[chosen])


def _to_degrees(title: str, cells: Sequence[str], loose: str) -> float:
    for text in (title, cells[0], loose):
        if _MILLIRADIANS.search(text):
            return float(np.rad2deg(1e-3))
        if _RADIANS.search(text) and not _DEGREES.search(text):
            return float(np.rad2deg(1.0))
        if _GONS.search(text):
            return _GON
        if _DEGREES.search(text):
            break
    return 1.0


def _by_file_name(path: Path, column: Sequence[float | None]) -> float:
    """Degrees of a number whose unit the file does not say, by its name, where all can be radians."""
    largest = max(abs(value) for value in column if value is not None)
    return float(np.rad2deg(1.0)) if _RADIANS.search(path.stem) and largest <= np.pi else 1.0


def _bare(cell: str) -> str:
    """A cell without quotes and unit, with a plain minus sign."""
    plain = re.sub(r'\s*(deg(ree)?s?|\N{DEGREE SIGN}|m?rad)$', '', cell.strip('="\''), flags=re.IGNORECASE)
    return _DASH.sub('-', plain)


def _number(cell: str) -> float | None:
    return number_in(_bare(cell))


def _counts_rows(column: Sequence[float | None]) -> bool:
    return column[0] in (0, 1) and all(value == column[0] + i for i, value in enumerate(column))


def _is_index(column: Sequence[float | None]) -> bool:
    """Whether the numbers are 0 ... n-1 or 1 ... n, in any order."""
    numbers = sorted(value for value in column if value is not None)
    return len(numbers) == len(column) and _counts_rows(numbers)


def _keys(name: str) -> list[tuple[str, ...]]:
    """Names by which a file is known, the surest first: folder and name, name, name without suffix."""
    plain = re.sub('[\u2010-\u2013\N{MINUS SIGN}]', '-', unicodedata.normalize('NFC', name).casefold())
    parts = [part for part in re.split(r'[\\/]', plain) if part]
    if not parts:
        return []
    folder, last = parts[-2:-1], parts[-1]
    stem = _SUFFIX.sub('', last)
    # A name without a suffix of its own is that of a file with any.
    return list(dict.fromkeys([(*folder, last), (*folder, stem), (last,), (stem,)]))


def _short(text: str) -> str:
    shown = ' '.join(''.join(c if c.isprintable() else ' ' for c in text).split())
    return shown if len(shown) <= 40 else shown[:37] + '...'
