"""The step Joint TV: total variation of several channels, solved to convergence.

The objective is that of `tv.minimise`. Unless a weight is given the held-out counts choose it (`tv.weight_choice`), and all
counts are fitted with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.reconstruct.steps.shift_refining import ShiftRefining
from napari_diptomo.reconstruct.tv.settings import TVSettings
from napari_diptomo.series import MapSeries, Observer, Volume, Watch, param

#: Fraction held out to choose the weight, or to judge HAADF images.
_HOLDOUT = 0.1
#: Of all volumes before the held-out counts chose it by default.
_FORMER_WEIGHT = 0.6


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
    _compared: ClassVar[float] = 12.0

    weight: float | None = param(
        None,
        'Weight of the total variation; empty: chosen by a tenth of the counts, held out to compare weights and then fitted '
        'with the others. Raise it when the volume is noisy, lower it when detail is lost.',
        gt=0.0,
    )
    coupling: Literal['joint', 'channels', 'nuclear'] = param(
        'joint',
        'What channels share: joint favours edges at the same position, nuclear also in the same direction, '
        'channels smooths each by itself.',
        advanced=True,
    )
    iterations: int = param(1000, 'Iterations at most, once the weight is there.', ge=1, le=100_000)
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

    @model_validator(mode='before')
    @classmethod
    def _read_choose_weight(cls, values: Any) -> Any:
        """Recipes of versions that chose a weight only where they were asked to, and had 0.6 for all others."""
        if not isinstance(values, dict) or not isinstance(values.get('choose_weight'), bool):
            return values
        kept = {name: value for name, value in values.items() if name != 'choose_weight'}
        return {**kept, 'weight': None} if values['choose_weight'] else {'weight': _FORMER_WEIGHT, **kept}

    def _volumes(self, maps: MapSeries) -> float:
        # Measured; the eigenvalues of the nuclear norm are per voxel, whatever the number of channels. A search for the weight
        # keeps where the best one ended.
        return 19.0 + 10.0 * (self.weight is None) + (65.0 / len(maps.channels) if self.coupling == 'nuclear' else 0.0)

    def problem_settings(self) -> ProblemSettings:
        """See `Reconstruction.problem_settings`; only held-out counts can choose a weight."""
        settings = super().problem_settings()
        return settings if self.weight is not None else replace(settings, holdout=self.holdout or _HOLDOUT)

    def tv_settings(self) -> TVSettings:
        """The fields that say what is minimised, and how."""
        return TVSettings(self.weight, self.coupling, self.iterations, self.tolerance, self.data_term)

    def _fit(self, maps: MapSeries, observer: Observer | None) -> Volume:
        from napari_diptomo.reconstruct.prepare import prepare
        from napari_diptomo.reconstruct.tv.haadf_contest import minimise_with_haadf
        from napari_diptomo.reconstruct.tv.minimise import minimise, solver_of
        from napari_diptomo.reconstruct.tv.weight_choice import minimise_chosen, with_all_counts

        settings = self.tv_settings()
        problem = judged = self.prepare(maps)
        if self.weight is None and not self.holdout:
            problem = with_all_counts(judged)
        elif problem.haadf is not None and problem.held_out is None:
            # The images have been compared with all counts.
            split = prepare(replace(maps, haadf_series=None), replace(self.problem_settings(), holdout=_HOLDOUT))
            judged = split.with_haadf(problem.haadf)
        if problem.haadf is not None:
            solution = minimise_with_haadf(problem, judged, settings, self.title, observer)
        elif self.weight is None:
            solution = minimise_chosen(problem, judged, settings, self.title, observer)
        else:
            watch = Watch(observer, self.title, self.iterations)
            solution = minimise(problem, solver_of(problem, settings, self.weight), settings, watch)
        return self._volume(problem, solution)
