"""Oxidation states of one image: the maps are those that the same tilt has in its series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo import EELSOxidationMaps, simulate


def test_maps_of_one_tilt_are_those_of_the_series():
    series = simulate.eels_tilt_series(
        simulate.oxide_nanocube(32), [-17.5, 0.0, 17.5], jitter=1.0, read_noise=0.0
    ).series
    (tilt,) = series.core_loss.tilts
    one = replace(
        series,
        counts=series.counts[tilt : tilt + 1],
        angles=series.angles[tilt : tilt + 1],
        haadf=None,
        core_loss=replace(series.core_loss, tilts=(0,)),
    )
    step = EELSOxidationMaps(background='sum of power laws')
    alone, among = step.run(one), step.run(series)
    assert alone.data.shape == (2, 1, 32, 32) and alone.channels == among.channels
    for channel in range(2):
        assert alone.data[channel].sum() == pytest.approx(among.data[channel, tilt].sum(), rel=0.02)
        assert np.corrcoef(alone.data[channel, 0].ravel(), among.data[channel, tilt].ravel())[0, 1] > 0.99
