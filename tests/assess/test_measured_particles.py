"""Measured Fe-Pt particles with one set of factors, against eXSpy's quantification of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import Composition, EDXMaps, Recipe, Volume
from napari_diptomo.series import SpectralTiltSeries

#: eXSpy's own example of factors for Fe Ka and Pt La.
EXSPY_FACTORS = {'Fe_Ka': 1.450226, 'Pt_La': 5.075602}


def iron_percent(signal, folder: Path, **fields) -> float:
    """at.% of iron of the summed maps, with factors of the alpha lines."""
    data = signal.data if signal.data.ndim == 3 else signal.data[None, None]
    axis = signal.axes_manager.signal_axes[0]
    energy = axis.offset + axis.scale * np.arange(axis.size)
    metadata = {'beam_energy': 200.0, 'energy_resolution_MnKa': 133.3}
    series = SpectralTiltSeries(np.asarray(data)[None], energy, [0.0], 1.0, metadata=metadata, recipe=Recipe())
    maps = EDXMaps(elements=('Fe', 'Pt', 'Cu'), holdout=0.0).run(series).select(('Fe', 'Pt'))
    sums = maps.data.sum(axis=(1, 2, 3))[:, None, None, None] / data.shape[0] / data.shape[1]
    if 'table' in fields:
        path = folder / 'k.csv'
        path.write_text(fields.pop('table'))
        fields['factor_table'] = str(path)
    step = Composition(smooth=0.0, least_counts=0.0, **fields)
    return step.run(Volume(sums, ('Fe', 'Pt'), notes=maps.notes)).notes['composition']['mean']['Fe']


WAYS = (
    {'table': 'Fe_Ka, 1.450226\nPt_La, 5.075602\n'},
    {'k_factors': tuple(EXSPY_FACTORS.values()), 'factors_of': 'alpha line'},
    {'k_factors': tuple(EXSPY_FACTORS.values()), 'lines': tuple(EXSPY_FACTORS)},
    {'table': 'Fe_K, 1.450226\nPt_L, 5.075602\n', 'factors_of': 'alpha line'},
)


def test_the_fept_example_of_exspy_with_its_factors(tmp_path: Path) -> None:
    """16.0 at.% Fe by eXSpy's model above 4 keV, 15.4 by its windows less background."""
    import exspy

    signal = exspy.data.EDS_TEM_FePt_nanoparticles()
    for fields in WAYS:
        assert iron_percent(signal, tmp_path, **fields) == pytest.approx(16.0, abs=1.0)


def test_the_nist_particles_with_the_factors_of_exspy(shared_data: Path, tmp_path: Path) -> None:
    """80.3 at.% Fe by eXSpy's model above 4 keV; 69 with factors of lines applied to families."""
    import hyperspy.api as hs

    signal = hs.load(shared_data / 'spectra' / 'nist_core_shell.hspy')
    assert iron_percent(signal, tmp_path, **WAYS[0]) == pytest.approx(80.3, abs=1.0)
