"""The measured series (openNCEM, interplanetary dust): its known content. Skipped where the data are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from napari_diptomo.series import load_tilt_series
from napari_diptomo.spectra import EDXMaps, families_for, suggest_elements, sum_spectrum
from napari_diptomo.spectra.edx.fit_range import FitRange
from napari_diptomo.spectra.edx.spectrum_model import spectrum_model
from napari_diptomo.spectra.edx.totals import check_totals, family_totals

DATA = Path(__file__).parents[4] / 'shared' / 'data' / 'openncem-edx'
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
    assert {'O', 'Mg', 'Si', 'Fe', 'Pt', 'Ti', 'Cu', 'Ga', 'C', 'Ca', 'Al'} <= set(found)
    assert len(found) < 20


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
    assert max(maps.notes['chi2']) < 3


@pytest.fixture(scope='module')
def whole():
    return load_tilt_series([DATA / f'{angle}.bcf' for angle in range(-40, 40, 5)], binning=8)


@pytest.fixture(scope='module')
def model(whole):
    window = FitRange.of(whole)
    wanted = families_for(('O', 'Mg', 'Si', 'S', 'Fe', 'Ni'), 0.2, 20.0)
    return spectrum_model(sum_spectrum(whole)[window.channels], window, wanted)


def test_the_sum_of_all_tilts_is_fitted_to_a_few_per_cent_of_every_peak(whole, model):
    counts = sum_spectrum(whole)[model.window.channels]
    fit = model.fit(counts)
    residual = gaussian_filter1d(counts - fit.model, 4.0)
    # 1.3e7 counts: before escape peaks, doublets and refined weights chi2 was 41.
    assert fit.chi2 < 8
    assert np.abs(residual / gaussian_filter1d(fit.model, 4.0)).max() < 0.12


def test_titanium_and_copper_are_stray_and_the_minerals_are_not(whole, model):
    totals, errors = family_totals(whole, model)
    behaves = {t.name: t.behaves for t in check_totals(totals, whole.angles, model.names, errors)}
    assert not behaves['Ti_K']
    assert not behaves['Cu_K']
    assert all(behaves[name] for name in ('O_K', 'Fe_K', 'Mg_K', 'Si_K', 'S_K', 'Pt_L'))
    titanium = next(t for t in check_totals(totals, whole.angles, model.names, errors) if t.name == 'Ti_K')
    assert titanium.sentence.endswith('it comes from grid or holder, do not reconstruct it.')
    assert titanium.counts[0] / titanium.counts[8] > 5
