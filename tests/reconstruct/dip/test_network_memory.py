"""The memory estimate of the network against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.dip.network import UNet
from napari_diptomo.reconstruct.dip.network_memory import LIBRARIES, _kept, network_bytes
from napari_diptomo.reconstruct.dip.settings import NetworkSettings
from napari_diptomo.series import MapSeries

VOXELS = 64**3


def _maps(channels: int, n: int = 4) -> MapSeries:
    return MapSeries(np.ones((channels, 5, n, n), np.float32), np.arange(-40.0, 41, 20), tuple('ABC'[:channels]))


def test_what_is_kept_grows_with_the_volume():
    import torch

    network = UNet(8, 2, (8, 16), (4, 4))
    kept = [_kept(network, torch.zeros(1, 8, 16, 16, n)) for n in (16, 32, 48)]
    assert kept[2] - kept[1] == pytest.approx(kept[1] - kept[0], rel=0.01)


def test_half_precision_halves_the_activations_and_nothing_else():
    single, half = (network_bytes(NetworkSettings(), _maps(3), VOXELS, half) for half in (False, True))
    # Gradients of the 16-wide layer and the weights stay in float32.
    rest = network_bytes(NetworkSettings(), _maps(3), 0, True) + VOXELS * 4.0 * 4 * 16
    assert single - rest == pytest.approx(2 * (half - rest))


def test_a_network_of_twice_the_width_keeps_twice_as_much():
    plain, wide = (
        network_bytes(NetworkSettings(i, w, s), _maps(1), VOXELS, False) - LIBRARIES
        for w, s, i in (((16, 32), (4, 4), 8), ((32, 64), (8, 8), 16))
    )
    assert plain * 1.9 < wide < plain * 2.1


def test_the_estimate_grows_with_channels_voxels_and_members():
    def bytes_of(step, channels, n):
        return step.memory_bytes(_maps(channels, n))

    base = bytes_of(DIPmTV(), 1, 32)
    assert bytes_of(DIPmTV(), 3, 32) > base
    assert bytes_of(DIPmTV(ensemble=3), 1, 32) > base
    assert bytes_of(DIPmTV(thickness=16.0), 1, 32) < base
    # Far above the constant part it is proportional to the voxels.
    small, large = (bytes_of(DIPmTV(), 1, n) - LIBRARIES for n in (96, 192))
    assert large == pytest.approx(8 * small, rel=0.1)
    assert bytes_of(DIPmTV(), 1, 4) > LIBRARIES
