r"""The optimiser of the network: orthogonalised momentum for the convolutions.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural
networks") takes the momentum M of each weight, written as a matrix (outputs by
inputs times kernel), and steps along the nearest matrix with equal singular
values,

    W <- W - lr * sqrt(max(1, rows / columns)) * U V^T,   M = U S V^T,

with U V^T from five Newton-Schulz iterations. Every direction that the data
ask for is learnt at the same pace, the faint ones too; Adam learns the strong
ones first (docs/choices.md compares them). The last layer, biases and
normalisation have no such structure: they go by Adam with a fifth of the rate.

`torch.optim.Muon` is the same method for matrices alone: it refuses the five axes of a
convolution's weight, orthogonalises in bfloat16 (here in float32), which would change every
volume, and came with torch 2.9, where this package works from torch 2.2 on.

None of them is a `torch.optim.Optimizer`: the first of these in a process imports torch's compiler,
which takes two to five seconds, a third of the wait for the first preview. Adam is that of torch to
the last bit.

Formulas: orthogonalised momentum, Muon (`orthogonalise`); Adam (`Adam`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

#: Newton-Schulz polynomial of the source, tuned for speed: singular values end near 1, not at it.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_MOMENTUM = 0.95


class Optimiser:
    """Parameters, their step size, and what is remembered of the gradients of each.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
        Step size.

    Attributes
    ----------
    param_groups : list of dict
        One group, as in `torch.optim`: its ``params`` and its ``lr``, which may be set.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        self.param_groups: list[dict[str, Any]] = [{'params': list(parameters), 'lr': lr}]
        self._memory: list[dict[str, Any]] = [{} for _ in self.param_groups[0]['params']]

    def step(self) -> None:
        """One update from the gradients at hand."""
        group = self.param_groups[0]
        moving = [(p, one) for p, one in zip(group['params'], self._memory, strict=True) if p.grad is not None]
        if moving:
            with torch.no_grad():
                self._move([p for p, _ in moving], [one for _, one in moving], group['lr'])

    def _move(self, parameters: list[nn.Parameter], memory: list[dict[str, Any]], rate: float) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs, laid out as in `torch.optim`."""
        group = {'lr': self.param_groups[0]['lr'], 'params': list(range(len(self._memory)))}
        return {'state': {n: dict(one) for n, one in enumerate(self._memory) if one}, 'param_groups': [group]}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave, or torch's optimiser of the same kind."""
        group = self.param_groups[0]
        group['lr'] = saved['param_groups'][0]['lr']
        for n, parameter in enumerate(group['params']):
            kept = dict(saved['state'].get(n, {}))
            if 'step' in kept:
                kept['step'] = int(kept['step'])
            self._memory[n] = {
                name: value.to(parameter.device, copy=True) if isinstance(value, torch.Tensor) else value
                for name, value in kept.items()
            }


class Muon(Optimiser):
    """Orthogonalised momentum, for parameters of two or more dimensions, whose axes but the first are flattened.

    The step size is spectral: that of the largest singular value.
    """

    def _move(self, parameters: list[nn.Parameter], memory: list[dict[str, Any]], rate: float) -> None:
        for weight, one in zip(parameters, memory, strict=True):
            assert weight.grad is not None
            momentum = one.setdefault('momentum', torch.zeros_like(weight))
            momentum.mul_(_MOMENTUM).add_(weight.grad)
            ahead = (weight.grad + _MOMENTUM * momentum).flatten(1)
            size = rate * max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
            weight.add_(orthogonalise(ahead).reshape(weight.shape), alpha=-size)


class Adam(Optimiser):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980), with torch's defaults.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr : float
        Step size.
    betas : tuple of float
        Memory of the means of the gradients and of their squares.
    eps : float
        Added to the root of the latter.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        self._betas, self._eps = betas, eps

    def _move(self, parameters: list[nn.Parameter], memory: list[dict[str, Any]], rate: float) -> None:
        first, second = self._betas
        for parameter, one in zip(parameters, memory, strict=True):
            if not one:
                one |= {'step': 0, 'exp_avg': torch.zeros_like(parameter), 'exp_avg_sq': torch.zeros_like(parameter)}
            one['step'] += 1
        means, squares = [one['exp_avg'] for one in memory], [one['exp_avg_sq'] for one in memory]
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - second)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, [(1 - second ** one['step']) ** 0.5 for one in memory])
        torch._foreach_add_(roots, self._eps)
        sizes = [-rate / (1 - first ** one['step']) for one in memory]
        torch._foreach_addcdiv_([p.data for p in parameters], means, roots, sizes)


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """U V^T of the matrix U S V^T, up to 30 % in each singular value, which is all that a step needs."""
    a, b, c = _COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-12)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T


def optimisers(network: nn.Module, kind: str, learning_rate: float) -> list[Optimiser]:
    """The optimisers of a network, each parameter in one of them.

    Parameters
    ----------
    network : Module
        With the last layer named ``head``.
    kind : {'muon', 'adam'}
        Adam for everything, with torch's defaults, is what the source papers use.
    learning_rate : float
        Of Muon (and a fifth of it for the rest), or of Adam.
    """
    if kind == 'adam':
        return [Adam(network.parameters(), lr=learning_rate)]
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.dim() > 1 and not name.startswith('head')
        (matrices if is_matrix else rest).append(parameter)
    return [Muon(matrices, learning_rate), Adam(rest, lr=learning_rate / 5, betas=(0.9, 0.99))]
