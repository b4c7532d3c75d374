"""A recipe: where the data come from and what is done to them, as JSON.

The dock builds recipes, ``diptomo run recipe.json`` replays them, every
result carries its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.replacing import replacing_text
from napari_diptomo.series.steps import Step, _sentence, param, step_from_dict

FORMAT = 1


class Source(BaseModel):
    """Where a tilt series comes from and how it is read."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    paths: tuple[str, ...] = param((), 'Files or one folder: one file per tilt, one stack, or one stack per element.')
    angles: tuple[float, ...] | str | None = param(
        None, 'Tilt angles, or a table file that holds them; empty: from table, metadata or file names.', unit='deg'
    )
    pixel_size: float | None = param(None, 'Pixel size before binning; empty: as the files say.', unit='nm', gt=0.0)
    binning: int = param(
        1, 'Sum this many pixels in x and in y: fewer, better counted pixels and a faster volume.', ge=1, le=64
    )
    tilt_axis: Literal['y', 'x'] = param('y', 'Direction of the tilt axis in the images; x is transposed on loading.')
    dark_level: float | None = param(
        None,
        'For images (HAADF) only: what the detector shows without a specimen, in the units of the files, taken off on '
        'loading; empty: found beside the specimen.',
    )
    beam_energy: float | None = param(
        None,
        'Beam energy of EDX spectra; empty: as the files say, 200 where they do not.',
        unit='keV',
        ge=10.0,
        le=3000.0,
    )

    core_loss: tuple[str, ...] = param(
        (),
        'EELS: files or folder with the core loss of one, some or all tilts; empty: what the files of the low loss '
        'hold beside it.',
    )
    core_loss_angles: tuple[float, ...] | None = param(
        None,
        'Tilt angles of the core-loss files; empty: from the metadata or the file names.',
        unit='deg',
        advanced=True,
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_sentence('Source', error)) from None


@dataclass(frozen=True)
class Recipe:
    """A source and the ordered steps done to it.

    Parameters
    ----------
    source : Source
        Where the data come from. Simulated data have a source without paths.
    steps : tuple of Step
        In the order in which they run.
    """

    source: Source = field(default_factory=Source)
    steps: tuple[Step, ...] = ()

    def then(self, step: Step) -> Recipe:
        """This recipe with one more step."""
        return Recipe(self.source, (*self.steps, step))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            'napari-diptomo': FORMAT,
            'source': self.source.model_dump(mode='json'),
            'steps': [step.to_dict() for step in self.steps],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote.

        Raises
        ------
        InputError
            Not a recipe, an unknown step, or a parameter out of range.
        """
        if not isinstance(values, dict) or 'steps' not in values or 'source' not in values:
            raise InputError(
                'This is not a recipe: it needs "source" and "steps"; save one from the dock to start from.'
            )
        steps = tuple(step_from_dict(step) for step in values['steps'])
        return cls(Source(**values['source']), steps)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f'The recipe is not valid JSON (line {error.lineno}: {error.msg}); correct it there.'
            ) from None
        return cls.from_dict(values)

    def save(self, path: str | Path) -> Path:
        """Write as JSON, an earlier file replaced once the new one is complete; returns the path."""
        return replacing_text(Path(path), self.to_json() + '\n')

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a JSON recipe; relative source paths are relative to its folder."""
        path = Path(path)
        try:
            text = path.read_text(encoding='utf-8')
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, 'strerror', None) or 'not a text file'
            raise InputError(f'Cannot read the recipe {path}: {reason}; check the path.') from None
        recipe = cls.from_json(text)
        base = path.resolve().parent
        paths, core_loss = (
            tuple(str(base / p) for p in listed) for listed in (recipe.source.paths, recipe.source.core_loss)
        )
        angles = recipe.source.angles
        if isinstance(angles, str):
            angles = str(base / angles)
        update = {'paths': paths, 'angles': angles, 'core_loss': core_loss}
        return cls(recipe.source.model_copy(update=update), recipe.steps)
