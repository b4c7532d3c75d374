r"""Data terms: the misfit of a model, by Poisson deviance or by weighted squares.

Poisson deviance per datum, 2 (m - y + y log(y / m)): twice the negative
log-likelihood less that of the perfect model; about 1 where the model is true
and counts are not too few. The weighted square, (y - m)^2 / variance, has the
same meaning for data that are not counts.

Formulas: Poisson deviance (`poisson_deviance`); weighted least squares of maps (`weighted_square`); held-out deviance
(`held_out_term`).
"""

from __future__ import annotations

import torch

from napari_diptomo.reconstruct.problem import FLOOR, Problem
from napari_diptomo.series import InputError


def poisson_deviance(model: torch.Tensor, data: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean Poisson deviance per datum."""
    return _masked_mean(_poisson_each(model, data), mask)


def weighted_square(
    model: torch.Tensor, data: torch.Tensor, variance: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Mean squared residual in units of the variance."""
    return _masked_mean(_square_each(model, data, variance), mask)


def is_poisson(problem: Problem, choice: str) -> bool:
    """Whether ``'auto'`` or the user's word makes this a Poisson problem."""
    if choice == 'poisson' and bool((problem.fit < 0).any()):
        raise InputError(
            'Fitted maps with negative values are no Poisson counts; set the data term to auto or gaussian.'
        )
    return problem.maps.are_counts or problem.quasi if choice == 'auto' else choice == 'poisson'


def fit_term(problem: Problem, expected: torch.Tensor, poisson: bool) -> torch.Tensor:
    """Deviance per datum of the fitted part; ``expected`` is of the full exposure."""
    share = 1 - problem.share
    if poisson:
        return poisson_deviance(share * expected, problem.fit, problem.mask)
    return weighted_square(share * expected, problem.fit, share * problem.variance, problem.mask)


@torch.no_grad()
def fit_terms(problem: Problem, expected: torch.Tensor, poisson: bool) -> dict[str, float]:
    """`fit_term` of each channel by its name.

    Of windows of counts, which hold several channels each, that of a channel is the mean over the windows, each with the
    share of the channel's photons that falls into it: channels that share a window share its misfit.
    """
    share = 1 - problem.share
    model = share * expected
    each = _poisson_each(model, problem.fit) if poisson else _square_each(model, problem.fit, share * problem.variance)
    mask = problem.mask.expand_as(each)
    terms = (each * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp_min(1)
    if problem.mixing is not None:
        terms = terms @ (problem.mixing / problem.mixing.sum(0).clamp_min(FLOOR))
    return dict(zip(problem.maps.channels, terms.tolist(), strict=True))


def held_out_term(problem: Problem, x: torch.Tensor, poisson: bool) -> float | None:
    """Deviance per datum of the held-out part for the volume ``x``; None when nothing is held out."""
    if problem.held_out is None:
        return None
    with torch.no_grad():
        return held_out_deviance(problem, problem.expected(x), problem.held_out, poisson)


def held_out_deviance(problem: Problem, expected: torch.Tensor, held_out: torch.Tensor, poisson: bool) -> float:
    """Deviance per datum of the held-out part; ``expected`` is of the full exposure."""
    model = problem.share * expected
    if poisson:
        return float(poisson_deviance(model, held_out, problem.mask))
    return float(weighted_square(model, held_out, problem.share * problem.variance, problem.mask))


def _poisson_each(model: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    model = model.clamp_min(0) + FLOOR
    # The two logarithms apart: the gradient of xlogy(0, 0 / m) is not a number.
    return 2 * (model - data + torch.special.xlogy(data, data) - data * model.log())


def _square_each(model: torch.Tensor, data: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    return (data - model) ** 2 / variance


def _masked_mean(each: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (each * mask).sum() / (mask.sum() * (each.numel() // mask.numel()))
