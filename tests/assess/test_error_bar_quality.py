"""Error bars judged by known errors."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.assess.error_bar_quality import away_from_edges, band, judge_spread, reliability
from napari_diptomo.series import InputError


def sampled(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A truth, a standard deviation between 0.1 and 2.1, and a volume off by exactly that law."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(2, 24, 24, 24))
    std = 0.1 + 2 * rng.random(truth.shape)
    return truth + std * rng.normal(size=truth.shape), std, truth


def test_honest_error_bars_cover_what_they_promise():
    found = judge_spread(*sampled())
    for level, share in found.coverage.items():
        assert share == pytest.approx(level, abs=0.01)
    assert found.error_over_std == pytest.approx(1, abs=0.02)
    assert found.voxels == 2 * 24**3
    assert 0.3 < found.rank_correlation < 0.6


def test_error_bars_of_half_the_size_cover_what_the_normal_law_says():
    volume, std, truth = sampled()
    found = judge_spread(volume, std / 2, truth, levels=(0.9,))
    assert found.coverage[0.9] == pytest.approx(0.589, abs=0.01)  # |z| < 1.645 / 2
    assert found.error_over_std == pytest.approx(2, abs=0.04)


def test_rank_correlation_is_one_for_errors_in_order_and_unknown_for_constant_bars():
    truth = np.zeros((1, 4, 4, 4))
    error = np.arange(64.0).reshape(truth.shape)
    assert judge_spread(error, error**2 + 1, truth).rank_correlation == pytest.approx(1)
    assert judge_spread(error, 100 - error, truth).rank_correlation == pytest.approx(-1)
    assert np.isnan(judge_spread(error, np.ones_like(error), truth).rank_correlation)


def test_only_the_chosen_voxels_count():
    volume, std, truth = sampled()
    where = np.zeros(truth.shape[1:], bool)
    where[:4] = True
    volume[:, ~where] += 100
    found = judge_spread(volume, std, truth, where)
    assert found.voxels == 2 * where.sum()
    assert found.coverage[0.9] == pytest.approx(0.9, abs=0.02)
    with pytest.raises(InputError, match='No voxel'):
        judge_spread(volume, std, truth, np.zeros_like(where))


def test_each_channel_may_have_voxels_of_its_own():
    volume, std, truth = sampled()
    where = np.zeros(truth.shape, bool)
    where[0, :12], where[1, 20:] = True, True
    volume[~where] += 100
    found = judge_spread(volume, std, truth, where)
    assert found.voxels == where.sum()
    assert found.error_over_std == pytest.approx(1, abs=0.03)
    with pytest.raises(InputError, match='one grid'):
        judge_spread(volume, std, truth, where[:1])


def test_reliability_of_honest_bars_lies_on_the_diagonal():
    pairs = reliability(*sampled(), bins=5)
    assert len(pairs) == 5
    assert [s for s, _ in pairs] == sorted(s for s, _ in pairs)
    for stated, found in pairs:
        assert found == pytest.approx(stated, rel=0.05)


def test_bands_add_up_and_a_wave_along_the_beam_is_missing():
    z, y, x = np.meshgrid(*(np.arange(16),) * 3, indexing='ij')
    beam, across = np.cos(2 * np.pi * 3 * z / 16), np.cos(2 * np.pi * 3 * x / 16)
    along_axis = np.cos(2 * np.pi * 3 * y / 16)
    volume = np.stack([beam + 2 * across + along_axis + 5])
    measured = band(volume, 40.0)
    # The projection-slice theorem: tilts about y measure waves along x and y at once, along z never.
    np.testing.assert_allclose(measured[0], 2 * across + along_axis + 5, atol=1e-9)
    np.testing.assert_allclose(measured + band(volume, 40.0, missing=True), volume, atol=1e-9)


def test_edges_are_excluded_by_one_voxel():
    phases = np.zeros((7, 7, 7), int)
    phases[:, :, 4:] = 1
    kept = away_from_edges(phases)
    assert [bool(v) for v in kept[3, 3]] == [True, True, True, False, False, True, True]
