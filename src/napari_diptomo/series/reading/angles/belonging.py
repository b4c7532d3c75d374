"""Which of the tables beside a series are its own: a table belongs to the stack whose name it has."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from napari_diptomo.series.reading.file_selection import IMAGES, SPECTRA

#: Words in the name of a table that say what it is, not whose.
_KIND = re.compile(
    r'(tilt|angle|winkel|alpha|theta)\w*|deg(ree)?s?|rad(ian)?s?|raw|order|list|table|series|stack|file|csv|txt|mdoc|\d',
    re.IGNORECASE,
)


def own_tables(tables: Sequence[Path], data: Sequence[Path]) -> tuple[Path, ...]:
    """Those with the name of the data, and those with the name of none; without those of other files beside them.

    Parameters
    ----------
    tables : sequence of Path
        Tables found beside the data.
    data : sequence of Path
        The files that are opened.
    """
    mine = [_words(path) for path in data]
    kept = []
    for table in tables:
        own = _words(table)
        if (
            not own
            or any(own <= words for words in mine)
            or not any(own <= _words(other) for other in _others(table, data))
        ):
            kept.append(table)
    return tuple(kept)


def shares_name(table: Path, data: Sequence[Path]) -> bool:
    """Whether a table has the name of one of the files."""
    return any(_stem(table) == _stem(path) for path in data)


def is_shared(table: Path, data: Sequence[Path]) -> bool:
    """Whether a table has the name of a file with data that is not opened, as well as of one that is."""
    return shares_name(table, _others(table, data))


def _others(table: Path, data: Sequence[Path]) -> list[Path]:
    """All data beside the table that are not opened."""
    opened = {path.absolute() for path in data}
    try:
        beside = list(table.parent.iterdir())
    except OSError:  # the folder has vanished since it was listed
        return []
    return [path for path in beside if path.suffix.lower() in SPECTRA | IMAGES and path.absolute() not in opened]


def _stem(path: Path) -> str:
    """The name without suffixes: that of ``stack.mrc.mdoc`` is ``stack``."""
    name = unicodedata.normalize('NFC', path.stem).casefold()
    inner = Path(name).suffix
    return name[: -len(inner)] if inner in SPECTRA | IMAGES else name


def _words(path: Path) -> set[str]:
    return {word for word in re.split(r'[^\w]+|_', _stem(path)) if word and not _KIND.fullmatch(word)}
