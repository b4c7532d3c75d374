"""Messages from a child process to its parent, as lines of JSON.

`napari_diptomo.jobs.child` and the reading process send them. Volumes never
travel here. What is not of this form is no message: a library that writes to
the same stream cannot break the connection.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from napari_diptomo.series import (
    Contradiction,
    DiptomoError,
    Evidence,
    InputError,
    Progress,
    ReconstructionError,
    TooLargeError,
)

#: Kinds of `Failure` that are errors of this program's own: whoever hears of one raises it as it is.
OUR_ERRORS = {
    kind.__name__: kind for kind in (Contradiction, InputError, TooLargeError, ReconstructionError, DiptomoError)
}
#: The kind of one that says that memory ran out.
NO_MEMORY = 'MemoryError'


@dataclass(frozen=True)
class Stage:
    """A step begins.

    Attributes
    ----------
    index, count : int
        Its number, from 0, and how many there are.
    title : str
        Of the step.
    """

    index: int
    count: int
    title: str


@dataclass(frozen=True)
class FrameMemoryNeeded:
    """Previews of this shape (channel, z, y, x) are ready and have no memory yet."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class FrameReady:
    """A preview lies in the shared memory.

    Attributes
    ----------
    number : int
        Of the preview in its run.
    iteration : int
        At which it was taken.
    """

    number: int
    iteration: int


@dataclass(frozen=True)
class Log:
    """A line for the log.

    Attributes
    ----------
    level : str
        As in the logging module, in small letters.
    text : str
        The line.
    """

    level: str
    text: str


@dataclass(frozen=True)
class Noted:
    """A step has found something out that its result will have in its notes.

    Attributes
    ----------
    notes : mapping
        The entries.
    """

    notes: Mapping[str, Any]


@dataclass(frozen=True)
class FileBegun:
    """A library is about to read the file ``path``."""

    path: str


@dataclass(frozen=True)
class Result:
    """The run ended well.

    Attributes
    ----------
    path : str
        File that holds the result.
    """

    path: str


@dataclass(frozen=True)
class Failure:
    """The run broke down.

    Attributes
    ----------
    text : str
        One sentence for the user.
    kind : str
        Class of the exception.
    details : str
        Its traceback, for a log.
    evidence : tuple of Evidence
        What each of the sources says that disagree.
    """

    text: str
    kind: str = 'ReconstructionError'
    details: str = ''
    evidence: tuple[Evidence, ...] = ()

    def raised(self) -> Exception:
        """The error of this program's own as it was raised."""
        if self.kind == Contradiction.__name__:
            return Contradiction(self.text, self.evidence)
        return OUR_ERRORS[self.kind](self.text)


@dataclass(frozen=True)
class CancelledRun:
    """The run was cancelled; there is no result.

    Attributes
    ----------
    stage : str
        Title of the step that was running.
    """

    stage: str = ''


Message = Progress | Stage | FrameMemoryNeeded | FrameReady | Log | Noted | FileBegun | Result | Failure | CancelledRun

_TYPES: dict[str, type] = {
    'progress': Progress,
    'stage': Stage,
    'frame_memory': FrameMemoryNeeded,
    'frame': FrameReady,
    'log': Log,
    'note': Noted,
    'file': FileBegun,
    'result': Result,
    'error': Failure,
    'cancelled': CancelledRun,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def format_message(message: Message) -> str:
    """One line of JSON without the line end; a preview is left out.

    NaN and infinity are written as null: they are not JSON.
    """
    values = {f.name: getattr(message, f.name) for f in fields(message) if f.name != 'preview'}
    return json.dumps({'type': _NAMES[type(message)], **_plain(values)}, allow_nan=False)


def parse_message(line: str) -> Message | None:
    """The message on this line, None when there is none."""
    try:
        values = json.loads(line)
        kind = _TYPES[values.pop('type')]
        if kind is Progress:
            for terms in ('losses', 'by_channel'):
                given = values.get(terms, {}).items()
                values[terms] = {name: math.nan if value is None else value for name, value in given}
        if kind is Failure:
            values['evidence'] = tuple(Evidence.from_dict(one) for one in values.get('evidence', ()))
        if kind is FrameMemoryNeeded:
            values['shape'] = tuple(int(n) for n in values['shape'])
        return kind(**values)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Evidence):
        return value.to_dict()
    if hasattr(value, 'item'):  # numpy and torch scalars
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
