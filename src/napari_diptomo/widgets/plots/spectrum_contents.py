"""The contents of the plot of a spectrum: a fit and line markers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Explanation(Protocol):
    """A spectrum and its fit; arrays are (energy,)."""

    @property
    def energy(self) -> np.ndarray: ...
    @property
    def counts(self) -> np.ndarray: ...
    @property
    def model(self) -> np.ndarray: ...
    @property
    def background(self) -> np.ndarray: ...
    @property
    def families(self) -> Mapping[str, np.ndarray]: ...
    @property
    def residual(self) -> np.ndarray: ...
    @property
    def chi2(self) -> float: ...
    @property
    def wanted(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Mark:
    """The lines of one family.

    Attributes
    ----------
    family : str
        ``'Ge_K'``.
    energy : float
        Of its strongest line, in the unit of the axis.
    colour : str
        ``'#rrggbb'``.
    others : tuple of float
        Energies of its weaker lines.
    """

    family: str
    energy: float
    colour: str
    others: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """``'Ge-K'``."""
        return self.family.replace('_', '-')
