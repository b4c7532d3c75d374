r"""Poisson EM: one iteration of expectation maximisation, and the volume it starts from.

    x <- x / (A^T 1) * A^T( y / (A x + b) )

(Shepp and Vardi 1982, 10.1109/TMI.1982.4307558; known as MLEM). A holds mixing
and gain, b is the background, y are the fitted counts brought to the full exposure.

Formulas: Poisson EM (`em_update`).
"""

from __future__ import annotations

import torch

from napari_diptomo.reconstruct.iterate import Update
from napari_diptomo.reconstruct.problem import Problem

#: Expected counts below which a quotient of counts is not resolved; keeps 1 / 0 away.
_LEAST = 1e-6


def uniform_start(problem: Problem) -> torch.Tensor:
    """The uniform volume (channel, z, y, x) that explains the total counts, zero where no ray passes."""
    sensitivity = problem.adjoint(problem.mask.expand_as(problem.fit))
    counts = (problem.fit * problem.mask).sum() / (1 - problem.share)
    return (sensitivity > 0) * counts / sensitivity.sum()


def em_update(problem: Problem, offset: float = 0.0) -> Update:
    """One EM iteration on the fitted data, as a function of the volume and the data expected of it.

    Parameters
    ----------
    problem : Problem
        Data and forward model.
    offset : float
        Counts added to the expected ones: a volume of few iterations that leaves counts where it has
        no matter is then finitely unlikely.
    """
    sensitivity = problem.adjoint(problem.mask.expand_as(problem.fit))
    inverse = (sensitivity > 0) / sensitivity.clamp_min(_LEAST)
    target = problem.mask * problem.fit / (1 - problem.share)

    def update(x: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
        return x * inverse * problem.adjoint(target / (expected + offset).clamp_min(_LEAST))

    return update
