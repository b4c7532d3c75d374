"""How others make EDX maps: eXSpy's windows, with and without background, and HyperSpy's least squares."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_diptomo.series import SpectralTiltSeries
from napari_diptomo.spectra import Detector, families_for

#: The main line of a shell.
_MAIN = {'K': 'Ka', 'L': 'La', 'M': 'Ma'}


def signal(counts: np.ndarray, energy: np.ndarray, names: Sequence[str]) -> Any:
    """eXSpy's signal of spectra (..., energy) with the lines of these families."""
    import exspy

    logging.getLogger('hyperspy').setLevel(logging.ERROR)
    logging.getLogger('exspy').setLevel(logging.ERROR)
    found = exspy.signals.EDSTEMSpectrum(counts.astype(np.float32))
    axis = found.axes_manager.signal_axes[0]
    axis.scale, axis.offset, axis.units, axis.name = energy[1] - energy[0], energy[0], 'keV', 'Energy'
    found.set_microscope_parameters(beam_energy=200.0, energy_resolution_MnKa=130.0)
    found.set_elements(sorted({name.partition('_')[0] for name in names}))
    found.set_lines([_line(name) for name in names])
    return found


def _line(name: str) -> str:
    element, _, shell = name.partition('_')
    return f'{element}_{_MAIN[shell]}'


def _main_share(name: str) -> float:
    """Share of a family's photons in its main line, by eXSpy's table."""
    from exspy.material import elements

    element, _, shell = name.partition('_')
    lines = elements.as_dictionary()[element]['Atomic_properties']['Xray_lines']
    weights = {line: values['weight'] for line, values in lines.items() if line.startswith(shell)}
    return weights[_MAIN[shell]] / sum(weights.values())


def _maps(intensities: Sequence[Any], names: Sequence[str]) -> np.ndarray:
    """Intensities come in eXSpy's order; here in ours."""
    by_line = {one.metadata.Sample.xray_lines[0]: np.asarray(one.data) for one in intensities}
    return np.stack([by_line[_line(name)] for name in names])


def _windows(background: bool) -> Callable[[SpectralTiltSeries, Sequence[str]], np.ndarray]:
    """Counts within one FWHM of the main line, divided by the share of the family that a window holds."""

    def integrate(series: SpectralTiltSeries, elements: Sequence[str]) -> np.ndarray:
        families = families_for(elements, 0.2, float(series.energy[-1]))
        names = [family.name for family in families]
        spectra = signal(series.counts[0], series.energy, names)
        around = spectra.estimate_background_windows() if background else None
        sums = _maps(spectra.get_lines_intensity(background_windows=around), names)
        windows = np.asarray(spectra.estimate_integration_windows())
        order = {line: i for i, line in enumerate(spectra.metadata.Sample.xray_lines)}
        for i, family in enumerate(families):
            low, high = windows[order[_line(family.name)]]
            inside = (series.energy >= low) & (series.energy <= high)
            sums[i] /= Detector(130.0).shape(series.energy, family)[inside].sum()
        return sums

    return integrate


class LeastSquares:
    """HyperSpy's model of the families, their lines tied, and a polynomial background.

    Parameters
    ----------
    counts : ndarray (..., energy)
        Spectra.
    energy : ndarray (energy,)
        keV.
    names : sequence of str
        Families.
    order : int
        Of the background; 1 makes it two unknowns.
    """

    def __init__(self, counts: np.ndarray, energy: np.ndarray, names: Sequence[str], order: int = 1) -> None:
        self.names = tuple(names)
        self.model = signal(counts, energy, names).create_model(auto_background=False, auto_add_lines=True)
        self.model.add_polynomial_background(order=order)
        self.main_share = np.array([_main_share(name) for name in names])

    def fit(self) -> np.ndarray:
        """Counts of whole families, all pixels in one least squares."""
        self.model.multifit(optimizer='lstsq', show_progressbar=False)
        return self._counts()

    def fit_bounded(self) -> np.ndarray:
        """Counts of whole families, none negative, pixel by pixel."""
        for component in self.model:
            if hasattr(component, 'A'):
                component.A.bmin = 0.0
        self.model.multifit(optimizer='lm', bounded=True, show_progressbar=False)
        return self._counts()

    def _counts(self) -> np.ndarray:
        found = _maps(self.model.get_lines_intensity([_line(name) for name in self.names]), self.names)
        return found / self.main_share.reshape(-1, *([1] * (found.ndim - 1)))


def least_squares(series: SpectralTiltSeries, elements: Sequence[str]) -> np.ndarray:
    """HyperSpy's unweighted least squares with eXSpy's own background of order six."""
    fitted = series.energy >= 0.2
    names = [family.name for family in families_for(elements, 0.2, float(series.energy[-1]))]
    every = [*names, 'Ge_L', 'Cu_K', 'Cu_L']
    fit = LeastSquares(series.counts[0][..., fitted], series.energy[fitted], every, order=6)
    return fit.fit()[: len(names)]


#: Each takes a series of one tilt and elements and gives maps (element, y, x) of whole families.
RIVALS: dict[str, Callable[[SpectralTiltSeries, Sequence[str]], np.ndarray]] = {
    'windows': _windows(background=False),
    'windows less background': _windows(background=True),
    'least squares': least_squares,
}
