"""The contents of the plot of totals, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Total(Protocol):
    """Counts of one family, and what a specimen would give; arrays are (tilt,)."""

    @property
    def name(self) -> str: ...
    @property
    def counts(self) -> np.ndarray: ...
    @property
    def expected(self) -> np.ndarray: ...
    @property
    def behaves(self) -> bool: ...
    @property
    def sentence(self) -> str: ...
    @property
    def weak(self) -> bool: ...


def misbehaving(totals: Sequence[Total]) -> str:
    """A sentence on each line family that does not behave like a projection, or is too weak to decide."""
    found = [total.sentence for total in totals if not total.behaves]
    return ' '.join([*found, *(total.sentence for total in totals if total.weak)])
