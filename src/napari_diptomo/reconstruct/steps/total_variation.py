"""The step Joint TV: total variation of several channels, solved to convergence.

The objective is that of `tv.minimise`. The weight can be left to the held-out counts: the
weights of a grid are solved one after the other, each from the solution before, and the one
whose volume predicts the held-out counts best is returned.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from napari_diptomo.reconstruct.grid import volume_shape
from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.reconstruct.steps.base import haadf_field
from napari_diptomo.reconstruct.steps.shift_refining import ShiftRefining
from napari_diptomo.series import MapSeries, Observer, Volume, Watch, param

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.tv.minimise import TVSettings

#: Fraction held out to choose the weight when none is given.
_HOLDOUT = 0.1


class TotalVariation(ShiftRefining):
    """Non-negative total variation over all channels.

    Notes
    -----
    The objective stands in `napari_diptomo.reconstruct.tv.minimise`, the norms that couple the channels in
    `napari_diptomo.reconstruct.tv.norms`; it is minimised by the primal-dual method of Chambolle and Pock (2011,
    10.1007/s10851-010-0251-1). ``TotalVariation.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_diptomo import TotalVariation, simulate
    >>> simulated = simulate.tilt_series(simulate.lamella(16), np.arange(-60, 61, 10))
    >>> volume = TotalVariation(weight=0.6, iterations=100).run(simulated.maps)
    >>> volume.data.shape
    (3, 16, 16, 16)
    >>> bool(np.corrcoef(volume.data.ravel(), simulated.truth.data.ravel())[0, 1] > 0.8)
    True
    """

    title: ClassVar[str] = 'Joint TV'

    weight: float = param(
        0.6, 'Weight of the total variation: raise it when the volume is noisy, lower it when detail is lost.', gt=0.0
    )
    choose_weight: bool = param(
        False,
        'Try eight weights from 0.1 to 4 in place of the one above and return the volume that predicts held-out counts '
        'best; a tenth is held out unless holdout says otherwise.',
    )
    coupling: Literal['joint', 'channels', 'nuclear'] = param(
        'joint',
        'What channels share: joint favours edges at the same position, nuclear also in the same direction, '
        'channels smooths each by itself.',
        advanced=True,
    )
    iterations: int = param(1000, 'Iterations at most, for each weight.', ge=1, le=100_000)
    tolerance: float = param(
        8e-4,
        'Ends when 20 iterations change the volume by less than this fraction of it; 0 runs all iterations.',
        ge=0.0,
        lt=1.0,
        advanced=True,
    )
    data_term: Literal['auto', 'poisson', 'gaussian'] = param(
        'auto', "Statistics of the data: Poisson for counts, gaussian with the maps' variance otherwise.", advanced=True
    )

    haadf: bool = haadf_field()

    def _volumes(self, maps: MapSeries) -> float:
        # Measured; the eigenvalues of the nuclear norm are per voxel, whatever the number of channels.
        return 19.0 + (65.0 / len(maps.channels) if self.coupling == 'nuclear' else 0.0)

    def _haadf_bytes(self, maps: MapSeries) -> float:
        found = super()._haadf_bytes(maps)
        # Measured: the volumes that are compared, and what goes back and forth between maps and images.
        voxels = float(np.prod(volume_shape(maps, self.thickness, self.beyond_field)))
        return found + 4 * 12.0 * (len(maps.channels) + 1) * voxels if found else found

    def problem_settings(self) -> ProblemSettings:
        """See `Reconstruction.problem_settings`; only held-out counts can choose a weight."""
        settings = replace(super().problem_settings(), haadf=self.haadf)
        return replace(settings, holdout=self.holdout or _HOLDOUT) if self.choose_weight else settings

    def tv_settings(self) -> TVSettings:
        """The fields that say what is minimised, and how."""
        from napari_diptomo.reconstruct.tv.minimise import WEIGHTS, TVSettings

        weights = WEIGHTS if self.choose_weight else (self.weight,)
        return TVSettings(weights, self.coupling, self.iterations, self.tolerance, self.data_term)

    def _fit(self, maps: MapSeries, observer: Observer | None) -> Volume:
        from napari_diptomo.reconstruct.prepare import prepare
        from napari_diptomo.reconstruct.tv.haadf_contest import minimise_with_haadf
        from napari_diptomo.reconstruct.tv.minimise import minimise

        settings = self.tv_settings()
        problem = self.prepare(maps)
        if problem.haadf is None:
            watch = Watch(observer, self.title, self.iterations * len(settings.weights))
            return self._volume(problem, minimise(problem, settings, watch))
        judged = problem
        if problem.held_out is None:
            judged = prepare(maps, replace(self.problem_settings(), holdout=_HOLDOUT))
        return self._volume(problem, minimise_with_haadf(problem, judged, settings, self.title, observer))
