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

Formulas: orthogonalised momentum, Muon (`orthogonalise`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

#: Newton-Schulz polynomial of the source, tuned for speed: singular values end near 1, not at it.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Muon for parameters of two or more dimensions.

    Parameters
    ----------
    parameters : iterable of Parameter
        Weights; all axes but the first are flattened.
    lr : float
        Spectral size of a step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {'lr': lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand."""
        for group in self.param_groups:
            for weight in group['params']:
                if weight.grad is None:
                    continue
                state: dict[str, Any] = self.state[weight]
                momentum = state.setdefault('momentum', torch.zeros_like(weight))
                momentum.mul_(_MOMENTUM).add_(weight.grad)
                ahead = (weight.grad + _MOMENTUM * momentum).flatten(1)
                size = group['lr'] * max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                weight.add_(orthogonalise(ahead).reshape(weight.shape), alpha=-size)


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


def optimisers(network: nn.Module, kind: str, learning_rate: float) -> list[torch.optim.Optimizer]:
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
        return [torch.optim.Adam(network.parameters(), lr=learning_rate)]
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.dim() > 1 and not name.startswith('head')
        (matrices if is_matrix else rest).append(parameter)
    return [Muon(matrices, learning_rate), torch.optim.Adam(rest, lr=learning_rate / 5, betas=(0.9, 0.99))]
