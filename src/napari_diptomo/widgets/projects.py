"""A session as a project folder, and a project folder as a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_diptomo.jobs.project import (
    Project,
    ProjectFolder,
    RunRecord,
    absolute_source,
    load_part,
    read_project,
    relative_source,
)
from napari_diptomo.series import DiptomoError, MapSeries, Observer, Recipe, Source, SpectralTiltSeries, Volume, Watch
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.appearance import apply_looks, apply_view, looks_of, view_of
from napari_diptomo.widgets.run import Run, RunStatus
from napari_diptomo.widgets.session import Session
from napari_diptomo.widgets.tasks.composition import Composed
from napari_diptomo.widgets.tasks.opening import Opened, opening, sample


@dataclass(frozen=True, eq=False)
class OpenedProject:
    """A project read from its folder.

    Attributes
    ----------
    project : Project
    folder : Path
    parts : dict of str to MapSeries or Volume
        What the files hold, by name.
    series : Opened, optional
        The series of spectra, opened anew.
    problems : tuple of str
        What could not be read, a sentence each; the rest is there.
    """

    project: Project
    folder: Path
    parts: dict[str, Any] = field(default_factory=dict)
    series: Opened | None = None
    problems: tuple[str, ...] = ()


def record_of(session: Session, folder: ProjectFolder) -> Project | None:
    """The session as it is now; None while there is nothing to keep.

    The arrays get names in the folder and are not touched.
    """
    series = session.series
    if series is None and session.maps is None and not len(session.runs):
        return None
    source = series.recipe.source if series is not None and series.recipe is not None else None
    made = session.composition.volume if isinstance(session.composition, Composed) else session.composition
    chosen = session.runs.chosen
    record: dict[str, Any] = {
        'saved': datetime.now().astimezone().isoformat(timespec='seconds'),
        'source': relative_source(source.model_dump(mode='json'), folder.path) if source and source.paths else None,
        'sample': session.sample,
        'maps': folder.name_of(session.maps, 'maps'),
        'aligned': folder.name_of(session.aligned, 'aligned'),
        'composition': folder.name_of(made, 'composition'),
        'chosen': None if chosen is None else chosen.number,
        'settings': session.present_settings(),
        'runs': tuple(_record(run, folder) for run in session.runs),
        'layers': looks_of(session.viewer),
        'view': view_of(session.viewer),
    }
    return Project(**record)


def opening_project(path: str | Path) -> Callable[[Observer], OpenedProject]:
    """Read a project; its series is opened anew where its files are still there."""

    def open_project(observer: Observer) -> OpenedProject:
        project, folder = read_project(path)
        parts: dict[str, Any] = {}
        problems: list[str] = []
        names = sorted(name for name in project.files() if name.endswith('.hspy'))
        watch = Watch(observer, 'Project', len(names) + 1)
        for number, name in enumerate(names):
            watch.step(number, message=name)
            try:
                parts[name] = load_part(folder, name)
            except DiptomoError as error:
                problems.append(str(error))
        series = None
        try:
            series = _open_series(project, folder, observer)
        except DiptomoError as error:
            problems.append(f'The spectra could not be opened: {error}')
        return OpenedProject(project, folder, parts, series, tuple(problems))

    return open_project


def take_up(session: Session, opened: OpenedProject, folder: ProjectFolder) -> None:
    """Put a project in the place of what the session had; the pages and their composition follow from the session."""
    project, parts = opened.project, opened.parts
    for name, part in parts.items():
        folder.adopt(part, name)
    folder.spare(project.files() - set(parts))
    for run in session.runs:
        session.runs.discard(run)
    maps, aligned = _of_kind(parts, project.maps, MapSeries), _of_kind(parts, project.aligned, MapSeries)
    session.restore(opened.series, maps, aligned, sample=project.sample)
    _show_measured(session, opened.series, maps)
    for record in project.runs:
        restored = _run(record, opened)
        if restored is None:
            continue
        session.runs.put(restored)
        shown = any(look.run == restored.number and look.kind == 'volume' for look in project.layers)
        if restored.volume is not None and shown:
            session.runs.view_of(restored).finish(restored.volume)
    session.composition = _of_kind(parts, project.composition, Volume)
    session.runs.mark(next((run for run in session.runs if run.number == project.chosen), None))
    session.settings = dict(project.settings)


def restore_view(session: Session, project: Project) -> None:
    """When all layers are there: their looks, the camera, the sliders."""
    apply_looks(session.viewer, project.layers)
    if project.view is not None:
        apply_view(session.viewer, project.view)


def _record(run: Run, folder: ProjectFolder) -> RunRecord:
    inside = run.checkpoint is not None and run.checkpoint.parent == folder.path
    ended_well = run.status in (RunStatus.DONE, RunStatus.STOPPED)
    return RunRecord(
        number=run.number,
        title=run.title,
        status=run.status.value,
        begun=run.begun.isoformat(timespec='seconds'),
        seconds=run.seconds,
        error=run.error,
        recipe=run.recipe.to_dict() if run.recipe is not None else None,
        maps=None if ended_well else folder.name_of(run.maps, 'run-maps'),
        volume=folder.name_of(run.volume, f'run-{run.number}'),
        checkpoint=run.checkpoint.name if run.checkpoint is not None and inside and not ended_well else None,
    )


def _run(record: RunRecord, opened: OpenedProject) -> Run | None:
    """A run as it was; one whose file is gone is left out, and a problem says which."""
    volume = _of_kind(opened.parts, record.volume, Volume)
    maps = _of_kind(opened.parts, record.maps, MapSeries)
    if volume is None and maps is None:
        return None
    try:
        status = RunStatus(record.status)
        begun = datetime.fromisoformat(record.begun)
        recipe = Recipe.from_dict(record.recipe, embedded=True) if record.recipe is not None else None
    except (ValueError, DiptomoError):
        status, begun, recipe = RunStatus.DONE, datetime.now().astimezone(), None
    run = Run(record.number, record.title, recipe, maps, begun, status, record.seconds, volume, record.error)
    if status is RunStatus.RUNNING or (volume is None and status in (RunStatus.DONE, RunStatus.STOPPED)):
        run.status = RunStatus.INTERRUPTED
    if record.checkpoint is not None:
        run.checkpoint = opened.folder / record.checkpoint
    return run


def _open_series(project: Project, folder: Path, observer: Observer) -> Opened | None:
    if project.sample:
        return sample()(observer)
    if project.source is None:
        return None
    return opening(Source(**absolute_source(project.source, folder)))(observer)


def _show_measured(session: Session, opened: Opened | None, maps: MapSeries | None) -> None:
    if maps is not None:
        session.maps_view.show_maps(maps)
    elif opened is not None and isinstance(opened.data, SpectralTiltSeries):
        session.maps_view.show_series(image_layers.counts_layer(opened.data, opened.image), opened.data.angles)
        session.maps_view.show_haadf(opened.data)


def _of_kind(parts: dict[str, Any], name: str | None, kind: type) -> Any:
    part = parts.get(name) if name is not None else None
    return part if isinstance(part, kind) else None
