"""Steps that repeat an update of the volume: SIRT and Poisson EM, with HAADF images beside the maps or without."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from napari_diptomo.reconstruct.steps.base import Reconstruction
from napari_diptomo.series import MapSeries, Observer, Volume, Watch

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.iterate import FixedPointMethod
    from napari_diptomo.reconstruct.problem import Problem

#: Fraction held out to judge HAADF images.
_HOLDOUT = 0.1


class FixedPointStep(Reconstruction):
    """A step that repeats an update of the volume."""

    _compared: ClassVar[float] = 12.0

    def fits(self, with_images: bool) -> int:
        """Volumes that are found one after the other, at most.

        Parameters
        ----------
        with_images : bool
            A HAADF series is fitted beside the maps, in three weights at most; the counts that judge it are held out for that
            alone or for the result too.
        """
        return (4 if self.holdout else 5) if with_images else 1

    @abstractmethod
    def _method(self, problem: Problem) -> FixedPointMethod:
        """The method of a problem.

        Raises
        ------
        InputError
            Data that the method does not suit.
        """

    def _run(self, maps: MapSeries, observer: Observer | None) -> Volume:
        from napari_diptomo.reconstruct.haadf_fixed_point import solve_with_haadf
        from napari_diptomo.reconstruct.iterate import solve_fixed_point
        from napari_diptomo.reconstruct.prepare import prepare

        problem = self.prepare(maps)
        method = self._method(problem)
        if problem.haadf is None:
            watch = Watch(observer, method.title, method.iterations)
            return self._volume(problem, solve_fixed_point(problem, method, watch))
        judged = problem
        if problem.held_out is None:
            # The images have been compared with all counts.
            split = prepare(replace(maps, haadf_series=None), replace(self.problem_settings(), holdout=_HOLDOUT))
            judged = split.with_haadf(problem.haadf)
        return self._volume(problem, solve_with_haadf(problem, judged, method, observer))
