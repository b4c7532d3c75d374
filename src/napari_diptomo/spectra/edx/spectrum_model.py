"""The model of the spectra of a series: line families, background shapes, a calibrated detector.

Every element that the sum spectrum shows is fitted along, wanted or not: the
copper of the grid, the platinum strap, the gallium of the beam must not leak
into a neighbour's map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import comb

from napari_diptomo.spectra.edx.detector import Detector
from napari_diptomo.spectra.edx.detector_calibration import SIGNIFICANT_GAIN, refine_weights
from napari_diptomo.spectra.edx.element_search import FoundElement, find_elements, survey
from napari_diptomo.spectra.edx.fit_range import FitRange
from napari_diptomo.spectra.edx.lines import LineFamily, families_of
from napari_diptomo.spectra.edx.sum_fit import SumFit, background_shapes, line_shapes, solve
from napari_diptomo.spectra.edx.system_signal import system_signal

#: A family nobody asked for is fitted along from this share of the strongest one's counts.
_LEAST_SHARE = 1e-3
#: From this chi-square on, the sum spectrum shows that the tables' line weights are not those of the detector.
_MISFIT = 1.5
#: By how much offset (keV), gain and resolution (relative) may well differ between the tilts of a series.
_DRIFT = (0.005, 0.001, 0.02)


@dataclass(frozen=True, eq=False)
class SpectrumModel:
    """Shapes of everything that is fitted.

    Attributes
    ----------
    window : FitRange
        Energies, beam.
    detector : Detector
        Calibrated.
    families : tuple of LineFamily
        The wanted ones first, then what the spectra show beside them.
    wanted : int
        How many of the families are mapped.
    shapes : ndarray (energy, family)
        Probability of each channel for one photon of a family.
    smooth : ndarray (energy, shape)
        Non-negative shapes that span the background, the sum peaks the last of them; each sums to one.
    """

    window: FitRange
    detector: Detector
    families: tuple[LineFamily, ...]
    wanted: int
    shapes: np.ndarray
    smooth: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the families, e.g. ``'Ge_K'``."""
        return tuple(family.name for family in self.families)

    def fit(self, spectrum: np.ndarray) -> SumFit:
        """Fit a sum spectrum.

        Parameters
        ----------
        spectrum : ndarray (energy,)
            Counts on the channels of the window.

        Returns
        -------
        SumFit
            Counts of each family, expected counts of everything and of the background.
        """
        return solve(spectrum, self.shapes, self.smooth)

    def operator(self, fit: SumFit, order: int) -> np.ndarray:
        """The matrix of the linear fit: what it makes of the spectrum of a pixel are the counts of the wanted families.

        Parameters
        ----------
        fit : SumFit
            Of the sum spectrum of the tilt: weights, and the shape of the background.
        order : int
            Polynomial order of the background at a pixel.

        Returns
        -------
        ndarray (wanted, energy)
            W; W @ counts are weighted least squares.
        """
        place = np.log(self.window.energy)
        place = 2 * (place - place[0]) / (place[-1] - place[0]) - 1
        background = fit.background / max(fit.background.sum(), 1e-12)
        columns = np.hstack([self.shapes, background[:, None] * place[:, None] ** np.arange(order + 1)])
        columns = columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
        weights = 1 / np.maximum(fit.model, 1e-3 * fit.model.mean())
        weighted = columns * np.sqrt(weights)[:, None]
        inverse = np.linalg.pinv(weighted, rcond=1e-6)
        scale = np.linalg.norm(self.shapes, axis=0)
        return (inverse * np.sqrt(weights))[: self.wanted] / scale[: self.wanted, None]

    def columns(self, fit: SumFit, order: int) -> np.ndarray:
        """Columns that a pixel is fitted with: the families, then non-negative background columns.

        These are the background of the fit times the Bernstein polynomials of
        degree ``order`` in log E, whose sum is one; each column sums to one.

        Parameters
        ----------
        fit : SumFit
            Of the sum spectrum of the tilt.
        order : int
            Polynomial order of the background at a pixel.

        Returns
        -------
        ndarray (energy, column)
            Families first, then ``order + 1`` columns of the background.
        """
        place = np.log(self.window.energy)[:, None]
        place = (place - place[0]) / (place[-1] - place[0])
        powers = np.arange(order + 1)
        background = np.maximum(fit.background, 1e-6 * fit.model.mean())[:, None]
        smooth = background * comb(order, powers) * place**powers * (1 - place) ** (order - powers)
        return np.hstack([self.shapes, smooth / smooth.sum(axis=0)])

    def calibrated(self, spectrum: np.ndarray) -> SpectrumModel:
        """The model with offset, gain and resolution refined on another spectrum, such as that of one tilt.

        Two Gauss-Newton steps with a prior of 5 eV, 0.1 % and 2 % about the
        calibration of the series, which stands where counts are too few to
        improve on it (see `detector_calibration`).

        Parameters
        ----------
        spectrum : ndarray (energy,)
            Counts on the channels of the window.

        Returns
        -------
        SpectrumModel
            With the refined detector.
        """
        model, fit, place = self, self.fit(spectrum), np.zeros(3)
        before, accepted = fit.misfit(spectrum), place
        for _ in range(2):
            place = place + self._towards(place, model, fit, spectrum)
            trial = self._moved(place)
            refined = trial.fit(spectrum)
            if refined.chi2 >= fit.chi2:
                break
            model, fit, accepted = trial, refined, place
        gained = before - fit.misfit(spectrum) - accepted @ accepted
        return model if gained > SIGNIFICANT_GAIN * len(accepted) else self

    def _moved(self, place: np.ndarray) -> SpectrumModel:
        """The model with offset, gain and resolution elsewhere, in units of their priors."""
        offset, gain, width = (float(z) * unit for z, unit in zip(place, _DRIFT, strict=True))
        at = self.detector
        detector = replace(at, offset=at.offset + offset, gain=at.gain + gain, resolution=at.resolution * (1 + width))
        return replace(self, detector=detector, shapes=line_shapes(self.window.energy, self.families, detector))

    def _towards(self, place: np.ndarray, model: SpectrumModel, fit: SumFit, spectrum: np.ndarray) -> np.ndarray:
        """The Gauss-Newton step of the calibration, all coefficients free to follow."""
        step = 0.2
        slopes = [(self._moved(place + step * axis).shapes - model.shapes) @ fit.counts / step for axis in np.eye(3)]
        weights = 1 / np.maximum(fit.model, 1e-3 * fit.model.mean())
        others = np.hstack([model.shapes[:, fit.counts > 0], model.smooth])
        matrix = np.hstack([np.stack(slopes, axis=1), others]) * np.sqrt(weights)[:, None]
        normal, right = matrix.T @ matrix, matrix.T @ ((spectrum - fit.model) * np.sqrt(weights))
        normal[np.diag_indices(len(normal))] *= 1 + 1e-9
        normal[np.diag_indices(3)] += 1
        right[:3] -= place
        return np.clip(np.linalg.lstsq(normal, right, rcond=1e-12)[0][:3], -2, 2)

    def notes(self, names: Sequence[str], chi2: list[float]) -> dict[str, Any]:
        """Notes of a map series on its fit.

        Parameters
        ----------
        names : sequence of str
            Of the channels.
        chi2 : list of float
            Pearson's by tilt, per degree of freedom.

        Returns
        -------
        dict
            JSON-ready; units are in the keys.
        """
        families = list(self.names)
        return {
            'lines': dict(zip(names, families, strict=False)),
            'also_fitted': families[self.wanted :],
            'beam_energy_keV': round(float(self.window.beam_energy), 3),
            'energy_range_keV': [round(end, 4) for end in self.window.ends],
            'calibration': {
                'offset_keV': round(float(self.detector.offset), 5),
                'gain': round(float(self.detector.gain), 6),
                'bend_keV': round(float(self.detector.bend), 5),
                'tail': round(float(self.detector.tail), 4),
                'resolution_eV': round(float(self.detector.resolution), 2),
            },
            'chi2': chi2,
        }


def spectrum_model(
    spectrum: np.ndarray, window: FitRange, wanted: tuple[LineFamily, ...], calibrate: bool = True
) -> SpectrumModel:
    """The model of a series, found on its sum spectrum.

    Parameters
    ----------
    spectrum : ndarray (energy,)
        Sum over all pixels and tilts, on the channels of ``window``, counts.
    window : FitRange
        Energies, detector, beam.
    wanted : tuple of LineFamily
        To be mapped; what else the spectrum shows is fitted along.
    calibrate : bool
        Refine energy scale and resolution first.

    Returns
    -------
    SpectrumModel
        Families, background shapes and calibrated detector.
    """
    energy, beam_energy = window.energy, window.beam_energy
    detector, found = _surveyed(
        energy.tobytes(), np.asarray(spectrum, float).tobytes(), window.detector, beam_energy, calibrate
    )
    present = dict.fromkeys([family.element for family in wanted] + [f.element for f in found])
    along = [
        family
        for element in present
        for family in families_of(element, *window.ends, beam_energy)
        if family not in wanted
    ]
    families = (*wanted, *along)
    smooth = np.hstack(
        [background_shapes(energy, detector, beam_energy), system_signal(energy, spectrum, detector).shapes]
    )
    counts = solve(spectrum, line_shapes(energy, families, detector), smooth).counts
    # What the sum spectrum does not show would only add its noise to its neighbours.
    worth = [i < len(wanted) or counts[i] > _LEAST_SHARE * counts.max(initial=0.0) for i in range(len(families))]
    families = tuple(family for family, keep in zip(families, worth, strict=True) if keep)
    model = SpectrumModel(window, detector, families, len(wanted), line_shapes(energy, families, detector), smooth)
    # Free weights of overlapping families compete: they cost a per cent where the tables do as well.
    if calibrate and model.fit(spectrum).chi2 > _MISFIT:
        families = refine_weights(energy, spectrum, families, detector, smooth)
        model = replace(model, families=families, shapes=line_shapes(energy, families, detector))
    return model


@lru_cache(maxsize=16)
def _surveyed(
    energy: bytes, spectrum: bytes, detector: Detector, beam_energy: float, calibrate: bool
) -> tuple[Detector, tuple[FoundElement, ...]]:
    """The survey takes seconds and does not depend on what is wanted, so one serves every choice of elements."""
    look = survey if calibrate else lambda *seen: (detector, find_elements(*seen))
    return look(np.frombuffer(energy), np.frombuffer(spectrum), detector, beam_energy)
