"""A user's table of k- or zeta-factors: line family and factor, as CSV or JSON.

    Ge_K, 1.32              {"Ge_K": 1.32,
    Sb_L, 1.00               "Sb_L": 1.00}

In a CSV file element and lines may stand in columns of their own (``Ge, K,
1.32``), a heading and lines that begin with # are passed over. Lines named
after Siegbahn (``Ge_Ka``) stand for their family.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from napari_diptomo.series import InputError
from napari_diptomo.series._inspection import check_is_file
from napari_diptomo.series._library_errors import reading


def read_factors(path: str | Path) -> dict[str, float]:
    """Factors by line family.

    Parameters
    ----------
    path : path
        A ``.json`` file, or text with commas, semicolons or tabs.

    Returns
    -------
    dict of str to float
        For example ``{'Ge_K': 1.32}``.

    Raises
    ------
    InputError
        No such file, or a line of it is no factor.
    """
    path = Path(path)
    if path.exists():
        check_is_file(path)
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError):
        raise InputError(f'The table of factors {path} cannot be read as text; check its path.') from None
    if path.suffix.lower() == '.json':
        rows = _json_rows(text, path)
    else:
        with reading(path, 'write one line family a line, e.g. Ge_K, 1.32'):
            rows = _text_rows(text)
    found: dict[str, float] = {}
    for i, (name, value) in enumerate(rows):
        family = _family_name(name)
        factor = _number(value)
        if factor is None and i == 0 and family is None:
            continue
        if family is None or factor is None:
            raise InputError(
                f'"{name[:40]}, {value[:40]}" in {path.name} is not a line family with a positive factor; write Ge_K, 1.32.'
            )
        if family in found:
            raise InputError(f'{path.name} gives two factors for {family}; keep one.')
        found[family] = factor
    if not found:
        raise InputError(f'{path.name} holds no factors; write one line family a line, e.g. Ge_K, 1.32.')
    return found


def _json_rows(text: str, path: Path) -> list[tuple[str, str]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f'{path.name} is not a JSON table of factors; write {{"Ge_K": 1.32}}.')
    return [(str(name), str(value)) for name, value in values.items()]


def _text_rows(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith('#')]
    separator = next((s for s in ('\t', ';', ',') if lines and s in lines[-1]), ',')
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    return [('_'.join(cell for cell in row[:-1] if cell), row[-1]) for row in rows if row]


def _family_name(text: str) -> str | None:
    found = re.fullmatch(r'([A-Z][a-z]?)[_\s-]+([KLM])[\w-]*', text.strip())
    return f'{found[1]}_{found[2]}' if found else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float('inf') else None
