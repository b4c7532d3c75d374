"""One spectrum explained: the background is that of the model, sums are those of the edges, ranges that overlap stay apart."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.simulate.core_loss import manganese, oxygen, power_law
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows
from napari_diptomo.spectra.eels.explained_edges import explain_edges

ENERGY = np.arange(460.0, 720.0, 0.5)


def test_background_and_sums() -> None:
    law = power_law(ENERGY, 500.0)
    edge = 1e5 * oxygen(ENERGY)
    found = explain_edges(ENERGY, law + edge, [EdgeWindows.of('O_K')])
    window = EdgeWindows.of('O_K')
    inside = (window.signal[0] <= ENERGY) & (window.signal[1] > ENERGY)
    assert found.sums['O_K'] == pytest.approx(edge[inside].sum(), rel=0.02)
    np.testing.assert_allclose(found.background[inside], law[inside], rtol=0.01)
    assert np.isnan(found.background[window.signal[1] + 1 < ENERGY]).all() and found.chi2 < 0.1


def test_overlapping_ranges_stand_on_their_own_background() -> None:
    counts = power_law(ENERGY, 500.0) + 1e5 * oxygen(ENERGY) + 1e5 * manganese('Mn2+', ENERGY)
    found = explain_edges(ENERGY, counts, [EdgeWindows.of('Mn_L'), EdgeWindows.of('O_K')])
    assert found.wanted == ('O_K', 'Mn_L')
    for name in found.wanted:
        shown = found.families[name] != 0
        np.testing.assert_allclose((found.background + found.families[name])[shown], counts[shown])


def test_nothing_to_explain_is_one_sentence() -> None:
    with pytest.raises(InputError, match='No edge'):
        explain_edges(ENERGY, np.ones(len(ENERGY)), [])
    with pytest.raises(InputError, match='end of the spectra'):
        explain_edges(ENERGY, np.ones(len(ENERGY)), [EdgeWindows.of('Fe_L')])
