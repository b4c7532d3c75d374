"""Pixels and images of a HAADF series that say nothing of the specimen."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo import HAADFSeries, simulate
from napari_diptomo.series import InputError
from napari_diptomo.series.haadf_pixels import usable_pixels
from napari_diptomo.simulate.haadf import REALISTIC, haadf_series

ANGLES = np.arange(-60.0, 61.0, 10.0)


def series(images: np.ndarray) -> HAADFSeries:
    return HAADFSeries(images, ANGLES[: len(images)], 1.0)


def missing(found: HAADFSeries) -> np.ndarray:
    return np.zeros(found.images.shape, bool) if found.missing is None else found.missing


@pytest.fixture(scope='module')
def needle() -> np.ndarray:
    """With bright particles of 1.6 pixels radius beside it."""
    return haadf_series(simulate.needle(48), ANGLES, REALISTIC, seed=1).images


def test_particles_of_clean_images_are_no_spikes(needle: np.ndarray) -> None:
    for phantom in (simulate.lamella(48), simulate.eels_phantom(48)):
        images = haadf_series(phantom, ANGLES, REALISTIC, seed=2).images
        found, findings = usable_pixels(series(images))
        assert (missing(found).sum(), findings) == (0, ())
    # Nor are those that the border cuts, nor any on a black level at which the detector ends.
    for images in (needle, np.maximum(needle - 120, 0)):
        found, findings = usable_pixels(series(images))
        assert (missing(found).sum(), findings) == (0, ())
        np.testing.assert_array_equal(found.images, images)


@pytest.mark.parametrize('times', [50, 1e7])
def test_spikes_are_missing_and_what_is_around_stands_in_for_them(needle: np.ndarray, times: float) -> None:
    hot = np.random.default_rng(0).random(needle.shape) < 1e-3
    found, (finding,) = usable_pixels(series(np.where(hot, times * needle, needle)))
    np.testing.assert_array_equal(missing(found), hot)
    assert found.images.max() < 1.1 * needle.max()
    assert f'{hot.sum()} pixels of the HAADF series ({100 * hot.mean():.2g} %)' in finding.sentence
    assert finding.level == 'note'


def test_a_dead_pixel_and_a_pair_of_hot_ones(needle: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    images = rng.normal(800, 10, needle.shape)
    spoilt = np.zeros(images.shape, bool)
    spoilt[2, 10, 10] = spoilt[4, 20, 20:22] = True
    images[2, 10, 10] = 0
    images[4, 20, 20:22] = 30_000
    np.testing.assert_array_equal(missing(usable_pixels(series(images))[0]), spoilt)


def test_single_counts_on_black_are_no_spikes() -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(np.where(np.arange(48) < 24, 0.002, 5.0), (13, 48, 48))
    found, _ = usable_pixels(series(counts))
    assert not missing(found).any()


def test_text_is_missing_and_black_is_not(needle: np.ndarray) -> None:
    clipped = np.maximum(needle - 200, 0)
    always_black = (clipped == 0).all(axis=0)
    assert always_black.mean() > 0.05
    clipped[:, 2:4, 2:14] = 900
    found, (finding,) = usable_pixels(series(clipped))
    assert 'show the same at every tilt' in finding.sentence
    text = np.zeros(always_black.shape, bool)
    text[1:5, 1:15] = True
    np.testing.assert_array_equal(missing(found), np.broadcast_to(text, clipped.shape))


def test_the_black_strip_that_text_stands_in_is_missing_too(needle: np.ndarray) -> None:
    images = needle.copy()
    images[:, -8:] = images.min()
    images[:, -5:-3, 4:20] = 900
    found, _ = usable_pixels(series(images))
    expected = np.zeros(images.shape[1:], bool)
    expected[-9:] = True
    np.testing.assert_array_equal(missing(found), np.broadcast_to(expected, images.shape))


def test_few_tilts_in_coarse_steps_are_alike_by_chance() -> None:
    rng = np.random.default_rng(5)
    images = np.round(rng.normal(10, 1, (3, 48, 48)))
    assert (np.ptp(images, axis=0) == 0).mean() > 0.05
    assert not missing(usable_pixels(series(images))[0]).any()


def test_only_values_that_pile_up_at_the_top_are_saturated(needle: np.ndarray) -> None:
    end = np.quantile(needle, 0.97)
    found, (finding,) = usable_pixels(series(np.minimum(needle, end)))
    assert finding.evidence['saturated'] == pytest.approx((needle >= end).mean(), abs=1e-4)
    assert missing(found)[needle > end].all()
    # The brightest of few counts.
    counts = np.random.default_rng(6).poisson(3.0, (13, 48, 48))
    assert (counts == counts.max()).sum() > 0
    assert not missing(usable_pixels(series(np.minimum(counts, 9)))[0]).any()


def test_images_without_contents_are_left_out_and_named(needle: np.ndarray) -> None:
    images, gone = needle.copy(), np.zeros(needle.shape, bool)
    images[:, 2:4, 2:14] = 2000  # text, in the empty images too
    images[1] = np.where(images[1] == 2000, 2000, 55)
    gone[4] = True
    images[8] = 2000
    images[8, 20, 20:60] = 300
    found, findings = usable_pixels(HAADFSeries(images, ANGLES, 1.0, missing=gone))
    np.testing.assert_array_equal(found.angles, np.delete(ANGLES, (1, 4, 8)))
    assert 'images of the HAADF series at -50°, -20°, 20° hold nothing' in findings[0].sentence
    images[3:] = 7
    with pytest.raises(InputError, match=r'hold nothing .* leaves 2; give three or more'):
        usable_pixels(HAADFSeries(images, ANGLES, 1.0, missing=gone))
