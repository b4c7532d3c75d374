r"""Joint total variation, solved to convergence by the primal-dual method.

    min over x >= 0 of  sum of deviances / 2 + w n sum_v sqrt(sum_c |grad u_c|^2)(v) / N,   u_c = x_c / s_c

with the Poisson deviance of the counts (or the squared residual over the
variance where the maps are no counts), n data, N voxels and s_c the typical
density of channel c: the objective of DIPm-TV without the network, with the
same meaning of the weight w. The gradients of all channels are coupled in one
norm (Frobenius; compare Huber et al. 2019, Nanoscale, 10.1039/C8NR09058K), so
that channels share their edges.

Solver: Chambolle and Pock 2011, 10.1007/s10851-010-0251-1, with the diagonal
preconditioning of Pock and Chambolle 2011, 10.1109/ICCV.2011.6126441. For the
Kullback-Leibler term F(q) = q + b - y log(q + b) the proximal map of the
conjugate is, with v = p + s (q + b),  (v + 1 - sqrt((v - 1)^2 + 4 s y)) / 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from napari_diptomo.reconstruct.base import Reconstruction
from napari_diptomo.series import MapSeries, Observer, Volume, Watch, param

if TYPE_CHECKING:
    import torch

    from napari_diptomo.reconstruct.problem import Problem


class TotalVariation(Reconstruction):
    """Non-negative joint total variation over all channels."""

    title: ClassVar[str] = 'Joint TV'

    weight: float = param(
        0.6, 'Weight of the total variation: raise it when the volume is noisy, lower it when detail is lost.', gt=0.0
    )
    iterations: int = param(300, 'Iterations; 300 are enough for convergence to 1 % or better.', ge=1, le=100_000)
    data_term: Literal['auto', 'poisson', 'gaussian'] = param(
        'auto', "Statistics of the data: Poisson for counts, gaussian with the maps' variance otherwise.", advanced=True
    )
    holdout: float = param(
        0.0,
        'Share of the counts held out to score the result (to choose a weight); 0 fits all counts.',
        ge=0.0,
        lt=0.9,
        advanced=True,
    )

    def _volumes(self, maps: MapSeries) -> float:
        return 16.0

    def _run(self, maps: MapSeries, observer: Observer | None) -> Volume:
        import torch

        with torch.no_grad():
            return self._iterate(self._problem(maps), observer)

    def _iterate(self, problem: Problem, observer: Observer | None) -> Volume:
        from napari_diptomo.reconstruct.data_terms import fit_term, held_out_term, is_poisson
        from napari_diptomo.reconstruct.scale import channel_scale

        watch = Watch(observer, self.title, self.iterations)
        poisson = is_poisson(problem, self.data_term)
        scale = channel_scale(problem)
        solver = _PrimalDual(problem, scale, self.weight, poisson)
        scores: dict[str, list[float]] = {'iteration': [], 'data': [], 'tv': [], 'validation': []}
        validation = None
        for i in range(1, self.iterations + 1):
            solver.step()
            losses = {}
            if i % 10 == 0 or i == self.iterations:
                x = solver.u * scale
                losses = {
                    'data': float(fit_term(problem, problem.expected(x), poisson)),
                    'tv': self.weight * float(gradient(solver.u).square().sum((0, 1)).sqrt().mean()),
                }
                validation = held_out_term(problem, x, poisson)
                for name, value in {'iteration': i, **losses, 'validation': validation}.items():
                    scores[name].append(float('nan') if value is None else float(value))
            if watch.step(i, losses, validation, lambda: problem.frame(solver.u * scale)):
                break
        notes = {'iterations': i, 'weight': self.weight, 'held_out_deviance': validation, 'seconds': watch.seconds}
        return self._volume(problem, solver.u * scale, scores, notes)


class _PrimalDual:
    """State and one step of the preconditioned primal-dual method in the scaled volume u."""

    def __init__(self, problem: Problem, scale: torch.Tensor, weight: float, poisson: bool) -> None:
        import torch

        self._problem, self._scale, self._poisson = problem, scale, poisson
        self._share = 1 - problem.share
        self._bound = weight * problem.data_size / float(problem.zeros()[0].numel())
        # Counts are their own unit; other data are measured in their noise, or the
        # step sizes, and with them the speed, would depend on the unit of the maps.
        unit = torch.ones_like(problem.fit) if poisson else (self._share * problem.variance).sqrt()
        self._weight = problem.mask * self._share / unit
        self._target = problem.fit / unit
        self._background = 0.0 if problem.background is None else self._share * problem.background / unit
        ones = problem.zeros() + 1
        rows = self._weight * problem.forward(ones * scale)
        columns = problem.adjoint(self._weight) * scale
        # Convergence does not depend on this balance of the two blocks, its speed does:
        # a dual gradient as large as its bound should be reached within a few steps.
        self._balance = max(self._bound, 1e-6)
        self._sigma_data = 1 / rows.clamp_min(1e-6)
        self._sigma_gradient = self._balance / 2
        self._tau = 1 / (columns + 6 * self._balance)
        self.u = problem.zeros()
        self._ahead = self.u
        self._dual_data = torch.zeros_like(problem.fit)
        self._dual_gradient = gradient(self.u)

    def step(self) -> None:
        problem = self._problem
        signal = self._weight * problem.forward(self._ahead * self._scale)
        self._dual_data = problem.mask * self._proximal(self._dual_data + self._sigma_data * signal)
        dual = self._dual_gradient + self._sigma_gradient * gradient(self._ahead)
        size = dual.square().sum((0, 1), keepdim=True).sqrt()
        self._dual_gradient = dual / (size / self._bound).clamp_min(1)
        slope = problem.adjoint(self._weight * self._dual_data) * self._scale + gradient_adjoint(self._dual_gradient)
        new = (self.u - self._tau * slope).clamp_min(0)
        self._ahead = 2 * new - self.u
        self.u = new

    def _proximal(self, moved: torch.Tensor) -> torch.Tensor:
        sigma = self._sigma_data
        if self._poisson:
            v = moved + sigma * self._background
            return (v + 1 - ((v - 1).square() + 4 * sigma * self._target).sqrt()) / 2
        return (moved - sigma * (self._target - self._background)) / (1 + sigma)


def gradient(u: torch.Tensor) -> torch.Tensor:
    """Forward differences along z, y, x with none across the border: (channel, z, y, x) to (3, channel, z, y, x)."""
    found = u.new_zeros((3, *u.shape))
    found[0, :, :-1] = u[:, 1:] - u[:, :-1]
    found[1, :, :, :-1] = u[:, :, 1:] - u[:, :, :-1]
    found[2, :, :, :, :-1] = u[..., 1:] - u[..., :-1]
    return found


def gradient_adjoint(p: torch.Tensor) -> torch.Tensor:
    """The adjoint of `gradient` (minus the divergence)."""
    found = p.new_zeros(p.shape[1:])
    found[:, 1:] += p[0, :, :-1]
    found[:, :-1] -= p[0, :, :-1]
    found[:, :, 1:] += p[1, :, :, :-1]
    found[:, :, :-1] -= p[1, :, :, :-1]
    found[..., 1:] += p[2, ..., :-1]
    found[..., :-1] -= p[2, ..., :-1]
    return found
