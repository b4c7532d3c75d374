"""The background and the edges of one spectrum, to be looked at before maps are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.eels.edge_counts import BackgroundLaw, extrapolated_background
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows, check_window


@dataclass(frozen=True, eq=False)
class ExplainedEdges:
    """Background of every edge, extrapolated, and what is above it; arrays are (energy,), NaN outside the ranges.

    Attributes
    ----------
    energy, counts : ndarray
        eV; the spectrum.
    model, background : ndarray
        Background in front of each edge and under it; below an edge both are alike.
    families : dict of str to ndarray
        Counts above the background in the window of each edge, by edge.
    residual : ndarray
        Of the fits in front of the edges, in standard deviations; zero elsewhere.
    chi2 : float
        Per degree of freedom of these.
    wanted : tuple of str
        Edges.
    sums : dict of str to float
        Counts of each edge in its window.
    """

    energy: np.ndarray
    counts: np.ndarray
    model: np.ndarray
    background: np.ndarray
    families: dict[str, np.ndarray]
    residual: np.ndarray
    chi2: float
    wanted: tuple[str, ...]
    sums: dict[str, float] = field(default_factory=dict)


def explain_edges(
    energy: np.ndarray, counts: np.ndarray, windows: Sequence[EdgeWindows], background: BackgroundLaw = 'power law'
) -> ExplainedEdges:
    """Fit the background in front of every edge of one spectrum.

    Parameters
    ----------
    energy, counts : ndarray (energy,)
        eV; the spectrum.
    windows : sequence of EdgeWindows
        Edges; of those that overlap the later one is shown over the earlier.
    background : {'power law', 'exponential'}
        What is extrapolated.

    Returns
    -------
    ExplainedEdges
        Arrays on ``energy``.

    Raises
    ------
    InputError
        An edge that is not in the range, no edge.
    """
    if not windows:
        raise InputError('No edge is chosen.')
    shown = np.full(len(energy), np.nan)
    residual = np.zeros(len(energy))
    owner = np.full(len(energy), -1)
    families: dict[str, np.ndarray] = {}
    sums, misfit, freedom = {}, 0.0, 0
    for window in sorted(windows, key=lambda one: one.signal):
        window = window.within(energy)
        check_window(energy, window)
        law = extrapolated_background(np.asarray(counts, float), energy, window, background)
        before, under = between(energy, window.before), between(energy, window.signal)
        first = int(np.flatnonzero(before | under)[0])
        shown[before | under] = law[before | under]
        # Pieces of two edges are not joined.
        shown[max(first - 1, 0)], owner[max(first - 1, 0)] = np.nan, -1
        standard = (counts - law) / np.sqrt(np.maximum(law, 1.0))
        residual[before] = standard[before]
        misfit, freedom = misfit + float((standard[before] ** 2).sum()), freedom + int(before.sum()) - 2
        families[window.name] = np.where(under, counts - law, 0.0)
        sums[window.name] = float(families[window.name].sum())
        owner[before | under] = len(families) - 1
    # Where ranges overlap, the later background is shown, and an earlier edge would stand on it.
    families = {name: np.where(owner == i, curve, 0.0) for i, (name, curve) in enumerate(families.items())}
    return ExplainedEdges(
        energy, counts, shown, shown, families, residual, misfit / max(freedom, 1), tuple(families), sums
    )
