"""A recipe: where the data come from and what is done to them, as JSON.

The dock builds recipes, ``diptomo run recipe.json`` replays them, every
result carries its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.files import check_is_file, replacing_text
from napari_diptomo.series.haadf_orientation import Orientation
from napari_diptomo.series.steps import Step, UnknownStep, param, read_step, validation_sentence

FORMAT = 1
Model = TypeVar('Model', bound=BaseModel)
#: Bytes; a recipe has some hundred, with the paths of all files of a series some thousand.
_LARGEST = 64 * 2**20


class Source(BaseModel):
    """Where a tilt series comes from and how it is read; the fields are those of `load_tilt_series`.

    Raises
    ------
    InputError
        A field out of range or unknown.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')

    paths: tuple[str, ...] = param(
        (), 'Files or one folder: one file per tilt, one stack, or one stack per element.', file=True
    )
    angles: tuple[float, ...] | str | None = param(
        None,
        'Tilt angles, or a table file that holds them; empty: from table, metadata or file names.',
        unit='deg',
        file=True,
    )
    angle_offset: float = param(
        0.0,
        'Added to all tilt angles, those of a HAADF series too, for those that are not counted from the untilted specimen (0 '
        'to 180, as in computed tomography).',
        unit='deg',
        ge=-360.0,
        le=360.0,
        advanced=True,
    )
    pixel_size: float | None = param(None, 'Pixel size before binning; empty: as the files say.', unit='nm', gt=0.0)
    binning: int = param(
        1, 'Sum this many pixels in x and in y: fewer, better counted pixels and a faster volume.', ge=1, le=64
    )
    tilt_axis: Literal['y', 'x'] = param('y', 'Direction of the tilt axis in the images; x is transposed on loading.')
    dark_level: float | None = param(
        None,
        'For images (HAADF) only: what the detector shows without a specimen, in the units of the files, subtracted on '
        'loading; empty: found beside the specimen.',
    )
    beam_energy: float | None = param(
        None,
        'Beam energy of EDX spectra; empty: as the files say, 200 where they do not.',
        unit='keV',
        typical=200.0,
        ge=10.0,
        le=3000.0,
    )
    specimen: str | None = param(
        None,
        'Of several specimens in one folder, distinguished by their file names, the one to open; empty: there is one.',
    )
    first_frame: int = param(
        0,
        'Files of Velox keep the frames of a scan: the first one to sum, counted from 0. The first and the second half of '
        'the dose, opened one after the other, show what the beam has damaged.',
        ge=0,
    )
    last_frame: int | None = param(
        None, 'Files of Velox: the frame before which the sum ends; empty: all frames.', ge=1
    )
    unused: tuple[int, ...] = param(
        (),
        'Tilts to leave out, by their place among the files or in the stack, counted from 0; other angles do not change '
        'it. Files of these tilts may be damaged.',
        advanced=True,
    )
    repeated: Literal['keep', 'sum', 'first'] = param(
        'keep',
        'Tilts recorded more than once at one angle: keep all, sum their counts, or take the first.',
    )
    core_loss: tuple[str, ...] = param(
        (),
        'EELS: files or folder with the core loss of one, some or all tilts; empty: what the files of the low loss '
        'hold beside it.',
        file=True,
    )
    core_loss_angles: tuple[float, ...] | None = param(
        None,
        'Tilt angles of the core-loss files; empty: from the metadata or the file names.',
        unit='deg',
        advanced=True,
    )
    haadf: tuple[str, ...] = param(
        (),
        'HAADF series of the same specimen with tilts of its own, fitted beside the maps: one stack, one image per tilt, or '
        'their folder; empty: there is none.',
        file=True,
    )
    haadf_angles: tuple[float, ...] | str | None = param(
        None,
        'Tilt angles of the HAADF series, or a table file that holds them; empty: from table, metadata or file names.',
        unit='deg',
        file=True,
        advanced=True,
    )
    haadf_pixel_size: float | None = param(
        None, 'Pixel size of the HAADF series; empty: as its files say.', unit='nm', gt=0.0, advanced=True
    )
    haadf_orientation: Orientation = param(
        'as recorded',
        'What is done to the images of the HAADF series so that they lie as the spectra do, displayed with x to the right and '
        'y downwards; left is by 90° anticlockwise, right by 90° clockwise.',
        advanced=True,
    )
    own_haadf: bool = param(
        False,
        'Take the images that were recorded with the spectra as HAADF series: fitted beside the maps, they are more than '
        'what the maps are aligned by.',
        label='Images recorded with the spectra',
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(validation_sentence('Source', error)) from None


@dataclass(frozen=True, repr=False)
class Recipe:
    """A source and the ordered steps done to it.

    Parameters
    ----------
    source : Source
        Where the data come from. Simulated data have a source without paths.
    steps : tuple of Step or UnknownStep
        In the order in which they run. Those of other packages are text until `resolved`.

    Examples
    --------
    >>> from napari_diptomo import Align, Recipe, SIRT
    >>> recipe = Recipe(steps=(Align(), SIRT(iterations=20)))
    >>> recipe.save('recipe.json').name
    'recipe.json'
    >>> Recipe.load('recipe.json') == recipe
    True
    """

    source: Source = field(default_factory=Source)
    steps: tuple[Step | UnknownStep, ...] = ()

    #: What shows it in Python and in notebooks, registered by `napari_diptomo.series`.
    summary: ClassVar[Callable[[Any], str]]
    page: ClassVar[Callable[[Any], str]]

    def __repr__(self) -> str:
        return Recipe.summary(self)

    def _repr_html_(self) -> str:
        return Recipe.page(self)

    def then(self, step: Step) -> Recipe:
        """This recipe with one more step."""
        return Recipe(self.source, (*self.steps, step))

    def resolved(self) -> Recipe:
        """This recipe with every step as a `Step`.

        Raises
        ------
        InputError
            A step that neither this program nor an installed package has.
        """
        return Recipe(self.source, self.runnable())

    def runnable(self) -> tuple[Step, ...]:
        """The steps of `resolved`.

        Returns
        -------
        tuple of Step
            In the order in which they run.
        """
        return tuple(step.resolved() if isinstance(step, UnknownStep) else step for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as values that JSON has.

        Returns
        -------
        dict
            ``napari-diptomo``, the version of the format; ``source``; ``steps``, a list of `Step.to_dict`.
        """
        return {
            'napari-diptomo': FORMAT,
            'source': self.source.model_dump(mode='json'),
            'steps': [step.to_dict() for step in self.steps],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, embedded: bool = False) -> Recipe:
        """The recipe that `to_dict` wrote; nothing is imported for it.

        Parameters
        ----------
        values : dict
            With the keys ``source`` and ``steps``.
        embedded : bool
            It came with data: steps that this version does not take stay text and do not keep the data from opening.

        Returns
        -------
        Recipe
            Equal to the one that was written.

        Raises
        ------
        InputError
            Not a recipe, or a parameter out of range.
        """
        parts = (values.get('source'), values.get('steps')) if isinstance(values, dict) else (None, None)
        if not isinstance(parts[0], dict) or not isinstance(parts[1], list | tuple):
            raise InputError(
                'This is not a recipe: it needs "source" and "steps"; save one from the dock to start from.'
            )
        return cls(Source(**parts[0]), tuple(read_step(step, embedded=embedded) for step in parts[1]))

    def to_json(self) -> str:
        """The text of `to_dict`, indented by two; `from_json` reads it back."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str, *, embedded: bool = False) -> Recipe:
        """The recipe that `to_json` wrote.

        Parameters
        ----------
        text : str
            JSON.
        embedded : bool
            As for `from_dict`.

        Returns
        -------
        Recipe
            Equal to the one that was written.

        Raises
        ------
        InputError
            No JSON, or what `from_dict` raises.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f'The recipe is not valid JSON (line {error.lineno}: {error.msg}); correct it there.'
            ) from None
        except (RecursionError, ValueError):  # brackets without end, numbers of thousands of digits
            raise InputError('The recipe is not valid JSON; save one from the dock to start from.') from None
        return cls.from_dict(values, embedded=embedded)

    def files(self) -> tuple[Path, ...]:
        """The files and folders that the recipe reads: data, tables, what its steps name.

        Returns
        -------
        tuple of Path
            Absolute, in the order of the fields; whether they exist is not asked.
        """
        own = [self.source, *(step for step in self.steps if isinstance(step, Step))]
        return tuple(Path(path).absolute() for model in own for path in _files_in(model))

    def files_outside(self, folder: str | Path) -> tuple[Path, ...]:
        """Those of `files` that do not lie in a folder, links followed.

        Parameters
        ----------
        folder : path
            The folder.

        Returns
        -------
        tuple of Path
            Absolute.
        """
        return tuple(path for path in self.files() if _is_outside(path, Path(folder)))

    def save(self, path: str | Path) -> Path:
        """Write as JSON, an earlier file replaced once the new one is complete; returns the path.

        Files in the folder of the recipe, or below it, are named relative to it, so that folder can move.
        """
        path = Path(path)
        here = self._with_files(lambda file: _inside(file, path.resolve().parent))
        return replacing_text(path, here.to_json() + '\n')

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a JSON recipe; relative paths are relative to its folder.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Recipe
            With absolute paths.

        Raises
        ------
        InputError
            The file cannot be read, is too large for a recipe, or holds none.
        """
        path = Path(path)
        try:
            if path.exists():
                check_is_file(path)
            if path.stat().st_size > _LARGEST:
                raise InputError(f'{path.name} is too large to be a recipe; choose the JSON file.')
            text = path.read_text(encoding='utf-8-sig')
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, 'strerror', None) or 'not a text file'
            raise InputError(f'Cannot read the recipe {path}: {reason}; check the path.') from None
        recipe = cls.from_json(text)
        base = path.resolve().parent
        return recipe._with_files(lambda file: str(base / file))

    def _with_files(self, change: Callable[[str], str]) -> Recipe:
        """With every path changed; what a step means that is text here nobody knows."""
        steps = tuple(_with_files(step, change) if isinstance(step, Step) else step for step in self.steps)
        return Recipe(_with_files(self.source, change), steps)


def _files_in(model: BaseModel) -> tuple[str, ...]:
    """The files that a source or step names, in the order of its fields."""
    return tuple(path for _, paths in _file_fields(model) for path in paths)


def _with_files(model: Model, change: Callable[[str], str]) -> Model:
    """The source or step with every path changed."""
    changed: dict[str, Any] = {}
    for name, paths in _file_fields(model):
        new = tuple(change(path) for path in paths)
        changed[name] = new if isinstance(getattr(model, name), tuple) else new[0]
    return model.model_copy(update=changed)


def _inside(path: str, folder: Path) -> str:
    """The path relative to a folder where it lies in or below it, otherwise as it is."""
    if not os.path.isabs(path):
        return path
    for here, there in ((Path(path), folder.absolute()), (Path(path).resolve(), folder.resolve())):
        if here.is_relative_to(there):
            return here.relative_to(there).as_posix()
    return path


def _is_outside(path: Path, folder: Path) -> bool:
    """Whether a path leads out of a folder, links followed."""
    return not path.resolve().is_relative_to(folder.resolve())


def _file_fields(model: BaseModel) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Fields that name files, and the files; those that name none are left out."""
    for name, info in type(model).model_fields.items():
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get('file'):
            value = getattr(model, name)
            # Angles may be numbers in place of a table.
            paths = tuple(path for path in (value if isinstance(value, tuple) else (value,)) if isinstance(path, str))
            if any(paths):
                yield name, paths
