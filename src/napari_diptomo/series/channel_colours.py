"""One colour per element, the same in maps, spectra, volumes and figures.

The first hues follow Okabe and Ito (readable with the common kinds of colour
blindness), brightened for a dark canvas. The others, for specimens of many
elements, are as far from all before them in CIELAB as colours can be that are
seen on dark and on light. Elements that often meet in one
specimen are kept apart; where two still want the same hue, the later one
takes the next that nobody wants.
"""

from __future__ import annotations

from collections.abc import Iterable

HUES = (
    '#2ab0ff',  # sky blue
    '#ff9410',  # orange
    '#ea4fd0',  # reddish purple
    '#00d896',  # bluish green
    '#f2e000',  # yellow
    '#ff5030',  # vermilion
    '#6674ff',  # blue
    '#d0d0d0',  # grey
    '#00e100',  # green
    '#78872d',  # olive
    '#d25a78',  # rose
    '#f0b4ff',  # lilac
    '#00e1f0',  # cyan
    '#d200ff',  # violet
    '#f0a578',  # apricot
    '#4b8778',  # teal
)

#: An element without a hue of its own asks for one of the first.
_FIRST = 8
#: Brightest channel of all colours together; above one, single elements stay bright while mixtures saturate late.
_FULL = 1.6

_SKY, _ORANGE, _PURPLE, _GREEN, _YELLOW, _RED, _BLUE, _GREY = range(_FIRST)

_PREFERRED = {
    'Ge': _SKY,
    'Sb': _ORANGE,
    'Te': _PURPLE,
    'O': _SKY,
    'Mg': _GREEN,
    'Si': _YELLOW,
    'Fe': _RED,
    'S': _PURPLE,
    'Ni': _BLUE,
    'C': _GREY,
    'N': _BLUE,
    'Al': _BLUE,
    'Ti': _PURPLE,
    'Cu': _ORANGE,
    'Pt': _GREY,
    'Au': _YELLOW,
    'W': _GREY,
    'Co': _BLUE,
    'Mn': _PURPLE,
    'FeO': _ORANGE,
    'Fe3O4': _SKY,
}


def colours(channels: Iterable[str]) -> dict[str, str]:
    """A colour per channel, as ``'#rrggbb'``.

    Parameters
    ----------
    channels : iterable of str
        Element symbols, lines (``'Ge_K'``) or states.
    """
    names = tuple(dict.fromkeys(channels))
    chosen: dict[str, str] = {}
    for name in names:
        known = _PREFERRED.get(name, _PREFERRED.get(name.split('_')[0]))
        if known is not None and HUES[known] not in chosen.values():
            chosen[name] = HUES[known]
    for name in names:
        if name not in chosen:
            wanted = _PREFERRED.get(name, _PREFERRED.get(name.split('_')[0], sum(map(ord, name)) % _FIRST))
            free = [hue for hue in (*HUES[wanted:], *HUES[:wanted]) if hue not in chosen.values()]
            chosen[name] = free[0] if free else HUES[wanted]
    return {name: chosen[name] for name in names}


def opacity(hues: Iterable[str]) -> float:
    """How strongly each of several additive layers may shine.

    Where all elements of a specimen are together their colours add up; at full
    strength the whole volume would be white.

    Parameters
    ----------
    hues : iterable of str
        The colours shown together, ``'#rrggbb'``.
    """
    rgb = [[int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)] for hue in hues]
    brightest = max(map(sum, zip(*rgb, strict=True)), default=0.0)
    return 1.0 if brightest <= _FULL else _FULL / brightest
