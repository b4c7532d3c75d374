"""Pages of A4 that flow: headings, paragraphs, tables and figures of known height, set by matplotlib.

A block knows its height in mm; blocks are stacked until a page is full. Figures are put into a part of the page
(a subfigure of its constrained layout), so that they are vectors at the size that they were made for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_diptomo.jobs.report.style import FAINT, INCH, INK, RULE, TEXT, WIDTH, paper

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

_PAGE, _SIDE, _TOP, _BOTTOM = (210.0, 297.0), 20.0, 17.0, 16.0
_USABLE = _PAGE[1] - _TOP - _BOTTOM
#: Distance of lines, of their letters' size.
_LEADING = 1.38
_POINT = INCH / 72


@dataclass(frozen=True, eq=False)
class Block:
    """A piece of a page.

    Attributes
    ----------
    height : float
        mm, what is below it included.
    draw : callable
        Puts it on an empty part of a page of that height and `WIDTH`.
    keep : bool
        Whether it must not be the last of a page.
    """

    height: float
    draw: Callable[[Any], None]
    keep: bool = False


def write_pages(path: Path, blocks: Iterable[Block], title: str, foot: str) -> None:
    """Write blocks as a PDF.

    Parameters
    ----------
    path : Path
    blocks : iterable of Block
    title : str
        Of the document.
    foot : str
        At the bottom of each page, before its number.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    pages = _paged(list(blocks))
    with paper(), PdfPages(path, metadata={'Title': title, 'Creator': 'napari-diptomo'}) as file:
        for number, page in enumerate(pages, start=1):
            file.savefig(_page(page, f'{foot}   {number} / {len(pages)}'))


def text_block(
    text: str, *, size: float = TEXT, bold: bool = False, colour: str = INK, below: float = 2.0, above: float = 0.0
) -> Block:
    """A paragraph.

    Parameters
    ----------
    text : str
        Wrapped to the width of the page.
    size : float
        Points.
    bold : bool
        Also keeps it with what follows: a heading.
    colour : str
    below, above : float
        Space under and over it, mm.

    Returns
    -------
    Block
    """
    return hanging_block('', text, 0.0, size=size, bold=bold, colour=colour, below=below, above=above)


def hanging_block(
    label: str,
    text: str,
    indent: float,
    *,
    size: float = TEXT,
    bold: bool = False,
    colour: str = INK,
    below: float = 1.2,
    label_colour: str = FAINT,
    above: float = 0.0,
) -> Block:
    """A paragraph with a label in the margin to its left.

    Parameters
    ----------
    label : str
    text : str
    indent : float
        mm from the left edge to the text.
    size, bold, colour, below
        As of `text_block`.
    label_colour : str
    above : float
        Space over it, mm.

    Returns
    -------
    Block
    """
    lines = wrapped(text, WIDTH - indent, size, bold)
    step = size * _POINT * _LEADING
    height = above + step * len(lines) + below

    def draw(part: FigureBase) -> None:
        weight = 'bold' if bold else 'normal'
        if label:
            part.text(0, 1 - above / height, label, va='top', fontsize=size, color=label_colour)
        for number, line in enumerate(lines):
            at = 1 - (above + number * step) / height
            part.text(indent / WIDTH, at, line, va='top', fontsize=size, weight=weight, color=colour)

    return Block(height, draw, keep=bold)


def heading_block(text: str) -> Block:
    """A heading under a rule."""
    size, above = 11.0, 4.0
    height = above + size * _POINT * _LEADING + 1.5

    def draw(part: FigureBase) -> None:
        _rule(part, 1 - 0.2 * above / height, RULE, 0.5)
        part.text(0, 1 - above / height, text, va='top', fontsize=size, weight='bold')

    return Block(height, draw, keep=True)


def figure_block(height: float, draw: Callable[[Any], None]) -> Block:
    """A figure of this height in mm."""
    return Block(height, draw, keep=True)


def table_block(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Block:
    """A table with rules above, below and under the headings; numbers to the right.

    Parameters
    ----------
    headings : sequence of str
    rows : sequence of sequence of str

    Returns
    -------
    Block
    """
    size = TEXT if len(headings) < 8 else TEXT - 1.5
    step = size * _POINT * 1.6
    widths = [
        max(_width(text, size, number == 0) for number, text in enumerate((heading, *column)))
        for heading, column in zip(headings, zip(*rows, strict=True), strict=True)
    ]
    gap = min(8.0, max((WIDTH - sum(widths)) / max(len(widths) - 1, 1), 1.5))
    squeeze = min(1.0, WIDTH / (sum(widths) + gap * (len(widths) - 1)))
    size, widths, gap = size * squeeze, [width * squeeze for width in widths], gap * squeeze
    edges = [sum(widths[: n + 1]) + gap * n for n in range(len(widths))]
    height = step * (len(rows) + 1) + 5.0

    def draw(part: FigureBase) -> None:
        for number, row in enumerate((headings, *rows)):
            weight = 'bold' if number == 0 else 'normal'
            at = 1 - (0.5 + number) * step / height
            part.text(0, at, row[0], va='center', fontsize=size, weight=weight)
            for edge, text in zip(edges[1:], row[1:], strict=True):
                part.text(edge / WIDTH, at, text, va='center', ha='right', fontsize=size, weight=weight)
        for line, width in ((0, 0.9), (1, 0.5), (len(rows) + 1, 0.9)):
            _rule(part, 1 - line * step / height, INK, width, edges[-1] / WIDTH)

    return Block(height, draw)


def wrapped(text: str, width: float, size: float, bold: bool = False) -> list[str]:
    """Lines of a text that are no wider than this in mm; a word that is wider is broken.

    Parameters
    ----------
    text : str
    width : float
        mm.
    size : float
        Points.
    bold : bool

    Returns
    -------
    list of str
    """
    lines, line = [], ''
    for word in text.split():
        joined = f'{line} {word}'.strip()
        if _width(joined, size, bold) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while _width(word, size, bold) > width:
            fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or _width(word[:n], size, bold) <= width)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line]


def _paged(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks by page: what must not be the last of one goes to the next with what it belongs to."""
    pages: list[list[Block]] = [[]]
    left = _USABLE
    for index, block in enumerate(blocks):
        needed = block.height
        for follower in range(index, len(blocks) - 1):
            if not blocks[follower].keep:
                break
            needed += blocks[follower + 1].height
        # What does not fit on any page is put where it comes, and cut.
        if (pages[-1] and block.height > left) or (needed > left and needed <= _USABLE and pages[-1]):
            pages.append([])
            left = _USABLE
        pages[-1].append(block)
        left -= block.height
    return pages


def _page(blocks: Sequence[Block], foot: str) -> FigureBase:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    engine = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    page = Figure(figsize=(_PAGE[0] / INCH, _PAGE[1] / INCH), layout=engine)
    FigureCanvasAgg(page)
    heights = [_TOP, *(block.height for block in blocks)]
    heights.append(max(_PAGE[1] - sum(heights), 1.0))
    grid = page.add_gridspec(len(heights), 3, height_ratios=heights, width_ratios=[_SIDE, WIDTH, _SIDE])
    for number, block in enumerate(blocks, start=1):
        part = page.add_subfigure(grid[number, 1])
        part.set_facecolor('none')
        block.draw(part)
    page.text(1 - _SIDE / _PAGE[0], 0.5 * _BOTTOM / _PAGE[1], foot, ha='right', fontsize=TEXT - 1.5, color=FAINT)
    return page


def _rule(part: Any, at: float, colour: str, width: float, end: float = 1.0) -> None:
    from matplotlib.lines import Line2D

    part.add_artist(Line2D([0, end], [at, at], transform=part.transSubfigure, color=colour, lw=width))


@lru_cache(maxsize=20_000)
def _width(text: str, size: float, bold: bool) -> float:
    """mm."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family='DejaVu Sans', size=size, weight='bold' if bold else 'normal')
    width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(width) * _POINT
