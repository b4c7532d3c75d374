"""Evidence: the values that each source has for a series, side by side, so that they can be compared and shown.

Angles, and whatever else several sources say of the same images, are read from every source that speaks. Where they
agree the series keeps all of them; where they do not nobody knows which is right, and `Contradiction` carries both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError


@dataclass(frozen=True, eq=False)
class Evidence:
    """The values of one source, one for each tilt.

    Attributes
    ----------
    source : str
        Where it is from, in words that follow "from": ``'the table angles.csv, by file name'``.
    values : ndarray
        One for each tilt in the order of what it is about; no number where the source says nothing.
    kind : str
        What the values are: ``'angles'``, in degrees.
    """

    source: str
    values: np.ndarray
    kind: str = 'angles'

    def __post_init__(self) -> None:
        object.__setattr__(self, 'values', np.asarray(self.values, float).ravel())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Evidence) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.source, self.kind, len(self.values)))

    def some(self, near: int = 0, count: int = 3) -> str:
        """Some of the values in words, those around one of them: ``'..., 20, 30, 44'``.

        Parameters
        ----------
        near : int
            The number of the tilt that is among them.
        count : int
            How many.

        Returns
        -------
        str
        """
        begin = max(min(near - count // 2, len(self.values) - count), 0)
        values = self.values[begin : begin + count]
        shown = ', '.join('none' if np.isnan(value) else f'{value:g}' for value in values)
        after = ', ...' if begin + count < len(self.values) else ''
        return ('..., ' if begin else '') + shown + after

    def to_dict(self) -> dict[str, Any]:
        """The evidence as values that JSON has; `from_dict` reads it back.

        Returns
        -------
        dict
            One key for each attribute; None where there is no number.
        """
        values = [None if np.isnan(value) else float(value) for value in self.values]
        return {'source': self.source, 'values': values, 'kind': self.kind}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evidence:
        """The evidence that `to_dict` wrote."""
        numbers = [np.nan if value is None else float(value) for value in values['values']]
        return cls(str(values['source']), np.array(numbers, float), str(values['kind']))


class Contradiction(InputError):
    """Sources that disagree; ``evidence`` holds what each of them says.

    Parameters
    ----------
    sentence : str
        Both sources, and what to give.
    evidence : sequence of Evidence
        The sources, each with its own values in its own order.
    """

    def __init__(self, sentence: str, evidence: Sequence[Evidence] = ()) -> None:
        super().__init__(sentence)
        self.evidence = tuple(evidence)
