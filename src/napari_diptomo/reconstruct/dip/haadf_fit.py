"""HAADF images in the fit of a network: scales of its output, and when the numbers of the images are refitted."""

from __future__ import annotations

from typing import Any

import torch

from napari_diptomo.reconstruct.haadf_observation import HAADFObservation
from napari_diptomo.reconstruct.haadf_particles import with_particles
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import short_sirt

#: Iterations between two refits.
_EVERY = 20
#: What no map holds, relative to the brightness of typical matter: its scale in the prior.
_UNMAPPED = 0.3
_ITERATIONS = 20


class HAADFFit:
    """The images of a problem while one network is fitted.

    Attributes
    ----------
    observation : HAADFObservation
        The images and what is fitted to them.
    scale : Tensor (channel and unmapped, 1, 1, 1)
        What the network's output is multiplied by. With the head ``shares`` it is the geometric mean of what typical densities
        are, as without images, and of what makes the total of the output the brightness, which images determine by themselves.
    """

    def __init__(self, problem: Problem, typical: torch.Tensor, output: str) -> None:
        assert problem.haadf is not None
        data, self._problem = problem.haadf, problem
        self.observation = HAADFObservation(
            data.series,
            data.intensity,
            problem.beam.shape,
            problem.device,
            problem.data_size,
            particles=data.particles,
        )
        weights = self.observation.positive_weights
        self._typical = self.observation.typical(typical, _UNMAPPED)
        with torch.no_grad():
            x = short_sirt(problem, _ITERATIONS)
            x = torch.cat([x, torch.zeros_like(x[:1])])
            self.observation.refit(x, move=False)
            bright = self.observation.brightness(x)
            half = bright.square().sum() / bright.sum().clamp_min(1e-12) / 2
        self.scale = self._typical
        if output == 'shares':
            # By the brightness alone, elements that a heavy one outshines were predicted worse than without images, however
            # little these weighed: of a measured series with platinum by 9 standard errors after 320 iterations and by 10 with
            # the preset balanced; by the mean better by 3, and worse by 3.
            by_brightness = torch.cat([half / weights, half[None]]).reshape(-1, 1, 1, 1)
            self.scale = (self._typical * by_brightness).sqrt()
        self._ratio = self.scale / self._typical

    @classmethod
    def begin(cls, problem: Problem, typical: torch.Tensor, output: str) -> HAADFFit | None:
        """That of a problem, None where it has no images."""
        return None if problem.haadf is None else cls(problem, typical, output)

    def in_typical_units(self, u: torch.Tensor) -> torch.Tensor:
        """The network's output in units in which every channel weighs the same in the prior."""
        return u * self._ratio

    def term(self, x: torch.Tensor) -> torch.Tensor:
        """See `HAADFObservation.term`."""
        return self.observation.term(x)

    def notes(self, average: torch.Tensor) -> dict[str, Any]:
        """See `HAADFObservation.notes`; and ``particles`` as `haadf_particles.listed` has them."""
        haadf = self._problem.haadf
        assert haadf is not None
        further = self.observation.brightness(average)
        return with_particles(self.observation.notes(average), self._problem, haadf.particles, further)

    def after(self, iteration: int, average: torch.Tensor) -> None:
        """Refit the images' numbers where it is time."""
        if iteration % _EVERY == 0:
            self.observation.refit(average)
