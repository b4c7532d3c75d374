"""The loop around the fit of the untrained network: iterate, judge, report, obey, return the best average."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from napari_diptomo.reconstruct.prior_fit import PriorFit
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import Observer, Volume, Watch

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.dipm_tv import DIPmTV


def fit_prior(step: DIPmTV, problem: Problem, observer: Observer | None) -> Volume:
    """Fit, judge, and return the best average; obeys the observer in every iteration."""
    watch = Watch(observer, step.title, step.iterations)
    fit = PriorFit(step, problem)
    state = watch.load_state()
    if state is not None:
        fit.restore(state)
    while fit.iteration < step.iterations:
        # The same seed shall give the same volume, on a GPU too.
        with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
            losses = fit.iterate()
        i, x = fit.iteration, fit.average
        fit.best.see(i, x, losses, last=i == step.iterations)
        watch.save_state(fit.state)
        if watch.step(i, losses, fit.best.validation, partial(problem.frame, x)):
            fit.best.see(i, x, losses, last=True)
            break
    notes = {
        **fit.best.notes(fit.iteration),
        'preset': step.preset,
        'precision': 'bf16' if fit.bf16 else 'float32',
        'parameters': fit.parameters,
        'seconds': watch.seconds,
    }
    return step._volume(problem, fit.best.x, fit.best.scores, notes)
