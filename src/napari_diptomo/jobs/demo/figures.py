"""The pictures of the demo: matplotlib without a window, lengths in nm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.jobs.colours import HUES, colours
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.series.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What the curves of a run are called; all others are terms of the objective.
_DEVIANCES = {'data': 'fitted counts', 'validation': 'held-out counts'}
_PAPER, _INK, _FAINT = '#0f1216', '#e8eaed', '#8b929c'
_DPI = 150


def slices(path: Path, volumes: Mapping[str, Volume], scores: Mapping[str, Mapping[str, Sequence[float]]]) -> Path:
    """Slices along the beam (z against x) in the middle of the specimen.

    Parameters
    ----------
    path : Path
        PNG to write.
    volumes : mapping of str to Volume
        Columns by their title, all on one grid; the first sets the contrast.
    scores : mapping of str to mapping
        ``psnr`` and ``ssim`` per channel, by the title of the column.
    """
    first = next(iter(volumes.values()))
    names = first.channels
    nz, ny, nx = first.data.shape[1:]
    row = _busiest_row(first.data)
    width = 2.3 * len(volumes) + 0.7
    figure, axes = _page(len(names) + 1, len(volumes), width, 2.3 * nz / nx * (len(names) + 1) + 1.2)
    limits = [_top(channel[:, row]) for channel in first.data]
    hues = list(colours(names).values())
    for column, (title, volume) in enumerate(volumes.items()):
        images = [channel[:, row] for channel in volume.data]
        for line, image in enumerate(images):
            axis = axes[line, column]
            axis.imshow(image, cmap=_colour_map(hues[line]), vmin=0, vmax=limits[line])
            if title in scores:
                note = f'{scores[title]["psnr"][line]:.1f} dB   SSIM {scores[title]["ssim"][line]:.2f}'
                axis.set_xlabel(note, color=_FAINT, fontsize=8, labelpad=3)
        axes[-1, column].imshow(_blend(images, limits, hues))
        axes[0, column].set_title(title, color=_INK, fontsize=11, pad=8)
    for line, name in enumerate((*names, 'all')):
        axes[line, 0].set_ylabel(name, color=_INK, fontsize=11, rotation=0, ha='right', va='center', labelpad=10)
    _scale_bar(axes[-1, 0], nx, nz, first.voxel_size)
    figure.suptitle(f'x to the right, z (along the beam) down; row {row} of {ny}', color=_FAINT, fontsize=9)
    return _save(figure, path)


def maps_at_zero(path: Path, maps: MapSeries) -> Path:
    """The element maps nearest to zero tilt, and the HAADF image beside them."""
    tilt = int(np.argmin(np.abs(maps.angles)))
    named = _named(maps)
    hues = colours(name for name, _ in named)
    images = [(name, channel[tilt], hues[name]) for name, channel in named]
    if maps.haadf is not None:
        images.insert(0, ('HAADF', maps.haadf[tilt], '#ffffff'))
    ny, nx = maps.data.shape[2:]
    figure, axes = _page(1, len(images), 2.5 * len(images) + 0.3, 2.5 * ny / nx + 0.9)
    for axis, (name, image, hue) in zip(axes[0], images, strict=True):
        low = min(float(np.percentile(image, 1)), 0.0) if name != 'HAADF' else float(image.min())
        axis.imshow(image, cmap=_colour_map(hue), vmin=max(low, 0.0) if name != 'HAADF' else low, vmax=_top(image))
        note = '' if name == 'HAADF' else f'{image.mean():.2g} counts per pixel'
        axis.set_title(name, color=_INK, fontsize=11, pad=6)
        axis.set_xlabel(note, color=_FAINT, fontsize=8, labelpad=3)
    _scale_bar(axes[0, 0], nx, ny, maps.pixel_size)
    figure.suptitle(f'Tilt {maps.angles[tilt]:g}°', color=_FAINT, fontsize=9)
    return _save(figure, path)


def spectrum(path: Path, energy: np.ndarray, counts: np.ndarray, lines: Mapping[str, float], limit: float) -> Path:
    """The sum spectrum with the mapped families marked.

    Parameters
    ----------
    energy, counts : ndarray (energy,)
        keV; counts above the zero-strobe peak.
    lines : mapping of str to float
        Energy of the main line by family, keV.
    limit : float
        Upper end of the energies shown, keV.
    """
    figure, axis = _graph(8.5, 3.6)
    shown = energy <= limit
    energy, counts = energy[shown], counts[shown]
    axis.fill_between(energy, np.maximum(counts, 0.5), 0.5, step='mid', color='#3a6ea5', alpha=0.55, lw=0)
    axis.step(energy, np.maximum(counts, 0.5), where='mid', color='#9cc9f5', lw=0.8)
    axis.set_yscale('log')
    axis.set_xlim(float(energy[0]), float(energy[-1]))
    floor = float(np.percentile(counts, 2)) * 0.3
    axis.set_ylim(max(floor, 0.5), float(counts.max()) * 6)
    ordered = sorted(lines.items(), key=lambda item: item[1])
    hues = colours(lines)
    for place, (name, position) in enumerate(ordered):
        hue = hues[name]
        height = float(counts[np.argmin(np.abs(energy - position))])
        close = place > 0 and position - ordered[place - 1][1] < 0.05 * limit
        axis.annotate(
            name,
            (position, height),
            xytext=(12 if close else 0, 20),
            textcoords='offset points',
            ha='left' if close else 'center',
            color=hue,
            fontsize=9,
            arrowprops={'arrowstyle': '-', 'color': hue, 'lw': 0.8},
        )
    axis.set_xlabel('energy (keV)')
    axis.set_ylabel('counts per channel')
    return _save(figure, path)


def convergence(path: Path, volume: Volume) -> Path | None:
    """Deviances above, other terms of the objective below; None when the volume has no curves."""
    curves = {name: np.asarray(values, float) for name, values in volume.scores.items()}
    iterations = curves.pop('iteration', None)
    fits = curves.pop('fit', None)
    curves = {n: c for n, c in curves.items() if iterations is not None and len(c) == len(iterations)}
    curves = {n: c for n, c in curves.items() if np.isfinite(c).any()}
    if iterations is None or not curves:
        return None
    deviances = {_DEVIANCES[n]: curves[n] for n in _DEVIANCES if n in curves}
    terms = {n: c for n, c in curves.items() if n not in _DEVIANCES}
    panels = [(label, part) for label, part in (('deviance per datum', deviances), ('term', terms)) if part]
    figure, axes = _graphs(len(panels), 7.0, 1.2 + 2.4 * len(panels))
    hues = iter(HUES[i] for i in (0, 3, 1, 2, 4, 5, 6, 7) * 2)
    chosen = volume.notes.get('returned_iteration')
    for axis, (label, part) in zip(axes, panels, strict=True):
        for name, curve in part.items():
            known = np.isfinite(curve)
            x, y = _apart(iterations[known], curve[known], None if fits is None else fits[known])
            axis.plot(x, y, color=next(hues), lw=1.8, label=name)
        if chosen is not None:
            axis.axvline(float(chosen), color=_INK, lw=0.9, ls='--', label=f'returned: iteration {chosen}')
        if part is deviances and all((curve[np.isfinite(curve)] > 0).all() for curve in part.values()):
            _plain_logarithm(axis)
        axis.set_xlim(float(iterations[0]), float(iterations[-1]))
        axis.set_ylabel(label if label != 'term' or len(part) > 1 else f'{next(iter(part))} term')
        axis.legend(frameon=False, labelcolor=_INK, fontsize=9)
    axes[-1].set_xlabel('iteration')
    return _save(figure, path)


def _apart(x: np.ndarray, y: np.ndarray, fits: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Curves of several fits with a gap between them."""
    if fits is None:
        return x, y
    gaps = np.flatnonzero(np.diff(fits)) + 1
    return np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan)


def _named(maps: MapSeries) -> list[tuple[str, np.ndarray]]:
    return list(zip(maps.channels, maps.unmixed().data, strict=True))


def _busiest_row(data: np.ndarray) -> int:
    """The row near the middle that shows most of every channel."""
    ny = data.shape[2]
    scale = data.reshape(len(data), -1).std(axis=1) + 1e-12
    contrast = (data.std(axis=(1, 3)) / scale[:, None]).min(axis=0)
    middle = slice(ny // 4, max(3 * ny // 4, ny // 4 + 1))
    return ny // 4 + int(np.argmax(contrast[middle]))


def _top(image: np.ndarray) -> float:
    return max(float(np.percentile(image, 99.7)), 1e-9)


def _blend(images: Sequence[np.ndarray], limits: Sequence[float], hues: Sequence[str]) -> np.ndarray:
    from matplotlib.colors import to_rgb

    total = np.zeros((*images[0].shape, 3))
    for image, limit, hue in zip(images, limits, hues, strict=True):
        total += np.clip(image / limit, 0, 1)[..., None] * np.array(to_rgb(hue))
    # Where all elements are together the sum of their colours is white and shows nothing.
    return np.clip(total / max(1.0, len(images) / 2), 0, 1)


def _colour_map(hue: str) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list('element', ['#000000', hue])


def _page(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=_PAPER, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_facecolor('#000000')
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_color('#30363d')
    return figure, axes


def _graph(width: float, height: float) -> tuple[Figure, Axes]:
    figure, axes = _graphs(1, width, height)
    return figure, axes[0]


def _graphs(rows: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure, axes = _page(rows, 1, width, height)
    for axis in axes[:, 0]:
        axis.set_facecolor(_PAPER)
        axis.xaxis.set_major_locator(_locator())
        axis.yaxis.set_major_locator(_locator())
        axis.tick_params(colors=_FAINT, labelsize=9, which='both')
        axis.xaxis.label.set_color(_INK)
        axis.yaxis.label.set_color(_INK)
        axis.grid(color='#30363d', lw=0.6)
    return figure, list(axes[:, 0])


def _plain_logarithm(axis: Axes) -> None:
    """A logarithmic axis that writes 0.5, 1, 2 and no powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale('log')
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _locator() -> Any:
    from matplotlib.ticker import AutoLocator

    return AutoLocator()


def _scale_bar(axis: Axes, nx: int, ny: int, pixel: float) -> None:
    """A bar of a round length, about a quarter of the image wide."""
    wanted = nx * pixel / 4
    power = 10.0 ** np.floor(np.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    x, y = 0.05 * nx, ny - 0.08 * ny
    axis.plot([x, x + length / pixel], [y, y], color='white', lw=3, solid_capstyle='butt')
    axis.text(x, y - 0.04 * ny, f'{length:g} nm', color='white', fontsize=8, ha='left', va='bottom')


def _save(figure: Figure, path: Path) -> Path:
    replacing(path, lambda partial: figure.savefig(partial, dpi=_DPI, facecolor=figure.get_facecolor()))
    return path
