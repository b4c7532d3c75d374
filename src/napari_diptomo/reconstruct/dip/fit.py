r"""One iteration of the fit of the untrained network, and its objective.

    x_c = s_c g(f_theta(z))_c,
    min over theta of  (W / C) deviance per datum / 2 + w * mean_v sqrt(sum_c |grad x_c / s_c|^2 + eps^2)

with the fixed noise z, the typical density s_c of channel c, W windows and C channels (arXiv 2606.10547,
2606.10893). The input is jittered anew in every iteration; the exponential average of the iterates is
what is judged and returned. What is known of the specimen (its support, its sum rule) adds its terms.

Formulas: objective of DIPm-TV (`PriorFit`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch

from napari_diptomo.reconstruct.data_terms import fit_term, is_poisson
from napari_diptomo.reconstruct.device import takes_bf16
from napari_diptomo.reconstruct.dip.arithmetic import arithmetic_for, settle
from napari_diptomo.reconstruct.dip.haadf_fit import HAADFFit
from napari_diptomo.reconstruct.dip.network import UNet, structure_of
from napari_diptomo.reconstruct.dip.optimiser import optimisers
from napari_diptomo.reconstruct.dip.settings import FitSettings
from napari_diptomo.reconstruct.dip.sum_rule import sum_rule_of
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import typical_density
from napari_diptomo.reconstruct.stopping import Best, rule_for
from napari_diptomo.reconstruct.tv.norms import channel_sum_tv, joint_tv, nuclear_tv
from napari_diptomo.series import InputError, ReconstructionError

#: Iterations of a fit whose length nothing chooses, because no counts are held out.
WITHOUT_COUNTS = 350

#: A start is steep when the first prediction is so many times further from the data than an empty volume. Fits up to 90
#: times were sound, those from 560 times on were emptied; what a steep start gets cost 0.6 dB in fits at 55 times.
_STEEP = 100.0
#: Iterations over which the step size rises then.
_WARM_UP = 20
#: Weight of what the network predicts outside the support. It is cut off anyway, but a network that
#: need not end by itself fills the support to its faces, and a loose one is worse than none then.
_OUTSIDE = 1.0


class Diverged(ReconstructionError):
    """The objective or its gradient is no number any more."""


class PriorFit:
    """Network, input, optimiser and averages of one fit.

    Parameters
    ----------
    settings : FitSettings
        Of network, input, optimiser and objective.
    problem : Problem
        Data and forward model.

    Raises
    ------
    InputError
        The network is too deep for the volume.
    """

    def __init__(self, settings: FitSettings, problem: Problem) -> None:
        _check_depth(settings, problem)
        self.settings, self.problem = settings, problem
        self.poisson = is_poisson(problem, settings.data_term)
        settle(problem.device)
        self.scale = _scale(settings, problem)
        self.haadf = HAADFFit.begin(problem, self.scale, settings.network.output)
        further = 0 if self.haadf is None else 1
        self._random = torch.Generator().manual_seed(settings.seed)
        with _seeded(settings.seed):
            self.network = UNet(*structure_of(settings.network, problem.maps, problem.beam.shape, further)).to(
                problem.device
            )
        self.z = self._noise()
        self._jitter = self._jitter_noise()
        self.compute_in(torch.bfloat16 if takes_bf16(settings.precision, problem.device) else torch.float32)
        self.optimisers = optimisers(self.network, settings.optimiser.kind, settings.optimiser.learning_rate)
        self._rates = [group['lr'] for o in self.optimisers for group in o.param_groups]
        #: Of all that the network predicts: the channels and, with HAADF, what no map holds.
        self._sum = torch.zeros((problem.channels + further, *problem.beam.shape), device=problem.device)
        self._steep = self._starts_steep()
        self.iteration = 0
        self.sum_rule = sum_rule_of(settings.sum_rule, problem)
        self._weight = 0.0
        every = 5 if settings.averaging else 25
        rule = rule_for(problem, settings.stopping)
        self.best = Best(problem, self.poisson, every, rule, settings.averaging)
        self.longest = planned_iterations(settings, problem)

    def _total_variation(self, seen: torch.Tensor) -> torch.Tensor:
        if self.settings.tv == 'channel sum':
            return channel_sum_tv(seen)
        return self.problem.filling * (nuclear_tv if self.settings.tv == 'nuclear' else joint_tv)(seen)

    def compute_in(self, number_type: torch.dtype) -> None:
        """Continue in another number type, all layers checked in it."""
        self.arithmetic = arithmetic_for(self.network, tuple(self.z.shape), number_type)
        self.arithmetic.prepare(self.network)
        self.z = self.z.to(self.arithmetic.number_type)
        self._jitter = self._jitter.to(self.arithmetic.number_type)

    @property
    def parameters(self) -> int:
        """Weights of the network."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def average(self) -> torch.Tensor:
        """The exponential average of the iterates, (channel, z, y, x)."""
        return self.whole_average[: self.problem.channels]

    @property
    def whole_average(self) -> torch.Tensor:
        """That of the channels and, with HAADF images, of what no map holds, (channel, z, y, x)."""
        return self._sum / max(self._weight, 1e-12)

    def iterate(self) -> dict[str, float]:
        """One step of the optimiser; returns the terms of the objective.

        Raises
        ------
        Diverged
            When the objective or its gradient is no number any more.
        """
        with self.arithmetic.running():
            return self._iterate()

    def _iterate(self) -> dict[str, float]:
        settings, problem = self.settings, self.problem
        done = self.iteration / self.longest
        warm = min(1.0, (self.iteration + 1) / _WARM_UP) if self._steep else 1.0
        self._set_rates(warm * self._rate_now())
        jitter = settings.input.jitter * (1 - done if settings.input.jitter_decay else 1.0)
        self.network.coarse = done < settings.coarse_share
        u = self.network(torch.add(self.z, self._fresh(), alpha=jitter))
        data = self._data_term(u)
        seen = problem.regular(u if self.haadf is None else self.haadf.in_typical_units(u))
        tv = settings.tv_weight * self._total_variation(seen)
        objective = data + tv + self._known(u, done)
        if not torch.isfinite(objective):
            raise Diverged(f'The fit diverged at iteration {self.iteration + 1}.')
        self.network.zero_grad(set_to_none=True)
        objective.backward()
        if not torch.isfinite(self._limit_gradient()):
            raise Diverged(f'The gradient of the fit diverged at iteration {self.iteration + 1}.')
        for optimiser in self.optimisers:
            optimiser.step()
        self.iteration += 1
        with torch.no_grad():
            memory = settings.averaging
            self._sum.mul_(memory).add_(self._densities(u.detach()), alpha=1 - memory)
            self._weight = self._weight * memory + 1 - memory
            if self.haadf is not None:
                self.haadf.after(self.iteration, problem.inside(self.whole_average))
        # Reported as the full deviance per datum, in the units of the held-out one.
        full = (
            1.0
            if settings.data_term.startswith('normalised')
            else 2.0 / (problem.windows_per_channel * problem.data_weight)
        )
        return {'data': full * float(data.detach()), 'tv': float(tv.detach())}

    def _known(self, u: torch.Tensor, done: float) -> torch.Tensor | float:
        """Terms of prior knowledge: nothing outside the support, elements that add up."""
        term: torch.Tensor | float = 0.0
        problem, seen = self.problem, self.problem.inside(u)
        if seen is not u and not problem.exact:
            term = _OUTSIDE * problem.filling * (u - seen).square().mean()
        if self.sum_rule is not None:
            term = term + problem.filling * self.sum_rule.term(self._densities(seen)[: problem.channels], done)
        return term

    def _limit_gradient(self) -> torch.Tensor:
        """Clip the gradient, or bring it to the same norm in every iteration; its norm before."""
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        if not self._steep:
            return torch.nn.utils.clip_grad_norm_(parameters, self.settings.optimiser.clip or float('inf'))
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
        for gradient in gradients:
            gradient.mul_((self.settings.optimiser.clip or 1.0) / (norm + 1e-30))
        return norm

    @torch.no_grad()
    def _starts_steep(self) -> bool:
        """Whether the first prediction is so far from the data that the first steps would empty the volume.

        So it is where pixels beside the specimen are known far better than those on it. In an
        empty volume the gradient of the softplus is a million times smaller: momentum that
        remembers the first gradients stays there for hundreds of iterations, and such fits ended
        with 17 dB where others with nearly the same data had 25. Gradients of one norm, and a step
        size that rises, find the way out. The published settings are left as they are.
        """
        if self.settings.optimiser.schedule == 'constant':
            return False
        with self.arithmetic.running():
            first = self._data_term(self.network(self.z))
        return bool(first > _STEEP * self._data_term(torch.zeros_like(self._sum)))

    def _rate_now(self) -> float:
        """Step size of this iteration, relative to that at the start."""
        if self.settings.optimiser.schedule == 'constant':
            return 1.0
        return 0.05 + 0.475 * (1 + math.cos(math.pi * self.iteration / self.longest))

    def slow_down(self, factor: float) -> None:
        """Continue with `factor` times the step size."""
        self._rates = [rate * factor for rate in self._rates]

    def _set_rates(self, share: float) -> None:
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group['lr'] = rate * share

    def _data_term(self, u: torch.Tensor) -> torch.Tensor:
        problem = self.problem
        x = self._densities(u)
        expected = problem.expected(x[: problem.channels])
        if not self.settings.data_term.startswith('normalised'):
            weight = 0.5 * problem.windows_per_channel * problem.data_weight
            term = weight * fit_term(problem, expected, self.poisson)
            return term if self.haadf is None else term + self.haadf.term(problem.inside(x))
        top = problem.fit.amax((1, 2, 3), keepdim=True)
        residual = problem.mask * ((1 - problem.share) * expected - problem.fit) / top
        return residual.square().mean() if self.settings.data_term.endswith('L2') else residual.abs().mean()

    def _densities(self, u: torch.Tensor) -> torch.Tensor:
        """The prediction of the network in counts per voxel."""
        return u * (self.scale if self.haadf is None else self.haadf.scale)

    def _noise(self) -> torch.Tensor:
        given = self.settings.input
        shape = (1, self.settings.network.input_channels, *self.problem.beam.shape)
        if given.distribution == 'uniform':
            return given.std * torch.rand(shape, generator=self._random).to(self.problem.device)
        z = torch.randn(shape, generator=self._random)
        z = smooth(z, given.smoothing)
        return (given.std * z / z.std()).to(self.problem.device)

    def _jitter_noise(self) -> torch.Tensor:
        """Twice as much white noise as the input has: sampling it anew took a tenth of an iteration."""
        return torch.randn(2 * self.z.numel(), generator=self._random).to(self.problem.device)

    def _fresh(self) -> torch.Tensor:
        """Noise of the shape of the input, from a random position of the store."""
        start = int(torch.randint(self.z.numel(), (1,), generator=self._random))
        return self._jitter[start : start + self.z.numel()].view_as(self.z)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to continue as if nothing had happened."""
        return {
            'iteration': self.iteration,
            'network': self.network.state_dict(),
            'optimisers': [optimiser.state_dict() for optimiser in self.optimisers],
            'random': self._random.get_state(),
            'sum': self._sum,
            'weight': self._weight,
            'rates': self._rates,
            'float32': self.arithmetic.number_type == torch.float32,
            'best': self.best.state(),
            'haadf': None if self.haadf is None else self.haadf.observation.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.iteration = int(state['iteration'])
        if state['float32'] and self.arithmetic.number_type != torch.float32:
            self.compute_in(torch.float32)
        self.network.load_state_dict(state['network'])
        for optimiser, saved in zip(self.optimisers, state['optimisers'], strict=True):
            optimiser.load_state_dict(saved)
        self._random.set_state(state['random'])
        self._sum, self._weight = state['sum'].to(self.problem.device), state['weight']
        self._rates = list(state['rates'])
        self.best.restore(state['best'])
        if self.haadf is not None:
            self.haadf.observation.restore(state['haadf'])


def planned_iterations(settings: FitSettings, problem: Problem) -> int:
    """Iterations of a fit at most; without held-out counts nothing would end one that is too long."""
    if settings.iterations is None and rule_for(problem, settings.stopping) != 'held-out':
        return WITHOUT_COUNTS
    return settings.longest


def smooth(z: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian smoothing of the last three axes, periodic, sigma in voxels."""
    if sigma <= 0:
        return z
    for axis in (2, 3, 4):
        frequency = torch.fft.fftfreq(z.shape[axis])
        response = torch.exp(-2 * (math.pi * sigma * frequency) ** 2)
        shape = [1] * 5
        shape[axis] = -1
        z = torch.fft.ifft(torch.fft.fft(z, dim=axis) * response.reshape(shape), dim=axis).real
    return z


def _check_depth(settings: FitSettings, problem: Problem) -> None:
    """Batch normalisation needs more than one voxel to normalise over, at the coarsest level too."""
    coarsest = math.prod(-(-n // 2 ** len(settings.network.widths)) for n in problem.beam.shape)
    if settings.network.normalisation == 'batch' and coarsest < 2:
        raise InputError(
            f'A volume of {" x ".join(map(str, problem.beam.shape))} voxels is too small for a network of '
            f'{len(settings.network.widths)} levels with batch normalisation; take the preset balanced.'
        )


def _scale(settings: FitSettings, problem: Problem) -> torch.Tensor:
    if settings.scale == 'density':
        return typical_density(problem)
    # On the published unit cubes a path through the whole volume has length 1.
    if problem.mixing is None:
        top = problem.fit.amax((1, 2, 3)) / (1 - problem.share)
    else:
        top = torch.as_tensor(problem.maps.unmixed().data.max((1, 2, 3)), device=problem.device)
    return (top / problem.beam.shape[2]).reshape(-1, 1, 1, 1)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
