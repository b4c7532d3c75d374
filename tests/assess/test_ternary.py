"""Colours of mixtures."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.assess import mix_colours, triangle
from napari_diptomo.series import InputError


def test_pure_elements_and_equal_mixtures() -> None:
    shares = np.array([[100.0, 0, 0, 30], [0, 100.0, 0, 30], [0, 0, 100.0, 30]])
    red, green, blue, grey = mix_colours(shares)
    assert red.tolist() == [1, 0, 0, 1] and green.tolist() == [0, 1, 0, 1] and blue.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(grey, [1 / 3, 1 / 3, 1 / 3, 1], rtol=1e-6)
    cyan, magenta, yellow, pale = mix_colours(shares, 'CMY')
    assert cyan.tolist() == [0, 1, 1, 1] and magenta.tolist() == [1, 0, 1, 1] and yellow.tolist() == [1, 1, 0, 1]
    np.testing.assert_allclose(pale[:3], 2 / 3, rtol=1e-6)


def test_masked_voxels_are_transparent_and_negatives_count_as_nothing() -> None:
    colours = mix_colours(np.array([[0.0, 60.0], [0.0, -5.0]])[:, :, None, None])
    assert colours.shape == (2, 1, 1, 4) and colours.dtype == np.float32
    assert colours[0, 0, 0].tolist() == [0, 0, 0, 0] and colours[1, 0, 0].tolist() == [1, 0, 0, 1]


def test_brightness_fades_to_black_or_white() -> None:
    shares = np.array([[1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(mix_colours(shares, 'RGB', np.array([0.5, 0.0]))[:, 0], [0.25, 0.0])
    np.testing.assert_allclose(mix_colours(shares, 'CMY', np.array([0.5, 0.0]))[:, 0], [0.75, 1.0])


def test_the_key_shows_every_mixture_once() -> None:
    key = triangle(size=101)
    assert key.shape == (87, 101, 4)
    np.testing.assert_allclose(key[0, 50], [1, 0, 0, 1], atol=0.02)
    np.testing.assert_allclose(key[-1, 0], [0, 1, 0, 1], atol=0.02)
    np.testing.assert_allclose(key[-1, -1], [0, 0, 1, 1], atol=0.02)
    assert key[0, 0, 3] == 0 and key[0, -1, 3] == 0
    assert (key[..., 3] > 0).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ('shares', 'palette', 'sentence'),
    [
        (np.ones((4, 2)), 'RGB', 'two or three elements, not 4'),
        (np.ones((1, 2)), 'RGB', 'two or three elements, not 1'),
        (np.ones((3, 2)), 'HSV', 'no palette'),
        (np.full((3, 2), np.nan), 'RGB', 'not numbers'),
    ],
)
def test_what_cannot_be_mixed_is_reported(shares: np.ndarray, palette: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        mix_colours(shares, palette)
