"""Simulated pixels of iron oxide with known fractions, and the least error that any fit of them can have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries, calibrate
from napari_diptomo.spectra.eels.scattering import SingleLoss

ANGLES = (-60.0, 0.0, 60.0)
WINDOW = (36.0, 95.0)
BACKGROUNDS = ('power law', 'exponential', 'plasmon')
Truth = Literal['power law', 'exponential', 'plasmon']
READ_NOISE = 1.0
#: Pixels with this many edge counts are looked at one by one; the others are mostly noise.
STRONG = 1000.0


@dataclass(frozen=True, eq=False)
class Case:
    """One tilt.

    Attributes
    ----------
    counts : ndarray (pixel, energy)
        Calibrated.
    energy : ndarray (energy,)
        eV.
    standards : ndarray (energy, oxide)
        The simulator's, without plural scattering.
    options : dict
        Results of the calibration that the fit uses.
    intensities : ndarray (pixel, oxide)
        The truth.
    iron : ndarray (pixel,), bool
        Pixels with iron.
    bound : ndarray (pixel,)
        Least standard deviation of the FeO fraction.
    """

    counts: np.ndarray
    energy: np.ndarray
    standards: np.ndarray
    options: dict[str, Any]
    intensities: np.ndarray
    iron: np.ndarray
    bound: np.ndarray

    @property
    def strong(self) -> np.ndarray:
        """Pixels with many edge counts, (pixel,), bool."""
        found: np.ndarray = self.intensities.sum(axis=1) >= STRONG
        return found

    @property
    def share(self) -> np.ndarray:
        """True share of FeO in the edge counts, (pixel,); NaN without iron."""
        total = self.intensities.sum(axis=1)
        return np.divide(self.intensities[:, 0], total, out=np.full(len(total), np.nan), where=total > 0)


def cases(truth: Truth, edge_to_background: float, seed: int, size: int) -> Iterator[Case]:
    """The tilts of a nanocube."""
    cube = oxide_nanocube(size)
    made = {'edge_to_background': edge_to_background, 'background': truth, 'seed': seed, 'read_noise': READ_NOISE}
    simulated = eels_tilt_series(cube, ANGLES, **made)
    thicker = eels_tilt_series(cube, ANGLES, t_over_lambda=0.408, **made) if truth == 'plasmon' else None
    calibrated = calibrate(simulated.series)
    single = single_loss(calibrated)
    for t in range(len(ANGLES)):
        intensities = simulated.clean[:, t].reshape(2, -1).T.astype(float)
        other = None if thicker is None else thicker.background(t)
        yield Case(
            np.asarray(calibrated.series.counts[t]).reshape(len(intensities), -1),
            calibrated.series.energy,
            _on(calibrated.series.energy, simulated),
            {
                'window': WINDOW,
                'read_noise': calibrated.read_noise,
                'shifts': calibrated.remainder[t].ravel(),
                'thickness': calibrated.t_over_lambda[t].ravel(),
                'single': single,
            },
            intensities,
            simulated.iron[t].ravel(),
            bounds(truth, simulated, t, intensities, other),
        )


def _on(energy: np.ndarray, simulated: Any) -> np.ndarray:
    return np.stack(
        [np.interp(energy, simulated.series.energy, shape) for shape in simulated.standards.values()], axis=1
    )


def single_loss(calibrated: CalibratedSeries) -> SingleLoss:
    """From the pixels of the tilt at zero that are about as thick as the mean."""
    thickness = calibrated.t_over_lambda[1]
    typical = float((thickness**2).sum() / thickness.sum())
    chosen = np.abs(thickness - typical) < 0.35 * typical
    counts = np.asarray(calibrated.series.counts[1])[chosen]
    return SingleLoss.of(calibrated.series.energy, counts.sum(axis=0, dtype=float), 46.0)


def bounds(truth: Truth, simulated: Any, tilt: int, intensities: np.ndarray, other: np.ndarray | None) -> np.ndarray:
    """Cramer-Rao bound of the FeO fraction of every pixel.

    Unknown are both intensities, the height of the background and one parameter of
    its shape: the power, the length, the thickness (by the difference to a
    specimen 2 % thicker). What lies under the pixel is known exactly.
    """
    energy = simulated.series.energy
    inside = (energy >= WINDOW[0]) & (energy <= WINDOW[1])
    background, edges = (
        part.reshape(len(intensities), -1)[:, inside].astype(float) for part in simulated.expected(tilt)
    )
    kernel = {'power law': np.log(energy[inside] / 54), 'exponential': energy[inside] / 54 - 1}
    bent = background * kernel[truth] if other is None else other.reshape(len(intensities), -1)[:, inside] - background
    found = np.full(len(intensities), np.inf)
    shapes = np.stack([shape[inside] for shape in simulated.standards.values()], axis=1)
    for p in np.flatnonzero(intensities.sum(axis=1) > 0.05 * intensities.sum(axis=1).max()):
        # Plural scattering takes from both edges alike: their common factor is what is left of the pixel's edge.
        factor = edges[p] / np.maximum(shapes @ intensities[p], 1e-300)
        columns = np.column_stack([shapes * factor[:, None], background[p], bent[p]])
        information = columns.T @ (columns / (background[p] + edges[p] + READ_NOISE**2)[:, None])
        scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
        inverse = np.linalg.inv(information * np.outer(scale, scale)) * np.outer(scale, scale)
        slope = np.array([intensities[p, 1], -intensities[p, 0]]) / intensities[p].sum() ** 2
        found[p] = np.sqrt(slope @ inverse[:2, :2] @ slope)
    return found
