"""Angles in sentences: every one with its sign of degrees."""

from __future__ import annotations

import re

_NUMBER = r'[+-]?\d[\d.]*(?:e[+-]?\d+)?'
_LIST = re.compile(rf'(?:{_NUMBER}, )*(?:{_NUMBER}|\.\.\.) deg\b')


def with_degrees(text: str) -> str:
    """Numbers that end in ``deg`` as angles are written: ``'at -40, 5, ... deg'`` becomes ``'at -40°, 5°, ...'``.

    Parameters
    ----------
    text : str
        Some words.

    Returns
    -------
    str
    """
    return _LIST.sub(lambda match: _signed(match.group().removesuffix(' deg')), text)


def _signed(numbers: str) -> str:
    return ', '.join(number if number == '...' else f'{number}°' for number in numbers.split(', '))
