"""A volume judged by its maps, its phases and a profile through it, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.jobs.colours import HUES
from napari_diptomo.series import MapSeries, Observer, Recipe, Volume
from napari_diptomo.series.observe import Watch

if TYPE_CHECKING:
    from napari_diptomo.assess import Consistency, HalfResolution, Phases, Profile, Region
    from napari_diptomo.widgets.session import Session

#: Titles of the tasks.
JUDGE, PHASES = 'Judge', 'Phases'
#: How two halves of the counts are reconstructed: what `diptomo assess` calls it, by what the page does.
HALVES = {'fast (SIRT)': 'fast', 'own settings': 'own', 'none': 'none'}


@dataclass(frozen=True, eq=False)
class Judged:
    """A volume against its maps, and by halves of their counts.

    Attributes
    ----------
    volume : Volume
    maps : MapSeries
        What it was made from.
    consistency : Consistency
    resolution : HalfResolution, optional
    """

    volume: Volume
    maps: MapSeries
    consistency: Consistency
    resolution: HalfResolution | None


@dataclass(frozen=True, eq=False)
class Divided:
    """A volume divided into phases.

    Attributes
    ----------
    volume : Volume
    phases : Phases
    regions : tuple of Region
        The phases, measured.
    """

    volume: Volume
    phases: Phases
    regions: tuple[Region, ...]


def maps_of_chosen(session: Session) -> MapSeries | None:
    """The maps that the volume of the chosen run was made from, None where the session does not have them."""
    run = session.runs.chosen
    if run is None or run.volume is None:
        return None
    if run.maps is not None:
        return run.maps
    recipe = run.volume.recipe
    if recipe is None or not recipe.steps:
        return None
    # A run of a project that was opened again knows its maps by how they were made.
    before = Recipe(recipe.source, recipe.steps[:-1])
    return next((maps for maps in (session.aligned, session.maps) if maps is not None and maps.recipe == before), None)


def judging(volume: Volume, maps: MapSeries, halves: str) -> Callable[[Observer], Judged]:
    """Compare a volume with its maps; ``halves`` as in `napari_diptomo.jobs.assess_volume.assess`."""

    def judge_volume(observer: Observer) -> Judged:
        from napari_diptomo.assess import consistency, half_resolution
        from napari_diptomo.jobs.assess_volume import halving_step, reconstruction_of

        step = None if halves == 'none' else halving_step(reconstruction_of(volume)[1], halves)
        watch = Watch(observer, 'Projections against maps', 1)
        watch.step(0)
        found = consistency(volume, maps)
        watch.step(1)
        resolution = None if step is None else half_resolution(maps, step, observer=observer)
        return Judged(volume, maps, found, resolution)

    return judge_volume


def dividing(volume: Volume, count: int) -> Callable[[Observer], Divided]:
    """Divide a volume into phases, 0 for as many as the data show, and measure them."""

    def find_phases(observer: Observer) -> Divided:
        from napari_diptomo.assess import measure, phases_by_clustering

        watch = Watch(observer, 'Phases', 2)
        watch.step(0)
        phases = phases_by_clustering(volume, count or None)
        watch.step(1, message='measured')
        regions = measure(phases.labels, volume, phases)
        watch.step(2)
        return Divided(volume, phases, regions)

    return find_phases


def profiling(volume: Volume, start: np.ndarray, end: np.ndarray, width: float) -> Callable[[Observer], Profile]:
    """All channels along a line between two points (z, y, x) in voxels, averaged over a width in nm."""

    def profile_volume(observer: Observer) -> Profile:
        from napari_diptomo.assess import line_profile

        return line_profile(volume, tuple(start), tuple(end), width)

    return profile_volume


def phase_hue(label: int) -> str:
    """The colour of a phase, taken from the other end than those of elements: it must not look like one."""
    return HUES[-label % len(HUES)]


def describe_halves(found: HalfResolution) -> str:
    """How the halves were made, and what they cannot see."""
    wedge = ''
    if not found.is_measured(-90.0):
        wedge = ' No tilt measured the frequencies along the beam: the number there is that of the method.'
    return f'{found.method}.{wedge} {found.note}'


def resolution_in_words(period: float, voxel_size: float) -> str:
    """``'5.2 nm'``; ``'≤ 4 nm'`` where the voxels are too large to show it."""
    if not np.isfinite(period):
        return '-'
    return f'{"≤ " if period <= 2 * voxel_size * 1.001 else ""}{period:.3g} nm'
