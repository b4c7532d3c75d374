"""Numbers as people read them: digits that mean something, large ones in groups."""

from __future__ import annotations

from math import floor, isfinite, isnan, log10


def with_error(value: float, error: float, sign: str = '') -> str:
    """A number with as many digits as its error has meaning for: ``'41.27 ± 0.83'``.

    Parameters
    ----------
    value, error : float
    sign : str
        ``'+'`` to write it before positive numbers too.

    Returns
    -------
    str
        The value alone where there is no error.
    """
    if isnan(value):
        return '–'
    if isnan(error) or error <= 0:
        return f'{value:{sign}.3g}'
    digits = max(0, 1 - int(f'{error:e}'.partition('e')[2]))
    return f'{value:{sign}.{digits}f} ± {error:.{digits}f}'


def grouped(value: float, digits: int = 4) -> str:
    """A number of so many digits, thousands apart and without exponent: ``'871 100 000'``.

    Parameters
    ----------
    value : float
    digits : int
        At least 1.

    Returns
    -------
    str
        Its spaces do not break; a dash where it is no number.
    """
    if not isfinite(value):
        return '–'
    if abs(value) < 10 ** (digits - 1) or value == 0:
        return f'{value:.{digits}g}'
    places = digits - 1 - floor(log10(abs(value)))
    return f'{round(value, places):,.0f}'.replace(',', '\N{NO-BREAK SPACE}')
