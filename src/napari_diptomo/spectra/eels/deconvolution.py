r"""A calibrated series with single scattering in place of its spectra: Fourier-log and Fourier-ratio, by eXSpy.

The formulas are in `scattering`.

**What it costs.** Noise is amplified, by about exp(t/lambda), and no longer
independent from channel to channel: Poisson statistics and chi2 do not hold
for the result, errors of a fit to it are too small. Standards that are
convolved with the plural scattering of each pixel fit the counts as
they are and do without. Deconvolution is for visualisation, for comparison with
published work, and for standards from regions of much different thickness.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from napari_diptomo.series import CoreLoss, InputError, Observer, Watch
from napari_diptomo.spectra.common.power_law import log_log_line
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries
from napari_diptomo.spectra.eels.scattering import single_losses, without_plural

#: Pixels that are deconvolved together.
_CHUNK = 512
#: Thicker than this, the logarithm of the transforms is ambiguous.
_THICKEST = 3.0
NOTE = (
    'plural scattering was taken out by {}: noise is amplified and correlated, so errors of fits to it are too small and '
    'chi2 has no meaning'
)


def deconvolved(
    calibrated: CalibratedSeries,
    observer: Observer | None = None,
    *,
    low_loss: bool = True,
    core_background: tuple[float, float] | None = None,
    keep_background: bool = False,
) -> CalibratedSeries:
    """Single scattering in place of the spectra, lazily, a tilt at a time.

    Parameters
    ----------
    calibrated : CalibratedSeries
    observer : Observer, optional
        Asked whether to continue.
    low_loss : bool
        Fourier-log of the low loss; the zero loss is gone afterwards.
    core_background : tuple of float, optional
        Window in front of the edges, eV, through which a power law is extrapolated for
        the background of the core loss; Fourier-ratio of what is left.
    keep_background : bool
        Put that background back under the deconvolved edges, for methods that fit one.

    Returns
    -------
    CalibratedSeries
        Its notes say what was done.

    Raises
    ------
    InputError
        Ranges of different dispersion, no core loss, a window outside it, a saturated zero loss, or too thick a specimen.
    """
    Watch(observer, 'Deconvolve', 1).step(0, message='plural scattering')
    _check_thickness(calibrated)
    series, done = calibrated.series, []
    counts, core, core_remainder = series.counts, series.core_loss, calibrated.core_remainder
    if core_background is not None:
        core = _core_loss(calibrated, core_background, keep_background)
        # The zero loss of the pixel is divided out with its displacement.
        assert core_remainder is not None
        core_remainder = core_remainder - calibrated.remainder[list(core.tilts)]
        done.append('Fourier-ratio (core loss)')
    if low_loss:
        counts = _low_loss(calibrated)
        done.append('Fourier-log (low loss)')
    notes = {**calibrated.notes, 'deconvolved': NOTE.format(' and '.join(done))} if done else calibrated.notes
    metadata = {**series.metadata, 'calibration': notes}
    series = replace(series, counts=counts, core_loss=core, metadata=metadata)
    return replace(calibrated, series=series, core_remainder=core_remainder, notes=notes)


def without_background(core: np.ndarray, energy: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Core losses (pixel, energy) less a power law through their window, zero before it.

    Height and exponent by least squares on the logarithm of the sum of the
    pixels; the height of each pixel by its counts in the window.
    """
    _check_window(window, energy)
    part = (energy >= window[0]) & (energy <= window[1])
    total = core.sum(axis=0, dtype=float)
    slope, _ = log_log_line(energy[part], np.maximum(total[part], 1e-9))
    law = energy**slope
    net = core - (core[:, part].sum(axis=1) / law[part].sum())[:, None] * law
    return np.where(energy >= window[0], net, 0.0)


def _low_loss(calibrated: CalibratedSeries) -> Any:
    series = calibrated.series

    def make(tilt: int) -> np.ndarray:
        spectra = _tilt(series.counts, tilt)
        flat = spectra.reshape(-1, spectra.shape[-1])
        work = partial(single_losses, energy=series.energy, end=calibrated.zero_loss_end)
        return np.concatenate([work(flat[i : i + _CHUNK]) for i in range(0, len(flat), _CHUNK)]).reshape(spectra.shape)

    return _lazy(make, series.counts.shape)


def _core_loss(calibrated: CalibratedSeries, window: tuple[float, float], keep_background: bool) -> CoreLoss:
    series, core = calibrated.series, calibrated.series.core_loss
    if core is None:
        raise InputError('There is no core loss to deconvolve; open it with the low loss, or go without.')
    _check_window(window, core.energy)

    def make(index: int) -> np.ndarray:
        low, high = _tilt(series.counts, core.tilts[index]), _tilt(core.counts, index)
        flat_low, flat_high = low.reshape(-1, low.shape[-1]), high.reshape(-1, high.shape[-1])
        edges = without_background(flat_high, core.energy, window)
        found = [
            without_plural(
                edges[i : i + _CHUNK],
                core.energy,
                flat_low[i : i + _CHUNK],
                series.energy,
                calibrated.zero_loss_end,
                calibrated.zero_loss_fwhm,
            )
            for i in range(0, len(edges), _CHUNK)
        ]
        single = np.concatenate(found)
        return (single + flat_high - edges if keep_background else single).reshape(high.shape)

    return replace(core, counts=_lazy(make, core.counts.shape), metadata={**core.metadata, 'background_window': window})


def _lazy(make: Any, shape: tuple[int, ...]) -> Any:
    import dask
    import dask.array as da

    tilts = [dask.delayed(partial(make, t), pure=False, traverse=False)() for t in range(shape[0])]
    return da.stack([da.from_delayed(tilt, shape[1:], dtype=np.float32) for tilt in tilts])


def _tilt(counts: Any, tilt: int) -> np.ndarray:
    part = counts[tilt]
    return np.asarray(part.compute(scheduler='synchronous') if hasattr(part, 'compute') else part)


def _check_window(window: tuple[float, float], energy: np.ndarray) -> None:
    if ((energy >= window[0]) & (energy <= window[1])).sum() < 5:
        raise InputError(
            f'The window {window[0]:g}-{window[1]:g} eV for the background lies outside the core loss '
            f'({energy[0]:.4g}-{energy[-1]:.4g} eV); move it in front of the edges.'
        )


def _check_thickness(calibrated: CalibratedSeries) -> None:
    if np.isnan(calibrated.t_over_lambda).any():
        raise InputError(
            'The zero loss is saturated, so plural scattering cannot be taken out; go without deconvolution.'
        )
    thickest = float(np.percentile(calibrated.t_over_lambda, 99))
    if thickest > _THICKEST:
        raise InputError(
            f'The specimen is too thick for deconvolution (t/lambda {thickest:.2g}); go without, or leave out the steepest '
            'tilts.'
        )
