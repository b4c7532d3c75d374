"""Where the X-ray detectors are: as the files record it, as given, or assumed.

Files record the elevation above the plane of the untilted specimen, and sometimes an azimuth in the convention of
HyperSpy and eXSpy: 0 is perpendicular to the tilt axis, on the side that the specimen faces at positive tilts. Here an
azimuth counts from x towards y, the tilt axis, in the frame in which the face towards the detectors turns to -x at
positive tilts (`absorption`), so that it is 180 degrees minus that of the file.

A pair of 35 and 0 degrees is what eXSpy writes where a file says nothing: its elevation is used and named, its azimuth
is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari_diptomo.series import Finding, Remedy
from napari_diptomo.series.tilts import angles_in_words

Origin = Literal['file', 'given', 'assumed']
#: Of the four-quadrant detectors of which most elemental volumes are made.
ELEVATION, AZIMUTHS = 18.0, (45.0, 135.0, 225.0, 315.0)
#: What eXSpy fills in: elevation and azimuth, degrees.
_EXSPY_DEFAULTS = (35.0, 0.0)
_QUADRANTS = re.compile(r'super-?\s?x|4 detectors|four|quadrant', re.IGNORECASE)
#: Degrees by which two sources may differ.
_TOLERANCE = 1.0
#: Name of the note of maps and volumes.
NOTE = 'detector_position'


@dataclass(frozen=True)
class DetectorPosition:
    """Directions of the detectors and where they are from.

    Attributes
    ----------
    elevation : float
        Above the plane of the untilted specimen, degrees.
    azimuths : tuple of float
        Of each detector about the beam, from x towards y, degrees.
    elevation_from, azimuths_from : {'file', 'given', 'assumed'}
        Their sources.
    """

    elevation: float
    azimuths: tuple[float, ...]
    elevation_from: Origin
    azimuths_from: Origin

    def __str__(self) -> str:
        each = angles_in_words(self.azimuths)
        return f'elevation {self.elevation:g}° ({self.elevation_from}), azimuths {each} ({self.azimuths_from})'


def recorded_position(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The note of maps on their detectors, from the metadata of a series.

    Parameters
    ----------
    metadata : mapping
        ``elevation`` and ``azimuth`` in degrees, ``detector``; what is missing or cannot be is left out.

    Returns
    -------
    dict
        ``elevation_deg``, ``azimuth_deg``, ``detector``.
    """
    found: dict[str, Any] = {}
    elevation, azimuth = (_number(metadata.get(name)) for name in ('elevation', 'azimuth'))
    if elevation is not None and 0 < elevation <= 90:
        found['elevation_deg'] = elevation
    if azimuth is not None and -360 <= azimuth <= 360:
        found['azimuth_deg'] = azimuth
    if found and metadata.get('detector'):
        found['detector'] = str(metadata['detector'])
    return found


def detector_position(
    recorded: Mapping[str, Any], elevation: float | None = None, azimuths: Sequence[float] | None = None
) -> DetectorPosition:
    """The position that is used: given, else of the files, else assumed.

    Parameters
    ----------
    recorded : mapping
        Of `recorded_position`; empty where the files say nothing.
    elevation : float, optional
        Given, degrees.
    azimuths : sequence of float, optional
        Given, degrees.
    """
    used: tuple[float, Origin] = (ELEVATION, 'assumed')
    if elevation is not None:
        used = (elevation, 'given')
    elif 'elevation_deg' in recorded:
        used = (float(recorded['elevation_deg']), 'file')
    if azimuths is not None:
        return DetectorPosition(used[0], tuple(azimuths), used[1], 'given')
    if 'azimuth_deg' not in recorded or _is_default(recorded):
        return DetectorPosition(used[0], AZIMUTHS, used[1], 'assumed')
    first = 180.0 - float(recorded['azimuth_deg'])
    quadrants = 4 if _QUADRANTS.search(str(recorded.get('detector', ''))) else 1
    return DetectorPosition(used[0], tuple((first + 90.0 * i) % 360.0 for i in range(quadrants)), used[1], 'file')


def position_findings(
    recorded: Mapping[str, Any], position: DetectorPosition, tilts: tuple[float, float] = (0.0, 0.0)
) -> tuple[Finding, ...]:
    """Doubts about a position: assumed, at odds with the files, or on an unknown side of the specimen.

    Parameters
    ----------
    recorded : mapping
        Of `recorded_position`.
    position : DetectorPosition
        That is used.
    tilts : (float, float)
        Smallest and largest tilt, degrees.
    """
    found = []
    used, stored = position.elevation, recorded.get('elevation_deg')
    numbers = {'elevation used, deg': used}
    if position.elevation_from == 'assumed':
        sentence = (
            f'The files do not record the elevation of the detectors: {used:g}° was assumed for the absorption. Microscopes '
            'have 10° to 40°, and the path in the specimen goes with one over the sine; give the elevation.'
        )
        found.append(Finding('note', 'detector elevation', sentence, numbers))
    elif position.elevation_from == 'given' and stored is not None and abs(stored - used) > _TOLERANCE:
        sentence = (
            f'The elevation of the detectors is given as {used:g}°, and the files say {stored:g}°: the given one was used '
            'for the absorption. Check it, or leave it to the files.'
        )
        remedy = Remedy(f'Take the {stored:g}° of the files', 'Composition', {'elevation': None})
        found.append(Finding('doubt', 'detector elevation', sentence, {**numbers, 'in the files, deg': stored}, remedy))
    elif position.elevation_from == 'file' and _is_default(recorded):
        sentence = (
            f'The elevation of {used:g}° is that of the files, and also what HyperSpy writes where a file says nothing; '
            'compare it with your microscope.'
        )
        found.append(Finding('note', 'detector elevation', sentence, numbers))
    if position.azimuths_from == 'file' and len(position.azimuths) == 1 and abs(tilts[0] + tilts[1]) > _TOLERANCE:
        sentence = (
            f'The one detector was taken to lie on the side that the specimen faces at positive tilts (azimuth '
            f'{recorded["azimuth_deg"]:g}° in the files). If it lies on the other side, the absorption at high tilts is '
            'wrong: give the azimuths.'
        )
        found.append(Finding('note', 'detector azimuth', sentence, {'azimuth used, deg': position.azimuths[0]}))
    return tuple(found)


def _is_default(recorded: Mapping[str, Any]) -> bool:
    return (recorded.get('elevation_deg'), recorded.get('azimuth_deg')) == _EXSPY_DEFAULTS


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
