"""How long a reconstruction will take, from the pace at which the last one of its kind ran on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.series import MapSeries, Progress

if TYPE_CHECKING:
    from napari_diptomo.reconstruct import Reconstruction

#: Until a run was measured here, seconds of an iteration, and per voxel in addition: of `balanced` on two idle cores
#: (docs/speed.md), and on slower processors of our trials, one of them drawing previews without a graphics card.
_SOMEWHERE = ((0.03, 0.9e-6), (0.15, 1.7e-6))
#: Reports at the beginning that are left out.
_WARM_UP = 2
#: Networks that are fitted where the held-out counts choose among heads (`napari_diptomo.reconstruct.dip.contest`), and at
#: most where there is a HAADF series too (`napari_diptomo.reconstruct.dip.haadf_contest`): without held-out counts two.
_HEADS, _WITH_HAADF, _WITH_HAADF_AND_NO_CHOICE = 2, 3, 2
#: How many iterations of the fit a refinement of the shifts takes at most, of total variation and of a network: on one core
#: 770 and 24 for 24^3 voxels at 9 tilts, 740 and 60 for 48^3 at 15 (`napari_diptomo.reconstruct.shift_refinement`).
_REFINEMENT, _REFINEMENT_BESIDE_NETWORK = 770, 60


class Pace:
    """Seconds per iteration of the job that runs, without its first iterations, which also warm up."""

    def __init__(self) -> None:
        self._reports: list[tuple[int, float]] = []

    def add(self, report: Progress) -> None:
        """A report of the job; where its iterations begin anew so does the measurement."""
        if self._reports and report.iteration < self._reports[-1][0]:
            self._reports.clear()
        self._reports.append((report.iteration, report.seconds))

    def seconds(self) -> float | None:
        """Per iteration; None while there are too few."""
        later = self._reports[_WARM_UP:]
        if len(later) < 2 or later[-1][0] <= later[0][0]:
            return None
        return (later[-1][1] - later[0][1]) / (later[-1][0] - later[0][0])


def kind_of(step: Reconstruction, maps: MapSeries) -> str:
    """Runs of the same kind take the same time per voxel and iteration."""
    words = (step.title, getattr(step, 'preset', ''), step.device, 'HAADF' if _fits_haadf(step, maps) else '')
    return ' '.join(word for word in words if word)


def kind_of_refinement(step: Reconstruction) -> str:
    """Under which the pace of refining the shifts is remembered: seconds of all of it per voxel."""
    return f'refining shifts {step.device}'


def trial_of(step: Reconstruction) -> str:
    """Under which the pace of a trial is remembered, see `napari_diptomo.widgets.tasks.pace_trial`."""
    return f'trial {step.title} {getattr(step, "preset", "")} {step.device}'


def voxels_of(step: Reconstruction, maps: MapSeries) -> int:
    """Voxels of the volume, of one channel."""
    from napari_diptomo.reconstruct.grid import volume_shape

    return int(np.prod(volume_shape(maps, step.thickness, step.beyond_field)))


def time_in_words(step: Reconstruction, maps: MapSeries, paces: Mapping[str, float]) -> str:
    """``'About 4 min at the pace of the last such run here.'``; empty where nothing is known.

    Parameters
    ----------
    step : Reconstruction
    maps : MapSeries
        What will be reconstructed.
    paces : mapping of str to float
        Seconds per voxel and iteration by `kind_of` and `trial_of`, and per voxel by `kind_of_refinement`, as measured here.
    """
    voxels, iterations = voxels_of(step, maps), _iterations(step, maps)
    refining = bool(getattr(step, 'refine_shifts', False))
    before = refining * (_REFINEMENT_BESIDE_NETWORK if hasattr(step, 'preset') else _REFINEMENT)
    measured = paces.get(kind_of(step, maps))
    if measured is not None:
        refinement = paces.get(kind_of_refinement(step), before * measured) if refining else 0.0
        seconds = voxels * (iterations * measured + refinement)
        return f'Up to {duration(seconds)} at the pace of the last such run here.'
    tried = paces.get(trial_of(step))
    if tried is not None:
        seconds = voxels * tried * (iterations + before)
        return f'All iterations take about {duration(seconds)}, by a short trial on this machine. After the first run here its pace is used.'
    if hasattr(step, 'preset') and step.device_name().startswith('CPU'):
        low, high = (duration((each + pace * voxels) * (iterations + before)) for each, pace in _SOMEWHERE)
        return f'All iterations take {low} to {high} on two idle cores, longer on a busy machine. After the first run here its pace is used.'
    return ''


def duration(seconds: float) -> str:
    """``'40 s'``, ``'3 min'``, ``'1 h 20 min'``."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 90 else f'{minutes // 60} h {minutes % 60} min'


def _iterations(step: Reconstruction, maps: MapSeries) -> int:
    """Of all fits together, at most."""
    settings = getattr(step, 'tv_settings', None)
    if settings is not None:
        return sum(settings().lengths(_fits_haadf(step, maps), not step.holdout))
    longest = int(getattr(step, 'longest', None) or getattr(step, 'iterations', 0) or 0)
    fits = _fits(step, maps)
    if hasattr(step, 'fit_settings') and _fits_haadf(step, maps):
        return longest + (fits - 1) * step.fit_settings().beside_images(longest).longest
    return longest * fits


def _fits(step: Reconstruction, maps: MapSeries) -> int:
    """Networks or volumes that are fitted one after the other, at most."""
    from napari_diptomo.reconstruct.steps.fixed_point import FixedPointStep

    if isinstance(step, FixedPointStep):
        return step.fits(_fits_haadf(step, maps))
    ensemble = int(getattr(step, 'ensemble', 1))
    if ensemble > 1:
        # Two fits before the members ask whether the images help.
        return ensemble + 2 * _fits_haadf(step, maps)
    if _fits_haadf(step, maps):
        return _WITH_HAADF if step.holdout else _WITH_HAADF_AND_NO_CHOICE
    undecided = getattr(step, 'output', '') == 'auto' and len(maps.channels) > 1
    return _HEADS if undecided and step.holdout and getattr(step, 'stopping', '') in ('auto', 'held-out') else 1


def _fits_haadf(step: Reconstruction, maps: MapSeries) -> bool:
    return maps.haadf_series is not None and step.problem_settings().haadf
