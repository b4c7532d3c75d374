"""Stored standards of oxides at the low-loss edge of their metal, and reference spectra from text files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.files import replacing
from napari_diptomo.series.oxides import metal
from napari_diptomo.series.reading.inspection import inspect
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.spectra.common.column_tables import read_curves
from napari_diptomo.spectra.eels.metal_edges import low_loss_edge_range
from napari_diptomo.spectra.eels.standards.phase_maps import PhaseMaps

_FORMAT = 1
#: Key of the array that holds everything but the spectra, as JSON.
_DESCRIPTION = 'told'


@dataclass(frozen=True, eq=False)
class Standards:
    """Spectra of pure phases at the low-loss edge.

    Attributes
    ----------
    names : tuple of str
        Phases, the reduced one first.
    energy : ndarray (energy,)
        eV, evenly spaced.
    shapes : ndarray (energy, phase)
        One count in 47-62 eV each.
    uncertainty : ndarray (energy, phase)
        Standard deviation of ``shapes``.
    per_iron : ndarray (phase,)
        Counts in 47-62 eV per iron atom, relative to the first phase, as measured; it takes the
        sum rule for L3 and depends on the background far more than ``shapes``.
    thickness : float
        t/lambda that is in the shapes; NaN where it is not known.
    source : str
        How they were found, in words.
    pure : dict of str to ndarray (core tilt, y, x), bool
        Pixels of one phase alone; empty masks where there are none.
    tilts : tuple of int
        Tilts of the series that the masks belong to.
    notes : dict
        Numbers and sentences (JSON-ready).
    phases : PhaseMaps, optional
        From the core loss; not stored.
    """

    names: tuple[str, ...]
    energy: np.ndarray
    shapes: np.ndarray
    uncertainty: np.ndarray
    per_iron: np.ndarray
    thickness: float = 0.0
    source: str = ''
    pure: dict[str, np.ndarray] = field(default_factory=dict)
    tilts: tuple[int, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    phases: PhaseMaps | None = None

    def on(self, energy: np.ndarray) -> np.ndarray:
        """Shapes on another axis.

        Parameters
        ----------
        energy : ndarray (energy,)
            Channel centres, eV.

        Returns
        -------
        ndarray (energy, phase)
            Counts per channel of that axis; one in 47-62 eV for each phase.

        Raises
        ------
        InputError
            The axis does not overlap with the edge.
        """
        low, high = low_loss_edge_range(metal(self.names[0]))
        if energy[0] > low or energy[-1] < high:
            raise InputError(
                f'The standards belong to {low:g}-{high:g} eV, which {energy[0]:.0f}-{energy[-1]:.0f} eV do '
                'not hold; take the low loss.'
            )
        ratio = float((energy[1] - energy[0]) / (self.energy[1] - self.energy[0]))
        sampled = [np.interp(energy, self.energy, shape, left=0.0) for shape in self.shapes.T]
        return ratio * np.stack(sampled, axis=1)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as ``.npz``, an earlier file replaced once the new one is complete; returns the path."""
        path = Path(path).with_suffix('.npz')
        description = {
            'format': _FORMAT, 'names': self.names, 'thickness': self.thickness, 'source': self.source,
            'tilts': self.tilts, 'notes': self.notes,
        }  # fmt: skip
        masks = {f'pure_{i}': self.pure[name] for i, name in enumerate(self.names) if name in self.pure}

        def write(partial: Path) -> None:
            with open(partial, 'wb') as file:
                np.savez_compressed(
                    file, allow_pickle=False, energy=self.energy, shapes=self.shapes, uncertainty=self.uncertainty,
                    per_iron=self.per_iron, **{_DESCRIPTION: np.array(json.dumps(description))}, **masks,
                )  # fmt: skip

        return replacing(path, write)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Standards:
        """Read what `save` wrote.

        Parameters
        ----------
        path : path
            The ``.npz`` file.

        Returns
        -------
        Standards
            Without ``phases``.

        Raises
        ------
        InputError
            No such file, or another kind of file.
        """
        path = Path(path)
        try:
            inspect(path)
            with reading(path), np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return cls(**_parts(arrays))
        except (InputError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(
                f'{path} holds no standards of this program; choose the .npz that they were saved to.'
            ) from error


def _parts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of `Standards` from what a file holds; what is missing or of another kind is an error of Python."""
    description = json.loads(str(arrays[_DESCRIPTION]))
    names = tuple(str(name) for name in description['names'])
    found = {name: np.asarray(arrays[name], float) for name in ('energy', 'shapes', 'uncertainty', 'per_iron')}
    size = (len(found['energy']), len(names))
    if (found['shapes'].shape, found['uncertainty'].shape, found['per_iron'].shape) != (size, size, size[1:]):
        raise ValueError('arrays of different sizes')
    if size[0] < 2 or not np.isfinite(found['shapes']).all() or not (np.diff(found['energy']) > 0).all():
        raise ValueError('no spectra')
    return {
        **found,
        'names': names,
        'thickness': float(description['thickness']),
        'source': str(description['source']),
        'pure': {name: arrays[f'pure_{i}'].astype(bool) for i, name in enumerate(names) if f'pure_{i}' in arrays},
        'tilts': tuple(int(tilt) for tilt in description['tilts']),
        'notes': dict(description['notes']),
    }


def read_references(path: str | os.PathLike[str], states: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Core-loss spectra of the oxides from a text file: a line of names (energy, FeO, Fe3O4), then numbers (`column_tables`).

    Returns
    -------
    dict of str to ndarray (2, n)
        Energies in eV and counts without background.

    Raises
    ------
    InputError
        A file that is none, or without one of the oxides.
    """
    try:
        curves = read_curves(path)
    except InputError as error:
        raise InputError(
            f'Cannot read the reference spectra: {error} Give a .csv with columns of numbers named energy, {", ".join(states)}.'
        ) from error
    found = {state: counts for state in states if (counts := curves.called(state)) is not None}
    if len(found) < len(states):
        raise InputError(
            f'The reference spectra {path} must have columns of numbers named energy, {", ".join(states)}; it has '
            f'{", ".join(curves.names) or "none"} beside the energies.'
        )
    return {state: np.stack([curves.energy, counts]) for state, counts in found.items()}
