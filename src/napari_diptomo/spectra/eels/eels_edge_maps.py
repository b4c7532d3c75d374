"""The step EELS edge maps: any edges, above an extrapolated background or fitted together with it.

`napari_diptomo.spectra.eels.edge_counts` and `napari_diptomo.spectra.eels.edges_together` have the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import ClassVar, Literal

import numpy as np

from napari_diptomo.series import Finding, InputError, MapSeries, Observer, Remedy, SpectralTiltSeries, Step, param
from napari_diptomo.spectra.eels.edge_axis import axis_findings
from napari_diptomo.spectra.eels.edge_counts import (
    BackgroundLaw,
    BackgroundTest,
    EdgeCounts,
    assembled,
    electrons_ratio,
    extrapolated_maps,
    per_count_and_electron,
)
from napari_diptomo.spectra.eels.edge_cross_sections import CrossSections, composition_finding, composition_of
from napari_diptomo.spectra.eels.edge_spectra import Deconvolution, EdgeSpectra, edge_spectra
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows
from napari_diptomo.spectra.eels.edges_together import fitted_maps

#: Name of the channel of the thickness.
THICKNESS = 't/λ'
#: Negative by this many standard deviations, a sum is wrong and not noise.
_NEGATIVE = 4.0
#: A background that moves an edge by this share of it, and significantly, is a doubt.
_DOUBTFUL, _SIGNIFICANT = 0.25, 3.0


class EdgeMaps(Step):
    """Map any edges: counts above a background that is extrapolated, or edges and background fitted together.

    Maps scatter about zero where the element is missing. The ``variance`` is that
    of counting, extrapolation included, as the neighbouring pixels determine it; what the
    background may be wrong by is tested on the sum of all pixels and stands in the findings. All
    edges lie in the low loss, or all in the core loss, whose tilts the maps then have; a core
    loss alone is enough. No counts are held out.

    Notes
    -----
    The methods are those of Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope (2011), sections 4.4
    and 4.5. ``EdgeMaps.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> from napari_diptomo import EdgeMaps, simulate
    >>> simulated = simulate.eels_tilt_series(simulate.oxide_nanocube(24), [-40, 0, 40], core_tilts=[0, 1, 2])
    >>> maps = EdgeMaps(edges=('Fe_L',), background_width=30.0).run(simulated.series)
    >>> maps.channels, maps.data.shape
    (('Fe_L',), (1, 3, 24, 24))
    """

    title: ClassVar[str] = 'EELS edge maps'
    leading: ClassVar[tuple[str, ...]] = ('edges', 'method')

    edges: tuple[str, ...] = param(
        (),
        'Edges to map, e.g. O_K, Fe_L, Fe_L3; all in the low loss, or all in the core loss. Ranges of your own stand behind a '
        'name: Mn_L 636-662, or with that of the background in front, Mn_L 590-632 636-662.',
    )
    method: Literal['extrapolated background', 'fitted together'] = param(
        'extrapolated background',
        'extrapolated background: fitted in front of each edge and subtracted. fitted together: background and cross sections of '
        'all edges at once, for edges that overlap and for composition; needs beam energy and angles.',
    )
    background: BackgroundLaw = param(
        'power law',
        'Background model that is fitted in front of an edge and extrapolated under it; its exponent is that of the sum of a tilt, '
        'height and slope are those of the pixel.',
    )
    background_width: float | None = param(
        None, 'Width of the range in front of the onset where the background is fitted; auto: 12 % of the onset, 8 to 60.',
        unit='eV', gt=0.0, le=500.0, advanced=True,
    )  # fmt: skip
    signal_width: float | None = param(
        None, 'Width of the range behind the onset where the edge is summed; auto: 8 % of the onset, 8 to 50.',
        unit='eV', gt=0.0, le=500.0, advanced=True,
    )  # fmt: skip
    unit: Literal['counts', 'relative atoms', 'atoms/nm2'] = param(
        'counts',
        'counts: electrons in the edge. relative atoms: divided by cross sections, in units of the counts of the first '
        'edge. atoms/nm2: divided by the electrons of the pixel too, which for a core loss follow from the low loss and the dwell times.',
    )
    deconvolve: Deconvolution = param(
        'none',
        'Plural scattering of a core loss. Fourier-ratio: taken out with the low loss of the same pixels, which adds noise.',
    )
    thickness: bool = param(
        False, 'Add the thickness in mean free paths (t/λ) as a channel, where the zero loss is in range.'
    )
    fine_structure: float = param(
        30.0,
        'For fitted together: left out of the fit behind each onset, as cross sections do not have it.',
        unit='eV',
        ge=0.0,
        le=200.0,
        advanced=True,
    )
    energy_offset: float = param(
        0.0,
        'Added to the energies of the core loss (or of the low loss, where there is no zero loss in it).',
        unit='eV',
        ge=-100.0,
        le=100.0,
        advanced=True,
    )
    beam_energy: float | None = param(
        None, 'Beam energy, for cross sections; auto: of the files.', unit='kV', gt=0.0, le=3000.0, advanced=True
    )
    convergence_angle: float | None = param(
        None, 'Convergence semi-angle, for cross sections; auto: of the files.', unit='mrad', gt=0.0, advanced=True
    )
    collection_angle: float | None = param(
        None, 'Collection semi-angle, for cross sections; auto: of the files.', unit='mrad', gt=0.0, advanced=True
    )
    cross_section: str = param(
        '',
        'File with tabulated oscillator strengths (.gosh); empty: hydrogenic cross sections, K and L edges only.',
        file=True,
        advanced=True,
    )
    calibrate: bool = param(
        True,
        'Bring all pixels and tilts to one energy axis by their zero loss first, where it is in range.',
        advanced=True,
    )

    def _run(self, data: SpectralTiltSeries, observer: Observer | None) -> MapSeries:
        windows = [EdgeWindows.of(edge, self.background_width, self.signal_width) for edge in self.edges]
        if not windows:
            raise InputError('No edges are chosen; name some, e.g. Fe_L3, O_K.')
        sections = self._sections(data, windows)
        spectra = edge_spectra(
            data,
            windows,
            calibrated=self.calibrate,
            deconvolve=self.deconvolve,
            energy_offset=self.energy_offset,
            observer=observer,
        )
        windows = list(spectra.windows)
        made = self._counted(spectra, windows, sections, observer)
        per_count = self._per_count(spectra, windows, sections)
        maps = assembled(spectra, windows, made, self.background, self.unit, per_count)
        found = [*axis_findings(spectra.energy, spectra.total(), windows, 'EdgeMaps')]
        found += self._background_findings(windows, made)
        notes = {'method': self.method, 'background_tests': {name: asdict(test) for name, test in made.tests.items()}}
        if per_count is not None and maps.variance is not None and len(windows) > 1 and maps.data.sum() > 0:
            sums, errors = maps.data.sum(axis=(1, 2, 3), dtype=float), maps.variance.sum(axis=(1, 2, 3), dtype=float)
            shares = composition_of(maps.channels, sums, errors)
            notes['composition'] = {name: asdict(share) for name, share in shares.items()}
            found.append(composition_finding(shares))
        maps = replace(maps, notes={**maps.notes, **notes}, findings=(*maps.findings, *found))
        return with_thickness(maps, spectra) if self.thickness else maps

    def _sections(self, data: SpectralTiltSeries, windows: Sequence[EdgeWindows]) -> CrossSections | None:
        if self.unit == 'counts' and self.method == 'extrapolated background':
            return None
        if self.unit == 'atoms/nm2':
            electrons_ratio(data, data.core_loss is not None and windows[0].signal[0] > data.energy[-1])
        core = {} if data.core_loss is None else data.core_loss.metadata
        given = {
            'beam_energy': self.beam_energy,
            'convergence_angle': self.convergence_angle,
            'collection_angle': self.collection_angle,
        }
        return CrossSections.of({**core, **data.metadata}, self.cross_section, **given)

    def _counted(
        self,
        spectra: EdgeSpectra,
        windows: Sequence[EdgeWindows],
        sections: CrossSections | None,
        observer: Observer | None,
    ) -> EdgeCounts:
        if self.method == 'extrapolated background' or sections is None:
            return extrapolated_maps(spectra, windows, self.background, observer)
        return fitted_maps(
            spectra, windows, sections, self.background, fine_structure=self.fine_structure, observer=observer
        )

    def _per_count(
        self, spectra: EdgeSpectra, windows: Sequence[EdgeWindows], sections: CrossSections | None
    ) -> np.ndarray | None:
        if self.unit == 'counts' or sections is None:
            return None
        if self.unit == 'atoms/nm2':
            return per_count_and_electron(sections, spectra, windows)
        barn = np.array([sections.in_window(window, spectra.energy) for window in windows])
        return (barn[0] / barn)[:, None, None, None]

    def _background_findings(self, windows: Sequence[EdgeWindows], made: EdgeCounts) -> list[Finding]:
        names = [window.name for window in windows]
        sums, errors = (
            made.data.sum(axis=(1, 2, 3), dtype=float),
            np.sqrt(made.variance.sum(axis=(1, 2, 3), dtype=float)),
        )
        negative = {n: s for n, s, e in zip(names, sums, errors, strict=True) if s < -_NEGATIVE * e}
        found = [self._negative(negative)] if negative else []
        if not made.tests:
            return [*found, self._assumption(windows, {})]
        doubtful = {n: t for n, t in made.tests.items() if n not in negative and _is_doubtful(t)}
        if doubtful:
            found.append(self._doubt(doubtful))
        return [*found, self._assumption(windows, made.tests)]

    def _negative(self, negative: dict[str, float]) -> Finding:
        named = ', '.join(f'{name} {counts:.3g}' for name, counts in negative.items())
        return Finding(
            'stop',
            'negative counts',
            f'The counts of all pixels together are negative far beyond their noise: {named}. The background does not follow the '
            f'{self.background}, as on the tail of plasmons, or another edge lies in front: do not use these maps. Choose '
            'another background or range; for M2,3 of a metal map its oxidation states, which fit background and edge together.',
            negative,
        )

    def _doubt(self, doubtful: dict[str, BackgroundTest]) -> Finding:
        named = ', '.join(
            f'{name} by {100 * max(abs(t.other_law), abs(t.short_range)):.0f} %' for name, t in doubtful.items()
        )
        evidence = {}
        for name, test in doubtful.items():
            evidence[f'{name}, other law'] = test.other_law
            evidence[f'{name}, within its own range'] = test.short_range
        together = Remedy('Fit edges and background together', 'EdgeMaps', {'method': 'fitted together'})
        return Finding(
            'doubt',
            'background under the edges',
            f'The counts hang on the background: another law, or its own misfit in front of the edge, moves them: {named}. Move the '
            'range, or fit edges and background together.',
            evidence,
            together,
        )

    def _assumption(self, windows: Sequence[EdgeWindows], tests: dict[str, BackgroundTest]) -> Finding:
        fitted = ', '.join(f'{w.name} ({w.before[0]:.0f}-{w.before[1]:.0f} eV)' for w in windows)
        if not tests:
            return Finding(
                'note',
                'background under the edges',
                f'Assumes a background of the model {self.background} and edges of the shape of their cross section: {fitted}. '
                'By how much they are not is in no error of these maps.',
            )
        moved = ', '.join(f'{name} {100 * test.other_law:+.0f} %' for name, test in tests.items())
        other = 'an exponential' if self.background == 'power law' else 'a power law'
        return Finding(
            'note',
            'background under the edges',
            f'Assumes that the background is of the model {self.background} from in front of the edge to under it: {fitted}. '
            f'By how much it is not is in no error of these maps; with {other} they would change by: {moved}.',
            {f'{name}, with the other law': test.other_law for name, test in tests.items()},
        )


def _is_doubtful(test: BackgroundTest) -> bool:
    if test.signal < _SIGNIFICANT * test.deviation:
        return False
    short = abs(test.short_range) > _DOUBTFUL and abs(test.short_range_sigma) > _SIGNIFICANT
    ruled_out = abs(test.other_law_sigma) > _SIGNIFICANT + abs(test.short_range_sigma)
    moved = abs(test.other_law) * abs(test.signal) > _SIGNIFICANT * test.deviation
    return short or (abs(test.other_law) > _DOUBTFUL and moved and not ruled_out)


def with_thickness(maps: MapSeries, spectra: EdgeSpectra) -> MapSeries:
    """The maps with t/lambda as a channel; its variance is that of ln(I_t / I_0) by counting.

    Raises
    ------
    InputError
        No zero loss, or a saturated one.
    """
    if spectra.thickness is None:
        raise InputError(
            'The thickness needs the zero loss in range, and these spectra hold none; open the low loss too, or go without.'
        )
    if not np.isfinite(spectra.thickness).all():
        raise InputError('The zero loss is saturated, so the thickness is not known; go without it.')
    counts = np.stack([np.asarray(spectra.series.counts[t], float).sum(axis=-1) for t in spectra.tilts])
    tau = np.maximum(spectra.thickness, 0)
    variance = (np.expm1(tau) + 1e-3) / np.maximum(counts, 1)
    return replace(
        maps,
        data=np.concatenate([maps.data, spectra.thickness[None]]).astype(np.float32),
        variance=np.concatenate([maps.variance, variance[None]]).astype(np.float32),
        channels=(*maps.channels, THICKNESS),
    )
