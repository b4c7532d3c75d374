"""The page that a notebook shows of an object: a table, and a small picture with a scale bar."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import Any

from napari_diptomo.series.data import MapSeries, SpectralTiltSeries
from napari_diptomo.series.findings import by_weight
from napari_diptomo.series.recipe import Recipe
from napari_diptomo.series.showing.pictures import Picture, of_maps, of_spectra, of_volume
from napari_diptomo.series.showing.plots import png_of
from napari_diptomo.series.showing.summary import rows, step_in_words

#: Findings that are shown in full.
_MOST_FINDINGS = 3
_TABLE = 'style="margin:0;border-collapse:collapse"'
_CELL = 'style="text-align:left;vertical-align:top;padding:1px 10px 1px 0"'


def html(obj: Any) -> str:
    """A table and a picture as HTML that needs nothing from elsewhere.

    Parameters
    ----------
    obj : SpectralTiltSeries, MapSeries, Volume or Recipe
        No more than some megabytes of lazy counts are read; where a picture would take more, the text says so.

    Returns
    -------
    str
        HTML, every text escaped.
    """
    known = rows(obj)
    if isinstance(obj, Recipe):
        steps = ''.join(f'<li>{escape(step_in_words(step))}</li>' for step in obj.steps) or '<li>no steps</li>'
        return f'<div><b>Recipe</b> of {escape(known["source"])}<ol style="margin:2px 0">{steps}</ol></div>'
    picture = _picture(obj)
    lines = ''.join(
        f'<tr><th {_CELL}>{escape(name)}</th><td {_CELL}>{escape(value)}</td></tr>' for name, value in known.items()
    )
    gravest = [finding for finding in by_weight(obj.findings) if finding.level != 'note'][:_MOST_FINDINGS]
    said = ''.join(f'<div>{escape(str(finding))}</div>' for finding in gravest)
    shown = (
        '<div>No picture: summing one tilt reads too much; .plot() does it.</div>'
        if picture is None
        else _image(picture)
    )
    return (
        f'<div style="display:flex;gap:16px;align-items:flex-start"><div>{shown}</div>'
        f'<div><b>{type(obj).__name__}</b><table {_TABLE}>{lines}</table>{said}</div></div>'
    )


def _picture(obj: Any) -> Picture | None:
    if isinstance(obj, SpectralTiltSeries):
        return of_spectra(obj, cheap=True)
    return of_maps(obj) if isinstance(obj, MapSeries) else of_volume(obj)


def _image(picture: Picture) -> str:
    alt = escape(f'{", ".join(picture.names)}, {picture.view}')
    keys = ' '.join(
        f'<span><span style="display:inline-block;width:0.7em;height:0.7em;background:{hue};border:1px solid #888"></span> '
        f'{escape(name)}</span>'
        for name, hue in zip(picture.names, picture.hues, strict=True)
    )
    data = b64encode(png_of(picture)).decode()
    return f'<img alt="{alt}" src="data:image/png;base64,{data}"/><div>{keys}</div><div>{escape(picture.view)}</div>'
