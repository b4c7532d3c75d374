r"""The objective of fused multi-modal electron tomography, with weights that the truth chooses.

    min over x >= 0 of  l_H / 2 |A_H sum_c (Z_c x_c / sum Z)^gamma - s (h - o)|^2 + sum_c (1^T A x_c - y_c^T log(A x_c + e))
                        + l_TV sum_c TV(x_c),      gamma = 1.6

(Schwartz et al., Nature Communications 15, 3555, 2024; their software is tomofusion.) The formula is theirs, the program
is ours: maps over their maximum, from a smooth volume of the maps alone, by gradient steps of Adam; the level o of the
images is subtracted and they lie in the frame of the maps. What no experiment knows is given: the atomic numbers, the scale
s of the images that suits the truth best, and the weights with the best mean PSNR on a grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from _search import climb
from napari_diptomo.assess import psnr
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.torch_projector import TorchProjector
from napari_diptomo.reconstruct.haadf_data import prepare_haadf
from napari_diptomo.reconstruct.steps.poisson_em import PoissonEM
from napari_diptomo.reconstruct.tv.norms import forward_differences
from napari_diptomo.series import MapSeries

GAMMA = 1.6
#: Weights of the images in thousandths, and of the total variation in hundredths, per datum of the maps.
IMAGES = (0.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
SMOOTHNESS = (0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 5.0)
_ITERATIONS, _RATE, _EPSILON = 250, 0.02, 1e-3


@dataclass(frozen=True, eq=False)
class Fused:
    """The best volume (channel, z, y, x), the weights that it was found with, and how many were tried."""

    volume: np.ndarray
    images: float
    smoothness: float
    tried: int


def fused(maps: MapSeries, truth: np.ndarray, numbers: np.ndarray) -> Fused:
    """The volume with the weights that the truth chooses; climbs along one weight, then along the other, twice.

    Parameters
    ----------
    maps : MapSeries
        With a HAADF series.
    truth : ndarray (channel, z, y, x)
        In counts per voxel.
    numbers : ndarray (channel,)
        Atomic numbers.
    """
    objective = _Objective(maps, truth, numbers)
    known: dict[tuple[int, int], tuple[float, np.ndarray]] = {}

    def score(i: int, j: int) -> float:
        if (i, j) not in known:
            x = objective.minimum(IMAGES[i], SMOOTHNESS[j])
            known[i, j] = float(np.mean(psnr(x, truth))), x
        return known[i, j][0]

    i, j = 2, 3
    for _ in range(2):
        j = climb(lambda at, i=i: score(i, at), j, len(SMOOTHNESS), (1,))
        i = climb(lambda at, j=j: score(at, j), i, len(IMAGES))
    return Fused(known[i, j][1], IMAGES[i], SMOOTHNESS[j], len(known))


class _Objective:
    def __init__(self, maps: MapSeries, truth: np.ndarray, numbers: np.ndarray) -> None:
        data, _ = prepare_haadf(maps)
        assert data is not None, 'images that show the specimen'
        shape = (maps.data.shape[3], maps.data.shape[2], maps.data.shape[3])
        self._tops = maps.data.max(axis=(1, 2, 3))[:, None, None, None]
        self._y = torch.as_tensor(maps.data / self._tops, dtype=torch.float32)
        self._maps = TorchProjector(ParallelBeam(maps.angles, shape, maps.shifts))
        series = data.series
        self._images = TorchProjector(ParallelBeam(series.angles, shape, series.shifts))
        self._h = torch.as_tensor(np.maximum(series.images, 0), dtype=torch.float32)
        self._shares = torch.as_tensor(numbers / numbers.sum(), dtype=torch.float32)[:, None, None, None]
        start = PoissonEM(iterations=30).run(maps, progress=False).data / self._tops
        self._start = torch.as_tensor(start, dtype=torch.float32).clamp_min(1e-4)
        self._level = 1.0
        smooth = self.minimum(0.0, SMOOTHNESS[3]) / self._tops
        self._start = torch.as_tensor(smooth, dtype=torch.float32).clamp_min(1e-4)
        with torch.no_grad():
            path = self._path(torch.as_tensor(truth / self._tops, dtype=torch.float32))
            self._h *= float((path * self._h).sum() / self._h.square().sum())
        self._level = float(self._h.square().mean())

    def _path(self, x: torch.Tensor) -> torch.Tensor:
        return self._images.project((self._shares * x).clamp_min(1e-8).pow(GAMMA).sum(0, keepdim=True))[0]

    def minimum(self, images: float, smoothness: float) -> np.ndarray:
        """For one pair of weights, in counts per voxel."""
        typical = self._start.mean()
        x = self._start.clone().requires_grad_()
        adam = torch.optim.Adam([x], _RATE * float(self._start.max()), betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, _ITERATIONS)
        for _ in range(_ITERATIONS):
            model = self._maps.project(x)
            chemistry = (model - self._y * (model + _EPSILON).log()).mean()
            # Relative to the level of the images: the weights then mean the same for all specimens.
            elastic = 0.5 * (self._path(x) - self._h).square().mean() / self._level
            jacobian = torch.stack(forward_differences(x))
            roughness = (jacobian.square().sum(0) + 1e-8).sqrt().mean() / typical
            objective = chemistry + 1e-3 * images * elastic + 1e-2 * smoothness * roughness
            adam.zero_grad()
            objective.backward()
            adam.step()
            schedule.step()
            with torch.no_grad():
                x.clamp_(min=0)
        return np.asarray(x.detach().numpy() * self._tops)
