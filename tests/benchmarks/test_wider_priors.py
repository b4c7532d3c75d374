"""The priors that the benchmark tries do what its page says of them."""

from __future__ import annotations

import math

import numpy as np
import torch

import wider_priors
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.simulate import lamella, tilt_series


def test_a_volume_turned_about_the_axis_is_seen_by_tilts_that_are_turned():
    maps = tilt_series(lamella(16, seed=3), np.array([-30.0, 0.0, 30.0])).maps
    problem = Problem(maps, device='cpu')
    z, y, x = np.indices((16, 16, 16)) - 7.5
    ball = torch.as_tensor(np.exp(-((z - 2) ** 2 + y**2 + (x + 3) ** 2) / 6), dtype=torch.float32)
    u = ball.expand(len(maps.channels), -1, -1, -1)
    seen = problem.forward(u)
    turned = problem.forward(wider_priors._turned_about_y(u, math.radians(30)))
    one, other = (float((turned[0, 1] - seen[0, k]).abs().mean()) for k in (0, 2))
    assert min(one, other) < 0.05 * float(seen[0, 1].mean())
    assert max(one, other) > 0.3 * float(seen[0, 1].mean())
