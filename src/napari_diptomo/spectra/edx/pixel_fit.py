"""Maps of one tilt: the fit of all its pixels, linear or by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from napari_diptomo.series.noise import neighbours
from napari_diptomo.spectra.edx.information_bins import information_bins
from napari_diptomo.spectra.edx.poisson_fit import Columns, fisher_variance, fit_pixels, unexplained
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel
from napari_diptomo.spectra.edx.sum_fit import SumFit

#: What is expected at a pixel is averaged over this many pixels, and is at least this share of the tilt's mean.
_SMOOTH_PIXELS, _LEAST_EXPECTED = 2.0, 0.05


@dataclass(frozen=True, eq=False)
class TiltMaps:
    """What the fit of a tilt yields.

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
        Freedom of the background at a pixel.
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
        amounts, residual = fit_pixels(_without(spectra, held), columns, between)
        maps = amounts[:, : model.wanted].T.reshape(-1, *shape)
        around = neighbours(amounts.T.reshape(-1, *shape), _SMOOTH_PIXELS)
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
