"""Pixel sizes, tilt axes and energies as stored, brought to nm, degrees, keV and eV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.angles.metadata import all_metadata_angles, metadata_angle
from napari_diptomo.series.reading.stored_signal import StoredAxis, StoredSignal

_NM = {
    'm': 1e9,
    'meter': 1e9,
    'cm': 1e7,
    'mm': 1e6,
    'um': 1e3,
    'micron': 1e3,
    'micrometer': 1e3,
    'nm': 1.0,
    'nanometer': 1.0,
    'pm': 1e-3,
    'picometer': 1e-3,
    'a': 0.1,
    '\N{LATIN SMALL LETTER A WITH RING ABOVE}': 0.1,
    'ang': 0.1,
    '\N{LATIN SMALL LETTER A WITH RING ABOVE}ngstrom': 0.1,
    '\N{LATIN SMALL LETTER A WITH RING ABOVE}ngstr\N{LATIN SMALL LETTER O WITH DIAERESIS}m': 0.1,
    'angstrom': 0.1,
}
_TILT_NAMES = {'tilt', 'tilts', 'alpha', 'angle', 'angles', 'theta', 'stack_element', 'projections'}
_DEGREES = {'deg', 'degree', 'degrees', '\N{DEGREE SIGN}'}
_RADIANS = {'rad', 'radian', 'radians'}
#: Pixels that are this much longer than broad are no rounding of square ones.
_SQUARE = 0.01
#: Units of energy, in eV.
_EV = {
    **dict.fromkeys(('ev', 'electronvolt', 'electronvolts', 'electron volt', 'electron volts'), 1.0),
    **dict.fromkeys(('kev', 'kiloelectronvolt', 'kiloelectronvolts'), 1000.0),
    'mev': 1e-3,
}
#: Words in titles and names that say what kind of spectra it is.
_X_RAY_WORDS, _LOSS_WORDS = {'EDS', 'EDX', 'XEDS', 'EDXS'}, {'EELS', 'EEL'}
#: eV: channels narrower than this, over fewer eV, are of energy losses.
_LOSSES_STEP, _LOSSES_TO = 1.0, 4000.0
#: keV: no X-rays have more, and none are recorded in narrower channels.
_MOST_X_RAYS, _NARROWEST = 500.0, 1e-4
#: eV: spectra of X-rays begin below the first and end beyond the second; a channel is at least the third.
_X_RAYS_FROM, _X_RAYS_TO, _X_RAYS_STEP = 500.0, 4000.0, 2.5


def length_in_nm(value: float, units: str) -> float | None:
    """A length in nm, None when the unit is none of length or the value is not positive."""
    # The two mu and the two A-with-ring of Unicode look alike; casefold makes one of each.
    name = units.strip().casefold().replace('\N{GREEK SMALL LETTER MU}', 'u').replace('metre', 'meter')
    factor = _NM.get(name, _NM.get(name.removesuffix('s')))
    return value * factor if factor is not None and value > 0 and np.isfinite(value) else None


def pixel_size_of(signal: StoredSignal, y: int, x: int) -> float | None:
    """Pixel size in nm from the axes ``y`` and ``x``, None when they are not calibrated.

    Raises
    ------
    InputError
        The pixels are not square.
    """
    return square_pixel(signal.path, *(length_in_nm(abs(signal.axes[i].scale), signal.axes[i].units) for i in (y, x)))


def square_pixel(path: Path, y: float | None, x: float | None) -> float | None:
    """The one size in nm of pixels of the sizes ``y`` and ``x``, None when one of them is not known.

    Raises
    ------
    InputError
        The pixels are not square.
    """
    if y is None or x is None:
        return None
    if abs(y / x - 1) > _SQUARE:
        raise InputError(
            f'The pixels of {path.name} are not square ({x:.4g} nm along x, {y:.4g} nm along y); '
            'resample the maps or correct the calibration.'
        )
    return float(x)


def tilt_axis_of(signal: StoredSignal, candidates: Sequence[int]) -> int:
    """Which array axis is the tilt: by unit, by name, else the outermost."""
    for i in candidates:
        if signal.axes[i].units.casefold() in _DEGREES | _RADIANS:
            return i
    for i in candidates:
        if signal.axes[i].name.casefold() in _TILT_NAMES:
            return i
    return candidates[0]


def axis_angles(signal: StoredSignal, axis: int) -> list[float | None]:
    """The angle of every tilt of a stack as its file gives it, None where it does not."""
    return next(iter(stored_angles(signal, axis).values()), [None] * signal.axes[axis].size)


def stored_angles(signal: StoredSignal, axis: int) -> dict[str, list[float | None]]:
    """The angle of every tilt of a stack, by each of the places where its file has them."""
    stored: StoredAxis = signal.axes[axis]
    units = stored.units.casefold()
    found: dict[str, list[float | None]] = {}
    # Steps of 1 from 0 are what readers put where nothing is stored.
    default = stored.scale == 1 and stored.offset == 0 and np.array_equal(stored.values, np.arange(stored.size))
    if units in _DEGREES | _RADIANS and not default:
        values = np.degrees(stored.values) if units in _RADIANS else stored.values
        found['the tilt axis of the stack'] = [float(value) for value in values]
    if len(signal.stacked) == stored.size:
        single = [metadata_angle(metadata) for metadata in signal.stacked]
        found['the metadata of its images'] = [None if angle is None else float(angle[0]) for angle in single]
    for key, angles in all_metadata_angles(signal.metadata).items():
        # FEI's MRC header holds up to 1024 angles; those beyond the images are zeros.
        if angles.size >= stored.size > 1:
            found[f'the metadata of the stack ({key})'] = [float(value) for value in angles[: stored.size]]
    return found


def energy_axis(signal: StoredSignal) -> tuple[np.ndarray, str]:
    """Channel energies and their unit: keV for EDX, eV for EELS.

    Raises
    ------
    InputError
        The energy axis is not calibrated.
    """
    axis = signal.axes[-1]
    factor = _in_ev(axis)
    if factor is None or not axis.calibrated or (axis.scale == 1 and axis.offset == 0 and factor != 1):
        raise InputError(
            f'The spectra of {signal.path.name} have no energy calibration; set scale, offset and unit (keV or eV) '
            'of their energy axis and save them again.'
        )
    if is_eels(signal):
        return axis.values * factor, 'eV'
    energy = axis.values * factor / 1000.0
    if energy.max() > _MOST_X_RAYS or _channel(energy) < _NARROWEST:
        raise InputError(
            f'The spectra of {signal.path.name} reach to {axis.values.max():g} {axis.units.strip()}, as no spectrum of X-rays does; '
            f'their unit is likely {"keV" if factor == 1 else "eV"}: correct it and save them again.'
        )
    return energy, 'keV'


def _in_ev(axis: StoredAxis) -> float | None:
    """The unit of an axis of energies in eV; None for another one."""
    return _EV.get(axis.units.strip().casefold())


def is_eels(signal: StoredSignal) -> bool:
    """Whether the spectra are energy losses: by the type of signal, else the detector, the title or name, the energies."""
    kind = str(signal.metadata.get('Signal', {}).get('signal_type', '')).upper()
    if kind.startswith(('EDS', 'EDX', 'EELS')):
        return kind.startswith('EELS')
    detector: Any = signal.metadata.get('Acquisition_instrument', {})
    kinds = {
        key
        for microscope in detector.values()
        if isinstance(microscope, dict)
        for key in microscope.get('Detector', {})
    }
    if len(kinds & {'EELS', 'EDS'}) == 1:
        return 'EELS' in kinds
    if str(signal.metadata.get('Signal', {}).get('quantity', '')).startswith('X-rays'):
        return False
    axis, factor = signal.axes[-1], _in_ev(signal.axes[-1])
    called, energy = _called(signal), axis.values * (factor or 1.0)
    # A name of a session, say, does not make losses of energies that only X-rays have.
    if called == 'X-rays' or (called == 'losses' and not _like_x_rays(energy)):
        return called == 'losses'
    if factor == 1000.0:
        # With eV the name of the axis says nothing: readers call every such axis so.
        fine = _channel(energy) < _LOSSES_STEP and energy.max() < _LOSSES_TO
        return fine or 'loss' in axis.name.casefold()
    return not (factor == 1.0 and _like_x_rays(energy))


def _called(signal: StoredSignal) -> str:
    """The kind of spectra that the title or the name of the file has a word for; empty where they have none, or both."""
    title = str(signal.metadata.get('General', {}).get('title', '') or '')
    words = {word.upper() for word in re.split(r'[^A-Za-z]+', f'{title} {signal.title} {signal.path.stem}')}
    x_rays, losses = bool(words & _X_RAY_WORDS), bool(words & _LOSS_WORDS)
    return '' if x_rays == losses else 'X-rays' if x_rays else 'losses'


def _channel(energy: np.ndarray) -> float:
    return float(np.ptp(energy)) / max(len(energy) - 1, 1)


def _like_x_rays(energy: np.ndarray) -> bool:
    """Energies in eV that begin about 0, end beyond what is lost, and are too coarse for losses."""
    if len(energy) < 2:
        return False
    return bool(energy.min() < _X_RAYS_FROM and energy.max() > _X_RAYS_TO and _channel(energy) >= _X_RAYS_STEP)


def holds_zero_loss(signal: StoredSignal) -> bool:
    """Whether these are energy losses whose range contains 0 eV: a low loss."""
    axis = signal.axes[-1]
    if _in_ev(axis) is None or not is_eels(signal):
        return False
    return bool(axis.values.min() <= 0 <= axis.values.max())
