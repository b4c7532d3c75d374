r"""HAADF images in the primal-dual method: one more block of rows, linear about the present volume.

The images' negative log-likelihood (`haadf_observation`) of a path p = A (sum_c w_c x_c + m) is, near the path p0,

    |a p - b|^2 / 2,   a = r g exp(-k p0),   b = r (h - o - g D(p0)) + a p0,   r = sqrt(trust / variance)

a least-squares term of the volume, whose proximal step is that of `primal_dual`. Without damping it is exact; with damping
it is Gauss and Newton's, and p0, offsets, gains, displacements and variances are brought up to date between iterations,
`_REFITS` times. What follows is the minimum of a convex objective.

What no map holds is nearly free in the prior during the first refits. A small bright particle would be dear: as long as it is not
followed its images misfit, and images that misfit have too little weight for it ever to be. Afterwards an edge of it costs

    q_v |grad m|,    q_v = 1 / max(1, m_v / b)

with the brightest m of voxel v and its neighbours at that time and b a few times typical matter: at the full price a particle
that has been followed would be moved into an element of little mass and much intensity.

Formulas: rows of HAADF images (`HAADFRows`).
"""

from __future__ import annotations

from typing import Any

import torch

from napari_diptomo.reconstruct.haadf_observation import HAADFObservation
from napari_diptomo.reconstruct.haadf_particles import with_particles
from napari_diptomo.reconstruct.problem import Problem

#: Iterations between two refits, and how many of them there are.
_EVERY, _REFITS = 20, 15
#: What no map holds, relative to the brightness of typical matter: its scale in the prior. At 0.3, as with a network, thin
#: skins cost so much that their intensity went into the elements: 0.6 to 1.1 dB less on simulated specimens.
_UNMAPPED = 0.6
#: Its price in the prior at first, and for how many refits. At 0.3 a particle of 8 % of the intensity was not followed; longer
#: gains nothing.
_AT_FIRST, _CHEAP = 0.15, 5
#: b of the module's formula, in units of its scale. From 1 to 4 a specimen with particles gains 1.5 dB, at infinity 1.1 dB; facets
#: without any lose 0.1 dB at 2 (lamella and facets, 30 counts).
_BRIGHT = 4.0
#: Brightness of a particle over that of the mapped elements in the same voxel, at least.
_ALONE = 4.0


class HAADFRows:
    """The images of a problem while a volume is fitted.

    Parameters
    ----------
    problem : Problem
        With HAADF data.
    typical : Tensor (channel, 1, 1, 1)
        Typical densities.
    x : Tensor (channel, z, y, x)
        Volume of the maps alone.

    Attributes
    ----------
    observation : HAADFObservation
        The images and what is fitted to them.
    scale : Tensor (channel and unmapped, 1, 1, 1)
        Typical densities, and what no map holds typically.
    start : Tensor (channel and unmapped, z, y, x)
        The volume in units of `scale`, nothing unmapped.
    price : Tensor
        q of the module's formula, (1, 1, 1) or (z, y, x).
    """

    def __init__(self, problem: Problem, typical: torch.Tensor, x: torch.Tensor) -> None:
        assert problem.haadf is not None
        data = problem.haadf
        self.observation = HAADFObservation(
            data.series, data.intensity, problem.beam.shape, problem.device, problem.data_size, data.trust
        )
        self.scale = self.observation.typical(typical, _UNMAPPED)
        self.price = torch.full_like(self.scale[-1], _AT_FIRST)
        self._problem, self._iteration = problem, 0
        self.start = torch.cat([x, torch.zeros_like(x[:1])]) / self.scale
        self.observation.refit(problem.inside(self.start * self.scale), move=False)
        self._linearise(self.start)
        self._dual = torch.zeros_like(self._target)

    def with_slope(self, slope: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Dual step at the volume ``u`` in units of `scale`; the slope of the primal step (channel, z, y, x) with the images'."""
        moved = self._dual + self._sigma * (self._rows * self._path(u) - self._target)
        self._dual = moved / (1 + self._sigma)
        return self._added(self._back(self._rows * self._dual), slope)

    def with_columns(self, columns: torch.Tensor) -> torch.Tensor:
        """Sums of the columns (channel, z, y, x) with those of the images, for the step sizes."""
        return self._added(self._back(self._rows), columns)

    @staticmethod
    def _added(whole: torch.Tensor, mapped: torch.Tensor) -> torch.Tensor:
        whole[:-1] += mapped
        return whole

    @property
    def is_priced(self) -> bool:
        """Whether an iteration has been made since what no map holds has its price for good."""
        return self._iteration > _EVERY * _CHEAP

    def restart(self) -> None:
        """Refit the images' numbers as often again: the objective has changed."""
        self._iteration = 0

    def after(self, u: torch.Tensor) -> bool:
        """Note that an iteration is done; whether the images' numbers have been refitted to the volume ``u``."""
        self._iteration += 1
        if self._iteration % _EVERY or self._iteration > _EVERY * _REFITS:
            return False
        if self._iteration == _EVERY * _CHEAP:
            brightest = torch.nn.functional.max_pool3d(u[None, -1:], 3, 1, 1)[0, 0]
            self.price = (_BRIGHT / brightest.clamp_min(_BRIGHT)).to(u)
        self.observation.refit(self._volume(u))
        self._linearise(u)
        return True

    def particles(self, u: torch.Tensor) -> torch.Tensor:
        """Intensity per voxel (z, y, x) beyond that of typical matter, in units of the images, where nothing else is."""
        volume = self._volume(u)
        unmapped, mapped = volume[-1], self.observation.brightness(volume) - volume[-1]
        found = (unmapped - _BRIGHT * self.scale[-1]).clamp_min(0)
        # Among mapped matter it is more likely an element whose counts are worth more than was thought.
        return torch.where(unmapped > _ALONE * mapped, found, 0)

    def notes(self, u: torch.Tensor) -> dict[str, Any]:
        """See `HAADFObservation.notes`; and ``particles`` as `haadf_particles.listed` has them."""
        volume, particles = self._volume(u), self.particles(u)
        further = self.observation.brightness(volume) - particles
        return with_particles(self.observation.notes(volume), self._problem, particles, further)

    def _linearise(self, u: torch.Tensor) -> None:
        self._rows, self._target = self.observation.linear_about(self._volume(u))
        self._sigma = 1 / (self._rows * self._path(torch.ones_like(u))).clamp_min(1e-6)

    def _volume(self, u: torch.Tensor) -> torch.Tensor:
        return self._problem.inside(u * self.scale)

    def _path(self, u: torch.Tensor) -> torch.Tensor:
        return self.observation.path(self._volume(u))

    def _back(self, p: torch.Tensor) -> torch.Tensor:
        return self._problem.inside(self.observation.path_adjoint(p)) * self.scale
