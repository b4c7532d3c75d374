"""The energies that are fitted, the detector that recorded them, and whether the counts can be fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from napari_diptomo.series import Finding, InputError, SpectralTiltSeries
from napari_diptomo.spectra.common.faulty_channels import FaultyChannel
from napari_diptomo.spectra.common.resolution import recorded_resolution
from napari_diptomo.spectra.edx.detector import Detector

#: keV; outside of these no electron microscope works.
_LEAST_BEAM, _MOST_BEAM = 1.0, 3000.0
#: With less than this share of all counts in the fit, the rest is the zero-strobe peak.
_LEAST_IN_WINDOW = 1e-3
#: Share of the counts that noise and pile-up may put above the beam energy.
_MOST_ABOVE_BEAM = 0.01
#: The last channel is compared with so many before it: by how much more than the flank of a line, sigma from its maximum, it
#: grows, and by the errors of counting.
_BEFORE, _STEEPER, _FLANK, _SIGMAS = 3, 1.3, 3.5, 9.0
#: Fewer counts than this prove nothing about the beam.
_FEW = 100


@dataclass(frozen=True, eq=False)
class FitRange:
    """Channels that are fitted.

    Attributes
    ----------
    channels : slice
        Into the energy axis of the series.
    energy : ndarray (energy,)
        Centres of these channels, keV.
    detector : Detector
        As the metadata describe it, 130 eV at Mn-Ka where they do not.
    beam_energy : float
        keV, 200 where the metadata do not say.
    """

    channels: slice
    energy: np.ndarray
    detector: Detector
    beam_energy: float

    @classmethod
    def of(cls, series: SpectralTiltSeries, low: float = 0.2, high: float = 40.0) -> FitRange:
        """The channels of a series between two energies, keV.

        Raises
        ------
        InputError
            The energies are not calibrated in keV, none lies in the range, or
            the beam energy cannot be one.
        """
        energy = series.energy
        steps = np.diff(energy)
        if series.energy_unit != 'keV':
            raise InputError(
                f'EDX maps need spectra in keV, these are in {series.energy_unit or "no unit"}; '
                'calibrate the energy axis in keV, or open EELS spectra as EELS.'
            )
        if len(energy) < 16 or not (np.isfinite(energy).all() and (steps > 0).all() and steps.max() < 0.2):
            raise InputError(
                'The energy axis is not calibrated (it needs at least 16 rising channels finer than 0.2 keV); '
                'set its scale and offset in keV.'
            )
        beam_energy = float(series.metadata.get('beam_energy') or 200.0)
        if not _LEAST_BEAM <= beam_energy <= _MOST_BEAM:
            in_ev = _LEAST_BEAM <= beam_energy / 1000 <= _MOST_BEAM
            meant = f' (as eV it would be {beam_energy / 1000:g} keV)' if in_ev else ''
            raise InputError(
                f'The beam energy of {beam_energy:g} keV cannot be right{meant}; give it in keV when loading.'
            )
        inside = np.flatnonzero((energy >= low) & (energy <= min(high, beam_energy)))
        if len(inside) < 16:
            raise InputError(
                f'The spectra reach from {energy[0]:.2f} to {energy[-1]:.2f} keV, with fewer than 16 channels '
                f'between {low:g} and {high:g} keV; widen the energy range.'
            )
        channels = slice(int(inside[0]), int(inside[-1]) + 1)
        return cls(channels, energy[channels], Detector(recorded_resolution(series)), beam_energy)

    def without(self, faulty: Sequence[FaultyChannel]) -> FitRange:
        """The same for a detector that does not have its dead and hot channels, see `TiltCounts.faulty`."""
        return replace(self, detector=replace(self.detector, left_out=tuple(fault.energy for fault in faulty)))

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest energy, keV."""
        return float(self.energy[0]), float(self.energy[-1])


def check_counts(sums: np.ndarray, series: SpectralTiltSeries, window: FitRange) -> None:
    """See that every tilt holds counts where they are fitted, and none where none can be.

    Parameters
    ----------
    sums : ndarray (tilt, energy)
        Sum spectra of the tilts, all channels.
    series : SpectralTiltSeries
        Their series.
    window : FitRange
        What is fitted.

    Raises
    ------
    InputError
        A tilt or all are empty, all counts lie in the zero-strobe peak, or
        there are X-rays above the beam energy.
    """
    low, high = window.ends
    inside = sums[:, window.channels].sum(axis=1)
    strobe = float(sums[:, np.abs(series.energy) < low].sum())
    if strobe > 0 and inside.sum() < _LEAST_IN_WINDOW * strobe:
        raise InputError(
            f'All counts lie below {low:.2f} keV, in the zero-strobe peak, so nothing of the specimen was recorded; '
            'check the detector and the energy scale of the files.'
        )
    if not inside.any():
        raise InputError(f'The spectra hold no counts between {low:.2f} and {high:.2f} keV; check the files.')
    for t in np.flatnonzero(inside == 0):
        raise InputError(
            f'The image at {series.angles[t]:g}° holds no counts between {low:.2f} and {high:.2f} keV; leave it out.'
        )
    above = float(sums[:, series.energy > window.beam_energy].sum())
    if above > _FEW and above > _MOST_ABOVE_BEAM * (above + inside.sum()):
        raise InputError(
            f'{100 * above / (above + inside.sum()):.0f} % of the X-rays have more energy than the beam of '
            f'{window.beam_energy:g} keV, so that cannot be the beam energy; give the right one when loading.'
        )


def without_overflow(
    window: FitRange, series: SpectralTiltSeries, sums: np.ndarray
) -> tuple[FitRange, tuple[Finding, ...]]:
    """The range without the last channel of the spectra where that holds the pulses of all higher energies.

    Some pulse processors count there whatever is beyond their range. The flank of a line that the end of the range cuts off
    grows from channel to channel by less: at 3.5 sigma from its maximum, where few counts are left, by exp(3.5 d / sigma).

    Parameters
    ----------
    window : FitRange
        What is to be fitted.
    series : SpectralTiltSeries
        Its spectra.
    sums : ndarray (tilt, energy)
        Sum spectra of the tilts, all channels.

    Returns
    -------
    FitRange, tuple of Finding
        As given and none, where the last channel is not in the range, or holds what those before it do.
    """
    total, energy = sums.sum(axis=0), series.energy
    if window.channels.stop < len(energy):
        return window, ()
    last, before = float(total[-1]), float(total[-1 - _BEFORE : -1].max())
    sigma = float(window.detector.fwhm(energy[-1])) / 2.3548
    most = _STEEPER * before * np.exp(_FLANK * (energy[-1] - energy[-2]) / sigma)
    if last < most or last - before < _SIGMAS * np.sqrt(last + before):
        return window, ()
    sentence = (
        f'The last channel of the spectra ({energy[-1]:.3f} keV) holds {last:.0f} counts, those before it at most {before:.0f}: it '
        'collects what lies beyond the range, and was left out of the fit.'
    )
    kept = replace(window, channels=slice(window.channels.start, window.channels.stop - 1), energy=window.energy[:-1])
    return kept, (Finding('note', 'last channel', sentence, {'counts': last, 'counts before': before}),)


def check_saturation(spectra: sparse.csr_matrix, series: SpectralTiltSeries, tilt: int) -> None:
    """See that counts were not cut off at the largest number that the files hold.

    Parameters
    ----------
    spectra : sparse matrix (pixel, energy)
        Of one tilt, on the fitted channels.
    series : SpectralTiltSeries
        Says how its counts are stored.
    tilt : int
        Which tilt.

    Raises
    ------
    InputError
        More counts at that number than just below it.
    """
    kind = np.dtype(series.counts.dtype)
    if kind.kind not in 'iu':
        return
    limit = int(np.iinfo(kind).max)
    cut, below = int((spectra.data == limit).sum()), int((spectra.data >= limit - 5).sum())
    # Counts that merely come near the limit thin out towards it.
    if cut > 3 and 2 * cut > below:
        raise InputError(
            f'The image at {series.angles[tilt]:g}° has {cut} channels at {limit}, the largest number that its '
            f'{kind.name} counts can hold, so photons are lost; save the spectra with more bits.'
        )
