"""Energy windows: few, telling nearly all, whole counts, a background that is not biased."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.simulate import edx_tilt_series, lamella
from napari_diptomo.spectra import EDXMaps
from napari_diptomo.spectra.common.tilt_counts import counts_of
from napari_diptomo.spectra.edx.energy_windows import choose_windows, window_series
from napari_diptomo.spectra.edx.fit_range import FitRange
from napari_diptomo.spectra.edx.lines import families_for
from napari_diptomo.spectra.edx.pixel_fit import MapSettings
from napari_diptomo.spectra.edx.spectrum_model import spectrum_model

GST = ('Ge', 'Sb', 'Te')
ANGLES = np.arange(-40.0, 41.0, 10.0)


def simulated(mean, seed, n=24):
    """A lamella with as many counts of each family, on average ``mean`` per pixel of the specimen."""
    phantom = lamella(n, 3)
    families = edx_tilt_series(phantom, ANGLES, peak_counts=1, channels=64).clean
    totals = families.sum(axis=(1, 2, 3))
    even = (totals.mean() / totals)[:, None, None, None]
    phantom = replace(phantom, fine=(phantom.fine * even).astype(np.float32))
    families = edx_tilt_series(phantom, ANGLES, peak_counts=1, channels=64).clean
    inside = families.sum(axis=0) > 0.05 * families.sum(axis=0).max()
    return edx_tilt_series(phantom, ANGLES, peak_counts=mean / families[:, inside].mean(), seed=seed)


def modelled(series, elements=GST):
    window = FitRange.of(series)
    sums = counts_of(series).read()[:, window.channels]
    families = families_for(elements, window.energy[0], window.energy[-1])
    model = spectrum_model(sums.sum(axis=0), window, families)
    return model, model.fit(sums.sum(axis=0))


@pytest.fixture(scope='module')
def many():
    made = simulated(15.0, 0)
    return made, *modelled(made.series)


@pytest.fixture(scope='module')
def few():
    made = simulated(1.0, 1)
    return made, *modelled(made.series)


def bounds(mixing, expected):
    return np.diag(np.linalg.inv((mixing / expected[:, None]).T @ mixing))


def test_windows_split_the_overlap_and_report_nine_tenths(many):
    _, model, fit = many
    windows = choose_windows(model, fit)
    assert len(windows.spans) <= 8
    overlap = windows.limits[(windows.limits[:, 0] > 3) & (windows.limits[:, 1] < 5)]
    assert len(overlap) >= 4
    assert any(low < 3.605 < high < 3.769 for low, high in overlap)
    expected = np.maximum(fit.model, 1e-3 * fit.model.mean())
    whole = bounds(model.shapes[:, :3], expected)
    kept = whole / bounds(windows.mixing, windows.sums(expected))
    np.testing.assert_allclose(kept, windows.kept, rtol=1e-6)
    assert kept.min() >= 0.9


def test_more_information_takes_more_windows(many):
    _, model, fit = many
    counts = [len(choose_windows(model, fit, share).spans) for share in (0.7, 0.9, 0.97)]
    assert counts[0] <= counts[1] < counts[2]
    assert counts[0] >= 3


def test_one_element_needs_one_window_or_two(many):
    made, *_ = many
    model, fit = modelled(made.series, ('Ge',))
    windows = choose_windows(model, fit)
    assert len(windows.spans) <= 2
    assert windows.limits[0, 0] < 9.886 < windows.limits[0, 1]
    assert windows.kept[0] >= 0.9


def test_windows_hold_the_photons_of_their_energies(many):
    made, model, _ = many
    maps = window_series(made.series, model, GST, MapSettings())
    assert maps.are_counts and maps.channels == GST
    energy = made.series.energy
    for (low, high), found in zip(maps.notes['windows_keV'], maps.data, strict=True):
        inside = (energy > low) & (energy < high)
        np.testing.assert_array_equal(found, made.series.counts[..., inside].sum(axis=-1))
    assert all(share >= 0.9 for share in maps.notes['information_kept'].values())


def test_held_out_photons_are_a_part_of_the_windows_own(many):
    made, model, _ = many
    maps = window_series(made.series, model, GST, MapSettings(holdout=0.2, seed=4))
    assert (maps.held_out <= maps.data).all() and (maps.held_out == np.round(maps.held_out)).all()
    total = float(maps.data.sum())
    assert maps.held_out.sum() == pytest.approx(0.2 * total, abs=4 * np.sqrt(0.16 * total))


def test_the_background_is_unbiased_at_one_count(few):
    made, model, _ = few
    maps = window_series(made.series, model, GST, MapSettings())
    assert (maps.background > 0).all()
    signal = np.einsum('wc,ctyx->wtyx', maps.mixing, made.clean)
    counted = maps.data.sum(axis=(1, 2, 3))
    explained = (signal + maps.background).sum(axis=(1, 2, 3))
    assert (np.abs(explained - counted) < 3.5 * np.sqrt(counted)).all()
    assert abs(explained.sum() - counted.sum()) < 3.5 * np.sqrt(counted.sum())


def test_the_background_knows_the_full_exposure_from_the_training_photons(few):
    made, model, _ = few
    whole = window_series(made.series, model, GST, MapSettings(holdout=0.0))
    half = window_series(made.series, model, GST, MapSettings(holdout=0.5))
    assert whole.held_out is None
    assert half.background.sum() == pytest.approx(whole.background.sum(), rel=0.1)
    assert not np.array_equal(half.background, whole.background)


def test_unmixed_windows_are_the_families_counts(many):
    made, model, _ = many
    found = window_series(made.series, model, GST, MapSettings()).unmixed()
    total = made.clean.sum(axis=(1, 2, 3))
    sigma = np.sqrt(found.variance.sum(axis=(1, 2, 3)))
    assert (np.abs(found.data.sum(axis=(1, 2, 3)) - total) < 3.5 * sigma + 0.005 * total).all()


def test_the_step_delivers_windows(few):
    made, *_ = few
    maps = EDXMaps(elements=GST, deliver='window counts').run(made.series)
    assert maps.are_counts and maps.mixing.shape == (len(maps.data), 3)
    assert maps.haadf is not None and 'information_kept' in maps.notes
    total = made.clean.sum(axis=(1, 2, 3))
    found = maps.unmixed()
    assert (np.abs(found.data.sum(axis=(1, 2, 3)) - total) < 3.5 * np.sqrt(found.variance.sum(axis=(1, 2, 3)))).all()
