r"""EDX maps: counts of line families at every pixel of every tilt.

The expected spectrum of a pixel is a sum of line families, each one unknown,
and of a smooth background. All are fitted together by weighted least squares:

    n = W s,    W = (M^T D M)^-1 M^T D

with s the spectrum of the pixel, M the shapes as columns and D = diag(1/m), m
the spectrum that the fit of the whole tilt expects. Within a tilt W is ONE
matrix for all pixels. So the maps are linear in the counts: unbiased however
few they are (weights taken from the pixel itself would pull them down), the
map of the held-out photons is W applied to these photons, and the variance of
a map is W^2 applied to the spectra of its neighbours.

The shape of the background comes from the non-negative fit of the tilt's sum
spectrum (`sum_fit`); pixels scale it, and tilt and bend it by powers of log E.
Every element that the sum spectrum shows is fitted along, wanted or not: the
copper of the grid, the platinum strap, the gallium of the beam must not leak
into a neighbour's map.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy import sparse

from napari_diptomo.series import InputError, MapSeries, Observer, SpectralTiltSeries, Step, Watch, param
from napari_diptomo.series.noise import neighbours
from napari_diptomo.spectra._counts import counts_of
from napari_diptomo.spectra.lines import LineFamily, families_for
from napari_diptomo.spectra.spectrum_model import ends_of, spectrum_model
from napari_diptomo.spectra.suggest import survey
from napari_diptomo.spectra.window import Window

#: The variance is averaged over this many pixels and floored at this share of the tilt's mean.
_SMOOTH_PIXELS, _LEAST_VARIANCE = 2.0, 0.05


class EDXMaps(Step):
    """Fit line families and a smooth background to every spectrum.

    The result counts photons in the whole family of each element. Where next
    to nothing is, the counts scatter about zero and may be negative. Its
    ``variance`` is the Poisson variance of the fit, averaged over the
    neighbouring pixels without the pixel itself and floored at 5 % of the mean
    of its tilt: positive, and blind to the noise of the very pixel it weighs.
    """

    title: ClassVar[str] = 'EDX maps'

    elements: tuple[str, ...] = param(
        (), 'Elements to map, e.g. Ge, Sb, Te; the K family where it is in range and well excited, else L or M.'
    )
    lines: tuple[str, ...] = param(
        (), 'Line families to map instead, e.g. Ge_K, Sb_L, Te_L; when given, the elements are ignored.', advanced=True
    )
    holdout: float = param(
        0.1, 'Share of the photons set aside to judge the reconstruction; 0 uses all for the fit.', ge=0.0, le=0.5
    )
    seed: int = param(0, 'Seed of the draw of held-out photons.', ge=0, advanced=True)
    energy_min: float = param(
        0.2, 'Lower end of the fit; keep it above the zero-strobe peak.', unit='keV', gt=0.0, le=20.0, advanced=True
    )
    energy_max: float = param(
        40.0, 'Upper end of the fit; the end of the spectra where that comes first.', unit='keV', gt=0.5, advanced=True
    )
    background_order: int = param(
        1,
        'Freedom of the background at a pixel: 0 scales its shape, 1 tilts it, 2 bends it.',
        ge=0,
        le=3,
        advanced=True,
    )
    calibrate: bool = param(
        True, 'Refine energy scale and resolution on the sum spectrum before fitting.', advanced=True
    )

    def _run(self, data: SpectralTiltSeries, observer: Observer | None) -> MapSeries:
        window = Window.of(data, self.energy_min, self.energy_max)
        wanted = self._wanted(window)
        n_tilts = len(data.angles)
        watch = Watch(observer, self.title, 2 * n_tilts)
        counts = counts_of(data)
        sums = counts.read(watch)[:, window.channels]
        _check_counts(sums, data, window)
        if not wanted:
            raise InputError(self._which(sums.sum(axis=0), window))
        model = spectrum_model(sums.sum(axis=0), window, wanted, self.calibrate)

        shape = (len(wanted), *data.counts.shape[:3])
        maps, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
        held_out = np.empty(shape, np.float32) if self.holdout > 0 else None
        chi2 = []
        for t in range(n_tilts):
            spectra = counts.tilt(t)[:, window.channels]
            fit = model.fit(sums[t])
            operator = model.operator(fit, self.background_order)
            maps[:, t] = _apply(operator, spectra, shape[2:])
            variance[:, t] = _variance(operator, spectra, shape[2:])
            if held_out is not None:
                held_out[:, t] = _apply(operator, _hold_out(spectra, self.holdout, (self.seed, t)), shape[2:])
            chi2.append(round(fit.chi2, 3))
            watch.step(n_tilts + t + 1, message=f'maps of tilt {t + 1} of {n_tilts}')
        return MapSeries(
            maps,
            data.angles,
            self.lines or self.elements,
            data.pixel_size,
            variance=variance,
            held_out=held_out,
            held_out_share=self.holdout,
            haadf=data.haadf,
            transposed=data.transposed,
            notes=model.notes(self.lines or self.elements, chi2),
        )

    def _wanted(self, window: Window) -> tuple[LineFamily, ...]:
        names = self.lines or self.elements
        for name in self.lines:
            if '_' not in name:
                raise InputError(f'{name} is not the name of a line family; write it as Ge_K, Sb_L or Pt_M.')
        families = families_for(names, *ends_of(window), window.beam_energy)
        for i, family in enumerate(families):
            if family in families[:i]:
                raise InputError(f'{names[i]} asks for {family.name} a second time; name each family once.')
        return families

    @staticmethod
    def _which(spectrum: np.ndarray, window: Window) -> str:
        _, found = survey(window.energy, spectrum, window.detector, window.beam_energy)
        seen = ', '.join(f.element for f in found)
        return 'No elements are chosen; ' + (f'the spectra show {seen}: choose among them.' if seen else 'name some.')


def _check_counts(sums: np.ndarray, series: SpectralTiltSeries, window: Window) -> None:
    low, high = ends_of(window)
    if not sums.any():
        raise InputError(f'The spectra hold no counts between {low:.2f} and {high:.2f} keV; check the files.')
    for t in np.flatnonzero(sums.sum(axis=1) == 0):
        raise InputError(
            f'The image at {series.angles[t]:g} degrees holds no counts between {low:.2f} and {high:.2f} keV; '
            'leave it out.'
        )


def _apply(operator: np.ndarray, spectra: sparse.csr_matrix, shape: tuple[int, int]) -> np.ndarray:
    return (spectra @ operator.T).T.reshape(-1, *shape)


def _variance(operator: np.ndarray, spectra: sparse.csr_matrix, shape: tuple[int, int]) -> np.ndarray:
    raw = _apply(operator**2, spectra, shape)
    return np.maximum(neighbours(raw, _SMOOTH_PIXELS), _LEAST_VARIANCE * raw.mean(axis=(1, 2), keepdims=True))


def _hold_out(spectra: sparse.csr_matrix, share: float, seed: tuple[int, int]) -> sparse.csr_matrix:
    """A binomial share of the photons."""
    counts = spectra.data
    if counts.dtype.kind == 'f' and not (counts == np.round(counts)).all():
        raise InputError(
            'These spectra are not whole counts, so no photons can be held out; set the held-out share to 0.'
        )
    held = spectra.copy()
    held.data = np.random.default_rng(seed).binomial(counts.astype(np.int64), share).astype(np.int32)
    return held
