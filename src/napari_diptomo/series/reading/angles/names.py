"""Tilt angles from file names.

The numbers in the names that stay the same from file to file (sample, date,
magnification) are no angles. The one that varies is an angle where something
says so: a sign, a unit, a word. Written as ``-40``, ``+05deg``, ``m40``,
``p05``, ``neg40`` or ``tilt_40``, or, in steps of five degrees, alone. Numbers
without any of these are running numbers, whatever is missing among them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NUMBER = re.compile(
    r'(?P<sign>\+|-|\N{EN DASH}|\N{MINUS SIGN}|(?<![A-Za-z])(?:(?:neg|minus|pos|plus)[ _]?|[mnp]))?'
    r'(?P<digits>\d+(?:[.,]\d+)?)'
    r'(?P<unit>\s?_?deg|\s?_?grad(?![a-z])|\s?\u5ea6|\s?\N{DEGREE SIGN}(?!\s?[CF](?![A-Za-z])))?'
    # Temperatures, magnifications, lengths, times and the like.
    r'(?P<other>\s?\N{DEGREE SIGN}[CF]|([CKsxhe]|k?eV|[km]?V|m?bar|kx|[pn]A|[npu\N{MICRO SIGN}mc]?m|[mnu\N{MICRO SIGN}]s|min|px|pix|'
    r'frames?|fps)(?![A-Za-z]))?',
    re.IGNORECASE,
)
_HYPHENS = {'-', '\N{EN DASH}'}
_NEGATIVE = {*_HYPHENS, '\N{MINUS SIGN}', 'neg', 'minus', 'm', 'n'}
_SIGN_BEHIND = re.compile(
    r'(?<![\d.+\N{MINUS SIGN}-])(?P<number>\d+(?:[.,]\d+)?(?:\s?_?deg|\s?\N{DEGREE SIGN})?)'
    r'(?:[ _]?(?P<word>neg|minus|pos|plus)(?![A-Za-z]|[ _]?\d)|(?P<sign>[+-])$)',
    re.IGNORECASE,
)
_LETTERS = {'m', 'n', 'p'}
_TILT_WORD = re.compile(r'(tilt|angle|alpha|theta|winkel|kipp\w*|inclin\w*)[ _=-]*$', re.IGNORECASE)
#: A decimal point that may be in no file name: 40p5, and 40d5, but not stack3d5.
_POINT = re.compile(r'(\d)p(?=\d)|((?<![a-z0-9])[mnp]?\d{1,2})d(?=\d{1,2}(?!\d))', re.IGNORECASE)
_LARGEST = 90.0
#: Degrees by which one angle differs that stands twice in a name.
_SAME = 0.5
#: Where the unit is written too: of series counted from one end.
_LARGEST_MARKED = 180.0
#: Files called 0, 10, 20 are called by their angles; with smaller steps they may be numbered, and some deleted.
_ROUND_STEP = 5
#: Levels of folders whose names may be those of the tilts.
_DEEPEST = 3


@dataclass(frozen=True)
class _Field:
    value: float
    hyphen: bool  # a '-' that may be a separator as well as a sign
    after_hyphen: bool  # a '-' before the sign: that one can only be a separator
    marked: bool  # said to be an angle by its unit or its sign
    letter: str  # m, n or p in place of a sign
    worded: bool  # behind the word tilt, which a running number may be too
    alone: bool  # all there is of the name
    unit: bool  # in degrees
    other: bool  # in another unit: never an angle


def angles_from_names(files: Sequence[Path]) -> tuple[float, ...] | None:
    """The angle in each name, None when no one field of the names can be it."""
    names = [file.stem for file in files]
    above = list(files)
    for _ in range(_DEEPEST):
        if len(set(names)) == len(names):
            break
        # Files called alike are distinguished by the nearest folders that are not.
        above = [path.parent for path in above]
        names = [path.name for path in above]
    rows = [_fields(name) for name in names]
    if len(rows) < 2 or len({len(row) for row in rows}) != 1:
        return None
    candidates = []
    for column in zip(*rows, strict=True):
        values = _signed(column)
        largest = _LARGEST_MARKED if all(field.unit for field in column) else _LARGEST
        varies = len(set(values)) > 1 and max(map(abs, values)) <= largest
        if varies and _are_angles(column, values):
            candidates.append((column, values))
    # Beside the tilt stand positions and the other tilt of the stage.
    worded = [candidate for candidate in candidates if all(field.worded for field in candidate[0])]
    found = [values for _, values in (worded or candidates)]
    # One angle may stand there twice, as asked for and as reached.
    alike = all(abs(a - b) <= _SAME for other in found for a, b in zip(found[0], other, strict=True))
    return max(found, key=_decimals) if found and alike else None


def numbers_in_name(file: Path) -> set[float]:
    """Every number in a file name that may be an angle; behind a hyphen with either sign."""
    fields = [field for field in _fields(file.stem) if abs(field.value) <= _LARGEST and not field.other]
    marked = [field for field in fields if field.marked or field.letter or field.worded] or fields
    return {field.value for field in marked} | {-field.value for field in marked if field.hyphen}


def in_natural_order(files: Sequence[Path]) -> list[Path]:
    """Sorted by the angle in the names, else by their text with whole numbers compared as numbers."""
    angles = angles_from_names(files)
    if angles is not None and len(set(angles)) == len(angles):
        return [file for _, file in sorted(zip(angles, files, strict=True))]
    return sorted(files, key=_natural)


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r'(\d+)', str(file))
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def sign_first(name: str) -> str:
    """A name with the signs that stand behind their numbers (``40deg_neg``, ``40-``) before them."""
    return _SIGN_BEHIND.sub(lambda match: f'{match["word"] or match["sign"]}{match["number"]}', name)


def _fields(name: str) -> list[_Field]:
    name = sign_first(_POINT.sub(lambda match: f'{match[1] or match[2]}.', name))
    fields = []
    for match in _NUMBER.finditer(name):
        sign = (match['sign'] or '').lower().rstrip(' _')
        before = name[: match.start('sign') if match['sign'] else match.start('digits')]
        value = float(match['digits'].replace(',', '.')) * (-1 if sign in _NEGATIVE else 1)
        # At the start, or after another separator, a hyphen can only be a sign.
        hyphen = sign in _HYPHENS and bool(before) and before[-1].isalnum()
        letter = sign if sign in _LETTERS else ''
        marked = bool(match['unit']) or (bool(sign) and not hyphen and not letter)
        worded = _TILT_WORD.search(before) is not None
        alone = match.group() == name.strip()
        fields.append(
            _Field(
                value,
                hyphen,
                before.endswith(tuple(_HYPHENS)),
                marked,
                letter,
                worded,
                alone,
                unit=bool(match['unit']),
                other=bool(match['other']),
            )
        )
    return fields


def _signed(column: Sequence[_Field]) -> tuple[float, ...]:
    if all(field.hyphen or field.after_hyphen for field in column):
        return tuple(abs(field.value) if field.hyphen else field.value for field in column)
    return tuple(field.value for field in column)


def _are_angles(column: Sequence[_Field], values: Sequence[float]) -> bool:
    """Whether something says that these numbers are angles, and none that they count the files."""
    if any(field.other for field in column):
        return False
    letters = {field.letter for field in column}
    if len(letters) == 1 and letters != {''} and not any(field.marked for field in column):
        # One letter before every number is a word: map m2, particle p3.
        return False
    if all(field.marked or field.letter for field in column) or min(values) < 0:
        return True
    # Behind the word tilt stand numbers of tilts as often as angles; those of a stage go by more than one.
    if all(field.worded or field.marked for field in column):
        return _step(values) > 1
    return all(field.alone for field in column) and _step(values) >= _ROUND_STEP


def _decimals(values: Sequence[float]) -> int:
    return sum(value != round(value) for value in values)


def _step(values: Sequence[float]) -> float:
    """The largest step that all whole numbers are multiples of, above the lowest; 0.1 degrees count as more than 1."""
    if any(value != round(value) for value in values):
        return math.inf
    return math.gcd(*(int(value - min(values)) for value in values))
