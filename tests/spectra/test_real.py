"""The measured series (openNCEM, interplanetary dust): its known content. Skipped where the data are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.series import load_tilt_series
from napari_diptomo.spectra import EDXMaps, suggest_elements, sum_spectrum

DATA = Path(__file__).parents[2].parent / 'shared' / 'data' / 'openncem-edx'
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason='the openNCEM series is not here')


@pytest.fixture(scope='module')
def series():
    return load_tilt_series([DATA / f'{angle}.bcf' for angle in (-40, 0, 35)], binning=8)


@pytest.fixture(scope='module')
def maps(series):
    return EDXMaps(elements=('O', 'Mg', 'Si', 'Fe', 'Pt')).run(series)


def test_counts_per_pixel_are_those_of_the_files(series):
    assert sum_spectrum(series).sum() / 65536 / 3 == pytest.approx(17.9, abs=0.2)


def test_the_elements_of_the_dust_and_of_its_mount_are_suggested(series):
    found = suggest_elements(series)
    assert {'O', 'Mg', 'Si', 'Fe', 'Pt', 'Ti', 'Cu'} <= set(found)
    assert len(found) < 16


def test_net_counts_at_zero_tilt_are_those_measured_by_windows(maps):
    at_zero = maps.data[:, 1].sum(axis=(1, 2)) / 65536
    windows = np.array([0.37, 0.14, 0.20, 0.21])
    ratio = at_zero[:4] / windows
    assert (ratio > 0.5).all()
    # Windows of a peak leave part of the family outside.
    assert (ratio < 2.3).all()


def test_elements_of_one_mineral_lie_together_and_platinum_apart(maps):
    oxygen, magnesium, silicon, _, platinum = (m.ravel() for m in maps.data[:, 1])
    assert np.corrcoef(oxygen, silicon)[0, 1] > 0.6
    assert np.corrcoef(oxygen, magnesium)[0, 1] > 0.6
    assert np.corrcoef(oxygen, platinum)[0, 1] < 0.3


def test_stray_titanium_and_copper_are_fitted_along(maps):
    assert {'Ti_K', 'Cu_K', 'Pt_M', 'Ga_K'} <= set(maps.notes['also_fitted'])
    assert max(maps.notes['chi2']) < 12
