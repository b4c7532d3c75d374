from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)


@pytest.fixture(autouse=True)
def steps_importable_in_children(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, [HERE, os.environ.get('PYTHONPATH', '')])))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


@pytest.fixture
def maps():
    from napari_diptomo.series import MapSeries

    counts = np.random.default_rng(0).poisson(3.0, (2, 3, 4, 5))
    return MapSeries(counts, angles=[-10.0, 0.0, 10.0], channels=('Ge', 'Te'), pixel_size=1.5)
