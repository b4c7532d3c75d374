"""The core loss of an EELS tilt series: the deep edges, recorded at one tilt or more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_diptomo.series.array_checks import check_length, set_values
from napari_diptomo.series.errors import InputError


@dataclass(frozen=True, eq=False)
class CoreLoss:
    """The core-loss part of an EELS tilt series, at one tilt or more.

    Attributes
    ----------
    counts : dask or numpy array (core tilt, y, x, energy)
        Counts on the pixels of the low loss.
    energy : ndarray (energy,)
        Centres of the energy channels, eV.
    tilts : tuple of int
        The tilts of the series that it was recorded at, ascending; one is enough.
    metadata : mapping
        Of the core loss alone, as far as known: ``title``, ``dwell_time`` (s),
        ``angle_source``, ...
    """

    counts: Any
    energy: np.ndarray
    tilts: tuple[int, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_values(self, energy=np.asarray(self.energy, float), tilts=tuple(int(tilt) for tilt in self.tilts))
        if self.counts.ndim != 4:
            raise InputError(
                f'A core loss needs the axes (tilt, y, x, energy), not {self.counts.ndim} axes; '
                'stack its spectrum images along the tilt, one is enough.'
            )
        check_length('tilts named', self.tilts, 'tilts of the core loss', self.counts.shape[0])
        check_length('energies', self.energy, 'channels of the core loss', self.counts.shape[3])
        if not self.tilts or (np.diff(self.tilts) <= 0).any():
            raise InputError(f'The tilts of the core loss must be named once each, ascending, not as {self.tilts}.')

    def check_belongs(self, shape: tuple[int, ...], energy_unit: str) -> None:
        """Refuse what cannot be the core loss of a series (tilt, y, x) of this shape."""
        if energy_unit != 'eV':
            raise InputError('A core loss belongs to EELS, and these spectra are X-rays (keV); open them without it.')
        pixels, others = self.counts.shape[1:3], shape[1:3]
        if pixels != others:
            raise InputError(
                f'The core loss has {pixels[1]} x {pixels[0]} pixels (x, y) where the low loss has '
                f'{others[1]} x {others[0]}; give the core loss that was recorded with it.'
            )
        if self.tilts[0] < 0 or self.tilts[-1] >= shape[0]:
            raise InputError(
                f'The core loss is said to be of the tilts {self.tilts}, and the series has {shape[0]} '
                '(counted from 0); name tilts of the series.'
            )
