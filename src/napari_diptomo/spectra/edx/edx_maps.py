r"""EDX maps: counts of line families at every pixel of every tilt.

The expected spectrum of a pixel is a sum of line families, each one unknown,
and of a smooth background, all fitted together: *linear*, by least squares with
the weights of the tilt, or *poisson*, by maximum likelihood (`pixel_fit`). Or
nothing is fitted and the photons of a few energy windows are counted
(`energy_windows`).

Linear is the default. Measured on simulated Ge-Sb-Te (docs/edx-fit.md), both
come close to the Cramer-Rao bound, but not to go below zero is a bias: where
an element is missing, the likeliest coefficients are biased upwards, and
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
from napari_diptomo.spectra.common.faulty_channels import faulty_findings
from napari_diptomo.spectra.common.spikes import impossible_findings, spike_findings
from napari_diptomo.spectra.common.tilt_counts import counts_of
from napari_diptomo.spectra.edx.detector_position import NOTE as DETECTOR_NOTE
from napari_diptomo.spectra.edx.detector_position import recorded_position
from napari_diptomo.spectra.edx.element_search import survey
from napari_diptomo.spectra.edx.energy_windows import window_series
from napari_diptomo.spectra.edx.fit_range import FitRange, check_counts, without_overflow
from napari_diptomo.spectra.edx.lines import LineFamily, families_for
from napari_diptomo.spectra.edx.pixel_fit import MapSettings, fit_maps
from napari_diptomo.spectra.edx.spectrum_model import spectrum_model
from napari_diptomo.spectra.edx.totals import with_gain


class EDXMaps(Step):
    """Fit line families and a smooth background to every spectrum.

    The result counts photons in the whole family of each element. From the
    linear fit, maps scatter about zero where next to nothing is. The
    ``variance`` is that of the fit under Poisson statistics, from the
    neighbouring pixels without the pixel itself and never far below the mean
    of its tilt: positive, and blind to the noise of the very pixel it weighs.
    ``residual`` shows where the spectra hold what is not fitted.

    Notes
    -----
    ``EDXMaps.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> from napari_diptomo import EDXMaps, simulate
    >>> simulated = simulate.edx_tilt_series(simulate.lamella(16), [-40, 0, 40])
    >>> maps = EDXMaps(elements=('Ge', 'Sb', 'Te')).run(simulated.series)
    >>> maps.channels, maps.data.shape
    (('Ge', 'Sb', 'Te'), (3, 3, 16, 16))
    >>> (maps.data.sum(axis=(1, 2, 3)) / simulated.clean.sum(axis=(1, 2, 3))).round(1)
    array([1., 1., 1.], dtype=float32)
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
        'poisson: the likeliest counts, none negative; for visualisation and for more than some 5 counts per pixel.',
    )
    deliver: Literal['fitted maps', 'window counts'] = param(
        'fitted maps',
        'Output. fitted maps: counts of each element with their variance. window counts: whole counts of few energy '
        'windows with what mixes and what lies under them, so that a reconstruction uses the statistics of photons: for about one count per pixel or less.',
        label='Output',
    )
    holdout: float = param(
        0.1,
        'Fraction of the photons set aside to judge the reconstruction; 0 uses all for the fit.',
        ge=0.0,
        le=0.5,
        label='Held-out fraction',
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
        'Polynomial order of the background at a pixel: 0 scales its shape, 1 tilts it, 2 bends it.',
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
        'the whole object is in every image. slab: it extends beyond the images.',
        advanced=True,
    )
    gain: tuple[float, ...] = param(
        (), 'What the detectors see at each tilt, relative to each other, given by hand; empty for 1.', advanced=True
    )

    def _run(self, data: SpectralTiltSeries, observer: Observer | None) -> MapSeries:
        whole = FitRange.of(data, self.energy_min, self.energy_max)
        wanted = self._wanted(whole)
        watch = Watch(observer, self.title, 2 * len(data.angles))
        counts = counts_of(data)
        sums = counts.read(watch)
        window, overflow = without_overflow(whole.without(counts.faulty), data, sums)
        check_counts(sums, data, window)
        total = sums.sum(axis=0)[window.channels]
        if not wanted:
            raise InputError(self._which(total, window))
        model = spectrum_model(total, window, wanted, self.calibrate)
        make = fit_maps if self.deliver == 'fitted maps' else window_series
        maps = make(data, model, self.lines or self.elements, self._settings(), watch)
        if data.recordings:
            maps = replace(maps, gain=np.broadcast_to(np.asarray(data.recordings, float), maps.data.shape[:2]))
        maps = with_gain(maps, self.gain_from_totals, self.gain)
        position = recorded_position(data.metadata)
        notes = {**maps.notes, DETECTOR_NOTE: position} if position else maps.notes
        low, high = window.ends
        faults = (*overflow, *faulty_findings([fault for fault in counts.faulty if low <= fault.energy <= high]))
        lone = (*impossible_findings(counts.impossible, data), *spike_findings(counts.spikes, data))
        return replace(maps, notes=notes, findings=(*maps.findings, *faults, *lone))

    def _settings(self) -> MapSettings:
        return MapSettings(self.fit, self.holdout, self.seed, self.background_order, self.calibrate)

    def _wanted(self, window: FitRange) -> tuple[LineFamily, ...]:
        names = self.lines or self.elements
        for name in self.lines:
            if '_' not in name:
                raise InputError(f'{name} is not the name of a line family; write it as Ge_K, Sb_L or Pt_M.')
        families = families_for(names, *window.ends, window.beam_energy)
        for i, family in enumerate(families):
            if family in families[:i]:
                raise InputError(f'{names[i]} asks for {family.name} a second time; name each family once.')
        return families

    @staticmethod
    def _which(spectrum: np.ndarray, window: FitRange) -> str:
        _, found = survey(window.energy, spectrum, window.detector, window.beam_energy)
        seen = ', '.join(f.element for f in found)
        return 'No elements are chosen; ' + (f'the spectra show {seen}: choose among them.' if seen else 'name some.')
