"""The part of the energy axis that is fitted, and the detector that recorded it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.spectra.edx.lines import Detector

#: keV; outside of these no electron microscope works.
_LEAST_BEAM, _MOST_BEAM = 1.0, 3000.0


@dataclass(frozen=True, eq=False)
class Window:
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
    def of(cls, series: SpectralTiltSeries, low: float = 0.2, high: float = 40.0) -> Window:
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
        resolution = float(series.metadata.get('energy_resolution_MnKa') or 130.0)
        return cls(channels, energy[channels], Detector(resolution), beam_energy)
