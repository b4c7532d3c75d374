"""Looks of the figures of a report: sizes and fonts of journals, colours safe for colour blindness and print.

Widths are those of a page with two columns (170 mm), letters 7 to 8 points, lines half a point. Images are dark, from
black to the colour of their element; curves are on white, where the bright colours of the canvas are darkened until they
are seen, and each has a marker and dashes of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.jobs.colours import colours

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

#: Width of figures and of text on a page, mm.
WIDTH = 170.0
INCH = 25.4
#: Letters of figures, and of captions and text, points.
SMALL, TEXT = 7.0, 8.5
INK, FAINT, RULE = '#1a1a1a', '#666666', '#b8b8b8'
#: Relative luminance above which a colour is lost on white paper.
_LIGHTEST = 0.30
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', 'p', 'h', '*')
DASHES: tuple[Any, ...] = ('-', (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)))
#: Less than expected, as expected, more.
RESIDUAL = ('#2166ac', '#f7f7f7', '#b35806')
_SETTINGS: dict[Any, Any] = {
    'font.family': 'sans-serif',
    'font.sans-serif': ['DejaVu Sans'],
    'font.size': SMALL,
    'axes.labelsize': SMALL,
    'axes.titlesize': SMALL + 0.5,
    'xtick.labelsize': SMALL - 0.5,
    'ytick.labelsize': SMALL - 0.5,
    'legend.fontsize': SMALL - 0.5,
    'axes.linewidth': 0.5,
    'axes.edgecolor': INK,
    'axes.labelcolor': INK,
    'xtick.color': INK,
    'ytick.color': INK,
    'xtick.major.width': 0.5,
    'ytick.major.width': 0.5,
    'xtick.major.size': 2.5,
    'ytick.major.size': 2.5,
    'lines.linewidth': 1.0,
    'lines.markersize': 3.0,
    'text.color': INK,
    'hatch.linewidth': 0.4,
    # A dollar is a dollar.
    'text.parse_math': False,
    # Text stays text: it can be edited and searched.
    'svg.fonttype': 'none',
    'svg.hashsalt': 'napari-diptomo',
    'pdf.fonttype': 42,
    'figure.facecolor': 'white',
    'savefig.facecolor': 'white',
}


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers behind a figure.

    Attributes
    ----------
    headings : tuple of str
        With units; empty for an image.
    rows : ndarray (row, column)
    """

    headings: tuple[str, ...]
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class ReportFigure:
    """A figure of a report.

    Attributes
    ----------
    name : str
        Of its files.
    section : str
        Heading that it stands under.
    caption : str
        What is seen, with units.
    height : float
        mm, at a width of `WIDTH`.
    draw : callable
        Puts it on an empty figure or a part of a page.
    tables : mapping of str to Table
        The data, by the name of the file.
    """

    name: str
    section: str
    caption: str
    height: float
    draw: Any
    tables: Mapping[str, Table] = field(default_factory=dict)


@contextmanager
def paper() -> Iterator[None]:
    """Matplotlib set as the figures want it, and as it was afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        yield


def inks(channels: Iterable[str]) -> dict[str, str]:
    """A colour per channel that is seen on white paper.

    Parameters
    ----------
    channels : iterable of str

    Returns
    -------
    dict of str to str
        ``'#rrggbb'``, the hues of the canvas.
    """
    return {name: darkened(hue) for name, hue in colours(channels).items()}


def darkened(hue: str) -> str:
    """The colour itself, or as much darker as white paper needs.

    Parameters
    ----------
    hue : str
        ``'#rrggbb'``.

    Returns
    -------
    str
    """
    rgb = np.array([int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    linear *= min(_LIGHTEST / max(luminance, 1e-9), 1.0)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return '#' + ''.join(f'{round(255 * value):02x}' for value in rgb)


def residual_map() -> Any:
    """From less than expected to more."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list('residual', list(RESIDUAL))


def canvas(width: float, height: float) -> FigureBase:
    """An empty figure of this size in mm."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / INCH, height / INCH), layout='constrained')
    FigureCanvasAgg(figure)
    return figure
