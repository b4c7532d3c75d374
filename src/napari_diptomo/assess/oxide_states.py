"""The channels of maps or of a volume as oxides of one metal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.oxides import metal, valence


@dataclass(frozen=True, eq=False)
class OxideStates:
    """Channels as oxides.

    Attributes
    ----------
    valences : tuple of float
        Of the metal in each.
    counts_per_atom : ndarray (state,)
        What a channel holds per atom.
    covariance_per_atom : ndarray (state, state)
        Of the atoms of a pixel per atom in it, as recorded with the maps; that of counts where they do not.
    systematic : float, optional
        Error of the mean valence that all pixels share.
    element : str
        The metal.
    """

    valences: tuple[float, ...]
    counts_per_atom: np.ndarray
    covariance_per_atom: np.ndarray
    systematic: float | None
    element: str

    @classmethod
    def of(cls, channels: tuple[str, ...], notes: Mapping[str, Any], valences: tuple[float, ...]) -> OxideStates:
        if 'oxidation_state' in notes:
            raise InputError('This volume holds oxidation states already; take the volume that they were made from.')
        if valences and len(valences) != len(channels):
            raise InputError(
                f'{len(valences)} valences are given for the channels {", ".join(channels)}; give one for each.'
            )
        recorded = notes.get('oxidation', {})
        if len(channels) < 2:
            raise InputError(
                f'An oxidation state needs two oxides at least, and there is {channels[0]} alone; map more.'
            )
        n = len(channels)
        if recorded and tuple(recorded['states']) != tuple(channels):
            raise InputError(
                f'The channels {", ".join(channels)} are not the mapped oxides {", ".join(recorded["states"])}; '
                'keep all of them, in their order.'
            )
        per_atom = np.array([1.0] * n if recorded.get('unit') != 'edge counts' else recorded['counts_per_atom'], float)
        covariance = np.array(recorded.get('covariance_per_atom', np.eye(n) / n), float)
        element = recorded.get('element') or ('M' if valences else metal(channels[0]))
        return cls(
            tuple(valences) or tuple(valence(name) for name in channels),
            per_atom,
            covariance,
            recorded.get('systematic_valence'),
            element,
        )

    @property
    def correlation(self) -> np.ndarray:
        """Of the errors of the atoms, (state, state)."""
        std = np.sqrt(np.diag(self.covariance_per_atom))
        return self.covariance_per_atom / np.outer(std, std)

    @property
    def mixture(self) -> bool:
        """Whether the metal is M2+ and M3+ throughout."""
        return all(2 <= v <= 3 for v in self.valences)

    @property
    def names(self) -> tuple[str, ...]:
        return (f'{self.element}2+ fraction', 'mean valence') if self.mixture else ('mean valence',)

    def atoms(self, values: np.ndarray) -> np.ndarray:
        """Counts (state, ...) as atoms."""
        return np.asarray(values, float) / self.counts_per_atom.reshape(-1, *(1,) * (values.ndim - 1))

    def layers(self, mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values and errors of what `names` names."""
        if self.mixture:
            return np.stack([3 - mean, mean]), np.stack([std, std])
        return mean[None], std[None]
