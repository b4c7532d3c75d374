"""The images of a report: maps at a few tilts, sinograms beside their predictions, slices in three directions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_diptomo.jobs.colours import colours
from napari_diptomo.jobs.report.style import (
    FAINT,
    SMALL,
    WIDTH,
    ReportFigure,
    Table,
    residual_map,
)
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.series.showing.images import bare, bright, element_map, scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    from napari_diptomo.assess.reprojection import Reprojection

Item = TypeVar('Item')
#: Tilts that are shown, rows of one figure, fewest and most columns of slices, and height of the highest figure in mm.
_TILTS, _ROWS, _LEAST_COLUMNS, _COLUMNS, _HIGHEST = 5, 7, 4, 6, 205.0
#: Standard deviations at which the colours of a residual end.
_LIMIT = 4.0


def maps_figures(maps: MapSeries) -> list[ReportFigure]:
    """Element maps at a few tilts, the HAADF images above them where there are some.

    Parameters
    ----------
    maps : MapSeries

    Returns
    -------
    list of ReportFigure
        More than one where there are many elements.
    """
    hues = colours(maps.channels)
    rows = [(name, images, hues[name]) for name, images in zip(maps.channels, maps.unmixed().data, strict=True)]
    if maps.haadf is not None:
        rows.insert(0, ('HAADF', maps.haadf, '#ffffff'))
    if maps.transposed:
        rows = [(name, images.swapaxes(-1, -2), hue) for name, images, hue in rows]
    shown = _few_tilts(maps.angles)
    figures = []
    for number, part in enumerate(_groups(rows, _ROWS)):
        limits = [bright(images[shown]) for _, images, _ in part]
        elements = [f'{name} {limit:.3g}' for (name, _, _), limit in zip(part, limits, strict=True) if name != 'HAADF']
        ranges = f'{", ".join(elements)} counts per pixel' + (', HAADF its brightest' if part[0][0] == 'HAADF' else '')
        ny, nx = part[0][1].shape[1:]
        height = min((WIDTH - 10) / len(shown) * ny / nx * len(part) + 6, _HIGHEST)
        figures.append(
            ReportFigure(
                name=_numbered('maps', number),
                section='Maps',
                caption=f'Maps at {len(shown)} of {len(maps.angles)} tilts, as they were reconstructed (before alignment '
                f'shifts are applied). Black is 0, full colour {ranges}.',
                height=height,
                draw=partial(_draw_maps, part, limits, shown, maps),
                tables={
                    f'{name}_{maps.angles[tilt]:+g}deg'.replace(' ', '-'): Table((), images[tilt])
                    for name, images, _ in part
                    for tilt in shown
                },
            )
        )
    return figures


def _draw_maps(
    rows: Sequence[tuple[str, np.ndarray, str]],
    limits: Sequence[float],
    shown: np.ndarray,
    maps: MapSeries,
    figure: FigureBase,
) -> None:
    axes = _panels(figure, len(rows), len(shown))
    for line, (name, images, hue) in enumerate(rows):
        for axis, tilt in zip(axes[line], shown, strict=True):
            axis.imshow(images[tilt], cmap=element_map(hue), vmin=0, vmax=limits[line])
        axes[line, 0].set_ylabel(name, fontsize=SMALL + 0.5, rotation=0, ha='right', va='center')
    for axis, tilt in zip(axes[0], shown, strict=True):
        axis.set_title(f'{maps.angles[tilt]:g}°', pad=3)
    scale_bar(axes[0, 0], rows[0][1].shape[1:], maps.pixel_size)


def sinogram_figures(found: Reprojection) -> list[ReportFigure]:
    """A row of the images against the tilt: measured, predicted, and the difference in units of the noise.

    Parameters
    ----------
    found : Reprojection

    Returns
    -------
    list of ReportFigure
    """
    maps = found.maps
    row = busiest(found.expected.sum(axis=1), axis=0)
    order = np.argsort(maps.angles)
    position = (np.arange(maps.data.shape[3]) - (maps.data.shape[3] - 1) / 2) * maps.pixel_size
    hues = colours(maps.channels)
    residual = found.residual
    lines = [
        (
            name,
            [part[c][order, row] for part in (maps.data, found.expected, residual)],
            hues[name],
        )
        for c, name in enumerate(maps.channels)
    ]
    figures = []
    for number, part in enumerate(_groups(lines, _ROWS)):
        limits = [bright(images[0]) for _, images, _ in part]
        ranges = ', '.join(f'{name} {limit:.3g}' for (name, _, _), limit in zip(part, limits, strict=True))
        headings = ('tilt_deg', *(f'{at:.5g}_nm' for at in position))
        figures.append(
            ReportFigure(
                name=_numbered('sinograms', number),
                section='Sinograms',
                caption=f'Sinograms of image row {row} (position along the tilt axis): measured, predicted by the volume, '
                f'and the residual in standard deviations of the noise ({-_LIMIT:g} to {_LIMIT:g}; white where not '
                f'compared). Black is 0, full colour {ranges} counts per pixel.',
                height=26.0 * len(part) + 12,
                draw=partial(_draw_sinograms, part, limits, position, maps.angles[order]),
                tables={
                    f'{name}_{kind}': Table(headings, np.column_stack([maps.angles[order], image]))
                    for name, images, _ in part
                    for kind, image in zip(('measured', 'predicted', 'residual_sigma'), images, strict=True)
                },
            )
        )
    return figures


def _draw_sinograms(
    lines: Sequence[tuple[str, list[np.ndarray], str]],
    limits: Sequence[float],
    position: np.ndarray,
    angles: np.ndarray,
    figure: FigureBase,
) -> None:
    axes = figure.subplots(len(lines), 3, squeeze=False, sharex=True, sharey=True)
    half = (position[1] - position[0]) / 2
    # Rows between the tilts: these need not be even.
    between = (angles[1:] + angles[:-1]) / 2 if len(angles) > 1 else np.array([])
    first = angles[0] - (between[0] - angles[0]) if len(between) else angles[0] - 0.5
    last = angles[-1] + (angles[-1] - between[-1]) if len(between) else angles[0] + 0.5
    tilts = np.concatenate([[first], between, [last]])
    columns = np.append(position - half, position[-1] + half)
    shown: Any = None
    for line, (name, images, hue) in enumerate(lines):
        for axis, image in zip(axes[line, :2], images[:2], strict=True):
            axis.pcolormesh(columns, tilts, image, cmap=element_map(hue), vmin=0, vmax=limits[line], rasterized=True)
        shown = axes[line, 2].pcolormesh(
            columns, tilts, images[2], cmap=residual_map(), vmin=-_LIMIT, vmax=_LIMIT, rasterized=True
        )
        axes[line, 0].set_ylabel(f'{name}\ntilt (°)')
    for axis, title in zip(axes[0], ('measured', 'predicted', 'residual'), strict=True):
        axis.set_title(title, pad=3)
    for axis in axes[-1]:
        axis.set_xlabel('distance from the tilt axis (nm)' if axis is axes[-1, 1] else '')
    bar = figure.colorbar(shown, ax=list(axes[:, 2]), pad=0.02, aspect=25 * len(lines) / 3 + 8)
    bar.set_label('residual (σ)')
    bar.outline.set_linewidth(0.4)


def slice_figures(volume: Volume) -> list[ReportFigure]:
    """Slices of every element across z, y and x through the part of the volume that shows most.

    Parameters
    ----------
    volume : Volume

    Returns
    -------
    list of ReportFigure
    """
    data = volume.data.swapaxes(-1, -2) if volume.transposed else volume.data
    at = tuple(busiest(data, axis) for axis in range(3))
    limits = [bright(channel, 99.9) for channel in data]
    hues = colours(volume.channels)
    columns = [
        (name, _three(channel, at), hues[name], limit)
        for name, channel, limit in zip(volume.channels, data, limits, strict=True)
    ]
    size = volume.voxel_size
    unit = volume.notes.get('composition', {}).get('units', {}).get(volume.channels[0], 'counts per voxel')
    where = ', '.join(f'{name} = {index * size:.4g} nm' for name, index in zip('zyx', at, strict=True))
    figures = []
    for number, part in enumerate(_groups(columns, _COLUMNS)):
        ranges = ', '.join(f'{name} {limit:.3g}' for name, _, _, limit in part)
        figures.append(
            ReportFigure(
                name=_numbered('slices', number),
                section='Slices',
                caption=f'Slices of the volume at {where} (from its first voxel; ticks at the edges mark the other two), z '
                f'along the beam at zero tilt. Black is 0, full colour {ranges} {unit}.',
                height=min(_slices_height(data.shape[1:], len(part)), _HIGHEST),
                draw=partial(_draw_slices, part, at, data.shape[1:], size),
                tables={
                    f'{name}_{plane}': Table((), image)
                    for name, images, _, _ in part
                    for plane, image in zip(('xy', 'xz', 'yz'), images, strict=True)
                },
            )
        )
    return figures


def _three(channel: np.ndarray, at: Sequence[int]) -> list[np.ndarray]:
    return [channel[at[0]], channel[:, at[1]], channel[:, :, at[2]]]


def _slices_height(shape: Sequence[int], columns: int) -> float:
    nz, ny, nx = shape
    wide = max(nx, ny)
    return (WIDTH - 8) / max(columns, _LEAST_COLUMNS) * (ny + 2 * nz) / wide + 12


def _draw_slices(
    columns: Sequence[tuple[str, list[np.ndarray], str, float]],
    at: Sequence[int],
    shape: Sequence[int],
    size: float,
    figure: FigureBase,
) -> None:
    nz, ny, _ = shape
    count = max(len(columns), _LEAST_COLUMNS)
    axes = figure.subplots(
        3, count, squeeze=False, gridspec_kw={'height_ratios': [ny, nz, nz], 'hspace': 0.02, 'wspace': 0.02}
    )
    # Columns and rows of the two other planes in each.
    marks = ((at[2], at[1]), (at[2], at[0]), (at[1], at[0]))
    for column in range(count):
        for line in range(3):
            axis = axes[line, column]
            if column >= len(columns):
                axis.set_axis_off()
                continue
            name, images, hue, limit = columns[column]
            image = images[line]
            axis.imshow(image, cmap=element_map(hue), vmin=0, vmax=limit)
            bare(axis)
            _mark(axis, image.shape, marks[line])
            if column == 0:
                axis.set_ylabel(('xy', 'xz', 'yz')[line], rotation=0, ha='right', va='center')
                scale_bar(axis, image.shape, size)
            if line == 0:
                axis.set_title(name, pad=6)


def _mark(axis: Axes, shape: tuple[int, ...], at: tuple[int, int]) -> None:
    """Short ticks outside the edges where the other two planes cut this one."""
    columns = shape[1]
    for x, y, to in ((at[0], -0.5, (0, 3)), (columns - 0.5, at[1], (3, 0))):
        axis.annotate(
            '',
            (x, y),
            xytext=to,
            textcoords='offset points',
            arrowprops={'arrowstyle': '-', 'lw': 0.7, 'color': FAINT, 'shrinkA': 0, 'shrinkB': 0},
            annotation_clip=False,
        )


def busiest(data: np.ndarray, axis: int) -> int:
    """The plane in the middle half of an axis in which every channel shows most.

    Parameters
    ----------
    data : ndarray (channel, ...)
    axis : int
        Of one channel.

    Returns
    -------
    int
    """
    length = data.shape[axis + 1]
    across = tuple(other for other in range(1, data.ndim) if other != axis + 1)
    contrast = data.std(axis=across)
    contrast = (contrast / np.maximum(contrast.max(axis=1, keepdims=True), 1e-12)).min(axis=0)
    start, end = length // 4, max(3 * length // 4, length // 4 + 1)
    return start + int(np.argmax(contrast[start:end]))


def _few_tilts(angles: np.ndarray) -> np.ndarray:
    """Positions of the outermost tilts, of the one nearest to zero, and of some between."""
    order = np.argsort(angles)
    if len(order) <= _TILTS:
        return order
    places = np.linspace(0, len(order) - 1, _TILTS).round().astype(int)
    return order[places]


def _groups(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """Parts of a list, as even as can be."""
    parts = -(-len(items) // most)
    edges = [round(len(items) * n / parts) for n in range(parts + 1)]
    for start, end in itertools.pairwise(edges):
        yield items[start:end]


def _numbered(name: str, number: int) -> str:
    return name if number == 0 else f'{name}-{number + 1}'


def _panels(figure: FigureBase, rows: int, columns: int) -> np.ndarray:
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw={'hspace': 0.02, 'wspace': 0.02})
    for axis in axes.flat:
        bare(axis)
    return np.asarray(axes)
