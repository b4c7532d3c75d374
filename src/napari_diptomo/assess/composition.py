r"""Composition: what every voxel consists of, in atomic or weight percent.

A voxel emits I_c counts in the line family of element c. Cliff and Lorimer
(J. Microsc. 103 (1975) 203) take the masses in proportion to k_c I_c:

    w_c = k_c I_c / S,    S = sum_c k_c I_c,

with k-factors relative to whatever element. Watanabe and Williams (J. Microsc.
221 (2006) 89) take zeta-factors for them, which are absolute: with D electrons
per pixel S / D is the mass thickness of the voxel, and over its size the
density. Cross sections (MacArthur et al., Microsc. Microanal. 22 (2016) 71) are
zeta-factors in another unit. Atomic percent divide k_c I_c by the atomic weights.

The errors sigma_c of the I_c are propagated to first order: a fraction
f_c = a_c I_c / S has

    var f_c = ((1 - 2 f_c) a_c^2 sigma_c^2 + f_c^2 sum_d a_d^2 sigma_d^2) / S^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from napari_diptomo.assess.channel_factors import QUANTITY, Factors, FactorSettings, Method, channel_factors
from napari_diptomo.assess.fractions import FWHM, fractions, pooled, pooled_count_errors, typical
from napari_diptomo.assess.mass_density import Dose, columns, densities
from napari_diptomo.assess.self_absorption import ROUNDS, Absorbed, Absorber, emission_gain
from napari_diptomo.series import InputError, Observer, Step, Volume, Watch, param
from napari_diptomo.spectra.edx.detector_position import (
    NOTE,
    DetectorPosition,
    detector_position,
    position_findings,
)

#: Name of the channel that holds the density.
DENSITY = 'density'
#: Field of the factors of each method.
FACTOR_FIELDS = {'Cliff-Lorimer': 'k_factors', 'zeta': 'zeta_factors', 'cross section': 'cross_sections'}


class Composition(Step):
    """Turn the counts of a volume into atomic or weight percent.

    Voxels whose counts cannot carry a number are masked: zero in every
    channel, and so is their ``std``. Elsewhere the channels add up to 100, and
    where next to nothing of an element is they scatter about zero and may be
    negative.

    Notes
    -----
    Cliff and Lorimer (J. Microsc. 103 (1975) 203), or Watanabe and Williams (J. Microsc. 221 (2006) 89) with
    zeta-factors; the formulas, and that of the errors, stand at the top of the module.
    ``Composition.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> from napari_diptomo import Composition, simulate
    >>> phantom = simulate.lamella(24)
    >>> counts = simulate.edx_tilt_series(phantom, [-40, 0, 40], peak_counts=3000).truth
    >>> factors = simulate.true_k_factors(phantom.channels)
    >>> percent = Composition(k_factors=factors, unit='at.%').run(counts)
    >>> percent.channels, percent.data.shape, round(float(percent.data.sum(axis=0).max()), 1)
    (('Ge', 'Sb', 'Te'), (3, 24, 24, 24), 100.0)
    """

    title: ClassVar[str] = 'Composition'
    leading: ClassVar[tuple[str, ...]] = ('method', 'unit', 'factors_of', *FACTOR_FIELDS.values())

    method: Method = param(
        'Cliff-Lorimer',
        'Cliff-Lorimer needs ratios of k-factors only; zeta and cross section need factors of theirs and the dose, and '
        'give the density as well.',
    )
    unit: Literal['at.%', 'wt.%'] = param('at.%', 'Percent of the atoms or of the mass.')
    factors_of: Literal['as named', 'family', 'alpha line'] = param(
        'as named',
        'Your own factors are of whole line families, or of the alpha line, as those of vendors and of eXSpy are. '
        'as named: a table says it (Ge_K all K lines, Ge_Ka the alpha line); typed ones are of families.',
    )
    k_factors: tuple[float, ...] = param(
        (),
        'k-factors by mass, one per channel in the order of the channels; only their ratios count. Empty: from the '
        'table, else calculated, to 10-20 %.',
    )
    zeta_factors: tuple[float, ...] = param(
        (),
        'Zeta-factors, one per channel in the order of the channels. Empty: from the table, else calculated from the '
        'solid angle.',
        unit='kg/m^2',
    )
    cross_sections: tuple[float, ...] = param(
        (),
        'Partial cross sections, solid angle and detector included, one per channel in the order of the channels. Empty: '
        'from the table, else calculated from the solid angle.',
        unit='barn',
    )
    factor_table: str = param(
        '',
        'File with your own factors (.csv or .json): line family or line, factor; for example Ge_K, 1.32 or Ge_Ka, 1.49. '
        'Used where no factors are typed.',
        advanced=True,
        file=True,
    )
    factor_error: float | None = param(
        None,
        'Relative error of the factors, reported with the result; auto: 0.1 for calculated ones of K lines, 0.15 of L, '
        '0.3 of M, that of the table for your own.',
        ge=0.0,
        lt=1.0,
        advanced=True,
        label='Relative error of factors',
    )
    lines: tuple[str, ...] = param(
        (),
        'Line families of the channels, e.g. Ge_K, Sb_L, Te_L, or lines whose counts they are; empty: as recorded with '
        'the maps.',
        advanced=True,
    )
    beam_energy: float | None = param(
        None,
        'For calculated factors; auto: as recorded with the maps, else 200.',
        unit='keV',
        typical=200.0,
        ge=10.0,
        le=1000.0,
        advanced=True,
    )
    window: Literal['windowless', 'polymer', 'beryllium'] = param(
        'windowless', 'Window of the detector, for calculated factors.', advanced=True
    )
    electrons: float | None = param(
        None,
        'For zeta: electrons per pixel and tilt, of the pixels as they were binned; auto: from current and live time.',
        gt=0.0,
        advanced=True,
    )
    beam_current: float | None = param(None, 'For zeta: beam current.', unit='nA', gt=0.0, advanced=True)
    live_time: float | None = param(
        None,
        'For zeta: live time per pixel and tilt, of the pixels as they were binned.',
        unit='s',
        gt=0.0,
        advanced=True,
    )
    solid_angle: float | None = param(
        None,
        'For calculated zeta-factors: solid angle of all detectors together.',
        unit='sr',
        gt=0.0,
        lt=6.3,
        advanced=True,
    )
    with_density: bool = param(False, 'For zeta: adds a channel named density, in g/cm^3.', advanced=True)
    smooth: float = param(
        1.0,
        'Counts are pooled by a Gaussian of this width (sigma) before ratios are taken: less noise, and a composition '
        'no sharper than 2.4 times as wide; 0 takes voxels as they are.',
        unit='voxels',
        ge=0.0,
        le=10.0,
    )
    largest_error: float = param(
        0.1,
        'Voxels are masked where the relative error of their pooled counts, all channels together, exceeds this; 0.1 is 10 %.',
        gt=0.0,
        le=1.0,
        label='Maximum rel. error',
    )
    least_counts: float | None = param(
        None,
        'Voxels are masked where their pooled counts per tilt, all channels together, are fewer; auto: by the largest '
        'error and the least share.',
        ge=0.0,
        label='Minimum counts',
    )
    least_share: float = param(
        0.1,
        'Voxels are masked where their pooled counts are less than this share of those of the brightest voxels: there is '
        'no specimen but what the missing wedge smeared out.',
        ge=0.0,
        lt=1.0,
        advanced=True,
        label='Minimum fraction',
    )
    absorption: bool = param(
        False,
        'Correct for the absorption of soft lines on their way through the volume to the detectors.',
        advanced=True,
    )
    density: float | None = param(
        None,
        'Density of the specimen, for the absorption; auto: from the zeta-factors or cross sections, else estimated '
        'from the elements.',
        unit='g/cm^3',
        gt=0.0,
        lt=25.0,
        advanced=True,
    )
    elevation: float | None = param(
        None,
        'Angle of the detectors above the plane of the untilted specimen, for the absorption; auto: as the files say, '
        'else 18.',
        unit='deg',
        gt=0.0,
        le=90.0,
        advanced=True,
    )
    azimuths: tuple[float, ...] | None = param(
        None,
        'Directions of the detectors about the beam, from the x axis towards y (the tilt axis), for the absorption; '
        'auto: as the files say, else 45, 135, 225 and 315.',
        unit='deg',
        advanced=True,
    )

    @model_validator(mode='after')
    def _factors_are_sound(self) -> Self:
        for method, name in FACTOR_FIELDS.items():
            if any(not 0 < factor < float('inf') for factor in getattr(self, name)):
                raise ValueError(f'{QUANTITY[method]} must be positive numbers')
        if self.with_density and not self.absolute:
            raise ValueError('the density needs the method zeta or cross section')
        if self.absorption and self.azimuths is not None and not self.azimuths:
            raise ValueError('the absorption needs the direction of at least one detector')
        return self

    def _run(self, data: Volume, observer: Observer | None) -> Volume:
        watch = Watch(observer, self.title, 2 + self.absorption * ROUNDS)
        factors = factors_of(self, data)
        watch.step(1, message='factors of the channels')
        absorbed = gain_of_absorption(self, data, factors, watch)
        gain = absorbed.gain
        errors, errors_from = pooled_count_errors(
            data.data, data.std, gain, int(data.notes.get('tilts', 1)), self.smooth
        )
        counts = pooled(data.data * gain, self.smooth)
        carried = self._carried(counts, errors)

        scale = factors.values / (factors.atomic_weights if self.unit == 'at.%' else 1.0)
        shares, spread = fractions(columns(scale) * counts, columns(scale) * errors)
        carried &= shares.any(axis=0)
        layers, stds = 100 * shares * carried, 100 * spread * carried
        notes = {
            **self._summary(data, factors, scale, counts[:, carried].mean(axis=1), carried),
            'errors': errors_from,
            'absorption': absorbed.words,
        }
        channels = data.channels
        if self.with_density:
            density, density_error = densities(factors.values, self.dose(), data.voxel_size, counts, errors)
            layers = np.concatenate([layers, density[None] * carried])
            stds = np.concatenate([stds, density_error[None] * carried])
            channels = (*channels, DENSITY)
            notes['density_g_cm3'] = float(density[carried].mean())
        notes['units'] = {name: 'g/cm^3' if name == DENSITY else self.unit for name in channels}
        return replace(
            data,
            data=layers,
            std=stds,
            channels=channels,
            notes={**data.notes, 'composition': notes},
            findings=(*data.findings, *factors.findings, *absorbed.findings),
        )

    def factor_settings(self) -> FactorSettings:
        """Where the factors of the channels come from."""
        return FactorSettings(
            method=self.method,
            given=getattr(self, FACTOR_FIELDS[self.method]),
            table=self.factor_table,
            error=self.factor_error,
            lines=self.lines,
            beam_energy=self.beam_energy,
            window=self.window,
            solid_angle=self.solid_angle,
            of=self.factors_of,
        )

    @property
    def absolute(self) -> bool:
        """Whether the factors give masses, not only their ratios."""
        return self.method != 'Cliff-Lorimer'

    def position(self, notes: Mapping[str, Any]) -> DetectorPosition:
        """The detectors: given, else as the notes of a volume have them, else assumed."""
        return detector_position(notes.get(NOTE, {}), self.elevation, self.azimuths)

    def dose(self) -> Dose:
        """Electrons that the counts were made with, for the methods zeta and cross section."""
        return Dose(self.electrons, self.beam_current, self.live_time)

    def _carried(self, counts: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Voxels whose pooled counts carry a number, (z, y, x)."""
        total = counts.sum(axis=0)
        if self.least_counts is not None:
            carried = (total >= self.least_counts) & (total > 0)
            why = f'none has {self.least_counts:g} counts; set fewer as the least counts'
        else:
            error = np.sqrt((errors**2).sum(axis=0))
            precise = (total > 0) & (error <= self.largest_error * total)
            carried = precise & (total >= self.least_share * typical(total))
            best = float((error[total > 0] / total[total > 0]).min()) if (total > 0).any() else np.inf
            why = f'the best has a relative error of {best:.2g}; smooth more or allow a larger error'
        if not carried.any():
            raise InputError(f'No voxel has the counts for a composition: {why}.')
        return carried

    def _summary(
        self, data: Volume, factors: Factors, scale: np.ndarray, mean_counts: np.ndarray, carried: np.ndarray
    ) -> dict[str, Any]:
        names = data.channels
        mean, systematic = fractions(scale * mean_counts, factors.errors * scale * mean_counts)
        if self.least_counts is not None:
            threshold = f'fewer than {self.least_counts:g} pooled counts per tilt'
        else:
            threshold = (
                f'pooled counts with an error above {100 * self.largest_error:g} %, or fewer than '
                f'{100 * self.least_share:g} % of those of the typical voxel of the specimen'
            )
        return {
            'method': self.method,
            'factors': dict(zip(names, factors.values.tolist(), strict=True)),
            'factors_as_given': dict(zip(factors.names, factors.named.tolist(), strict=False)),
            'factors_from': factors.origin,
            'factor_errors': dict(zip(names, factors.errors.tolist(), strict=True)),
            'factor_table': dict(factors.table_origin),
            'lines': dict(zip(names, factors.families, strict=False)),
            'mean': dict(zip(names, (100 * mean).tolist(), strict=True)),
            'error_of_mean_from_factors': dict(zip(names, (100 * systematic).tolist(), strict=True)),
            'masked': f'{100 * (1 - float(carried.mean())):.1f} % of the voxels: {threshold}',
            'masked_share': 1 - float(carried.mean()),
            'pooled_fwhm_nm': FWHM * self.smooth * data.voxel_size,
        }


def factors_of(step: Composition, volume: Volume) -> Factors:
    """The factors that a step uses for a volume; see `channel_factors`."""
    return channel_factors(volume.channels, volume.notes, step.factor_settings())


def gain_of_absorption(step: Composition, volume: Volume, factors: Factors, watch: Watch | None = None) -> Absorbed:
    """Counts emitted over counts that arrived as a step takes it; see `emission_gain`."""
    if not step.absorption:
        return Absorbed(np.ones((len(volume.channels), 1, 1, 1)), 'not corrected')
    position = step.position(volume.notes)
    dose = step.dose() if step.absolute else None
    absorber = Absorber(step.density, dose, position.elevation, position.azimuths, step.smooth)
    if watch is None:
        found = emission_gain(volume, factors, absorber)
    else:

        def each_round(number: int) -> None:
            watch.step(number + 1, message=f'absorption, round {number} of {ROUNDS}')

        found = emission_gain(volume, factors, absorber, each_round=each_round, each_ray=watch.obey)
    low, high = volume.notes.get('max_tilt', (0.0, 0.0))
    findings = position_findings(volume.notes.get(NOTE, {}), position, (float(low), float(high)))
    return replace(found, words=f'{found.words}; detectors: {position}', findings=(*findings, *found.findings))
