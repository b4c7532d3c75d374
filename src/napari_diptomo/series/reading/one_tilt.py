"""The angle of a single image; where nobody recorded it the image is taken as untilted, which is said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_diptomo.series.evidence import Contradiction, Evidence
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.reading.angles.comparison import STAGE
from napari_diptomo.series.reading.angles.evidence import FoundAngles, find_angles
from napari_diptomo.series.reading.angles.names import numbers_in_name
from napari_diptomo.series.reading.angles.tables import is_angle_name

#: A number that is a tilt beyond doubt: signed, with its unit, or all there is of the name.
_TILT = re.compile(
    r'^[+\N{MINUS SIGN}-]?\d+(\.\d+)?$|(^|[\s_])[+\N{MINUS SIGN}-]\d|\d\s?_?(deg|\N{DEGREE SIGN})', re.IGNORECASE
)
_METADATA, _NAME = 'the metadata of the files', 'the file name'
_ASSUMED = 'assumed: no source gives the tilt of the one image'


def angles_of(
    count: int,
    *,
    given: Sequence[float] | str | None,
    tables: Sequence[Path],
    metadata: Sequence[float | None] = (),
    stored: Mapping[str, Sequence[float | None]] | None = None,
    files: Sequence[Path] = (),
    stacks: Sequence[Path] = (),
    noun: str = 'files',
    offset: float = 0.0,
) -> FoundAngles:
    """As `find_angles`; a single image of which no source says anything is taken at 0 degrees.

    Returns
    -------
    FoundAngles

    Raises
    ------
    InputError
        As `find_angles`.
    """
    if count == 1 and given is None and not any(is_angle_name(table) for table in tables):
        recorded = [*metadata, *(angle for angles in (stored or {}).values() for angle in angles)]
        return _of_one(
            next((angle for angle in recorded if angle is not None), None),
            _from_name(files[0]) if files else None,
            offset,
        )
    return find_angles(
        count,
        given=given,
        tables=tables,
        metadata=metadata,
        stored=stored,
        files=files,
        stacks=stacks,
        noun=noun,
        offset=offset,
    )


def _of_one(recorded: float | None, named: float | None, offset: float) -> FoundAngles:
    """The angle of one image by its metadata and by its name; a stage that was not read out says 0 degrees."""
    if recorded and named is not None and abs(recorded - named) > STAGE:
        raise Contradiction(
            f'The tilt of {_METADATA} ({recorded:g}°) and of {_NAME} ({named:g}°) disagree; give the right one.',
            (Evidence(_METADATA, np.array([recorded])), Evidence(_NAME, np.array([named]))),
        )
    if recorded is None and named is None:
        return FoundAngles(np.zeros(1), _ASSUMED)
    if recorded or named is None:
        return FoundAngles(np.array([recorded or 0.0]) + offset, f'from {_METADATA}')
    return FoundAngles(np.array([named]) + offset, f'from {_NAME}')


def findings_of_one(angles: np.ndarray, source: str) -> tuple[Finding, ...]:
    """The note on a series of one tilt, empty for others."""
    if len(angles) != 1:
        return ()
    doubtful = ''
    if source == _ASSUMED:
        doubtful = ' Its tilt is in no file and was taken as 0°; give it where it matters.'
    elif source == f'from {_NAME}':
        doubtful = (
            f' Its tilt of {angles[0]:g}° is the number in its name; give another where that means something else.'
        )
    elif source == f'from {_METADATA}' and angles[0] == 0:
        doubtful = ' Its metadata say 0°, as they also do where the stage was not read out; give it where it matters.'
    return (
        Finding(
            'note',
            'one tilt',
            'The series is one image: maps, compositions and oxidation states can be made of it, an alignment and a '
            f'volume cannot.{doubtful}',
            {'tilts': 1.0},
        ),
    )


def _from_name(file: Path) -> float | None:
    numbers = numbers_in_name(file)
    return numbers.pop() if len(numbers) == 1 and _TILT.search(file.stem) else None
