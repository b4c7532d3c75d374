r"""HAADF images in SIRT and Poisson EM: each iteration on the maps is followed by one on the images.

    b = sum_c w_c x_c + m,      x_c <- r x_c,      m <- r m

    SIRT:   r = max(0, b + C A^T R (p - A b)) / b,      R = 1 / (A 1),   C = 1 / (A^T 1)
    EM:     r = A^T (p / A b) / (A^T 1)

b is the brightness of a voxel, w_c the intensity per count of channel c, m what no map holds, A projects to the tilts of the
images, and p is the path that an image asks for: the image with its offset, gain and damping taken out (`haadf_observation`).
All channels of a voxel get one factor: the images say how much is there, the maps what it is. Maps and images take full steps in
turn, as in block-iterative methods (Hudson and Larkin 1994, 10.1109/42.363108): with both in one step, each weighed by its noise,
SIRT gained 0.3 to 0.9 dB where it gains 0.4 to 3.6 (ten series, docs/haadf-fit.md).

Images of less weight (`HAADFData.trust`) have r to the power of their share of it.

What no map holds begins as next to nothing and grows where images ask for more than the maps allow.

Formulas: SIRT and EM step on HAADF images (`ImageSteps`).
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from napari_diptomo.reconstruct.haadf_observation import TRUST, HAADFObservation
from napari_diptomo.reconstruct.iterate import Update
from napari_diptomo.reconstruct.problem import Problem

#: What no map holds at first, relative to the brightness of typical matter.
_UNMAPPED = 0.02
#: How often offset, gain and displacement are fitted, before the first step: each moves an image by half a pixel at most. Fitted
#: again between steps they followed the noise of the volume, and what no map holds came out at twice to five times its share.
_REFITS = 6
#: Bounds of the factor of one step: none is so small that what no map holds could not come back.
_FACTORS = (0.1, 10.0)
#: Path and brightness below which nothing is divided.
_LEAST = 1e-6


class ImageSteps:
    """Steps on the images of a problem, each after one on its maps.

    Parameters
    ----------
    problem : Problem
        With HAADF data.
    x : Tensor (channel, z, y, x)
        The volume that offset, gain and displacement of the images are fitted to: that of the maps alone.
    kind : {'SIRT', 'EM'}
        Of the step.
    """

    def __init__(self, problem: Problem, x: torch.Tensor, kind: Literal['SIRT', 'EM']) -> None:
        assert problem.haadf is not None
        data = problem.haadf
        self._problem, self._is_em, self._power = problem, kind == 'EM', data.trust / TRUST
        self._images = HAADFObservation(
            data.series, data.intensity, problem.beam.shape, problem.device, problem.data_size, data.trust
        )
        nothing = torch.zeros_like(x[:1])
        whole = problem.inside(torch.cat([x, nothing]))
        bright = self._images.brightness(whole)
        self._unmapped = nothing + _UNMAPPED * bright.square().sum() / bright.sum().clamp_min(_LEAST)
        self._images.refit(whole, move=False)
        for _ in range(_REFITS):
            self._images.refit(whole)
        slope, target = self._images.linear_about(whole)
        self._mask = (slope > 0).to(slope)
        self._wanted = target / torch.where(slope > 0, slope, torch.ones_like(slope))
        self._rows = self._images.path(problem.inside(torch.cat([0 * x, nothing + 1])))
        self._columns = self._back(self._mask)

    def beside(self, update: Update) -> Update:
        """An iteration on the maps, then one on the images."""

        def both(x: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
            return self.step(update(x, expected))

        return both

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """The volume (channel, z, y, x) after one step on the images."""
        factor = self._factor(self._whole(x)) ** self._power
        self._unmapped = factor * self._unmapped
        return factor * x

    def notes(self, x: torch.Tensor) -> dict[str, Any]:
        """See `HAADFObservation.notes`; the misfit is that of ``x``."""
        whole = self._whole(x)
        self._images.measure(whole)
        return self._images.notes(whole)

    def _whole(self, x: torch.Tensor) -> torch.Tensor:
        return self._problem.inside(torch.cat([x, self._unmapped]))

    def _factor(self, whole: torch.Tensor) -> torch.Tensor:
        """r of the module's formula, (z, y, x); 1 where no ray of the images passes."""
        path = self._images.path(whole)
        if self._is_em:
            asked = self._mask * self._wanted.clamp_min(0) / path.clamp_min(_LEAST)
            factor = self._back(asked) / self._columns.clamp_min(_LEAST)
        else:
            residual = self._mask * (self._wanted - path) / self._rows.clamp_min(_LEAST)
            change = self._back(residual) / self._columns.clamp_min(_LEAST)
            factor = 1 + change / self._images.brightness(whole).clamp_min(_LEAST)
        return torch.where(self._columns > _LEAST, factor.clamp(*_FACTORS), torch.ones_like(factor))

    def _back(self, p: torch.Tensor) -> torch.Tensor:
        return self._problem.inside(self._images.path_adjoint(p)[-1])
