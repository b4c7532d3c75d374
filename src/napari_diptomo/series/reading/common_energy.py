"""One energy axis for the spectra of several files.

Offsets of low losses differ from tilt to tilt where the zero loss was centred anew or the files were calibrated one by
one. Where all hold the zero loss their axes are brought together by whole channels, and the calibration of EELS finds
what is left of the drift. Offsets of spectra that nothing can be checked by are a contradiction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.reading.stored_axes import energy_axis, holds_zero_loss
from napari_diptomo.series.reading.stored_signal import StoredSignal

#: Channels by which axes may differ and be called the same.
_SAME = 0.5


@dataclass(frozen=True, eq=False)
class CommonEnergy:
    """The axis that all spectra have, and where it lies in each.

    Attributes
    ----------
    energy : ndarray (energy,)
        Channel energies.
    unit : {'keV', 'eV'}
    channels : tuple of slice
        For each signal the channels that are kept.
    findings : tuple of Finding
        A note where axes were moved.
    """

    energy: np.ndarray
    unit: str
    channels: tuple[slice, ...]
    findings: tuple[Finding, ...] = ()


def common_energy(spectra: Sequence[StoredSignal], beside: Sequence[StoredSignal] = ()) -> CommonEnergy:
    """The energy axis of spectra of several files.

    Parameters
    ----------
    spectra : sequence of StoredSignal
        At least one.
    beside : sequence of StoredSignal
        For core losses of dual EELS the low loss of the same file: where both moved alike, the core loss may.

    Returns
    -------
    CommonEnergy

    Raises
    ------
    InputError
        No calibration, or one that differs in what cannot be brought together.
    """
    axes = [energy_axis(signal) for signal in spectra]
    energy, unit = axes[0]
    for signal, (its_energy, its_unit) in zip(spectra, axes, strict=True):
        if its_unit == unit and len(its_energy) != len(energy):
            raise InputError(
                f'{signal.path.name} has {len(its_energy)} energies up to {its_energy[-1]:.4g} {its_unit} where '
                f'{spectra[0].path.name} has {len(energy)} up to {energy[-1]:.4g} {unit}; leave it out or cut them alike.'
            )
        if its_unit != unit or not _same_steps(its_energy, energy):
            raise InputError(f'{_differ(signal, spectra[0])}; calibrate them alike.')
    step = abs(_step(energy))
    starts = np.array([axis[0] for axis, _ in axes])
    if np.abs(starts - starts[0]).max() <= _SAME * step:
        return CommonEnergy(energy, unit, (slice(None),) * len(spectra))
    far = int(np.abs(starts - starts[0]).argmax())
    if _step(energy) < 0 or not (all(map(holds_zero_loss, spectra)) or _moved_alike(starts, step, beside)):
        why = 'there is no zero loss in range by which they could be brought together; ' if unit == 'eV' else ''
        raise InputError(f'{_differ(spectra[far], spectra[0])}; {why}calibrate them alike.')
    first = np.rint((starts.max() - starts) / step).astype(int)
    size = len(energy) - int(first.max())
    if size < len(energy) // 2:
        raise InputError(
            f'{_differ(spectra[far], spectra[0])}, and they share {max(size, 0)} of {len(energy)} channels only; correct '
            'the offsets of the files, or leave out what is far off.'
        )
    highest = axes[int(starts.argmax())][0]
    return CommonEnergy(
        highest[:size],
        unit,
        tuple(slice(int(k), int(k) + size) for k in first),
        (_note(float(np.ptp(starts)), int(first.max()), unit),),
    )


def _note(spread: float, cut: int, unit: str) -> Finding:
    return Finding(
        'note',
        'energy axes',
        f'The energy axes of the files begin up to {spread:.3g} {unit} apart; they were brought to one by whole channels, '
        f'{cut} channels of which not all files have were left out.',
        {f'difference, {unit}': spread, 'channels left out': float(cut)},
    )


def _same_steps(energy: np.ndarray, other: np.ndarray) -> bool:
    """Whether two axes stay together from end to end once they begin together."""
    apart = (energy - energy[0]) - (other - other[0])
    return bool(np.abs(apart).max() <= _SAME * abs(_step(other)))


def _step(energy: np.ndarray) -> float:
    return float(energy[-1] - energy[0]) / max(len(energy) - 1, 1)


def _moved_alike(starts: np.ndarray, step: float, beside: Sequence[StoredSignal]) -> bool:
    if len(beside) != len(starts):
        return False
    moved = starts - np.array([energy_axis(signal)[0][0] for signal in beside])
    return bool(np.ptp(moved) <= _SAME * step)


def _differ(one: StoredSignal, other: StoredSignal) -> str:
    return f'{one.path.name} has another energy calibration ({_words(one)}) than {other.path.name} ({_words(other)})'


def _words(signal: StoredSignal) -> str:
    energy, unit = energy_axis(signal)
    return f'from {energy[0]:.5g} {unit} in steps of {_step(energy):.5g}'
