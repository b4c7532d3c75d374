"""The colours of napari's current theme, for what Qt's style sheet does not reach."""

from __future__ import annotations

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
