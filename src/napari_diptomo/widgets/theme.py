"""The colours of napari's current theme, for what Qt's style sheet does not reach."""

from __future__ import annotations

import re
from dataclasses import dataclass

from napari import current_viewer
from napari.settings import get_settings
from napari.utils.theme import get_system_theme, get_theme


@dataclass(frozen=True)
class PlotColours:
    """Hex colours of plots and of words that need attention."""

    background: str
    text: str
    grid: str
    cell: str
    accent: str
    warning: str


def plot_colours() -> PlotColours:
    """Those of the viewer, which may have another theme than the settings; of the settings where there is no viewer."""
    viewer = current_viewer()
    name = get_settings().appearance.theme if viewer is None else viewer.theme
    theme = get_theme(get_system_theme() if name == 'system' else name)
    return PlotColours(
        background=theme.background.as_hex(),
        text=theme.text.as_hex(),
        grid=theme.primary.as_hex(),
        cell=theme.foreground.as_hex(),
        accent=theme.current.as_hex(),
        warning=theme.warning.as_hex(),
    )


#: Contrast of text that the guidelines for accessible pages ask for (WCAG 2, level AA).
LEGIBLE = 4.5
#: Part of a colour's brightness that is kept at each step to a legible one.
_DARKER = 0.95
_COLOURED = re.compile(r'<span style="color: (#[0-9a-f]{6})">([●■]?)')


def legible(hue: str, background: str | None = None) -> str:
    """A colour of an element as text: darker or lighter where its contrast with the background is too small.

    Parameters
    ----------
    hue : str
        ``'#rrggbb'``.
    background : str, optional
        Likewise; default: that of the current theme.
    """
    behind = plot_colours().background if background is None else background
    red, green, blue = _rgb(hue)
    dark = _luminance(_rgb(behind)) < 0.18
    while contrast(hue, behind) < LEGIBLE and (red, green, blue) != ((1.0,) * 3 if dark else (0.0,) * 3):
        if dark:
            red, green, blue = (min(1 - _DARKER * (1 - part), 1.0) for part in (red, green, blue))
        else:
            red, green, blue = (_DARKER * part for part in (red, green, blue))
        hue = '#' + ''.join(f'{round(255 * part):02x}' for part in (red, green, blue))
    return hue


def contrast(one: str, other: str) -> float:
    """Contrast of two colours ``'#rrggbb'`` as the guidelines define it, from 1 to 21."""
    light, dark = sorted((_luminance(_rgb(one)), _luminance(_rgb(other))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def legible_text(html: str) -> str:
    """Rich text with each colour in it as `legible` has it; signs that stand for a curve keep its own."""
    return _COLOURED.sub(_legible_span, html)


def _legible_span(match: re.Match[str]) -> str:
    hue, sign = match.groups()
    kept = f'<span style="color: {hue}">{sign}</span>' if sign else ''
    return f'{kept}<span style="color: {legible(hue)}">'


def _rgb(hue: str) -> tuple[float, ...]:
    if len(hue) == 4:
        hue = '#' + ''.join(2 * digit for digit in hue[1:])
    return tuple(int(hue[place : place + 2], 16) / 255 for place in (1, 3, 5))


def _luminance(rgb: tuple[float, ...]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
