r"""Calibrate a whole EELS tilt series: one energy axis for all pixels and tilts.

**Energies.** The zero loss of each pixel lies at z eV (`zero_loss`). Its spectrum
is moved by WHOLE channels, m = round(z / dispersion), so that counts stay the
counts that were measured: integers stay integers, channels stay independent,
Poisson statistics hold. What is left, less than half a channel, is kept as
``remainder`` for the fit, which moves the standards by it instead of the data.
Interpolating the data would mix neighbouring channels: their noise would be
correlated and smaller, and chi2 and errors of every fit wrong. Channels that
any pixel lacks after its move are cut off. The core loss goes with the low
loss of its tilt and pixel (one high tension for both) by as many eV.

**Offset and dispersion** are of the series, never of a file: the zero loss is 0
eV; features of known energy do the rest (`known_features`).

**Counts** lose spikes and a dark level (`camera_artefacts`), and are divided by the gain
of steps and channels that stand out (`camera_artefacts`). Where there is none of these,
counts are those of the files.

**Thickness** by the log-ratio (Egerton, EELS in the Electron Microscope, ch.
5), t/lambda = ln(I_t / I_0), I_0 the counts up to the minimum behind the zero
loss (`low_loss_survey`). The range that was recorded limits I_t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_diptomo.series import CoreLoss, InputError, Observer, SpectralTiltSeries, Watch
from napari_diptomo.spectra.eels.calibration.camera_artefacts import (
    check_finite,
    dead_channels,
    gain_notes,
    gain_of,
    without_spikes,
)
from napari_diptomo.spectra.eels.calibration.known_features import Feature, corrected_axis, find_features
from napari_diptomo.spectra.eels.calibration.low_loss_survey import TiltSurvey, survey_tilt, survey_warnings
from napari_diptomo.spectra.eels.calibration.whole_channels import Correction, WholeChannelMoves

#: Plateaus broader than this leave the zero loss's position unknown, eV.
_WIDEST_PLATEAU = 2.0
#: Room left of the zero loss that a low loss must keep, eV.
_LEFT = 1.0
#: Energies are evenly spaced when their steps differ by less than this share.
_EVEN = 1e-3


@dataclass(frozen=True, eq=False)
class CalibratedSeries:
    """A series on one energy axis.

    Attributes
    ----------
    series : SpectralTiltSeries
        Counts without spikes and dark level, moved by whole channels so that the
        zero loss is within half a channel of 0 eV; lazy, one chunk a tilt. Its core loss likewise.
    remainder : ndarray (tilt, y, x)
        Where the zero loss of each pixel lies on ``series.energy``, eV: what the fit moves its standards by.
    core_remainder : ndarray (core tilt, y, x), optional
        Displacement of the energies of each pixel on ``series.core_loss.energy``, eV.
    zero_loss : ndarray (tilt, y, x)
        Where the zero loss was on the energy axis of the files, eV.
    zero_loss_error : ndarray (tilt, y, x)
        Standard error of the position from the pixel alone, eV.
    t_over_lambda : ndarray (tilt, y, x)
        Thickness in inelastic mean free paths; NaN where the zero loss is saturated.
    zero_loss_end : float
        Where the zero loss ends, eV.
    zero_loss_fwhm : float
        eV, of a single spectrum.
    read_noise, core_read_noise : float
        Standard deviation of a channel beyond that of counting; of the core loss taken to be that of the low loss.
    features : tuple of Feature
        By which energies were corrected.
    notes : mapping
        Findings and corrections, in words and numbers (JSON-ready); ``warnings`` are sentences.
    """

    series: SpectralTiltSeries
    remainder: np.ndarray
    core_remainder: np.ndarray | None
    zero_loss: np.ndarray
    zero_loss_error: np.ndarray
    t_over_lambda: np.ndarray
    zero_loss_end: float
    zero_loss_fwhm: float
    read_noise: float = 0.0
    core_read_noise: float = 0.0
    features: tuple[Feature, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)


def calibrate(
    series: SpectralTiltSeries,
    observer: Observer | None = None,
    *,
    edges: Sequence[tuple[str, float]] = (),
    move_core_loss: bool = True,
    remove_spikes: bool = True,
    remove_dark: bool = True,
    correct_gain: bool = True,
) -> CalibratedSeries:
    """Bring all pixels and tilts of an EELS series to one energy axis.

    Parameters
    ----------
    series : SpectralTiltSeries
        Low loss, with or without core loss.
    observer : Observer, optional
        Receives the progress.
    edges : sequence of (str, float)
        Name and energy (eV) of MAXIMA that are known, in the core loss or the
        low loss, the most prominent of each first; one corrects the offset,
        two or more the dispersion too. The low loss has the zero loss besides.
    move_core_loss : bool
        Whether the core loss was recorded with the low loss (dual EELS) and
        drifts with it; False where it is a scan of its own.
    remove_spikes, remove_dark, correct_gain : bool
        Fill spikes; subtract the dark level; divide by the gain of channels and steps that stand out.

    Returns
    -------
    CalibratedSeries

    Raises
    ------
    InputError
        No zero loss in range, a saturated one, tilts of vacuum, energies that are uneven or contradict the edges.
    Cancelled
        When the observer cancels.
    """
    step = _step(series.energy, series.energy_unit)
    looks = _look(series, observer, remove_spikes, remove_dark)
    position = np.stack([look.zero.position for look in looks])
    zero = int(np.rint(np.median(position)))
    moves = WholeChannelMoves.of(position - zero, len(series.energy), 'low loss')
    energy = step * (np.arange(moves.kept.start, moves.kept.stop) - zero)
    if energy[0] > -_LEFT:
        raise InputError(
            f'The zero loss drifts by {np.ptp(position) * step:.2g} eV, to the end of the range; record the low loss '
            'from farther below 0 eV, or leave out the tilts that are far off.'
        )
    gain = _gain(looks) if correct_gain else None
    end, thickness = _thickness(looks, series.angles)
    place = series.energy[0] + step * position
    core, core_remainder = None, None
    core_notes: dict[str, Any] = {}
    fwhm = step * float(np.median([look.zero.fwhm for look in looks]))
    if series.core_loss is not None:
        displacement = place if move_core_loss else np.zeros_like(place)
        core, core_remainder, core_notes = _core_loss(series.core_loss, displacement, fwhm, remove_spikes, correct_gain)
    features, energy, core = _corrected(edges, energy, _mean_low_loss(looks, moves), core)
    counts = Correction(moves, tuple(k.dark for k in looks), tuple(k.spikes for k in looks), gain).lazy(series.counts)
    notes = _notes(looks, series.angles, place, step, energy, features)
    notes |= {
        'zero_loss_end': round(end, 3),
        'channels_cut_off': len(series.energy) - len(energy),
        'gain': gain_notes(gain),
        'warnings': [
            *notes['warnings'],
            *dead_channels(gain, series.energy, 'low loss'),
            *core_notes.pop('warnings', []),
        ],
    }
    if core is not None:
        notes['core_loss'] = {'moved_with_the_low_loss': move_core_loss, **core_notes}
    metadata = {**series.metadata, 'calibration': notes}
    return CalibratedSeries(
        series=replace(series, counts=counts, energy=energy, core_loss=core, metadata=metadata),
        remainder=step * moves.remainder,
        core_remainder=core_remainder,
        zero_loss=place,
        zero_loss_error=step * np.stack([look.zero.error for look in looks]),
        t_over_lambda=thickness,
        zero_loss_end=end,
        zero_loss_fwhm=notes['zero_loss']['fwhm'],
        read_noise=notes['read_noise'],
        core_read_noise=notes['read_noise'],
        features=features,
        notes=notes,
    )


def _step(energy: np.ndarray, unit: str) -> float:
    if unit != 'eV':
        raise InputError('These spectra are X-rays (keV), not energy losses; make element maps of them instead.')
    steps = np.diff(energy)
    step = float(np.mean(steps)) if len(steps) else 0.0
    if not step > 0 or np.abs(steps - step).max() > _EVEN * step:
        raise InputError('The energies of the low loss are not evenly spaced and rising; resample the spectra so.')
    return step


def _look(
    series: SpectralTiltSeries, observer: Observer | None, remove_spikes: bool, remove_dark: bool
) -> list[TiltSurvey]:
    watch = Watch(observer, 'Calibrate', len(series.angles))
    looks = []
    for t, angle in enumerate(series.angles):
        name = f'at {angle:g}°'
        looks.append(survey_tilt(np.asarray(series.counts[t]), series.energy, name, remove_spikes, remove_dark))
        watch.step(t + 1, message=f'zero loss {name}')
    for look, angle in zip(looks, series.angles, strict=True):
        width = look.zero.plateau * (series.energy[1] - series.energy[0])
        if width > _WIDEST_PLATEAU:
            raise InputError(
                f'The zero loss at {angle:g}° is saturated over {width:.2g} eV, so its position is not known; record the '
                'low loss with a shorter exposure, or leave this tilt out.'
            )
    return looks


def _thickness(looks: Sequence[TiltSurvey], angles: np.ndarray) -> tuple[float, np.ndarray]:
    """Where the zero loss ends, eV, one for all tilts, and t/lambda (tilt, y, x)."""
    end = float(np.median([look.zero_loss_end for look in looks]))
    maps = [look.log_ratio(end) for look in looks]
    for look, found, angle in zip(looks, maps, angles, strict=True):
        if look.shows_vacuum(found):
            raise InputError(f'The tilt at {angle:g}° shows nothing but vacuum; leave it out.')
        found[look.zero.saturated] = np.nan
    return end, np.stack(maps)


def _gain(looks: Sequence[TiltSurvey]) -> np.ndarray | None:
    around = [look.near_zero for look in looks]
    zero_loss = slice(min(part.start for part in around), max(part.stop for part in around))
    fwhm = float(np.median([look.zero.fwhm for look in looks]))
    return gain_of(np.sum([look.total for look in looks], axis=0), fwhm, zero_loss)


def _core_loss(
    core: CoreLoss, place: np.ndarray, fwhm: float, remove_spikes: bool, correct_gain: bool
) -> tuple[CoreLoss, np.ndarray, dict[str, Any]]:
    """The core loss moved as the low loss of its tilts; what is left, eV; what was done."""
    step = _step(core.energy, 'eV')
    moves = WholeChannelMoves.of(place[list(core.tilts)] / step, len(core.energy), 'core loss')
    total, spikes = np.zeros(len(core.energy)), []
    for i in range(len(core.tilts)):
        counts, number = np.asarray(core.counts[i]), 0
        check_finite(counts, f'of the core loss at tilt {core.tilts[i] + 1}')
        if remove_spikes:
            counts, number = without_spikes(counts)
        total += counts.sum(axis=(0, 1), dtype=float)
        spikes.append(number)
    gain = gain_of(total, fwhm / step) if correct_gain else None
    skip = tuple(slice(0, 0) if number else None for number in spikes)
    counts = Correction(moves, (0.0,) * len(spikes), skip, gain).lazy(core.counts)
    said = dead_channels(gain, core.energy, 'core loss')
    notes = {'pixels_with_spikes': sum(spikes), 'gain': gain_notes(gain), 'warnings': said}
    return replace(core, counts=counts, energy=core.energy[moves.kept]), step * moves.remainder, notes


def _mean_low_loss(looks: Sequence[TiltSurvey], moves: WholeChannelMoves) -> np.ndarray:
    """Sum over all tilts, each moved as its pixels are on average, (energy,)."""
    channels = np.arange(moves.kept.start, moves.kept.stop)
    total = np.zeros(len(channels))
    for look, by in zip(looks, moves.by, strict=True):
        total += np.interp(channels + by.mean(), np.arange(len(look.total)), look.total)
    return total


def _corrected(
    edges: Sequence[tuple[str, float]], energy: np.ndarray, low: np.ndarray, core: CoreLoss | None
) -> tuple[tuple[Feature, ...], np.ndarray, CoreLoss | None]:
    """Energy axes on which known features lie where they are known to be."""
    in_core = [edge for edge in edges if core is not None and core.energy[0] < edge[1] < core.energy[-1]]
    in_low = [edge for edge in edges if edge not in in_core and energy[0] < edge[1] < energy[-1]]
    for name, known in edges:
        if (name, known) not in (*in_core, *in_low):
            raise InputError(f'{name} at {known:g} eV lies in neither range of the series; leave it out.')
    features = find_features(energy, low, in_low)
    if features:
        energy = corrected_axis(energy, (Feature('zero loss', 0.0, 0.0), *features))
    if core is not None and in_core:
        tilts = (np.asarray(core.counts[i]).sum(axis=(0, 1), dtype=float) for i in range(len(core.tilts)))
        core_features = find_features(core.energy, np.sum(list(tilts), axis=0), in_core)
        core = replace(core, energy=corrected_axis(core.energy, core_features))
        features += core_features
    return features, energy, core


def _notes(
    looks: Sequence[TiltSurvey],
    angles: np.ndarray,
    place: np.ndarray,
    step: float,
    energy: np.ndarray,
    features: Sequence[Feature],
) -> dict[str, Any]:
    return {
        'zero_loss': {
            'fwhm': round(float(np.median([look.zero.fwhm for look in looks])) * step, 4),
            'offset': round(float(np.median(place)), 4),
            'wanders_by': round(float(np.ptp(place)), 4),
        },
        'dark_level': [round(look.dark, 4) for look in looks],
        'read_noise': round(float(np.median([look.read_noise for look in looks])), 4),
        'pixels_with_spikes': sum(look.pixels_with_spikes for look in looks),
        'known_edges': {f.name: {'found': round(f.found, 3), 'known': f.known} for f in features},
        'dispersion': float(energy[1] - energy[0]),
        'warnings': survey_warnings(looks, angles),
    }
