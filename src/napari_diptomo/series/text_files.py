"""Text as it was written: UTF-8, UTF-16 with or without its mark, or in a code page of Windows.

Nothing in a text of one byte a letter says which code page it has. Of those that do not contradict it, the first is taken
in which a word stands that such a file is known to hold, for example the one for an angle.
"""

from __future__ import annotations

import math
import re

#: Western European, Cyrillic, Greek, Central European; Japanese, Chinese, Korean.
_CODE_PAGES = ('cp1252', 'cp1251', 'cp1253', 'cp1250', 'cp932', 'gb18030', 'cp949')
_MARKS = ((b'\xef\xbb\xbf', 'utf-8-sig'), (b'\xff\xfe', 'utf-16'), (b'\xfe\xff', 'utf-16'))
_DECIMAL_COMMA = re.compile(r'[+-]?\d*,\d+(e[+-]?\d+)?', re.IGNORECASE)
_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?', re.IGNORECASE)
_CONTROL = re.compile('[\0-\x08\x0e-\x1f]')


def decoded(content: bytes, word: re.Pattern[str] | None = None) -> str | None:
    """Text of a file.

    Parameters
    ----------
    content : bytes
        All of it.
    word : pattern, optional
        Decides among code pages.

    Returns
    -------
    str or None
        None where it is no text.

    Examples
    --------
    >>> decoded('angle\\n-40'.encode('utf-16')), decoded('\N{GREEK SMALL LETTER ALPHA}'.encode('cp1253'), re.compile('\N{GREEK SMALL LETTER ALPHA}'))
    ('angle\\n-40', '\N{GREEK SMALL LETTER ALPHA}')
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _printable(content, encoding)
    if b'\0' in content[:200]:
        even, odd = content[:200:2].count(0), content[1:200:2].count(0)
        return _printable(content, 'utf-16-le' if odd > even else 'utf-16-be')
    text = _printable(content, 'utf-8')
    if text is not None:
        return text
    found = [text for page in _CODE_PAGES if (text := _printable(content, page)) is not None]
    if word is not None:
        named = next((text for text in found if word.search(text)), None)
        if named is not None:
            return named
    # Latin-1 has a letter for every byte.
    western = _printable(content, 'cp1252')
    return western if western is not None else _printable(content, 'latin-1')


def _printable(content: bytes, encoding: str) -> str | None:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def has_decimal_comma(text: str) -> bool:
    """Whether a text is a number with a decimal comma."""
    return _DECIMAL_COMMA.fullmatch(text) is not None


def number_in(text: str) -> float | None:
    """The number that a text is, with a decimal point or comma; None where it is none.

    Examples
    --------
    >>> number_in('-40,5'), number_in('1e3'), number_in('nan'), number_in('40 deg')
    (-40.5, 1000.0, None, None)
    """
    if has_decimal_comma(text):
        text = text.replace(',', '.')
    # float() would take nan, infinity and 1_000 as well.
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None
