r"""Maps of a series: line families and background fitted to every pixel of every tilt.

*linear*, weighted least squares,

    n = W s,    W = (M^T D M)^-1 M^T D

with s the spectrum of the pixel, M the shapes as columns and D = diag(1/m), m
the spectrum that the fit of the whole tilt expects. Within a tilt W is ONE
matrix for all pixels. So the maps are linear in the counts: unbiased however
few they are (weights taken from the pixel itself would pull them down), the
map of the held-out photons is W applied to these photons, and the variance of
a map is W^2 applied to the spectra of its neighbours.

*poisson*, maximum likelihood of non-negative coefficients pixel by pixel
(`poisson_fit`), with the variance from the Fisher information at what the
neighbours make expect. The photons that remain without the held-out ones are
fitted; the map of the held-out ones is W applied to them, for what judges a
reconstruction must have no bias. The maps are the sum of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from napari_diptomo.series import MapSeries, SpectralTiltSeries, Watch
from napari_diptomo.series.neighbour_mean import neighbours
from napari_diptomo.spectra.common.tilt_counts import counts_of, hold_out
from napari_diptomo.spectra.edx.denoise import warned
from napari_diptomo.spectra.edx.fit_range import check_saturation
from napari_diptomo.spectra.edx.poisson_fit import Columns, fisher_variance, fit_pixels, information_bins, unexplained
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel
from napari_diptomo.spectra.edx.sum_fit import SumFit

#: What is expected at a pixel is averaged over this many pixels, and is at least this share of the tilt's mean.
_SMOOTH_PIXELS, _LEAST_EXPECTED = 2.0, 0.05


@dataclass(frozen=True)
class MapSettings:
    """How the pixels of a series become maps or window counts.

    Attributes
    ----------
    method : {'linear', 'poisson'}
        Fit of a pixel; of maps alone.
    holdout : float
        Fraction of the photons that are held out.
    seed : int
        Of the random numbers that choose them.
    background_order : int
        Polynomial order of the background at a pixel: 0 scales it, 1 tilts it, 2 bends it.
    calibrate : bool
        Whether each tilt is fitted with its own energy scale and resolution.
    """

    method: Literal['linear', 'poisson'] = 'linear'
    holdout: float = 0.1
    seed: int = 0
    background_order: int = 1
    calibrate: bool = True

    def at_tilt(self, model: SpectrumModel, spectrum: np.ndarray) -> SpectrumModel:
        """The model for a tilt with this sum spectrum, (energy,)."""
        return model.calibrated(spectrum) if self.calibrate else model

    def held_out(self, spectra: sparse.csr_matrix, tilt: int) -> sparse.csr_matrix | None:
        """The held-out photons among spectra (pixel, energy) of a tilt; None where all are fitted."""
        return hold_out(spectra, self.holdout, (self.seed, tilt)) if self.holdout > 0 else None


def fit_maps(
    data: SpectralTiltSeries, model: SpectrumModel, channels: Sequence[str], settings: MapSettings, watch: Watch
) -> MapSeries:
    """Maps of the wanted families of a model.

    Parameters
    ----------
    data : SpectralTiltSeries
        EDX spectra.
    model : SpectrumModel
        What they are made of.
    channels : sequence of str
        Names of the wanted families' maps.
    settings : MapSettings
        The fit of a pixel.
    watch : Watch
        Asked at every tilt, and within one; the steps follow on as many as there are tilts.

    Returns
    -------
    MapSeries
        Counts in each whole family with ``variance``, ``held_out`` and ``residual``.

    Raises
    ------
    InputError
        Counts cut off at the largest number that the files hold, or no whole counts where some are held out.
    """
    n_tilts, energies, counts = len(data.angles), model.window.channels, counts_of(data)
    sums = counts.read()[:, energies]
    pixels = PixelFit.of(model, sums.sum(axis=0), settings.background_order, settings.holdout)
    shape = (model.wanted, *data.counts.shape[:3])
    maps, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    held_out = np.empty(shape, np.float32) if settings.holdout > 0 else None
    residual = np.empty(shape[1:], np.float32)
    chi2 = []
    for t in range(n_tilts):
        at_tilt = settings.at_tilt(model, sums[t])
        fit = at_tilt.fit(sums[t])
        spectra = counts.tilt(t)[:, energies]
        check_saturation(spectra, data, t)
        held = settings.held_out(spectra, t)
        if settings.method == 'linear':
            found = pixels.linear(at_tilt, fit, spectra, held, shape[2:])
        else:
            found = pixels.poisson(at_tilt, fit, spectra, held, shape[2:], watch.obey)
        maps[:, t], variance[:, t], residual[t] = found.maps, found.variance, found.residual
        if held_out is not None:
            held_out[:, t] = found.held_out
        chi2.append(round(fit.chi2, 3))
        watch.step(n_tilts + t + 1, message=f'maps of tilt {t + 1} of {n_tilts}')
    return MapSeries(
        maps,
        data.angles,
        tuple(channels),
        data.pixel_size,
        variance=variance,
        held_out=held_out,
        held_out_share=settings.holdout,
        residual=residual,
        haadf=data.haadf,
        haadf_series=data.haadf_series,
        transposed=data.transposed,
        notes=model.notes(channels, chi2) | warned(data),
    )


@dataclass(frozen=True, eq=False)
class TiltMaps:
    """Maps of one tilt from its fit.

    Attributes
    ----------
    maps, variance : ndarray (wanted, y, x)
        Counts in the whole family.
    held_out : ndarray (wanted, y, x), optional
        The part of ``maps`` that the held-out photons make.
    residual : ndarray (y, x)
        Deviance relative to what Poisson noise makes expect.
    """

    maps: np.ndarray
    variance: np.ndarray
    held_out: np.ndarray | None
    residual: np.ndarray


@dataclass(frozen=True, eq=False)
class PixelFit:
    """How the pixels of a series are fitted.

    Attributes
    ----------
    bins : ndarray (energy,) of int
        Channels that are summed for the likelihood.
    order : int
        Polynomial order of the background at a pixel.
    share : float
        Of the photons that are held out.
    """

    bins: np.ndarray
    order: int
    share: float

    @classmethod
    def of(cls, model: SpectrumModel, spectrum: np.ndarray, order: int, share: float) -> PixelFit:
        """Choose the bins on the sum spectrum of a series."""
        fit = model.fit(spectrum)
        # Bins must serve the series as a whole and a pixel that holds next to nothing of an element.
        expected = np.stack([fit.model, fit.background + _LEAST_EXPECTED * fit.lines])
        return cls(information_bins(model.columns(fit, order), expected), order, share)

    def linear(
        self,
        model: SpectrumModel,
        fit: SumFit,
        spectra: sparse.csr_matrix,
        held: sparse.csr_matrix | None,
        shape: tuple[int, int],
    ) -> TiltMaps:
        """Weighted least squares with the weights of the tilt.

        Parameters
        ----------
        model : SpectrumModel
            What the spectra are made of.
        fit : SumFit
            Its fit to the sum spectrum of the tilt.
        spectra, held : sparse matrix (pixel, energy)
            All photons, and those among them that are held out.
        shape : (y, x)
            Of the image.
        """
        operator = model.operator(fit, self.order)
        raw = _apply(operator**2, spectra, shape)
        variance = np.maximum(neighbours(raw, _SMOOTH_PIXELS), _LEAST_EXPECTED * raw.mean(axis=(1, 2), keepdims=True))
        held_out = None if held is None else _apply(operator, held, shape)
        residual = unexplained(spectra, Columns.of(model.columns(fit, self.order), self.bins)).reshape(shape)
        return TiltMaps(_apply(operator, spectra, shape), variance, held_out, residual)

    def poisson(
        self,
        model: SpectrumModel,
        fit: SumFit,
        spectra: sparse.csr_matrix,
        held: sparse.csr_matrix | None,
        shape: tuple[int, int],
        between: Callable[[], object] | None = None,
    ) -> TiltMaps:
        """Poisson maximum likelihood.

        What remains without the held-out photons is fitted. The held-out ones
        go through the linear operator: what judges a reconstruction must have
        no bias of its own.

        Parameters
        ----------
        model, fit, spectra, held, shape
            As for `linear`.
        between : callable, optional
            Called every few thousand pixels; it may raise to end the work.
        """
        columns = Columns.of(model.columns(fit, self.order), self.bins)
        coefficients, residual = fit_pixels(_without(spectra, held), columns, between)
        maps = coefficients[:, : model.wanted].T.reshape(-1, *shape)
        around = neighbours(coefficients.T.reshape(-1, *shape), _SMOOTH_PIXELS)
        expected = np.maximum(around, _LEAST_EXPECTED * around.mean(axis=(1, 2), keepdims=True)) / (1 - self.share)
        variance = fisher_variance(columns, expected.reshape(len(expected), -1).T, model.wanted)
        held_out = None
        if held is not None:
            held_out = _apply(model.operator(fit, self.order), held, shape)
            maps = maps + held_out
        return TiltMaps(maps, variance.T.reshape(-1, *shape), held_out, residual.reshape(shape))


def _without(spectra: sparse.csr_matrix, held: sparse.csr_matrix | None) -> sparse.csr_matrix:
    if held is None:
        return spectra
    # Both list the same channels, the held-out ones some of them with no photon.
    return sparse.csr_matrix((spectra.data - held.data, spectra.indices, spectra.indptr), shape=spectra.shape)


def _apply(operator: np.ndarray, spectra: sparse.csr_matrix, shape: tuple[int, int]) -> np.ndarray:
    return (spectra @ operator.T).T.reshape(-1, *shape)
