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
    from matplotlib.axes import Axes
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


def element_map(hue: str) -> Any:
    """From black to the colour of an element."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list('element', ['#000000', hue])


def residual_map() -> Any:
    """From less than expected to more."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list('residual', list(RESIDUAL))


def bright(image: np.ndarray, percentile: float = 99.7) -> float:
    """The value that is shown at full brightness: a high percentile, so that hot pixels do not set it."""
    return max(float(np.percentile(image, percentile)), float(np.finfo(np.float32).tiny))


def bare(axis: Axes) -> None:
    """A frame around an image, without ticks."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_linewidth(0.4)


def round_length(most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above a length."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most * 1.0001))


def in_nm(length: float) -> str:
    """``'50 nm'``, ``'2 µm'``."""
    return f'{length / 1000:g} µm' if length >= 1000 else f'{length:g} nm'


def scale_bar(axis: Axes, shape: tuple[int, int], pixel: float) -> float:
    """A bar of a round length in the lower left corner; returns the length in nm.

    Parameters
    ----------
    axis : Axes
        Shows an image with pixels as unit.
    shape : tuple of int
        (rows, columns).
    pixel : float
        nm.

    Returns
    -------
    float
    """
    from matplotlib import patheffects

    rows, columns = shape
    length = round_length(columns * pixel / 3)
    shadow = [patheffects.withStroke(linewidth=1.2, foreground='black')]
    # A bar lies the same distance from both edges, also in a thin slab.
    margin = min(0.06 * columns, 0.25 * rows)
    axis.plot(
        [margin, margin + length / pixel],
        [rows - margin] * 2,
        color='white',
        lw=1.6,
        solid_capstyle='butt',
        path_effects=[patheffects.withStroke(linewidth=2.6, foreground='black')],
    )
    axis.annotate(
        in_nm(length),
        (margin + length / pixel / 2, rows - margin),
        xytext=(0, 2.2),
        textcoords='offset points',
        ha='center',
        va='bottom',
        color='white',
        fontsize=SMALL - 0.5,
        path_effects=shadow,
    )
    axis.set_xlim(-0.5, columns - 0.5)
    axis.set_ylim(rows - 0.5, -0.5)
    return length


def canvas(width: float, height: float) -> FigureBase:
    """An empty figure of this size in mm."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / INCH, height / INCH), layout='constrained')
    FigureCanvasAgg(figure)
    return figure
