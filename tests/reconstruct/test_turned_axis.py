"""Reconstruction about a tilt axis that is turned in the image plane: the same volume as with a straight one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import SIRT, DIPmTV, MapSeries, PoissonEM, TotalVariation, load_tilt_series
from napari_diptomo.geometry import ParallelBeam

ANGLES = np.arange(-60.0, 61.0, 10.0)
SIZE = 24


def specimen() -> np.ndarray:
    z, y, x = np.indices((SIZE, SIZE, SIZE)) - (SIZE - 1) / 2
    body = ((np.abs(z) < 5) & (np.abs(y) < 7) & (np.abs(x) < 6)).astype(np.float32)
    return (body + ((z - 2) ** 2 + (y + 3) ** 2 + (x - 2) ** 2 < 6))[None].astype(np.float32)


def series(turn: float) -> MapSeries:
    shifts = np.random.default_rng(0).uniform(-1, 1, (len(ANGLES), 2))
    clean = ParallelBeam(ANGLES, (SIZE, SIZE, SIZE), shifts, 0.5, axis_rotation=turn).project(specimen())
    counts = np.random.default_rng(1).poisson(clean * 10).astype(np.float32)
    return MapSeries(counts, ANGLES, ('Fe',), shifts=shifts, axis_shift=0.5, axis_rotation=turn)


def error(step, maps: MapSeries) -> float:
    truth = specimen()
    return float(np.sqrt(((step.run(maps).data / 10 - truth) ** 2).mean() / (truth**2).mean()))


@pytest.mark.parametrize(
    'step',
    [
        SIRT(iterations=30),
        PoissonEM(iterations=30),
        TotalVariation(iterations=60),
        DIPmTV(preset='fast', iterations=80, widths=(16, 16), skips=(4, 4), seed=0),
    ],
    ids=lambda step: type(step).__name__,
)
def test_every_method_follows_a_turned_axis(step) -> None:
    turned = series(8.0)
    straight = replace(turned, axis_rotation=0.0)
    followed = error(step, turned)
    assert followed < 1.15 * error(step, series(0.0)) + 0.02
    assert followed < 0.85 * error(step, straight)


def test_the_rotation_is_kept_in_files(tmp_path: Path) -> None:
    maps = series(-3.5)
    maps.save(tmp_path / 'maps.hspy')
    assert load_tilt_series(tmp_path / 'maps.hspy').axis_rotation == -3.5
