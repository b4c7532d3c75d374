"""Spectra in the columns of a text file: energies and one curve or several, with their names above.

Columns stand between commas, semicolons, tabs or blanks, with decimal points or commas; lines that begin with # or % are
comments. The column of energies is the one that is called so, else the first; energies in keV are known by their heading.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.reading.inspection import check_is_file
from napari_diptomo.series.text_files import decoded, number_in

_ENERGY = re.compile(r'energ|loss|\bk?ev\b|^\s*e\s*$', re.IGNORECASE)
_EV = re.compile(r'\bm?ev\b', re.IGNORECASE)
_KEV = re.compile(r'\bkev\b', re.IGNORECASE)
#: Energies that all are below it, with no unit, are in keV: no edge is there in eV.
_LEAST_EV = 5.0


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves on one axis of energies.

    Attributes
    ----------
    energy : ndarray (energy,)
        eV, rising; each once.
    names : tuple of str
        As the first line has them.
    counts : ndarray (curve, energy)
    """

    energy: np.ndarray
    names: tuple[str, ...]
    counts: np.ndarray

    def called(self, name: str) -> np.ndarray | None:
        """The counts of the curve of a name, or of the only one in whose name it is a word; None where there is none."""
        if name in self.names:
            return np.asarray(self.counts[self.names.index(name)])
        words = [i for i, title in enumerate(self.names) if name in re.split(r'[^A-Za-z0-9+]+', title)]
        return np.asarray(self.counts[words[0]]) if len(words) == 1 else None


def read_curves(path: str | os.PathLike[str]) -> Curves:
    """The curves of a text file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Curves

    Raises
    ------
    InputError
        No such file, no line of names, or something else than numbers below it.
    """
    path = Path(path)
    if path.exists():
        check_is_file(path)
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        raise InputError(f'{path} cannot be read ({error.strerror}); check its path.') from error
    rows = _rows(text or '')
    if len(rows) < 2 or any(_number(cell) is not None for cell in rows[0]):
        raise InputError(
            f'{path.name} is no table of spectra: a first line names the columns, energy first, and rows of numbers follow.'
        )
    titles = rows[0]
    values = _numbers(path, rows[1:], len(titles))
    place = next((i for i, title in enumerate(titles) if _ENERGY.search(title)), 0)
    energy = values[:, place]
    if _KEV.search(titles[place]) or (np.abs(energy).max() < _LEAST_EV and not _EV.search(titles[place])):
        energy = 1000.0 * energy
    energy, kept = np.unique(energy, return_index=True)
    curves = [i for i in range(len(titles)) if i != place]
    return Curves(energy, tuple(titles[i] for i in curves), values[kept][:, curves].T)


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip(' \t;,') and not re.match(r'\s*[#%]', line)]
    body = lines[1:]
    separator = next((sign for sign in ';\t,' if body and all(sign in line for line in body)), ' ')
    if separator == ',' and all(_decimal_in_words(line) for line in body):
        separator = ' '
    if separator == ' ':
        return [re.split(r'\s+', line.strip()) for line in lines]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]


def _decimal_in_words(line: str) -> bool:
    """Whether the commas of a line stand within its numbers, which have blanks between them."""
    words = line.split()
    return len(words) > 1 and all(_number(word) is not None for word in words)


def _numbers(path: Path, rows: Sequence[Sequence[str]], columns: int) -> np.ndarray:
    values = []
    for row in rows:
        numbers = [_number(cell) for cell in row[:columns]]
        if len(row) < columns or any(row[columns:]) or None in numbers:
            shown = ' '.join(row)[:40]
            raise InputError(f'{path.name} has a row "{shown}" where its {columns} columns want numbers; correct it.')
        values.append([number for number in numbers if number is not None])
    return np.array(values, float)


def _number(text: str) -> float | None:
    return number_in(text.strip().strip('"'))
