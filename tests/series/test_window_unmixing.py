"""Window counts taken apart: exact on clean data, unbiased and honest about its noise on counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.series import InputError, MapSeries, load

ANGLES = np.array([-20.0, 0.0, 20.0])
MIXING = np.array([[0.85, 0.02, 0.02], [0.03, 0.45, 0.22], [0.02, 0.28, 0.36], [0.02, 0.15, 0.30]], np.float32)
NAMES = ('Ge', 'Sb', 'Te')


def truth(level: float, n: int = 40) -> np.ndarray:
    y, x = np.mgrid[0:n, 0:n] / n
    intensities = level * np.stack([0.5 + x, 1.5 - y, 0.4 + 1.2 * x * y])
    return np.repeat(intensities[:, None], len(ANGLES), axis=1)


def clean(level: float) -> MapSeries:
    gain = np.array([[1.0, 0.7, 1.2]] * 4) * np.array([[1.0], [0.9], [1.1], [1.0]])
    background = np.broadcast_to(level * np.array([0.2, 0.1, 0.3, 0.05])[:, None, None, None], (4, 3, 40, 40))
    data = np.einsum('wc,ctyx->wtyx', MIXING, truth(level)) * gain[:, :, None, None] + background
    return MapSeries(data, ANGLES, NAMES, mixing=MIXING, gain=gain, background=background)


def test_clean_windows_give_the_intensities_back():
    found = clean(10.0).unmixed()
    np.testing.assert_allclose(found.data, truth(10.0), rtol=1e-4)
    assert found.channels == NAMES
    assert found.mixing is None and found.background is None and found.gain is None


def test_few_counts_are_unbiased_and_scatter_as_predicted():
    expected = clean(3.0)
    counts = np.random.default_rng(0).poisson(expected.data)
    found = replace(expected, data=counts).unmixed()
    pulls = (found.data - truth(3.0)) / np.sqrt(found.variance)
    for pull in pulls:
        assert abs(pull.mean()) < 3.5 / np.sqrt(pull.size)
        assert pull.std() == pytest.approx(1, abs=0.05)


def test_held_out_counts_are_unmixed_on_their_own():
    expected = clean(5.0)
    counts = np.random.default_rng(1).poisson(expected.data)
    held = np.random.default_rng(2).binomial(counts, 0.2)
    found = replace(expected, data=counts, held_out=held, held_out_share=0.2).unmixed()
    total = truth(5.0).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found.held_out.sum(axis=(1, 2, 3)), 0.2 * total, rtol=0.03)
    np.testing.assert_allclose((found.data - found.held_out).sum(axis=(1, 2, 3)), 0.8 * total, rtol=0.03)


def test_a_given_variance_sets_the_weights():
    expected = clean(5.0)
    variance = np.ones_like(expected.data)
    variance[0] = 1e6  # all but unknown, and wrong
    data = expected.data.copy()
    data[0] += 7
    found = replace(expected, data=data, variance=variance).unmixed()
    np.testing.assert_allclose(found.data[1:], truth(5.0)[1:], rtol=0.01, atol=0.02)


def test_maps_without_mixing_are_what_they_are():
    maps = MapSeries(np.ones((1, 3, 4, 4)), ANGLES, ('Ge',))
    assert maps.unmixed() is maps


def test_an_empty_window_and_empty_places_do_no_harm():
    expected = clean(1.0)
    counts = np.random.default_rng(3).poisson(expected.data)
    counts[:, :, :, :20] = 0
    counts[3] = 0
    found = replace(expected, data=counts, background=None).unmixed()
    assert np.isfinite(found.data).all() and (found.variance > 0).all()
    assert (found.data[:, :, :, :20] == 0).all()


def test_windows_that_cannot_distinguish_elements_are_named():
    maps = MapSeries(np.ones((2, 3, 4, 4)), ANGLES, NAMES, mixing=MIXING[:2])
    with pytest.raises(InputError, match='do not separate Ge, Sb, Te'):
        maps.unmixed()


def test_windows_survive_saving(tmp_path):
    counts = np.random.default_rng(4).poisson(clean(2.0).data)
    held = np.random.default_rng(5).binomial(counts, 0.1)
    maps = replace(clean(2.0), data=counts, held_out=held, held_out_share=0.1)
    again = load(maps.save(tmp_path / 'windows.hspy'))
    for name in ('data', 'mixing', 'background', 'gain', 'held_out'):
        np.testing.assert_array_equal(getattr(again, name), getattr(maps, name))
    assert again.channels == NAMES and again.are_counts
    np.testing.assert_array_equal(again.unmixed().data, maps.unmixed().data)
