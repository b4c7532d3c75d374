"""The graphs of a report: shell correlations and their criteria, by direction too, residuals, convergence."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.jobs.report.style import (
    DASHES,
    FAINT,
    INK,
    MARKERS,
    SMALL,
    ReportFigure,
    Table,
    darkened,
    inks,
)
from napari_diptomo.series import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    from napari_diptomo.assess import Consistency, HalfResolution, TiltPrediction

_CRITERIA = {0.143: '0.143', 0.5: '0.5'}
#: Panels of directions in one row.
_PANELS = 4
#: What the terms of the data are called in a fit.
_DEVIANCES = {'data': 'fitted counts', 'validation': 'held-out counts'}


def correlation_figures(found: HalfResolution) -> list[ReportFigure]:
    """Shell correlations over all directions with the criteria, and in cones about directions with the wedge.

    Parameters
    ----------
    found : HalfResolution

    Returns
    -------
    list of ReportFigure
    """
    frequency = found.curves[0].frequency / found.voxel_size
    curves = Table(
        ('frequency_per_nm', 'half_bit', *found.channels),
        np.column_stack([frequency, found.half_bit, *(curve.correlation for curve in found.curves)]),
    )
    low, high = found.tilts
    cones = {
        name: Table(
            ('direction_deg_from_x_to_z', *(f'{value:.5g}_per_nm' for value in frequency)),
            np.column_stack([found.directions, np.array([curve.correlation for curve in curves_of])]),
        )
        for name, curves_of in zip(found.channels, found.cones, strict=True)
    }
    rows, _ = _panel_grid(len(found.channels))
    return [
        ReportFigure(
            name='fsc',
            section='Resolution',
            caption='Fourier shell correlation (FSC) of two volumes, each of one half of the counts, over all directions, '
            f'with the criteria 0.143, 0.5 and half-bit. {found.method}.',
            height=62.0,
            draw=partial(_draw_curves, found),
            tables={'fsc': curves},
        ),
        ReportFigure(
            name='fsc-directions',
            section='Resolution',
            caption='The same in cones of 20° about directions in the plane of x and z (z along the beam at zero tilt), '
            f'against the spatial frequency, which is {frequency[-1]:.3g} nm⁻¹ at the rim. The tilts, {low:g}° to {high:g}°, measure what lies between the two dashed '
            'lines on the side of x; hatched: the missing wedge, about which the data say nothing. White line: where '
            'the correlation first falls below 0.143; grey: too few coefficients to say.',
            height=52.0 * rows,
            draw=partial(_draw_directions, found),
            tables=cones,
        ),
    ]


def _panel_grid(count: int) -> tuple[int, int]:
    """Rows and columns, the rows as even as can be."""
    rows = -(-count // _PANELS)
    return rows, -(-count // rows)


def _draw_curves(found: HalfResolution, figure: FigureBase) -> None:
    axis = figure.subplots()
    frequency = found.curves[0].frequency / found.voxel_size
    for level, name in _CRITERIA.items():
        axis.axhline(level, color=FAINT, lw=0.6, ls=(0, (4, 2)))
        axis.annotate(name, (frequency[-1], level), xytext=(2, 0), textcoords='offset points', va='center', color=FAINT)
    axis.plot(frequency, found.half_bit, color=INK, lw=0.8, ls=(0, (1, 1.5)), label='half-bit')
    hues = inks(found.channels)
    for number, (name, curve) in enumerate(zip(found.channels, found.curves, strict=True)):
        axis.plot(
            frequency,
            curve.correlation,
            color=hues[name],
            ls=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)],
            markevery=max(len(frequency) // 10, 1),
            label=name,
        )
    axis.set_xlim(0, frequency[-1])
    axis.set_ylim(min(-0.05, *(float(np.nanmin(curve.correlation)) for curve in found.curves)), 1.03)
    axis.set_xlabel('spatial frequency (nm⁻¹)')
    axis.set_ylabel('Fourier shell correlation')
    _plain(axis)
    _periods_above(axis)
    axis.legend(frameon=False, ncols=1, loc='upper left', bbox_to_anchor=(1.05, 1.0), handlelength=3)


def _periods_above(axis: Axes) -> None:
    """The period in nm along the upper edge, at round values."""
    low, high = axis.get_xlim()
    periods = [step * 10.0**power for power in range(4, -3, -1) for step in (5, 2, 1)]
    kept: list[float] = []
    for period in periods:
        at = 1 / period
        if 0.03 * high < at <= high and (not kept or at - 1 / kept[-1] > 0.06 * (high - low)):
            kept.append(period)
    upper = axis.secondary_xaxis('top')
    upper.set_xticks([1 / period for period in kept], [f'{period:g}' for period in kept])
    upper.set_xlabel('period (nm)')


def _draw_directions(found: HalfResolution, figure: FigureBase) -> None:
    rows, columns = _panel_grid(len(found.channels))
    axes: Any = figure.subplots(rows, columns, squeeze=False, subplot_kw={'projection': 'polar'})
    frequency = found.curves[0].frequency / found.voxel_size
    step = found.directions[1] - found.directions[0]
    # A direction and its opposite are one: half a turn is repeated.
    edges = np.radians(np.append(found.directions, found.directions[-1] + step) - step / 2)
    radii = np.append(0, (frequency[1:] + frequency[:-1]) / 2)
    radii = np.append(radii, frequency[-1])
    image: Any = None
    periods = found.periods_by_direction(0.143)
    for axis, name, cones, period in zip(axes.flat, found.channels, found.cones, periods, strict=False):
        values = np.array([curve.correlation for curve in cones]).T
        axis.set_facecolor('#c8c8c8')
        for turn in (0, np.pi):
            image = axis.pcolormesh(
                edges + turn, radii, np.ma.masked_invalid(values), cmap='cividis', vmin=0, vmax=1, rasterized=True
            )
        angles = np.radians([*found.directions, *(d + 180 for d in found.directions), found.directions[0] + 360])
        limit = np.minimum(1 / np.array(period), frequency[-1])
        axis.plot(angles, [*limit, *limit, limit[0]], color='white', lw=1.1)
        _draw_wedge(axis, found.tilts, frequency[-1])
        axis.set_title(name, pad=5)
        axis.set_thetagrids([0, 90], ['x', 'z'])
        axis.set_rlim(0, frequency[-1])
        axis.set_rticks([])
        axis.grid(False)
        axis.tick_params(pad=-1)
        axis.spines['polar'].set_linewidth(0.4)
    for axis in list(axes.flat)[len(found.channels) :]:
        axis.set_visible(False)
    bar = figure.colorbar(image, ax=list(axes.flat), shrink=0.75, pad=0.03, aspect=18)
    bar.set_label('FSC')
    bar.outline.set_linewidth(0.4)


def _draw_wedge(axis: Any, tilts: tuple[float, float], radius: float) -> None:
    """The outermost tilts as lines through the origin, what lies between them on the side of z hatched."""
    low, high = (np.radians(tilt) for tilt in tilts)
    for tilt in (low, high):
        for turn in (0, np.pi):
            axis.plot([tilt + turn] * 2, [0, radius], color='white', lw=0.9, ls=(0, (3, 1.5)))
    for start, end in ((high, low + np.pi), (high + np.pi, low + 2 * np.pi)):
        if end > start:
            axis.fill_between(
                np.linspace(start, end, 60), 0, radius, facecolor='none', edgecolor='white', hatch='////', lw=0
            )


def misfit_figure(found: Consistency) -> ReportFigure:
    """Residual of every tilt and channel in units of the noise.

    Parameters
    ----------
    found : Consistency

    Returns
    -------
    ReportFigure
    """
    headings = ['tilt_deg']
    for name in found.channels:
        headings += [f'misfit_{name}', f'standard_error_{name}']
    pairs = np.stack([found.misfit, found.misfit_error], axis=1).reshape(-1, len(found.angles))
    return ReportFigure(
        name='residuals',
        section='Residuals',
        caption='Mean square residual of the projections of the volume against the maps, in units of the noise variance, '
        'with standard errors; 1 (dashed) is what the true specimen leaves, a fit takes up some noise and lies below. '
        f'{100 * found.compared:.0f} % of the pixels are compared: those whose ray lies inside the volume.',
        height=55.0,
        draw=partial(_draw_misfit, found),
        tables={'residuals': Table(tuple(headings), np.column_stack([found.angles, pairs.T]))},
    )


def prediction_figure(found: TiltPrediction, section: str) -> ReportFigure:
    """Every tilt as the others predict it, in units of its noise.

    Parameters
    ----------
    found : TiltPrediction
    section : str
        Of the report.

    Returns
    -------
    ReportFigure
    """
    return ReportFigure(
        name='left-out-tilts',
        section=section,
        caption='Mean square of each image less its prediction by a volume of other tilts '
        f'({found.method}), in units of the noise variance, with standard errors; 1 (dashed) is the noise of the image alone. '
        'The outermost tilts are extrapolated.',
        height=55.0,
        draw=partial(_draw_misfit, found),
        tables={'left-out-tilts': Table(*found.table())},
    )


def _draw_misfit(found: Consistency | TiltPrediction, figure: FigureBase) -> None:
    axis = figure.subplots()
    order = np.argsort(found.angles)
    hues = inks(found.channels)
    axis.axhline(1, color=FAINT, lw=0.6, ls=(0, (4, 2)))
    for number, name in enumerate(found.channels):
        axis.errorbar(
            found.angles[order],
            found.misfit[number, order],
            found.misfit_error[number, order],
            color=hues[name],
            ls=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)],
            lw=0.7,
            elinewidth=0.6,
            capsize=1.5,
            label=name,
        )
    axis.set_xlabel('tilt (°)')
    axis.set_ylabel('residual² / noise variance')
    top = float((found.misfit + found.misfit_error).max())
    axis.set_ylim(0, max(1.1, 1.08 * top))
    _plain(axis)
    axis.legend(frameon=False, loc='upper left', bbox_to_anchor=(1.02, 1.0), handlelength=3)


def convergence_figure(volume: Volume) -> ReportFigure | None:
    """The terms of the fit against the iterations; None where the volume keeps none.

    Parameters
    ----------
    volume : Volume

    Returns
    -------
    ReportFigure or None
    """
    curves = {name: np.asarray(values, float) for name, values in volume.scores.items()}
    iterations = curves.pop('iteration', None)
    fits, weights = curves.pop('fit', None), curves.pop('weight', None)
    if iterations is None:
        return None
    known = {
        _DEVIANCES[name]: curves[name]
        for name in _DEVIANCES
        if name in curves and len(curves[name]) == len(iterations) and np.isfinite(curves[name]).sum() > 1
    }
    if not known:
        return None
    returned = volume.notes.get('returned_iteration')
    marked = '' if returned is None else f' The dashed line marks the returned iterate, {returned}.'
    begins = _begins(iterations, fits, weights)
    tried = ' Dotted: another fit, with the weight of the total variation that stands above it.' if begins else ''
    return ReportFigure(
        name='convergence',
        section='Convergence',
        caption=f'Misfit per datum of the {" and the ".join(known)} during the fit.{tried}{marked}',
        height=50.0,
        draw=partial(_draw_convergence, iterations, known, fits, begins, returned),
        tables={'convergence': Table(('iteration', *known), np.column_stack([iterations, *known.values()]))},
    )


def _begins(
    iterations: np.ndarray, fits: np.ndarray | None, weights: np.ndarray | None
) -> list[tuple[float, float, str]]:
    """First and last iteration and weight of the fits of a run that tries several weights; empty for other runs."""
    if fits is None or weights is None or len(weights) != len(iterations):
        return []
    firsts = [int(first) for first in np.flatnonzero(np.diff(fits, prepend=np.nan) != 0)]
    lasts = [first - 1 for first in (*firsts[1:], len(iterations))]
    return [
        (float(iterations[max(first - 1, 0)]), float(iterations[last]), f'{weights[first]:g}')
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _draw_convergence(
    iterations: np.ndarray,
    curves: dict[str, np.ndarray],
    fits: np.ndarray | None,
    begins: list[tuple[float, float, str]],
    returned: float | None,
    figure: FigureBase,
) -> None:
    axis = figure.subplots()
    for number, (begin, end, weight) in enumerate(begins):
        if number:
            axis.axvline(begin, color=FAINT, lw=0.6, ls=':')
        middle = ((begin + end) / 2, 1.01)
        # What is narrower than its number has none.
        if (end - begin) / begins[-1][1] > 0.012 * (len(weight) + 1):
            axis.text(*middle, weight, transform=axis.get_xaxis_transform(), ha='center', va='bottom', fontsize=SMALL)
    for number, (name, curve) in enumerate(curves.items()):
        known = np.isfinite(curve)
        x, y = iterations[known], curve[known]
        if fits is not None:
            gaps = np.flatnonzero(np.diff(fits[known])) + 1
            x, y = np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan)
        axis.plot(x, y, color=darkened(('#2ab0ff', '#ff9410')[number % 2]), ls=DASHES[number], label=name)
    if returned is not None:
        axis.axvline(float(returned), color=FAINT, lw=0.6, ls=(0, (4, 2)))
    if all((curve[np.isfinite(curve)] > 0).all() for curve in curves.values()):
        _plain_logarithm(axis)
    axis.set_xlabel('iteration')
    axis.set_ylabel('misfit per datum')
    _plain(axis)
    axis.legend(frameon=False, loc='upper left', bbox_to_anchor=(1.02, 1.0), fontsize=SMALL)


def _plain_logarithm(axis: Axes) -> None:
    """A logarithmic axis that writes 0.5, 1, 2 and no powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale('log')
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _plain(axis: Axes) -> None:
    axis.spines[['top', 'right']].set_visible(False)
