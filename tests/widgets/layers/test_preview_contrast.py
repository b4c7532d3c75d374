"""Previews that show nothing yet are dim; once something stands out, or nothing changes, their own values set the limits."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.widgets.layers.image_layers import contrast_limits
from napari_diptomo.widgets.layers.preview_contrast import PreviewContrast
from napari_diptomo.widgets.layers.volume_view import VolumeView


def noise(level: float, seed: int = 0) -> np.ndarray:
    """First outputs of a network: scatter by a quarter about one density."""
    return level * (1 + 0.25 * np.random.default_rng(seed).standard_normal((16, 16, 16))).clip(0)


def with_body(background: float) -> np.ndarray:
    data = noise(background)
    data[5:11, 5:11, 5:11] = 1.0
    return data


def brightness(data: np.ndarray, limits: tuple[float, float]) -> float:
    """Of the brightest voxels, 1 is full."""
    return float(np.percentile(data, 99.9)) / limits[1]


def test_the_noise_of_the_first_previews_is_dim():
    contrast = PreviewContrast()
    shown = [
        brightness(data, contrast.limits(data))
        for data in (noise(0.2), noise(0.1, 1), noise(0.06, 2), noise(0.03, 3), noise(0.02, 4))
    ]
    assert shown[0] < 0.35
    assert max(shown[1:]) < 0.2, 'limits of their own would show each of them in full'


def test_what_stands_out_gets_its_own_limits_step_by_step():
    contrast = PreviewContrast()
    contrast.limits(noise(0.9))
    shown = [brightness(with_body(0.02), contrast.limits(with_body(0.02))) for _ in range(4)]
    assert shown == sorted(shown)
    assert shown[0] < 0.5
    assert shown[-1] == pytest.approx(1, abs=0.01)


def test_a_specimen_that_fills_the_volume_is_shown_once_nothing_changes():
    contrast = PreviewContrast()
    for level in (0.5, 0.7, 0.9):
        contrast.limits(noise(level))
    assert brightness(noise(1.0), contrast.limits(noise(1.0))) < 0.8
    for _ in range(4):
        limits = contrast.limits(noise(1.0, 1))
    assert limits == contrast_limits(noise(1.0, 1))


def test_a_first_preview_in_which_something_stands_out_is_shown_as_it_is():
    """Those of SIRT and total variation are."""
    assert PreviewContrast().limits(with_body(0.02)) == contrast_limits(with_body(0.02))


def test_nothing_at_all_has_limits():
    contrast = PreviewContrast()
    for data in (np.zeros((4, 4, 4)), np.full((4, 4, 4), np.nan), np.zeros((4, 4, 4))):
        low, high = contrast.limits(data)
        assert low == 0
        assert high > 0


def test_the_result_has_its_own_limits_whatever_the_previews_were(maps: MapSeries):
    view = VolumeView(ViewerModel(), maps, 'DIPm-TV', 1)
    view.show(np.stack([noise(1.0), noise(1.0, 1)]).astype(np.float32))
    assert all(layer.contrast_limits[1] > 5 for layer in view.channel_layers)
    result = np.stack([with_body(0.02), with_body(0.01)]).astype(np.float32)
    view.finish(Volume(result, maps.channels, maps.pixel_size))
    for layer, data in zip(view.channel_layers, result, strict=True):
        assert layer.contrast_limits == pytest.approx(contrast_limits(data))
