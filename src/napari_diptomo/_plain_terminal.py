"""Signs that a terminal cannot encode, in letters: ``deg`` for ``°``, ``+-`` for ``±``, and no error."""

from __future__ import annotations

import codecs
import io
from typing import Any

_NAME = 'napari-diptomo'
_IN_LETTERS = {
    '±': '+-',
    '×': 'x',
    '–': '-',
    '—': '-',
    '\N{MINUS SIGN}': '-',
    'σ': 'sigma',
    'µ': 'u',
    'μ': 'u',
    '¹': '^1',
    '²': '^2',
    '³': '^3',
    '⁻': '^-',
    '…': '...',
    '\N{NO-BREAK SPACE}': ' ',
}


def tolerate(*streams: Any) -> None:
    """Let these streams write signs that their encoding lacks in letters, where they would raise an error otherwise.

    Parameters
    ----------
    *streams : text streams
        Standard output and the like; what is none of its kind, as a notebook's, stays as it is.
    """
    codecs.register_error(_NAME, _in_letters)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def _in_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object
    found = []
    for place in range(error.start, error.end):
        sign = text[place]
        if sign == '°':
            found.append(' deg' if text[place - 1 : place].isdigit() else 'deg')
        else:
            found.append(_IN_LETTERS.get(sign, '?'))
    return ''.join(found), error.end
