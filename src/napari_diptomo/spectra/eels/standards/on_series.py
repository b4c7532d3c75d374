"""Stored standards on another series: matched to its low loss by a common shift and width.

Both series have their zero loss at 0 eV, and yet a standard of another day may lie some
tenths of an eV elsewhere: dispersion, charging, another resolution. `matching` explains the fit.

Formulas: stored standards matched to a low loss (`match_low_loss`).
"""

from __future__ import annotations

import numpy as np

from napari_diptomo.spectra.eels.background import BackgroundModel, fit_background
from napari_diptomo.spectra.eels.scattering import SingleLoss
from napari_diptomo.spectra.eels.standards.matching import Match, match

#: Backgrounds that are linear in their unknowns: they are fitted at every shift and width that is tried.
_LINEAR: tuple[BackgroundModel, ...] = ('sum of power laws', 'plasmon tail')
#: Powers of a background that a wrong shift may be taken for.
_BESIDE = (1.0, 3.0, 5.0)


def match_low_loss(
    shapes: np.ndarray,
    energy: np.ndarray,
    spectrum: np.ndarray,
    window: tuple[float, float],
    single: SingleLoss | None,
    read_variance: float = 0.0,
) -> Match:
    """Shift and width of standards on a low loss.

    Parameters
    ----------
    shapes : ndarray (energy, 2)
        Standards as thick as what the spectrum is of.
    energy : ndarray (energy,)
        eV.
    spectrum : ndarray (energy,)
        Counts of pixels with the metal, summed.
    window : tuple of float
        What is fitted, eV.
    single : SingleLoss, optional
        For the background of plasmons.
    read_variance : float
        Of a channel of the sum.

    Returns
    -------
    Match
    """
    inside = (energy >= window[0]) & (energy <= window[1])

    def chi2(there: np.ndarray, background_model: BackgroundModel) -> float:
        fit = fit_background(
            background_model, energy[inside], spectrum[inside], there[inside],
            read_variance=read_variance, single=single,
        )  # fmt: skip
        return float(fit.chi2)

    usable = [one for one in _LINEAR if single is not None or one != 'plasmon tail']
    best = min(usable, key=lambda one: chi2(shapes, one))
    degrees = int(inside.sum()) - 6
    beside = (energy[inside][:, None] / energy[inside][0]) ** -np.array(_BESIDE)
    return match(
        lambda part: degrees * chi2(_back(part, inside, shapes), best), shapes[inside], energy[inside], degrees, beside
    )


def _back(part: np.ndarray, inside: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """A part of the channels among all of them."""
    found = shapes.copy()
    found[inside] = part
    return found
