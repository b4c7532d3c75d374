"""Maps of one tilt: the fit of all its pixels, linear or by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from napari_diptomo.series.noise import neighbours
from napari_diptomo.spectra.poisson_fit import Columns, fisher_variance, fit_pixels, unexplained
from napari_diptomo.spectra.spectrum_model import SpectrumModel
from napari_diptomo.spectra.sum_fit import SumFit

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


def fit_linear(
    model: SpectrumModel,
    fit: SumFit,
    spectra: sparse.csr_matrix,
    held: sparse.csr_matrix | None,
    shape: tuple[int, int],
    order: int,
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
    order : int
        Freedom of the background at a pixel.
    """
    operator = model.operator(fit, order)
    raw = _apply(operator**2, spectra, shape)
    variance = np.maximum(neighbours(raw, _SMOOTH_PIXELS), _LEAST_EXPECTED * raw.mean(axis=(1, 2), keepdims=True))
    held_out = None if held is None else _apply(operator, held, shape)
    residual = unexplained(spectra, _columns(model, fit, order)).reshape(shape)
    return TiltMaps(_apply(operator, spectra, shape), variance, held_out, residual)


def fit_poisson(
    model: SpectrumModel,
    fit: SumFit,
    spectra: sparse.csr_matrix,
    held: sparse.csr_matrix | None,
    share: float,
    shape: tuple[int, int],
    order: int,
    between: Callable[[], object] | None = None,
) -> TiltMaps:
    """Poisson maximum likelihood.

    What remains without the held-out photons, a share of ``1 - share``, is
    fitted. The held-out photons go through the linear operator: what judges a
    reconstruction must have no bias of its own.

    Parameters
    ----------
    model, fit, spectra, held, shape, order
        As for `fit_linear`.
    share : float
        Of the photons that are held out.
    between : callable, optional
        Called every few thousand pixels; it may raise to end the work.
    """
    columns = _columns(model, fit, order)
    amounts, residual = fit_pixels(_without(spectra, held), columns, between)
    maps = amounts[:, : model.wanted].T.reshape(-1, *shape)
    around = neighbours(amounts.T.reshape(-1, *shape), _SMOOTH_PIXELS)
    expected = np.maximum(around, _LEAST_EXPECTED * around.mean(axis=(1, 2), keepdims=True)) / (1 - share)
    variance = fisher_variance(columns, expected.reshape(len(expected), -1).T, model.wanted)
    held_out = None
    if held is not None:
        held_out = _apply(model.operator(fit, order), held, shape)
        maps = maps + held_out
    return TiltMaps(maps, variance.T.reshape(-1, *shape), held_out, residual.reshape(shape))


def _columns(model: SpectrumModel, fit: SumFit, order: int) -> Columns:
    # Bins must serve the tilt as a whole and a pixel that holds next to nothing of an element.
    return Columns.of(model.columns(fit, order), np.stack([fit.model, fit.background + _LEAST_EXPECTED * fit.lines]))


def _without(spectra: sparse.csr_matrix, held: sparse.csr_matrix | None) -> sparse.csr_matrix:
    if held is None:
        return spectra
    # Both list the same channels, the held-out ones some of them with no photon.
    return sparse.csr_matrix((spectra.data - held.data, spectra.indices, spectra.indptr), shape=spectra.shape)


def _apply(operator: np.ndarray, spectra: sparse.csr_matrix, shape: tuple[int, int]) -> np.ndarray:
    return (spectra @ operator.T).T.reshape(-1, *shape)
