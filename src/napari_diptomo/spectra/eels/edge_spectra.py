"""The spectra that edges are mapped in: the part of a series that holds them, on one energy axis.

With a zero loss in range, pixels and tilts are brought to one axis by it (`calibration`), the thickness is known,
and plural scattering can be taken out of a core loss (Fourier-ratio, `deconvolution`). A core loss alone is taken
as the files have it: nothing but its own edges says whether its axis is right, and plural scattering stays in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from napari_diptomo.series import Finding, InputError, Observer, SpectralTiltSeries
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries, calibrate
from napari_diptomo.spectra.eels.deconvolution import NOTE, deconvolved
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows, check_window

#: Plural scattering of a core loss.
Deconvolution = Literal['none', 'Fourier-ratio']
#: Left of zero a zero loss needs so much room, eV.
_LEFT = 1.0


@dataclass(frozen=True, eq=False)
class EdgeSpectra:
    """Spectra of all tilts that hold the edges.

    Attributes
    ----------
    series : SpectralTiltSeries
        Whose angles, pixels and images the maps have.
    counts : array (tilt, y, x, energy)
        Possibly lazy.
    energy : ndarray (energy,)
        eV.
    tilts : tuple of int
        Tilts of the series.
    windows : tuple of EdgeWindows
        Of the edges, typical ones within the range.
    remainder : ndarray (tilt, y, x), optional
        Displacement of the energies of each pixel, eV.
    thickness : ndarray (tilt, y, x), optional
        t/lambda, where there is a zero loss.
    notes : dict
        Of the calibration (JSON-ready).
    findings : tuple of Finding
        What was assumed.
    """

    series: SpectralTiltSeries
    counts: Any
    energy: np.ndarray
    tilts: tuple[int, ...]
    windows: tuple[EdgeWindows, ...]
    remainder: np.ndarray | None = None
    thickness: np.ndarray | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(tilt, y, x)."""
        return (len(self.tilts), *self.counts.shape[1:3])

    @property
    def is_core_loss(self) -> bool:
        """Whether the spectra are the core loss beside a low loss."""
        return self.counts is not self.series.counts

    def tilt(self, index: int) -> np.ndarray:
        """Counts of a tilt, (pixel, energy)."""
        part = self.counts[index]
        counts = np.asarray(part.compute(scheduler='synchronous') if hasattr(part, 'compute') else part, float)
        if not np.isfinite(counts).all():
            raise InputError(
                f'The spectra at {self.series.angles[self.tilts[index]]:g}° hold values that are no numbers; repair '
                'them, or leave this tilt out.'
            )
        return counts.reshape(-1, len(self.energy))

    def shifts(self, index: int) -> np.ndarray | None:
        """Displacement of the energies of a tilt, (pixel,), eV; None where not known."""
        return None if self.remainder is None else self.remainder[index].ravel()

    def total(self) -> np.ndarray:
        """Sum of all tilts, (energy,)."""
        found: np.ndarray = np.sum([self.tilt(i).sum(axis=0) for i in range(len(self.tilts))], axis=0)
        return found


def has_zero_loss(series: SpectralTiltSeries) -> bool:
    """Whether the zero loss is within the range of the series."""
    return bool(series.energy[0] <= -_LEFT and series.energy[-1] >= _LEFT)


def edge_spectra(
    series: SpectralTiltSeries,
    windows: Sequence[EdgeWindows],
    *,
    calibrated: bool = True,
    deconvolve: Deconvolution = 'none',
    energy_offset: float = 0.0,
    observer: Observer | None = None,
) -> EdgeSpectra:
    """The part of a series that holds these edges.

    Parameters
    ----------
    series : SpectralTiltSeries
        EELS.
    windows : sequence of EdgeWindows
        Edges; an edge is looked for in the low loss and then in the core loss, and all must be in the same part.
    calibrated : bool
        Bring pixels and tilts to one axis by the zero loss, where there is one.
    deconvolve : {'none', 'Fourier-ratio'}
        Take plural scattering out of the core loss; needs the low loss.
    energy_offset : float
        Added to the energies of the core loss (of the only range where there is no zero loss), eV.
    observer : Observer, optional
        Receives the progress of the calibration.

    Raises
    ------
    InputError
        X-rays, edges outside the spectra or at their end, deconvolution without a low loss.
    """
    if series.energy_unit != 'eV':
        raise InputError('Edge maps are made of EELS spectra (eV), these are X-rays (keV); use the EDX maps.')
    series = _moved(series, energy_offset)
    findings: tuple[Finding, ...] = ()
    known: CalibratedSeries | None = None
    if calibrated and has_zero_loss(series):
        _part(series, windows)
        known = calibrate(series, observer)
        series = known.series
    elif not has_zero_loss(series):
        findings = (_own_axis(series, energy_offset),)
    if deconvolve != 'none':
        *_, windows = _part(series, windows)
        if known is None or series.core_loss is None:
            raise InputError(
                'Fourier-ratio deconvolution needs the low loss of the same pixels, with its zero loss, beside the core loss; '
                'open it as well, or go without.'
            )
        first = min(windows, key=lambda window: window.signal[0])
        known = deconvolved(known, observer, low_loss=False, core_background=first.before, keep_background=True)
        series = known.series
        findings = (*findings, Finding('note', 'plural scattering', f'{NOTE.format("Fourier-ratio").capitalize()}.'))
    counts, energy, tilts, windows = _part(series, windows)
    core = counts is not series.counts
    notes = {} if known is None else {'calibration': known.notes}
    found = EdgeSpectra(series, counts, energy, tilts, tuple(windows), notes=notes, findings=findings)
    if known is None:
        return found
    remainder = known.core_remainder if core else known.remainder
    return replace(found, remainder=remainder, thickness=known.t_over_lambda[list(tilts)])


def _moved(series: SpectralTiltSeries, by: float) -> SpectralTiltSeries:
    if not by:
        return series
    if series.core_loss is not None:
        return replace(series, core_loss=replace(series.core_loss, energy=series.core_loss.energy + by))
    return series if has_zero_loss(series) else replace(series, energy=series.energy + by)


def _own_axis(series: SpectralTiltSeries, offset: float) -> Finding:
    moved = f', moved by {offset:+g} eV' if offset else ''
    return Finding(
        'note',
        'no zero loss',
        f'The spectra begin at {series.energy[0]:.0f} eV, without a zero loss: energies are those of the files{moved}, the same '
        'at all pixels and tilts, and plural scattering stays in the edges.',
    )


def _part(
    series: SpectralTiltSeries, windows: Sequence[EdgeWindows]
) -> tuple[Any, np.ndarray, tuple[int, ...], tuple[EdgeWindows, ...]]:
    """Counts, energies and tilts of the part of the series that holds the edges, and their windows there."""
    parts = [(series.counts, series.energy, tuple(range(len(series.angles))))]
    if series.core_loss is not None:
        parts.append((series.core_loss.counts, series.core_loss.energy, series.core_loss.tilts))
    for counts, energy, tilts in parts:
        if all(energy[0] <= w.signal[0] <= energy[-1] for w in windows):
            own = tuple(window.within(energy) for window in windows)
            for window in own:
                check_window(energy, window)
            return counts, energy, tilts, own
    ranges = ' and '.join(f'{energy[0]:.0f}-{energy[-1]:.0f} eV' for _, energy, _ in parts)
    names = ', '.join(window.name for window in windows)
    raise InputError(f'The spectra, {ranges}, do not hold {names} together; choose edges of one part.')
