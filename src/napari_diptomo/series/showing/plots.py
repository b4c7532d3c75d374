"""Figures of series, maps and volumes by matplotlib: every channel in its colour, all together, a scale bar."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series.data import MapSeries, SpectralTiltSeries, Volume
from napari_diptomo.series.showing.images import bare, blend, bright, element_map, scale_bar
from napari_diptomo.series.showing.pictures import Axis, Picture, nearest, of_maps, of_spectra, of_volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches of a panel, panels in a row, inches and dots per inch of the picture of a notebook.
_PANEL, _IN_A_ROW, _SMALL, _DPI = 2.6, 4, 1.9, 100
_LINE = '#2a6fb0'


def plot(obj: Any, **choices: Any) -> Figure:
    """A figure of what was given.

    Parameters
    ----------
    obj : SpectralTiltSeries, MapSeries or Volume
        Of lazy spectra one tilt is read.
    **choices
        As `plot_series`, `plot_maps` and `plot_volume` take them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    kinds: dict[type, Any] = {SpectralTiltSeries: plot_series, MapSeries: plot_maps, Volume: plot_volume}
    return next(make for kind, make in kinds.items() if isinstance(obj, kind))(obj, **choices)


def plot_series(series: SpectralTiltSeries, *, tilt: float | None = None) -> Figure:
    """HAADF or summed counts of one tilt, and its sum spectrum.

    Parameters
    ----------
    series : SpectralTiltSeries
    tilt : float, optional
        Degrees, the nearest one is taken; default: the least tilted.

    Returns
    -------
    matplotlib.figure.Figure
    """
    picture = of_spectra(series, tilt)
    assert picture is not None
    figure = _figure(2.4 * _PANEL, _PANEL)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    _show(left, picture, 0, bars=False)
    counts = np.asarray(series.counts[nearest(series.angles, tilt)].sum((0, 1)), float)
    right.step(series.energy, counts, where='mid', color=_LINE, lw=0.8)
    # EELS after a subtraction may be negative, and has no logarithm there.
    right.set_yscale('log' if (counts > 0).all() else 'symlog' if (counts >= 0).all() else 'linear')
    name = 'Energy' if series.energy_unit == 'keV' else 'Energy loss'
    right.set_xlabel(f'{name} / {series.energy_unit}')
    right.set_ylabel('counts of all pixels')
    right.set_title(picture.view, fontsize='medium')
    return figure


def plot_maps(maps: MapSeries, *, tilt: float | None = None, channels: Sequence[str] | None = None) -> Figure:
    """Maps of one tilt, each in the colour of its element, and all together.

    Parameters
    ----------
    maps : MapSeries
    tilt : float, optional
        Degrees, the nearest one is taken; default: the least tilted.
    channels : sequence of str, optional
        Default: all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _panels(of_maps(maps, tilt, channels))


def plot_volume(
    volume: Volume, *, index: int | None = None, axis: Axis = 'z', channels: Sequence[str] | None = None
) -> Figure:
    """A slice of a volume, each channel in the colour of its element, and all together.

    Parameters
    ----------
    volume : Volume
    index : int, optional
        Voxel along the axis, counted from 0; default: the middle.
    axis : {'z', 'y', 'x'}
        Across the slice.
    channels : sequence of str, optional
        Default: all.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _panels(of_volume(volume, index, axis, channels))


def png_of(picture: Picture) -> bytes:
    """A small picture with a scale bar, all channels in one.

    Parameters
    ----------
    picture : Picture

    Returns
    -------
    bytes
        PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    _, rows, columns = picture.images.shape
    height = float(np.clip(rows / columns, 0.25, 2.0)) * _SMALL
    figure = Figure(figsize=(_SMALL, height), facecolor='black')
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_facecolor('black')
    _show(axis, picture, None, bars=False, titled=False)
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=_DPI)
    return file.getvalue()


def _panels(picture: Picture) -> Figure:
    together = len(picture.names) > 1 and len(set(picture.hues)) > 1
    panels: list[int | None] = [*([None] if together else []), *range(len(picture.names))]
    columns = min(len(panels), _IN_A_ROW)
    lines = -(-len(panels) // columns)
    _, rows, across = picture.images.shape
    shape = float(np.clip(rows / across, 0.3, 2.0))
    figure = _figure(columns * _PANEL, lines * (_PANEL * shape * 0.9 + 0.3))
    figure.suptitle(picture.view, fontsize='medium')
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, channel in zip(axes, panels, strict=False):
        _show(axis, picture, channel)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


def _show(axis: Axes, picture: Picture, channel: int | None, *, bars: bool = True, titled: bool = True) -> None:
    """One channel, or all in one where `channel` is None."""
    alone = 0 if channel is None and len(picture.names) == 1 else channel
    if alone is None:
        axis.imshow(blend(picture.images, picture.hues), interpolation='nearest')
        title = ', '.join(picture.names) if len(picture.names) <= _IN_A_ROW else 'all'
    else:
        image, hue = picture.images[alone], picture.hues[alone]
        low = min(float(image.min()), 0.0) if picture.names[alone] != 'HAADF' else float(np.percentile(image, 0.3))
        shown = axis.imshow(
            image, cmap=element_map(hue), vmin=low, vmax=max(bright(image), low), interpolation='nearest'
        )
        title = picture.names[alone]
        if bars:
            axis.figure.colorbar(shown, ax=axis, fraction=0.046, pad=0.02)
    if titled:
        axis.set_title(title, fontsize='medium')
    bare(axis)
    scale_bar(axis, picture.images.shape[1:], picture.pixel, letters=7.0)


def _figure(width: float, height: float) -> Figure:
    """A figure that appears once: in a notebook as the value of its cell, elsewhere by ``plt.show()``."""
    import matplotlib as mpl
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(width, height), layout='constrained')
    if 'inline' in mpl.get_backend().lower():
        # A notebook shows every figure that is open at the end of a cell, besides the value of the cell.
        pyplot.close(figure)
    return figure
