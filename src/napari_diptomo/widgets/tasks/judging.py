"""A volume judged by its maps, its phases and a profile through it, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.jobs.colours import HUES
from napari_diptomo.series import InputError, MapSeries, Observer, Recipe, Volume
from napari_diptomo.series.observe import Watch

if TYPE_CHECKING:
    from napari_diptomo.assess import Consistency, HalfResolution, Phases, Profile, Region, TiltPrediction
    from napari_diptomo.widgets.session import Session

#: Titles of the tasks.
JUDGE, PHASES, MAPS, REPORT, MOVIE = 'Judge', 'Phases', 'Maps of the volume', 'Report', 'Movie'
#: How two halves of the counts are reconstructed: what `diptomo assess` calls it, by what the page does.
HALVES = {'fast (SIRT)': 'fast', 'own settings': 'own', 'none': 'none'}
#: The criterion of two halves (Rosenthal & Henderson 2003).
THRESHOLD = 0.143


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
    prediction : TiltPrediction or str
        Of each tilt by the others, or why there is none.
    """

    volume: Volume
    maps: MapSeries
    consistency: Consistency
    resolution: HalfResolution | None
    prediction: TiltPrediction | str = ''


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


@dataclass(frozen=True, eq=False)
class MapsOfVolume:
    """The maps that a volume is judged by.

    Attributes
    ----------
    volume : Volume
    maps : MapSeries
    doubt : str
        Why these may be others than those it was made from, one sentence; empty where they are known to be them.
    """

    volume: Volume
    maps: MapSeries
    doubt: str = ''


def maps_of_chosen(session: Session) -> MapsOfVolume | None:
    """The maps that the volume of the chosen run was made from, or that could be them.

    Returns
    -------
    MapsOfVolume or None
        None where the session has none that fit.
    """
    run = session.runs.chosen
    if run is None or run.volume is None:
        return None
    if run.maps is not None:
        return MapsOfVolume(run.volume, run.maps)
    recipe = run.volume.recipe
    there = [maps for maps in (session.aligned, session.maps) if maps is not None]
    if recipe is not None and recipe.steps:
        # A run of a project that was opened again knows its maps by how they were made.
        before = Recipe(recipe.source, recipe.steps[:-1])
        for maps in there:
            if maps.recipe == before:
                return MapsOfVolume(run.volume, maps)
    fitting = next((maps for maps in there if _fit(run.volume, maps)), None)
    if fitting is None:
        return None
    return MapsOfVolume(
        run.volume,
        fitting,
        'The maps of the session are taken: they have the elements and the size of this volume, but nothing says that it '
        'was made from them. Other shifts show as residuals.',
    )


def loading_maps(volume: Volume, path: str) -> Callable[[Observer], MapsOfVolume]:
    """Read saved maps for a volume."""

    def load_maps(observer: Observer) -> MapsOfVolume:
        from napari_diptomo.jobs.assess_volume import saved_maps

        maps = saved_maps(Path(path), observer)
        if not _fit(volume, maps):
            ny, nx = maps.data.shape[2:]
            raise InputError(
                f'{Path(path).name} holds maps of {", ".join(maps.channels)} with {nx} x {ny} pixels, and the volume has '
                f'{", ".join(volume.channels)} and {volume.data.shape[3]} x {volume.data.shape[2]} voxels (x, y); choose the '
                'maps that it was made from.'
            )
        return MapsOfVolume(volume, maps)

    return load_maps


def reporting(
    volume: Volume, maps: MapSeries | str, path: str, halves: str, judged: Judged | None, divided: Divided | None
) -> Callable[[Observer], tuple[Path, ...]]:
    """Write the report of a volume; what was judged or divided before is not computed again."""

    def write_report_of_volume(observer: Observer) -> tuple[Path, ...]:
        from napari_diptomo.jobs.report.contents import AUTO, contents, judge
        from napari_diptomo.jobs.report.write import write_report

        output = Path(path)
        known: Any = (None, None, None)
        if judged is not None:
            known = judged.consistency, judged.resolution, judged.prediction or None
        count = AUTO if divided is None else divided.phases.count
        found = judge(volume, maps, halves=halves, phases=count, observer=observer, known=known)
        return write_report(contents(volume, found, output.stem), output, observer)

    return write_report_of_volume


def filming(volume: Volume, path: str) -> Callable[[Observer], Path]:
    """Write a movie of the turning volume."""

    def film_volume(observer: Observer) -> Path:
        from napari_diptomo.jobs.movie import write_movie

        return write_movie(volume, Path(path), observer=observer)

    return film_volume


def _fit(volume: Volume, maps: MapSeries) -> bool:
    return volume.channels == maps.channels and volume.data.shape[2:] == maps.data.shape[2:]


def judging(volume: Volume, maps: MapSeries, halves: str, predict: bool) -> Callable[[Observer], Judged]:
    """Compare a volume with its maps; ``halves`` and ``predict`` as in `napari_diptomo.jobs.assess_volume.assess`."""

    def judge_volume(observer: Observer) -> Judged:
        from napari_diptomo.assess import consistency, half_resolution
        from napari_diptomo.jobs.assess_volume import halving_step, prediction_of, reconstruction_of
        from napari_diptomo.reconstruct.refined_geometry import in_geometry_of

        step = None if halves == 'none' else halving_step(reconstruction_of(volume)[1], halves)
        watch = Watch(observer, 'Projections against maps', 1)
        watch.step(0)
        found = consistency(volume, maps)
        watch.step(1)
        placed = in_geometry_of(volume.notes, maps)
        resolution = None if step is None else half_resolution(placed, step, observer=observer)
        prediction = prediction_of(volume, maps, found, observer) if predict else ''
        return Judged(volume, maps, found, resolution, prediction)

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


def describe_prediction(found: TiltPrediction) -> str:
    """The means over the tilts, and what they mean."""
    means = ', '.join(f'{name} {value.mean():.2f}' for name, value in zip(found.channels, found.misfit, strict=True))
    return f'Mean of the left-out tilts: {means}. {found.note}'


def resolution_in_words(period: float, voxel_size: float) -> str:
    """``'5.2 nm'``; ``'≤ 4 nm'`` where the voxels are too large to show it."""
    if not np.isfinite(period):
        return '-'
    return f'{"≤ " if period <= 2 * voxel_size * 1.001 else ""}{period:.3g} nm'
