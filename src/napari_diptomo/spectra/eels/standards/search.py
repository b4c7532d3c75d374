"""Standards of two oxides of a 3d metal at its M2,3 edge, of FeO and Fe3O4 as a rule, from the data themselves.

The core loss of one tilt or more tells how much of each oxide is in every pixel
(`core_loss`); the low loss of the same pixels is regressed on that
(`regression`). No pixel need be pure. Standards are named by the energy of L3,
never by order. They can be stored and used on other series.

*Uncertainty*, per channel: counting in the low loss; the spread between the
background families that explain it about as well; and FeO that may be left in,
or missing from, Fe3O4.

By the way of *stoichiometric* they assume the magnetite to be stoichiometric;
the notes say so where that was the way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import InputError, Observer, SpectralTiltSeries, Watch
from napari_diptomo.series._inspection import inspect
from napari_diptomo.series._library_errors import reading
from napari_diptomo.series.oxides import metal
from napari_diptomo.series.replacing import replacing
from napari_diptomo.spectra.eels import metal_edges as shallow
from napari_diptomo.spectra.eels.metal_edges import shallow_edge
from napari_diptomo.spectra.eels.scattering import SingleLoss
from napari_diptomo.spectra.eels.standards.leading_edge import IRON, DeepEdge
from napari_diptomo.spectra.eels.standards.phase_amounts import PhaseAmounts
from napari_diptomo.spectra.eels.standards.phase_maps import Method, core_loss_amounts
from napari_diptomo.spectra.eels.standards.regression import (
    Groups,
    Regression,
    all_families,
    pooled,
    statistical_deviation,
)

#: What must be recorded in front of the edge and behind it, eV.
_BEFORE, _BEHIND = 8.0, 14.0
#: Plasmons alone are seen up to this far in front of the edge, eV.
_IN_FRONT = 4.0
#: Families whose score is within this factor of the best are as good.
_AS_GOOD = 1.25
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Standards:
    """Spectra of pure phases at the shallow edge.

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
    phases : PhaseAmounts, optional
        What the core loss told; not stored.
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
    phases: PhaseAmounts | None = None

    def on(self, energy: np.ndarray) -> np.ndarray:
        """Shapes on another axis, (energy, phase): counts per channel of that axis.

        Raises
        ------
        InputError
            The axis does not overlap with the edge.
        """
        low, high = shallow.counted_range(metal(self.names[0]))
        if energy[0] > low or energy[-1] < high:
            raise InputError(
                f'The standards belong to {low:g}-{high:g} eV, which {energy[0]:.0f}-{energy[-1]:.0f} eV do '
                'not hold; take the low loss.'
            )
        ratio = float((energy[1] - energy[0]) / (self.energy[1] - self.energy[0]))
        drawn = [np.interp(energy, self.energy, shape, left=0.0) for shape in self.shapes.T]
        return ratio * np.stack(drawn, axis=1)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as ``.npz``, an earlier file replaced once the new one is complete; returns the path."""
        path = Path(path).with_suffix('.npz')
        told = {
            'format': _FORMAT, 'names': self.names, 'thickness': self.thickness, 'source': self.source,
            'tilts': self.tilts, 'notes': self.notes,
        }  # fmt: skip
        masks = {f'pure_{i}': self.pure[name] for i, name in enumerate(self.names) if name in self.pure}

        def write(partial: Path) -> None:
            with open(partial, 'wb') as file:
                np.savez_compressed(
                    file, allow_pickle=False, energy=self.energy, shapes=self.shapes, uncertainty=self.uncertainty,
                    per_iron=self.per_iron, told=np.array(json.dumps(told)), **masks,
                )  # fmt: skip

        return replacing(path, write)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Standards:
        """Read what `save` wrote.

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
    told = json.loads(str(arrays['told']))
    names = tuple(str(name) for name in told['names'])
    found = {name: np.asarray(arrays[name], float) for name in ('energy', 'shapes', 'uncertainty', 'per_iron')}
    size = (len(found['energy']), len(names))
    if (found['shapes'].shape, found['uncertainty'].shape, found['per_iron'].shape) != (size, size, size[1:]):
        raise ValueError('arrays of different sizes')
    if size[0] < 2 or not np.isfinite(found['shapes']).all() or not (np.diff(found['energy']) > 0).all():
        raise ValueError('no spectra')
    return {
        **found,
        'names': names,
        'thickness': float(told['thickness']),
        'source': str(told['source']),
        'pure': {name: arrays[f'pure_{i}'].astype(bool) for i, name in enumerate(names) if f'pure_{i}' in arrays},
        'tilts': tuple(int(tilt) for tilt in told['tilts']),
        'notes': dict(told['notes']),
    }


def find_standards(
    series: SpectralTiltSeries | Any,
    *,
    method: Method = 'auto',
    references: Mapping[str, np.ndarray] | None = None,
    pure: Mapping[str, np.ndarray] | None = None,
    edge: DeepEdge = IRON,
    seed: int = 0,
    observer: Observer | None = None,
) -> Standards:
    """Standards at M2,3 from a series with a core loss.

    Parameters
    ----------
    series : SpectralTiltSeries or CalibratedSeries
        Calibrated ones know thickness and plural scattering.
    method, references, pure, edge, seed
        See `core_loss.core_loss_amounts`.
    observer : Observer, optional
        Told of the steps.

    Raises
    ------
    InputError
        No core loss or no L2,3 in it, one phase only, M2,3 not in the low loss or at its end.
    """
    calibrated, series = series, getattr(series, 'series', series)
    energy = series.energy
    element = metal(edge.phases[0])
    used = _window(energy, element)
    onset = shallow_edge(element) + shallow.ONSET
    phases = core_loss_amounts(
        calibrated, method=method, references=references, pure=pure, edge=edge, seed=seed, observer=observer
    )
    watch = Watch(observer, 'Standards: low loss', 2)
    tilts = phases.tilts
    counts = [np.asarray(series.counts[tilt]) for tilt in tilts]
    thickness = getattr(calibrated, 't_over_lambda', None)
    thickness = None if thickness is None else np.asarray(thickness)[list(tilts)]
    groups = pooled(counts, phases, thickness)
    single, reference = _plural(energy, counts, phases, groups, thickness, onset)
    groups = groups.within(energy, used, None if single is None else onset - _IN_FRONT)
    watch.step(1, message='pixels pooled')
    how = {'read_noise': getattr(calibrated, 'read_noise', 0.0), 'single': single, 'reference': reference}
    found = all_families(groups, energy[used], onset, **how)
    watch.step(2, message='regression on every background')
    return _standards(found, groups, energy[used], phases, onset, how, seed)


def _window(energy: np.ndarray, element: str) -> np.ndarray:
    edge = shallow_edge(element)
    onset, name = edge + shallow.ONSET, f'{element}-M2,3'
    if energy[0] > onset - _BEFORE or energy[-1] < onset:
        raise InputError(
            f'{name} needs a low loss from {onset - _BEFORE:.0f} to {onset + 2 * _BEHIND:.0f} eV and this one has '
            f'{energy[0]:.0f}-{energy[-1]:.0f} eV; record it so, or check the energies.'
        )
    if energy[-1] < onset + _BEHIND:
        raise InputError(
            f'{name} lies at the end of the low loss, which ends at {energy[-1]:.0f} eV; record it to '
            f'{onset + 2 * _BEHIND:.0f} eV or so, or give stored standards.'
        )
    low, high = (edge + limit for limit in shallow.LOOKED_AT)
    used: np.ndarray = (energy >= low) & (energy <= high + 0.5)
    return used


def _plural(
    energy: np.ndarray,
    counts: Sequence[np.ndarray],
    phases: PhaseAmounts,
    groups: Groups,
    thickness: np.ndarray | None,
    onset: float,
) -> tuple[SingleLoss | None, float]:
    """Single loss of the pixels of usual thickness, and this thickness; None where it is not known."""
    if thickness is None or groups.thickness is None:
        return None, float('nan')
    weight = groups.amounts.sum(axis=1) * groups.pixels
    reference = float((weight * groups.thickness).sum() / weight.sum())
    usual = phases.iron & (np.abs(thickness - reference) < 0.35 * reference)
    total = sum(image[mask].sum(axis=0, dtype=float) for image, mask in zip(counts, usual, strict=True))
    return SingleLoss.of(energy, np.asarray(total), onset - _IN_FRONT), reference


def _standards(
    found: list[Regression],
    groups: Groups,
    energy: np.ndarray,
    phases: PhaseAmounts,
    onset: float,
    how: dict[str, Any],
    seed: int,
) -> Standards:
    """The best regression, with what the others and the core loss leave open as uncertainty."""
    best = found[0]
    inside = shallow.counted(metal(phases.names[0]), energy)
    norm = best.shapes[inside].sum(axis=0)
    if not (norm > 0).all():
        raise InputError(
            f'The low loss shows no {shallow.name(phases.names)} where the core loss finds {metal(phases.names[0])}; check that '
            'both are of the same pixels.'
        )
    shapes = best.shapes / norm
    counting = statistical_deviation(groups, best, energy, onset, seed=seed, **how) / norm
    as_good = [one for one in found if one.score < _AS_GOOD * best.score]
    others = np.stack([one.shapes / np.maximum(one.shapes[inside].sum(axis=0), 1e-300) for one in as_good])
    spread = np.sqrt(((others - shapes) ** 2).mean(axis=0))
    impure = np.stack([np.zeros(len(energy)), phases.share_error * np.abs(shapes[:, 1] - shapes[:, 0])], axis=1)
    notes = {
        **phases.notes,
        'share_error': float(phases.share_error),
        'method': phases.method,
        'background': best.family,
        'chi2': {one.family: round(one.chi2, 3) for one in found},
        'as_good': [one.family for one in as_good],
    }
    source = f'regression of the low loss on {phases.names[0]} and {phases.names[1]} of the core loss ({phases.method})'
    return Standards(
        phases.names, energy, shapes, np.sqrt(counting**2 + spread**2 + impure**2), norm / norm[0], how['reference'],
        source, phases.pure, phases.tilts, notes, phases,
    )  # fmt: skip
