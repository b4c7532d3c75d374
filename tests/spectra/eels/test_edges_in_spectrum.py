"""Edges that spectra hold: those that are there, on measured spectra too, and none where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.simulate.core_loss import core_loss_tilt_series
from napari_diptomo.spectra.eels.edges_in_spectrum import find_edges

DATA = Path(__file__).parents[4] / 'shared' / 'data'


def test_edges_of_a_simulated_oxide() -> None:
    series = core_loss_tilt_series(24, (0.0,)).series
    found = find_edges(series.energy, series.counts.sum(axis=(0, 1, 2)))
    assert [edge.edge for edge in found] == ['Mn_L', 'O_K']
    assert found[1].energy == pytest.approx(532, abs=2)


@pytest.mark.parametrize('counts', [0, 10, 1e3, 1e5])
def test_no_edge_on_a_power_law(counts: float) -> None:
    energy = np.arange(300.0, 800.0, 0.5)
    assert find_edges(energy, np.random.default_rng(0).poisson(counts * (energy / 500) ** -3.0)) == ()


@pytest.mark.parametrize(
    ('name', 'edges'),
    [
        ('eels-demos/LSMO_linescan.hspy', {'Mn_L', 'O_K'}),
        ('eels-demos/LSMO_STO_linescan.hspy', {'La_M', 'Mn_L', 'O_K', 'Ti_L'}),
        ('spectra/coreloss_spectrum.msa', {'Mn_L', 'O_K'}),
        ('eels-demos/CuZn_EELS_mapping_tutorial.hspy', {'Cu_L'}),
    ],
)
def test_edges_of_measured_spectra(name: str, edges: set[str]) -> None:
    if not (DATA / name).exists():
        pytest.skip('the measured spectra are not here')
    import hyperspy.api as hs

    signal = hs.load(DATA / name)
    signal = signal[0] if isinstance(signal, list) else signal
    axis = signal.axes_manager.signal_axes[0].axis
    spectrum = np.asarray(signal.data, float).reshape(-1, len(axis)).sum(axis=0)
    assert {edge.edge for edge in find_edges(axis, spectrum)} == edges
