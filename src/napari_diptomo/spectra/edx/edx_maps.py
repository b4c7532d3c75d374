r"""EDX maps: counts of line families at every pixel of every tilt.

The expected spectrum of a pixel is a sum of line families, each one unknown,
and of a smooth background, all fitted together. Two fits:

*linear*, weighted least squares,

    n = W s,    W = (M^T D M)^-1 M^T D

with s the spectrum of the pixel, M the shapes as columns and D = diag(1/m), m
the spectrum that the fit of the whole tilt expects. Within a tilt W is ONE
matrix for all pixels. So the maps are linear in the counts: unbiased however
few they are (weights taken from the pixel itself would pull them down), the
map of the held-out photons is W applied to these photons, and the variance of
a map is W^2 applied to the spectra of its neighbours.

*poisson*, maximum likelihood of non-negative amounts pixel by pixel
(`poisson_fit`), with the variance from the Fisher information at what the
neighbours make expect. The photons that remain without the held-out ones are
fitted; the map of the held-out ones is W applied to them, for what judges a
reconstruction must have no bias. The maps are the sum of both.

Linear is the default. Measured on simulated Ge-Sb-Te (docs/edx-fit.md), both
come close to the Cramer-Rao bound, but not to go below zero is a bias: where
an element is missing, the likeliest amounts average to more than nothing, and
a volume reconstructed from them holds an element that is not there.

The shape of the background comes from the non-negative fit of the tilt's sum
spectrum (`sum_fit`); pixels scale it, and tilt and bend it: by powers of log E
in the linear fit, by their non-negative combinations in the other. Every
element that the sum spectrum shows is fitted along (`spectrum_model`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from napari_diptomo.series import InputError, MapSeries, Observer, SpectralTiltSeries, Step, Watch, param
from napari_diptomo.spectra.common.spikes import spike_findings
from napari_diptomo.spectra.common.tilt_counts import counts_of, hold_out
from napari_diptomo.spectra.edx.checks import check_counts, check_saturation
from napari_diptomo.spectra.edx.denoise import warned
from napari_diptomo.spectra.edx.element_search import survey
from napari_diptomo.spectra.edx.energy_windows import window_series
from napari_diptomo.spectra.edx.fit_range import Window
from napari_diptomo.spectra.edx.lines import LineFamily, families_for
from napari_diptomo.spectra.edx.pixel_fit import PixelFit
from napari_diptomo.spectra.edx.shadowing import with_gain
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel, ends_of, spectrum_model


class EDXMaps(Step):
    """Fit line families and a smooth background to every spectrum.

    The result counts photons in the whole family of each element. From the
    linear fit, maps scatter about zero where next to nothing is. The
    ``variance`` is that of the fit under Poisson statistics, told by the
    neighbouring pixels without the pixel itself and never far below the mean
    of its tilt: positive, and blind to the noise of the very pixel it weighs.
    ``residual`` shows where the spectra hold what is not fitted.
    """

    title: ClassVar[str] = 'EDX maps'

    elements: tuple[str, ...] = param(
        (), 'Elements to map, e.g. Ge, Sb, Te; the K family where it is in range and well excited, else L or M.'
    )
    lines: tuple[str, ...] = param(
        (), 'Line families to map instead, e.g. Ge_K, Sb_L, Te_L; when given, the elements are ignored.', advanced=True
    )
    fit: Literal['linear', 'poisson'] = param(
        'linear',
        'Fit of a pixel. linear: without bias however few the counts, so right for a reconstruction; may go below zero. '
        'poisson: the likeliest amounts, none negative; for looking at maps and for more than some 5 counts per pixel.',
    )
    deliver: Literal['fitted maps', 'window counts'] = param(
        'fitted maps',
        'What goes on. fitted maps: counts of each element with their variance. window counts: whole counts of few energy '
        'windows with what mixes and what lies under them, so that a reconstruction uses the statistics of photons: for about one count per pixel or less.',
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
        True,
        'Refine energy scale and resolution before fitting, on the sum of all spectra and then on each tilt.',
        advanced=True,
    )
    gain_from_totals: Literal['off', 'isolated', 'slab'] = param(
        'off',
        'Measure how much the holder shadows the detectors at each tilt, from the total counts of the elements. isolated: '
        'the whole object is in every image. slab: it goes on beyond the images.',
        advanced=True,
    )
    gain: tuple[float, ...] = param(
        (), 'What the detectors see at each tilt, relative to each other, given by hand; empty for 1.', advanced=True
    )

    def _run(self, data: SpectralTiltSeries, observer: Observer | None) -> MapSeries:
        window = Window.of(data, self.energy_min, self.energy_max)
        wanted = self._wanted(window)
        watch = Watch(observer, self.title, 2 * len(data.angles))
        sums = counts_of(data).read(watch)
        check_counts(sums, data, window)
        total = sums.sum(axis=0)[window.channels]
        if not wanted:
            raise InputError(self._which(total, window))
        model = spectrum_model(total, window, wanted, self.calibrate)
        if self.deliver == 'fitted maps':
            maps = self._maps(data, model, watch)
        else:
            maps = with_gain(self._windows(data, model, watch), self.gain_from_totals, self.gain)
        return replace(maps, findings=(*maps.findings, *spike_findings(counts_of(data).spikes, data)))

    def _maps(self, data: SpectralTiltSeries, model: SpectrumModel, watch: Watch) -> MapSeries:
        n_tilts, channels, counts = len(data.angles), model.window.channels, counts_of(data)
        sums = counts.read()[:, channels]
        pixels = PixelFit.of(model, sums.sum(axis=0), self.background_order, self.holdout)
        shape = (model.wanted, *data.counts.shape[:3])
        maps, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
        held_out = np.empty(shape, np.float32) if self.holdout > 0 else None
        residual = np.empty(shape[1:], np.float32)
        chi2 = []
        for t in range(n_tilts):
            at_tilt = model.calibrated(sums[t]) if self.calibrate else model
            fit = at_tilt.fit(sums[t])
            spectra = counts.tilt(t)[:, channels]
            check_saturation(spectra, data, t)
            held = hold_out(spectra, self.holdout, (self.seed, t)) if held_out is not None else None
            if self.fit == 'linear':
                found = pixels.linear(at_tilt, fit, spectra, held, shape[2:])
            else:
                found = pixels.poisson(at_tilt, fit, spectra, held, shape[2:], watch.obey)
            maps[:, t], variance[:, t], residual[t] = found.maps, found.variance, found.residual
            if held_out is not None:
                held_out[:, t] = found.held_out
            chi2.append(round(fit.chi2, 3))
            watch.step(n_tilts + t + 1, message=f'maps of tilt {t + 1} of {n_tilts}')
        fitted = MapSeries(
            maps,
            data.angles,
            self.lines or self.elements,
            data.pixel_size,
            variance=variance,
            held_out=held_out,
            held_out_share=self.holdout,
            residual=residual,
            haadf=data.haadf,
            transposed=data.transposed,
            notes=model.notes(self.lines or self.elements, chi2) | warned(data),
        )
        return with_gain(fitted, self.gain_from_totals, self.gain)

    def _windows(self, data: SpectralTiltSeries, model: SpectrumModel, watch: Watch) -> MapSeries:
        for t in range(len(data.angles)):
            check_saturation(counts_of(data).tilt(t)[:, model.window.channels], data, t)
        return window_series(
            data,
            model,
            self.lines or self.elements,
            holdout=self.holdout,
            seed=self.seed,
            background_order=self.background_order,
            calibrate=self.calibrate,
            watch=watch,
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
