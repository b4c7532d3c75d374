"""Three tilts, one slice, odd and unequal sizes, unequal steps of the tilt, one channel: everything is reconstructed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT, PoissonEM, TotalVariation
from napari_diptomo.series import MapSeries

STEPS = [
    SIRT(iterations=30),
    PoissonEM(iterations=30),
    *(TotalVariation(coupling=c, weight=0.1, iterations=60) for c in ('joint', 'channels', 'nuclear')),
]
REGULAR = np.arange(-40, 41, 10.0)
CASES = {
    'three tilts': ((13, 12, 13), np.array([-40.0, 0.0, 40.0]), 2),
    'one slice': ((12, 1, 12), REGULAR, 2),
    'odd sizes': ((9, 7, 11), REGULAR, 3),
    'flat and wide': ((6, 5, 20), REGULAR, 2),
    'deep and narrow': ((17, 4, 8), REGULAR, 2),
    'unequal steps': ((12, 6, 12), np.array([-55.0, -20.0, -18.0, 0.0, 3.5, 41.0, 70.0]), 2),
    'one channel': ((12, 6, 12), REGULAR, 1),
    'one channel, one slice, three tilts, odd': ((7, 1, 9), np.array([-30.0, 0.0, 45.0]), 1),
}


def block(shape: tuple[int, int, int], channels: int) -> np.ndarray:
    """A block in the middle, well inside every image; each channel has a density of its own."""
    body = np.zeros(shape, np.float32)
    body[tuple(slice(n // 3, n - n // 3) for n in shape)] = 20.0
    return np.stack([body * (c + 1) for c in range(channels)])


@pytest.mark.parametrize('step', STEPS, ids=lambda s: f'{s.title} {getattr(s, "coupling", "")}'.strip())
@pytest.mark.parametrize('case', CASES)
def test_mass_and_place_are_found(case, step):
    shape, angles, channels = CASES[case]
    truth = block(shape, channels)
    clean = ParallelBeam(angles, shape).project(truth)
    maps = MapSeries(np.random.default_rng(0).poisson(clean), angles, tuple('ABC'[:channels]), pixel_size=1.5)
    volume = step.model_copy(update={'thickness': 1.5 * shape[0]}).run(maps)
    assert volume.data.shape == truth.shape
    assert np.isfinite(volume.data).all()
    assert (volume.data >= 0).all()
    grid = np.indices(shape)
    for found, known in zip(volume.data, truth, strict=True):
        assert found.sum() == pytest.approx(known.sum(), rel=0.1)
        middle = [(found * axis).sum() / found.sum() for axis in grid]
        assert middle == pytest.approx([(known * axis).sum() / known.sum() for axis in grid], abs=0.5)
        assert np.corrcoef(found.ravel(), known.ravel())[0, 1] > 0.6
