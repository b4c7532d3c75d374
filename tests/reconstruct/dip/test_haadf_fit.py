"""Scales of a network that is fitted to maps and HAADF images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.dip.haadf_fit import HAADFFit
from napari_diptomo.series import HAADFSeries
from napari_diptomo.simulate import lamella, tilt_series


def test_an_element_that_outshines_the_others_takes_their_scale_by_the_root_of_its_weight_only():
    specimen = lamella(16, seed=1)
    maps = tilt_series(specimen, np.arange(-40, 41, 10.0), 30, 1).maps
    images = maps.data.sum(axis=0)
    series = HAADFSeries(images, maps.angles, maps.pixel_size)
    problem = DIPmTV().prepare(replace(maps, haadf_series=series))
    typical = torch.tensor([0.5, 1.0, 4.0]).reshape(-1, 1, 1, 1)
    weights = np.array([0.01, 0.02, 0.04])

    def scale(weights: np.ndarray, output: str) -> np.ndarray:
        assert problem.haadf is not None
        intensity = replace(problem.haadf.intensity, weights=weights)
        known = problem.with_haadf(replace(problem.haadf, intensity=intensity))
        return HAADFFit(known, typical, output).scale.flatten().numpy()

    even, heavy = scale(weights, 'shares'), scale(weights * [1, 1, 100], 'shares')
    # By the root of typical density over weight.
    np.testing.assert_allclose(even[:3] / even[0], np.sqrt([1, 1, 2]), rtol=1e-5)
    np.testing.assert_allclose(heavy[2] / heavy[:2], even[2] / even[:2] / 10, rtol=1e-5)
    np.testing.assert_allclose(scale(weights, 'softplus')[:3], [0.5, 1.0, 4.0], rtol=1e-6)
