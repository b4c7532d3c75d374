"""The resolution of a silicon drift detector, as recorded and over the energies.

FWHM(E)^2 = FWHM(Mn-Ka)^2 + 2.5 eV (E - E(Mn-Ka)), the relation that eXSpy uses.

Formulas: resolution of the detector (`line_width`).
"""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import SpectralTiltSeries

_E_MN = 5.8987
#: FWHM that the electronics alone have at least, eV.
_LEAST = 40.0


def line_width(energy: np.ndarray | float, resolution: float) -> np.ndarray:
    """Width of a line; its square is that of the electronics plus a term in proportion to the energy.

    Parameters
    ----------
    energy : ndarray or float
        Of the line, keV.
    resolution : float
        FWHM at Mn-Ka, eV.

    Returns
    -------
    ndarray like energy
        FWHM, keV; ``resolution`` at Mn-Ka.
    """
    squared = resolution**2 + 2.5e3 * (np.asarray(energy, float) - _E_MN)
    return np.sqrt(np.maximum(squared, _LEAST**2)) * 1e-3


def recorded_resolution(series: SpectralTiltSeries, otherwise: float = 130.0) -> float:
    """FWHM at Mn-Ka as the metadata of a series have it, eV; ``otherwise`` where they do not."""
    return float(series.metadata.get('energy_resolution_MnKa') or otherwise)
