"""Fit of a sum spectrum: line families and a smooth background, none negative.

The background is the bremsstrahlung of Kramers, (E0 - E) / E, as it is and
absorbed by exp(-(Ea / E)^3) at a few energies Ea, and times cubic B-splines in
an energy scaled by the peak width, each several peak widths broad: smooth
enough not to imitate a line, free enough for a real detector's window and
stray continuum. Coefficients are non-negative least squares with Poisson
weights, iterated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter1d

from napari_diptomo.spectra.common.non_negative import non_negative
from napari_diptomo.spectra.edx.detector import Detector, channel_edges
from napari_diptomo.spectra.edx.lines import LineFamily

#: Distance of the background's knots in peak widths.
_KNOT_WIDTHS = 6.0
#: Energies, keV, at which windows, dead layers and specimens let 1/e of the photons through.
_ABSORPTION_EDGES = np.array([0.0, 0.25, 0.5, 1.0, 2.0])


@dataclass(frozen=True, eq=False)
class SumFit:
    """A fitted sum spectrum.

    Attributes
    ----------
    counts : ndarray (family,)
        Counts in each whole family.
    lines, background : ndarray (energy,)
        Expected counts, the two parts.
    chi2 : float
        Pearson's, per degree of freedom.
    """

    counts: np.ndarray
    lines: np.ndarray
    background: np.ndarray
    chi2: float

    @property
    def model(self) -> np.ndarray:
        """Expected counts of everything, (energy,)."""
        return self.lines + self.background

    def misfit(self, counts: np.ndarray) -> float:
        """Pearson's chi-square of the spectrum that was fitted, (energy,), not reduced."""
        expected = np.maximum(self.model, _floor(counts))
        return float(((counts - self.model) ** 2 / expected).sum())


def background_shapes(energy: np.ndarray, detector: Detector, beam_energy: float) -> np.ndarray:
    """Non-negative smooth shapes that span the background.

    Parameters
    ----------
    energy : ndarray (energy,)
        Channel centres, keV, above zero.
    detector : Detector
        Its widths set how broad the shapes are.
    beam_energy : float
        keV.

    Returns
    -------
    ndarray (energy, shape)
        Each sums to one.
    """
    edges = channel_edges(energy)
    widths = np.concatenate([[0.0], np.cumsum(np.diff(edges) / detector.fwhm(energy))])
    place = np.interp(energy, edges, widths)
    pieces = max(round(widths[-1] / _KNOT_WIDTHS), 3)
    knots = np.concatenate([[0.0] * 3, np.linspace(0, widths[-1], pieces + 1), [widths[-1]] * 3])
    splines = BSpline.design_matrix(place, knots, 3).toarray()
    kramers = np.maximum(beam_energy - energy, 0.02 * beam_energy) / np.maximum(energy, 0.05)
    absorbed = np.exp(-((_ABSORPTION_EDGES / np.maximum(energy, 0.05)[:, None]) ** 3))
    shapes = detector.counted(energy, np.hstack([splines, absorbed]) * kramers[:, None])
    return shapes / shapes.sum(axis=0)


def line_shapes(energy: np.ndarray, families: Sequence[LineFamily], detector: Detector) -> np.ndarray:
    """Shapes of families as columns, (energy, family)."""
    if not families:
        return np.zeros((len(energy), 0))
    return np.stack([detector.shape(energy, family) for family in families], axis=1)


def solve(
    counts: np.ndarray,
    shapes: np.ndarray,
    smooth: np.ndarray,
    iterations: int = 3,
    expected: np.ndarray | None = None,
) -> SumFit:
    """The fit proper, with the columns given.

    Parameters
    ----------
    counts : ndarray (energy,)
        The spectrum.
    shapes, smooth : ndarray (energy, family), (energy, shape)
        Of the families; of the background.
    iterations : int
        How often the weights are taken from the fit.
    expected : ndarray (energy,), optional
        A first guess of the fit; the smoothed counts when not given.
    """
    columns = np.hstack([shapes, smooth])
    if expected is None:
        expected = gaussian_filter1d(counts.astype(float), 2.0)
    floor = _floor(counts)
    for _ in range(iterations):
        root = 1 / np.sqrt(np.maximum(expected, floor))
        solution = non_negative(columns * root[:, None], counts * root)
        expected = columns @ solution
    n = shapes.shape[1]
    lines, background = shapes @ solution[:n], smooth @ solution[n:]
    degrees = max(len(counts) - int((solution > 0).sum()), 1)
    chi2 = float((((counts - lines - background) ** 2) / np.maximum(lines + background, floor)).sum() / degrees)
    return SumFit(solution[:n], lines, background, chi2)


def _floor(counts: np.ndarray) -> float:
    """A channel expected to hold next to nothing must not outweigh the rest of the spectrum."""
    return max(1e-3 * float(counts.mean()), 1e-12)
