"""The step Poisson EM: the volume under which the counts are most likely, by expectation maximisation.

The formula is that of `em_iteration`. Every iteration raises the likelihood, keeps x non-negative
and, without background, makes the projection of x hold as many counts as were
measured. The likeliest volume is a noisy one: with held-out counts the iterate
that predicts them best is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_diptomo.reconstruct.steps.fixed_point import FixedPointStep
from napari_diptomo.series import InputError, param

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.iterate import FixedPointMethod
    from napari_diptomo.reconstruct.problem import Problem


class PoissonEM(FixedPointStep):
    """Poisson maximum likelihood by expectation maximisation (MLEM), for counts.

    Notes
    -----
    x <- x / (A^T 1) * A^T (y / (A x + b)) (Shepp and Vardi 1982, 10.1109/TMI.1982.4307558):
    `napari_diptomo.reconstruct.em_iteration`. ``PoissonEM.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_diptomo import PoissonEM, simulate
    >>> maps = simulate.tilt_series(simulate.lamella(16), np.arange(-60, 61, 10)).maps
    >>> volume = PoissonEM(iterations=50, holdout=0.1).run(maps)
    >>> volume.data.shape, volume.notes['stopping_rule']
    ((3, 16, 16, 16), 'held-out')
    >>> volume.notes['returned_iteration'] < 50
    True
    """

    title: ClassVar[str] = 'Poisson EM'

    iterations: int = param(50, 'Iterations at most; more sharpen and add noise.', ge=1, le=10_000)

    def _method(self, problem: Problem) -> FixedPointMethod:
        from napari_diptomo.reconstruct.em_iteration import em_update, uniform_start
        from napari_diptomo.reconstruct.iterate import FixedPointMethod

        _check_counts(problem)
        return FixedPointMethod(self.title, 'EM', self.iterations, True, uniform_start, em_update)


def _check_counts(problem: Problem) -> None:
    from napari_diptomo.reconstruct.data_terms import is_poisson

    maps = problem.maps
    if not is_poisson(problem, 'auto'):
        raise InputError(
            'Poisson EM needs whole counts, and these maps are fitted or scaled values; '
            'take SIRT or Joint TV for them, or give the counts as measured.'
        )
    for name in ('mixing', 'background', 'gain'):
        value = getattr(maps, name)
        if value is not None and (value < 0).any():
            raise InputError(
                f'Poisson EM needs a {name} without negative values; correct it, or take SIRT or Joint TV.'
            )
