r"""Counts of edges above an extrapolated background, for maps of any edge; MLLS to compare with.

*Edge counts* (Egerton, EELS in the Electron Microscope, ch. 4): a background model is
fitted in front of the edge and extrapolated under it; what is above it in a
window is the signal. Here A E^-r (or A e^-rE) with the r of the tilt's sum, and at a pixel
its height and, linearly, its slope,

    b(E) = E^-r (x_0 + x_1 log E),    signal = sum_W n - sum_W b,

by least squares weighted by the tilt's mean spectrum. That is linear in the
counts: no bias however few they are, and the variance follows from what the
neighbours make expect of the counts, extrapolation included.

*Atoms* per area: counts over the cross section in the window and the electrons of
the pixel.

*MLLS*: multiple linear least squares of given standards and a power law, all
channels alike, as the commercial programs have it.

Both need the background to follow the model: on the tail of a plasmon it does
not. White lines: `white_line_ratio`.

Formulas: counts of an edge above its background (`edge_maps`); multiple linear least squares, MLLS (`mlls`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from napari_diptomo.series import Finding, InputError, MapSeries, Observer, SpectralTiltSeries, Watch
from napari_diptomo.series.neighbour_mean import neighbours
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.common.power_law import exponent_of_counts
from napari_diptomo.spectra.eels.edge_cross_sections import BARN, CrossSections
from napari_diptomo.spectra.eels.edge_spectra import EdgeSpectra, edge_spectra, has_zero_loss
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows

#: What is extrapolated under an edge.
BackgroundLaw = Literal['power law', 'exponential']

#: The variance is that of the neighbours, over so many pixels, and at least this share of the mean of its tilt.
_SMOOTH_PIXELS, _LEAST_EXPECTED = 2.0, 0.05
#: A chi-square up to this is that of counting; it is looked at where so many channels are fitted.
_SCATTER, _LEAST_FREEDOM = 1.3, 8
#: Of the range of the background this much is fitted to test how it extends.
_FITTED, _LEAST_AHEAD = 0.6, 3
#: Where the exponent is looked for.
_EXPONENTS: dict[BackgroundLaw, tuple[float, float]] = {'power law': (0.5, 8.0), 'exponential': (0.5, 40.0)}


@dataclass(frozen=True, eq=False)
class EdgeCounts:
    """Maps of edges with what their sums say of the background.

    Attributes
    ----------
    data, variance : ndarray (edge, tilt, y, x), float32
        Counts, and the variance that the neighbours make expect.
    residual : ndarray (tilt, y, x), optional
        Chi-square of the fit per degree of freedom; None where nothing was fitted behind the onset.
    tests : dict of str to BackgroundTest
        By edge.
    findings : tuple of Finding
        Of the fit.
    """

    data: np.ndarray
    variance: np.ndarray
    residual: np.ndarray | None = None
    tests: dict[str, BackgroundTest] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def edge_maps(
    series: SpectralTiltSeries,
    edges: Sequence[str | EdgeWindows],
    *,
    background: BackgroundLaw = 'power law',
    gos_file: str = '',
    atoms: bool = False,
    observer: Observer | None = None,
) -> MapSeries:
    """Edge counts of any elements above a background that is extrapolated under the edge; energies as they are.

    Parameters
    ----------
    series : SpectralTiltSeries
        EELS; an edge is looked for in the low loss and then in the core loss,
        and all must be in the same part.
    edges : sequence of str or EdgeWindows
        Edges such as ``'Fe_L3'``, or with windows of one's own.
    background : {'power law', 'exponential'}
        What is extrapolated.
    gos_file : str
        Tabulated oscillator strengths (.gosh); only with ``atoms``.
    atoms : bool
        Divide by the cross section in the window and by the electrons of the
        pixel (low loss only): atoms per nm^2 instead of counts.
    observer : Observer, optional
        Asked at every tilt.

    Returns
    -------
    MapSeries
        One channel per edge with its variance; angles of the core loss where
        the edges lie there.

    Raises
    ------
    InputError
        An edge outside the spectra or at their end, an unknown edge, or no cross section for it.
    """
    windows = tuple(edge if isinstance(edge, EdgeWindows) else EdgeWindows.of(edge) for edge in edges)
    spectra = edge_spectra(series, windows, calibrated=False)
    windows = spectra.windows
    per_count = None
    if atoms:
        sections = CrossSections.of(series.metadata, gos_file)
        per_count = per_count_and_electron(sections, spectra, windows)
    made = extrapolated_maps(spectra, windows, background, observer=observer)
    return assembled(spectra, windows, made, background, 'counts' if per_count is None else 'atoms/nm2', per_count)


def per_count_and_electron(sections: CrossSections, spectra: EdgeSpectra, windows: Sequence[EdgeWindows]) -> np.ndarray:
    """Atoms per nm^2 of each count, (edge, tilt, y, x).

    Raises
    ------
    InputError
        The electrons of a pixel are not known.
    """
    series, core = spectra.series, spectra.is_core_loss
    ratio = electrons_ratio(series, core)
    per_barn = [1 / (BARN * sections.in_window(window, spectra.energy)) for window in windows]
    low = [np.asarray(series.counts[t], float).sum(axis=-1) for t in spectra.tilts]
    found: np.ndarray = np.array(per_barn)[:, None, None, None] / np.maximum(ratio * np.stack(low), 1e-9)
    return found


def electrons_ratio(series: SpectralTiltSeries, core: bool) -> float:
    """Electrons of the spectra that hold the edges relative to those of the low loss: 1, or for a core loss by the dwell times.

    Raises
    ------
    InputError
        No zero loss, or a core loss whose dwell times are not recorded.
    """
    if not has_zero_loss(series):
        raise InputError(
            'Atoms per area need the electrons of the pixel, which a core loss does not hold; map relative atoms.'
        )
    if not core:
        return 1.0
    assert series.core_loss is not None
    times = [float(part.get('dwell_time') or 0) for part in (series.core_loss.metadata, series.metadata)]
    if not all(times):
        raise InputError(
            'Atoms per area need the electrons of the pixel, which a core loss does not hold, and the dwell times, by which the '
            'low loss would have them, are not recorded; map relative atoms.'
        )
    return times[0] / times[1]


def extrapolated_maps(
    spectra: EdgeSpectra,
    windows: Sequence[EdgeWindows],
    background: BackgroundLaw = 'power law',
    observer: Observer | None = None,
) -> EdgeCounts:
    """Counts above an extrapolated background at every pixel, and what the sums say of the background.

    Parameters
    ----------
    spectra : EdgeSpectra
        They hold all windows.
    windows : sequence of EdgeWindows
        Edges.
    background : {'power law', 'exponential'}
        What is extrapolated.
    observer : Observer, optional
        Asked at every tilt.

    Raises
    ------
    InputError
        No edge.
    """
    if not windows:
        raise InputError('No edges are chosen; name some, e.g. Fe_L3, O_K.')
    shape = (len(windows), *spectra.shape)
    data, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    scatter = [1.0]
    total = np.zeros(len(spectra.energy))
    watch = Watch(observer, 'Edge maps', len(spectra.tilts))
    for i in range(len(spectra.tilts)):
        counts = spectra.tilt(i)
        total += counts.sum(axis=0)
        for e, window in enumerate(windows):
            signal, raw = extrapolated(counts, spectra.energy, window, background)
            data[e, i] = signal.reshape(shape[2:])
            scatter.append(excess_scatter(_misfit(counts, spectra.energy, window, background)))
            variance[e, i] = expected_variance(raw.reshape(shape[2:])) * scatter[-1]
        watch.step(i + 1, message=f'edges of tilt {i + 1} of {len(spectra.tilts)}')
    tests = {w.name: tested_background(spectra.energy, total, w, background) for w in windows}
    return EdgeCounts(data, variance, None, tests, scatter_findings(max(scatter)))


def excess_scatter(chi2: np.ndarray) -> float:
    """Factor on a variance by counting: the median chi-square of the pixels, 1 where that is about 1."""
    median = float(np.median(chi2))
    return median if median > _SCATTER else 1.0


def scatter_findings(scale: float) -> tuple[Finding, ...]:
    """A note where pixels scatter about their fit by more than counting, ``scale`` times its variance."""
    if scale <= _SCATTER:
        return ()
    sentence = (
        f'Pixels scatter about the fit {np.sqrt(scale):.2g} times as much as counting makes expect: several counts per '
        'electron, noise of the camera, or a background of another shape. Errors are given as large as the scatter.'
    )
    return (Finding('note', 'noise', sentence, {'chi2': scale}),)


def expected_variance(raw: np.ndarray) -> np.ndarray:
    """Variance (y, x) as the neighbours make expect, from that by each pixel's own counts."""
    expected = neighbours(raw, _SMOOTH_PIXELS)
    found: np.ndarray = np.maximum(expected, _LEAST_EXPECTED * expected.mean())
    return found


def assembled(
    spectra: EdgeSpectra,
    windows: Sequence[EdgeWindows],
    made: EdgeCounts,
    background: str,
    unit: str,
    per_count: np.ndarray | None = None,
) -> MapSeries:
    """The maps as a series, in another unit where ``per_count`` (edge, tilt, y, x) says how much a count is."""
    series, tilts = spectra.series, list(spectra.tilts)
    scale = np.ones(1) if per_count is None else per_count
    variance = made.variance * scale**2
    return MapSeries(
        made.data * scale,
        series.angles[tilts],
        tuple(window.name for window in windows),
        series.pixel_size,
        variance=np.maximum(variance, variance[variance > 0].min() if (variance > 0).any() else 1.0),
        residual=made.residual,
        haadf=None if series.haadf is None else series.haadf[tilts],
        haadf_series=series.haadf_series,
        transposed=series.transposed,
        notes={
            'edges': {w.name: [*w.before, *w.signal] for w in windows},
            'background': background,
            'unit': {'atoms/nm2': 'atoms/nm^2'}.get(unit, unit),
            **spectra.notes,
        },
        findings=(*spectra.findings, *made.findings),
    )


def extrapolated(
    counts: np.ndarray, energy: np.ndarray, window: EdgeWindows, background: BackgroundLaw = 'power law'
) -> tuple[np.ndarray, np.ndarray]:
    """Signal above an extrapolated background, and its variance as the pixel's own counts have it, (pixel,) each.

    Parameters
    ----------
    counts : ndarray (pixel, energy)
        Spectra.
    energy : ndarray (energy,)
        eV.
    window : EdgeWindows
        Where.
    background : {'power law', 'exponential'}
        What is extrapolated.
    """
    before, under = between(energy, window.before), between(energy, window.signal)
    if not (counts[:, before].mean(axis=0) > 0).any():
        return np.zeros(len(counts)), np.full(len(counts), 1.0)
    columns, operator = _fit_in_front(counts, energy, before, background)
    # What a count in front of the edge takes from the signal.
    taken = columns[under].sum(axis=0) @ operator
    signal = counts[:, under].sum(axis=1) - counts[:, before] @ taken
    expected = np.maximum(counts, 0)
    return signal, expected[:, under].sum(axis=1) + expected[:, before] @ taken**2


def extrapolated_background(
    counts: np.ndarray, energy: np.ndarray, window: EdgeWindows, background: BackgroundLaw = 'power law'
) -> np.ndarray:
    """Background of one spectrum as fitted in front of an edge, on all channels, (energy,).

    Parameters
    ----------
    counts, energy : ndarray (energy,)
        Counts; eV.
    window : EdgeWindows
        Where the background is fitted.
    background : {'power law', 'exponential'}
        What is extrapolated.
    """
    before = between(energy, window.before)
    if not (counts[before] > 0).any():
        return np.zeros(len(energy))
    columns, operator = _fit_in_front(counts[None], energy, before, background)
    found: np.ndarray = columns @ (operator @ counts[before])
    return found


def _fit_in_front(
    counts: np.ndarray, energy: np.ndarray, before: np.ndarray, background: BackgroundLaw
) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the background, (energy, 2), and the operator from counts in front to their heights, (2, channel in front)."""
    mean = np.maximum(counts[:, before].mean(axis=0), 0)
    columns = background_columns(energy, before, mean, background)
    weight = 1 / np.maximum(mean, 0.02 * mean.mean())
    fitted = columns[before]
    return columns, np.linalg.solve(fitted.T @ (weight[:, None] * fitted), fitted.T * weight)


def _misfit(counts: np.ndarray, energy: np.ndarray, window: EdgeWindows, background: BackgroundLaw) -> np.ndarray:
    """Chi-square per degree of freedom of the background of each pixel in front of the edge, (pixel,)."""
    before = between(energy, window.before)
    if before.sum() < _LEAST_FREEDOM or not (counts[:, before].mean(axis=0) > 0).any():
        return np.ones(len(counts))
    columns, operator = _fit_in_front(counts, energy, before, background)
    fitted = (counts[:, before] @ operator.T) @ columns[before].T
    mean = np.maximum(counts[:, before].mean(axis=0), 0)
    expected = np.maximum(fitted, 0.02 * mean.mean())
    found: np.ndarray = ((counts[:, before] - fitted) ** 2 / expected).sum(axis=1) / (before.sum() - 2)
    return found


@dataclass(frozen=True)
class BackgroundTest:
    """Evidence of the sum of all pixels on an extrapolated background.

    Attributes
    ----------
    signal, deviation : float
        Counts of the edge in the sum, and their standard deviation by counting.
    other_law : float
        Signal with the other law, power law or exponential, relative to ``signal``, less one.
    short_range : float
        What the background is wrong by within its own range, its last two fifths predicted from the rest: carried to the
        window of the edge, relative to ``signal``.
    short_range_sigma : float
        That in standard deviations.
    other_law_sigma : float
        The same of the other law: large where the range itself rules it out.
    """

    signal: float
    deviation: float
    other_law: float
    short_range: float
    short_range_sigma: float
    other_law_sigma: float


def tested_background(
    energy: np.ndarray, total: np.ndarray, window: EdgeWindows, background: BackgroundLaw = 'power law'
) -> BackgroundTest:
    """Try an extrapolation on the sum of all pixels.

    Parameters
    ----------
    energy, total : ndarray (energy,)
        eV; summed counts.
    window : EdgeWindows
        Where.
    background : {'power law', 'exponential'}
        What is extrapolated.
    """
    counts = np.asarray(total, float)[None]
    (signal,), (variance,) = extrapolated(counts, energy, window, background)
    other: BackgroundLaw = 'exponential' if background == 'power law' else 'power law'
    (alternative,), _ = extrapolated(counts, energy, window, other)
    size = max(abs(float(signal)), 1e-9)
    under = float(counts[0, between(energy, window.signal)].sum() - signal)
    short, sigma = _ahead(counts, energy, window, background)
    _, other_sigma = _ahead(counts, energy, window, other)
    moved = float(alternative - signal) / size
    return BackgroundTest(float(signal), float(np.sqrt(variance)), moved, short * under / size, sigma, other_sigma)


def _ahead(
    counts: np.ndarray, energy: np.ndarray, window: EdgeWindows, background: BackgroundLaw
) -> tuple[float, float]:
    """Error of a background in the last part of its range, relative to itself and in standard deviations."""
    middle = window.before[0] + _FITTED * (window.before[1] - window.before[0])
    ahead = EdgeWindows(window.name, (window.before[0], middle), (middle, window.before[1]))
    if min(between(energy, part).sum() for part in (ahead.before, ahead.signal)) < _LEAST_AHEAD:
        return 0.0, 0.0
    (wrong,), (variance,) = extrapolated(counts, energy, ahead, background)
    there = float(counts[0, between(energy, ahead.signal)].sum() - wrong)
    return float(wrong) / max(there, 1e-9), float(wrong) / max(float(np.sqrt(variance)), 1e-9)


def mlls(
    counts: np.ndarray,
    energy: np.ndarray,
    standards: np.ndarray,
    window: tuple[float, float],
    before: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Multiple linear least squares: coefficients of given standards over a power law.

    Parameters
    ----------
    counts : ndarray (pixel, energy)
        Spectra.
    energy : ndarray (energy,)
        eV.
    standards : ndarray (energy, standard)
        Shapes.
    window : tuple of float
        Ends of the fit, eV.
    before : tuple of float
        In front of the edge, where the sum determines the exponent, eV.

    Returns
    -------
    coefficients : ndarray (pixel, standard)
        In units of the standards.
    variance : ndarray (pixel, standard)
        Of counting.
    """
    inside, front = between(energy, window), between(energy, before)
    law = background_columns(energy, front, np.maximum(counts[:, front].mean(axis=0), 0))
    columns = np.hstack([standards, law[:, :1]])[inside]
    operator = np.linalg.pinv(columns)[: standards.shape[1]]
    return counts[:, inside] @ operator.T, np.maximum(counts[:, inside], 0) @ (operator**2).T


def background_columns(
    energy: np.ndarray, before: np.ndarray, mean: np.ndarray, background: BackgroundLaw = 'power law'
) -> np.ndarray:
    """A background law and, to first order, its change with the exponent, on all channels.

    Parameters
    ----------
    energy : ndarray (energy,)
        eV.
    before : ndarray (energy,), bool
        Channels in front of the edge.
    mean : ndarray (channel in front,)
        Mean spectrum there, which determines the exponent.
    background : {'power law', 'exponential'}
        E^-r or e^-rE.

    Returns
    -------
    ndarray (energy, 2)
        One at the middle of the channels in front; times the logarithm of the relative energy.
    """
    relative = np.maximum(energy, 1.0) / energy[before].mean()
    if background == 'exponential':
        relative = np.exp(relative - 1)
    deviation = np.sqrt(np.maximum(mean, 0.02 * max(float(mean.mean()), 1e-9)))
    law = relative ** -exponent_of_counts(relative[before], mean, deviation, _EXPONENTS[background])
    columns: np.ndarray = np.stack([law, law * np.log(relative)], axis=1)
    return columns
