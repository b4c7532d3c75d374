"""A small specimen with known truth: two blobs in two channels, projected and counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import MapSeries

ANGLES = np.arange(-40, 41, 10.0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests of other folders leave two in their process; beside a second process these took five times as long."""
    torch.set_num_threads(1)


@pytest.fixture
def truth() -> np.ndarray:
    z, y, x = np.meshgrid(*(np.arange(16) - 7.5,) * 3, indexing='ij')
    ball = (z**2 + y**2 + x**2 < 5**2).astype(np.float32)
    side = ((z - 2) ** 2 + (y + 1) ** 2 + (x - 2) ** 2 < 2.5**2).astype(np.float32)
    return np.stack([3 * ball, 6 * side])


@pytest.fixture
def clean(truth) -> np.ndarray:
    return ParallelBeam(ANGLES, (16, 16, 16)).project(truth)


@pytest.fixture
def maps(clean) -> MapSeries:
    counts = np.random.default_rng(0).poisson(clean)
    return MapSeries(counts, angles=ANGLES, channels=('A', 'B'), pixel_size=2.0)
