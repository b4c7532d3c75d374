"""The step SIRT: simultaneous iterative reconstruction.

The formula is that of `sirt_iteration`. The field's workhorse, and the baseline to be
compared with. It fits noise with more iterations, so with held-out counts the iterate that
predicts them best is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from napari_diptomo.reconstruct.steps.fixed_point import FixedPointStep
from napari_diptomo.series import param

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.iterate import FixedPointMethod
    from napari_diptomo.reconstruct.problem import Problem


class SIRT(FixedPointStep):
    """Non-negative SIRT, every channel alike.

    Notes
    -----
    x <- max(x + C A^T R (y - A x), 0) with the inverse sums of the columns and of the rows of A in C and R (Gilbert 1972,
    J. Theor. Biol. 36, 105; Gregor and Benson 2008, 10.1109/TMI.2008.923696): `napari_diptomo.reconstruct.sirt_iteration`.
    ``SIRT.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_diptomo import SIRT, simulate
    >>> simulated = simulate.tilt_series(simulate.lamella(16), np.arange(-60, 61, 10))
    >>> volume = SIRT(iterations=20).run(simulated.maps)
    >>> volume.data.shape
    (3, 16, 16, 16)
    >>> bool(np.corrcoef(volume.data.ravel(), simulated.truth.data.ravel())[0, 1] > 0.8)
    True
    """

    title: ClassVar[str] = 'SIRT'

    iterations: int = param(100, 'Iterations at most; more sharpen and add noise.', ge=1, le=10_000)

    def _method(self, problem: Problem) -> FixedPointMethod:
        from napari_diptomo.reconstruct.data_terms import is_poisson
        from napari_diptomo.reconstruct.iterate import FixedPointMethod
        from napari_diptomo.reconstruct.sirt_iteration import empty_start, sirt_update

        return FixedPointMethod(
            self.title, 'SIRT', self.iterations, is_poisson(problem, 'auto'), empty_start, sirt_update
        )
