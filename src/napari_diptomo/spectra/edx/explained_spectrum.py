"""The spectrum of a series, a tilt or a region with the curves that it is fitted with, for a plot.

The elements present and the calibration come from the sum over the whole
series, the coefficients from the part that is looked at (`sum_fit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError, Observer, SpectralTiltSeries, Watch
from napari_diptomo.spectra.common.tilt_counts import TiltCounts, check_place, counts_of
from napari_diptomo.spectra.edx.fit_range import FitRange
from napari_diptomo.spectra.edx.lines import families_for
from napari_diptomo.spectra.edx.spectrum_model import spectrum_model

#: Channels expected to hold less than this count as this in the residual.
_LEAST_EXPECTED = 0.5


@dataclass(frozen=True, eq=False)
class Explained:
    """A spectrum and the parts that it is fitted with.

    Attributes
    ----------
    energy : ndarray (energy,)
        Channel centres, keV.
    counts : ndarray (energy,)
        Recorded.
    model, background : ndarray (energy,)
        Expected counts, of everything and of the smooth part.
    families : mapping of str to ndarray (energy,)
        Expected counts of each line family by its name, those wanted first.
    residual : ndarray (energy,)
        (counts - model) / sqrt(model).
    chi2 : float
        Pearson's, per degree of freedom; 1 where nothing but noise is left.
    wanted : tuple of str
        Names of the families that would be mapped.
    region : ndarray (y, x) of bool, optional
        The pixels, None for all.
    tilt : int, optional
        The tilt, None for the sum over all.
    """

    energy: np.ndarray
    counts: np.ndarray
    model: np.ndarray
    background: np.ndarray
    families: Mapping[str, np.ndarray]
    residual: np.ndarray
    chi2: float
    wanted: tuple[str, ...]
    region: np.ndarray | None = None
    tilt: int | None = None


def explain(
    series: SpectralTiltSeries,
    families_or_elements: Sequence[str] = (),
    *,
    tilt: int | None = None,
    region: np.ndarray | None = None,
    observer: Observer | None = None,
) -> Explained:
    """Fit the spectrum of a series or of a part of it.

    The first call reads the series and looks for its elements, later ones
    answer at once.

    Parameters
    ----------
    series : SpectralTiltSeries
        EDX spectra.
    families_or_elements : sequence of str
        Symbols (``'Ge'``) or families (``'Ge_L'``) that are fitted in any case.
    tilt : int, optional
        One tilt; the sum over all when not given.
    region : ndarray (y, x) of bool, optional
        Pixels to look at; all when not given.
    observer : Observer, optional
        Receives the progress.

    Returns
    -------
    Explained
        The curves.

    Raises
    ------
    InputError
        A region without pixels or counts, a tilt that is not there, an
        unknown element, energies that are not calibrated in keV.
    """
    window = FitRange.of(series)
    wanted = families_for(families_or_elements, *window.ends, window.beam_energy)
    wanted = tuple(dict.fromkeys(wanted))
    check_place(series, tilt, region)
    counts = counts_of(series)
    sums = counts.read(Watch(observer, 'Spectrum', len(series.angles)))
    model = spectrum_model(sums.sum(axis=0)[window.channels], window.without(counts.faulty), wanted)
    spectrum = _spectrum(counts, tilt, region)[window.channels]
    if not spectrum.any():
        raise InputError('There are no counts in the region; draw it over the specimen.')
    fit = model.fit(spectrum)
    expected = np.maximum(fit.model, _LEAST_EXPECTED)
    return Explained(
        window.energy,
        spectrum,
        fit.model,
        fit.background,
        {name: n * shape for name, n, shape in zip(model.names, fit.counts, model.shapes.T, strict=True)},
        (spectrum - fit.model) / np.sqrt(expected),
        fit.chi2,
        model.names[: model.wanted],
        region,
        tilt,
    )


def _spectrum(counts: TiltCounts, tilt: int | None, region: np.ndarray | None) -> np.ndarray:
    if region is None:
        return counts.sums.sum(axis=0) if tilt is None else counts.sums[tilt].copy()
    pixels = np.asarray(region, bool).ravel()
    tilts = range(len(counts.sums)) if tilt is None else (tilt,)
    # A product with the mask sums rows without copying them.
    return np.sum([counts.tilt(t).T @ pixels.astype(float) for t in tilts], axis=0)
