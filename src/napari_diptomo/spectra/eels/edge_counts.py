r"""Conventional routes, to compare with: maps of edges above an extrapolated background, MLLS.

*Edge maps* (Egerton, EELS in the Electron Microscope, ch. 4): a power law is
fitted in front of the edge and drawn through under it; what is above it in a
window is the signal. Here A E^-r with the r of the tilt's sum, and at a pixel
its height and, linearly, its slope,

    b(E) = E^-r (x_0 + x_1 log E),    signal = sum_W n - sum_W b,

by least squares weighted by the tilt's mean spectrum. That is linear in the
counts: no bias however few they are, and the variance follows from n itself,
extrapolation included.

*MLLS*: multiple linear least squares of given standards and a power law, all
channels alike, as the commercial programs have it.

Both need the background to be a power law: on the tail of a plasmon it is
not. White lines: `white_line_ratio`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from napari_diptomo.series import InputError, MapSeries, Observer, SpectralTiltSeries, Watch
from napari_diptomo.series._inspection import inspect
from napari_diptomo.spectra.common.exspy_adapter import edge_cross_section, edge_onsets

#: Widths before and behind an onset, relative to it and within limits in eV.
_BEFORE, _BEFORE_LIMITS = 0.12, (8.0, 60.0)
_BEHIND, _BEHIND_LIMITS = 0.08, (8.0, 50.0)
#: Kept free in front of an onset, relative to it and within limits, eV: tables give maxima of some edges.
_GAP, _GAP_LIMITS = 0.02, (2.0, 6.0)
#: nm^2 per barn.
_BARN = 1e-10


@dataclass(frozen=True)
class EdgeWindows:
    """Where an edge is measured.

    Attributes
    ----------
    name : str
        E.g. ``'Fe_L3'``.
    before, signal : tuple of float
        Where the background is fitted, and where the edge is summed, eV.
    """

    name: str
    before: tuple[float, float]
    signal: tuple[float, float]

    @classmethod
    def of(cls, edge: str) -> EdgeWindows:
        """Usual windows of an edge.

        Raises
        ------
        InputError
            An edge that is not in the table.
        """
        onset = edge_onsets().get(edge)
        if onset is None:
            raise InputError(f'There is no edge {edge!r} in the table; write it as Fe_L3, O_K or Mn_M3.')
        gap = float(np.clip(_GAP * onset, *_GAP_LIMITS))
        before = float(np.clip(_BEFORE * onset, *_BEFORE_LIMITS))
        behind = float(np.clip(_BEHIND * onset, *_BEHIND_LIMITS))
        return cls(edge, (onset - gap - before, onset - gap), (onset - gap, onset + behind))


def edge_maps(
    series: SpectralTiltSeries,
    edges: Sequence[str | EdgeWindows],
    *,
    gos_file: str = '',
    atoms: bool = False,
    observer: Observer | None = None,
) -> MapSeries:
    """Edge counts of any elements, background drawn through under the edge.

    Parameters
    ----------
    series : SpectralTiltSeries
        EELS; an edge is looked for in the low loss and then in the core loss,
        and all must be in the same part.
    edges : sequence of str or EdgeWindows
        Edges such as ``'Fe_L3'``, or with windows of one's own.
    gos_file : str
        Tabulated oscillator strengths (.gosh); only with ``atoms``.
    atoms : bool
        Divide by the cross section in the window and by the electrons of the
        pixel (low loss only): atoms per nm^2 instead of counts.
    observer : Observer, optional
        Told of every tilt.

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
        electrons = spectra.sum(axis=-1) if atoms else 1.0
        for e, window in enumerate(windows):
            signal, error = extrapolated(spectra.reshape(-1, len(energy)), energy, window)
            scale = per_count[e] / np.maximum(electrons, 1e-9)
            maps[e, i] = signal.reshape(shape[2:]) * scale
            variance[e, i] = error.reshape(shape[2:]) * scale**2
        watch.step(i + 1, message=f'edges of tilt {i + 1} of {len(tilts)}')
    return MapSeries(
        maps,
        series.angles[list(tilts)],
        tuple(window.name for window in windows),
        series.pixel_size,
        variance=np.maximum(variance, variance[variance > 0].min(initial=1.0)),
        haadf=None if series.haadf is None else series.haadf[list(tilts)],
        transposed=series.transposed,
        notes={'edges': {w.name: [*w.before, *w.signal] for w in windows}, 'unit': 'atoms/nm^2' if atoms else 'counts'},
    )


def extrapolated(counts: np.ndarray, energy: np.ndarray, window: EdgeWindows) -> tuple[np.ndarray, np.ndarray]:
    """Signal above a power law and its variance, (pixel,) each.

    Parameters
    ----------
    counts : ndarray (pixel, energy)
        Spectra.
    energy : ndarray (energy,)
        eV.
    window : EdgeWindows
        Where.
    """
    before, under = between(energy, window.before), between(energy, window.signal)
    mean = np.maximum(counts[:, before].mean(axis=0), 0)
    if not mean.any():
        return np.zeros(len(counts)), np.full(len(counts), 1.0)
    columns = power_law(energy, before, mean)
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
    """Multiple linear least squares: amounts of given standards over a power law.

    Parameters
    ----------
    counts : ndarray (pixel, energy)
        Spectra.
    energy : ndarray (energy,)
        eV.
    standards : ndarray (energy, standard)
        Shapes.
    window : tuple of float
        What is fitted, eV.
    before : tuple of float
        In front of the edge, where the sum tells the exponent, eV.

    Returns
    -------
    amounts : ndarray (pixel, standard)
    variance : ndarray (pixel, standard)
        Of counting.
    """
    inside, front = between(energy, window), between(energy, before)
    law = power_law(energy, front, np.maximum(counts[:, front].mean(axis=0), 0))
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


def power_law(energy: np.ndarray, before: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Columns E^-r and E^-r log E on all channels, r from the mean spectrum in front of the edge."""
    positive = np.maximum(energy, 1.0) / energy[before].mean()
    weight = 1 / np.maximum(mean, 0.02 * max(float(mean.mean()), 1e-9))

    def misfit(r: float) -> float:
        shape = positive[before] ** -r
        height = (weight * mean) @ shape / ((weight * shape) @ shape)
        return float((weight * (mean - height * shape) ** 2).sum())

    exponent = float(minimize_scalar(misfit, bounds=(0.5, 8.0), method='bounded').x)
    law = positive**-exponent
    columns: np.ndarray = np.stack([law, law * np.log(positive)], axis=1)
    return columns


def _per_count(
    series: SpectralTiltSeries, windows: Sequence[EdgeWindows], energy: np.ndarray, gos_file: str
) -> np.ndarray:
    """Atoms per nm^2 per count and electron of the pixel."""
    meta = series.metadata
    missing = [name for name in ('beam_energy', 'convergence_angle', 'collection_angle') if not meta.get(name)]
    if missing:
        raise InputError(
            f'Atoms need the {missing[0].replace("_", " ")}, which the files do not tell; map counts instead.'
        )
    if gos_file:
        try:
            inspect(gos_file)
        except InputError as error:
            raise InputError(f'The file of oscillator strengths (.gosh): {error}') from error
    found = []
    for window in windows:
        symbol, shell = window.name.split('_')
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


def between(energy: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Channels within limits, (energy,), bool."""
    inside: np.ndarray = (energy >= limits[0]) & (energy < limits[1])
    return inside
