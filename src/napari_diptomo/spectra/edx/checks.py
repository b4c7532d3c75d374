"""What makes spectra useless for a fit, told before it starts."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.spectra.edx.fit_range import Window
from napari_diptomo.spectra.edx.spectrum_model import ends_of

#: With less than this share of all counts in the fit, the rest is the zero-strobe peak.
_LEAST_IN_WINDOW = 1e-3
#: Share of the counts that noise and pile-up may put above the beam energy.
_MOST_ABOVE_BEAM = 0.01
#: Fewer counts than this prove nothing about the beam.
_FEW = 100


def check_counts(sums: np.ndarray, series: SpectralTiltSeries, window: Window) -> None:
    """See that every tilt holds counts where they are fitted, and none where none can be.

    Parameters
    ----------
    sums : ndarray (tilt, energy)
        Sum spectra of the tilts, all channels.
    series : SpectralTiltSeries
        Their series.
    window : Window
        What is fitted.

    Raises
    ------
    InputError
        A tilt or all are empty, all counts lie in the zero-strobe peak, or
        there are X-rays above the beam energy.
    """
    low, high = ends_of(window)
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
            f'The image at {series.angles[t]:g} degrees holds no counts between {low:.2f} and {high:.2f} keV; '
            'leave it out.'
        )
    above = float(sums[:, series.energy > window.beam_energy].sum())
    if above > _FEW and above > _MOST_ABOVE_BEAM * (above + inside.sum()):
        raise InputError(
            f'{100 * above / (above + inside.sum()):.0f} % of the X-rays have more energy than the beam of '
            f'{window.beam_energy:g} keV, so that cannot be the beam energy; give the right one when loading.'
        )


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
            f'The image at {series.angles[tilt]:g} degrees has {cut} channels at {limit}, the largest number that its '
            f'{kind.name} counts can hold, so photons are lost; save the spectra with more bits.'
        )
