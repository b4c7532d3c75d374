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

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_diptomo.series import InputError, MapSeries, Observer, SpectralTiltSeries, Watch
from napari_diptomo.series.neighbour_mean import neighbours
from napari_diptomo.series.reading.inspection import inspect
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.common.exspy_adapter import edge_cross_section, edge_onsets
from napari_diptomo.spectra.common.power_law import exponent_of_counts

#: What is extrapolated under an edge.
BackgroundLaw = Literal['power law', 'exponential']

#: Widths before and behind an onset, relative to it and within limits in eV.
_BEFORE, _BEFORE_LIMITS = 0.12, (8.0, 60.0)
_BEHIND, _BEHIND_LIMITS = 0.08, (8.0, 50.0)
#: Kept free in front of an onset, relative to it and within limits, eV: tables give maxima of some edges.
_GAP, _GAP_LIMITS = 0.02, (2.0, 6.0)
#: The variance is that of the neighbours, over so many pixels, and at least this share of the mean of its tilt.
_SMOOTH_PIXELS, _LEAST_EXPECTED = 2.0, 0.05
#: Where the exponent is looked for.
_EXPONENTS: dict[BackgroundLaw, tuple[float, float]] = {'power law': (0.5, 8.0), 'exponential': (0.5, 40.0)}
#: nm^2 per barn.
_BARN = 1e-10


@dataclass(frozen=True)
class EdgeWindows:
    """Where an edge is measured.

    Attributes
    ----------
    name : str
        E.g. ``'Fe_L3'``, or ``'Fe_L'`` for the edge of lowest energy of a shell.
    before, signal : tuple of float
        Where the background is fitted, and where the edge is summed, eV.
    """

    name: str
    before: tuple[float, float]
    signal: tuple[float, float]

    @classmethod
    def of(cls, edge: str, before: float | None = None, behind: float | None = None) -> EdgeWindows:
        """Typical windows of an edge.

        Parameters
        ----------
        edge : str
            Name.
        before, behind : float, optional
            Widths of the range of the background and, from the onset on, of the signal, eV; by default 12 % and 8 %
            of the onset, within limits.

        Returns
        -------
        EdgeWindows
            In front of the onset, and from it on.

        Raises
        ------
        InputError
            An edge that is not in the table.
        """
        onset = edge_onsets()[tabulated(edge)]
        gap = float(np.clip(_GAP * onset, *_GAP_LIMITS))
        before = float(np.clip(_BEFORE * onset, *_BEFORE_LIMITS)) if before is None else before
        behind = float(np.clip(_BEHIND * onset, *_BEHIND_LIMITS)) if behind is None else behind
        return cls(edge, (onset - gap - before, onset - gap), (onset - gap, onset + behind))


def tabulated(edge: str) -> str:
    """The name of an edge in the table: ``'Fe_L3'`` of ``'Fe_L'``, the edge of lowest energy of the shell.

    Raises
    ------
    InputError
        There is none.
    """
    onsets = edge_onsets()
    if edge in onsets:
        return edge
    shell = [name for name in onsets if re.fullmatch(r'[A-Z][a-z]?_[K-O]', edge) and name.startswith(edge)]
    if not shell:
        raise InputError(f'There is no edge {edge!r} in the table; write it as Fe_L, Fe_L3, O_K or Mn_M3.')
    return min(shell, key=lambda name: onsets[name])


def edge_maps(
    series: SpectralTiltSeries,
    edges: Sequence[str | EdgeWindows],
    *,
    background: BackgroundLaw = 'power law',
    gos_file: str = '',
    atoms: bool = False,
    observer: Observer | None = None,
) -> MapSeries:
    """Edge counts of any elements above a background that is extrapolated under the edge.

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
    if not windows:
        raise InputError('No edges are chosen; name some, e.g. Fe_L3, O_K.')
    counts, energy, tilts = _part(series, windows)
    if atoms and counts is not series.counts:
        raise InputError('Atoms need the electrons of the same spectra, which a core loss does not hold; map counts.')
    per_count = _per_count(series, windows, energy, gos_file) if atoms else np.ones(len(windows))
    shape = (len(windows), len(tilts), *counts.shape[1:3])
    maps, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    watch = Watch(observer, 'Edge maps', len(tilts))
    for i in range(len(tilts)):
        spectra = np.asarray(counts[i], float)
        electrons = spectra.sum(axis=-1) if atoms else np.ones(shape[2:])
        for e, window in enumerate(windows):
            signal, raw = extrapolated(spectra.reshape(-1, len(energy)), energy, window, background)
            scale = per_count[e] / np.maximum(electrons, 1e-9)
            maps[e, i] = signal.reshape(shape[2:]) * scale
            expected = neighbours(raw.reshape(shape[2:]) * scale**2, _SMOOTH_PIXELS)
            variance[e, i] = np.maximum(expected, _LEAST_EXPECTED * expected.mean())
        watch.step(i + 1, message=f'edges of tilt {i + 1} of {len(tilts)}')
    return MapSeries(
        maps,
        series.angles[list(tilts)],
        tuple(window.name for window in windows),
        series.pixel_size,
        variance=np.maximum(variance, variance[variance > 0].min() if variance.any() else 1.0),
        haadf=None if series.haadf is None else series.haadf[list(tilts)],
        transposed=series.transposed,
        notes={
            'edges': {w.name: [*w.before, *w.signal] for w in windows},
            'background': background,
            'unit': 'atoms/nm^2' if atoms else 'counts',
        },
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
    mean = np.maximum(counts[:, before].mean(axis=0), 0)
    if not mean.any():
        return np.zeros(len(counts)), np.full(len(counts), 1.0)
    columns = background_columns(energy, before, mean, background)
    weight = 1 / np.maximum(mean, 0.02 * mean.mean())
    fitted = columns[before]
    operator = np.linalg.solve(fitted.T @ (weight[:, None] * fitted), fitted.T * weight)
    # What a count in front of the edge takes from the signal.
    taken = columns[under].sum(axis=0) @ operator
    signal = counts[:, under].sum(axis=1) - counts[:, before] @ taken
    expected = np.maximum(counts, 0)
    return signal, expected[:, under].sum(axis=1) + expected[:, before] @ taken**2


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


def _part(series: SpectralTiltSeries, windows: Sequence[EdgeWindows]) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Counts, energies and tilts of the part of the series that holds the edges."""
    if series.energy_unit != 'eV':
        raise InputError('Edge maps are made of EELS spectra (eV), these are X-rays (keV); use the EDX maps.')
    parts = [(series.counts, series.energy, tuple(range(len(series.angles))))]
    if series.core_loss is not None:
        parts.append((series.core_loss.counts, series.core_loss.energy, series.core_loss.tilts))
    for counts, energy, tilts in parts:
        if all(energy[0] <= w.signal[0] <= energy[-1] for w in windows):
            for window in windows:
                check_window(energy, window)
            return counts, energy, tilts
    ranges = ' and '.join(f'{energy[0]:.0f}-{energy[-1]:.0f} eV' for _, energy, _ in parts)
    names = ', '.join(window.name for window in windows)
    raise InputError(f'The spectra, {ranges}, do not hold {names} together; choose edges of one part.')


def check_window(energy: np.ndarray, window: EdgeWindows) -> None:
    """See that an edge and what lies in front of it are in the spectra.

    Raises
    ------
    InputError
        They are not.
    """
    if energy[-1] < window.signal[1]:
        raise InputError(
            f'{window.name} lies at the end of the spectra: they end at {energy[-1]:.0f} eV and the edge is summed up '
            f'to {window.signal[1]:.0f} eV; record it further up, or choose another edge.'
        )
    if energy[0] > window.before[0] or between(energy, window.before).sum() < 4:
        raise InputError(
            f'There is no background in front of {window.name}: the spectra begin at {energy[0]:.0f} eV and should '
            f'begin below {window.before[0]:.0f} eV.'
        )


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


def _per_count(
    series: SpectralTiltSeries, windows: Sequence[EdgeWindows], energy: np.ndarray, gos_file: str
) -> np.ndarray:
    """Atoms per nm^2 per count and electron of the pixel."""
    meta = series.metadata
    missing = [name for name in ('beam_energy', 'convergence_angle', 'collection_angle') if not meta.get(name)]
    if missing:
        raise InputError(
            f'Atoms need the {missing[0].replace("_", " ")}, which the files do not record; map counts instead.'
        )
    if gos_file:
        try:
            inspect(gos_file)
        except InputError as error:
            raise InputError(f'The file of oscillator strengths (.gosh): {error}') from error
    found = []
    for window in windows:
        symbol, shell = tabulated(window.name).split('_')
        inside = between(energy, window.signal)
        # L3 brings L2 with it, M5 brings M4, M3 brings M2: one window holds both.
        shells = {'L3': ('L3', 'L2'), 'M5': ('M5', 'M4'), 'M3': ('M3', 'M2')}.get(shell, (shell,))
        try:
            total = sum(
                edge_cross_section(
                    f'{symbol}_{s}',
                    energy[inside],
                    beam_energy=meta['beam_energy'],
                    convergence=meta['convergence_angle'],
                    collection=meta['collection_angle'],
                    gos_file=gos_file,
                ).sum()
                for s in shells
            )
        except (OSError, KeyError, ValueError) as error:
            raise InputError(
                f'There is no cross section for {window.name}: without a file of oscillator strengths (.gosh) that '
                'holds it K and L edges only; give such a file, or map counts.'
            ) from error
        found.append(1 / (_BARN * float(total)))
    return np.array(found)
