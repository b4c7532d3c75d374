"""Reconstruction about a tilt axis that is turned in the image plane: the same volume as with a straight one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import SIRT, DIPmTV, MapSeries, PoissonEM, TotalVariation, load_tilt_series
from napari_diptomo.geometry import ParallelBeam

ANGLES = np.arange(-60.0, 61.0, 10.0)


def specimen(size: int) -> np.ndarray:
    """In a field of so many voxels, of which it takes 16."""
    z, y, x = np.indices((size, size, size)) - (size - 1) / 2
    body = ((np.abs(z) < 5) & (np.abs(y) < 7) & (np.abs(x) < 6)).astype(np.float32)
    return (body + ((z - 2) ** 2 + (y + 3) ** 2 + (x - 2) ** 2 < 6))[None].astype(np.float32)


def series(turn: float, size: int) -> MapSeries:
    shifts = np.random.default_rng(0).uniform(-1, 1, (len(ANGLES), 2))
    clean = ParallelBeam(ANGLES, (size, size, size), shifts, 0.5, axis_rotation=turn).project(specimen(size))
    counts = np.random.default_rng(1).poisson(clean * 10).astype(np.float32)
    return MapSeries(counts, ANGLES, ('Fe',), shifts=shifts, axis_shift=0.5, axis_rotation=turn)


def error(step, maps: MapSeries) -> float:
    truth = specimen(maps.data.shape[-1])
    return float(np.sqrt(((step.run(maps).data / 10 - truth) ** 2).mean() / (truth**2).mean()))


@pytest.mark.parametrize(
    ('step', 'size', 'turn'),
    [
        (SIRT(iterations=30), 24, 8.0),
        (PoissonEM(iterations=30), 24, 8.0),
        (TotalVariation(iterations=60), 24, 8.0),
        (DIPmTV(preset='fast', iterations=40, widths=(16, 16), skips=(4, 4), seed=0), 16, 16.0),
        pytest.param(
            DIPmTV(preset='fast', iterations=80, widths=(16, 16), skips=(4, 4), seed=0),
            24,
            8.0,
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda given: str(given) if isinstance(given, (int, float)) else type(given).__name__,
)
def test_every_method_follows_a_turned_axis(step, size, turn) -> None:
    turned = series(turn, size)
    straight = replace(turned, axis_rotation=0.0)
    followed = error(step, turned)
    assert followed < 1.15 * error(step, series(0.0, size)) + 0.02
    assert followed < 0.85 * error(step, straight)


def test_the_rotation_is_kept_in_files(tmp_path: Path) -> None:
    maps = series(-3.5, 24)
    maps.save(tmp_path / 'maps.hspy')
    assert load_tilt_series(tmp_path / 'maps.hspy').axis_rotation == -3.5
