r"""Energy windows: few whole numbers per pixel that hold nearly the information of its spectrum.

A window w counts photons. With a the share of each family's photons in it and
m the counts it is expected to hold, the windows' Fisher information about the
coefficients is

    I = sum_w a_w a_w^T / m_w.

Joining two windows loses  m1 m2 / (m1 + m2) (r1 - r2)(r1 - r2)^T  of it, with
r = a / m, leaving one out loses  m r r^T:  Ward's criterion (Ward 1963, JASA
58, 236), measured in the metric of the whole spectrum's information. From
single channels on, the step that costs least is taken again and again as long
as every family keeps its share of what the whole spectrum knows about it (its
Cramer-Rao bound). So windows come out at the lines, split where lines of
several families overlap.

What else falls into a window at a pixel is no photon of the wanted families:
families that are fitted along, and bremsstrahlung, which is every photon that
is in no family. The linear fit of `EDXMaps` gives both, unbiased but noisy;
averaged over the next neighbours, made non-negative at the same total, they are
the ``background`` of the counting model. A wider neighbourhood would carry it
over the edge of the specimen, where a reconstruction that cannot go below zero
has nothing to take it from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter

from napari_diptomo.series import MapSeries, SpectralTiltSeries, Watch
from napari_diptomo.spectra.common.tilt_counts import counts_of
from napari_diptomo.spectra.edx.denoise import warned
from napari_diptomo.spectra.edx.detector import channel_edges
from napari_diptomo.spectra.edx.fit_range import check_saturation
from napari_diptomo.spectra.edx.pixel_fit import MapSettings
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel
from napari_diptomo.spectra.edx.sum_fit import SumFit

#: Share of the information about each family that the windows keep.
SHARE = 0.9
#: Standard deviation of the neighbourhood that gives the background, pixels, and the least of it relative to its mean.
_SMOOTH_PIXELS, _LEAST_BACKGROUND = 1.0, 1e-3


@dataclass(frozen=True, eq=False)
class EnergyWindows:
    """Which channels are counted together.

    Attributes
    ----------
    spans : tuple of (int, int)
        First channel and the one behind the last, on the channels of the model.
    limits : ndarray (window, 2)
        keV.
    mixing : ndarray (window, family)
        Share of the photons of each wanted family that falls into each window.
    kept : ndarray (family,)
        Variance at the Cramer-Rao bound of the whole spectrum relative to that of the windows.
    """

    spans: tuple[tuple[int, int], ...]
    limits: np.ndarray
    mixing: np.ndarray
    kept: np.ndarray

    def sums(self, columns: np.ndarray) -> np.ndarray:
        """Add up (energy, ...) to (window, ...)."""
        return np.stack([columns[low:high].sum(axis=0) for low, high in self.spans])

    def count(self, spectra: sparse.csr_matrix, shape: tuple[int, int]) -> np.ndarray:
        """Counts (window, y, x) of spectra (pixel, energy)."""
        counted = [np.asarray(spectra[:, low:high].sum(axis=1)).reshape(shape) for low, high in self.spans]
        return np.stack(counted).astype(np.float32)


def choose_windows(model: SpectrumModel, fit: SumFit, share: float = SHARE) -> EnergyWindows:
    """The fewest contiguous windows, found step by step, that keep enough information.

    Parameters
    ----------
    model : SpectrumModel
        What the spectra are made of; the windows serve its wanted families.
    fit : SumFit
        Its fit to the sum spectrum, which says how much falls where.
    share : float
        Of the information about each family that has to be kept, in (0, 1).
    """
    coefficients = model.shapes[:, : model.wanted]
    expected = np.maximum(fit.model, 1e-3 * fit.model.mean())
    spans, kept = _joined(coefficients, expected, share)
    edges = channel_edges(model.window.energy)
    mixing = np.stack([coefficients[low:high].sum(axis=0) for low, high in spans])
    return EnergyWindows(tuple(spans), np.array([[edges[low], edges[high]] for low, high in spans]), mixing, kept)


def window_series(
    data: SpectralTiltSeries,
    model: SpectrumModel,
    channels: Sequence[str],
    settings: MapSettings,
    watch: Watch | None = None,
) -> MapSeries:
    """Window counts with the counting model that a reconstruction needs.

    Parameters
    ----------
    data : SpectralTiltSeries
        The spectra.
    model : SpectrumModel
        What they are made of.
    channels : sequence of str
        Names of the wanted families' channels.
    settings : MapSettings
        Held-out photons, which are set aside before the background is fitted, and the fit of the background.
    watch : Watch, optional
        Asked at every tilt; the steps follow on as many as there are tilts.

    Returns
    -------
    MapSeries
        Whole counts (window, tilt, y, x) with ``mixing`` and ``background``,
        both for the full exposure, and ``held_out``.
    """
    counts = counts_of(data)
    sums = counts.read()[:, model.window.channels]
    windows = choose_windows(model, model.fit(sums.sum(axis=0)))
    shape = (len(windows.spans), *data.counts.shape[:3])
    found, background = np.empty(shape, np.float32), np.empty(shape, np.float32)
    held_out = np.zeros(shape, np.float32) if settings.holdout > 0 else None
    chi2 = []
    for t in range(shape[1]):
        spectra = counts.tilt(t)[:, model.window.channels]
        check_saturation(spectra, data, t)
        found[:, t] = windows.count(spectra, shape[2:])
        apart = settings.held_out(spectra, t)
        if held_out is not None and apart is not None:
            held_out[:, t] = windows.count(apart, shape[2:])
            spectra = spectra - apart
        at_tilt = settings.at_tilt(model, sums[t])
        fit = at_tilt.fit(sums[t])
        found_background = _background(at_tilt, windows, fit, spectra, shape[2:], settings.background_order)
        background[:, t] = found_background / (1 - settings.holdout)
        chi2.append(round(fit.chi2, 3))
        if watch is not None:
            watch.step(shape[1] + t + 1, message=f'windows of tilt {t + 1} of {shape[1]}')
    notes = {
        **model.notes(channels, chi2),
        **warned(data),
        'windows_keV': np.round(windows.limits, 4).tolist(),
        'information_kept': {name: round(float(k), 3) for name, k in zip(channels, windows.kept, strict=True)},
    }
    return MapSeries(
        found,
        data.angles,
        tuple(channels),
        data.pixel_size,
        mixing=windows.mixing,
        background=background,
        held_out=held_out,
        held_out_share=settings.holdout,
        haadf=data.haadf,
        haadf_series=data.haadf_series,
        transposed=data.transposed,
        notes=notes,
    )


def _background(
    model: SpectrumModel,
    windows: EnergyWindows,
    fit: SumFit,
    spectra: sparse.csr_matrix,
    shape: tuple[int, int],
    order: int,
) -> np.ndarray:
    """Expected counts (window, y, x) of what is not wanted, for the exposure of ``spectra``."""
    everything = replace(model, wanted=len(model.families)).operator(fit, order)
    families = (spectra @ everything.T).T
    in_range = model.shapes.sum(axis=0)
    photons = np.asarray(spectra.sum(axis=1)).ravel()
    bremsstrahlung = photons - in_range @ families
    coefficients = np.vstack([families[model.wanted :], bremsstrahlung]).reshape(-1, *shape)
    smooth = fit.background / max(float(fit.background.sum()), 1e-12)
    shares = windows.sums(np.hstack([model.shapes[:, model.wanted :], smooth[:, None]]))
    return np.tensordot(shares, np.stack([_smooth(coefficient) for coefficient in coefficients]), axes=1)


def _smooth(coefficient: np.ndarray) -> np.ndarray:
    """An coefficient (y, x) averaged over neighbours, positive, of the same total."""
    total = float(coefficient.sum())
    # Reflected borders keep the total.
    smooth = np.maximum(gaussian_filter(coefficient, _SMOOTH_PIXELS, mode='reflect'), 0)
    smooth *= max(total, 0.0) / max(float(smooth.sum()), 1e-12)
    # Where nothing is expected a single stray photon would weigh without limit.
    return np.maximum(smooth, _LEAST_BACKGROUND * max(total, 0.0) / coefficient.size)


def _joined(coefficients: np.ndarray, expected: np.ndarray, share: float) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Spans of channels (first, behind the last), and the share of the information about each family that they keep."""
    spans = [(i, i + 1) for i in range(len(expected))]
    information = (coefficients / expected[:, None]).T @ coefficients
    metric = np.linalg.inv(information)
    bound = np.diag(metric)
    while True:
        losses, vectors = _losses(spans, coefficients, expected, metric)
        for step in np.argsort(losses):
            kept = bound / _variances(information - np.outer(vectors[step], vectors[step]))
            if np.isfinite(losses[step]) and kept.min() >= share:
                break
        else:
            return spans, bound / _variances(information)
        information = information - np.outer(vectors[step], vectors[step])
        joins = step < len(spans) - 1
        at = int(step if joins else step - (len(spans) - 1))
        if joins:
            spans[at + 1] = (spans[at][0], spans[at + 1][1])
            coefficients, expected = coefficients.copy(), expected.copy()
            coefficients[at + 1] += coefficients[at]
            expected[at + 1] += expected[at]
        del spans[at]
        coefficients, expected = np.delete(coefficients, at, axis=0), np.delete(expected, at)


def _losses(
    spans: list[tuple[int, int]], coefficients: np.ndarray, expected: np.ndarray, metric: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cost of joining each span with its successor, then of leaving each one out: traces, and the vectors v of v v^T."""
    ends = np.array(spans)
    apart = ends[1:, 0] != ends[:-1, 1]
    ratios = coefficients / expected[:, None]
    joint = np.sqrt(expected[1:] * expected[:-1] / (expected[1:] + expected[:-1]))
    joining = joint[:, None] * np.diff(ratios, axis=0)
    vectors = np.vstack([joining, np.sqrt(expected)[:, None] * ratios])
    losses = np.einsum('sc,cd,sd->s', vectors, metric, vectors)
    losses[: len(apart)][apart] = np.inf
    return losses, vectors


def _variances(information: np.ndarray) -> np.ndarray:
    """Cramer-Rao bounds, infinite where the information is none."""
    if np.linalg.eigvalsh(information)[0] <= 0:
        return np.full(len(information), np.inf)
    return np.diag(np.linalg.inv(information))
