r"""Solver of total variation: the primal-dual method of Chambolle and Pock.

    min over u >= 0 of  F(K u) + r sum_v |grad u|(v)

with the half deviance F of the data and K u the expected data of the volume
s u. Chambolle and Pock 2011, 10.1007/s10851-010-0251-1, with the diagonal
preconditioning of Pock and Chambolle 2011, 10.1109/ICCV.2011.6126441. For the
Kullback-Leibler term F(q) = q + b - y log(q + b) the proximal map of the
conjugate is, with v = p + t (q + b),  (v + 1 - sqrt((v - 1)^2 + 4 t y)) / 2,
for least squares F(q) = (q + b - y)^2 / 2 it is (p + t (q + b - y)) / (1 + t).

Formulas: primal-dual method of Chambolle and Pock (`PrimalDual`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.haadf_rows import HAADFRows
from napari_diptomo.reconstruct.tv.norms import Coupling, gradient, gradient_adjoint, norm, project

#: Iterations over which the change of the volume is measured.
WINDOW = 20


@dataclass(frozen=True, eq=False)
class State:
    """Primal and dual variables of a solver, see `PrimalDual`."""

    u: torch.Tensor
    ahead: torch.Tensor
    dual_data: torch.Tensor
    dual_gradient: torch.Tensor
    bound: float


class PrimalDual:
    """State and one step of the method in the scaled volume u.

    Parameters
    ----------
    problem : Problem
        Data and forward model.
    scale : Tensor (channel, 1, 1, 1)
        Typical densities s; the volume is s u.
    weight : float
        Of the total variation, see `tv.minimise`.
    poisson : bool
        Poisson deviance, or squares over the variance.
    coupling : str
        Norm of the Jacobian.
    images : HAADFRows, optional
        HAADF images that are fitted beside the maps; u then has one more channel, of what no map holds.
    """

    def __init__(
        self,
        problem: Problem,
        scale: torch.Tensor,
        weight: float,
        poisson: bool,
        coupling: Coupling = 'joint',
        images: HAADFRows | None = None,
    ) -> None:
        self._scale, self._poisson, self._coupling = scale, poisson, coupling
        self.images = images
        self._share = 1 - problem.share
        # Counts are their own unit; other data are measured in their noise, or the
        # step sizes, and with them the speed, would depend on the unit of the maps.
        self._unit = torch.ones_like(problem.fit) if poisson else (self._share * problem.variance).sqrt()
        self._target = problem.fit / self._unit
        self._background = 0.0 if problem.background is None else self._share * problem.background / self._unit
        self._see(problem)
        self.u = problem.zeros() if images is None else images.start
        self._ahead = self.u
        self._dual_data = torch.zeros_like(problem.fit)
        self._dual_gradient = gradient(self.u)
        self._bound = 0.0
        #: Of the total variation, see `tv.minimise`.
        self.weight = weight
        self.set_weight(weight)

    def _see(self, problem: Problem) -> None:
        self._problem = problem
        self._weight = problem.mask * self._share / self._unit
        rows = self._weight * problem.forward((problem.zeros() + 1) * self._scale)
        self._sigma_data = 1 / rows.clamp_min(1e-6)
        self._columns = problem.adjoint(self._weight) * self._scale

    @property
    def volume(self) -> torch.Tensor:
        """The volume (channel, z, y, x)."""
        return self._mapped(self.u) * self._scale

    def _mapped(self, u: torch.Tensor) -> torch.Tensor:
        """The channels of the maps of ``u``."""
        return u[: len(self._scale)]

    def _priced(self, u: torch.Tensor) -> torch.Tensor:
        """``u`` as the prior counts it."""
        return u if self.images is None else torch.cat([u[:-1], self.images.price * u[-1:]])

    @property
    def roughness(self) -> float:
        """The term of the total variation per datum, its weight included."""
        jacobian = gradient(self._problem.regular(self._priced(self.u)))
        return self._bound * float(norm(jacobian, self._coupling).sum()) / self._problem.data_size

    def move_to(self, problem: Problem) -> None:
        """Continue from here with the same data and grid in another geometry."""
        self._see(problem)
        self._dual_data = problem.mask * self._dual_data
        self.set_weight(self.weight)

    @property
    def state(self) -> State:
        """Where it stands; later iterations do not change it."""
        return State(self.u, self._ahead, self._dual_data, self._dual_gradient, self._bound)

    def start_from(self, state: State) -> None:
        """Begin where another solver stood, of the same data or of fewer of the same counts."""
        self.u, self._ahead = state.u, state.ahead
        self._dual_data, self._dual_gradient, self._bound = state.dual_data, state.dual_gradient, state.bound
        self.set_weight(self.weight)

    def set_weight(self, weight: float) -> None:
        """Continue from here with another weight."""
        self.weight = weight
        if self.images is not None:
            self.images.restart()
        bound = weight * self._problem.filling * self._problem.data_size / float(self.u[0].numel())
        if self._bound:
            self._dual_gradient = self._dual_gradient * (bound / self._bound)
        self._bound = bound
        # Convergence does not depend on this balance of the two blocks, its speed does:
        # a dual gradient as large as its bound should be reached within a few steps.
        balance = max(bound, 1e-6)
        self._sigma_gradient = balance / 2
        self._set_step(balance)
        self._seen, self._age = self.u, 0
        #: Relative change of the volume over the last `WINDOW` iterations.
        self.change = float('inf')

    def _set_step(self, balance: float) -> None:
        columns = self._columns
        if self.images is not None:
            columns = self.images.with_columns(columns)
        self._tau = 1 / (columns + 6 * balance * self._priced(torch.ones_like(self.u)))

    def step(self) -> None:
        """One iteration."""
        problem = self._problem
        signal = self._weight * problem.forward(self._mapped(self._ahead) * self._scale)
        self._dual_data = problem.mask * self._proximal(self._dual_data + self._sigma_data * signal)
        moved = self._dual_gradient + self._sigma_gradient * gradient(problem.regular(self._priced(self._ahead)))
        self._dual_gradient = project(moved, self._bound, self._coupling)
        slope = problem.adjoint(self._weight * self._dual_data) * self._scale
        if self.images is not None:
            slope = self.images.with_slope(slope, self._ahead)
        slope = slope + self._priced(problem.regular(gradient_adjoint(self._dual_gradient)))
        new = (self.u - self._tau * slope).clamp_min(0)
        self._ahead = 2 * new - self.u
        self.u = new
        self._age += 1
        if self._age % WINDOW == 0:
            self.change = float((new - self._seen).norm() / new.norm().clamp_min(1e-30))
            self._seen = new
        if self.images is not None:
            if self.images.after(new):
                self._set_step(2 * self._sigma_gradient)
            if not self.images.is_priced:
                # What is still under way to another objective has not converged.
                self.change = float('inf')

    def _proximal(self, moved: torch.Tensor) -> torch.Tensor:
        sigma = self._sigma_data
        if self._poisson:
            v = moved + sigma * self._background
            return (v + 1 - ((v - 1).square() + 4 * sigma * self._target).sqrt()) / 2
        return (moved - sigma * (self._target - self._background)) / (1 + sigma)
