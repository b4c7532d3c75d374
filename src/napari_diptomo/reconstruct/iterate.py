"""The loop that SIRT and Poisson EM share: update, judge, report, obey, return the best iterate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch

from napari_diptomo.reconstruct.data_terms import fit_term
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.stopping import Best
from napari_diptomo.series import Observer, Volume, Watch

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.steps.poisson_em import PoissonEM
    from napari_diptomo.reconstruct.steps.sirt import SIRT

#: From a volume and the data expected of it (full exposure) to the next volume.
Update = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@torch.no_grad()
def iterate(
    step: SIRT | PoissonEM, problem: Problem, x: torch.Tensor, update: Update, poisson: bool, observer: Observer | None
) -> Volume:
    """Repeat ``update`` from the volume ``x`` (channel, z, y, x)."""
    watch = Watch(observer, step.title, step.iterations)
    best = Best(problem, poisson)
    expected = problem.expected(x)
    for i in range(1, step.iterations + 1):
        x = update(x, expected)
        expected = problem.expected(x)
        losses = {'data': float(fit_term(problem, expected, poisson))}
        best.see(i, x, losses, last=i == step.iterations)
        if watch.step(i, losses, best.validation, partial(problem.frame, x)):
            break
    return step._volume(problem, best.x, best.scores, {**best.notes(i), 'seconds': watch.seconds})
