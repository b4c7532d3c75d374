"""Findings: what a step noticed about its data or its result and the user has to see.

A step that met an assumption it could not check, or data that contradict one,
adds a `Finding` to its result. Findings are shown under the page of the dock,
printed by the command line, listed in reports and kept in ``.hspy`` files;
nothing that decides whether a result can be trusted is left to ``notes``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from napari_diptomo.series.errors import InputError

#: note: an assumption that could not be checked; doubt: the data speak against it; stop: the result must not be used.
Level = Literal['note', 'doubt', 'stop']
_LEVELS: tuple[str, ...] = get_args(Level)


@dataclass(frozen=True)
class Remedy:
    """A change of the step's parameters that answers a finding.

    Attributes
    ----------
    label : str
        Text of the button that applies it.
    step : str
        Name of the step, as in a recipe.
    changes : mapping
        Parameters and their new values, JSON-ready: tuples become lists, NumPy
        numbers plain ones. Empty where choosing the step is the remedy.
    """

    label: str
    step: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'changes', json.loads(json.dumps(dict(self.changes), default=_plain)))

    def __str__(self) -> str:
        """In words, with values as a recipe has them: ``'set beyond_field to true in DIPmTV'``."""
        if not self.changes:
            return f'{self.label} ({self.step})'
        *before, last = (f'{name} to {json.dumps(value)}' for name, value in self.changes.items())
        return f'set {" and ".join(filter(None, (", ".join(before), last)))} in {self.step}'

    def to_dict(self) -> dict[str, Any]:
        """The remedy as values that JSON has.

        Returns
        -------
        dict
            ``label``, ``step`` and ``changes``.
        """
        return {'label': self.label, 'step': self.step, 'changes': dict(self.changes)}


@dataclass(frozen=True)
class Finding:
    """One observation with its evidence.

    Attributes
    ----------
    level : {'note', 'doubt', 'stop'}
        How serious it is.
    about : str
        Subject in a few words, e.g. ``'field of view'``.
    sentence : str
        What was found, how sure, and what to do.
    evidence : mapping of str to float
        The numbers behind it; non-finite values are dropped.
    remedy : Remedy, optional
        Change of parameters that answers it, where there is one.
    step : str
        Name of the step that found it; filled in by `Step.run`.

    Raises
    ------
    InputError
        Another level.
    """

    level: Level
    about: str
    sentence: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    remedy: Remedy | None = None
    step: str = ''

    def __post_init__(self) -> None:
        if self.level not in _LEVELS:
            raise InputError(f'A finding has the level {", ".join(_LEVELS)}, not {self.level!r}; choose one of them.')
        kept = {str(name): float(value) for name, value in self.evidence.items() if math.isfinite(value)}
        object.__setattr__(self, 'evidence', kept)

    def __str__(self) -> str:
        """One line: ``'doubt (field of view, DIPmTV): The specimen ... Remedy: set ... in DIPmTV.'``"""
        found = f'{self.level} ({", ".join(filter(None, (self.about, self.step)))}): {self.sentence}'
        return ' '.join((found if self.remedy is None else f'{found} Remedy: {self.remedy}.').split())

    def to_dict(self) -> dict[str, Any]:
        """The finding as values that JSON has; `from_dict` reads it back.

        Returns
        -------
        dict
            One key for each attribute.
        """
        return {
            'level': self.level,
            'about': self.about,
            'sentence': self.sentence,
            'evidence': dict(self.evidence),
            'remedy': None if self.remedy is None else self.remedy.to_dict(),
            'step': self.step,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """The finding that `to_dict` wrote."""
        remedy = values.get('remedy')
        return cls(
            level=values['level'],
            about=str(values['about']),
            sentence=str(values['sentence']),
            evidence=dict(values.get('evidence') or {}),
            remedy=None
            if remedy is None
            else Remedy(str(remedy['label']), str(remedy['step']), dict(remedy['changes'])),
            step=str(values.get('step', '')),
        )


def by_weight(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, otherwise in their order; equal ones once.

    Parameters
    ----------
    findings : iterable of Finding
        In any order.

    Returns
    -------
    list of Finding
        Levels stop, doubt, note.
    """
    distinct: list[Finding] = []
    for finding in findings:
        if finding not in distinct:
            distinct.append(finding)
    return sorted(distinct, key=lambda finding: -_LEVELS.index(finding.level))


def counted(findings: Iterable[Finding]) -> str:
    """``'1 doubt, 2 notes'``, the gravest first; empty where there are none.

    Parameters
    ----------
    findings : iterable of Finding
        In any order.

    Returns
    -------
    str
        Equal findings count once.
    """
    counts = Counter(finding.level for finding in by_weight(findings))
    return ', '.join(
        f'{counts[level]} {level}{"s" * (counts[level] > 1)}' for level in reversed(get_args(Level)) if counts[level]
    )


def to_json(findings: Iterable[Finding]) -> str:
    """For a file; `from_json` reads it back."""
    return json.dumps([finding.to_dict() for finding in findings])


def from_json(text: Any) -> tuple[Finding, ...]:
    """The findings that `to_json` wrote.

    A file is not refused for its findings: those that cannot be read are left
    out, and a note at the end says how many. Of a remedy that cannot be read
    the finding is kept.
    """
    try:
        stored = json.loads(text)
        stored = stored if isinstance(stored, list) else [stored]
    except (TypeError, ValueError):
        stored = [None]
    read = [_readable(values) for values in stored]
    found = tuple(finding for finding in read if finding is not None)
    lost = len(read) - len(found)
    if not lost:
        return found
    what = '1 finding of this file is' if lost == 1 else f'{lost} findings of this file are'
    sentence = f'{what} damaged or of a newer version and left out; update napari-diptomo, or compute the result again.'
    return (*found, Finding('note', 'saved findings', sentence, {'left out': lost}))


def _readable(values: Any) -> Finding | None:
    if not isinstance(values, dict) or not values.get('sentence'):
        return None
    for without in ({}, {'remedy': None}):
        try:
            return Finding.from_dict(values | without)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return None


def _plain(value: Any) -> Any:
    if hasattr(value, 'tolist'):  # NumPy numbers and arrays
        return value.tolist()
    raise TypeError(f'A remedy cannot set a {type(value).__name__}; keep its changes to text, numbers and lists.')
