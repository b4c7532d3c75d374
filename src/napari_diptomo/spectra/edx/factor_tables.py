"""The user's own table of k-factors, zeta-factors or cross sections.

A table holds a line family, or a line, and its factor, as text or JSON:

    Ge_K, 1.32              {"Ge_K": 1.32,
    Sb_La, 2.10              "Sb_La": 2.10}

In a text file element and line may stand in columns of their own (``Ge, K, 1.32``), and an absolute error behind the
factor. Columns with other numbers, such as the energies of the lines, need a heading; energies are known without one.
Lines that begin with # are comments; those of the form ``# name: value`` are the table's origin, and what stands behind
``# quantity:`` or in the heading says whether these are k-factors, zeta-factors or cross sections, and in which unit. A
factor is of what its name says: of all K lines (``Ge_K``), or of the alpha line alone (``Ge_Ka``), as eXSpy and vendors
have it. k-factors for atomic fractions are multiplied by the atomic weight.

Formulas: table of k-factors of the user (`read_factors`); factor of a family from that of a line (`of_family`).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_diptomo.series import InputError
from napari_diptomo.series.reading.inspection import check_is_file
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.text_files import decoded
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights
from napari_diptomo.spectra.edx.lines import line_share, split_name, table_family

_GREEK_ALPHA = re.compile('[KLM]\N{GREEK SMALL LETTER ALPHA}')
_DECIMAL_COMMA = re.compile(r'[+-]?\d+,\d+')
_SIGMA = '\N{GREEK SMALL LETTER SIGMA}'
#: Headings of columns: names, the factor, its error, and other numbers.
_NAME = re.compile(r'element|line|linie|famil|shell|symbol|name|raie', re.IGNORECASE)
_FACTOR = re.compile(
    rf'fac|fakt|zeta|\N{{GREEK SMALL LETTER ZETA}}|cross|barn|^\s*k\b|\bk[_-]|{_SIGMA}|value|wert', re.IGNORECASE
)
_ERROR = re.compile(r'err|\bsd\b|std|deviat|uncert|fehler|\N{PLUS-MINUS SIGN}|\+-', re.IGNORECASE)
_OTHER = re.compile(r'energ|\bk?ev\b|^\s*z\s*$|number|weight|mass', re.IGNORECASE)
_SENSITIVITY = re.compile(r'sensiti|empfindlich', re.IGNORECASE)
_ATOMIC = re.compile(
    r'\bat\.?\s*%|atom(ic)?[\s-]*(%|percent|fraction|ratio|conc)|\batomic k|\bk[\w -]*\(at', re.IGNORECASE
)
#: Units of zeta-factors and cross sections, and what they are in kg/m^2 and barn.
_UNITS = {
    'zeta-factors': ((re.compile(r'\bg\s*/?\s*cm', re.IGNORECASE), 10.0),),
    'cross sections': (
        (re.compile(r'\bnm'), 1e10),
        (re.compile(r'\bcm'), 1e24),
        (re.compile(r'\bm\s*(\^?2|\N{SUPERSCRIPT TWO})'), 1e28),
    ),
}
#: An energy of a line in a table agrees with that of ours within this share.
_SAME_ENERGY = 0.02
#: No factor is measured as badly as this.
_LARGEST_ERROR = 1.0


@dataclass(frozen=True)
class TableFactor:
    """A row of a user's table.

    Attributes
    ----------
    name : str
        The family or line that the factor is of, e.g. ``'Ge_K'`` or ``'Ge_Ka'``.
    family, line : str
        As `lines.split_name` returns them; the line is empty for the whole family.
    value : float
        The factor.
    error : float
        Relative; 0 where the table gives none.
    """

    name: str
    family: str
    line: str
    value: float
    error: float = 0.0


@dataclass(frozen=True, eq=False)
class FactorTable(Mapping[str, float]):
    """Factors of whole line families by name, and what the table says of them.

    As a mapping it holds what applies to counts of whole families: the factor of a line is converted by the line's share
    of its family (`of_family`), as the tables have it.

    Attributes
    ----------
    rows : mapping of str to TableFactor
        By family.
    quantity : {'k-factors', 'zeta-factors', 'cross sections', ''}
        Empty where the table does not say.
    origin : mapping of str to str
        Its comments of the form ``# beam energy, keV: 200``, by name.
    converted : str
        A sentence on what the numbers of the file were multiplied by; empty where they are as written.
    """

    rows: Mapping[str, TableFactor]
    quantity: str = ''
    origin: Mapping[str, str] = field(default_factory=dict)
    converted: str = ''

    def __getitem__(self, family: str) -> float:
        row = self.rows[family]
        return of_family(row.value, line_share(family, row.line) if row.line else 1.0, self.quantity)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def of_family(value: float, share: float, quantity: str = '') -> float:
    """The factor of a whole family from that of one of its lines.

    Mass is factor times counts, so k I_line = (k share) I_family; a cross section counts photons per atom, so that of the
    family is larger.

    Parameters
    ----------
    value : float
        Factor of the line.
    share : float
        Of the line in the photons of the family.
    quantity : str
        ``'cross sections'``, else a k- or zeta-factor.

    Examples
    --------
    >>> of_family(2.0, 0.8), of_family(2.0, 0.8, 'cross sections')
    (1.6, 2.5)
    """
    return value / share if quantity == 'cross sections' else value * share


def chosen_factors(table: Mapping[str, float], families: Sequence[str]) -> tuple[float, ...]:
    """The factors of a user's table in the order of ``families``.

    Parameters
    ----------
    table : mapping of str to float
        Factor by line family, for example ``{'Ge_K': 1.32}``; see `read_factors`.
    families : sequence of str
        Names.

    Raises
    ------
    InputError
        One is missing.
    """
    for family in families:
        if family not in table:
            raise InputError(
                f'The table of factors has none for {family}, only for {", ".join(sorted(table)) or "nothing"}; '
                'add it, or map another line family.'
            )
    return tuple(float(table[family]) for family in families)


def read_factors(path: str | Path) -> FactorTable:
    """The factors of a user's table.

    Parameters
    ----------
    path : path
        A ``.json`` file, or text with commas, semicolons, tabs or blanks.

    Returns
    -------
    FactorTable
        By line family, for example ``{'Ge_K': 1.32}``.

    Raises
    ------
    InputError
        No such file, or a line of it is no factor.
    """
    path = Path(path)
    if path.exists():
        check_is_file(path)
    try:
        text = decoded(path.read_bytes(), _GREEK_ALPHA)
    except OSError:
        text = None
    if text is None:
        raise InputError(f'The table of factors {path} cannot be read as text; check its path.')
    if path.suffix.lower() == '.json':
        rows, origin = _json_rows(text, path), {}
    else:
        with reading(path, 'write one line family a line, e.g. Ge_K, 1.32'):
            rows, origin = _text_rows(text), _origin(text)
    title, written = _written(rows)
    _check_decimals(path, text, title, written)
    said = ' '.join([origin.get('quantity', ''), *title])
    if _SENSITIVITY.search(said):
        raise InputError(f'{path.name} holds sensitivities, the inverse of k-factors; give k-factors.')
    quantity = _quantity(origin.get('quantity', '')) or _quantity(' '.join(title))
    found: dict[str, TableFactor] = {}
    for one in written:
        row = _row(one, path)
        if row.family in found:
            raise InputError(f'{path.name} gives two factors for {row.family}; keep one.')
        found[row.family] = row
    if not found:
        raise InputError(f'{path.name} holds no factors; write one line family a line, e.g. Ge_K, 1.32.')
    about = ' '.join([said, *(comment for comment in _comments(text) if 'factor' in comment.casefold())])
    return _in_our_units(FactorTable(found, quantity, origin), path, about)


@dataclass(frozen=True)
class _Written:
    """A row as it is written: its name, its numbers (factor and error, of which the first may be missing), all cells."""

    name: str
    numbers: tuple[str, ...]
    cells: tuple[str, ...]
    percent: bool = False  # the error is one of the factor in percent


def _written(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[_Written]]:
    """The heading, empty where there is none, and the rows."""
    if not rows:
        return [], []
    first = rows[0]
    heading = not _in_turn(first).numbers and split_name('_'.join(first)) is None
    title = list(first) if heading else []
    places = _places(title)
    body = [_by_place(row, places) if places and len(row) == len(title) else _in_turn(row) for row in rows[heading:]]
    energies = [_first_is_energy(one) for one in body]
    if body and all(energies):
        body = [replace(one, numbers=one.numbers[1:]) for one in body]
    return title, body


@dataclass(frozen=True)
class _Places:
    """Which columns are what."""

    names: tuple[int, ...]
    factor: int
    error: int | None
    percent: bool


def _places(title: Sequence[str]) -> _Places | None:
    """The columns by their headings; None where these do not say."""
    error = [i for i, words in enumerate(title) if _ERROR.search(words)]
    rest = [i for i in range(len(title)) if i not in error and not _is_other(title[i])]
    names = [i for i in rest if _NAME.search(title[i]) and not (_FACTOR.search(title[i]) and i > 0)]
    factors = [i for i in rest if i not in names]
    factors = [i for i in factors if _FACTOR.search(title[i])] or factors
    if len(factors) == 2 and title[factors[1]].strip().casefold() in (_SIGMA, 'sigma'):
        error, factors = [factors[1]], factors[:1]
    if not names or len(factors) != 1:
        return None
    percent = bool(error) and '%' in title[error[0]]
    return _Places(tuple(names), factors[0], error[0] if error else None, percent)


def _is_other(words: str) -> bool:
    """Whether a column holds other numbers than factors, by its heading."""
    return _OTHER.search(words) is not None and not _FACTOR.search(re.sub(r'\bk?ev\b', '', words, flags=re.IGNORECASE))


def _by_place(row: Sequence[str], places: _Places) -> _Written:
    numbers = [row[places.factor]] + ([row[places.error]] if places.error is not None else [])
    return _Written('_'.join(row[i] for i in places.names), tuple(numbers), tuple(row), places.percent)


def _in_turn(row: Sequence[str]) -> _Written:
    """Cells up to the first number make the name; the numbers behind it are factor and error."""
    first = next((i for i, cell in enumerate(row) if i and _value_and_error(cell)), len(row))
    numbers = [cell for cell in row[first:] if _value_and_error(cell)]
    return _Written('_'.join(row[:first]), tuple(numbers), tuple(row))


def _first_is_energy(one: _Written) -> bool:
    """Whether the first of several numbers is the energy of the line, in keV or eV."""
    names = split_name(one.name)
    if names is None or len(one.numbers) < 2 or names[0].partition('_')[0] not in atomic_weights():
        return False
    value = _number(one.numbers[0]) or 0.0
    try:
        family = table_family(names[0])
    except InputError:
        return False
    energies = [
        e for e, line in zip(family.energies, family.lines, strict=False) if not names[1] or line[:2] == names[1][:2]
    ]
    return any(abs(value / unit / energy - 1) < _SAME_ENERGY for energy in energies for unit in (1.0, 1000.0))


def _row(one: _Written, path: Path) -> TableFactor:
    names = split_name(one.name)
    numbers = [number for cell in one.numbers[:2] for number in _value_and_error(cell)]
    if names is None or not numbers or not 0 < numbers[0] < float('inf'):
        shown = f'{"_".join(one.cells[:-1])[:40]}, {one.cells[-1][:40]}'
        raise InputError(f'"{shown}" in {path.name} is not a line family with a positive factor; write Ge_K, 1.32.')
    family, line = names
    if family.partition('_')[0] not in atomic_weights():
        raise InputError(f'{path.name} names {one.name[:40]}, and there is no such element; write Ge_K, 1.32.')
    if line:
        try:
            line_share(family, line)
        except InputError as reason:
            raise InputError(f'{path.name} cannot be used as it is: {reason}') from None
    error = numbers[1] / numbers[0] if len(numbers) > 1 else 0.0
    if one.percent or (len(one.numbers) > 1 and '%' in one.numbers[1]):
        error = numbers[1] / 100 if len(numbers) > 1 else 0.0
    if not 0 <= error < _LARGEST_ERROR:
        raise InputError(
            f'The error of {one.name} in {path.name} is {numbers[1]:g}, of a factor of {numbers[0]:g}; it stands behind the '
            'factor, in its unit.'
        )
    return TableFactor(f'{family}{line[1:]}', family, line, numbers[0], error)


def _in_our_units(table: FactorTable, path: Path, about: str) -> FactorTable:
    """k-factors by mass, zeta-factors in kg/m^2, cross sections in barn."""
    if table.quantity in ('', 'k-factors') and _ATOMIC.search(about):
        weights = atomic_weights()
        rows = {
            name: replace(row, value=row.value * weights[name.partition('_')[0]]) for name, row in table.rows.items()
        }
        said = f'{path.name} holds k-factors for atomic fractions: they were multiplied by the atomic weights.'
        return replace(table, rows=rows, quantity='k-factors', converted=said)
    for unit, factor in _UNITS.get(table.quantity, ()):
        found = unit.search(about)
        if found and 'barn' not in about.casefold():
            rows = {name: replace(row, value=row.value * factor) for name, row in table.rows.items()}
            ours = 'kg/m^2' if table.quantity == 'zeta-factors' else 'barn'
            said = f'The {table.quantity} of {path.name} were multiplied by {factor:g}, to be in {ours}.'
            return replace(table, rows=rows, converted=said)
    return table


def _json_rows(text: str, path: Path) -> list[list[str]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f'{path.name} is not a JSON table of factors; write {{"Ge_K": 1.32}}.')
    return [[name, *numbers] for name, numbers in _named_numbers(values)]


def _named_numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """``{"Ge_K": 1.32}``, ``{"Ge_K": [1.32, 0.02]}`` or ``{"Ge": {"K": 1.32}}``."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f'{name}_{line}', [str(one)]) for line, one in value.items())
        else:
            yield str(name), [str(one) for one in (value if isinstance(value, list) else [value])]


def _text_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith('#')]
    separator = next((s for s in ('\t', ';', ',') if lines and s in lines[-1]), ' ')
    if separator == ',' and all(_is_blank_separated(line) for line in lines[1:] or lines):
        separator = ' '
    if separator == ' ':
        rows = [line.split() for line in lines]
    else:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    return [[cell for cell in row if cell] for row in rows if any(row)]


def _is_blank_separated(line: str) -> bool:
    """Whether the one comma of a line is in its number: ``Ge_K 1,32``."""
    return line.count(',') == 1 and re.search(r'\s\d+,\d+\s*$', line) is not None


def _check_decimals(path: Path, text: str, title: Sequence[str], rows: Sequence[_Written]) -> None:
    """Commas that may be decimal as well as between the columns: ``Ge_K,1,3`` is 1.3, or 1 with an error of 3.

    Raises
    ------
    InputError
    """
    numbers = [one.numbers for one in rows]
    doubtful = rows and all(len(pair) == 2 and all(re.fullmatch(r'\d+', cell) for cell in pair) for pair in numbers)
    together = len(re.findall(r'\d,\d+[ \t]*$', text, re.MULTILINE)) >= len(rows)
    if doubtful and together and not any(_ERROR.search(words) for words in title) and not re.search('[;\t"{]', text):
        raise InputError(
            f'In {path.name} commas may be decimal or stand between columns ({",".join(rows[0].cells)[:40]}); write decimal '
            'points, or semicolons between the columns.'
        )


def _comments(text: str) -> list[str]:
    return [line.strip().lstrip('#').strip() for line in text.splitlines() if line.lstrip().startswith('#')]


def _origin(text: str) -> dict[str, str]:
    """Comments of the form ``# name: value``."""
    pairs = (comment.partition(':') for comment in _comments(text))
    return {name.strip().casefold(): value.strip() for name, colon, value in pairs if colon and value.strip()}


def _quantity(text: str) -> str:
    text = text.casefold()
    for words, quantity in (
        (('zeta', '\N{GREEK SMALL LETTER ZETA}'), 'zeta-factors'),
        (('cross', 'barn'), 'cross sections'),
    ):
        if any(word in text for word in words):
            return quantity
    return 'k-factors' if re.search(r'k[- _]fa[ck]', text) else ''


def _value_and_error(cell: str) -> list[float]:
    """The number of a cell, and the one behind a plus-minus sign; nothing where it is no number."""
    parts = re.split(r'\N{PLUS-MINUS SIGN}|\+/?-', cell.strip().removeprefix('\N{PLUS-MINUS SIGN}'))
    found = [_number(part) for part in parts]
    return [] if None in found else [number for number in found if number is not None]


def _number(text: str) -> float | None:
    text = text.strip().removesuffix('%').strip()
    try:
        return float(text.replace(',', '.') if _DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        return None
