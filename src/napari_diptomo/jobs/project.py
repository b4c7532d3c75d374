"""A project folder: what a session has made and how it is set, to be taken up again.

``project.json`` says what there is; the arrays stand beside it as ``.hspy``,
each as `napari_diptomo.series.save` writes it. A file is written once, under a
name that no earlier one had, and ``project.json`` is replaced when all that it
names is complete: whenever the power fails, the folder is that of the last
save. Files that are named no more go last.

Reading resolves names inside the folder only, takes numbers and texts, and
executes nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from napari_diptomo.jobs.reading.isolated import load_isolated
from napari_diptomo.series import InputError, MapSeries, Volume
from napari_diptomo.series.files import check_is_file, replacing_text

FORMAT = 1
NAME = 'project.json'
#: A real one has some kilobytes.
_LARGEST = 50_000_000

#: The name of a file in the folder, never a path that leads out of it.
FileName = Annotated[str, StringConstraints(pattern=r'^[A-Za-z0-9][A-Za-z0-9_-]*\.(hspy|pt)$', max_length=100)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra='ignore', allow_inf_nan=False)


class LayerLook(_Record):
    """How a layer of ours is shown: the layer is named by what it shows, the rest are attributes of napari layers."""

    kind: str
    run: int = 0
    channel: str = ''
    index: int = 0
    name: str = ''
    visible: bool = True
    opacity: float = Field(1.0, ge=0, le=1)
    contrast_limits: tuple[float, float] | None = None
    contrast_limits_range: tuple[float, float] | None = None
    gamma: float = Field(1.0, gt=0, le=100)
    blending: str = 'additive'
    rendering: str = ''
    colormap: str = ''
    colours: tuple[tuple[float, float, float, float], ...] = ()


class ViewRecord(_Record):
    """The camera and the sliders."""

    ndisplay: int = Field(2, ge=2, le=3)
    point: tuple[float, ...] = ()
    center: tuple[float, ...] = ()
    zoom: float = Field(1.0, gt=0)
    angles: tuple[float, float, float] = (0.0, 0.0, 90.0)


class RunRecord(_Record):
    """One run; ``recipe`` is what it does to its maps."""

    number: int = Field(ge=1)
    title: str
    status: str
    begun: str
    seconds: float = Field(0.0, ge=0)
    error: str = ''
    recipe: dict[str, Any] | None = None
    maps: FileName | None = None
    volume: FileName | None = None
    checkpoint: FileName | None = None


class Project(_Record):
    """Contents of ``project.json``.

    Attributes
    ----------
    format : int
    saved : str
        Local time, ISO 8601.
    source : dict, optional
        The `Source` of the series; paths inside the folder are relative to it.
    sample : bool
        The series is the simulated sample.
    maps, aligned, composition : str, optional
        Names of files.
    chosen : int, optional
        Number of the chosen run.
    settings : dict
        Of the pages, by title.
    runs : tuple of RunRecord
    layers : tuple of LayerLook
    view : ViewRecord, optional
    """

    format: int = Field(FORMAT, alias='napari-diptomo project', ge=1, strict=True)
    saved: str = ''
    source: dict[str, Any] | None = None
    sample: bool = False
    maps: FileName | None = None
    aligned: FileName | None = None
    composition: FileName | None = None
    chosen: int | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    runs: tuple[RunRecord, ...] = ()
    layers: tuple[LayerLook, ...] = ()
    view: ViewRecord | None = None

    model_config = ConfigDict(frozen=True, extra='ignore', allow_inf_nan=False, populate_by_name=True)

    def files(self) -> set[str]:
        """Names of all files that belong to it."""
        named = {self.maps, self.aligned, self.composition}
        for run in self.runs:
            named |= {run.maps, run.volume, run.checkpoint}
        return {name for name in named if name is not None}


def is_project(path: str | Path) -> bool:
    """Whether this is a project folder, or the ``project.json`` in one."""
    path = Path(path)
    return (path / NAME).is_file() if path.is_dir() else path.name == NAME and path.is_file()


def read_project(path: str | Path) -> tuple[Project, Path]:
    """The project and its folder; the arrays stay in their files.

    Parameters
    ----------
    path : path
        The folder, or its ``project.json``.

    Raises
    ------
    InputError
        Not a project, damaged, or of a newer version.
    """
    path = Path(path)
    file = path / NAME if path.is_dir() else path
    if file.exists():
        check_is_file(file)
    try:
        if file.stat().st_size > _LARGEST:
            raise InputError(f'{file} is far too large for a project; choose the folder of one.')
        values = json.loads(file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise InputError(f'{path} is not a project folder: it has no {NAME}; choose another.') from None
    except OSError as error:
        raise InputError(f'{file} cannot be read ({error.strerror}); check its permissions.') from None
    except (ValueError, RecursionError):
        raise InputError(f'{file} is damaged: it is not JSON; take a copy of it, or save the project anew.') from None
    if not isinstance(values, dict) or 'napari-diptomo project' not in values:
        raise InputError(f'{file} is not a project of napari-diptomo; choose another folder.')
    if isinstance(values['napari-diptomo project'], int) and values['napari-diptomo project'] > FORMAT:
        raise InputError(f'{file} was saved by a newer version of napari-diptomo; update this one.')
    try:
        return Project(**values), file.parent
    except (ValidationError, TypeError) as error:
        raise InputError(f'{file} is damaged ({_first(error)}); correct it there, or save the project anew.') from None


def load_part(folder: Path, name: str | None) -> Any:
    """The maps or the volume in a file of the project, None where there is none.

    Raises
    ------
    InputError
        It is gone or damaged, or a link that leads out of the folder.
    """
    if name is None:
        return None
    path = folder / name
    if path.is_symlink():
        raise InputError(f'{path} is a link; put the file itself into the project folder.')
    return load_isolated(path)


def absolute_source(source: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A source with absolute paths; relative ones are relative to the folder.

    Raises
    ------
    InputError
        A path that none can be.
    """
    try:
        return _with_paths(source, lambda path: str((folder / path).resolve()))
    except (ValueError, OSError) as error:
        raise InputError(
            f'The project in {folder} names a file that none can be ({error}); correct its paths.'
        ) from None


def relative_source(source: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A source whose paths inside the folder are relative to it, so that both can be moved together."""
    inside = folder.resolve()

    def relative(path: str) -> str:
        there = Path(path).resolve()
        return there.relative_to(inside).as_posix() if there.is_relative_to(inside) else str(there)

    return _with_paths(source, relative)


class ProjectFolder:
    """Writes a project again and again, and an array only once.

    Parameters
    ----------
    path : path
        The folder; made when something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._names: dict[int, tuple[Any, str]] = {}
        self._written = ''
        self._spared: set[str] = set()

    def spare(self, names: set[str]) -> None:
        """Leave these files alone: they could not be read, which another version or a copy may correct."""
        self._spared |= names

    def adopt(self, part: MapSeries | Volume, name: str) -> None:
        """This object is what the file of this name holds."""
        self._names[id(part)] = part, name

    def name_of(self, part: MapSeries | Volume | None, stem: str) -> str | None:
        """The name of the file of an object; of a new one its future name."""
        if part is None:
            return None
        known = self._names.get(id(part))
        if known is None:
            taken = {name for _, name in self._names.values()}
            taken |= {path.name for path in self.path.glob('*')} if self.path.is_dir() else set()
            number = next(n for n in range(1, len(taken) + 2) if f'{stem}-{n}.hspy' not in taken)
            known = self._names[id(part)] = part, f'{stem}-{number}.hspy'
        return known[1]

    def is_news(self, project: Project) -> bool:
        """Whether it differs from what was written last."""
        return _content(project) != self._written or not (self.path / NAME).exists()

    def write(self, project: Project) -> bool:
        """Write what is new, then ``project.json``; returns whether anything was.

        Raises
        ------
        InputError
            The folder cannot be written to.
        """
        text = project.model_dump_json(by_alias=True, indent=1)
        if not self.is_news(project):
            return False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            needed = project.files()
            before = set() if self._written else self._files_before()
            for part, name in list(self._names.values()):
                if name in needed and not (self.path / name).exists():
                    part.save(self.path / name)
            replacing_text(self.path / NAME, text)
            for name in before - needed - self._spared:
                (self.path / name).unlink(missing_ok=True)
            self._forget_all_but(needed)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f'The project cannot be written to {self.path} ({reason}); free some space or choose another folder.'
            ) from None
        self._written = _content(project)
        return True

    def _files_before(self) -> set[str]:
        """Files of a project that is about to be replaced by another one."""
        with contextlib.suppress(InputError):
            return read_project(self.path)[0].files()
        return set()

    def _forget_all_but(self, needed: set[str]) -> None:
        for key, (_, name) in list(self._names.items()):
            if name not in needed:
                (self.path / name).unlink(missing_ok=True)
                del self._names[key]


def _content(project: Project) -> str:
    """All but the time: that alone is no news."""
    return project.model_dump_json(exclude={'saved'})


def _with_paths(source: Mapping[str, Any], change: Any) -> dict[str, Any]:
    changed = dict(source)
    for name in ('paths', 'core_loss', 'haadf'):
        if isinstance(changed.get(name), list | tuple):
            changed[name] = [change(str(path)) for path in changed[name]]
    for name in ('angles', 'haadf_angles'):
        if isinstance(changed.get(name), str):
            changed[name] = change(changed[name])
    return changed


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors()[0]
    return f'{".".join(str(part) for part in found["loc"])}: {found["msg"]}'
