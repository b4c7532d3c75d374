r"""Edges and background of every pixel fitted together, with cross sections as the shapes of the edges.

Nothing is extrapolated: the counts of a pixel are a background that the sum of the tilt determines (`background`),
adjusted at the pixel, and the cross section of every edge with an intensity of its own (`edge_fit`). So edges that
overlap, each on the tail of the one before, are separated, and what the background can take from an edge is in its
error. Cross sections of free atoms do not have the fine structure: the channels behind each onset that hold it are
left out of the fit. Edges far apart are fitted in groups, each over its own background.

A map counts what the fitted cross section has within the window of the signal: the edge without its white lines.

Chi-square above one means noise beyond counting (a camera has several counts per electron), or shapes that are not
those of the cross sections; the variance is multiplied by it.

Formulas: edges with cross sections as shapes (`fitted_maps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from napari_diptomo.series import Finding, InputError, Observer, Watch
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.eels.background import BackgroundModel
from napari_diptomo.spectra.eels.edge_counts import EdgeCounts, excess_scatter, expected_variance, scatter_findings
from napari_diptomo.spectra.eels.edge_cross_sections import CrossSections
from napari_diptomo.spectra.eels.edge_fit import EdgeFit, fit_edges
from napari_diptomo.spectra.eels.edge_spectra import EdgeSpectra
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows

#: An edge is fitted up to so far behind its onset, relative to it and within limits, eV.
_BEHIND, _BEHIND_LIMITS = 0.18, (40.0, 160.0)
#: Behind the fine structure an edge must show this many channels.
_LEAST_CHANNELS = 6
#: A residual of the sum above this share of an edge is one that is reported.
_RESIDUAL = 0.2


def fitted_maps(
    spectra: EdgeSpectra,
    windows: Sequence[EdgeWindows],
    sections: CrossSections,
    background: BackgroundModel = 'power law',
    *,
    fine_structure: float = 30.0,
    observer: Observer | None = None,
) -> EdgeCounts:
    """Fit edges and background together at every pixel.

    Parameters
    ----------
    spectra : EdgeSpectra
        They hold all windows.
    windows : sequence of EdgeWindows
        Edges of the table.
    sections : CrossSections
        Shapes of the edges.
    background : {'power law', 'exponential', 'sum of power laws', 'log-polynomial'}
        Model of the background.
    fine_structure : float
        Left out behind each onset, eV.
    observer : Observer, optional
        Asked at every tilt.

    Raises
    ------
    InputError
        No edge, one without cross section, or with nothing of it behind its fine structure.
    """
    if not windows:
        raise InputError('No edges are chosen; name some, e.g. Fe_L3, O_K.')
    energy = spectra.energy
    shapes = {w.name: _unit_shape(w, energy, sections) for w in windows}
    data = np.empty((len(windows), *spectra.shape), np.float32)
    variance = np.empty_like(data)
    chi2: list[np.ndarray] = []
    worst = {w.name: 0.0 for w in windows}
    groups = [(group, _used(group, energy, fine_structure)) for group in _groups(windows, energy)]
    watch = Watch(observer, 'Edge maps', len(spectra.tilts))
    for i in range(len(spectra.tilts)):
        counts, misfit = spectra.tilt(i), []
        for group, used in groups:
            columns = np.stack([shapes[w.name] for w in group], axis=1)[used]
            ends = float(energy[used][0]), float(energy[used][-1])
            fit = fit_edges(counts[:, used], energy[used], columns, background, window=ends, allow_negative=True)
            for k, window in enumerate(group):
                e = windows.index(window)
                raw = fit.covariance[:, k, k] * excess_scatter(fit.chi2)
                data[e, i] = fit.intensities[:, k].reshape(spectra.shape[1:])
                variance[e, i] = expected_variance(raw.reshape(spectra.shape[1:]))
                worst[window.name] = max(worst[window.name], _residual(fit, window, columns[:, k], k))
            misfit.append(fit.chi2)
        chi2.append(np.mean(misfit, axis=0).reshape(spectra.shape[1:]))
        watch.step(i + 1, message=f'edges of tilt {i + 1} of {len(spectra.tilts)}')
    residual = np.stack(chi2).astype(np.float32)
    return EdgeCounts(
        data, variance, residual, {}, (*scatter_findings(float(np.median(residual))), *_misfits(worst, background))
    )


def _unit_shape(window: EdgeWindows, energy: np.ndarray, sections: CrossSections) -> np.ndarray:
    """Cross section of an edge, one count in its window of the signal, (energy,)."""
    whole = sections.shape(window, energy)
    return whole / whole[between(energy, window.signal)].sum()


def _range(window: EdgeWindows, energy: np.ndarray) -> tuple[float, float]:
    behind = float(np.clip(_BEHIND * window.onset, *_BEHIND_LIMITS))
    return window.before[0], min(max(window.onset + behind, window.signal[1]), float(energy[-1]))


def _groups(windows: Sequence[EdgeWindows], energy: np.ndarray) -> list[list[EdgeWindows]]:
    """Edges whose ranges overlap."""
    ordered = sorted(windows, key=lambda window: window.onset)
    groups = [ordered[:1]]
    for before, window in pairwise(ordered):
        if window.before[0] < _range(before, energy)[1]:
            groups[-1].append(window)
        else:
            groups.append([window])
    return groups


def _used(group: Sequence[EdgeWindows], energy: np.ndarray, fine_structure: float) -> np.ndarray:
    """Channels of a group that are fitted, (energy,), bool."""
    used = between(energy, (group[0].before[0], _range(group[-1], energy)[1]))
    starts = [window.before[1] for window in group]
    for window, following in zip(group, [*group[1:], None], strict=True):
        used &= ~between(energy, (window.before[1], window.onset + fine_structure))
        end = _range(window, energy)[1] if following is None else following.before[1]
        behind = used & between(energy, (window.onset + fine_structure, end))
        if behind.sum() < _LEAST_CHANNELS:
            raise InputError(
                f'{window.name} shows {behind.sum()} channels behind its fine structure, up to {end:.0f} eV; leave out less than '
                f'{fine_structure:g} eV, or extrapolate the background instead.'
            )
    if (used & (energy < starts[0])).sum() < _LEAST_CHANNELS:
        raise InputError(
            f'There is no background in front of {group[0].name}: {(used & (energy < starts[0])).sum()} channels; fit a wider range.'
        )
    return used


def _residual(fit: EdgeFit, window: EdgeWindows, shape: np.ndarray, index: int) -> float:
    """Largest residual of the sum near an edge relative to the edge there, averaged over some channels."""
    edge = float(fit.intensities[:, index].sum()) * shape
    behind = fit.energy > window.onset
    if not behind.any() or not edge[behind].max() > 0:
        return 0.0
    smooth = np.convolve(fit.tilt.residual, np.ones(5) / 5, mode='same')
    return float(np.abs(smooth[behind]).max() / edge[behind].max())


def _misfits(worst: dict[str, float], background: str) -> tuple[Finding, ...]:
    far = {name: share for name, share in worst.items() if share > _RESIDUAL}
    if not far:
        return ()
    named = ', '.join(f'{name} {100 * share:.0f} %' for name, share in far.items())
    sentence = (
        f'The sum of the pixels differs from background ({background}) and cross section by more than the edge bears: {named} of '
        'it. An edge that is not named, fine structure or plural scattering may be there; name it, leave out more, or take '
        'plural scattering out.'
    )
    return (
        Finding('doubt', 'fit of the edges', sentence, {f'{name}, share of the edge': s for name, s in far.items()}),
    )
